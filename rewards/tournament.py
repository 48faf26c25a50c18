"""Who meets whom among n players, round by round, and what the results are worth. Numbers only: no judge, no text.

A schedule is a generator. It yields the matches of a round, is sent all results so far, and ends when there is nothing left to
ask; so the rounds of many groups can go to an engine together. A result is P(first beats second), and a match without a
readable result is simply absent. Players come in a drawn order, which is all the randomness there is.

`bench/reward.py` measures each strategy against random pairs of the same number.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.special import expit

from rewards.ratings import bradley_terry

Strategy = Literal["all_pairs", "circular", "pivot", "swiss", "knockout"]
"""`all_pairs`: n(n-1)/2 matches. `circular`: n, each player against the next. `pivot`: n-1, all against one (a reference answer where
there is one). `swiss`: log2(n) rounds of n/2, equals against equals. `knockout`: n-1, winners go on; for picking the best of n."""
Match = tuple[int, int]
Results = Mapping[Match, float]
Schedule = Generator[list[Match], Results, None]

GAMES = 2
"""What a match counts as in a fit: one game in each order."""
_DIGITS = 6
"""Equal results must be equal rewards, and a numerical fit is only nearly so."""


def schedule(strategy: Strategy, n: int) -> Schedule:
    """The rounds of a strategy among players 0 … n-1, n at least 2. `pivot`'s anchor is player 0."""
    match strategy:
        case "all_pairs":
            yield list(combinations(range(n), 2))
        case "circular":
            yield [(i, (i + 1) % n) for i in range(n if n > 2 else 1)]
        case "pivot":
            yield [(i, 0) for i in range(1, n)]
        case "swiss":
            yield from _swiss(n)
        case "knockout":
            yield from _knockout(n)


def _swiss(n: int) -> Schedule:
    """Neighbours in the standings meet, unless they have met. An odd one out sits a round out."""
    met: set[Match] = set()
    standings = list(range(n))
    for _ in range(math.ceil(math.log2(n))):
        free, matches = list(standings), []
        while len(free) > 1:
            a = free.pop(0)
            b = next((b for b in free if frozenset((a, b)) not in {frozenset(m) for m in met}), None)
            if b is not None:
                free.remove(b)
                matches.append((a, b))
        if not matches:
            return
        met.update(matches)
        results = yield matches
        strength = strengths(n, results)
        standings.sort(key=lambda i: -strength[i])


def _knockout(n: int) -> Schedule:
    """Losers leave. An odd one out goes on unplayed, and so does the one drawn first where a match gave no result."""
    alive = list(range(n))
    while len(alive) > 1:
        matches = list(zip(alive[::2], alive[1::2], strict=False))
        results = yield matches
        winners = [a if results.get((a, b), 0.5) >= 0.5 else b for a, b in matches]
        alive = winners + alive[2 * len(matches) :]


def strengths(n: int, results: Results, *, prior: float = 1.0) -> list[float]:
    """Bradley-Terry log-strengths of n players, rounded; 0 is the prior's player."""
    wins = np.zeros((n, n))
    for (a, b), p in results.items():
        wins[a, b] += GAMES * p
        wins[b, a] += GAMES * (1 - p)
    return [round(float(s), _DIGITS) for s in bradley_terry(wins, prior=prior)]


def fitted(n: int, results: Results, *, prior: float = 1.0) -> list[float | None]:
    """Rewards by Bradley-Terry: each player's chance against the prior's player of strength 0. None for who has no result."""
    played = {player for match in results for player in match}
    return [round(float(expit(s)), _DIGITS) if i in played else None for i, s in enumerate(strengths(n, results, prior=prior))]


def win_rates(n: int, results: Results) -> list[float | None]:
    """Rewards by win rate: the mean over a player's matches of the probability that he won. None for who has no result."""
    scores: list[list[float]] = [[] for _ in range(n)]
    for (a, b), p in results.items():
        scores[a].append(p)
        scores[b].append(1 - p)
    return [round(math.fsum(found) / len(found), _DIGITS) if found else None for found in scores]


def against_anchor(n: int, results: Results) -> list[float | None]:
    """Rewards by the chance to beat player 0, who has one half himself if anybody's match against him gave a result."""
    rewards: list[float | None] = [round(results[i, 0], _DIGITS) if (i, 0) in results else None for i in range(n)]
    rewards[0] = 0.5 if results else None
    return rewards
