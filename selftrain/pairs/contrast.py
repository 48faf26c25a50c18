"""Which of a prompt's good responses meets which of its bad ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from planner.records import digest


def contrasts(good: Sequence[str], bad: Sequence[str], most: int, seed: int, key: str) -> Iterator[tuple[str, str]]:
    """At most `most` (good, bad) pairs of different texts, drawn by hash, each response used once before any is used again."""
    goods, bads = list(dict.fromkeys(good)), [one for one in dict.fromkeys(bad) if one not in set(good)]
    drawn = sorted(product(goods, bads), key=lambda pair: digest("contrast", str(seed), key, *pair))
    used: dict[str, int] = {}
    for _ in range(min(most, len(drawn))):
        best = min(drawn, key=lambda pair: used.get(pair[0], 0) + used.get(pair[1], 0))
        drawn.remove(best)
        for one in best:
            used[one] = used.get(one, 0) + 1
        yield best
