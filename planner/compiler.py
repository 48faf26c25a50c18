"""Whether PyTorch could compile C++ here: DeepSpeed's communication on a CPU needs that; vLLM's sampler there can do without."""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from pathlib import Path


def cannot_compile(default: str = "c++") -> str | None:
    """Why nothing could be compiled; None where nothing is seen to be missing.

    Args:
        default: what is called where `CXX` names no compiler: `c++` for extensions, `g++` by `torch.compile`.
    """
    compiler, *_ = shlex.split(os.environ.get("CXX", "")) or [default]
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler ({compiler})"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python's headers are not installed (Python.h)"
    return None
