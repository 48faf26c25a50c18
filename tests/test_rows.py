"""selftrain/rows.py: which chains train, against which others, and what a training row says.

SFT learns one right chain per pair and order; DPO learns right against wrong of one pair in one order. What disagrees with itself,
was cut off, has no plan, forges a tag or says nothing never trains, and is counted. Labels are balanced in what is left.
Rows depend on the chains and the seed alone, and a prompt never tells which response is better.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.execute import ForcedVerdict, forced_chain
from planner.records import ORDERS, Chain, Completion, JudgedChain, Label, LabeledPair, Message, Order, Pair, digest, flip
from planner.store import write_jsonl
from planner.styles.evalplanner import EvalPlannerStyle
from prompts import CHAIN_TAGS, EXECUTION_START, FINAL_VERDICT, PLAN_START
from rewards.outcome import judged
from selftrain.config import Pairing, RowsConfig
from selftrain.rows import DpoRow, Drawn, SftRow, balanced, broken, dpo_rows, sft_rows, verdict_only_rows, whole_groups
from selftrain.train import passes

STYLE = EvalPlannerStyle()
ROWS = RowsConfig()


def labeled(name: str, better: Label = "A") -> LabeledPair:
    pair = Pair(instruction=f"Do {name}.", response_a=f"{name}, first", response_b=f"{name}, second")
    return LabeledPair(pair=pair, better=better, source="test", kind="test")


def chain(
    of: LabeledPair, order: Order = "ab", plan: str | None = "Check.", sample: int = 0, verdict: str = "A",
    execution: str | None = None, **more: Any,
) -> JudgedChain:  # fmt: skip
    """A judged chain whose texts name their own identity."""
    text = f"{of.pair.instruction} {order} {plan} #{sample}" if execution is None else execution
    completion = Completion(text=text, finish_reason="length" if more.get("cut_off") else "stop", tokens=3)
    made = Chain(
        pair_id=of.pair.id, order=order, plan_id=digest(plan or ""), plan=plan, sample=sample, completion=completion,
        execution=text, verdict=verdict, p_a=None, **more,
    )  # fmt: skip
    return judged(made, of)


def grid(of: LabeledPair, plans: int = 3, each: int = 4, seed: int = 0) -> list[JudgedChain]:
    """All chains of a pair, grouped by order as a stage leaves them, with verdicts by coin."""
    coin = random.Random(f"{of.pair.id} {seed}")
    return [chain(of, order, f"Plan {p}.", s, coin.choice("AB")) for order in ORDERS for p in range(plans) for s in range(each)]


def run(
    make: Callable[..., Iterator[Drawn]],
    chains: Iterable[JudgedChain],
    pairs: Iterable[LabeledPair],
    rows: RowsConfig = ROWS,
    *,
    style: EvalPlannerStyle = STYLE,
    seed: int = 0,
) -> tuple[list[Drawn], Counter[str]]:
    by_id = {one.pair.id: one.pair for one in pairs}
    counts: Counter[str] = Counter()
    return list(make(chains, by_id.__getitem__, style, rows, seed=seed, counts=counts)), counts


def every(pairing: Pairing = "same_plan", **more: Any) -> RowsConfig:
    return RowsConfig(pairing=pairing, max_pairs_per_order=10_000, **more)


def answer(side: Any) -> str:
    (message,) = side
    assert message.role == "assistant"
    return str(message.content)


def sft(drawn: Drawn) -> tuple[str, str]:
    """(prompt, completion) of a row."""
    assert isinstance(drawn.row, SftRow)
    return _asked(drawn.row), answer(drawn.row.completion)


def dpo(drawn: Drawn) -> tuple[str, str, str]:
    """(prompt, chosen, rejected) of a row."""
    assert isinstance(drawn.row, DpoRow)
    return _asked(drawn.row), answer(drawn.row.chosen), answer(drawn.row.rejected)


def _asked(row: SftRow | DpoRow) -> str:
    return row.prompt[-1].content if row.prompt else ""


def verdict(text: str) -> str:
    return STYLE.read_chain(text).verdict


def plan_of(text: str) -> str | None:
    return STYLE.read_chain(text).plan


# -- SFT ---------------------------------------------------------------------------------------------------------------


def test_sft_takes_one_right_chain_per_pair_and_order() -> None:
    pairs = [labeled(str(i), "A" if i % 2 else "B") for i in range(20)]
    chains = [one for of in pairs for one in grid(of)]
    right = {(one.chain.pair_id, one.chain.order) for one in chains if one.outcome == "right"}
    drawn, counts = run(sft_rows, chains, pairs)
    assert len(drawn) == len(right)
    assert counts["orders_without_right"] == 40 - len(right)
    texts = {STYLE.chain_text(o.chain.plan, o.chain.execution, o.gold): o for o in chains if o.outcome == "right"}
    for one in drawn:
        source = texts[sft(one)[1]]
        pair = next(of.pair for of in pairs if of.pair.id == source.chain.pair_id)
        assert sft(one)[0] == STYLE.judge_prompt(pair.shown(source.chain.order)).messages[-1].content
        assert sft(one)[1].endswith(f"[[{one.gold}]]")
        assert one.gold == source.gold


def test_the_right_chain_is_drawn_at_random_and_not_the_first() -> None:
    pairs = [labeled(str(i)) for i in range(200)]
    chains = [chain(of, "ab", "Check.", sample) for of in pairs for sample in range(4)]
    drawn, _ = run(sft_rows, chains, pairs)
    found = Counter(sft(one)[1].split("#")[1][0] for one in drawn)
    assert all(30 <= found[str(sample)] <= 70 for sample in range(4)), found
    other, _ = run(sft_rows, chains, pairs, seed=1)
    assert sum(a != b for a, b in zip(drawn, other, strict=True)) > 100, "another seed must draw others"


def test_a_pair_that_was_never_judged_right_gives_no_row() -> None:
    of = labeled("x")
    drawn, counts = run(sft_rows, [chain(of, "ab", verdict="B"), chain(of, "ba", verdict="A")], [of])
    assert drawn == []
    assert counts == {"orders_without_right": 2}


# -- DPO ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pairing", get_args(Pairing))
def test_pairing_says_which_plans_may_meet(pairing: Pairing) -> None:
    """Every allowed combination is there once, and no other."""
    pairs = [labeled(str(i), "A" if i % 2 else "B") for i in range(6)]
    chains = [one for of in pairs for one in grid(of)]
    drawn, counts = run(dpo_rows, chains, pairs, every(pairing))
    expected: set[tuple[str, str]] = set()
    for _, group in groupby(chains, key=lambda one: (one.chain.pair_id, one.chain.order)):
        of_one = list(group)
        for a in of_one:
            for b in of_one:
                same = a.chain.plan == b.chain.plan
                if (a.outcome, b.outcome) == ("right", "wrong") and (pairing == "mixed" or same == (pairing == "same_plan")):
                    expected.add((a.chain.id, b.chain.id))
    texts = {(o.chain.pair_id, STYLE.chain_text(o.chain.plan, o.chain.execution, o.chain.verdict)): o.chain.id for o in chains}
    by_prompt = {STYLE.judge_prompt(of.pair.shown(order)).messages[-1].content: of.pair.id for of in pairs for order in ORDERS}
    found = [(texts[by_prompt[p], c], texts[by_prompt[p], r]) for p, c, r in map(dpo, drawn)]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert counts["over_cap"] == 0
    plans = {(plan_of(c) == plan_of(r)) for _, c, r in map(dpo, drawn)}
    assert plans == {"same_plan": {True}, "cross_plan": {False}, "mixed": {True, False}}[pairing]


def test_chosen_is_right_and_rejected_is_wrong_in_the_order_shown() -> None:
    for better in ("A", "B"):
        of = labeled("x", better)  # type: ignore[arg-type]
        drawn, _ = run(dpo_rows, grid(of), [of], every())
        assert len(drawn) > 10
        for one in drawn:
            prompt, chosen, rejected = dpo(one)
            order: Order = "ab" if prompt == STYLE.judge_prompt(of.pair).messages[-1].content else "ba"
            assert verdict(chosen) == of.gold(order) == one.gold
            assert verdict(rejected) not in (of.gold(order), "none")
            assert chosen.split("#")[0] == rejected.split("#")[0], "a row must not mix the chains of two orders"
            assert order in chosen


def test_the_cap_is_per_pair_and_order_and_what_it_leaves_out_is_counted() -> None:
    pairs = [labeled(str(i), "A" if i % 2 else "B") for i in range(10)]
    chains = [one for of in pairs for one in grid(of)]
    whole, _ = run(dpo_rows, chains, pairs, every())
    capped, counts = run(dpo_rows, chains, pairs, RowsConfig(max_pairs_per_order=2))
    by_prompt = Counter(dpo(one)[0] for one in whole)
    assert Counter(dpo(one)[0] for one in capped) == {prompt: min(2, n) for prompt, n in by_prompt.items()}
    assert counts["over_cap"] == len(whole) - len(capped)
    assert {one.key for one in capped} < {one.key for one in whole}


def test_an_order_without_contrast_is_counted() -> None:
    of = labeled("x")
    drawn, counts = run(dpo_rows, [chain(of), chain(of, sample=1), chain(of, "ba", verdict="A")], [of])
    assert drawn == []
    assert counts == {"orders_without_contrast": 2}


# -- forced verdicts ---------------------------------------------------------------------------------------------------


def forced(of: LabeledPair, order: Order = "ab", sample: int = 0, draw: float = 0.0, execution: str = "Some words.") -> JudgedChain:
    """A chain that named nothing, with a verdict read afterwards: A at draw 0, B at draw 1."""
    silent = chain(of, order, sample=sample, verdict="none", execution="Some words. And th", cut_off=True).chain
    read = ForcedVerdict(chain_id=silent.id, execution=execution, logp_a=-0.7, logp_b=-0.7)
    return judged(forced_chain(silent, read, draw=draw), of)


def test_forced_chains_train_only_where_the_config_says_so() -> None:
    of = labeled("x")
    chains = [forced(of, draw=0.0), forced(of, sample=1, draw=1.0), forced(of, "ba", draw=1.0)]
    assert [one.outcome for one in chains] == ["right", "wrong", "right"]
    for make in (sft_rows, dpo_rows):
        drawn, counts = run(make, chains, [of], every())
        assert drawn == []
        assert counts["forced"] == 3
        drawn, counts = run(make, chains, [of], every(train_forced=True))
        assert len(drawn) == (2 if make is sft_rows else 3)
        assert counts["forced"] == 0


@pytest.mark.parametrize("pairing", get_args(Pairing))
def test_forced_chains_enter_dpo_as_minimal_pairs_alone(pairing: Pairing) -> None:
    """Same plan, same execution, opposite verdict; never against another chain, because the text knew no verdict."""
    of = labeled("x")
    free = [chain(of, sample=s, verdict=v) for s, v in ((2, "A"), (3, "B"))]
    read = [forced(of, draw=0.0), forced(of, sample=1, draw=1.0)]
    drawn, _ = run(dpo_rows, free + read, [of], every(pairing, train_forced=True))
    minimal = [one for one in drawn if "Some words." in "".join(dpo(one)[1:])]
    assert len(minimal) == 2
    for one in minimal:
        _, chosen, rejected = dpo(one)
        assert chosen.endswith("[[A]]")
        assert rejected == chosen.removesuffix("[[A]]") + "[[B]]"
        assert one.gold == "A"
    assert len({one.key for one in drawn}) == len(drawn)
    assert len(drawn) - len(minimal) == (0 if pairing == "cross_plan" else 1)


def test_a_forced_chain_that_kept_no_whole_sentence_never_trains() -> None:
    of = labeled("x")
    for make in (sft_rows, dpo_rows):
        drawn, counts = run(make, [forced(of, execution="")], [of], every(train_forced=True))
        assert drawn == []
        assert counts["empty_execution"] == 1


# -- what never trains -------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "disagrees": ("disagrees", {"verdict": "none", "disagrees": True}),
    "cut off": ("cut_off", {"verdict": "none", "cut_off": True}),
    "silent": ("no_verdict", {"verdict": "none", "execution": ""}),
    "tie": ("tie", {"verdict": "tie"}),
    "empty, right": ("empty_execution", {"verdict": "A", "execution": ""}),
    "empty, wrong": ("empty_execution", {"verdict": "B", "execution": ""}),
    "plan-less, right": ("no_plan", {"verdict": "A", "plan": None}),
    "plan-less, wrong": ("no_plan", {"verdict": "B", "plan": None}),
    "plan empty": ("no_plan", {"verdict": "A", "plan": ""}),
    "plan names a verdict": ("plan_prejudges", {"verdict": "A", "plan": "Check it. [[A]]"}),
    "plan finds already, right": ("plan_prejudges", {"verdict": "A", "plan": "Answer A passes. Answer B fails."}),
    "plan finds already, wrong": ("plan_prejudges", {"verdict": "B", "plan": "Answer A fails."}),
    **{f"{tag} in execution": ("out_of_form", {"verdict": "A", "execution": f"so {tag} it"}) for tag in CHAIN_TAGS},
    **{f"{tag} in plan": ("out_of_form", {"verdict": "B", "plan": f"so {tag} it", "execution": "Words."}) for tag in CHAIN_TAGS},
    # The same faults in a chain that ended without a verdict, which else may stand as a rejected side.
    "silent and plan-less": ("no_verdict", {"verdict": "none", "plan": None}),
    "silent with a tag": ("no_verdict", {"verdict": "none", "execution": f"so {FINAL_VERDICT} it"}),
    "silent with a tag in its plan": ("no_verdict", {"verdict": "none", "plan": f"{EXECUTION_START} it", "execution": "Words."}),
}


@pytest.mark.parametrize("pairing", get_args(Pairing))
@pytest.mark.parametrize("name", BAD)
def test_a_chain_that_may_not_train_never_does_and_is_counted(name: str, pairing: Pairing) -> None:
    """Beside a right and a wrong chain of the same plan and of another, so that it would find somebody to be paired with."""
    reason, what = BAD[name]
    of = labeled("x")
    good = [chain(of, plan=p, sample=s, verdict=v) for p in ("Check.", "Other.") for s, v in ((1, "A"), (2, "B"))]
    more = dict(what)
    plan = more.pop("plan", "Check.")
    bad = chain(of, plan=plan, sample=9, **more)
    for make in (sft_rows, dpo_rows):
        without, before = run(make, good, [of], every(pairing, train_forced=True))
        drawn, counts = run(make, [*good, bad], [of], every(pairing, train_forced=True))
        assert drawn == without
        assert counts - before == {reason: 1}


def test_plans_are_asked_of_planning_judges_only() -> None:
    style = EvalPlannerStyle(plan_kind="none")
    of = labeled("x")
    chains = [chain(of, plan=None, verdict="A"), chain(of, plan=None, sample=1, verdict="B")]
    drawn, _ = run(sft_rows, chains, [of], style=style)
    assert sft(drawn[0])[1].startswith(EXECUTION_START)
    drawn, _ = run(dpo_rows, chains, [of], style=style)
    assert len(drawn) == 1
    assert PLAN_START not in "".join(dpo(drawn[0]))


@pytest.mark.parametrize("train_forced", [True, False])
def test_a_tie_never_trains_whichever_side_says_it(train_forced: bool) -> None:
    """A judge's tie, and a tie in the label: there is no verdict to teach, free or forced."""
    of = labeled("x", "tie")
    chains = [
        chain(of, verdict="A"), chain(of, sample=1, verdict="B"), chain(of, sample=2, verdict="tie"),
        chain(of, sample=3, verdict="none"), forced(of, sample=4),
    ]  # fmt: skip
    for make in (sft_rows, dpo_rows):
        drawn, counts = run(make, chains, [of], every("mixed", train_forced=train_forced))
        assert drawn == []
        assert counts["tie"] + counts["no_verdict"] + counts["forced"] == 5


