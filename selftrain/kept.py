"""From the candidates of a training to the one checkpoint that is kept: an ordinary Hugging Face folder with a card."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from planner.errors import UserError
from planner.judge import JudgeCard, write_card
from planner.models import ModelError, check_weights
from planner.records import Record
from planner.store import append_text, read_jsonl, read_log, read_record, write_text
from rewards.score import Score
from selftrain.checkpoints import candidates, model_card, strip_resume_state
from selftrain.config import Method
from selftrain.launch import seconds_spent
from selftrain.ledger import tokens_spent
from selftrain.markers import SELECTED, SELECTION, TRAINED, write_marker
from selftrain.measure import EvaluateJob, score_set
from selftrain.workshop import Workshop

_KEPT = ".kept"
"""Marker of a kept checkpoint, in its stage's folder; holds a name of that making, and no two are alike."""


class Checkpoint(Record):
    """A judge of this run; one line of `checkpoints.jsonl`."""

    name: str
    path: str
    parent: str
    method: Method | None
    """None: the seed."""
    stage: str
    """The stage that made it, by its folder; empty for the seed."""
    judges: bool = True
    """False: a seed that is no judge yet, whose plans and executions are asked for by prompts of their own."""


class Selected(Record):
    """Which candidate of a training is kept; `selected.json` of its stage."""

    chosen: str
    validation: dict[str, dict[str, float]] = {}
    """What decided, by candidate; empty where there was one, or none was to be preferred."""


def comes_from(shop: Workshop, folder: Path, checkpoint: Checkpoint) -> bool:
    """Whether a folder's content comes from this checkpoint; noted in it when asked first.

    A checkpoint whose stage was deleted is made anew, and what an earlier one of its name had said is not its own.
    """
    note, made = _origin(shop, folder, checkpoint)
    if not note.exists():
        write_text(note, made)
    return note.read_text() == made


def take_over(shop: Workshop, folder: Path, checkpoint: Checkpoint) -> None:
    """Note that a folder holds nothing of an earlier making any more."""
    write_text(*_origin(shop, folder, checkpoint))


def _origin(shop: Workshop, folder: Path, checkpoint: Checkpoint) -> tuple[Path, str]:
    # The seed is held by the run's stamp.
    made = (shop.folder / checkpoint.stage / _KEPT).read_text() if checkpoint.stage else ""
    return folder / f".from-{checkpoint.name}", made


def select(shop: Workshop, stage: str, trained: Path) -> str:
    """Name of the candidate with the best position-consistent accuracy on validation (ties: accuracy, then the later)."""
    decision = shop.folder / stage / SELECTED
    validation = shop.folder / "pairs" / "validation.jsonl"
    found = candidates(trained)
    if len(found) > 1 and not decision.exists():
        job = EvaluateJob(
            models={path.name: str(path) for path in found},
            sets={"validation": str(validation)},
            out=str(shop.folder / stage / SELECTION),
        )
        shop.sample(f"{stage}/selection", job)
        shop.world.all_done(decision)
    shop.world.once(decision, lambda: _decide(shop, stage, found, validation, decision))
    return read_record(decision, Selected).chosen


def last(shop: Workshop, stage: str, trained: Path) -> str:
    """Name of the last candidate, for arms that are not selected. On disk, so that a killed move goes on with the same one."""
    decision = shop.folder / stage / SELECTED
    shop.world.once(decision, lambda: write_text(decision, Selected(chosen=candidates(trained)[-1].name).model_dump_json()))
    return read_record(decision, Selected).chosen


