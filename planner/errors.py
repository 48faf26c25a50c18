"""The error a user can mend: one line that says where, what, and what to do. Everything else is a bug and shows its trace."""

import errno

DISK_FULL = "no space left on the disk; free some and run the same command again, it goes on"


class UserError(RuntimeError):
    """Printed without a trace by every command; exit status 2."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, of Python or of a library that writes files in its own way, means a full disk or quota."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error)
    return "No space left on device" in text or "os error 28" in text or "Disk quota exceeded" in text
