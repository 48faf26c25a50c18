"""rewards/outcome.py and the forced verdicts of planner/execute.py: what a chain is worth, and that its label came last.

A chain is right, wrong, without a verdict or cut off, and nothing else. A label meets a chain here and nowhere before: what a
sampling or an evaluation asks its engine is the same, word for word, whichever response is better.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.engines.base import GREEDY, Choice, Engine, Request, Sampling
from planner.engines.scripted import ScriptedEngine, default_script, uniform
from planner.execute import (
    ExecutionInput,
    ForcedVerdict,
    ask_forced,
    execute,
    execution_inputs,
    forced_chain,
    judge_inputs,
    needs_forcing,
    position_bias,
)
from planner.records import ORDERS, Chain, Completion, FinishReason, Label, LabeledPair, Order, Outcome, Pair, Plan, Verdict, flip
from planner.store import Shards, write_jsonl
from planner.styles.evalplanner import EvalPlannerStyle
from prompts import CHAIN_TAGS, EXECUTION_END, EXECUTION_START, FINAL_VERDICT, PLAN_END, PLAN_START
from rewards.outcome import judged, outcome
from selftrain.config import Config
from selftrain.measure import EvaluateJob, evaluate
from selftrain.sample import Sampler

PAIR = Pair(instruction="Name a river.", response_a="The Loire.", response_b="Rome.")
STYLE = EvalPlannerStyle()


def labeled(better: Label = "A", pair: Pair = PAIR) -> LabeledPair:
    return LabeledPair(pair=pair, better=better, source="test", kind="test")


def chain(
    verdict: Verdict = "A", order: Order = "ab", *, text: str = "Some words.", finish: FinishReason = "stop", **more: Any
) -> Chain:
    return Chain(
        pair_id=PAIR.id, order=order, plan_id="p", plan="Check.", sample=0, execution=text, verdict=verdict, p_a=None,
        completion=Completion(text=text, finish_reason=finish, tokens=3), **more,
    )  # fmt: skip


chains = st.builds(
    chain,
    st.sampled_from(get_args(Verdict)),
    st.sampled_from(ORDERS),
    forced=st.booleans(),
    cut_off=st.booleans(),
    disagrees=st.booleans(),
)


# -- outcomes ----------------------------------------------------------------------------------------------------------


@given(st.lists(chains, max_size=20), st.sampled_from(get_args(Label)))
def test_the_four_outcomes_add_up(every: list[Chain], better: Label) -> None:
    found = Counter(judged(one, labeled(better)).outcome for one in every)
    assert found.keys() <= set(get_args(Outcome))
    assert len(get_args(Outcome)) == 4
    assert found.total() == len(every)
    unread = sum(one.verdict == "none" for one in every)
    assert found["no_verdict"] + found["cut_off"] == unread, "what was not read is never a score, and what was read always is"


@given(chains, st.sampled_from(get_args(Label)))
def test_right_is_what_the_label_says_in_the_order_shown(one: Chain, better: Label) -> None:
    found = judged(one, labeled(better))
    assert found.gold == (better if one.order == "ab" else flip(better))
    assert (found.outcome == "right") == (one.verdict == found.gold)
    # The same opinion of the swapped pair, shown the other way round, is worth the same.
    other = labeled(flip(better), PAIR.swapped())  # type: ignore[arg-type]
    same = one.model_copy(update={"pair_id": other.pair.id, "order": "ba" if one.order == "ab" else "ab"})
    assert judged(same, other).outcome == found.outcome


@pytest.mark.parametrize(
    ("verdict", "cut_off", "gold", "expected"),
    [
        ("A", False, "A", "right"),
        ("B", False, "A", "wrong"),
        ("tie", False, "A", "wrong"),
        ("tie", False, "tie", "right"),
        ("A", False, "tie", "wrong"),
        ("none", False, "A", "no_verdict"),
        ("none", False, "tie", "no_verdict"),
        ("none", True, "A", "cut_off"),
        ("A", True, "A", "right"),
    ],
)
def test_each_outcome(verdict: Verdict, cut_off: bool, gold: str, expected: str) -> None:
    assert outcome(chain(verdict, cut_off=cut_off), gold) == expected


@pytest.mark.parametrize("cut_off", [True, False])
def test_a_forced_chain_is_right_or_wrong_and_says_that_it_was_forced(cut_off: bool) -> None:
    """Also one that had run out of tokens: its verdict was read all the same."""
    silent = chain("none", cut_off=cut_off)
    read = ForcedVerdict(chain_id=silent.id, execution="Some words.", logp_a=math.log(0.9), logp_b=math.log(0.1))
    found = judged(forced_chain(silent, read), labeled("A"))
    assert (found.outcome, found.chain.forced) == ("right", True)
    assert judged(forced_chain(silent, read), labeled("B")).outcome == "wrong"
    assert judged(silent, labeled("A")).outcome == ("cut_off" if cut_off else "no_verdict")


def test_a_chain_of_another_pair_is_refused() -> None:
    """The swapped pair is another pair as well: its label reads the other way round."""
    for other in (PAIR.swapped(), Pair(instruction="Name a town.", response_a=PAIR.response_a, response_b=PAIR.response_b)):
        with pytest.raises(ValueError, match=f"chain of pair {PAIR.id} joined to the label of pair {other.id}"):
            judged(chain(), labeled("A", other))


# -- forced verdicts ---------------------------------------------------------------------------------------------------


def read(p_a: float, *, chain_id: str = "c", execution: str = "Whole.") -> ForcedVerdict:
    return ForcedVerdict(chain_id=chain_id, execution=execution, logp_a=math.log(p_a), logp_b=math.log(1 - p_a))


@pytest.mark.parametrize(("p_a", "verdict"), [(0.51, "A"), (0.49, "B"), (0.5, "A")])
def test_without_a_draw_the_likelier_verdict_is_taken(p_a: float, verdict: str) -> None:
    silent = chain("none", text="Whole. And to", finish="length", cut_off=True)
    made = forced_chain(silent, read(p_a))
    assert (made.verdict, made.execution, made.forced) == (verdict, "Whole.", True)
    assert made.p_a == pytest.approx(p_a)
    assert made.id == silent.id, "it is the same chain, with its verdict filled in"
    assert (made.completion, made.plan, made.cut_off) == (silent.completion, silent.plan, True)
    assert silent.verdict == "none", "a record is never changed in place"


@pytest.mark.parametrize("p_a", [0.1, 0.5, 0.8])
def test_a_drawn_verdict_is_a_with_its_probability(p_a: float) -> None:
    silent = chain("none")
    drawn = Counter(forced_chain(silent, read(p_a), draw=uniform("draw", str(i))).verdict for i in range(2000))
    assert drawn["A"] / 2000 == pytest.approx(p_a, abs=0.04)
    assert forced_chain(silent, read(p_a), draw=p_a - 1e-6).verdict == "A"
    assert forced_chain(silent, read(p_a), draw=p_a + 1e-6).verdict == "B"
    assert forced_chain(silent, read(p_a), draw=0.0).verdict == "A"


def test_the_bias_of_a_position_is_its_mean_log_odds() -> None:
    assert position_bias([]) == 0.0
    assert position_bias([read(0.8)]) == pytest.approx(math.log(4))
    assert position_bias([read(0.8), read(0.2)]) == pytest.approx(0)
    assert position_bias([read(0.9), read(0.5)]) == pytest.approx(math.log(9) / 2)
    assert position_bias(iter([read(0.9), read(0.5)])) == position_bias([read(0.5), read(0.9)]), "order must not matter"


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=20), st.floats(-3, 3))
def test_a_lean_that_every_chain_shares_is_subtracted_whole(p: list[float], lean: float) -> None:
    """Verdicts under a judge that leans to one slot are those of the same judge without its lean, once its bias is known."""

    def leaning(by: float) -> list[ForcedVerdict]:
        return [ForcedVerdict(chain_id="c", execution="e", logp_a=math.log(a) + by - 4, logp_b=math.log(1 - a) - 4) for a in p]

    fair, biased = leaning(0.0), leaning(lean)
    assert position_bias(biased) - position_bias(fair) == pytest.approx(lean)
    for one, other in zip(fair, biased, strict=True):
        a = forced_chain(chain("none"), one, bias=position_bias(fair)).p_a
        assert forced_chain(chain("none"), other, bias=position_bias(biased)).p_a == pytest.approx(a)


@pytest.mark.parametrize(
    ("one", "needed"),
    [
        (chain("none"), True),
        (chain("none", cut_off=True, finish="length"), True),
        (chain("A", text="so [[A]]"), False),
        (chain("tie", text="so [[C]]"), False),
        (chain("none", text="so [[maybe]]"), False),
        (chain("none", text="so [[A]] and so [[B]]", disagrees=True), False),
        (chain("none", text="so [[A"), True),
    ],
)
def test_only_a_chain_that_named_nothing_is_forced(one: Chain, needed: bool) -> None:
    assert needs_forcing(one) is needed


class Recorder(ScriptedEngine):
    """Writes down whatever it is asked, and answers as the script does."""

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self.asked: list[Request | Choice] = []

    def sample(self, requests: Iterable[Request]) -> Iterator[tuple[str, tuple[Completion, ...]]]:
        return super().sample(self._noted(requests))

    def choose(self, requests: Iterable[Choice]) -> Iterator[tuple[str, float, float]]:
        return super().choose(self._noted(requests))

    def _noted(self, requests: Iterable[Any]) -> Iterator[Any]:
        for request in requests:
            self.asked.append(request)
            yield request


PLAN = Plan(
    instruction_id=PAIR.instruction_id, pair_id=None, order=None, sample=0, text="Check it.",
    completion=Completion(text="", finish_reason="stop", tokens=1),
)  # fmt: skip


def drawn(engine: Engine, style: EvalPlannerStyle, inputs: Iterable[ExecutionInput], max_tokens: int = 50) -> dict[str, Chain]:
    return {key: found[0] for key, found in execute(engine, style, inputs, n=1, max_tokens=max_tokens, sampling=GREEDY)}


@pytest.mark.parametrize("prompt_set", ["paper", "short"])
@pytest.mark.parametrize("by_judge", [False, True])
def test_a_verdict_is_forced_behind_the_chain_s_own_text(prompt_set: Any, by_judge: bool) -> None:
    """The text that P(A) is read after is the chain as it would train, up to the letter."""
    style = EvalPlannerStyle(prompt_set=prompt_set)
    said = "is fine. The other is not. And th e n"
    planned = f"{PLAN_START}\nCheck it.\n{PLAN_END}\n{EXECUTION_START}\n" if by_judge else ""
    engine = Recorder(lambda request, draw: planned + said)
    inputs = {one.key: one for one in (judge_inputs(style, [PAIR]) if by_judge else execution_inputs(style, PAIR, "ba", [PLAN]))}
    made = drawn(engine, style, inputs.values(), max_tokens=len((planned + said).split(" ")) - 1)
    engine.asked.clear()
    found = {one.chain_id: one for one in ask_forced(engine, style, [(inputs[key], one) for key, one in made.items()])}
    assert len(engine.asked) == len(found) == len(inputs)
    for key, one in made.items():
        assert (one.verdict, one.cut_off, needs_forcing(one)) == ("none", True, True)
        forced = found[one.id]
        assert forced.execution.endswith("is fine. The other is not."), "a torn sentence is trimmed"
        choice = next(asked for asked in engine.asked if asked.key == one.id)
        assert choice.messages == inputs[key].prompt.messages, "a forced verdict is read under the prompt that the text answered"
        plan = "Check it." if by_judge else None
        done = forced_chain(one, forced)
        assert done.verdict in ("A", "B")
        assert choice.prefill + f"{done.verdict}]]" == style.chain_text(plan, done.execution, done.verdict)
        assert done.p_a == pytest.approx(math.exp(forced.logp_a)), "the letters' probabilities are one in all in this engine"
        assert (done.verdict == "A") == (forced.logp_a >= forced.logp_b)


def test_a_chain_that_ended_keeps_its_last_words_and_loses_our_tags() -> None:
    said = f"Not much to say{EXECUTION_START} {FINAL_VERDICT} none"
    engine = Recorder(lambda request, draw: said)
    inputs = {one.key: one for one in execution_inputs(STYLE, PAIR, "ab", [PLAN])}
    made = drawn(engine, STYLE, inputs.values())
    (forced,) = ask_forced(engine, STYLE, [(inputs[key], one) for key, one in made.items()])
    assert forced.execution == "Not much to say  none"
    assert not any(tag in forced.execution for tag in CHAIN_TAGS)


def test_a_chain_too_long_to_be_closed_stays_without_a_verdict() -> None:
    engine = Recorder(lambda request, draw: "word. " * 30)
    inputs = {one.key: one for one in execution_inputs(STYLE, PAIR, "ab", [PLAN])}
    made = drawn(engine, STYLE, inputs.values())
    engine._max_model_len = 40
    assert list(ask_forced(engine, STYLE, [(inputs[key], one) for key, one in made.items()])) == []


# -- no label reaches a prompt -----------------------------------------------------------------------------------------

SILENT_AT_TIMES = [
    default_script,
    lambda request, draw: default_script(request, draw).replace("[[", "[").replace(FINAL_VERDICT, ""),
]


def write_pairs(path: Path, better: Iterable[Label]) -> list[Pair]:
    """Pairs that share instructions two by two, with the given labels and everything else about a pair that a judge may not see."""
    found = []
    for i, one in enumerate(better):
        pair = Pair(instruction=f"Do {i // 2}.", response_a=f"first of {i}", response_b=f"second of {i}")
        notes = {"gold": f"GOLD-{one}", "model_a": "MODELNOTE"}
        found.append(LabeledPair(pair=pair, better=one, source="SOURCENOTE", kind="KINDNOTE", group="GROUPNOTE", notes=notes))
    write_jsonl(path, found)
    return [one.pair for one in found]


def config(**changes: Any) -> Config:
    sampling = {"plans": 3, "executions": 4, "plan_tokens": 30, "execution_tokens": 30, "force_verdict": True}
    return Config.model_validate(
        {"name": "x", "engine": {"kind": "scripted"}, "judge_tokens": 60}
        | changes
        | {"sampling": sampling | changes.get("sampling", {})}
    )


LABELS: list[list[Label]] = [["A"] * 6, ["B"] * 6, ["A", "B", "tie"] * 2]


@pytest.mark.parametrize("script", SILENT_AT_TIMES, ids=["some silent", "all silent"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prompts": "short"},
        {"plan_kind": "none"},
        {"prompts": "short", "plan_kind": "criteria"},
        {"sampling": {"reuse_plans": True}},
    ],
    ids=str,
)
def test_sampling_asks_the_same_whichever_response_is_better(
    tmp_path: Path, changes: dict[str, Any], first: bool, script: Any
) -> None:
    settings = config(**changes)
    asked = []
    for i, better in enumerate(LABELS):
        folder = tmp_path / str(i)
        pairs = write_pairs(folder / "pairs.jsonl", better)
        engine = Recorder(script)
        Sampler(settings, folder, folder / "pairs.jsonl", first=first).run(engine)
        asked.append(engine.asked)
        assert {one.pair_id for one in Shards(folder / "chains", Chain)} == {pair.id for pair in pairs}
    assert asked[0] == asked[1] == asked[2]
    kinds = Counter(type(one) for one in asked[0])
    assert kinds[Request] >= 12
    assert kinds[Choice] > 0, "some chain must have been silent, or forcing was not looked at"
    everything = str(asked[0])
    assert "second of 5" in everything
    for secret in ("GOLD", "MODELNOTE", "SOURCENOTE", "KINDNOTE", "GROUPNOTE"):
        assert secret not in everything


def test_the_seed_s_plans_see_no_response(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", LABELS[0])
    engine = Recorder()
    Sampler(config(), tmp_path, tmp_path / "pairs.jsonl", first=True).run(engine)
    plans = [one for one in engine.asked if isinstance(one, Request) and PLAN_END in one.stop]
    assert len(plans) == 3, "one request an instruction, however many pairs share it"
    assert all(one.n == 3 for one in plans)
    assert "first of" not in str(plans)
    assert "second of" not in str(plans)


def test_every_pair_is_executed_in_both_orders_with_the_same_plans(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", LABELS[0])
    engine = Recorder()
    Sampler(config(), tmp_path, tmp_path / "pairs.jsonl", first=True).run(engine)
    found = list(Shards(tmp_path / "chains", Chain))
    assert Counter((one.pair_id, one.order) for one in found) == {(pair.id, order): 3 * 2 for pair in pairs for order in ORDERS}
    for pair in pairs:
        plans = [Counter(one.plan_id for one in found if (one.pair_id, one.order) == (pair.id, order)) for order in ORDERS]
        assert plans[0] == plans[1]
        assert len(plans[0]) == 3
    assert len({one.id for one in found}) == len(found)
    requests = [one for one in engine.asked if isinstance(one, Request) and EXECUTION_END in one.stop]
    assert all(one.sampling == Sampling(0.8, 0.95, 0) and not one.letters for one in requests)


def test_evaluation_asks_the_same_whichever_response_is_better(tmp_path: Path) -> None:
    asked = []
    for i, better in enumerate(LABELS):
        file = tmp_path / f"{i}.jsonl"
        write_pairs(file, better)
        engine = Recorder(SILENT_AT_TIMES[1])
        evaluate(config(), EvaluateJob(models={"m": "path"}, sets={"known": str(file)}, out=str(tmp_path / str(i))), engine)
        asked.append(engine.asked)
    assert asked[0] == asked[1] == asked[2]
    assert Counter(type(one) for one in asked[0]) == {Request: 12, Choice: 12}
    assert "NOTE" not in str(asked[0])
    assert "GOLD" not in str(asked[0])
