"""Markers of finished steps: what a step has left on disk, by size, so that files which were cut off or went since are not gone on from.

A file that was cut at a line's end is as well-formed as before; only its length tells.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from planner.errors import UserError
from planner.records import Record
from planner.store import read_record, write_text

TRAINED = ".trained"
"""Marker of a training, in its stage's folder: what it left are candidates, until one of them is kept."""


SELECTION = "selection"
"""What candidates said of validation pairs, in their stage's folder."""
SELECTED = "selected.json"
"""Which of them is kept."""


class Left(Record):
    """What a marker holds; one without files is an empty file."""

    files: dict[str, int]
    """Bytes by path, below the marker's folder."""


def once(marker: Path, work: Callable[[], None], leaves: Sequence[str] = (), *, anew: Sequence[Path] = ()) -> None:
    """Do `work` unless `marker` says that it is done.

    Args:
        leaves: patterns of the files that the step leaves, below the marker's folder.
        anew: folders of which each was made from those before it. With the one that holds a file which is not as it was left, those
            after it have to go too, or what they hold would be taken for what comes of its new content. Empty: the file alone goes.

    Raises:
        UserError: a file is not as a finished step left it.
    """
    if not marker.exists():
        work()
        if not marker.exists():  # a step may write its marker itself, with what it decided
            write_marker(marker, leaves)
    elif leaves:
        check_marker(marker, anew)


def write_marker(marker: Path, leaves: Sequence[str]) -> None:
    """Write a marker.

    Args:
        leaves: patterns of the files that the step has left, below the marker's folder.
    """
    found = sorted(path for pattern in leaves for path in marker.parent.glob(pattern))
    left = Left(files={str(path.relative_to(marker.parent)): _size(path) for path in found})
    write_text(marker, left.model_dump_json() if found else "")


def check_marker(marker: Path, anew: Sequence[Path] = ()) -> None:
    """Hold the files that a marker tells of against it.

    Args:
        anew: as `once` has it.

    Raises:
        UserError: names the first file that is not as it was left, and what to delete.
    """
    if not marker.stat().st_size:
        return
    for name, left in read_record(marker, Left).files.items():
        path = marker.parent / name
        found = _size(path) if path.exists() else None
        if found != left:
            what = "is gone" if found is None else f"holds {found:,} bytes where {left:,} were written"
            holder = next((k for k, folder in enumerate(anew) if path.is_relative_to(folder)), None)
            after = [] if holder is None else [folder for folder in anew[holder + 1 :] if folder.exists()]
            goes = [marker, path if holder is None else anew[holder], *after]
            raise UserError(
                f"{path} {what}; restore it, or delete {', '.join(map(str, goes[:-1]))} and {goes[-1]} and run the same command again: it is made anew"
            )


def _size(path: Path) -> int:
    with path.open("rb") as file:  # opened, so that a network disk looks at what another node wrote
        return file.seek(0, os.SEEK_END)
