"""Inside an evaluation child: one engine, several checkpoints, several sets of pairs; whole chains, greedy, both orders.

Used twice: on validation to choose among a training's candidates, and on held-out pairs for every checkpoint of a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from planner.engines.base import Engine
from planner.errors import UserError
from planner.execute import ExecutionInput, judge_inputs
from planner.judge import Judge
from planner.records import Chain, LabeledPair, Order, Record
from planner.store import Shard, Shards, read_jsonl
from rewards.score import Score, score
from selftrain.config import Config
from selftrain.sample import owned, progress


class EvaluateJob(Record):
    """Which models on which sets. Chains go to `<out>/<model name>/<set name>/`."""

    models: dict[str, str]
    """Path by name."""
    sets: dict[str, str]
    """Pairs file by name."""
    out: str


def evaluate(config: Config, job: EvaluateJob, engine: Engine, *, rank: int = 0, size: int = 1) -> None:
    """Judge what is still owed of every set by every model."""
    for name, path in job.models.items():
        loaded = False
        for set_name, pairs in job.sets.items():
            folder = Path(job.out) / name / set_name
            done = Shards(folder, Chain)
            inputs = [one for one in judge_inputs(config.style, owned(Path(pairs), rank, size)) if one.key not in done]
            if not inputs:
                continue
            if not loaded:
                engine.load(path)
                loaded = True
            with Shard[Chain](folder, rank) as shard:
                judge = Judge(engine, config.style, max_tokens=config.judge_tokens, force=True)
                # In blocks, because a forced verdict waits for its chain: what a killed run loses is one block.
                for block in _blocks(inputs, 1024):
                    fitting = [i for i in block if engine.fits(i.prompt.messages, i.prompt.prefill, config.judge_tokens)]
                    chains = judge.chains(fitting, lambda made, n: progress(made, engine, f"{name} on {set_name}", n))  # noqa: B023
                    kept = {item.key for item in fitting}
                    for item in block:
                        if item.key in kept:
                            shard.append(item.key, [chains[item.pair.id, item.order]])
                        else:
                            shard.append(item.key, dropped="over_long")


def _blocks(inputs: list[ExecutionInput], size: int) -> Iterable[list[ExecutionInput]]:
    return (inputs[i : i + size] for i in range(0, len(inputs), size))


def score_set(config: Config, folder: Path, pairs: Path) -> Score:
    """Score the chains of one model on one set; a pair with an order that did not fit counts as not judged there."""
    return score(judged_set(config, folder, pairs), seed=config.seed)


def judged_set(config: Config, folder: Path, pairs: Path) -> list[tuple[LabeledPair, dict[Order, Chain]]]:
    """The chains of one model on one set, in both orders of every pair; `unread` where one did not fit.

    Raises:
        UserError: judgments are lacking.
    """
    chains = Shards(folder, Chain)
    judged = []
    for labeled in read_jsonl(pairs, LabeledPair):
        by_order: dict[Order, Chain] = {}
        for item in judge_inputs(config.style, [labeled.pair]):
            if item.key not in chains:
                raise UserError(
                    f"{folder} lacks judgments of {pairs}; delete {folder.parent.parent} and run the same command again"
                )
            found = chains.get(item.key)
            by_order[item.order] = found[0] if found else unread(item)
        judged.append((labeled, by_order))
    return judged


def unread(item: ExecutionInput) -> Chain:
    """What stands for a judgment that was never made because the prompt did not fit: no verdict."""
    from planner.records import Completion

    empty = Completion(text="", finish_reason="stop", tokens=0)
    return Chain(
        pair_id=item.pair.id,
        order=item.order,
        plan_id="",
        plan=None,
        sample=0,
        completion=empty,
        execution="",
        verdict="none",
        p_a=None,
    )
