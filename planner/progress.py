"""One look for every progress bar: what, how far, rate, time left."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(what: str, total: int, unit: str) -> Any:
    """A bar on stderr. On a terminal it redraws itself; in a log it writes a line every ten seconds."""
    if sys.stderr.isatty():
        return tqdm(total=total, desc=what, unit=f" {unit}", mininterval=0.5, dynamic_ncols=True, leave=False)
    return tqdm(total=total, desc=what, unit=f" {unit}", mininterval=10.0, ncols=100, ascii=True, file=_Lines())


class _Lines:
    """A log instead of a terminal: what would overwrite a line becomes a new one."""

    def write(self, text: str) -> None:
        text = text.replace("\r", "").rstrip()
        if text:
            sys.stderr.write(text + "\n")

    def flush(self) -> None:
        sys.stderr.flush()
