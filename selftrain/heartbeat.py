"""Signs of life of a launch's ranks, in the folder they share: a machine that is lost cannot say that it failed.

A rank's sign is a file whose time a thread of its own renews, so that one that works for long without looking up is alive all the
same. How old a sign is, each rank judges by its own clock, from when it last saw it change: clocks of machines differ.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from planner.store import write_text

EVERY_S = 15.0
LIMIT_S = 300.0
"""Network disks may show a change late, and a busy machine may be slow to make it."""


class Heartbeat:
    """This rank's sign, and what it sees of the others'.

    Args:
        folder: one that all ranks see.
        attempt: name of the launch.
    """

    def __init__(
        self, folder: Path, attempt: str, rank: int, size: int, *, every: float = EVERY_S, limit: float = LIMIT_S
    ) -> None:  # fmt: skip
        self._every, self._limit = every, limit
        self._signs = {other: folder / f"alive-{attempt}-{other}" for other in range(size) if other != rank}
        self._seen: dict[int, tuple[int, float]] = {}
        """By rank: its sign's time, and when that was first seen."""
        self._looked = time.monotonic()
        self._own, self._over = folder / f"alive-{attempt}-{rank}", threading.Event()
        write_text(self._own, "")
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()

    def _beat(self) -> None:
        while not self._over.wait(self._every):
            with suppress(OSError):  # a disk that is away for a moment; if it stays away, the others will say so
                os.utime(self._own)

    def stop(self) -> None:
        self._over.set()

    def lost(self) -> int | None:
        """A rank that has given no sign for the limit. Looks at the disk only as often as signs are given."""
        now = time.monotonic()
        if now - self._looked < self._every:
            return None
        if now - self._looked > self._limit / 2:
            self._seen.clear()  # this process itself was away, paused or waiting for a disk, and so may the others have been
        self._looked = now
        for rank, sign in self._signs.items():
            try:
                at = sign.stat().st_mtime_ns
            except FileNotFoundError:
                at = 0  # not yet begun, or not yet to be seen here
            before = self._seen.get(rank)
            if before is None or before[0] != at:
                self._seen[rank] = (at, now)
            elif now - before[1] > self._limit:
                return rank
        return None
