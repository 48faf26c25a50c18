"""PyTorch's extensions, which DeepSpeed compiles on first use: a compilation that was killed leaves its lock, and PyTorch waits for that without end.

An empty file is all there is to the lock: nothing tells whose it is. So it is waited for as long as a compilation may take, and then named.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from planner.errors import UserError

PATIENCE_S = 600.0
"""Longer than any extension of DeepSpeed takes to compile."""


def wait_for_compilations() -> None:
    """Return when nobody is compiling an extension.

    Raises:
        UserError: a lock has not gone within `PATIENCE_S`; says which file to delete.
    """
    from torch.utils.cpp_extension import get_default_build_root

    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root())
    until = time.monotonic() + PATIENCE_S
    told = False
    # A folder an extension, below one for the version of Python where the default root is used.
    while locks := sorted([*root.glob("*/lock"), *root.glob("*/*/lock")]):
        if time.monotonic() > until:
            raise UserError(
                f"{locks[0]} has been there for {PATIENCE_S:.0f} s: a compilation was killed; delete it, and run the same command again"
            )
        if not told and int(os.environ.get("RANK", "0")) == 0:
            print(f"waiting for the compilation that holds {locks[0]}; if none is going on, delete it", flush=True)
            told = True
        time.sleep(0.2)
