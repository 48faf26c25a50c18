"""HHH alignment: 221 human-labelled pairs, helpful, honest, harmless and other (arXiv 2112.00861).

Data: the copy of Prometheus, a JSON list of {source, chosen_instruction, rejected_instruction}, two prompts for absolute grading that
differ in the response they wrap; or the hub's `HuggingFaceH4/hhh_alignment`, one config a source. Plain accuracy over labelled pairs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from eval.benchmarks.base import Benchmark, Row, files, from_hub, placed, plain_accuracy, read
from planner.errors import UserError
from planner.records import LabeledPair

SOURCES = ("harmless", "helpful", "honest", "other")
_WRAPPED = re.compile(
    r"###\s*The instruction to evaluate:\s*(.*?)\s*###\s*Response to evaluate:\s*(.*?)\s*###\s*(?:Reference|Score Rubrics)",
    re.DOTALL,
)


class WrappedRow(Row):
    source: str
    chosen_instruction: str
    rejected_instruction: str


class Targets(BaseModel):
    choices: Annotated[list[str], Field(min_length=2, max_length=2)]
    labels: Annotated[list[int], Field(min_length=2, max_length=2)]


class HubRow(Row):
    input: str
    targets: Targets


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        return [
            _from_hub_row(row, source)
            for source in SOURCES
            for row in from_hub("HuggingFaceH4/hhh_alignment", "test", HubRow, source)
        ]
    return [_unwrapped(row, f"{path}[{i}]") for path in files(data, "*.json") for i, row in enumerate(read(path, WrappedRow))]


def _from_hub_row(row: HubRow, source: str) -> LabeledPair:
    one, other = row.targets.choices
    chosen, rejected = (one, other) if row.targets.labels[0] else (other, one)
    return placed(row.input, chosen, rejected, source="hhh", kind=source, notes={"part": source})


def _unwrapped(row: WrappedRow, where: str) -> LabeledPair:
    chosen, rejected = _WRAPPED.search(row.chosen_instruction), _WRAPPED.search(row.rejected_instruction)
    if chosen is None or rejected is None or chosen[1] != rejected[1]:
        raise UserError(
            f"{where} does not wrap one instruction and a response each in Prometheus' headings; is it its hhh_alignment_eval.json?"
        )
    return placed(chosen[1], chosen[2], rejected[2], source="hhh", kind=row.source, notes={"part": row.source})


BENCHMARK = Benchmark(
    name="hhh",
    title="HHH alignment",
    load=load,
    official=plain_accuracy,
    protocol="accuracy over labelled pairs, both orders",
    parts={"harmless": 58, "helpful": 59, "honest": 61, "other": 43},
    totals=frozenset({"accuracy"}),
)
