"""Rows and a training stage, seen from the parent: what is owed, the child that does it, and the line that tells of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from planner.errors import UserError
from planner.models import special_tokens
from planner.records import LabeledPair
from planner.store import read_jsonl, read_log, read_record, write_jsonl
from selftrain.checkpoints import start_over_if_resized
from selftrain.config import JudgedFile, Method
from selftrain.grpo import grpo_rows
from selftrain.judged import Chains, told, write_rows
from selftrain.launch import seconds_spent
from selftrain.markers import SELECTED, SELECTION, TRAINED
from selftrain.rows import broken
from selftrain.taught import write_taught_rows
from selftrain.train import TrainJob, TrainStats
from selftrain.workshop import Workshop


def make_rows(shop: Workshop, stage: str, method: Method, chains: Chains, *, shuffled: bool = False) -> Path:
    """Write TRL rows from judged chains. `shuffled`: under labels that a coin chose, for the control."""

    def work(path: Path) -> Written:
        special = special_tokens(shop.tokenizer)
        written, left_out = write_rows(shop.config, method, chains, path, special=special, shuffled=shuffled)
        return Written(written, f"{method} rows · left out: {told(left_out)}", left_out)

    return _once(shop, stage, method, work)


def make_taught_rows(shop: Workshop, stage: str, file: JudgedFile) -> Path:
    """Write TRL rows from another judge's judgments. Held-out instructions are left out."""
    measured = [shop.folder / "pairs" / f"{split}.jsonl" for split in ("validation", *shop.config.pairs.held_out)]

    def work(path: Path) -> Written:
        written, left_out = write_taught_rows(shop.config, file, path, measured, special=special_tokens(shop.tokenizer))
        return Written(written, f"sft rows of {file.path} · left out: {told(left_out)}", left_out)

    return _once(shop, stage, "sft", work)


def make_prompts(shop: Workshop, stage: str, pairs: Path) -> Path:
    """Write GRPO's rows: the judge prompts of pairs, in both orders."""

    def work(path: Path) -> Written:
        rows = grpo_rows(read_jsonl(pairs, LabeledPair), shop.config)
        written = write_jsonl(path, broken(rows, special_tokens(shop.tokenizer)))
        return Written(written, f"prompts, both orders of {written // 2:,} pairs", {})

    return _once(shop, stage, "grpo", work)


class Written(NamedTuple):
    """What came of writing a stage's rows."""

    rows: int
    told: str
    """What they are, after their number."""
    left_out: Mapping[str, int]


def _once(shop: Workshop, stage: str, method: Method, write: Callable[[Path], Written]) -> Path:
    """Have rank 0 write a stage's file of rows, unless that is done, and tell of it."""
    path = shop.folder / stage / f"{method}.jsonl"

    def work() -> None:
        started = time.monotonic()
        made = write(path)
        line = f"{stage} · {made.rows:,} {made.told}"
        shop.finish(f"{stage}/rows", line, rows=made.rows, seconds=time.monotonic() - started, **made.left_out)

    shop.world.once(path.with_suffix(".done"), work, [path.name])
    return path


def train_on(shop: Workshop, stage: str, method: Method, rows: Path, start: str, max_steps: int | None = None) -> Path:
    """Train the checkpoint at `start` on rows; returns the folder of candidates."""
    out = shop.folder / stage / "train"
    done = shop.folder / stage / TRAINED
    if not done.exists():
        # Before any rank looks, rank 0 removes what cannot be gone on from: a candidate that was being written when its process died,
        # and those of another layout.
        if shop.world.rank == 0 and start_over_if_resized(out, shop.world.training_layout):
            print(f"{stage} · launched in another size: its unfinished training starts over", flush=True)
        shop.train(f"{stage}/train", TrainJob(method=method, rows=str(rows), start=start, out=str(out), max_steps=max_steps))
        shop.world.all_done(done)
    leaves = [f"{out.name}/checkpoint-*/*.{kind}" for kind in ("safetensors", "json")]
    shop.world.once(
        done,
        lambda: _report(shop, stage, method, out),
        leaves,
        anew=[out, shop.folder / stage / SELECTION, shop.folder / stage / SELECTED],
    )
    return out


def _report(shop: Workshop, stage: str, method: Method, out: Path) -> None:
    stats = read_record(out / "stats.json", TrainStats)
    seconds, trained_on = seconds_spent(out), round(stats.tokens * stats.epochs)
    figure = "reward" if method == "grpo" else "loss"  # GRPO's loss says nothing of what it learns
    log = [entry[figure] for entry in read_log(out / "log.jsonl")]
    if not log:
        raise UserError(
            f"{out}/log.jsonl is empty, though the training ended; delete the stage's folder and run the same command again"
        )
    over_long = f" · {stats.over_long:,} over-long rows dropped" if stats.over_long else ""
    over_long += f" · {stats.left_over:,} fill no batch" if stats.left_over else ""
    line = (
        f"{stage} · {method} on {stats.rows:,} rows{over_long} · {stats.steps:,} steps · {figure} {log[0]:.3f} → {log[-1]:.3f} · "
        f"{trained_on / max(seconds, 1e-9):,.0f} tok/s"
    )
    shop.finish(
        f"{stage}/train", line, seconds=seconds, train_tokens=trained_on, **{f"first_{figure}": log[0], f"last_{figure}": log[-1]},
        **stats.model_dump(exclude={"tokens"}),
    )  # fmt: skip
