"""One look for every progress bar: what, how far, rate, time left."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(what: str, total: int, unit: str) -> Any:
    """A bar on stderr. On a terminal it redraws itself; in a log it writes a line every ten seconds."""
    interval = 0.5 if sys.stderr.isatty() else 10.0
    return tqdm(total=total, desc=what, unit=f" {unit}", mininterval=interval, dynamic_ncols=True, leave=False)
