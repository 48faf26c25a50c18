"""Your own labelled pairs: any JSONL, scored in both orders.

A row is {"instruction", "response_a", "response_b", "label"} with the label A, B or tie, or {"instruction", "chosen", "rejected"}.
`kind` (for break-downs), `input` and `reference` are optional; other keys are passed over. A `LabeledPair`, as the files of a run's
`pairs/` and of `evalplanner data build` hold them, keeps its kind and its group; without a group its instruction is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from eval.benchmarks.base import Benchmark, Row, files, fit, labeled, placed, plain_accuracy, values
from planner.errors import UserError
from planner.records import LabeledPair, Pair


class LabelRow(Row):
    instruction: str
    response_a: str
    response_b: str
    label: Literal["A", "B", "tie"]
    kind: str = "all"
    input: str | None = None
    reference: str | None = None


class ChosenRow(Row):
    instruction: str
    chosen: str
    rejected: str
    kind: str = "all"
    input: str | None = None
    reference: str | None = None


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        raise UserError("give --data a JSONL file of your pairs; a row is {instruction, response_a, response_b, label}")
    found = [_pair(value, where) for path in files(data, "*.jsonl") for where, value in values(path)]
    if not found:
        raise UserError(
            f"{data} is empty; a row is {{instruction, response_a, response_b, label}} or {{instruction, chosen, rejected}}"
        )
    return found


def _pair(value: object, where: str) -> LabeledPair:
    if isinstance(value, dict) and "pair" in value:
        kept = fit(value, LabeledPair, where)
        return _told_apart(kept if kept.group else kept.model_copy(update={"group": kept.pair.instruction_id}), where)
    if isinstance(value, dict) and "chosen" in value:
        row = fit(value, ChosenRow, where)
        made = placed(
            row.instruction, row.chosen, row.rejected, source="pairs", kind=row.kind, input=row.input, reference=row.reference
        )
        return _told_apart(made, where)
    one = fit(value, LabelRow, where)
    texts = one.model_dump(include={"instruction", "response_a", "response_b", "input", "reference"})
    return _told_apart(labeled(Pair(**texts), one.label, source="pairs", kind=one.kind), where)


def _told_apart(one: LabeledPair, where: str) -> LabeledPair:
    if one.better != "tie" and one.pair.response_a == one.pair.response_b:
        raise UserError(f"{where}: both responses are the same text, so neither is better; remove the row, or label it a tie")
    return one


BENCHMARK = Benchmark(
    name="pairs",
    title="Labelled pairs",
    load=load,
    official=plain_accuracy,
    protocol="accuracy over labelled pairs, both orders",
    parts={},
    totals=frozenset(),
)
