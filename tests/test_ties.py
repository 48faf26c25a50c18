"""A judge of three verdicts, from its pairs to the table: off unless asked for, and then the same in every room it passes through."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import prompts
from planner.engines.base import GREEDY
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from planner.execute import ForcedVerdict, ask_forced, execute, forced_chain, judge_inputs, position_bias
from planner.judge import read_card
from planner.records import ORDERS, JudgedChain, Label, LabeledPair, Message, Pair, flip, uniform
from planner.store import read_jsonl, write_jsonl
from planner.styles.evalplanner import EvalPlannerStyle, PlanKind
from planner.verdict import decided
from rewards.outcome import outcome
from rewards.score import score
from selftrain.config import Config, RowsConfig
from selftrain.distil import Opinion, Taught
from selftrain.judged import Chains, _shuffled, judge_chains, write_rows
from selftrain.measure import EvaluateJob, evaluate, score_set
from selftrain.pairs import jsonl, prefer_baseline, write_splits
from selftrain.pairs.builtin import OR, generate, meets
from selftrain.rows import Drawn, SftRow, balanced, dpo_rows, sft_rows, verdict_only_rows
from selftrain.sample import Sampler
from selftrain.summary import _baselines, print_table
from tests.conftest import tiny_config
from tests.test_loop import run_here, write_config
from tests.test_rows import answer, chain, dpo, forced, labeled, run, sft
from tests.test_score import item

TIES = EvalPlannerStyle(ties=True)
PAIR = Pair(instruction="Name a river.", response_a="Loire", response_b="Rhine, see [C]")
TEACHES = RowsConfig(train_forced=True, max_pairs_per_order=100)


# -- asking and reading ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt_set", ["paper", "short"])
@pytest.mark.parametrize("plan_kind", ["unconstrained", "none"])
def test_a_tie_is_allowed_where_asked_for_and_nowhere_else(prompt_set: Any, plan_kind: PlanKind) -> None:
    plan = "Check." if plan_kind != "none" else None
    for ties in (True, False):
        style = EvalPlannerStyle(prompt_set=prompt_set, plan_kind=plan_kind, ties=ties)
        asked = [style.judge_prompt(PAIR), style.judge_execution_prompt(PAIR, plan), style.execution_prompt(PAIR, plan)]
        for prompt in asked:
            text = "\n".join(message.content for message in prompt.messages)
            assert ("call it a tie" in text) == ties
            assert "Rhine, see [C]" in text, "a letter in brackets is ordinary text in either"
        assert ("[Final Verdict]\n[[C]]" in asked[0].ends) == ties
    assert prompts.text_digest(prompt_set, ties=False) != prompts.text_digest(prompt_set)


def test_a_tie_is_written_as_the_letter_that_is_read() -> None:
    text = TIES.chain_text("Check.", TIES.finding("tie"), "tie")
    assert text.endswith("[Final Verdict]\n[[C]]")
    assert TIES.read_chain(text).verdict == "tie"
    assert len({TIES.finding(verdict) for verdict in TIES.labels}) == 3
    assert [text[start:end] for start, end in TIES.deciding_spans(text)] == ["ties", "ties", "C"]


# -- forced verdicts ---------------------------------------------------------------------------------------------------


def three(a: float, b: float, tie: float) -> ForcedVerdict:
    return ForcedVerdict(chain_id="c", execution="Whole.", logp_a=math.log(a), logp_b=math.log(b), logp_tie=math.log(tie))


@pytest.mark.parametrize(
    ("p_a", "p_tie", "verdict"),
    [(0.6, None, "A"), (0.4, None, "B"), (0.5, 0.0, "A"), (0.6, 0.3, "A"), (0.6, 0.4, "tie"), (0.1, 0.4, "B"), (0.5, 1 / 3, "A")],
)
def test_the_likeliest_of_three(p_a: float, p_tie: float | None, verdict: str) -> None:
    assert decided(p_a, p_tie) == verdict


def test_three_verdicts_are_drawn_by_their_probabilities_and_bias_is_a_matter_of_two() -> None:
    silent, read = chain(labeled("x"), verdict="none", execution="Whole.").chain, three(0.48, 0.12, 0.2)
    bias = position_bias([read, three(0.1, 0.1, 0.7)])
    assert bias == pytest.approx(math.log(4) / 2), "a tie says nothing of the position"
    made = [forced_chain(silent, read, bias=bias, draw=uniform("draw", str(i))) for i in range(3000)]
    assert made[0].p_tie == pytest.approx(0.25), "of what the three letters have together"
    assert made[0].p_a == pytest.approx(2 / 3)
    drawn = Counter(one.verdict for one in made)
    assert {verdict: n / 3000 for verdict, n in drawn.items()} == pytest.approx({"A": 0.5, "B": 0.25, "tie": 0.25}, abs=0.03)
    nothing = ForcedVerdict(chain_id="c", execution="", logp_a=-math.inf, logp_b=-math.inf, logp_tie=-math.inf)
    assert nothing.p_tie == pytest.approx(1 / 3)


def test_three_letters_are_read_where_ties_are_known_and_two_elsewhere() -> None:
    engine = ScriptedEngine(lambda request, draw: "Nothing to say.")
    for style in (TIES, EvalPlannerStyle()):
        inputs = {one.key: one for one in judge_inputs(style, [PAIR])}
        drawn = dict(execute(engine, style, inputs.values(), n=1, max_tokens=9, sampling=GREEDY))
        read = list(ask_forced(engine, style, [(inputs[key], chains[0]) for key, chains in drawn.items()]))
        assert len(read) == 2
        assert all((one.logp_tie is not None) == style.ties for one in read)
        assert all(("logp_tie" in one.model_dump_json()) == style.ties for one in read), "what is off leaves no trace on disk"


# -- rows --------------------------------------------------------------------------------------------------------------


def test_chains_train_on_ties_of_either_side() -> None:
    pairs = [labeled(name, better) for name, better in (("a", "A"), ("b", "B"), ("t", "tie"))]  # type: ignore[arg-type]
    chains = [chain(of, order, sample=s, verdict=v) for of in pairs for order in ORDERS for s, v in enumerate(("A", "B", "tie"))]
    taught, counts = run(sft_rows, chains, pairs, TEACHES, style=TIES)
    assert Counter(one.gold for one in taught) == {"A": 2, "B": 2, "tie": 2}
    assert all(TIES.read_chain(sft(one)[1]).verdict == one.gold for one in taught)
    preferred, _ = run(dpo_rows, chains, pairs, TEACHES, style=TIES)
    met = Counter((one.gold, *(TIES.read_chain(side).verdict for side in dpo(one)[1:])) for one in preferred)
    assert met == {(gold, gold, other): 2 for gold in TIES.labels for other in TIES.labels if other != gold}
    assert counts["tie"] == 0


def test_a_forced_chain_rejects_its_own_wrong_verdict_or_one_by_hash() -> None:
    of = labeled("t", "tie")
    of_a = labeled("a", "A")
    chains = [forced(of, sample=s, draw=s % 2) for s in range(4)]  # A, B, A, B, all wrong
    drawn, _ = run(dpo_rows, chains, [of], TEACHES, style=TIES)
    assert Counter(TIES.read_chain(dpo(one)[2]).verdict for one in drawn) == {"A": 2, "B": 2}
    assert {TIES.read_chain(dpo(one)[1]).verdict for one in drawn} == {"tie"}
    right = [forced(of_a, sample=s, draw=0.0) for s in range(40)]
    drawn, _ = run(dpo_rows, right, [of_a], TEACHES, style=TIES)
    rejected = Counter(TIES.read_chain(dpo(one)[2]).verdict for one in drawn)
    assert set(rejected) == {"B", "tie"}
    assert min(rejected.values()) > 8


def test_a_finding_goes_with_its_verdict() -> None:
    style = EvalPlannerStyle(ties=True, execution_form="findings")
    of = labeled("a", "B")
    one = forced(of, draw=0.0, execution=style.finding("A"))
    (row,), _ = run(dpo_rows, [one], [of], TEACHES, style=style)
    chosen, rejected = (style.read_chain(side) for side in dpo(row)[1:])
    assert (chosen.execution, rejected.execution) == (style.finding("B"), style.finding("A"))


def test_rows_are_balanced_over_three_labels() -> None:
    rows_of = {gold: SftRow(prompt=(), completion=(Message(role="assistant", content=gold),)) for gold in TIES.labels}
    golds = ["A"] * 9 + ["B"] * 7 + ["tie"] * 4
    drawn = [Drawn(row=rows_of[gold], pair_id="x", gold=gold, key=f"{gold}{i}") for i, gold in enumerate(golds)]  # type: ignore[index]
    counts: Counter[str] = Counter()
    rows = list(balanced(lambda: iter(drawn), max_unparsed_share=1.0, counts=counts, labels=TIES.labels))
    assert Counter(answer(row.completion) for row in rows) == {"A": 4, "B": 4, "tie": 4}  # type: ignore[union-attr]
    assert counts["surplus_of_one_label"] == 8


def test_the_controls_know_three_labels() -> None:
    of = labeled("t", "tie")
    (row,) = verdict_only_rows([(of.pair, "tie", "ab")], TIES)
    assert answer(row.completion) == "[Final Verdict]\n[[C]]"
    golds: Counter[str] = Counter()
    for i in range(300):
        pair = labeled(str(i), "tie")
        both = [_shuffled(chain(pair, order, verdict="A"), TIES.labels, seed=0) for order in ORDERS]
        assert both[1].gold == flip(both[0].gold), "a coin for the pair, not for the order"
        assert all(one.outcome == outcome(one.chain, one.gold) for one in both)
        golds[both[0].gold] += 1
    assert all(70 < golds[label] < 130 for label in TIES.labels), golds


# -- pairs -------------------------------------------------------------------------------------------------------------


def asked(one: LabeledPair) -> tuple[str, ...]:
    return tuple(one.notes["requirement"].split(OR))


@pytest.mark.parametrize("split", ["train", "wording", "unseen"])
def test_builtin_ties_are_true_and_told_by_reading_the_instruction_alone(split: Any) -> None:
    pairs = list(islice(generate(split, 0, ties=0.3), 1200))
    said: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    met: Counter[bool] = Counter()
    for one in pairs:
        a, b = (meets(one.kind, asked(one), response) for response in (one.pair.response_a, one.pair.response_b))
        assert one.better == ("tie" if a == b else "A" if a else "B")
        met[a] += one.better == "tie"
        if one.kind not in ("arithmetic", "word_problem", "copy", "numerals"):
            said[OR in one.notes["requirement"]][one.better] += 1
    assert min(met.values()) > 100, "both meet it, and both break it"
    labels = Counter(one.better for one in pairs)
    assert labels["A"] == labels["B"]
    assert 0.2 < labels["tie"] / 1200 < 0.32
    # An "or" in the instruction says nothing of the label.
    shares = [counts["tie"] / counts.total() for counts in said.values()]
    assert abs(shares[0] - shares[1]) < 0.06, said
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        assert (first.pair.response_a, first.pair.response_b) == (second.pair.response_a, second.pair.response_b)
        assert first.pair.instruction != second.pair.instruction
        assert (first.better == "tie") == (second.better == "tie")


def test_every_small_split_has_its_ties_and_none_without_a_share() -> None:
    first_round = list(islice(generate("known", 0, ties=1 / 3), 42))
    assert 10 <= sum(one.better == "tie" for one in first_round) <= 18
    assert all(one.better != "tie" for one in islice(generate("known", 0), 200))
    per_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for one in islice(generate("train", 0, ties=0.5), 42 * 4):
        per_kind[one.kind][one.better] += 1
    assert all(counts["tie"] == 4 for counts in per_kind.values())


def test_a_row_says_that_it_is_a_tie(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [{"instruction": f"Q{i}", "chosen": "x", "rejected": "y", "tie": i == 1} for i in range(2)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = list(jsonl.read(file))
    assert found[1].better == "tie" != found[0].better
    assert "tie" not in found[0].notes
    file.write_text(json.dumps({**rows[0], "tie": "yes"}))
    with pytest.raises(UserError, match=r"pairs.jsonl:1: 'tie' is str, not true or false"):
        list(jsonl.read(file))


# -- the table ---------------------------------------------------------------------------------------------------------


def test_ties_by_hand() -> None:
    from tests.test_score import labeled as scored

    got = score([
        item(scored("1", "tie"), "tie", "tie"), item(scored("2", "tie"), "A", "none"), item(scored("3", "A"), "A", "tie"),
        item(scored("4", "B"), "B", "A"),
    ])  # fmt: skip
    assert got.accuracy == 5 / 8
    assert got.ties is not None
    assert (got.ties.n, got.ties.said, got.ties.accuracy) == (2, 3 / 8, 2 / 4)
    assert got.ties.confusion == {  # by label and verdict, in the naming of the prompt
        "A": {"A": 2, "B": 0, "tie": 0, "none": 0},
        "B": {"A": 0, "B": 1, "tie": 1, "none": 0},
        "tie": {"A": 1, "B": 0, "tie": 2, "none": 1},
    }
    two = score([item(scored("3", "A"), "A", "tie")])
    assert two.ties is None
    assert "ties" not in two.model_dump(mode="json"), "what is off leaves no trace on disk"


def test_rules_that_read_no_instruction_are_never_right_on_a_tie(tmp_path: Path) -> None:
    def pair(a: str, b: str, better: Label) -> LabeledPair:
        notes = {"strength_a": str(len(a)), "strength_b": str(len(b))}
        return LabeledPair(
            pair=Pair(instruction=a + b, response_a=a, response_b=b), better=better, source="test", kind="k", notes=notes
        )

    every = [pair("long", "s", "tie"), pair("s", "long", "tie"), pair("longer", "s", "A"), pair("longest", "s", "B")]
    write_jsonl(tmp_path / "p.jsonl", every)
    assert _baselines(tmp_path / "p.jsonl") == {"longer": 1 / 4, "stronger_model": 1 / 4, "a_tie_always": 1 / 2}
    assert prefer_baseline(every[:2], "strength") == 0.0


# -- the loop ----------------------------------------------------------------------------------------------------------


def test_ties_are_off_unless_a_run_says_so() -> None:
    config = Config(name="x")
    assert (config.ties, config.pairs.ties, config.style.labels) == (False, 0.0, ("A", "B"))


def test_three_verdicts_go_through_a_stage_and_come_out_in_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sampling, outcomes, rows, measuring and the table, in this process and without a model."""
    fields = tiny_config(tmp_path, tmp_path / "none", ties=True, iterations=[{"pairs": 24, "train": ["sft", "dpo"]}])
    fields["pairs"] |= {"ties": 1 / 3, "held_out": {"known": 18}}
    config = Config.model_validate(fields)
    write_splits(config, tmp_path / "pairs")
    chains = Chains(tmp_path / "iter-1", tmp_path / "pairs" / "train-1.jsonl", "seed", first=True)
    engine = ScriptedEngine()
    Sampler(config, chains.folder, chains.pairs, first=True).run(engine)
    counts = judge_chains(config, chains)
    assert counts["right"] + counts["wrong"] + counts["no_verdict"] + counts["cut_off"] == counts["chains"] == 24 * 2 * 2 * 2
    assert counts["forced"] > 0
    assert {one.chain.p_tie is not None for one in read_jsonl(chains.judged, JudgedChain) if one.chain.forced} == {True}
    for method, side in (("sft", "completion"), ("dpo", "chosen")):
        path = tmp_path / f"{method}.jsonl"
        write_rows(config, method, chains, path, special=())  # type: ignore[arg-type]
        ends = Counter(json.loads(row)[side][0]["content"][-5:] for row in path.read_text().splitlines())
        assert ends.keys() == {"[[A]]", "[[B]]", "[[C]]"}
        assert len(set(ends.values())) == 1, "balanced over the three"

    held_out = tmp_path / "pairs" / "known.jsonl"
    evaluate(config, EvaluateJob(models={"seed": "m"}, sets={"known": str(held_out)}, out=str(tmp_path / "eval")), engine)
    measured = score_set(config, tmp_path / "eval" / "seed" / "known", held_out)
    assert measured.ties is not None
    assert measured.ties.n == sum(one.better == "tie" for one in read_jsonl(held_out, LabeledPair)) == 6
    assert sum(n for row in measured.ties.confusion.values() for n in row.values()) == 36
    print_table(config, tmp_path, {("seed", "known"): measured}, ["seed"], [], ["known"], {"known": _baselines(held_out)}, 60.0)
    printed = capsys.readouterr().out
    assert "on ties" in printed
    assert "of 6" in printed
    assert "“a tie always”" in printed
    assert "33.3%" in printed


