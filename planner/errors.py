"""The error a user can mend: one line that says where, what, and what to do. Everything else is a bug and shows its trace."""

from __future__ import annotations

import argparse
import errno
from types import TracebackType
from typing import NoReturn

LOST_PEER = 3
"""Exit status of a training child that ends because another rank is gone: not the cause, which that rank says itself."""
DISK_FULL = "no space left on the disk; free some and run the same command again, it goes on"
# What libraries that write files in their own way say of it. PyTorch's writer tells only that it got less far than it wrote.
_SAID = (
    "No space left on device",
    "os error 28",
    "Disk quota exceeded",
    "inline_container.cc",
    "PytorchStreamWriter failed writing",
)


class UserError(RuntimeError):
    """Printed without a trace by every command; exit status 2."""


class Arguments(argparse.ArgumentParser):
    """argparse, that says in one line what it cannot make of a command's arguments; exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {' '.join(message.split())}; see {self.prog} --help\n")


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that it came from, means a full disk or quota."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if any(said in str(error) for said in _SAID):
        return True
    before = error.__cause__ or error.__context__
    return before is not None and is_disk_full(before)


class TellDiskFull:
    """`with TellDiskFull():` turns a full disk, in whatever way a library says it, into one line. All else goes on as it is.

    A context, because some libraries raise a bare `Exception`, which nothing here may catch.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and not isinstance(error, UserError) and is_disk_full(error):
            raise UserError(DISK_FULL) from error


def is_lost_peer(error: BaseException) -> bool:
    """Whether torch.distributed says that another rank is gone. Gloo says it in a plain RuntimeError, NCCL in one of its own."""
    text = str(error)
    return any(said in text for said in ("Connection closed by peer", "Connection reset by peer", "ncclRemoteError"))
