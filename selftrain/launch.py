"""Ranks and child processes: who runs what, in which environment, and how all of them end together.

`accelerate launch` starts one parent a rank. A parent touches no accelerator: each stage is a child that ends and frees its
memory. Sampling children see none of the launcher's rank variables, only the devices they own (an engine that inherits them takes
itself for part of the training world). Training children form a fresh world per stage, on a port that the parents agree on.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from planner.errors import LOST_PEER, UserError
from planner.lock import lock_rank, lock_run
from planner.records import digest
from planner.store import append_text, read_log, write_text
from selftrain.config import Config
from selftrain.heartbeat import LIMIT_S, Heartbeat
from selftrain.markers import once

_LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK",
                       "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")  # fmt: skip
_LAUNCHER_PREFIXES = ("TORCHELASTIC_", "ACCELERATE_", "FSDP_", "TORCH_NCCL_")
_POLL_S = 0.2
PATIENCE_S = 60.0
"""For a file that another machine has written to show here."""
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends, however it ends. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class PeerError(UserError):
    """Another rank has failed, and has said why."""


class World:
    """This process's place among the ranks of one launch, and the run folder they share.

    Raises:
        UserError: the launched size is not the configured one; another launch holds the run; the folder is not shared.
    """

    def __init__(self, config: Config) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", str(self.size)))
        self.folder = config.run_folder
        if self.size != config.processes:
            raise UserError(
                f"launched with {self.size} process(es) but the config says processes = {config.processes}: "
                f"add processes={self.size}, or launch with --num_processes {config.processes}"
            )
        if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true" and "ACCELERATE_DEEPSPEED_ZERO_STAGE" not in os.environ:
            raise UserError(
                "the launch file says DeepSpeed and no stage: add zero_stage to its deepspeed_config, as the files of configs/accelerate/ have it"
            )
        group = config.engine.tensor_parallel
        if self.local_size % group and self.size > 1:
            raise UserError(f"engine.tensor_parallel = {group} does not divide the {self.local_size} processes of a node")
        by_ray = config.engine.kind == "ray"
        self.engines = 1 if by_ray else max(1, self.size // group)
        """Sampling engines in the whole world. Ray's are one to us, which rank 0 speaks to."""
        self.engine_rank = None if self.rank % (self.size if by_ray else group) else self.rank // group
        """Which of them this rank runs; None where another rank does."""
        self._devices_per_engine = self.local_size if by_ray else group
        self._no_folder = ""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._no_folder = f"the run folder {self.folder} cannot be made: {error}"
            if self.size == 1:
                raise UserError(self._no_folder) from None
        self._meeting = self.folder / ".launch"
        """Small files through which the ranks of one attempt meet."""
        self._heartbeat: Heartbeat | None = None
        self.attempt = self._join()
        if self.size > 1:
            self._heartbeat = Heartbeat(self._meeting, self.attempt, self.rank, self.size)

    @property
    def training_layout(self) -> str:
        """How this launch saves optimiser state: whole, or cut by ZeRO for so many ranks."""
        if os.environ.get("ACCELERATE_USE_DEEPSPEED") != "true":
            return "whole"
        return f"zero-{os.environ['ACCELERATE_DEEPSPEED_ZERO_STAGE']} on {self.size}"

    # -- meeting -----------------------------------------------------------------------------------------------------

    def once(self, marker: Path, work: Callable[[], None], leaves: Sequence[str] = (), *, anew: Sequence[Path] = ()) -> None:
        """Rank 0 does `work` unless `marker` says that it is done; the others wait for the marker, on disk, at no cost.

        Args and Raises: as `markers.once`.
        """
        if self.rank == 0:
            once(marker, work, leaves, anew=anew)
        else:
            self.wait_for(marker)

    def all_done(self, what: Path) -> None:
        """Wait until every rank of this attempt has said that it is through with `what`."""
        if self.size == 1:
            return
        name = f"done-{self.attempt}-{digest(str(what))}"
        write_text(self._meeting / f"{name}-{self.rank}", "")
        for rank in range(self.size):
            self.wait_for(self._meeting / f"{name}-{rank}")

    def wait_for(self, path: Path) -> None:
        """Wait for a file.

        Raises:
            PeerError: a rank of this attempt has failed meanwhile, so it may never come.
            UserError: a rank has given no sign of life for minutes.
        """
        while not path.exists():
            self._stop_if_another_failed()
            time.sleep(_POLL_S)

    def _stop_if_another_failed(self) -> None:
        for failed in self._meeting.glob(f"failed-{self.attempt}-*"):
            raise PeerError(f"rank {failed.name.rpartition('-')[2]} failed: {failed.read_text()}")
        lost = self._heartbeat.lost() if self._heartbeat else None
        if lost is not None:
            why = f"rank {lost} has given no sign of life for {LIMIT_S / 60:.0f} minutes; see whether its machine is up, and run the same command again"
            self.fail(why)
            raise UserError(why)

    def fail(self, why: str) -> None:
        """Tell the other ranks, which may be on other nodes, that this one ends."""
        if self.size > 1:
            write_text(self._meeting / f"failed-{self.attempt}-{self.rank}", why)

    def _join(self) -> str:
        """Take this rank's place in the run, and agree on a name for this launch: nothing left by an earlier one is taken for ours.

        Raises:
            UserError: the run is in use, or a rank does not see its folder: all ranks are told so, and none has touched it. Or a rank
                never came.
        """
        token, refusal = uuid.uuid4().hex[:12], self._no_folder
        if self.rank == 0 and not refusal:
            try:
                self._lock = lock_run(self.folder)
            except UserError as error:
                if self.size == 1:
                    raise
                refusal = str(error)
        if self.size == 1:
            return token
        from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]

        by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        # Kept: where rank 0 hosts the store, it must outlive the others' reads.
        self._store = TCPStore(host, port, is_master=self.rank == 0 and not by_agent, timeout=timedelta(minutes=10))
        key = f"evalplanner/attempt/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
        if self.rank == 0:
            if not refusal:
                write_text(self._meeting / f"attempt-{token}", "")
            self._store.set(key, f"{refusal}\n{token}")
        try:
            refusal, token = str(self._store.get(key).decode()).split("\n")
            refusal = refusal or self._blind(key, token)
        except DistError as error:
            raise UserError(
                f"a rank of this launch never came ({str(error).splitlines()[0]}): start all machines with the same command, and see that they reach {host}:{port}"
            ) from None
        self._store.set(f"{key}/told-{self.rank}", "")
        if self.rank == 0 and not by_agent:  # the store ends with this process; one that never came is not waited for
            with suppress(DistError):
                self._store.wait([f"{key}/told-{rank}" for rank in range(self.size)], timedelta(minutes=2))
        if refusal:
            raise UserError(refusal)
        if self.rank != 0:
            try:
                self._lock = lock_rank(self.folder, self.rank)
            except UserError as error:
                self.attempt = token
                self.fail(str(error))
                raise
        return token

    def _blind(self, key: str, token: str) -> str:
        """Agree, by the launcher's store, that all ranks see what rank 0 wrote; a refusal where one does not, for all of them."""
        sees = not self._no_folder
        if sees:
            sign, deadline = self._meeting / f"attempt-{token}", time.monotonic() + PATIENCE_S
            while not (sees := sign.exists()) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        self._store.set(f"{key}/sees-{self.rank}", "yes" if sees else "no")
        if self.rank == 0:
            blind = [str(rank) for rank in range(self.size) if self._store.get(f"{key}/sees-{rank}") == b"no"]
            refusal = f"rank {', '.join(blind)} does not see what rank 0 wrote to {self.folder}: put `out` on storage that all nodes share"
            self._store.set(f"{key}/seen", refusal if blind else "by all")
        said = str(self._store.get(f"{key}/seen").decode())
        return "" if said == "by all" else said

    # -- children ----------------------------------------------------------------------------------------------------

    def sampling_environment(self) -> dict[str, str]:
        """No launcher variables, only this engine's devices, and all the threads of its share of the machine."""
        env = {k: v for k, v in os.environ.items() if k not in _LAUNCHER_VARIABLES and not k.startswith(_LAUNCHER_PREFIXES)}
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if self.size > 1:
            own = range(self.local_rank, self.local_rank + self._devices_per_engine)
            names = visible.split(",") if visible else [str(i) for i in range(self.local_size)]
            if len(names) < self.local_size:
                raise UserError(
                    f"CUDA_VISIBLE_DEVICES={visible} names {len(names)} devices for the {self.local_size} processes of a node"
                )
            env["CUDA_VISIBLE_DEVICES"] = ",".join(names[i] for i in own)
            allowed = sorted(os.sched_getaffinity(0))
            cores = max(1, len(allowed) // self.local_size * self._devices_per_engine)
            env["OMP_NUM_THREADS"] = str(cores)
            # Several CPU engines on one machine would otherwise all bind to the same cores.
            first = self.local_rank // self._devices_per_engine * cores
            env["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(str(allowed[i % len(allowed)]) for i in range(first, first + cores))
        return env

    def training_environment(self, stage: str) -> dict[str, str]:
        """The launcher's, with a new meeting point: the agent's own store refuses a second life."""
        # Launchers set one thread a process, which a CPU run would crawl with.
        env = {**os.environ, "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // self.local_size))}
        if self.size > 1:
            env["MASTER_PORT"] = str(self._agree_on_port(stage))
            env["TORCHELASTIC_USE_AGENT_STORE"] = "False"
        return env

    def _agree_on_port(self, stage: str) -> int:
        path = self._meeting / f"port-{self.attempt}-{stage.replace('/', '-')}.json"
        if self.rank == 0:
            with socket.socket() as probe:
                probe.bind(("", 0))
                write_text(path, json.dumps(probe.getsockname()[1]))
        self.wait_for(path)
        port: int = json.loads(path.read_text())
        return port

    def run_child(self, stage: str, arguments: Sequence[str], environment: dict[str, str]) -> None:
        """Run `python -m selftrain.stage …` to its end, keeping count of the seconds in `<stage>/seconds.jsonl`.

        Raises:
            UserError: it failed. It has said why on the lines before; what it finished is kept.
            PeerError: another rank failed meanwhile.
        """
        command = [sys.executable, "-m", "selftrain.stage", *arguments, str(os.getpid())]
        root = str(Path(__file__).resolve().parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
        clock = Clock(self.folder / stage / f"seconds-{self.rank}.jsonl", self.attempt)
        child = subprocess.Popen(command, env=environment, pass_fds=[self._lock.fileno()])
        try:
            while (code := child.poll()) is None:
                time.sleep(_POLL_S)
                clock.tick()
                # A trainer whose peer is gone would wait in a collective for its timeout of half an hour.
                self._stop_if_another_failed()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            clock.stop()
        if code == LOST_PEER:
            self._wait_for_the_cause()
        if code != 0:
            why = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            raise UserError(
                f"stage {stage} failed on rank {self.rank} ({why}); mend the cause above and run the same command again"
            )

    def _wait_for_the_cause(self) -> None:
        """Give the rank that failed, or the launcher that stops us all, time to speak first."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self._stop_if_another_failed()
            time.sleep(_POLL_S)


class Clock:
    """Seconds spent on a stage, summed over attempts; a killed attempt loses at most the last ten."""

    def __init__(self, path: Path, attempt: str) -> None:
        self._path, self._attempt = path, attempt
        self._started = self._told = time.monotonic()

    def tick(self) -> None:
        if time.monotonic() - self._told >= 10:
            self.stop()

    def stop(self) -> None:
        self._told = time.monotonic()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        append_text(self._path, json.dumps({"attempt": self._attempt, "seconds": round(self._told - self._started, 1)}))


def seconds_spent(stage_folder: Path) -> float:
    """Wall seconds of a stage over all its attempts, of the rank that took longest."""
    totals = []
    for path in stage_folder.glob("seconds-*.jsonl"):
        last: dict[str, float] = {}
        for entry in read_log(path):
            last[entry["attempt"]] = entry["seconds"]
        totals.append(sum(last.values()))
    return max(totals, default=0.0)
