"""From judged chains to training rows, in TRL's conversational form.

SFT: one random right chain per pair and order (paper, section 2.3: per instruction). DPO (section 2.2): right against wrong chains of
one pair in one order; under `same_plan` they also share the plan, whose tokens then cancel in the DPO margin. The prompt is always the
judge prompt; the target is assembled from plan, execution and verdict in the structured form.

Rows are drawn by a hash of their identity, so they depend on nothing but the chains and the seed. Memory is one pair's
chains at a time, plus a small integer per row for balancing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, product
from pathlib import Path
from typing import NamedTuple, TypeVar

from planner.records import LETTERS, ORDERS, Chain, JudgedChain, Label, LabeledPair, Message, Order, Pair, Record, digest
from planner.store import read_jsonl
from planner.styles.evalplanner import EvalPlannerStyle
from prompts import CHAIN_TAGS, break_tokens
from rewards.support import prejudges
from selftrain.config import RowsConfig


class SftRow(Record):
    """TRL's prompt-completion row."""

    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]


class DpoRow(Record):
    """TRL's preference row with an explicit prompt."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]


class Drawn(NamedTuple):
    """A row and what balancing needs to know of it."""

    row: SftRow | DpoRow
    pair_id: str
    gold: str
    key: str
    unparsed: bool = False
    """The rejected side named no verdict."""


Row = TypeVar("Row", bound=Record)
PairOf = Callable[[str], Pair]


def why_not(judged: JudgedChain, style: EvalPlannerStyle, rows: RowsConfig) -> str | None:
    """Why a chain may not train; None where it may. The reasons are counted and printed."""
    chain = judged.chain
    if chain.disagrees:
        return "disagrees"
    if judged.outcome in ("cut_off", "no_verdict"):
        return judged.outcome
    if not style.ties and "tie" in (chain.verdict, judged.gold):
        return "tie"
    if chain.forced and not rows.train_forced:
        return "forced"
    return _bad_text(chain, style)


def _bad_text(chain: Chain, style: EvalPlannerStyle) -> str | None:
    """Why a chain's text may stand on neither side of a row, whatever its verdict."""
    found = style.execution_form == "findings" and chain.forced
    if not chain.execution or not (found or chain.completion.text.strip()):  # a prefill alone is no execution
        return "empty_execution"
    if style.plans and not chain.plan:
        return "no_plan"
    if any(tag in f"{chain.plan}\n{chain.execution}" for tag in CHAIN_TAGS):
        return "out_of_form"
    if chain.plan and prejudges(chain.plan):
        return "plan_prejudges"  # it would make the execution a formality, and P(A) be read after the fact
    return None


def sft_rows(
    chains: Iterable[JudgedChain], pair_of: PairOf, style: EvalPlannerStyle, rows: RowsConfig, *, seed: int, counts: Counter[str]
) -> Iterator[Drawn]:
    """One random right chain per pair and order. Chains come grouped by pair and order."""
    for (pair_id, order), group in groupby(chains, key=lambda one: (one.chain.pair_id, one.chain.order)):
        usable = list(_usable(group, style, rows, counts))
        right = [one for one in usable if one.outcome == "right"]
        if not right:
            counts["orders_without_right"] += 1
            continue
        chosen = min(right, key=lambda one: digest("sft", str(seed), one.chain.id))
        pair = pair_of(pair_id).shown(order)
        row = SftRow(prompt=style.judge_prompt(pair).messages, completion=_answer(style, chosen.chain))
        yield Drawn(row, pair_id, chosen.gold, digest(pair_id, order))


def dpo_rows(
    chains: Iterable[JudgedChain], pair_of: PairOf, style: EvalPlannerStyle, rows: RowsConfig, *, seed: int, counts: Counter[str]
) -> Iterator[Drawn]:
    """Right against wrong chains of one pair in one order, at most `max_pairs_per_order`."""
    for (pair_id, order), group in groupby(chains, key=lambda one: (one.chain.pair_id, one.chain.order)):
        judged = list(group)
        prompt = style.judge_prompt(pair_of(pair_id).shown(order)).messages
        found = list(_contrasts(judged, style, rows, counts))
        if not found:
            counts["orders_without_contrast"] += 1
            continue
        found.sort(key=lambda pair: digest("dpo", str(seed), pair[0].id, pair[1].id, pair[1].verdict))
        counts["over_cap"] += max(0, len(found) - rows.max_pairs_per_order)
        for chosen, rejected, gold in found[: rows.max_pairs_per_order]:
            row = DpoRow(prompt=prompt, chosen=_answer(style, chosen), rejected=_answer(style, rejected))
            yield Drawn(row, pair_id, gold, digest(chosen.id, rejected.id, rejected.verdict), rejected.verdict == "none")


