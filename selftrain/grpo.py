"""What is GRPO's own in training: its rows, which hold no answer, and TRL's trainer, which writes the answers itself.

Online reinforcement learning of the judge from its own verdicts, after J1 (arXiv 2505.10320). A row is a judge prompt; the two orders of a
pair are neighbours, all the way into one reward call (`rewards/both_orders.py`). Chains are written by vLLM inside the training
process where there is a GPU, else by the model that is trained. Everything else of a training is as in `train.py`, which calls this.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from planner.errors import UserError
from planner.records import ORDERS, Label, LabeledPair, Message, Order, Record, digest
from rewards.both_orders import BothOrdersReward
from selftrain.config import Config


class GrpoRow(Record):
    """A prompt of TRL's, and what its reward is told: columns of the dataset, never part of the prompt."""

    prompt: tuple[Message, ...]
    pair_id: str
    order: Order
    gold: Label


def grpo_rows(pairs: Iterable[LabeledPair], config: Config) -> Iterator[GrpoRow]:
    """Both orders of each pair, `ab` first. Pairs come shuffled where `grpo.shuffle` says so; their orders never part."""
    if config.grpo.shuffle:
        # By hash: the same on every machine.
        pairs = sorted(pairs, key=lambda one: digest("grpo", str(config.seed), one.pair.id))
    for one in pairs:
        for order in ORDERS:
            prompt = config.style.judge_prompt(one.pair.shown(order)).messages
            yield GrpoRow(prompt=prompt, pair_id=one.pair.id, order=order, gold=one.gold(order))


def prompt_length(tokenizer: Any, row: dict[str, Any]) -> int:
    """Tokens of a row's prompt, up to where the judge starts to write."""
    return len(tokenizer.apply_chat_template(row["prompt"], tokenize=True, return_dict=False, add_generation_prompt=True))


def whole_batches(fitting: Sequence[int], batch: int, *, where: str) -> tuple[list[int], int]:
    """Rows of pairs whose orders both fit, as many as make whole batches, and how many are left over: TRL would drop them in silence.

    Args:
        fitting: indices of rows that fit; a pair's are 2k and 2k + 1.
        batch: prompts a step, an even number.

    Raises:
        UserError: not one batch.
    """
    fits = set(fitting)
    both = [i for i in fitting if i ^ 1 in fits]
    kept = both[: len(both) // batch * batch]
    if not kept:
        raise UserError(
            f"{where}: {len(both)} prompts of pairs fit, fewer than grpo.batch_size = {batch}; lower it, raise grpo.max_length, or give "
            "more pairs"
        )
    return kept, len(both) - len(kept)


def grpo_trainer(config: Config, common: dict[str, Any], shared: dict[str, Any]) -> Any:
    """TRL's GRPOTrainer.

    Args:
        common: arguments that all methods have in common.
        shared: what all trainers are given: model, rows, tokenizer, callbacks.
    """
    from trl import GRPOConfig, GRPOTrainer

    settings = config.grpo
    world = int(os.environ.get("WORLD_SIZE", "1"))
    own = {
        "num_generations": settings.num_generations,
        "max_completion_length": config.judge_tokens,
        # One generation an optimiser step (TRL's default), of all its chains: so a reward call sees them all, whatever the micro-batch.
        "gradient_accumulation_steps": settings.batch_size * settings.num_generations // (settings.micro_batch_size * world),
        "shuffle_dataset": False,
        "temperature": settings.temperature,
        "beta": settings.beta,
        # Stated, so that they are ours whatever TRL's next defaults are. J1's page names none of them.
        "loss_type": "dapo",  # the mean over a step's tokens, so that a long chain's count as much as a short one's
        "scale_rewards": "group",
        "epsilon": 0.2,
    }
    if not common["use_cpu"]:
        own |= {
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_gpu_memory_utilization": settings.vllm_memory,
            "vllm_tensor_parallel_size": config.engine.tensor_parallel,
            "vllm_max_model_length": settings.max_length,
        }
    arguments = {key: value for key, value in common.items() if key not in ("max_length", "train_sampling_strategy")}
    reward = BothOrdersReward(
        config.style, num_generations=settings.num_generations, max_tokens=config.judge_tokens,
        verdict=settings.verdict_weight, consistency=settings.consistency_weight,
    )  # fmt: skip
    return GRPOTrainer(args=GRPOConfig(**arguments | own), reward_funcs=reward, **shared)


def tokens_written(log: Iterable[dict[str, Any]], chains: int) -> tuple[int, int]:
    """(all tokens, those written) of a training, from its log.

    Args:
        log: one entry a step or more; of a step taken twice, after a kill, the last counts.
        chains: a step's, over all processes.
    """
    steps = {one["step"]: one for one in log}
    written = sum(one["completions/mean_length"] * chains for one in steps.values())
    return round(steps[max(steps)]["num_tokens"]), round(written)