# -- chains that ended without a verdict -------------------------------------------------------------------------------


def test_a_chain_that_ended_without_a_verdict_can_be_rejected() -> None:
    of = labeled("x")
    drawn, _ = run(dpo_rows, [chain(of), chain(of, sample=1, verdict="none")], [of])
    (one,) = drawn
    _, chosen, rejected = dpo(one)
    assert one.unparsed
    assert verdict(chosen) == "A"
    assert verdict(rejected) == "none"
    assert FINAL_VERDICT not in rejected
    assert STYLE.read_chain(rejected).execution == "Do x. ab Check. #1"
    assert run(dpo_rows, [chain(of, verdict="B"), chain(of, sample=1, verdict="none")], [of])[0] == [], "it is never chosen"


# -- balance -----------------------------------------------------------------------------------------------------------


def fake(key: str, gold: str, unparsed: bool = False) -> Drawn:
    content = f"{key} {gold}{' unparsed' * unparsed}"
    return Drawn(SftRow(prompt=(), completion=(Message(role="assistant", content=content),)), key, gold, key, unparsed)


def kept(drawn: list[Drawn], share: float) -> tuple[list[str], Counter[str]]:
    counts: Counter[str] = Counter()
    rows = list(balanced(lambda: iter(drawn), max_unparsed_share=share, counts=counts))
    return [answer(row.completion) for row in rows if isinstance(row, SftRow)], counts


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["A", "A", "B", "tie"]), st.booleans()), max_size=30),
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]),
)
def test_labels_are_balanced_and_the_unparsed_stay_few(made: list[tuple[str, bool]], share: float) -> None:
    drawn = [fake(digest(str(i)), gold, unparsed) for i, (gold, unparsed) in enumerate(made)]
    rows, counts = kept(drawn, share)
    golds = Counter(row.split()[1] for row in rows)
    assert golds["A"] == golds["B"]
    assert golds["tie"] == 0
    unparsed = sum("unparsed" in row for row in rows)
    assert unparsed <= share * len(rows), "the share is of the rows that train, not of those before balancing"
    contents = [sft(one)[1] for one in drawn]
    assert rows == [content for content in contents if content in rows], "rows keep their order"
    assert len(rows) + counts["over_unparsed_share"] + counts["surplus_of_one_label"] + sum(g == "tie" for g, _ in made) == len(
        made
    )
    # No more is left out than must be.
    parsed = Counter(gold for gold, is_unparsed in made if not is_unparsed)
    assert len(rows) >= 2 * min(parsed["A"], parsed["B"])
    if share == 1:
        every_gold = Counter(gold for gold, _ in made)
        assert len(rows) == 2 * min(every_gold["A"], every_gold["B"])


