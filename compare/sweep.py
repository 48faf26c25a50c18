"""Choose hyperparameters by judge, after PandaLM's protocol: `evalplanner sweep CONFIG.toml`.

Every point of a grid is a training run of a base model (`compare.trial`), one after the other or on a Ray cluster (`compare.ray_trials`);
its checkpoint after each epoch is a setting. Each setting answers the validation questions, and a bracket of matches in both orders
(`compare.bracket`) names the best, which then meets the default setting; lm-eval may score both (`compare.harness`). Everything is kept
in `<out>/<name>/`, and the same command goes on where it stopped.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from compare.bracket import Round, play_bracket
from compare.candidates import Question, RespondConfig, RespondJob, read_questions, read_responses
from compare.child import run_child
from compare.harness import Score, Scored, ScoreJob, Scores, beside, check_tasks, folder_digest, score_table
from compare.matches import LazyJudge, Match, all_pairs, judged
from compare.ray_trials import RayConfig, run_trials
from compare.standings import Game, Summary, Triple, triples
from compare.summary import write_summary
from compare.trial import Optimizer, Scheduler, TrainConfig, Trained, Trial, TrialJob, Tuning, read_examples
from eval.report import Table
from planner.errors import UserError
from planner.judge import Decide, Judge, OrderRule
from planner.lock import lock_run
from planner.models import EMBEDDED, model_digest, resolve_model
from planner.records import Record, digest
from planner.store import read_record, write_text
from selftrain.stamp import hold_against

_NOT_RECIPE = ("out", "keep", "trials", "ray", "lm_eval", "lm_eval_tasks", "lm_eval_limit", "lm_eval_batch")
"""Fields that do not decide what is chosen: a sweep may go on with others."""


class Grid(Record):
    """PandaLM's: 2 × 4 × 2 runs of 5 epochs, 80 settings."""

    optimizer: tuple[Optimizer, ...] = ("adamw", "sgd")
    learning_rate: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = (2e-6, 1e-5, 2e-5, 2e-4)
    scheduler: tuple[Scheduler, ...] = ("cosine", "linear")
    tuning: tuple[Tuning, ...] = ("full",)
    epochs: PositiveInt = 5

    def trials(self) -> list[Trial]:
        return [
            Trial(optimizer=optimizer, learning_rate=rate, scheduler=scheduler, tuning=tuning)
            for tuning, optimizer, rate, scheduler in product(self.tuning, self.optimizer, self.learning_rate, self.scheduler)
        ]


class Setting(Record):
    """A checkpoint of a trial."""

    trial: Trial
    epoch: PositiveInt

    @property
    def name(self) -> str:
        return f"{self.trial.name}-e{self.epoch}"


class JudgeChoice(Record):
    """How the judge is opened; as the options of `evalplanner judge`."""

    model: str
    style: str | None = None
    rule: OrderRule = "strict"
    decide: Decide = "text"
    force: bool = False
    max_tokens: PositiveInt | None = None


class SweepConfig(Record):
    """A whole sweep."""

    name: str = Field(pattern=r"^[\w-][\w.-]*$")
    out: str = "runs/sweeps"
    model: str = EMBEDDED
    data: str
    """Examples to train on: JSONL or a JSON list of instruction, input, response."""
    questions: str
    """What the settings are judged on (PandaLM: 170 validation prompts)."""
    judge: JudgeChoice
    grid: Grid = Grid()
    train: TrainConfig = TrainConfig()
    respond: RespondConfig = RespondConfig(max_tokens=300)
    block: int = Field(default=20, ge=2)
    default: Setting | None = None
    """The setting that the chosen one is compared with; it must be in the grid. None: the first of the grid at its last epoch."""
    keep: Literal["chosen", "all"] = "chosen"
    """Whose checkpoints stay on disk."""
    trials: Literal["local", "ray"] = "local"
    """`local`: here, one after the other. `ray`: trials of Ray Tune, as many at once as its machines have room for."""
    ray: RayConfig = RayConfig()
    lm_eval: tuple[str, ...] = ()
    """Tasks of lm-eval on which the chosen setting and the default are scored, beside the judge's comparison."""
    lm_eval_tasks: str | None = None
    """A folder of task files (YAML) of your own, which lm_eval may name beside lm-eval's."""
    lm_eval_limit: PositiveInt | None = None
    """Questions of each task. None: all."""
    lm_eval_batch: PositiveInt = 8
    """Sequences at once. Speed and memory only."""

    @model_validator(mode="after")
    def _consistent(self) -> SweepConfig:
        if len(self.settings()) < 2:
            raise ValueError("grid has a single setting, so there is nothing to choose")
        if (twice := Counter(trial.name for trial in self.grid.trials()).most_common(1)[0])[1] > 1:
            raise ValueError(f"grid has two trials that would both be called {twice[0]}: leave one out, or set them further apart")
        if self.default_setting not in self.settings():
            raise ValueError(f"default ({self.default_setting.name}) is not in the grid")
        if self.trials == "local" and self.ray != RayConfig():
            raise ValueError('ray is for trials = "ray", and trials is "local"')
        if not self.lm_eval and (self.lm_eval_tasks is not None or self.lm_eval_limit is not None):
            raise ValueError("lm_eval_tasks and lm_eval_limit are for the tasks of lm_eval, and it names none")
        return self

    def settings(self) -> list[Setting]:
        return [Setting(trial=trial, epoch=epoch) for trial in self.grid.trials() for epoch in range(1, self.grid.epochs + 1)]

    @property
    def default_setting(self) -> Setting:
        return self.default or Setting(trial=self.grid.trials()[0], epoch=self.grid.epochs)


