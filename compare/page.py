"""A comparison as a page: standings, the matrix, the graph, and every judgment with its reasons, on the one report template."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from compare.matches import Match
from compare.standings import Summary
from eval.report import Figure, JudgmentShown, OrderShown, Page, Table, render
from planner.records import OrderJudgment

_MOST = 1000
"""Judgments in the page's browser: a page with all texts of a large comparison would not open."""
_SAID = {"A": "response A", "B": "response B", "tie": "a tie", "none": "no verdict"}


def page(summary: Summary, matches: Sequence[Match], graph: str, *, extra: Sequence[Table] = (), lead: Sequence[str] = ()) -> str:
    """The page's HTML.

    Args:
        graph: the SVG.
        extra: tables of a sweep, shown first.
    """
    found = summary.positions
    shown = matches[:_MOST]
    return render(
        Page(
            title=f"{len(summary.standings)} candidates on {summary.questions:,} questions",
            lead=(
                *lead,
                "Judge: " + ", ".join(f"{name} {value}" for name, value in summary.judge.items() if value not in (None, False)) + ".",
                f"Both orders agree on {found.consistency:.1%} of {found.n:,} matches; where they differ it is for the response shown "
                f"first on {found.bias_first:.1%} and for the second on {found.bias_second:.1%}; {found.unread:.1%} lack a verdict.",
            ),
            warnings=(f"There is no order: {' beats '.join(summary.cycle)}.",) if summary.cycle else (),
            sections=(*extra, _standings(summary), _matrix(summary), _graph(summary, graph)),
            browser_note=f"The first {_MOST:,} of {len(matches):,}; all are in matches.jsonl." if len(matches) > _MOST else "",
            judgments=tuple(map(_shown, shown)),
        )
    )  # fmt: skip


def _standings(summary: Summary) -> Table:
    return Table(
        title="Standings",
        note="Bradley-Terry strengths on the Elo scale with a prior of one drawn game against a player at 1000; intervals are 95 % "
        "bootstraps over questions: where all questions came out alike they have no width, which is no certainty. A tie is half a win for each; a match without a verdict is in no rating.",
        columns=("candidate", "Elo", "95 %", "won", "lost", "tied", "no verdict"),
        rows=tuple(
            (
                one.name, f"{one.elo:.0f}", f"{one.elo_ci95[0]:.0f} – {one.elo_ci95[1]:.0f}",
                *(f"{count:,}" for count in (one.wins, one.losses, one.ties, one.none)),
            )
            for one in summary.standings
        ),
    )  # fmt: skip


def _matrix(summary: Summary) -> Table:
    names = [one.name for one in summary.standings]

    def cell(row: str, column: str) -> str:
        triple = summary.triples.get(row, {}).get(column)
        return f"{triple.wins} / {triple.losses} / {triple.ties}" if triple else "–"

    return Table(
        title="Matrix",
        note="Wins / losses / ties of the row's candidate against the column's.",
        columns=("", *names),
        rows=tuple((row, *(cell(row, column) for column in names)) for row in names),
    )


def _graph(summary: Summary, svg: str) -> Figure:
    note = f"An arrow points from the better to the worse and bears wins − losses; dashed: fewer than {summary.threshold} apart, similar."
    return Figure(title="Graph", note=note, svg=base64.b64encode(svg.encode()).decode())


def _shown(match: Match) -> JudgmentShown:
    orders = match.judgment.orders if match.judgment else ()
    flags = [{"A": "first wins", "B": "second wins", "tie": "tie", "none": "no verdict"}[match.verdict]]
    if match.judgment and len(orders) == 2 and not match.judgment.consistent:
        flags.append("orders differ")
    return JudgmentShown(
        flags=tuple(flags),
        kind=f"{match.first} (A) – {match.second} (B)",
        gold="none, as in any comparison" if match.judgment else "none; the pair does not fit the judge's context",
        instruction=match.instruction,
        response_a=match.response_first,
        response_b=match.response_second,
        orders=tuple(map(_order, orders)),
    )


def _order(one: OrderJudgment) -> OrderShown:
    return OrderShown(
        title="as it stands" if one.order == "ab" else "swapped: in its text A is response B",
        plan=one.plan or "",
        execution=one.execution,
        verdict=_SAID[one.verdict],
        text="\n\n".join(filter(None, (one.plan, one.execution, one.reference))),
    )