def test_the_share_is_used_up() -> None:
    drawn = [fake(f"{gold}{i}", gold, i >= 30) for gold in "AB" for i in range(60)]
    rows, counts = kept(drawn, 0.25)
    assert len(rows) == 80
    assert sum("unparsed" in row for row in rows) == 20
    assert counts["over_unparsed_share"] == 40
    assert len(kept(drawn, 0.0)[0]) == 60
    assert len(kept(drawn, 1.0)[0]) == 120


def test_what_balance_leaves_out_does_not_depend_on_the_order_of_the_rows() -> None:
    drawn = [fake(digest(str(i)), "AAB"[i % 3], i % 5 == 0) for i in range(60)]
    shuffled = random.Random(0).sample(drawn, len(drawn))
    assert set(kept(drawn, 0.1)[0]) == set(kept(shuffled, 0.1)[0])


def test_rows_are_drawn_twice_and_never_held() -> None:
    calls: list[int] = []
    taken = 0

    def draw() -> Iterator[Drawn]:
        nonlocal taken
        calls.append(0)
        taken = 0
        for i in range(100):
            taken += 1
            yield fake(str(i), "AB"[i % 2])

    rows = balanced(draw, max_unparsed_share=0.25, counts=Counter())
    for i, _ in enumerate(rows, 1):
        assert taken == i, "a row must be passed on before the next is made"
    assert len(calls) == 2


