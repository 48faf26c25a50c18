"""Rows of other people's data: a JSONL, JSON, CSV or parquet file, or a data set by its hub id or its folder, streamed one at a time.

A folder is a data set as the hub lays it out, downloaded: it is read by `datasets` too. A row comes with where it stood (`file:line`, or
`file, row n`), so that whoever finds it wanting can say so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from planner.errors import UserError
from selftrain.data_config import SourceConfig
from selftrain.pairs.jsonl import read_rows

Row = dict[str, Any]
_TABLES = {".csv": "csv", ".parquet": "parquet"}


def rows(config: SourceConfig) -> Iterator[tuple[str, Row]]:
    """(where, row) of the source's file, at most `config.rows` of them.

    Raises:
        UserError: no such file or data set, nothing in it, or a line that cannot be read.
    """
    assert config.path is not None
    empty = True
    for where, row in islice(open_rows(config.path, config.hub_split), config.rows):
        empty = False
        yield where, row
    if empty:
        raise UserError(f"{config.path} is empty: it needs one row a prompt")


def open_rows(path: str, hub_split: str = "train") -> Iterator[tuple[str, Row]]:
    """(where, row) of any file or data set."""
    file = Path(path)
    if file.suffix == ".jsonl":
        yield from read_rows(file)
    elif file.suffix == ".json":
        yield from _json_list(file)
    elif file.suffix in _TABLES or file.is_dir() or not file.exists():
        yield from _data_set(path, hub_split)
    else:
        raise UserError(f"{path} is no .jsonl, .json, .csv or .parquet file; set path to one, or to a data set's hub id or folder")


def text(where: str, row: Row, column: str) -> str:
    """The text of a column.

    Raises:
        UserError: it is missing, empty or no text.
    """
    value = row.get(column)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        value = str(value)  # an answer may be written as a number
    if not isinstance(value, str) or not value.strip():
        found = (
            "is missing" if column not in row else "is empty" if isinstance(value, str) else f"is {type(value).__name__}, not text"
        )
        raise UserError(f"{where}: {column!r} {found}; the file has {', '.join(row)}: name the right one in pairs.columns")
    return value


def _json_list(file: Path) -> Iterator[tuple[str, Row]]:
    try:
        found = json.loads(file.read_bytes())
        # Half a surrogate pair, which an escape can name, could be read but never written.
        json.dumps(found, ensure_ascii=False).encode()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}): set path to a file that is there") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON ({error}); mend it, or give a .jsonl file") from None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise UserError(f"{file} is no list of objects; each row of a .json file is an object of one list")
    yield from ((f"{file}, row {number}", row) for number, row in enumerate(found, 1))


def _data_set(path: str, hub_split: str) -> Iterator[tuple[str, Row]]:
    """Through `datasets`, streamed."""
    file = Path(path)
    if not file.exists() and (file.suffix or path.count("/") != 1):
        raise UserError(f"{path} is not there: set path to a file, or to a data set's hub id (org/name)")
    import datasets

    kind = _TABLES.get(file.suffix)
    try:
        if kind:
            found = datasets.load_dataset(kind, data_files=path, split="train", streaming=True)
        else:
            found = datasets.load_dataset(path, split=hub_split, streaming=True)
        yield from ((f"{path}, row {number}", dict(row)) for number, row in enumerate(found, 1))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}; mend it, or set path to another"
        ) from error


PROMPT_COLUMNS = ("instruction", "prompt", "question", "problem")
"""Where a prompt is looked for in a row whose config does not name its column."""


def prompt_of(config: SourceConfig, where: str, row: Row) -> str:
    """A row's instruction: the named column, else the first of the usual ones; a chat's or Arena-Hard's first turn.

    Raises:
        UserError: there is none.
    """
    named = config.columns.get("instruction")
    column = named or next((one for one in PROMPT_COLUMNS if one in row), None)
    if column is None and isinstance(turns := row.get("turns"), list) and turns and isinstance(turns[0], dict):
        return text(where, turns[0], "content")
    return text(where, row, column or "instruction")
