"""planner/lock.py: two launches never write into one run folder, whatever their sizes."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from planner import lock
from planner.errors import UserError
from planner.lock import lock_rank, lock_run


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_PATIENCE_S", 0.0)


def test_a_run_is_taken_once_and_free_again_afterwards(tmp_path: Path) -> None:
    held = lock_run(tmp_path)
    with pytest.raises(UserError, match=f"{tmp_path} is in use by another process"):
        lock_run(tmp_path)
    held.close()
    lock_run(tmp_path).close()


@pytest.mark.parametrize("rank", [1, 7])
def test_a_run_of_which_any_rank_is_left_is_in_use(tmp_path: Path, rank: int) -> None:
    """Rank 0 was killed, its sisters on other nodes were not: a launch of one process would find its own place free."""
    left = lock_rank(tmp_path, rank)
    with pytest.raises(UserError, match="in use"):
        lock_run(tmp_path)
    left.close()
    held = lock_run(tmp_path)
    lock_rank(tmp_path, rank).close()  # looking did not keep it
    held.close()


def test_a_child_keeps_its_parent_s_lock(tmp_path: Path) -> None:
    held = lock_run(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[held.fileno()])
    held.close()
    with pytest.raises(UserError, match="in use"):
        lock_run(tmp_path)
    child.communicate(b"\n")
    lock_run(tmp_path).close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"\.lock-0 cannot be written: Not a directory"):
        lock_run(tmp_path / "file")


def test_storage_without_locks_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Lustre does where it is mounted without them."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(UserError, match=f"{tmp_path} lies on storage that knows no locks .flock: Function not implemented"):
        lock_run(tmp_path)
