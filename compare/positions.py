"""How far a judge is swayed by positions, in JudgeLM's words (arXiv 2310.17631, section 4): over matches that were asked in both orders.

JudgeLM counts an answer that cannot be read as a tie; here it is a verdict of its own, which agrees with nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from planner.records import Judgment, Record


class Positions(Record):
    """Shares of the matches asked in both orders."""

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
    """Matches with an order that names no verdict; in none of the above."""


def positions(judgments: Iterable[Judgment | None]) -> Positions:
    """Count. A match that was not asked in both orders is left out; all fractions are 0 where none was."""
    both = [judgment.orders for judgment in judgments if judgment is not None and len(judgment.orders) == 2]
    first = second = same = unread = 0
    for one, other in both:
        if "none" in (one.verdict, other.verdict):
            unread += 1
        elif one.verdict == other.verdict:
            same += 1
        else:
            # What the response shown first gained over the other order: A counts 1, B -1, a tie 0, in the pair's naming.
            worth = {"A": 1, "B": -1, "tie": 0}
            if worth[one.verdict] > worth[other.verdict]:
                first += 1
            else:
                second += 1
    n = len(both)
    share = 1 / n if n else 0.0
    return Positions(
        n=n, consistency=same * share, bias_first=first * share, bias_second=second * share,
        delta_bias=abs(first - second) * share, total_bias=(first + second) * share, unread=unread * share,
    )  # fmt: skip
