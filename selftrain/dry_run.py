"""What a run would do, before it does it: stages, prompts, tokens, bytes, memory and hours.

    python selftrain/run.py --dry-run CONFIG [configs/accelerate/LAUNCH.yaml] [key=value …]

Nothing is sampled, trained or downloaded. Prompts are rendered from a few of the run's pairs, or from stand-ins where their file is
not here; a file that is here is read as far as the run would take pairs from it, and said to have too few. Where the run has finished a stage,
what it took stands beside the forecast.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Literal

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, PositiveInt, ValidationError, field_validator
from rich.console import Console
from rich.table import Table

from planner.errors import UserError
from planner.models import open_tokenizer, resolve_model
from planner.records import Pair
from planner.store import read_log
from selftrain.checkpoints import is_judge
from selftrain.config import Config, load_config
from selftrain.forecast import TYPICAL_EXECUTION, TYPICAL_PLAN, Forecast, Launch, Stage, measure
from selftrain.hardware import HARDWARE, cores_of_one, shape_of
from selftrain.pairs import split_sizes, usable_pairs

_SAMPLE = 64
_STAND_IN = Pair(instruction="word " * 150, response_a="word " * 300, response_b="word " * 300)


def dry_run(arguments: list[str]) -> list[Stage]:
    """Print the forecast of a config, under the launch of an accelerate file, and return its stages.

    Raises:
        UserError: a config or launch that the run itself would refuse, or a model whose sizes are not known.
    """
    launches = [one for one in arguments[1:] if one.endswith((".yaml", ".yml")) and "=" not in one]
    if not arguments or len(launches) > 1:
        raise UserError("--dry-run takes a config, at most one accelerate file, and overrides")
    config = load_config(arguments[0], [one for one in arguments[1:] if one not in launches])
    launch = read_launch(launches[0], config) if launches else Launch(config.processes, 1, 0)
    each, group = launch.processes // launch.machines, config.engine.tensor_parallel
    if each % group and launch.processes > 1:
        raise UserError(f"engine.tensor_parallel = {group} does not divide the {each} processes of a node")
    model = resolve_model(config.model)
    need = sum(split_sizes(config).values())
    there = islice(usable_pairs(config), need)
    pairs = [one.pair for one in islice(there, _SAMPLE)]
    count = len(pairs) + sum(1 for _ in there) if config.pairs.source in ("jsonl", "gsm8k_solutions") else need
    lengths = measure(config, pairs or [_STAND_IN], open_tokenizer(model) if Path(model).is_dir() else None)
    stages = list(Forecast(config, launch, shape_of(model), lengths, from_judge=is_judge(config, model)).stages())
    _print(config, launch, stages, known=bool(pairs))
    if pairs and count < need:
        print(f"The run would be refused: {config.pairs.path} gives {count:,} usable pairs, and it asks for {need:,}.")
    if not launches and config.processes > 1:
        print(
            f"No launch file was named, so all {config.processes} processes are counted on one machine and without DeepSpeed: add the one that "
            "you will launch with, e.g. configs/accelerate/gpu-8-zero3.yaml."
        )
    if config.seed_engine:
        print(
            f"The seed's chains are counted as if engine drew them, and not seed_engine, a {config.seed_engine.kind} of unknown speed."
        )
    return stages


class _DeepSpeed(BaseModel):
    """What is counted of an accelerate file's `deepspeed_config`."""

    zero_stage: Literal[0, 1, 2, 3]
    offload_optimizer_device: Literal["none"] = "none"
    offload_param_device: Literal["none"] = "none"


class _LaunchFile(BaseModel):
    """What is counted of an accelerate file, which holds more."""

    distributed_type: Literal["NO", "MULTI_CPU", "MULTI_GPU", "DEEPSPEED", False] = "NO"
    num_processes: PositiveInt
    num_machines: PositiveInt = 1
    deepspeed_config: _DeepSpeed | None = None

    @field_validator("deepspeed_config", mode="before")
    @classmethod
    def _filled(cls, given: object) -> object:
        return given or None  # accelerate writes {} where there is none


def read_launch(path: str, config: Config) -> Launch:
    """What an accelerate file starts.

    Raises:
        UserError: no such file, one that cannot be counted, or that does not fit the config.
    """
    try:
        found = _LaunchFile.model_validate(yaml.safe_load(Path(path).read_text()))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; take one of configs/accelerate/") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is no YAML ({' '.join(str(error).split())}); mend it, or take one of configs/accelerate/"
        ) from None
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"])) or "the file"
        raise UserError(
            f"{path} does not fit at {field} ({problem['msg']}): plain launches and DeepSpeed without offloading are counted, as in configs/accelerate/"
        ) from None
    if (found.distributed_type == "DEEPSPEED") != (found.deepspeed_config is not None):
        raise UserError(f"{path}: distributed_type DEEPSPEED and deepspeed_config.zero_stage go together")
    launch = Launch(found.num_processes, found.num_machines, found.deepspeed_config.zero_stage if found.deepspeed_config else 0)
    if launch.processes != config.processes:
        raise UserError(f"{path} starts {launch.processes} process(es) but the config says processes = {config.processes}")
    if launch.processes % launch.machines:
        raise UserError(f"{path}: {launch.processes} processes cannot be shared out to {launch.machines} machines evenly")
    return launch


def _print(config: Config, launch: Launch, stages: list[Stage], *, known: bool) -> None:
    console = Console(width=None if Console().is_terminal else 170)
    took = {one["stage"]: one["seconds"] for one in read_log(config.run_folder / "metrics.jsonl") if one.get("seconds")}
    machine = f"{cores_of_one(launch.processes // launch.machines)} CPU core(s)" if config.hardware == "cpu" else config.hardware
    table = Table(title=f"{config.name}: forecast for {launch.processes} × {machine} on {launch.machines} machine(s)")
    for column in (
        "stage",
        "prompts or rows",
        "read",
        "written",
        "trained on",
        "disk",
        "memory of one",
        "time",
        *(["took"] if took else []),
    ):
        table.add_column(column, justify="left" if column in ("stage", "memory of one") else "right", no_wrap=True)
    for one in stages:
        table.add_row(*_cells(one), *([_time(took[one.name]) if one.name in took else ""] if took else []))
    table.add_section()
    table.add_row(*_cells(_sum(stages)), *([_time(sum(took.get(one.name, 0) for one in stages))] if took else []))
    console.print(table)
    measured = HARDWARE[config.hardware].measured
    console.print(
        f"Speeds of {config.hardware}: {'measured' if measured else 'ASSUMED'} (selftrain/hardware.py). Plans of {TYPICAL_PLAN} and "
        f"executions of {TYPICAL_EXECUTION} tokens, or three quarters of tighter limits; half of all chains right"
        + ("." if known else f"; {config.pairs.path} is not here, so instructions of 150 and responses of 300 words.")
    )


def _sum(stages: list[Stage]) -> Stage:
    def of(name: str) -> float:
        return float(sum(getattr(one, name) for one in stages))

    return Stage("in all", of("prompts"), of("read"), of("written"), of("trained"), of("disk_gb"), "", of("seconds"))


def _cells(one: Stage) -> list[str]:
    counts = [f"{value:,.0f}" if value else "" for value in (one.prompts, one.read, one.written, one.trained)]
    disk = f"{one.disk_gb:,.1f} GB" if one.disk_gb >= 0.1 else f"{one.disk_gb * 1000:,.1f} MB"
    return [one.name, *counts, disk, one.memory, _time(one.seconds)]


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.1f} min"
