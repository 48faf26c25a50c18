"""The control arms: what a judge comes to that was trained in the same way on something that teaches no judging."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from planner.models import special_tokens
from planner.records import ORDERS, LabeledPair
from planner.store import read_jsonl, write_jsonl
from selftrain.config import Method
from selftrain.judged import Chains
from selftrain.kept import Checkpoint, keep, last
from selftrain.rows import SftRow, broken, verdict_only_rows
from selftrain.train import row_lengths
from selftrain.training import make_rows, train_on
from selftrain.workshop import Workshop


def shuffled_labels(shop: Workshop, seed: Checkpoint, method: Method, chains: Chains) -> Checkpoint:
    """The counterpart of the first trained checkpoint: the same chains, judged under labels that a coin chose."""
    stage = "controls/shuffled_labels"
    return _arm(shop, stage, method, make_rows(shop, stage, method, chains, shuffled=True), seed)


def verdict_only(shop: Workshop, seed: Checkpoint, pairs: Sequence[Path]) -> Checkpoint:
    """SFT on the gold verdicts of all training pairs, no plan and no execution, for as many tokens as the whole run trained on."""
    stage = "controls/verdict_only"
    path = shop.folder / stage / "sft.jsonl"

    def write() -> None:
        every = (one for file in pairs for one in read_jsonl(file, LabeledPair))
        asked = ((one.pair, one.gold(order), order) for one in every for order in ORDERS)
        rows = verdict_only_rows(asked, shop.config.style)
        written = write_jsonl(path, broken(rows, special_tokens(shop.tokenizer)))
        shop.finish(f"{stage}/rows", f"{stage} · {written:,} rows", rows=written)

    shop.world.once(path.with_suffix(".done"), write, [path.name])
    spent = sum(one.get("train_tokens", 0) for one in shop.metrics() if one["stage"].startswith("iter-"))
    return _arm(shop, stage, "sft", path, seed, max_steps=_equal_steps(shop, path, spent))


def _equal_steps(shop: Workshop, rows: Path, tokens: int) -> int:
    """Optimiser steps on these rows that see as many tokens as were spent elsewhere."""
    lengths = [sum(row_lengths(shop.tokenizer, row.model_dump())) for row in read_jsonl(rows, SftRow)]
    mean = sum(lengths) / len(lengths)
    return max(1, math.ceil(tokens / (mean * shop.config.sft.batch_size)))


def _arm(shop: Workshop, stage: str, method: Method, rows: Path, seed: Checkpoint, max_steps: int | None = None) -> Checkpoint:
    trained = train_on(shop, stage, method, rows, seed.path, max_steps)
    name, path = stage.rpartition("/")[2], str(shop.folder / stage / "model")
    checkpoint = Checkpoint(name=name, path=path, parent=seed.name, method=method, stage=stage)
    keep(shop, checkpoint, trained / last(shop, stage, trained))  # the last, not the best: a control is not selected
    return checkpoint
