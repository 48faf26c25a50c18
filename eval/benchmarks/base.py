"""What every benchmark file gives: how its rows are read, and what its authors make of a judge's verdicts on them.

A benchmark reads its original format, from a local file or folder or from the hub by its real dataset id, into `LabeledPair`s.
`LabeledPair.kind` is the category that tables break down by, `group` the prompt that intervals are clustered by, and
`notes["part"]` the piece of the benchmark that a pair belongs to, whose full size `parts` names: where pieces are missing, no
official total is printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from eval.judged import Judged
from planner.errors import UserError
from planner.files import json_lines, parse, read_text
from planner.records import Label, LabeledPair, Pair, digest

Percentages = dict[str, float]
"""Scores by name, 0 to 100; counts are named so."""


class Published(NamedTuple):
    """A judge's score as its authors print it."""

    judge: str
    score: float
    what: str
    """Which number it is, and under which protocol."""
    source: str


class Benchmark(NamedTuple):
    """One benchmark."""

    name: str
    title: str
    load: Callable[[Path | None], list[LabeledPair]]
    """From a file or folder in the original format; None: from the hub."""
    official: Callable[[Sequence[Judged], int], Percentages]
    """The authors' scores of judged pairs. The integer is a seed, for protocols that ask in one order drawn at random."""
    protocol: str
    """What the official scores are, in a line."""
    parts: Mapping[str, int]
    """Pairs in each part of the whole (prompts, where `notes["prompt"]` names them); empty where there is no fixed whole."""
    totals: frozenset[str]
    """Official scores that mean something over the whole benchmark only."""
    separate: bool = False
    """Whether each part is scored for itself, so that one that is not at hand is not missing."""
    read_outputs: Callable[[Path, Path | None, Path | None], list[Judged]] | None = None
    """(published judge's file, its file for swapped pairs, the benchmark's own data) -> what that judge said."""
    published: tuple[Published, ...] = ()

    def part(self, pair: LabeledPair) -> str:
        return pair.notes.get("part", pair.kind)

    def missing(self, pairs: Sequence[LabeledPair]) -> dict[str, tuple[int, int]]:
        """(at hand, in the whole) of every part that is not complete."""
        # Prompts that are many pairs count once.
        prompts = {pair.notes.get("prompt", str(index)): self.part(pair) for index, pair in enumerate(pairs)}
        found = Counter(prompts.values())
        wanted = {part: whole for part, whole in self.parts.items() if found[part] or not self.separate}
        return {part: (found[part], whole) for part, whole in wanted.items() if found[part] < whole}

    def scores(self, judged: Sequence[Judged], seed: int = 0) -> Percentages:
        """The official scores; totals only where nothing is missing."""
        scores = self.official(judged, seed)
        if self.missing([one.labeled for one in judged]):
            return {name: score for name, score in scores.items() if name not in self.totals}
        return scores


# -- reading -----------------------------------------------------------------------------------------------------------


class Row(BaseModel):
    """One row of someone else's file: the fields that are read, typed; others are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


R = TypeVar("R", bound=Row)


def read(path: Path, row: type[R]) -> list[R]:
    """Rows of a JSON list or a JSONL file.

    Raises:
        UserError: missing or empty, not JSON, or a row that does not fit; says where.
    """
    found = [fit(value, row, where) for where, value in values(path)]
    if not found:
        raise UserError(f"{path} is empty; it needs rows with {', '.join(row.model_fields)}")
    return found


def values(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, value) of every entry of a JSON list, or of every line of a JSONL file."""
    text = read_text(path)
    if text.lstrip().startswith("["):
        for index, value in enumerate(parse(text, str(path))):
            yield f"{path}[{index}]", value
        return
    yield from json_lines(text, path)


def whole(path: Path) -> dict[str, Any]:
    """A file that is one JSON object."""
    value = parse(read_text(path), str(path))
    if not isinstance(value, dict):
        raise UserError(f"{path} is a JSON {type(value).__name__}, not an object")
    return value


def fit(value: Any, row: type[R], where: str) -> R:
    try:
        return row.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"])) or "the row"
        raise UserError(f"{where} does not fit at {field} ({problem['msg']}); is it this benchmark's file?") from None


def files(data: Path, *patterns: str) -> list[Path]:
    """`data` itself if it is a file, else every file below it that fits one of the patterns, in order.

    Raises:
        UserError: there is none.
    """
    if data.is_file():
        return [data]
    if not data.is_dir():
        raise UserError(f"no file or folder {data}; give --data the benchmark's own file, or the folder that holds it")
    found = sorted({path for pattern in patterns for path in data.rglob(pattern)})
    if not found:
        raise UserError(f"{data} holds no {' or '.join(patterns)}; give --data the benchmark's own file")
    return found


def from_hub(dataset: str, split: str, row: type[R], config: str | None = None) -> list[R]:
    """Rows of a dataset on the Hugging Face hub.

    Raises:
        UserError: it cannot be reached, or its rows do not fit.
    """
    from datasets import load_dataset

    try:
        rows = load_dataset(dataset, config, split=split)
    except (OSError, ValueError) as error:
        # No network, a gated or missing dataset, a split that is not there: all of them come as one of these two.
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{dataset} cannot be loaded from the hub ({reason}); give --data a local copy") from error
    return [fit(value, row, f"{dataset}[{index}]") for index, value in enumerate(rows)]


# -- making pairs ------------------------------------------------------------------------------------------------------


def labeled(pair: Pair, better: Label, *, source: str, kind: str, notes: Mapping[str, str] | None = None) -> LabeledPair:
    """A pair as its source lays it out; pairs of one instruction are one cluster."""
    return LabeledPair(pair=pair, better=better, source=source, kind=kind, group=pair.instruction_id, notes=dict(notes or {}))


def placed(
    instruction: str, chosen: str, rejected: str, *, source: str, kind: str, notes: Mapping[str, str] | None = None,
    input: str | None = None, reference: str | None = None,
) -> LabeledPair:  # fmt: skip
    """The same for sources that name the better response and not its place: the texts' hash decides that."""
    a, b = sorted((chosen, rejected))
    if int(digest("slot", instruction, a, b), 16) % 2:
        a, b = b, a
    pair = Pair(instruction=instruction, response_a=a, response_b=b, input=input, reference=reference)
    return labeled(pair, "A" if a == chosen else "B", source=source, kind=kind, notes=notes)


def percent(hits: float, n: float) -> float:
    """A share as a percentage. Of nothing there is no share, so `n` must not be 0."""
    return 100 * hits / n


def mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def plain_accuracy(judged: Sequence[Judged], seed: int) -> Percentages:
    """Percent of judgments that are right, over both orders: of all pairs, and of each kind."""
    kinds = sorted({one.labeled.kind for one in judged})
    scores = {"accuracy": _accuracy(judged)}
    if len(kinds) > 1:
        scores.update({kind: _accuracy([one for one in judged if one.labeled.kind == kind]) for kind in kinds})
    return scores


def _accuracy(judged: Sequence[Judged]) -> float:
    return percent(sum(one.right(order) for one in judged for order in one.chains), sum(len(one.chains) for one in judged))
