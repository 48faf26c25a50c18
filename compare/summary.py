"""Write down what matches add up to: every match, the numbers, the graph, and the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from compare.graph import svg
from compare.matches import Match
from compare.page import page
from compare.standings import Game, Summary, cycle, edges, standings, triples
from eval.positions import positions
from eval.report import Table
from planner.records import Verdict
from planner.store import write_jsonl, write_text


def write_summary(
    matches: Sequence[Match], out: Path, *, names: Sequence[str], judge: dict[str, Any], threshold: int, seed: int = 0,
    lead: Sequence[str] = (), extra: Sequence[Table] = (),
) -> Summary:  # fmt: skip
    """Write `matches.jsonl`, `summary.json`, `graph.svg` and `report.html` into `out`. The same matches, the same files."""
    games = [Game(match.question, match.first, match.second, match.verdict) for match in matches]
    found = triples(names, games)
    ranked = standings(names, games, seed=seed)
    links = edges(found, threshold)
    summary = Summary(
        questions=len({match.question for match in matches}),
        judge=judge,
        standings=tuple(ranked),
        triples={first: {second: triple for (one, second), triple in found.items() if one == first} for first in names},
        threshold=threshold,
        cycle=cycle(links),
        positions=positions(_both_orders(matches)),
    )
    graph = svg([one.name for one in ranked], links)
    write_jsonl(out / "matches.jsonl", matches)
    write_text(out / "summary.json", summary.model_dump_json(indent=2) + "\n")
    write_text(out / "graph.svg", graph)
    write_text(out / "report.html", page(summary, matches, graph, lead=lead, extra=extra))
    return summary


def _both_orders(matches: Sequence[Match]) -> Iterator[tuple[Verdict, Verdict]]:
    """The two verdicts of each match that was asked in both orders."""
    for match in matches:
        if match.judgment is not None and len(match.judgment.orders) == 2:
            one, other = match.judgment.orders
            yield one.verdict, other.verdict
