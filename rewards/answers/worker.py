"""The killable process that compares answers: `python -m rewards.answers.worker`, one JSON line in, one out.

What sympy does with hostile input is not to be trusted: it may loop, recurse or ask for all memory. So it does it here, under a
limit on address space and on CPU time a comparison, and the parent kills what does not answer. The child ends when its parent's
pipe closes.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any, NamedTuple

MEMORY_MIB = 1024
"""Address space of a worker. sympy with math-verify takes about 200 MiB of it."""
RENEW_AFTER = 5000
"""Comparisons after which a worker is replaced: parsers and sympy keep caches that only grow."""
START_S = 60.0


class Decision(NamedTuple):
    """`equal` is None where it could not be decided, and `why` says what stood in the way: `unreadable`, `time`, `memory`, `died`."""

    equal: bool | None
    why: str = ""


class Worker:
    """A child process and the lock around it; started by the first comparison, and again after it had to be killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Any = None
        self._done = self._owner = 0

    def compare(self, a: str, b: str, limit_s: float) -> Decision:
        with self._lock:
            # A worker may be killed by others, such as a system short of memory: that is no finding about an answer, so once more.
            return self._compare(a, b, limit_s) or self._compare(a, b, limit_s) or Decision(None, "died")

    def _compare(self, a: str, b: str, limit_s: float) -> Decision | None:
        """None: the worker died."""
        process = self._ready()
        assert process.stdin is not None
        line: bytes | None
        try:
            process.stdin.write(json.dumps([a, b, limit_s]).encode() + b"\n")
            process.stdin.flush()
            # The child stops itself at the limit; a C function that cannot be interrupted is killed from here. Both limits are
            # processor time, so that a busy machine decides nothing; the clock has the last word.
            line = _answer(process, limit_s)
        except BrokenPipeError:
            line = b""
        self._done += 1
        if line:
            equal, why = json.loads(line)
            return Decision(equal, why)
        self.close()
        return Decision(None, "time") if line is None else None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def close(self) -> None:
        """Kill the child; the next comparison starts another."""
        if self._end is not None:
            self._end()
        self._process = self._end = None

    def _ready(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner != os.getpid():
            self.close()  # a fork of the process that started it: the pipe is not ours to write to
        if self._done >= RENEW_AFTER:
            self.close()
        if self._process is None:
            self._process = _start()
            self._done, self._owner = 0, os.getpid()
            self._end = weakref.finalize(self, _kill, self._process, self._owner)
        return self._process


def _start() -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parent.parent.parent)
    code = f"import sys; sys.path.insert(0, {root!r}); from rewards.answers.worker import serve; serve()"
    # -I: nothing in the working directory or the environment decides what is imported.
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )
    if _line(process, START_S) != b"ready\n":
        _kill(process, os.getpid())
        raise RuntimeError(f"the answer check's worker did not start: run `{sys.executable} -m rewards.answers.worker` to see why")
    return process


def _line(process: subprocess.Popen[bytes], limit_s: float) -> bytes | None:
    """One line of the child's; None where the limit passed, nothing where the child died."""
    assert process.stdout is not None
    found, _, _ = select.select([process.stdout], [], [], limit_s)
    return process.stdout.readline() if found else None


def _answer(process: subprocess.Popen[bytes], limit_s: float) -> bytes | None:
    """The child's answer; None where it went on for twice the limit."""
    deadline, spent = time.monotonic() + 10 * limit_s + 5, _processor_s(process.pid)
    while time.monotonic() < deadline:
        line = _line(process, limit_s)
        if line is not None or _processor_s(process.pid) - spent > 2 * limit_s:
            return line
    return None


def _processor_s(pid: int) -> float:
    """Seconds of processor time that a process has had; 0 where it is gone, or where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kill(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() == owner:  # a fork shares the handle, not the child
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


# -- in the child ------------------------------------------------------------------------------------------------------


class _OutOfTime(BaseException):
    """Raised by the timer; no library may catch it on the way up as an error of its own."""


def serve() -> None:
    """Answer until stdin closes."""
    import sympy
    from latex2sympy2_extended.latex2sympy2 import latex2sympy

    from rewards.answers.compare import compare

    latex2sympy(r"\frac{1}{2}+x^2")  # builds the parser's tables
    limit = MEMORY_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(2000)
    sys.set_int_max_str_digits(5000)
    signal.signal(signal.SIGPROF, _alarm)
    unreadable = _errors(sympy)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is no answer
    out.write(b"ready\n")
    for line in sys.stdin.buffer:
        a, b, limit_s = json.loads(line)
        answer: tuple[bool | None, str]
        try:
            try:
                signal.setitimer(signal.ITIMER_PROF, limit_s)
                answer = (found := compare(a, b), "" if found is not None else "unreadable")
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)  # a signal on its way arrives here, and is caught below
        except _OutOfTime:
            answer = (None, "time")
        except MemoryError:
            answer = (None, "memory")
        except unreadable:
            answer = (None, "unreadable")
        out.write(json.dumps(answer).encode() + b"\n")


def _alarm(signum: int, frame: Any) -> None:
    raise _OutOfTime


def _errors(sympy: Any) -> tuple[type[BaseException], ...]:
    """What sympy and the parser raise on what they cannot do. Anything else is a bug of ours, and ends the worker."""
    from sympy.polys.polyerrors import BasePolynomialError

    return (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, BasePolynomialError)


if __name__ == "__main__":
    serve()