def test_one_label_alone_trains_nothing() -> None:
    assert kept([fake(str(i), "A") for i in range(5)], 1.0) == ([], Counter(surplus_of_one_label=5, over_unparsed_share=0))


def test_real_rows_come_out_balanced() -> None:
    """Labels that all stand in one slot still teach no slot: both orders are drawn, and the surplus goes."""
    pairs = [labeled(str(i)) for i in range(12)]
    chains = [one for of in pairs for one in grid(of)] + [
        chain(labeled("lone"), sample=s, verdict=v) for s, v in enumerate("AAABB")
    ]  # fmt: skip
    pairs.append(labeled("lone"))
    for make, side in ((sft_rows, "completion"), (dpo_rows, "chosen")):
        rows = list(
            balanced(lambda m=make: iter(run(m, chains, pairs)[0]), max_unparsed_share=0.25, counts=Counter())  # type: ignore[misc]
        )
        golds = Counter(verdict(answer(getattr(row, side))) for row in rows)
        assert golds["A"] == golds["B"] > 5


def test_a_group_trains_only_where_each_of_its_pairs_is_right_in_both_orders(tmp_path: Path) -> None:
    twins = {
        name: [labeled(f"{name}{i}").model_copy(update={"group": name}) for i in range(2)] for name in ("whole", "torn", "lost")
    }
    alone = labeled("alone")  # no group: the pair is one itself
    pairs = [*twins["whole"], *twins["torn"], *twins["lost"], alone]
    wrong = {(twins["torn"][1].pair.id, "ba")}
    lost = twins["lost"][0].pair.id  # not one chain: its plan was cut off
    chains = [
        chain(of, order, verdict=of.gold(order) if (of.pair.id, order) not in wrong else flip(of.gold(order)))
        for of in pairs for order in ORDERS if of.pair.id != lost
    ]  # fmt: skip
    write_jsonl(tmp_path / "pairs.jsonl", pairs)
    counts: Counter[str] = Counter()
    every = whole_groups(lambda: run(sft_rows, chains, pairs)[0], tmp_path / "pairs.jsonl", counts)
    kept_ids = [one.pair_id for one in every()]
    assert kept_ids == [of.pair.id for of in [*twins["whole"], alone] for _ in ORDERS]
    assert [one.pair_id for one in every()] == kept_ids, "it is read more than once"
    assert counts == {"group_not_whole": 3 + 2}


