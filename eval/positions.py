"""How far a judge is swayed by positions, in JudgeLM's words (arXiv 2310.17631, section 4): over pairs that were asked in both orders.

JudgeLM counts an answer that cannot be read as a tie; here it is a verdict of its own, which agrees with nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from planner.records import Record, Verdict


class Positions(Record):
    """Shares of the pairs asked in both orders."""

    n: int
    consistency: float
    """Both orders name the same response, or both a tie."""
    bias_first: float
    """The orders differ, and in favour of the response shown first."""
    bias_second: float
    delta_bias: float
    """The distance of the two above."""
    total_bias: float
    """Their sum."""
    unread: float
    """Pairs with an order that names no verdict; in none of the above."""


def positions(said: Iterable[tuple[Verdict, Verdict]]) -> Positions:
    """Count the verdicts on pairs as they stand and swapped, both in the naming of the pair as it stands; all shares are 0 of no pair."""
    n = first = second = same = unread = 0
    for one, other in said:
        n += 1
        if "none" in (one, other):
            unread += 1
        elif one == other:
            same += 1
        else:
            # What the response shown first gained over the other order: A counts 1, B -1, a tie 0.
            worth = {"A": 1, "B": -1, "tie": 0}
            if worth[one] > worth[other]:
                first += 1
            else:
                second += 1
    share = 1 / n if n else 0.0
    return Positions(
        n=n, consistency=same * share, bias_first=first * share, bias_second=second * share,
        delta_bias=abs(first - second) * share, total_bias=(first + second) * share, unread=unread * share,
    )  # fmt: skip
