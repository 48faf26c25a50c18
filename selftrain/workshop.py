"""What every step of a run works with: its folder, its log, and the child processes that hold the models.

A step is owed until its marker is on disk (`World.once`), says one line when it is done, and leaves its facts in `metrics.jsonl`.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from planner.models import open_tokenizer, resolve_model
from planner.store import append_text, read_log, write_text
from selftrain.config import Config
from selftrain.launch import World
from selftrain.measure import EvaluateJob
from selftrain.stage import AskJob, Job, SampleJob
from selftrain.train import TrainJob


class Workshop:
    """One rank's place in a run. Stages are named by their folder below the run's, e.g. `iter-1/sft`."""

    def __init__(self, config: Config, world: World) -> None:
        self.config, self.world = config, world
        self.folder = config.run_folder

    @cached_property
    def tokenizer(self) -> Any:
        """The seed's, and so every checkpoint's. Opened when first asked for; a broken seed is refused there."""
        return open_tokenizer(resolve_model(self.config.model))

    def metrics(self) -> list[dict[str, Any]]:
        """The last entry of each finished stage, in order."""
        return list({entry["stage"]: entry for entry in read_log(self.folder / "metrics.jsonl")}.values())

    def finish(self, stage: str, line: str, **facts: Any) -> None:
        """Log a finished stage, and tell of it."""
        append_text(self.folder / "metrics.jsonl", json.dumps({"stage": stage, **facts}))
        print(line, flush=True)

    def sample(self, stage: str, task: SampleJob | EvaluateJob | AskJob) -> None:
        """Run a sampling child, on the ranks that have an engine."""
        if self.world.engine_rank is not None:
            self._child(stage, task, self.world.engine_rank, self.world.engines, self.world.sampling_environment())

    def train(self, stage: str, task: TrainJob) -> None:
        """Run a training child, on every rank."""
        self._child(stage, task, 0, 1, self.world.training_environment(stage))

    def _child(
        self, stage: str, task: SampleJob | EvaluateJob | AskJob | TrainJob, rank: int, size: int, environment: dict[str, str]
    ) -> None:
        folder, own = self.folder / stage, self.world.rank
        ledger = str(folder / f"ledger-{own}.jsonl")
        job = Job(task=task, config=self.config, rank=rank, size=size, attempt=self.world.attempt, ledger=ledger)
        path = folder / f".job-{own}.json"
        write_text(path, job.model_dump_json())
        self.world.run_child(stage, [str(path)], environment)