class SweepResult(Record):
    """What was chosen, and how; `sweep.json`."""

    chosen: Setting
    checkpoint: str
    rounds: tuple[Round, ...]
    matches: int
    """Rounds of the bracket, and the match against the default."""
    judgments: int
    """Matches × questions × orders: what the judge was asked."""
    against_default: Triple | None
    """The chosen setting's wins, losses and ties; None where it is the default itself."""
    lm_eval: tuple[Scored, ...]
    """The chosen setting and the default on lm-eval's tasks; empty where none were asked for."""
    losses: dict[str, tuple[float, ...]]
    """Held-out loss after each epoch, by trial."""
    advice: str
    """When to stop training."""
    summary: Summary


def sweep(config: SweepConfig, open_judge: Callable[[], Judge]) -> SweepResult:
    """Train, answer, judge, choose.

    Raises:
        UserError: bad questions or examples, a sweep that was begun otherwise or is going on, a trial that failed, or Ray or lm-eval is asked
            for and missing.
        ModelError: no base model, or no judge, at the path given.
    """
    out = Path(config.out) / config.name
    questions = read_questions(Path(config.questions))
    read_examples(Path(config.data))  # a bad row stops before anything is trained
    if config.lm_eval:
        check_tasks(config.lm_eval, config.lm_eval_tasks)
    recipe = config.model_dump(mode="json", exclude={**dict.fromkeys(_NOT_RECIPE, True), "respond": {"engine"}})
    recipe |= {"questions": digest(*(one.id for one in questions)), "data": digest(Path(config.data).read_text(encoding="utf-8"))}
    # Other weights in the same place are another model.
    recipe["weights"] = {
        who: model_digest(resolve_model(path)) for who, path in (("model", config.model), ("judge", config.judge.model))
    }
    hold_against(out / "stamp.json", recipe)
    with lock_run(out):  # another one here would delete what this one trains
        return _sweep(config, out, questions, open_judge)


def _sweep(config: SweepConfig, out: Path, questions: Sequence[Question], open_judge: Callable[[], Judge]) -> SweepResult:
    trained = _train(config, out)
    answers = {setting.name: _answers(config, setting, trained, questions, out) for setting in config.settings()}
    judge = LazyJudge(open_judge)
    arena = _Arena(judge, questions, answers, out / "judgments")
    try:
        rounds = play_bracket(list(answers), config.block, arena.meet)
        chosen = {setting.name: setting for setting in config.settings()}[rounds[-1].winner]
        default = config.default_setting
        against = None if chosen == default else arena.meet(chosen.name, default.name)
    finally:
        judge.close()
    checkpoint = _checkpoint(trained, chosen)
    scored: tuple[Scored, ...] = ()
    if config.lm_eval:
        scored = beside(*(_lm_eval(config, one, _checkpoint(trained, one), out) for one in (chosen, default)))
    losses = {name: one.losses for name, one in trained.items()}
    met = {(match.first, match.second) for match in arena.matches}
    advice = _advice(chosen, config.grid.epochs, losses[chosen.trial.name])
    summary = write_summary(
        arena.matches, out, names=list(answers), judge=config.judge.model_dump(), threshold=5,
        extra=[_bracket(rounds), *([score_table(scored)] if scored else [])],
        lead=[f"Chosen: {chosen.name}. {advice[0].upper()}{advice[1:]}."],
    )  # fmt: skip
    result = SweepResult(
        chosen=chosen, checkpoint=checkpoint, rounds=tuple(rounds), matches=len(met),
        judgments=len(arena.matches) * (1 if config.judge.rule == "first" else 2), against_default=against, lm_eval=scored,
        losses=losses, advice=advice, summary=summary,
    )  # fmt: skip
    write_text(out / "sweep.json", result.model_dump_json(indent=2) + "\n")
    if config.keep == "chosen":
        for path in (path for one in trained.values() for path in one.checkpoints if path != checkpoint):
            shutil.rmtree(path, ignore_errors=True)
    return result