def _contrasts(
    judged: list[JudgedChain], style: EvalPlannerStyle, rows: RowsConfig, counts: Counter[str]
) -> Iterator[tuple[Chain, Chain, str]]:
    """(chosen, rejected, gold) for every allowed combination within one pair and order."""
    usable = list(_usable(judged, style, rows, counts))
    free = [one for one in usable if not one.chain.forced]
    right = [one for one in free if one.outcome == "right"]
    wrong = [one for one in free if one.outcome == "wrong"]
    # A chain that came to its end without a verdict is a wrong answer too, as long as its text can be told from a right one.
    silent = [one for one in judged if one.outcome == "no_verdict" and not one.chain.disagrees]
    wrong += [one for one in silent if _bad_text(one.chain, style) is None]
    not_left_out = set()
    for a, b in product(right, wrong):
        same = a.chain.plan_id == b.chain.plan_id
        if rows.pairing == "mixed" or same == (rows.pairing == "same_plan"):
            yield a.chain, b.chain, a.gold
            if b.outcome == "no_verdict":
                not_left_out.add(b.chain.id)
    if not_left_out:
        counts["no_verdict"] -= len(not_left_out)
    # The text of a forced chain was written before its verdict was drawn, so only the verdict may differ, and what it found.
    for one in usable:
        if one.chain.forced:
            yield _said(one.chain, one.gold, style), _said(one.chain, _other(one, style), style), one.gold


def _other(judged: JudgedChain, style: EvalPlannerStyle) -> Label:
    """The verdict to reject beside the right one: the chain's own where that was wrong, else one of the others, by hash."""
    others = [label for label in style.labels if label != judged.gold]
    own = [label for label in others if label == judged.chain.verdict]
    return min(own or others, key=lambda label: digest("other", judged.chain.id, label))


def _said(chain: Chain, verdict: Label, style: EvalPlannerStyle) -> Chain:
    """A forced chain with another verdict; an execution that is a finding is that verdict's."""
    found = {"execution": style.finding(verdict)} if chain.execution in map(style.finding, style.labels) else {}
    return chain.model_copy(update={"verdict": verdict, **found})


def whole_groups(drawn: Callable[[], Iterable[Drawn]], pairs: Path, counts: Counter[str]) -> Callable[[], Iterable[Drawn]]:
    """Only the rows of groups of which every pair has one in both orders. Memory is an id a pair.

    Args:
        drawn: called twice, and again by whoever calls what is returned; must give the same rows.
        pairs: the file of labelled pairs that the rows were drawn from.
    """
    found = Counter(one.pair_id for one in drawn())
    torn = {one.cluster for one in read_jsonl(pairs, LabeledPair) if found[one.pair.id] < len(ORDERS)}
    kept = {one.pair.id for one in read_jsonl(pairs, LabeledPair) if one.cluster not in torn}
    counts["group_not_whole"] += sum(n for pair_id, n in found.items() if pair_id not in kept)
    return lambda: (one for one in drawn() if one.pair_id in kept)


def balanced(
    drawn: Callable[[], Iterable[Drawn]], *, max_unparsed_share: float, counts: Counter[str], labels: tuple[Label, ...] = ("A", "B")
) -> Iterator[SftRow | DpoRow]:
    """Rows with as many of each gold label, and no more unparsed rejected sides than the share allows.

    `drawn` is called twice and must give the same rows, so that they need not be held: the first pass keeps one key a row.
    """
    first = [(one.key, one.gold, one.unparsed) for one in drawn()]
    # By hash, unparsed ones last: what must go is taken from the end, so the share holds for the rows that stay.
    by_gold = [sorted((unparsed, key) for key, gold, unparsed in first if gold == label) for label in labels]
    parsed = [sum(not unparsed for unparsed, _ in keys) for keys in by_gold]
    even = size = min(map(len, by_gold))
    while sum(max(0, size - n) for n in parsed) > max_unparsed_share * (len(labels) * size):
        size -= 1
    counts["surplus_of_one_label"] += sum(len(keys) - even for keys in by_gold)
    counts["over_unparsed_share"] += len(labels) * (even - size)
    kept = {key for keys in by_gold for _, key in keys[:size]}
    for one in drawn():
        if one.key in kept:
            yield one.row


def verdict_only_rows(pairs: Iterable[tuple[Pair, Label, Order]], style: EvalPlannerStyle) -> Iterator[SftRow]:
    """The control: the gold verdict alone, no plan and no execution, under the same prompt (paper, Table 6, row 2)."""
    for pair, gold, order in pairs:
        completion = Message(role="assistant", content=f"[Final Verdict]\n[[{LETTERS[gold]}]]")
        yield SftRow(prompt=style.judge_prompt(pair.shown(order)).messages, completion=(completion,))


def broken(rows: Iterable[Row], special: tuple[str, ...]) -> Iterator[Row]:
    """Rows in which no response or text of a judge can spell a special token: the trainer reads what an engine would."""

    def inert(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple(one.model_copy(update={"content": break_tokens(one.content, special)}) for one in messages)

    for row in rows:
        yield row.model_copy(update={side: inert(messages) for side, messages in row if isinstance(messages, tuple)})


def _usable(
    judged: Iterable[JudgedChain], style: EvalPlannerStyle, rows: RowsConfig, counts: Counter[str]
) -> Iterator[JudgedChain]:
    for one in judged:
        reason = why_not(one, style, rows)
        if reason is None:
            yield one
        else:
            counts[reason] += 1


def _answer(style: EvalPlannerStyle, chain: Chain) -> tuple[Message, ...]:
    plan = chain.plan if style.plans else None
    if chain.verdict == "none":
        # The end of a chain that stopped without naming one: everything but the verdict.
        text = style.forcing_text(plan, chain.execution).removesuffix("\n[Final Verdict]\n[[")
    else:
        text = style.chain_text(plan, chain.execution, chain.verdict)
    return (Message(role="assistant", content=text),)
