"""Files that others wrote: text and JSON, each fault one line that says where it is and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from planner.errors import UserError


def read_text(path: Path) -> str:
    """A UTF-8 file, whole.

    Raises:
        UserError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; give the path of a text file that can") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8") from None


def parse(text: str, where: str) -> Any:
    """A JSON value that can also be written again.

    Raises:
        UserError: names `where`.
    """
    try:
        value = json.loads(text)
        # Half a surrogate pair, which an escape can name, could be read but never written.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error}); restore it") from None
    return value


def json_lines(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """(place, value) of every line that is not blank."""
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: a row may hold U+2028
        if line.strip():
            yield f"{path}:{number}", parse(line, f"{path}:{number}")
