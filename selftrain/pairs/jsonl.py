"""Pairs from any JSONL file with an instruction, a chosen and a rejected response.

Which response becomes A is drawn by hash, so that no file order can teach a slot. A row with `"tie": true` is a tie: neither response is
better, whatever its column is called. `input` and `reference`, where a row has them, are
shown to the judge: what the instruction is about, and a reference answer. Other columns are carried in `notes` where they are
plain values; `kind`, where there is one, names the category.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from planner.errors import UserError
from planner.records import LabeledPair, Pair, digest
from selftrain.pairs.languages import normal

FIELDS = ("instruction", "chosen", "rejected")
SHOWN = ("input", "reference")


def read(path: Path, columns: dict[str, str] | None = None, most: int | None = None) -> Iterator[LabeledPair]:
    """Stream a file's pairs, of its first `most` rows; None: of all.

    Raises:
        UserError: missing or empty file, or a bad row, named by file:line.
    """
    names = {field: (columns or {}).get(field, field) for field in FIELDS}
    empty = True
    for where, row in islice(read_rows(path), most):
        empty = False
        texts = {}
        for field, column in names.items():
            value = row.get(column)
            if not isinstance(value, str) or not value.strip():
                empty_or_no_text = "is empty" if isinstance(value, str) else f"is {type(value).__name__}, not text"
                found = empty_or_no_text if column in row else "is missing"
                raise UserError(f"{where}: {column!r} {found}; each row needs {', '.join(names.values())}")
            texts[field] = value
        if texts["chosen"] == texts["rejected"]:
            raise UserError(
                f"{where}: {names['chosen']!r} and {names['rejected']!r} are equal, so neither is better; remove the row"
            )
        shown = {field: row.get(field) or None for field in SHOWN if field not in names.values()}
        for field, value in shown.items():
            if value is not None and not isinstance(value, str):
                raise UserError(f"{where}: {field!r} is {type(value).__name__}, not text")
        tie = row.get("tie", False)
        if not isinstance(tie, bool):
            raise UserError(f"{where}: 'tie' is {type(tie).__name__}, not true or false")
        others = {k: v for k, v in row.items() if k not in (*names.values(), *shown, "kind", "tie")}
        notes = {k: str(v) for k, v in others.items() if isinstance(v, str | int | float | bool)}
        kind = str(row.get("kind") or path.stem)
        given, reference = shown.get("input"), shown.get("reference")
        placed = place(**texts, input=given, reference=reference, source="jsonl", kind=kind, notes=notes)
        yield placed.model_copy(update={"better": "tie"}) if tie else placed
    if empty:
        raise UserError(f"{path} is empty: it needs one JSON object a line with {', '.join(names.values())}")


def place(
    *, instruction: str, chosen: str, rejected: str, source: str, kind: str, notes: dict[str, str],
    input: str | None = None, reference: str | None = None,
) -> LabeledPair:  # fmt: skip
    """A labelled pair with the chosen response in a slot that its content's hash decides. Notes `*_chosen` and `*_rejected`
    become `*_a` and `*_b`."""
    first = int(digest("slot", instruction, *sorted((chosen, rejected))), 16) % 2 == 0
    # Sorted first, so that the slot belongs to the texts and not to which of them was chosen.
    a, b = sorted((chosen, rejected), reverse=not first)
    side = {"chosen": "a" if a == chosen else "b", "rejected": "b" if a == chosen else "a"}
    renamed = {}
    for key, value in notes.items():
        stem, _, role = key.rpartition("_")
        renamed[f"{stem}_{side[role]}" if stem and role in side else key] = value
    return LabeledPair(
        pair=Pair(instruction=instruction, response_a=a, response_b=b, input=input, reference=reference),
        better="A" if a == chosen else "B",
        source=source,
        kind=kind,
        # One group, and so one split, for an instruction in all its spellings.
        group=digest(normal(instruction)),
        notes=renamed,
    )


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, object) of every non-blank line.

    Raises:
        UserError: no such file, not UTF-8, or a line that is no JSON object.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): set path to a JSONL file") from None
    with file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(text)
                # Half a surrogate pair, which an escape can name, could be read but never written.
                json.dumps(row, ensure_ascii=False).encode()
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where} is not JSON ({error}); mend or remove the line") from None
            if not isinstance(row, dict):
                raise UserError(f"{where} is a JSON {type(row).__name__}, not an object; each line is one row")
            yield where, row
