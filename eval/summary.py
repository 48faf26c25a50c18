"""What a run of judgments comes to, in numbers: `report.json`.

Scores of the official protocol are percentages, as their authors print them; our own are shares from 0 to 1, and printed as
percentages. Where only part of a benchmark is at hand the title says so, and official totals are not among the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.benchmarks.base import Benchmark, Percentages
from eval.curves import Calibration, VotePoint, calibration, vote_curve
from eval.judged import Ballots, Judged
from eval.metrics import Comparison, Strict, bootstrap_intervals, by_kind, compare, strict
from planner.records import Record
from rewards.score import Interval


class PublishedScore(Record):
    judge: str
    score: float
    what: str
    source: str


class Report(Record):
    """A whole evaluation, in numbers."""

    title: str
    benchmark: str
    judge: str
    style: str
    n: int
    """Pairs."""
    missing: dict[str, tuple[int, int]]
    """(at hand, in the whole) of every part that is not complete."""
    protocol: str
    official: Percentages
    official_ci95: dict[str, Interval]
    """By bootstrap over prompts."""
    strict: Strict
    categories: dict[str, Strict]
    over_long: int
    """Pairs that did not fit the model's context and were not asked; they count as without verdict."""
    calibration: Calibration | None
    votes: list[VotePoint]
    against: dict[str, Comparison]
    """By name of the other judge."""
    tokens: int
    """Generated in all."""
    published: list[PublishedScore]
    recipe: dict[str, Any]


def summarise(
    benchmark: Benchmark,
    ballots: Sequence[Ballots],
    *,
    judge: str,
    style: str,
    over_long: int,
    recipe: dict[str, Any],
    others: Mapping[str, Sequence[Judged]],
    seed: int,
) -> Report:
    """Score a run's judgments."""
    judged = [one.elected() for one in ballots]
    missing = benchmark.missing([one.labeled for one in judged])
    official = benchmark.scores(judged, seed)
    ci95 = bootstrap_intervals(judged, lambda drawn: benchmark.official(drawn, seed), seed=seed)
    return Report(
        title=f"{_title(benchmark, judged, missing)} · {judge}",
        benchmark=benchmark.name,
        judge=judge,
        style=style,
        n=len(judged),
        missing=missing,
        protocol=benchmark.protocol,
        official=official,
        official_ci95={name: ci95[name] for name in official if name in ci95},
        strict=strict(judged, seed=seed),
        categories=by_kind(judged, seed=seed),
        over_long=over_long,
        calibration=calibration(judged),
        votes=vote_curve(ballots, seed=seed),
        against={name: compare(judged, theirs, seed=seed) for name, theirs in others.items()},
        tokens=sum(chain.completion.tokens for one in judged for chain in one.chains.values()),
        published=[PublishedScore(**one._asdict()) for one in benchmark.published],
        recipe=recipe,
    )


def _title(benchmark: Benchmark, judged: Sequence[Judged], missing: Mapping[str, tuple[int, int]]) -> str:
    at_hand = sorted({benchmark.part(one.labeled) for one in judged})
    title = benchmark.title
    if benchmark.separate and len(at_hand) < len(benchmark.parts):
        title += f" {', '.join(at_hand)}"
    if missing:
        found, whole = (sum(sizes) for sizes in zip(*missing.values(), strict=True))
        whole_parts = sum(
            size for part, size in benchmark.parts.items() if part not in missing and (part in at_hand or not benchmark.separate)
        )
        title += f" (part: {found + whole_parts:,} of {whole + whole_parts:,})"
    return title
