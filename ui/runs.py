"""What a run folder says, finished or not: its config, stages, checkpoints, judged chains and measured judges.

Only reads, so that it may look at a run that another process is writing. Opens neither engine nor model.
"""

from __future__ import annotations

import fcntl
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from eval.judged import Judged
from planner.errors import UserError
from planner.execute import judge_inputs
from planner.records import Chain, JudgedChain, LabeledPair, Order, Plan
from planner.store import Shards, read_jsonl, read_log
from selftrain.config import Config, load_config
from selftrain.kept import Checkpoint
from selftrain.measure import unread

SEED = "seed"


class Lengths(NamedTuple):
    """Tokens of what a stage drew, one number a text."""

    plans: list[int]
    executions: list[int]


class Diversity(NamedTuple):
    """How far the plans drawn from one prompt differ."""

    prompts: int
    plans: int
    """Whole ones."""
    cut_off: int
    distinct: float
    """Different texts among the plans of one prompt / plans; mean over prompts."""
    overlap: float | None
    """Words that two plans of one prompt share / words of both (Jaccard), mean over prompts; None where each prompt has one plan."""


class RunFolder:
    """A run on disk.

    Raises:
        UserError: no such folder, or none that a run was started in.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.toml").is_file():
            raise UserError(f"{folder} is no run folder: it holds no config.toml; give a folder such as runs/demo")
        self.folder = folder
        self.config: Config = load_config(folder / "config.toml")

    @property
    def config_text(self) -> str:
        return (self.folder / "config.toml").read_text(encoding="utf-8")

    @cached_property
    def stages(self) -> list[dict[str, Any]]:
        """The last entry of each finished stage, in order."""
        return list({one["stage"]: one for one in read_log(self.folder / "metrics.jsonl")}.values())

    @cached_property
    def attempts(self) -> list[dict[str, Any]]:
        return list(read_log(self.folder / "attempts.jsonl"))

    @cached_property
    def made(self) -> list[Checkpoint]:
        """Checkpoints and controls that are finished."""
        path = self.folder / "checkpoints.jsonl"
        return [Checkpoint.model_validate(one) for one in read_log(path)]

    @property
    def checkpoints(self) -> list[str]:
        """The seed, and what was trained from it, in order."""
        return [SEED, *(one.name for one in self.made if one.stage.startswith("iter-"))]

    @property
    def controls(self) -> list[str]:
        return [one.name for one in self.made if not one.stage.startswith("iter-")]

    @property
    def running(self) -> bool:
        """Whether a process holds the run now."""
        for path in self.folder.glob(".lock-*"):
            with path.open() as lock:
                try:
                    # Shared, and let go at once: two who look do not take each other for the run.
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
        return False

    @property
    def finished(self) -> bool:
        return (self.folder / "summary.json").is_file()

    # -- what was drawn for training ---------------------------------------------------------------------------------

    @cached_property
    def sampling_stages(self) -> list[str]:
        """Stages that drew chains, finished or not, in order: `iter-1/sft`, …"""
        order = {"sft": 0, "dpo": 1}
        found = [path.parent for path in self.folder.glob("iter-*/*/chains")]
        found.sort(key=lambda path: (int(path.parent.name.removeprefix("iter-")), order[path.name]))
        return [str(path.relative_to(self.folder)) for path in found]

    def judged_chains(self, stage: str) -> Iterator[JudgedChain]:
        """Chains of a stage with their outcomes; nothing before the stage is judged."""
        path = self.folder / stage / "judged.jsonl"
        return read_jsonl(path, JudgedChain) if path.is_file() else iter(())

    def pairs(self, name: str) -> dict[str, LabeledPair]:
        """Pairs of a split by id; empty before they are written."""
        path = self.folder / "pairs" / f"{name}.jsonl"
        return {one.pair.id: one for one in read_jsonl(path, LabeledPair)} if path.is_file() else {}

    def training_pairs(self, stage: str) -> dict[str, LabeledPair]:
        """The pairs that a stage's chains are about."""
        number, method = stage.removeprefix("iter-").split("/")
        own = self.config.iterations[int(number) - 1].dpo_pairs and method == "dpo"
        return self.pairs(f"train-{number}-dpo" if own else f"train-{number}")

    def lengths(self, stage: str) -> Lengths:
        folder = self.folder / stage
        return Lengths(
            [one.completion.tokens for one in Shards(folder / "plans", Plan)],
            [one.completion.tokens for one in Shards(folder / "chains", Chain)],
        )

    def diversity(self, stage: str) -> Diversity | None:
        """None where no plan is drawn."""
        plans = Shards(self.folder / stage / "plans", Plan)
        prompts = whole = cut_off = 0
        distinct, overlap = [], []
        for key in plans.keys():  # noqa: SIM118 (iterating gives the plans)
            texts = [one.text for one in plans.get(key)]
            found = [text for text in texts if text is not None]
            prompts, whole, cut_off = prompts + 1, whole + len(found), cut_off + len(texts) - len(found)
            if found:
                distinct.append(len(set(found)) / len(found))
            words = [set(text.lower().split()) for text in found]
            shared = [len(a & b) / len(a | b) for i, a in enumerate(words) for b in words[i + 1 :] if a | b]
            if shared:
                overlap.append(sum(shared) / len(shared))
        if not prompts:
            return None
        mean = sum(distinct) / len(distinct) if distinct else 0.0
        return Diversity(prompts, whole, cut_off, mean, sum(overlap) / len(overlap) if overlap else None)

    @property
    def trainings(self) -> list[str]:
        """Stages with a training log, controls last."""
        found = [str(path.parent.parent.relative_to(self.folder)) for path in self.folder.glob("*/*/train/log.jsonl")]
        sampled = self.sampling_stages
        return sorted(found, key=lambda stage: (sampled.index(stage) if stage in sampled else len(sampled), stage))

    def training_log(self, stage: str) -> list[dict[str, Any]]:
        """One entry an optimiser step; of a step taken twice, after a kill, the last."""
        return list({one["step"]: one for one in read_log(self.folder / stage / "train" / "log.jsonl")}.values())

    # -- what was measured -------------------------------------------------------------------------------------------

    @cached_property
    def measured(self) -> Mapping[str, Mapping[str, list[Judged]]]:
        """By judge, then held-out split: every pair with both of its chains. A set that is not all judged yet is left out."""
        found: dict[str, dict[str, list[Judged]]] = defaultdict(dict)
        splits = {split: self.pairs(split) for split in self.config.pairs.held_out}
        for name in [*self.checkpoints, *self.controls]:
            for split, pairs in splits.items():
                chains = Shards(self.folder / "eval" / name / split, Chain)
                judged = [self._judged(labeled, chains) for labeled in pairs.values()]
                if judged and None not in judged:
                    found[name][split] = [one for one in judged if one is not None]
        return found

    def _judged(self, labeled: LabeledPair, chains: Shards[Chain]) -> Judged | None:
        by_order: dict[Order, Chain] = {}
        for item in judge_inputs(self.config.style, [labeled.pair]):
            if item.key not in chains:
                return None
            drawn = chains.get(item.key)
            by_order[item.order] = drawn[0] if drawn else unread(item)
        return Judged(labeled, by_order)