# -- the same chains, the same rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sft_rows, dpo_rows])
@pytest.mark.parametrize("pairing", get_args(Pairing))
def test_rows_depend_on_chains_and_seed_and_not_on_who_finished_first(make: Any, pairing: Pairing) -> None:
    pairs = [labeled(str(i), "A" if i % 2 else "B") for i in range(8)]
    groups = []
    for of in pairs:
        of_one = [*grid(of), *(forced(of, order, 50 + s, s % 2) for order in ORDERS for s in range(4))]
        groups += [[one for one in of_one if one.chain.order == order] for order in ORDERS]
    rows = RowsConfig(pairing=pairing, max_pairs_per_order=3, train_forced=True)
    first = run(make, [one for group in groups for one in group], pairs, rows)
    assert first[0]
    assert run(make, [one for group in groups for one in group], pairs, rows) == first
    rng = random.Random(0)
    for _ in range(3):
        mixed = [one for group in groups for one in rng.sample(group, len(group))]
        assert run(make, mixed, pairs, rows) == first
    # Whole groups may come in another order, as pairs do in another file: the rows only move.
    moved = [one for group in rng.sample(groups, len(groups)) for one in group]
    assert sorted(run(make, moved, pairs, rows)[0], key=str) == sorted(first[0], key=str)
    assert run(make, mixed, pairs, rows, seed=1)[0] != first[0]


