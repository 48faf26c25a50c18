"""Scores of a checkpoint on tasks of lm-eval, EleutherAI's language model evaluation harness.

lm-eval opens the checkpoint itself, through transformers (its model `hf`), and asks each task in its own form: few-shot examples as the task
has them, and no chat template. Most tasks' questions come from the hub; a folder may add one's own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import PositiveInt

from eval.report import Table
from planner.errors import UserError
from planner.records import Record
from planner.store import write_text


class ScoreJob(Record):
    """One child's assignment: score a model; `file` takes its `Scores`."""

    model: str
    tasks: tuple[str, ...]
    folder: str | None
    """Of tasks of one's own."""
    folder_digest: str
    limit: PositiveInt | None
    batch_size: PositiveInt
    file: str

    @property
    def asked(self) -> tuple[Any, ...]:
        """What the scores depend on, of one checkpoint."""
        return self.tasks, self.folder_digest, self.limit


class Score(Record):
    """A metric of a task, or of a group of tasks."""

    task: str
    metric: str
    """As lm-eval calls it, with its filter after a comma where there is one: `acc`, `exact_match,strict-match`."""
    higher_is_better: bool | None
    """None: lm-eval does not say."""
    value: float
    stderr: float | None
    """None where lm-eval has none."""


class Scores(Record):
    """What a child left; `scores.json`."""

    job: ScoreJob
    scores: tuple[Score, ...]


class Measured(NamedTuple):
    value: float
    stderr: float | None


class Scored(Record):
    """A metric of the chosen setting and of the default."""

    task: str
    metric: str
    higher_is_better: bool | None
    chosen: Measured
    default: Measured


def check_tasks(tasks: Sequence[str], folder: str | None) -> None:
    """Load tasks as the scoring will, their questions included, so that what is missing is said before anything is trained.

    Raises:
        UserError: lm-eval is missing, there is no such folder or task, or a task cannot be had.
    """
    try:
        import datasets
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise UserError(
            f"lm-eval cannot be imported ({error}): `pip install lm-eval==0.4.13`, or install the extra `lm-eval`"
        ) from error
    if folder is not None and not Path(folder).is_dir():
        raise UserError(f"lm_eval_tasks = {folder} is no folder; it holds task files of lm-eval (YAML)")
    datasets.disable_progress_bars()
    manager = TaskManager(include_path=folder)
    for name in tasks:
        if name not in manager.all_tasks:
            raise UserError(f"lm-eval has no task {name}; `lm-eval ls tasks` lists them, and lm_eval_tasks = FOLDER adds your own")
        try:
            loaded = manager.load(name)["tasks"]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"lm-eval cannot load the task {name}: {error}") from error
        if unsafe := [task for task, one in loaded.items() if getattr(one, "UNSAFE_CODE", False)]:
            raise UserError(f"the task {unsafe[0]} runs code that a model wrote, which a sweep does not: leave it out of lm_eval")


def folder_digest(folder: str | None) -> str:
    """A hash of all files of a folder, by name and content."""
    found = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")) if folder else ():
        if path.is_file():
            found.update(f"{path.relative_to(folder or '')}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def score(job: ScoreJob) -> None:
    """Score a model and write its `Scores`.

    Raises:
        UserError: lm-eval gave no number.
    """
    import lm_eval
    import torch
    from lm_eval.tasks import TaskManager

    found = lm_eval.simple_evaluate(
        model="hf", model_args={"pretrained": job.model}, tasks=list(job.tasks), task_manager=TaskManager(include_path=job.folder),
        limit=job.limit, batch_size=job.batch_size, device="cuda" if torch.cuda.is_available() else "cpu",
        log_samples=False,
    )  # fmt: skip
    scores = tuple(_scores(found))
    if not scores:
        raise UserError(f"lm-eval gave no number for {', '.join(job.tasks)}")
    write_text(Path(job.file), Scores(job=job, scores=scores).model_dump_json(indent=2) + "\n")


def _scores(found: dict[str, Any]) -> Iterator[Score]:
    """Rows of lm-eval's results: `{task: {"acc,none": …, "acc_stderr,none": … or "N/A", "alias": …}}`."""
    for task, row in found["results"].items():
        better = found["higher_is_better"].get(task, {})
        for key, value in row.items():
            metric, comma, filtered = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            stderr = row.get(f"{metric}_stderr,{filtered}")
            yield Score(
                task=task,
                metric=metric if filtered == "none" else key,
                higher_is_better=better.get(metric),
                value=value,
                stderr=stderr if isinstance(stderr, int | float) and math.isfinite(stderr) else None,
            )


def beside(chosen: Sequence[Score], default: Sequence[Score]) -> tuple[Scored, ...]:
    return tuple(
        Scored(
            task=one.task, metric=one.metric, higher_is_better=one.higher_is_better, chosen=Measured(one.value, one.stderr),
            default=Measured(other.value, other.stderr),
        )
        for one, other in zip(chosen, default, strict=True)
    )  # fmt: skip


def score_table(scored: Sequence[Scored]) -> Table:
    """For the page and the terminal."""

    def cell(one: Measured) -> str:
        return f"{one.value:.4f}" + ("" if one.stderr is None else f" ± {one.stderr:.4f}")

    better = {True: "higher", False: "lower", None: ""}
    return Table(
        title="lm-eval",
        note="The chosen setting and the default on tasks of lm-eval, with its standard errors.",
        columns=("task", "metric", "better", "chosen", "default"),
        rows=tuple((one.task, one.metric, better[one.higher_is_better], cell(one.chosen), cell(one.default)) for one in scored),
    )
