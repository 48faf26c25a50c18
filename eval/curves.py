"""How a judge's scores move: with the probability that it states, with how sure it is, and with how often it is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.judged import Ballots, Judged, VoteRule
from planner.records import Record
from rewards.score import Interval, score

_BINS = 10
_COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


# -- calibration -------------------------------------------------------------------------------------------------------


class Bin(Record):
    """Judgments whose P(A) lies in one tenth."""

    n: int
    mean_p: float
    share_a: float
    """How often the response shown as A is the better one."""


class Coverage(Record):
    """The pairs that a judge is surest of."""

    coverage: float
    accuracy: float


class Calibration(Record):
    """P(A) against what is so. Labels that are ties, and judgments without P(A), are left out."""

    n: int
    """Judgments."""
    ece: float
    """Mean gap between P(A) and how often A is better, over ten bins, weighted by judgments."""
    brier: float
    bins: tuple[Bin, ...]
    coverage: tuple[Coverage, ...]
    """Accuracy over pairs in the order of |mean P(A) - 1/2|."""


def calibration(judged: Sequence[Judged]) -> Calibration | None:
    """None where the judge gave no probabilities."""
    asked = [
        (chain.p_a, float(one.labeled.gold(order) == "A"))
        for one in judged
        for order, chain in one.chains.items()
        if one.labeled.better != "tie" and chain.p_a is not None
    ]
    if not asked:
        return None
    p, is_a = np.array(asked).T  # (judgments,) each
    which = np.minimum((p * _BINS).astype(int), _BINS - 1)
    bins = [
        Bin(n=int((which == b).sum()), mean_p=float(p[which == b].mean()), share_a=float(is_a[which == b].mean()))
        for b in range(_BINS)
        if (which == b).any()
    ]
    return Calibration(
        n=len(p),
        ece=sum(b.n * abs(b.mean_p - b.share_a) for b in bins) / len(p),
        brier=float(((p - is_a) ** 2).mean()),
        bins=tuple(bins),
        coverage=_coverage(judged),
    )


def _coverage(judged: Sequence[Judged]) -> tuple[Coverage, ...]:
    sure = []
    for one in judged:
        found = [one.p_a(order) for order in one.chains]
        stated = [p for p in found if p is not None]
        if one.labeled.better == "tie" or len(stated) < len(found):
            continue
        p = sum(stated) / len(stated)
        sure.append((abs(p - 0.5), (p > 0.5) == (one.labeled.better == "A") and p != 0.5))
    # Equally sure pairs keep the order of the benchmark; their own hits must not sort them.
    sure.sort(key=lambda entry: -entry[0])
    return tuple(
        Coverage(coverage=share, accuracy=sum(hit for _, hit in sure[:n]) / n)
        for share in _COVERAGES
        if (n := round(share * len(sure))) > 0
    )


# -- votes -------------------------------------------------------------------------------------------------------------


class VotePoint(Record):
    """What k chains an order come to under a rule."""

    votes: int
    rule: VoteRule
    accuracy: float
    """Right judgments / judgments."""
    position_consistent: float
    ci95: Interval
    """Of `position_consistent`."""
    tokens: float
    """Generated a pair, both orders."""


def vote_curve(ballots: Sequence[Ballots], *, seed: int = 0) -> list[VotePoint]:
    """Self-consistency at 1, 2, 4, … and all votes, by majority and by mean P(A); empty where each order was asked once."""
    # A pair that was too long to be asked has no votes, and says nothing at any number of them.
    most = max(len(chains) for one in ballots for chains in one.chains.values())
    if most < 2:
        return []
    sizes = sorted({2**i for i in range(most.bit_length())} | {most})
    points = []
    rules: tuple[VoteRule, ...] = ("majority", "mean_p")
    for rule in rules:
        for votes in (size for size in sizes if size <= most):
            found = score([one.elected(rule, votes) for one in ballots], seed=seed)
            points.append(
                VotePoint(
                    votes=votes, rule=rule, accuracy=found.accuracy, position_consistent=found.position_consistent,
                    ci95=found.ci95["position_consistent"], tokens=2 * found.tokens,
                )
            )  # fmt: skip
    return points