def _decide(shop: Workshop, stage: str, found: list[Path], validation: Path, decision: Path) -> None:
    folder = shop.folder / stage / SELECTION
    scores: dict[str, Score] = {}
    if len(found) > 1:
        scores = {path.name: score_set(shop.config, folder / path.name / "validation", validation) for path in found}
        # `found` is oldest first, and max keeps the first of equals.
        best = max(reversed(found), key=lambda path: (scores[path.name].position_consistent, scores[path.name].accuracy))
    else:
        best = found[0]
    told = {
        name: {"position_consistent": one.position_consistent, "accuracy": one.accuracy, "accuracy_free": one.accuracy_free}
        for name, one in scores.items()
    }
    text = " · ".join(
        f"{name.removeprefix('checkpoint-')}: {one['accuracy']:.1%} / {one['position_consistent']:.1%}"
        for name, one in told.items()
    )
    write_text(decision, Selected(chosen=best.name, validation=told).model_dump_json(indent=2))
    line = f"{stage} · kept step {best.name.rpartition('-')[2]}"
    line += f" (validation accuracy / position-consistent: {text})" if text else ""
    shop.finish(f"{stage}/selection", line, seconds=seconds_spent(folder), **tokens_spent(folder))


def keep(shop: Workshop, checkpoint: Checkpoint, chosen: Path) -> None:
    """Move the chosen candidate to its place and write its card; the others go.

    Raises:
        UserError: the checkpoint's folder lost its files.
    """
    target, stage = Path(checkpoint.path), shop.folder / checkpoint.stage
    marker = stage / _KEPT

    def work() -> None:
        write_marker(stage / TRAINED, ())  # the candidates that it tells of go now
        if chosen.is_dir():
            strip_resume_state(chosen)
            if target.exists():  # of a stage that was deleted to be made anew
                shutil.rmtree(target)
            chosen.replace(target)
        _check_whole(target, stage)
        write_card(target, JudgeCard(style=shop.config.style, max_tokens=shop.config.judge_tokens))
        facts = _facts(shop, checkpoint)
        card = model_card(checkpoint.name, shop.config, checkpoint.parent, checkpoint.method or "", facts, shop.config.style)
        write_text(target / "README.md", card)
        ledger = shop.folder / "checkpoints.jsonl"
        known = [one.name for one in read_jsonl(ledger, Checkpoint)] if ledger.exists() else []
        if checkpoint.name not in known:
            append_text(ledger, checkpoint.model_dump_json())
        for left in chosen.parent.glob("checkpoint-*"):
            shutil.rmtree(left)
        shutil.rmtree(chosen.parent / "cache", ignore_errors=True)
        write_text(marker, uuid.uuid4().hex)

    shop.world.once(marker, work)
    _check_whole(target, stage)


def _check_whole(target: Path, stage: Path) -> None:
    what = "" if (target / "config.json").is_file() else " (no config.json)"
    try:
        check_weights(str(target))
    except ModelError as error:
        what = f" ({error})"
    if what:
        raise UserError(f"{target} is incomplete; delete {stage} and run the same command again{what}")


def _facts(shop: Workshop, checkpoint: Checkpoint) -> dict[str, object]:
    """How a checkpoint was made, for its card."""
    config = shop.config
    assert checkpoint.method is not None, "nobody keeps the seed"
    settings = config.training(checkpoint.method)
    of = {one["stage"]: one for one in shop.metrics()}
    rows, trained = of.get(f"{checkpoint.stage}/rows", {}), of.get(f"{checkpoint.stage}/train", {})
    *_, attempt = read_log(shop.folder / "attempts.jsonl")
    facts: dict[str, object] = {
        "run": f"{config.name}, seed {config.seed}",
        "rows": rows.get("rows", "?"),
        "optimiser steps": trained.get("steps", "?"),
        "learning rate": settings.learning_rate,
        "batch size": settings.batch_size,
        "code": attempt["commit"] or "not from a checkout",
        "versions": ", ".join(f"{name} {version}" for name, version in attempt["versions"].items()),
    }
    if checkpoint.method == "dpo":
        facts |= {"beta": config.dpo.beta, "NLL weight": config.dpo.sft_weight, "pairing": config.rows.pairing}
    if checkpoint.method == "grpo":
        grpo = config.grpo
        facts |= {"generations": grpo.num_generations, "temperature": grpo.temperature, "beta": grpo.beta}
        facts |= {"reward": f"{grpo.verdict_weight:g} right, {grpo.consistency_weight:g} more if right in both orders"}
    return facts
