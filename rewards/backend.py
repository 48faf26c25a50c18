"""The process that holds the server's judge model: vLLM's own server as a child, watched and started anew when it dies.

The model lives apart from the HTTP server, so a crash in it is a status 503 for a while and not the end, and vLLM batches the
judgments of all requests continuously. The child listens on loopback under a key of its own, and is killed with its parent.
"""

from __future__ import annotations

import ctypes
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, Protocol

from planner.engines.base import EngineError
from planner.engines.server import base_url
from planner.engines.vllm import CPU_BLOCK
from planner.models import resolve_model
from rewards.config import EngineOptions

State = Literal["starting", "ready", "stopped"]
_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.2
_PAUSE_S = 5.0
"""After a start that failed, before the next."""
# A launcher's variables would make vLLM take itself for a part of its training world.
_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
_SERVED = "judge"


class Backend(Protocol):
    """Where the judge's model answers."""

    url: str
    model: str
    key: str

    @property
    def state(self) -> State: ...

    def close(self) -> None: ...


class ServedElsewhere:
    """An OpenAI-compatible server that somebody else runs; whether it answers is seen when it is asked."""

    def __init__(self, url: str, model: str) -> None:
        self.url, self.model = base_url(url), model
        self.key = os.environ.get("OPENAI_API_KEY") or "none"
        self.state: State = "ready"

    def close(self) -> None:
        self.state = "stopped"


class EngineProcess:
    """A vLLM server of our own. Returns at once; `state` is `ready` when it answers.

    Args:
        start_s: how long one start may take.

    Raises:
        ModelError: there is no such model.
    """

    def __init__(self, model: str, options: EngineOptions, *, start_s: float = 600.0) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self.url, self.model, self.key = f"http://127.0.0.1:{self._port}/v1", _SERVED, secrets.token_hex(16)
        self._path, self._options, self._start_s = resolve_model(model), options, start_s
        self.state: State = "starting"
        self.starts = 0
        self._closing = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="engine-process", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """Wait until it answers.

        Raises:
            EngineError: it did not in time, or it ended at its first start; then its own words are on stderr.
        """
        until = time.monotonic() + timeout_s
        while self.state != "ready":
            if self.state == "stopped" or time.monotonic() > until:
                raise EngineError("the judge's vLLM did not start: its log above says why")
            time.sleep(_POLL_S)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    # -- inside ------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Keep a child alive. One that did not come up at the first start is not tried again: it would fail in the same way. Later
        ones are: what failed may be memory that the dead one has not given back yet."""
        while not self._closing.is_set():
            self.starts += 1
            # The kernel kills a child when the *thread* that started it ends, so this thread lives as long as the server.
            self._child = subprocess.Popen(
                self._command(), env=self._environment(), stdout=sys.stderr, preexec_fn=_die_with_parent, start_new_session=True
            )
            came_up = self._await_answer()
            if came_up:
                self.state = "ready"
                while self._child.poll() is None and not self._closing.wait(_POLL_S):
                    pass
            self.state = "starting"
            self._end_child()
            if not came_up and self.starts == 1:
                break
            if not self._closing.is_set():
                _log.error("the judge's vLLM ended with status %s; starting it again", self._child.returncode)
                self._closing.wait(0 if came_up else _PAUSE_S)
        self.state = "stopped"

    def _await_answer(self) -> bool:
        assert self._child is not None
        until = time.monotonic() + self._start_s
        while time.monotonic() < until and self._child.poll() is None and not self._closing.wait(_POLL_S):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=2) as reply:
                    if reply.status == 200:
                        return True
            except (urllib.error.URLError, OSError):
                continue
        return False

    def _end_child(self) -> None:
        """End the child and the workers it started; they share its process group."""
        assert self._child is not None
        for sign, grace_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            try:
                os.killpg(self._child.pid, sign)
            except ProcessLookupError:
                break
            try:
                self._child.wait(grace_s)
            except subprocess.TimeoutExpired:
                continue

    def _command(self) -> list[str]:
        options = self._options
        command = [
            # Not the command `vllm`, which the CPU package breaks by its own name.
            sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", self._path, "--host", "127.0.0.1", "--port", str(self._port),
            "--served-model-name", _SERVED, "--enable-prefix-caching", "--enforce-eager", "--load-format", "safetensors",
            "--max-num-seqs", str(options.max_num_seqs), "--tensor-parallel-size", str(options.tensor_parallel),
            "--gpu-memory-utilization", str(options.gpu_memory_utilization), "--generation-config", "vllm",
            "--disable-uvicorn-access-log",
        ]  # fmt: skip
        if _on_cpu():
            command += ["--block-size", str(CPU_BLOCK)]
        return command + (["--max-model-len", str(options.max_model_len)] if options.max_model_len else [])

    def _environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name not in _LAUNCHER}
        environment["VLLM_API_KEY"] = self.key
        for name, value in (
            ("VLLM_LOGGING_LEVEL", "ERROR"), ("VLLM_NO_USAGE_STATS", "1"), ("VLLM_CPU_KVCACHE_SPACE", str(self._options.kv_cache_gb)),
            ("VLLM_CPU_NUM_OF_RESERVED_CPU", "0"),
            # Of the matrix products that oneDNN compiles, one for each number of tokens in a step, it keeps 1,024 otherwise.
            ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128"),
        ):  # fmt: skip
            environment.setdefault(name, value)
        return environment


def _on_cpu() -> bool:
    """Whether the vLLM that is installed is its CPU build; asked of the package, because importing it would load torch into this process."""
    try:
        return "cpu" in version("vllm")
    except PackageNotFoundError:
        return True  # the package `vllm-cpu`


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