class _Arena:
    """Plays the matches that a bracket asks for, each once."""

    def __init__(self, judge: LazyJudge, questions: Sequence[Question], answers: dict[str, list[str]], folder: Path) -> None:
        self._judge, self._questions, self._answers, self._folder = judge, questions, answers, folder
        self.matches: list[Match] = []

    def meet(self, one: str, other: str) -> Triple:
        met = [match for match in self.matches if {match.first, match.second} == {one, other}]
        if not met:
            wanted = all_pairs([one, other], len(self._questions))
            met = judged(self._judge, self._questions, self._answers, wanted, self._folder)
            self.matches += met
        games = [Game(match.question, match.first, match.second, match.verdict) for match in met]
        return triples([one, other], games)[one, other]


def _train(config: SweepConfig, out: Path) -> dict[str, Trained]:
    """What each trial left, by name; those that have not finished are trained first."""
    folders = {trial: out / "trials" / trial.name for trial in config.grid.trials()}
    owed = [
        TrialJob(
            trial=trial, model=config.model, data=config.data, folder=str(folder), epochs=config.grid.epochs, ask=config.respond.ask,
            train=config.train,
        )
        for trial, folder in folders.items() if not (folder / "trial.json").exists()
    ]  # fmt: skip
    if owed and config.trials == "ray":
        run_trials(owed, config.ray, out)
    else:
        for job in owed:
            run_child("train", job, Path(job.folder) / "job.json")
    return {trial.name: read_record(folder / "trial.json", Trained) for trial, folder in folders.items()}


def _checkpoint(trained: dict[str, Trained], setting: Setting) -> str:
    return trained[setting.trial.name].checkpoints[setting.epoch - 1]


def _answers(
    config: SweepConfig, setting: Setting, trained: dict[str, Trained], questions: Sequence[Question], out: Path
) -> list[str]:
    folder = out / "responses" / setting.name
    if not (folder / "done").exists():
        run_child(
            "respond",
            RespondJob(model=_checkpoint(trained, setting), questions=config.questions, folder=str(folder), respond=config.respond),
            folder / "job.json",
        )
        write_text(folder / "done", "")
    return read_responses(folder, questions)


def _lm_eval(config: SweepConfig, setting: Setting, checkpoint: str, out: Path) -> tuple[Score, ...]:
    """A setting's scores; taken anew where they were of other tasks, or of another number of questions."""
    folder = out / "lm_eval" / setting.name
    file = folder / "scores.json"
    job = ScoreJob(
        model=checkpoint, tasks=config.lm_eval, folder=config.lm_eval_tasks, folder_digest=folder_digest(config.lm_eval_tasks),
        limit=config.lm_eval_limit, batch_size=config.lm_eval_batch, file=str(file),
    )  # fmt: skip
    if not file.exists() or read_record(file, Scores).job.asked != job.asked:
        if not Path(checkpoint).is_dir():
            raise UserError(
                f'lm_eval cannot score {setting.name}: keep = "chosen" has deleted {checkpoint}; sweep under another name='
            )
        run_child("score", job, folder / "job.json")
    return read_record(file, Scores).scores


def _bracket(rounds: Sequence[Round]) -> Table:
    rows = (
        (one.block, one.champion, one.challenger, f"{one.result.wins} / {one.result.losses} / {one.result.ties}", one.winner)
        for one in rounds
    )
    return Table(
        title="Bracket",
        note="Within a block, then among the blocks' winners, each setting challenges the champion and takes its place by winning more "
        "questions than it loses.",
        columns=("block", "champion", "challenger", "champion's wins / losses / ties", "stays"),
        rows=tuple(rows),
    )


def _advice(chosen: Setting, epochs: int, losses: Sequence[float]) -> str:
    lowest = min(range(len(losses)), key=losses.__getitem__) + 1
    judged = f"the judge chose epoch {chosen.epoch} of {epochs}" + ("" if chosen.epoch == epochs else ": train no longer")
    return f"{judged}; of the same run, the held-out loss is lowest after epoch {lowest} ({losses[lowest - 1]:.3f})"
