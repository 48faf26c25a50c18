"""The child process of a stage: `python -m selftrain.stage JOB.json PARENT_PID`. Started by `selftrain/launch.py`, never by hand.

It does what is owed of one job, ends, and so frees its memory; it dies with its parent. An error that the user can mend is one
line on stderr and exit status 2.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError

from planner.engines.base import Engine, EngineError
from planner.errors import DISK_FULL, UserError, is_disk_full
from planner.models import ModelError
from planner.records import Record
from planner.store import append_text
from prompts import PromptError
from selftrain.config import Config
from selftrain.launch import die_with_parent
from selftrain.measure import EvaluateJob, evaluate
from selftrain.sample import Sampler, open_engine
from selftrain.train import TrainJob, train


class SampleJob(Record):
    """Draw chains with one model."""

    folder: str
    pairs: str
    model: str
    first: bool
    """The model is the seed: plans from the instruction alone."""


class Job(Record):
    """One child's whole assignment."""

    kind: Literal["sample", "evaluate", "train"]
    config: Config
    sample: SampleJob | None = None
    evaluate: EvaluateJob | None = None
    train: TrainJob | None = None
    rank: int = 0
    size: int = 1
    """Of the engines, for `sample` and `evaluate`."""
    ledger: str
    """File that the child's tokens and seconds are appended to."""


def run(job: Job) -> None:
    if job.train is not None:
        train(job.config, job.train)
        return
    config = job.config
    seed = config.seed * 1_000_003 + job.rank
    started = time.monotonic()
    if job.sample is not None:
        engine_config = config.seed_engine if job.sample.first and config.seed_engine else config.engine
        engine = open_engine(engine_config, job.sample.model, seed)
        ready = time.monotonic()
        sample = job.sample
        Sampler(config, Path(sample.folder), Path(sample.pairs), first=sample.first, rank=job.rank, size=job.size).run(engine)
    else:
        assert job.evaluate is not None
        first = next(iter(job.evaluate.models.values()))
        engine = open_engine(config.engine, first, seed)
        ready = time.monotonic()
        evaluate(config, job.evaluate, engine, rank=job.rank, size=job.size)
    _enter(job, engine, start_s=ready - started, seconds=time.monotonic() - started)
    engine.close()


def _enter(job: Job, engine: Engine, *, start_s: float, seconds: float) -> None:
    counters = engine.counters
    entry = {"kind": job.kind, "engine_start_s": round(start_s, 1), "seconds": round(seconds, 1), **counters._asdict()}
    append_text(Path(job.ledger), json.dumps(entry))


def main() -> int:
    die_with_parent()
    # The parent may have died before the line above took effect; then somebody else is the parent now.
    if os.getppid() != int(sys.argv[2]):
        return 1
    try:
        run(Job.model_validate_json(Path(sys.argv[1]).read_text()))
    except (UserError, EngineError, ModelError, PromptError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, RuntimeError, SafetensorError) as error:
        if not is_disk_full(error):
            raise
        print(f"error: {DISK_FULL}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # the parent says what there is to say
    return 0


if __name__ == "__main__":
    sys.exit(main())
