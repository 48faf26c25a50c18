"""EvalBiasBench: 80 pairs, each made to catch one bias of judges (arXiv 2407.06551).

Data: one JSON object, bias -> list of {bias, instruction, response1, response2, label}. Every label is 1, so a judge that always says
1 would be perfect: positions are balanced here by the texts' hash. Plain accuracy over labelled pairs, both orders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from eval.benchmarks.base import Benchmark, Row, files, fit, placed, plain_accuracy, whole
from planner.errors import UserError
from planner.records import LabeledPair


class PairRow(Row):
    instruction: str
    response1: str
    response2: str
    label: Literal[1, 2]


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        raise UserError("EvalBiasBench is read from its repository's file; give --data its JSON (github.com/ncsoft/offsetbias)")
    found = [
        _pair(fit(value, PairRow, f"{path}:{bias}[{index}]"), bias)
        for path in files(data, "*.json")
        for bias, rows in whole(path).items()
        for index, value in enumerate(_list(rows, f"{path}:{bias}"))
    ]
    if not found:
        raise UserError(f"{data} is empty; it needs bias -> list of pairs")
    return found


def _list(rows: object, where: str) -> list[object]:
    if not isinstance(rows, list):
        raise UserError(f"{where} is no list of pairs; is it EvalBiasBench's file?")
    return rows


def _pair(row: PairRow, bias: str) -> LabeledPair:
    chosen, rejected = (row.response1, row.response2) if row.label == 1 else (row.response2, row.response1)
    return placed(row.instruction, chosen, rejected, source="evalbiasbench", kind=bias, notes={"part": "all"})


BENCHMARK = Benchmark(
    name="evalbiasbench",
    title="EvalBiasBench",
    load=load,
    official=plain_accuracy,
    protocol="accuracy over labelled pairs, both orders, positions balanced",
    parts={"all": 80},
    totals=frozenset({"accuracy"}),
)