def test_a_key_names_one_row() -> None:
    of = labeled("x")
    chains = [*grid(of), forced(of, sample=50), forced(of, "ba", 50), chain(of, plan="Plan 0.", sample=60, verdict="none")]
    chains.sort(key=lambda one: one.chain.order)
    for make in (sft_rows, dpo_rows):
        drawn, _ = run(make, chains, [of], every("mixed", train_forced=True))
        assert len({one.key for one in drawn}) == len(drawn)


# -- prompts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sft_rows, dpo_rows])
def test_a_prompt_is_the_same_whichever_response_is_better(make: Any) -> None:
    prompts = []
    for better in ("A", "B"):
        of = labeled("x", better)  # type: ignore[arg-type]
        chains = [chain(of, order, sample=s, verdict=v) for order in ORDERS for s, v in enumerate("AB")]
        drawn, _ = run(make, chains, [of])
        prompts.append([one.row.prompt for one in drawn])
    assert len(prompts[0]) == 2
    assert prompts[0] == prompts[1]
    assert prompts[0] == [STYLE.judge_prompt(labeled("x").pair.shown(order)).messages for order in ORDERS]


def test_the_verdict_only_control_says_the_gold_verdict_and_nothing_else() -> None:
    for better in ("A", "B"):
        of = labeled("x", better)  # type: ignore[arg-type]
        rows = list(verdict_only_rows([(of.pair, of.gold(order), order) for order in ORDERS], STYLE))
        assert [answer(row.completion) for row in rows] == [f"{FINAL_VERDICT}\n[[{of.gold(order)}]]" for order in ORDERS]
        assert [row.prompt for row in rows] == [STYLE.judge_prompt(of.pair.shown(order)).messages for order in ORDERS]
        assert [verdict(answer(row.completion)) for row in rows] == [of.gold("ab"), of.gold("ba")]


