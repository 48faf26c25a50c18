"""What `evalplanner judge` prints: a panel for one judgment, a table for many, one JSON object each, or someone else's form."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from cli.terminal import plain, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from planner.records import Judgment, OrderJudgment, Pair


def show_one(judgment: Judgment, *, as_json: bool) -> None:
    if as_json:
        _print_json(judgment)
        return
    from rich.console import Console, Group
    from rich.panel import Panel

    parts: list[RenderableType] = [plain("Plan", "bold"), plain(judgment.plan or "(none)")]
    for one in judgment.orders:
        parts += [plain(""), plain(_order_heading(one), "bold"), plain(one.execution or "(nothing)")]
    verdict = _verdict(judgment.verdict)
    parts += [plain(""), plain(f"{verdict} · P(A) {_p(judgment.p_a)} · {_agreement(judgment)}", "bold")]
    Console().print(Panel(Group(*parts), title=plain(verdict), title_align="left"))


def show_many(judged: Iterator[tuple[int, Pair, Judgment]], *, as_json: bool) -> None:
    if as_json:
        for _, _, judgment in judged:
            _print_json(judgment)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("line", "instruction", "verdict", "P(A)", "orders")
    for number, pair, judgment in judged:
        start = visible(" ".join(pair.instruction[:400].split()))
        cells = (str(number), start[:59] + "…" if len(start) > 60 else start, _verdict(judgment.verdict), _p(judgment.p_a))
        table.add_row(*(plain(cell) for cell in (*cells, _agreement(judgment))))
    Console().print(table)


def show_as_pandalm(names: Sequence[Any], judged: Iterator[tuple[int, Pair, Judgment]]) -> None:
    """Print PandaLM's list of results. Judgments without a verdict are left out, and stderr says which."""
    from selftrain.distil.files import pandalm_result

    left_out, before = [], "[\n"
    for name, (_, _, judgment) in zip(names, judged, strict=True):
        if judgment.verdict == "none":
            left_out.append(str(name))
            continue
        _print(before + json.dumps(pandalm_result(name, judgment)))
        before = ",\n"
    _print("\n]\n" if before == ",\n" else "[]\n")
    if left_out:
        typer.echo(f"left out, as PandaLM's form would call what has no verdict a tie: idx {', '.join(left_out)}", err=True)


def show_as_judgelm(names: Sequence[Any], judged: Iterator[tuple[int, Pair, Judgment]], model: str) -> None:
    """Print JudgeLM's judgments, a line for each order asked."""
    from selftrain.distil.files import judgelm_results

    for name, (_, pair, judgment) in zip(names, judged, strict=True):
        _print("".join(json.dumps(row) + "\n" for row in judgelm_results(name, pair, judgment, model)))


def _print_json(judgment: Judgment) -> None:
    _print(json.dumps(judgment.model_dump(mode="json")) + "\n")


def _print(text: str) -> None:
    """Write what is ASCII already, so that any pipe takes it, and at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _order_heading(one: OrderJudgment) -> str:
    shown = "as given" if one.order == "ab" else "swapped: here the judge calls response B its A"
    marks = "".join(f" · {mark}" for mark, holds in (("forced", one.forced), ("cut off", one.cut_off)) if holds)
    return f"Execution, {shown} → {_verdict(one.verdict)} · P(A) {_p(one.p_a)}{marks}"


def _verdict(verdict: str) -> str:
    return {"A": "A is better", "B": "B is better", "tie": "tie"}.get(verdict, "no verdict")


def _p(p_a: float | None) -> str:
    return "unknown" if p_a is None else f"{p_a:.2f}"


def _agreement(judgment: Judgment) -> str:
    if len(judgment.orders) == 1:
        return "one order"
    return "both orders agree" if judgment.consistent else "orders disagree"
