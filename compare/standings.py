"""What matches add up to: who beat whom how often, how strong everybody is, and who may be called better.

A tie is half a win for each. A match without a verdict is counted, shown, and no part of a rating.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

import numpy as np

from eval.positions import Positions
from planner.records import Record, Verdict
from rewards.ratings import bradley_terry, elo


class Game(NamedTuple):
    """One question's match between two candidates; `verdict` calls the first one A."""

    question: int
    first: str
    second: str
    verdict: Verdict


class Triple(NamedTuple):
    """The first's wins, losses and ties against the second, and matches without a verdict."""

    wins: int
    losses: int
    ties: int
    none: int = 0


class Standing(Record):
    """One candidate among all."""

    name: str
    strength: float
    """Bradley-Terry, natural log; with the prior of `rewards.ratings`."""
    elo: float
    """The same on the Elo scale; 1000 is the prior's player."""
    elo_ci95: tuple[float, float]
    """Percentile bootstrap over questions."""
    wins: int
    losses: int
    ties: int
    none: int


class Edge(NamedTuple):
    """Two candidates and how many more matches the better one won than it lost."""

    better: str
    worse: str
    gap: int
    similar: bool
    """The gap is under the threshold, so neither may be called better."""


class Summary(Record):
    """A whole comparison, in numbers."""

    questions: int
    judge: dict[str, Any]
    standings: tuple[Standing, ...]
    triples: dict[str, dict[str, Triple]]
    """Of the row's candidate against the column's: wins, losses, ties, matches without a verdict."""
    threshold: int
    cycle: tuple[str, ...] | None
    """Candidates each of which beats the next, the last the first: there is no order. None: there is one."""
    positions: Positions


def triples(names: Sequence[str], games: Iterable[Game]) -> dict[tuple[str, str], Triple]:
    """Results of every two candidates that met, both ways round."""
    counts: dict[tuple[str, str], Counter[Verdict]] = {}
    for game in games:
        counts.setdefault((game.first, game.second), Counter())[game.verdict] += 1
    found: dict[tuple[str, str], Triple] = {}
    for first in names:
        for second in names:
            one, other = counts.get((first, second), Counter()), counts.get((second, first), Counter())
            if one or other:
                found[first, second] = Triple(
                    one["A"] + other["B"], one["B"] + other["A"], one["tie"] + other["tie"], one["none"] + other["none"]
                )
    return found


def standings(names: Sequence[str], games: Sequence[Game], *, resamples: int = 300, seed: int = 0) -> list[Standing]:
    """Everybody's rating, the strongest first."""
    place = {name: k for k, name in enumerate(names)}
    rounds = sorted({game.question for game in games})
    wins = np.zeros((len(rounds), len(names), len(names)))  # (questions, winner, loser)
    row = {question: k for k, question in enumerate(rounds)}
    points: dict[Verdict, tuple[float, float]] = {"A": (1, 0), "B": (0, 1), "tie": (0.5, 0.5), "none": (0, 0)}
    for game in games:
        one, other = place[game.first], place[game.second]
        wins[row[game.question], one, other] += points[game.verdict][0]
        wins[row[game.question], other, one] += points[game.verdict][1]
    strengths = bradley_terry(wins.sum(axis=0))
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(rounds), np.full(len(rounds), 1 / len(rounds)), size=resamples)  # (resamples, questions)
    spread = np.array([elo(bradley_terry(np.tensordot(drawn, wins, axes=1))) for drawn in weights])  # (resamples, players)
    low, high = np.percentile(spread, [2.5, 97.5], axis=0)
    results = triples(names, games)
    found = [
        Standing(
            name=name, strength=float(strengths[k]), elo=float(elo(strengths)[k]), elo_ci95=(float(low[k]), float(high[k])),
            **dict(zip(Triple._fields, (sum(t) for t in zip(*(t for (one, _), t in results.items() if one == name), strict=True)), strict=True)),
        )
        for k, name in enumerate(names)
    ]  # fmt: skip
    return sorted(found, key=lambda one: (-one.strength, one.name))


def edges(results: dict[tuple[str, str], Triple], threshold: int = 5) -> list[Edge]:
    """One edge for every two that met, from the better to the worse (PandaLM, Figure 4: under 5 apart is similar)."""
    found = []
    for (first, second), triple in results.items():
        gap = triple.wins - triple.losses
        if gap > 0 or (gap == 0 and first < second):
            found.append(Edge(first, second, gap, gap < threshold))
    return found


def cycle(found: Iterable[Edge]) -> tuple[str, ...] | None:
    """Candidates each of which beats the next, the last the first; None where the graph has an order."""
    before: dict[str, set[str]] = {}
    for edge in found:
        if not edge.similar:
            before.setdefault(edge.worse, set()).add(edge.better)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return None
