"""Choose hyperparameters by judge, after PandaLM's protocol: `evalplanner sweep CONFIG.toml`.

Every point of a grid is a training run of a base model (`compare.trial`), one after the other; its checkpoint after each epoch is a
setting. Each setting answers the validation questions, and a bracket of matches in both orders (`compare.bracket`) names the best,
which then meets the default setting. Everything is kept in `<out>/<name>/`, and the same command goes on where it stopped.
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
from compare.matches import LazyJudge, Match, all_pairs, judged
from compare.standings import Game, Summary, Triple, triples
from compare.summary import write_summary
from compare.trial import Optimizer, Scheduler, TrainConfig, Trained, Trial, TrialJob, Tuning, read_examples
from eval.report import Table
from planner.judge import Decide, Judge, OrderRule
from planner.models import EMBEDDED, model_digest, resolve_model
from planner.records import Record, digest
from planner.store import read_record, write_text
from selftrain.lock import lock_run
from selftrain.stamp import hold_against


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

    @model_validator(mode="after")
    def _consistent(self) -> SweepConfig:
        if len(self.settings()) < 2:
            raise ValueError("grid has a single setting, so there is nothing to choose")
        if (twice := Counter(trial.name for trial in self.grid.trials()).most_common(1)[0])[1] > 1:
            raise ValueError(f"grid has two trials that would both be called {twice[0]}: leave one out, or set them further apart")
        if self.default_setting not in self.settings():
            raise ValueError(f"default ({self.default_setting.name}) is not in the grid")
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
    losses: dict[str, tuple[float, ...]]
    """Held-out loss after each epoch, by trial."""
    advice: str
    """When to stop training."""
    summary: Summary


def sweep(config: SweepConfig, open_judge: Callable[[], Judge]) -> SweepResult:
    """Train, answer, judge, choose.

    Raises:
        UserError: bad questions or examples, or a sweep that was begun otherwise or is going on.
        ModelError: no base model, or no judge, at the path given.
    """
    out = Path(config.out) / config.name
    questions = read_questions(Path(config.questions))
    read_examples(Path(config.data))  # a bad row stops before anything is trained
    recipe = config.model_dump(mode="json", exclude={"out": True, "keep": True, "respond": {"engine"}})
    recipe |= {"questions": digest(*(one.id for one in questions)), "data": digest(Path(config.data).read_text(encoding="utf-8"))}
    # Other weights in the same place are another model.
    recipe["weights"] = {
        who: model_digest(resolve_model(path)) for who, path in (("model", config.model), ("judge", config.judge.model))
    }
    hold_against(out / "stamp.json", recipe)
    with lock_run(out):  # another one here would delete what this one trains
        return _sweep(config, out, questions, open_judge)


def _sweep(config: SweepConfig, out: Path, questions: Sequence[Question], open_judge: Callable[[], Judge]) -> SweepResult:
    trained = {trial.name: _train(config, trial, out) for trial in config.grid.trials()}
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
    checkpoint = trained[chosen.trial.name].checkpoints[chosen.epoch - 1]
    losses = {name: one.losses for name, one in trained.items()}
    met = {(match.first, match.second) for match in arena.matches}
    advice = _advice(chosen, config.grid.epochs, losses[chosen.trial.name])
    summary = write_summary(
        arena.matches, out, names=list(answers), judge=config.judge.model_dump(), threshold=5, extra=[_bracket(rounds)],
        lead=[f"Chosen: {chosen.name}. {advice[0].upper()}{advice[1:]}."],
    )  # fmt: skip
    result = SweepResult(
        chosen=chosen, checkpoint=checkpoint, rounds=tuple(rounds), matches=len(met),
        judgments=len(arena.matches) * (1 if config.judge.rule == "first" else 2), against_default=against, losses=losses,
        advice=advice, summary=summary,
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


def _train(config: SweepConfig, trial: Trial, out: Path) -> Trained:
    folder = out / "trials" / trial.name
    if not (folder / "trial.json").exists():
        job = TrialJob(
            trial=trial, model=config.model, data=config.data, folder=str(folder), epochs=config.grid.epochs, ask=config.respond.ask,
            train=config.train,
        )  # fmt: skip
        run_child("train", job, folder / "job.json")
    return read_record(folder / "trial.json", Trained)


def _answers(
    config: SweepConfig, setting: Setting, trained: dict[str, Trained], questions: Sequence[Question], out: Path
) -> list[str]:
    folder = out / "responses" / setting.name
    if not (folder / "done").exists():
        model = trained[setting.trial.name].checkpoints[setting.epoch - 1]
        run_child(
            "respond",
            RespondJob(model=model, questions=config.questions, folder=str(folder), respond=config.respond),
            folder / "job.json",
        )
        write_text(folder / "done", "")
    return read_responses(folder, questions)


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