@pytest.mark.slow
def test_a_judge_of_three_verdicts_trains_itself_and_goes_on_with_what_another_judge_said(tiny_model: Path, tmp_path: Path) -> None:
    """SFT and DPO on its own chains, then SFT on a file of judgments: in one run, for the time it takes."""
    file = tmp_path / "taught.jsonl"
    verdicts: tuple[Label, ...] = ("A", "B", "tie")
    write_jsonl(file, [
        Taught(
            pair=Pair(instruction=f"Q{i}", response_a=f"x{i}", response_b=f"y{i}"),
            opinion=Opinion(verdict=verdicts[i % 3], reason=f"Reason {i}."),
        )
        for i in range(12)
    ])  # fmt: skip
    config = tiny_config(
        tmp_path, tiny_model, ties=True, plan_kind="none",
        iterations=[{"pairs": 24, "train": ["sft", "dpo"]}, {"train": ["sft"], "judged": {"form": "taught", "path": str(file)}}],
    )  # fmt: skip
    config["pairs"] |= {"ties": 1 / 3, "held_out": {"known": 18}}
    done = run_here(write_config(tmp_path, config))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "tiny"

    summary = json.loads((folder / "summary.json").read_text())
    assert [one["name"] for one in summary["checkpoints"]] == ["seed", "M1_SFT", "M1_DPO", "M2_SFT"]
    for one in summary["checkpoints"]:
        held_out = list(read_jsonl(folder / "pairs" / "known.jsonl", LabeledPair))
        assert one["ties"]["n"] == sum(pair.better == "tie" for pair in held_out) > 0
        assert sum(n for row in one["ties"]["confusion"].values() for n in row.values()) == 2 * one["n"] == 36
        assert one["ties"]["confusion"]["tie"]["tie"] == pytest.approx(one["ties"]["accuracy"] * 2 * one["ties"]["n"])
    assert "on ties" in done.stdout
    assert "a tie always" in done.stdout
    assert "Ties on held-out pairs" in (folder / "report.html").read_text()

    drawn = list(read_jsonl(folder / "iter-1/sft/judged.jsonl", JudgedChain))
    assert {one.gold for one in drawn} == {one.chain.verdict for one in drawn if one.outcome == "right"} == set(verdicts)
    for stage, method, side in (
        ("iter-1/sft", "sft", "completion"),
        ("iter-1/dpo", "dpo", "chosen"),
        ("iter-2/sft", "sft", "completion"),
    ):
        rows = list(map(json.loads, (folder / stage / f"{method}.jsonl").read_text().splitlines()))
        ends = Counter(row[side][0]["content"][-5:] for row in rows)
        assert ends.keys() == {"[[A]]", "[[B]]", "[[C]]"}
        assert len(set(ends.values())) == 1, "balanced over the three"
    assert ends["[[C]]"] == 8, "each judgment in both orders"
    assert read_card(folder / "M2_SFT").style.ties  # type: ignore[union-attr]
    assert "those of another judge (taught.jsonl)" in (folder / "M2_SFT" / "README.md").read_text()
