"""Records on disk: append-only shards that a rank owns, and plain JSONL files that are written whole.

A shard line is one input and all that was made of it: `{"key": …, "items": […], "dropped": null}`. Lines are appended as
inputs finish. On resume a torn last line is cut away and owed again; a bad line anywhere else stops with file:line.
What belongs to whom is decided by key, so the number of ranks may change between attempts.
"""

from __future__ import annotations

import errno
import json
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Generic, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from planner.errors import DISK_FULL, UserError, is_disk_full
from planner.records import Record

T = TypeVar("T", bound=BaseModel)

_MEND = "restore it or delete the stage's folder"
_OPEN_FILES = 128
"""Shards that one reader keeps open at once; far below what a process may have, and enough for most runs."""


class Line(Record, Generic[T]):
    """One finished input."""

    key: str
    items: tuple[T, ...] = ()
    dropped: str | None = None
    """Why nothing was made of it, e.g. `over_long`."""


def cannot_write(error: OSError, path: Path) -> NoReturn:
    """Turn a full disk, one that may not be written to, or a folder where a file should be, into a line that says so; anything else goes on as it is."""
    if is_disk_full(error):
        raise UserError(f"{path}: {DISK_FULL}") from error
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another folder, or have it made writable") from None
    if error.errno in (errno.EISDIR, errno.ENOTDIR):
        raise UserError(f"{path} cannot be written ({error.strerror}): give the path of a file") from None
    raise error


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it is in; it may be there.

    Raises:
        UserError: a file is in the way, or it may not be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_disk_full(error):
            cannot_write(error, folder)
        raise UserError(f"{folder} cannot be made ({error.strerror}): choose another folder") from None


class Shard(Generic[T]):
    """One rank's append-only file. Open it with `with`."""

    def __init__(self, folder: Path, rank: int) -> None:
        self.path = folder / f"rank-{rank}.jsonl"

    def __enter__(self) -> Shard[T]:
        make_folder(self.path.parent)
        try:
            _cut_torn_tail(self.path)
            # Unbuffered: a line is with the kernel once `append` returns, so a killed process loses none.
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            cannot_write(error, self.path)
        return self

    def append(self, key: str, items: Iterable[T] = (), dropped: str | None = None) -> None:
        body = ",".join(item.model_dump_json() for item in items)
        reason = "null" if dropped is None else f'"{dropped}"'
        line = f'{{"key":"{key}","items":[{body}],"dropped":{reason}}}\n'.encode()
        try:
            # A disk that is filling up takes a part and says so only by its length; the rest must follow or be refused.
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            cannot_write(error, self.path)

    def __exit__(self, *_: object) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            cannot_write(error, self.path)
        finally:
            self._file.close()


class Shards(Generic[T]):
    """All ranks' files of one stage, read by key. Memory is one entry a line, however long the lines are."""

    def __init__(self, folder: Path, item: type[T]) -> None:
        self._line = Line[item]  # type: ignore[valid-type]
        self._paths = sorted(folder.glob("rank-*.jsonl"))
        # Key to offset * number of files + index of the file: one integer a line, where a tuple takes three times the room.
        self._places: dict[str, int] = {}
        self._dropped: dict[str, str] = {}
        self._open: dict[int, IO[bytes]] = {}
        weakref.finalize(self, _close_all, self._open)
        for index, path in enumerate(self._paths):
            for number, offset, text in _lines(path):
                line = self._parse(path, number, text)
                if line.key in self._places:
                    continue  # two ranks may have made it when their number changed; the first counts
                self._places[line.key] = offset * len(self._paths) + index
                if line.dropped:
                    self._dropped[line.key] = line.dropped

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def keys(self) -> Iterable[str]:
        return self._places.keys()

    @property
    def dropped(self) -> dict[str, str]:
        """Inputs that nothing was made of, and why."""
        return self._dropped

    def get(self, key: str) -> tuple[T, ...]:
        """What was made of one input; () for one that is owed or was dropped."""
        if key not in self._places:
            return ()
        offset, index = divmod(self._places[key], len(self._paths))
        file = self._file(index)
        file.seek(offset)
        return self._parse(self._paths[index], 0, file.readline()).items

    def __iter__(self) -> Iterator[T]:
        """Every item, in file order."""
        for key in self._places:
            yield from self.get(key)

    def _file(self, index: int) -> IO[bytes]:
        """An open file of ours: opening one for each line takes a round trip each on a network disk."""
        if index not in self._open:
            if len(self._open) == _OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            self._open[index] = self._paths[index].open("rb")
        return self._open[index]

    def _parse(self, path: Path, number: int, text: bytes) -> Line[T]:
        try:
            return self._line.model_validate_json(text)
        except ValidationError as error:
            raise _bad_line(path, number, error) from None


def write_jsonl(path: Path, records: Iterable[BaseModel]) -> int:
    """Write a file whole: it appears complete or not at all. Returns the number of lines."""
    make_folder(path.parent)
    scratch = path.with_name(path.name + ".part")
    count = 0
    try:
        with scratch.open("w", encoding="utf-8") as file:
            for record in records:
                file.write(record.model_dump_json() + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        cannot_write(error, path)
    return count


def read_jsonl(path: Path, record: type[T], *, mend: str = _MEND) -> Iterator[T]:
    """Stream a file of records, one a line.

    Args:
        mend: what to do about a file that is wanting. The default is for one that a stage of a run wrote.

    Raises:
        UserError: missing, or a bad line, named by file:line.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; {mend}")
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            try:
                yield record.model_validate_json(text)
            except ValidationError as error:
                raise _bad_line(path, number, error, mend) from None


def read_record(path: Path, record: type[T]) -> T:
    """A small file that holds one record.

    Raises:
        UserError: missing, or no such record.
    """
    try:
        return record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {_MEND}") from None
    except ValidationError as error:
        raise _bad_line(path, 0, error) from None


def write_text(path: Path, text: str) -> None:
    """Write a small file whole."""
    make_folder(path.parent)
    scratch = path.with_name(path.name + ".part")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        cannot_write(error, path)


def append_text(path: Path, line: str) -> None:
    """Append one line to a log of ours; a torn last line of a killed process is cut away first."""
    make_folder(path.parent)
    try:
        _cut_torn_tail(path)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        cannot_write(error, path)


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Stream a log that `append_text` wrote; nothing where there is none. A torn last line is passed over.

    Raises:
        UserError: a bad line, named by file:line.
    """
    for number, _, text in _lines(path) if path.exists() else ():
        try:
            entry: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise UserError(f"{path}:{number} is not JSON ({error}); remove the line and run the same command again") from None
        yield entry


def _close_all(files: dict[int, IO[bytes]]) -> None:
    for file in files.values():
        file.close()


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(number, offset, text) of every whole line; a torn last one is passed over."""
    offset = 0
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if text.endswith(b"\n"):
                yield number, offset, text
            offset += len(text)


def _cut_torn_tail(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        # Back from the end, block by block: a line may be long, a shard may be huge.
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def _bad_line(path: Path, number: int, error: ValidationError, mend: str = _MEND) -> UserError:
    problem = error.errors()[0]
    what = "is not JSON" if problem["type"] == "json_invalid" else f"does not fit at {'.'.join(map(str, problem['loc']))}"
    where = f"{path}:{number}" if number else str(path)
    return UserError(f"{where} {what} ({problem['msg']}); {mend}")
