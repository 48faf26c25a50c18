"""A sweep's trials on a Ray cluster: each is a trial of Ray Tune, which runs as many at once as the machines have room for.

Tune places, starts and stops. What trains is the child that trains without Ray (`compare.child`), so the same files are left. Finished
trials are not handed over again, which is all there is to resuming; Tune's own state, in `tune/`, is a log. The folder that the command
is typed in, the sweep's folder, its examples and its model must lie under the same paths on every machine.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt

from compare.child import run_child
from compare.trial import Trained, Trial, TrialJob
from planner.engines.ray import reach
from planner.errors import UserError
from planner.records import Record
from planner.store import read_record, write_text


class RayConfig(Record):
    """Which cluster, and what a trial takes of it."""

    address: str | None = None
    """None: RAY_ADDRESS; without one a cluster that this machine is part of, else one of this machine alone."""
    cpus: PositiveInt = 1
    """Of each trial."""
    gpus: float | None = Field(default=None, ge=0, le=1)
    """Of each trial, which trains in one process; two may share a GPU (0.5). None: one where the cluster has any."""
    max_concurrent: PositiveInt | None = None
    """Trials at once. None: as many as there is room for."""


def run_trials(jobs: Sequence[TrialJob], config: RayConfig, out: Path) -> None:
    """Train them all; the first that fails ends the others.

    Raises:
        UserError: Ray is missing or not reached, has no room, does not share the folder; or a trial failed, which is named.
    """
    try:
        import ray
        import ray.tune
    except ImportError as error:
        raise UserError(f"Ray Tune cannot be imported ({error}): install the extra `ray`") from error
    # Ctrl-C ends the sweep at once, as without Ray; Tune would save its state first, and return as if all were done.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it logs the traces of a trial that failed, which is named below
    ours = not ray.is_initialized()
    if ours:
        where = config.address or os.environ.get("RAY_ADDRESS")
        try:
            reach(where)
            ray.init(address=config.address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except OSError as error:
            raise UserError(
                f"no Ray cluster at {where or 'the address that `ray start` left'} ({error}): start one, mend ray.address or RAY_ADDRESS, "
                "or set RAY_AUTH_MODE=token where it asks for a token"
            ) from error
    try:
        _run(ray, jobs, config, out)
    finally:
        if ours:
            ray.shutdown()


def _run(ray: Any, jobs: Sequence[TrialJob], config: RayConfig, out: Path) -> None:
    tune = ray.tune
    machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    gpus = config.gpus if config.gpus is not None else min(1, max(has.get("GPU", 0) for has in machines))
    if not any(has.get("CPU", 0) >= config.cpus and has.get("GPU", 0) >= gpus for has in machines):
        raise UserError(
            f"no machine of the Ray cluster has the {config.cpus} CPUs and {gpus:g} GPUs of a trial: lower ray.cpus or ray.gpus"
        )
    for job in jobs:
        write_text(_job_file(job), job.model_dump_json())
    shutil.rmtree(out / "tune", ignore_errors=True)
    train = tune.with_parameters(_train, jobs={job.trial.name: job for job in jobs}, folder=os.getcwd())
    results = tune.Tuner(
        tune.with_resources(train, {"cpu": config.cpus, "gpu": gpus}),
        param_space={"trial": tune.grid_search([job.trial.model_dump() for job in jobs])},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=config.max_concurrent, trial_name_creator=_name, trial_dirname_creator=_name
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=str(out.resolve()), verbose=1, failure_config=tune.FailureConfig(fail_fast=True)
        ),
    ).fit()
    for result in results:
        if result.error is not None:
            # Ray wraps what a worker raised; what is no error of ours ends with the line that says it.
            cause = getattr(result.error, "cause", None)
            said = str(cause) if isinstance(cause, UserError) else str(result.error).strip().splitlines()[-1]
            raise UserError(f"trial {Trial.model_validate(result.config['trial']).name} failed: {said}")


def _job_file(job: TrialJob) -> Path:
    return Path(job.folder) / "job.json"


def _name(trial: Any) -> str:
    """Tune's trial by the name of ours."""
    return Trial.model_validate(trial.config["trial"]).name


def _train(point: dict[str, Any], *, jobs: dict[str, TrialJob], folder: str) -> None:
    """One trial, in a worker of Ray's on any machine; `folder` is the one that the command is typed in."""
    job = jobs[Trial.model_validate(point["trial"]).name]
    if not (seen := Path(folder, _job_file(job))).is_file():
        raise UserError(
            f"{socket.gethostname()} does not see {seen}: all machines must share the folder of out= and the one that the command is typed in"
        )
    os.chdir(folder)  # relative paths mean what they mean to the command
    run_child("train", job, _job_file(job), log=Path(job.folder) / "log.txt")
    trained = read_record(Path(job.folder) / "trial.json", Trained)
    from ray import tune

    tune.report({"held_out_loss": trained.losses[-1]})
