"""Who may write into a run folder: one launch at a time, with all of its ranks and children.

Each rank holds a lock of its own, and its children inherit it, so that it lasts until the last of them has ended. Rank 0's is the
run's: it is taken first, and only where nobody of another launch, whatever its size, still holds any. The others take theirs when
rank 0 has said that the run is theirs.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from planner.errors import UserError

_PATIENCE_S = 5.0
"""A killed run's child may take a moment to go."""
_POLL_S = 0.1


def lock_run(folder: Path) -> IO[str]:
    """Take the run for a launch; for its rank 0.

    Raises:
        UserError: another launch holds it, or a part of it.
    """
    lock = lock_rank(folder, 0)
    for other in sorted(folder.glob(".lock-*")):
        if other.name != _name(0):
            _take(other, folder).close()
    return lock


def lock_rank(folder: Path, rank: int) -> IO[str]:
    """Take one rank's place in the run; held by this process and, because they inherit the descriptor, by its children.

    Raises:
        UserError: a process of another launch holds it.
    """
    lock = _take(folder / _name(rank), folder)
    os.set_inheritable(lock.fileno(), True)
    return lock


def _name(rank: int) -> str:
    return f".lock-{rank}"


def _take(path: Path, folder: Path) -> IO[str]:
    try:
        lock = path.open("a+")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; choose another folder") from None
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                raise UserError(f"{folder} is in use by another process; wait for it, end it, or choose another folder") from None
            time.sleep(_POLL_S)
        except OSError as error:
            lock.close()
            raise UserError(
                f"{folder} lies on storage that knows no locks (flock: {error.strerror}): mount it with them, or choose another out="
            ) from None
