"""What is measured: a labelled pair and what a judge said of it, in one order or in both.

A published judge's output file and our own run end in the same `Judged`, so every metric is written once. Where a judge was
asked k times, `Ballots` holds all of its chains, and `elect` makes the one chain that stands for them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from planner.records import Chain, Completion, LabeledPair, Order, Verdict, flip

VoteRule = Literal["majority", "mean_p"]
"""`majority`: the verdict that most chains name; a draw names none. `mean_p`: the side that the mean P(A) leans to."""

_REFUSAL = re.compile(
    r"(?:sorry\b|apologi[sz]e|as an ai\b|i (?:can ?not|can['’]t|am (?:unable|not able)|won['’]t)\b)",
    re.IGNORECASE,
)
_REFUSAL_WITHIN = 200
"""A refusal opens the answer; the same words far inside one speak of the responses."""


class Judged(NamedTuple):
    """One pair and one chain an order."""

    labeled: LabeledPair
    chains: Mapping[Order, Chain]

    def said(self, order: Order) -> Verdict:
        """The verdict in the naming of the pair as it stands."""
        verdict = self.chains[order].verdict
        return flip(verdict) if order == "ba" else verdict

    def p_a(self, order: Order) -> float | None:
        """P(`response_a` is better), whatever the order shown."""
        p_a = self.chains[order].p_a
        return 1 - p_a if p_a is not None and order == "ba" else p_a

    def right(self, order: Order) -> bool:
        """A verdict that was not named is never right."""
        return self.said(order) == self.labeled.better

    @property
    def both_right(self) -> bool:
        """Right in both orders: what position-consistent accuracy counts."""
        return len(self.chains) == 2 and all(self.right(order) for order in self.chains)

    @property
    def wins_a(self) -> float:
        """What `response_a` took of the orders asked: 1 for a win, 1/2 for a tie or no verdict; their mean."""
        points: dict[Verdict, float] = {"A": 1.0, "B": 0.0, "tie": 0.5, "none": 0.5}
        return sum(points[self.said(order)] for order in self.chains) / len(self.chains)


class Ballots(NamedTuple):
    """One pair and all chains drawn of it, by order."""

    labeled: LabeledPair
    chains: Mapping[Order, Sequence[Chain]]

    def elected(self, rule: VoteRule = "majority", votes: int | None = None) -> Judged:
        """One chain an order, by the first `votes` of its chains (None: all)."""
        return Judged(self.labeled, {order: elect(chains[:votes], rule) for order, chains in self.chains.items()})


def elect(chains: Sequence[Chain], rule: VoteRule) -> Chain:
    """The first chain that says what all say, with their mean P(A) and their tokens added up. A single chain stays as it is."""
    if len(chains) == 1 and rule == "majority":
        return chains[0]
    stated = [chain.p_a for chain in chains if chain.p_a is not None and chain.verdict != "none"]
    p_a = sum(stated) / len(stated) if stated else None
    verdict: Verdict = "none"
    if rule == "majority":
        named = Counter(chain.verdict for chain in chains if chain.verdict != "none").most_common(2)
        if named and (len(named) == 1 or named[0][1] > named[1][1]):
            verdict = named[0][0]
    elif p_a is not None and p_a != 0.5:
        verdict = "A" if p_a > 0.5 else "B"
    for_it = [chain for chain in chains if chain.verdict == verdict]
    speaker = for_it[0] if for_it else chains[0]
    completion = speaker.completion.model_copy(update={"tokens": sum(chain.completion.tokens for chain in chains)})
    return speaker.model_copy(
        update={
            "completion": completion,
            "verdict": verdict,
            "p_a": p_a,
            "forced": bool(for_it) and all(chain.forced for chain in for_it) and verdict != "none",
            "cut_off": verdict == "none" and all(chain.cut_off for chain in chains),
            "disagrees": verdict == "none" and all(chain.disagrees for chain in chains),
        }
    )


def chain_of(labeled: LabeledPair, order: Order, verdict: Verdict, text: str = "") -> Chain:
    """The chain of a published judge, of whom only a verdict (in the naming of the pair as it stands) and perhaps a text is known."""
    completion = Completion(text=text, finish_reason="stop", tokens=0)
    return Chain(
        pair_id=labeled.pair.id, order=order, plan_id="", plan=None, sample=0, completion=completion, execution=text,
        verdict=flip(verdict) if order == "ba" else verdict, p_a=None,
    )  # fmt: skip


def refused(chain: Chain) -> bool:
    """Whether a chain without a verdict opens like a refusal."""
    return chain.verdict == "none" and _REFUSAL.search(chain.completion.text[:_REFUSAL_WITHIN]) is not None