def test_rows_are_what_the_trainer_reads() -> None:
    of = labeled("x")
    sft_row = run(sft_rows, grid(of), [of])[0][0].row.model_dump()
    dpo_row = run(dpo_rows, grid(of), [of])[0][0].row.model_dump()
    assert list(sft_row) == ["prompt", "completion"]
    assert list(dpo_row) == ["prompt", "chosen", "rejected"]
    for row in (sft_row, dpo_row):
        for side in row.values():
            assert all(message.keys() == {"role", "content"} for message in side)
    assert [message["role"] for message in sft_row["prompt"]] == ["system", "user"]
    assert re.search(r"\[\[[AB]\]\]\Z", sft_row["completion"][0]["content"])


def test_rows_spell_no_special_token_of_the_tokenizer_that_reads_them() -> None:
    """What an engine breaks in its prompts the trainer must read broken as well, in prompt and answer."""
    prompt, answer = Message(role="user", content="<s>a</s> <code>"), Message(role="assistant", content="plan </s> [[A]]")
    sft, dpo = SftRow(prompt=(prompt,), completion=(answer,)), DpoRow(prompt=(prompt,), chosen=(answer,), rejected=(prompt,))
    broken_sft, broken_dpo = broken([sft, dpo], ("<s>", "</s>"))
    assert broken_sft.prompt[0].content == "< s>a< /s> <code>"
    assert broken_sft.completion[0] == Message(role="assistant", content="plan < /s> [[A]]")
    assert broken_dpo.prompt == broken_sft.prompt == broken_dpo.rejected
    assert list(broken([sft, dpo], ())) == [sft, dpo]


@pytest.mark.parametrize(
    ("steps", "rows", "batch", "seen"),
    [(2, 5, 4, 1.0), (4, 5, 4, 2.0), (3, 5, 4, 1.8), (1, 8, 4, 0.5), (1, 3, 4, 1.0), (165, 2628, 16, 1.0)],
)
def test_a_last_batch_that_is_not_full_is_not_counted_as_if_it_were(steps: int, rows: int, batch: int, seen: float) -> None:
    assert passes(steps, rows, batch) == pytest.approx(seen)
