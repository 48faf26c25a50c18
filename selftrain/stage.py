"""The child process of a stage: `python -m selftrain.stage JOB.json PARENT_PID`. Started by `selftrain/launch.py`, never by hand.

It does what is owed of one job, ends, and so frees its memory; it dies with its parent. An error that the user can mend is one
line on stderr and exit status 2.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from planner.engines.base import EngineError
from planner.errors import LOST_PEER, TellDiskFull, UserError, is_lost_peer
from planner.models import ModelError
from planner.records import Record
from prompts import PromptError
from selftrain.config import Config
from selftrain.launch import die_with_parent
from selftrain.ledger import Ledger
from selftrain.measure import EvaluateJob, evaluate
from selftrain.pairs import sources
from selftrain.sample import Sampler, open_engine
from selftrain.train import TrainJob, train


class SampleJob(Record):
    """Draw chains with one model."""

    folder: str
    pairs: str
    model: str
    first: bool
    """It is no judge yet: plans from the instruction alone."""
    of_seed: bool
    """The seed's engine draws."""


class AskJob(Record):
    """Have the seed write the responses that the pairs' source needs."""

    folder: str
    model: str


class Job(Record):
    """One child's whole assignment."""

    task: SampleJob | EvaluateJob | TrainJob | AskJob
    config: Config
    rank: int = 0
    size: int = 1
    """Of the engines; training finds its ranks in the launcher's environment."""
    attempt: str
    """Name of the launch that started this child."""
    ledger: str
    """File that the engine's tokens are appended to."""


def run(job: Job) -> None:
    config, task = job.config, job.task
    if isinstance(task, TrainJob):
        train(config, task)
        return
    settings, model = config.engine, next(iter(task.models.values())) if isinstance(task, EvaluateJob) else task.model
    if isinstance(task, AskJob) or (isinstance(task, SampleJob) and task.of_seed):
        settings = config.seed_engine or config.engine
    engine = Ledger(open_engine(settings, model, (config.seed * 1_000_003 + job.rank) % 2**32), Path(job.ledger), job.attempt)
    try:
        if isinstance(task, EvaluateJob):
            evaluate(config, task, engine, rank=job.rank, size=job.size)
        elif isinstance(task, AskJob):
            sources.ask(config.pairs, engine, Path(task.folder), rank=job.rank, size=job.size)
        else:
            Sampler(config, Path(task.folder), Path(task.pairs), first=task.first, rank=job.rank, size=job.size).run(engine)
    finally:
        engine.close()


def main() -> int:
    die_with_parent()
    # The parent may have died before the line above took effect; then somebody else is the parent now.
    if os.getppid() != int(sys.argv[2]):
        return 1
    try:
        with TellDiskFull():
            run(Job.model_validate_json(Path(sys.argv[1]).read_text()))
    except (UserError, EngineError, ModelError, PromptError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        return LOST_PEER
    except KeyboardInterrupt:
        return 130  # the parent says what there is to say
    return 0


if __name__ == "__main__":
    sys.exit(main())
