"""How a judge is trained: the parts of a config for supervised fine-tuning, DPO, GRPO and adapters.

Defaults are the paper's (arXiv 2501.18099, Table 10) where it gives a value; where it is silent the field says so and names the choice.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from planner.records import Record
from selftrain.config_file import Count, Fraction

Method = Literal["sft", "dpo", "grpo"]


class TrainConfig(Record, allow_inf_nan=False):
    """Optimisation, for all methods (paper, Table 10)."""

    learning_rate: Annotated[float, Field(gt=0)]
    epochs: Annotated[float, Field(gt=0)] = 2.0
    max_steps: Count = 1000
    """Optimiser steps at most; 0: no limit but the epochs."""
    batch_size: PositiveInt = 32
    """Rows an optimiser step over all processes (the paper does not say)."""
    micro_batch_size: PositiveInt = 1
    """Rows a forward pass on one device."""
    warmup_steps: Count = 0
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """The paper does not say."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    max_length: PositiveInt = 4096
    """Longer rows are dropped and counted; nothing is truncated."""
    save_every: PositiveInt = 100
    """Optimiser steps between candidates for selection."""
    gradient_checkpointing: bool = True
    shuffle: bool = True
    """False: rows in the pairs' order, where a pair's two orders, and `builtin` twins, are neighbours and meet in one batch."""


def check_batch(name: str, settings: TrainConfig, processes: int) -> None:
    """Refuse a batch that is no whole number of forward passes on every process.

    Raises:
        ValueError: names the fields, below `name`.
    """
    accumulation, rest = divmod(settings.batch_size, settings.micro_batch_size * processes)
    if rest or not accumulation:
        raise ValueError(
            f"{name}.batch_size = {settings.batch_size} is no multiple of {name}.micro_batch_size × processes = "
            f"{settings.micro_batch_size} × {processes}"
        )


class SftConfig(TrainConfig):
    learning_rate: Annotated[float, Field(gt=0)] = 1e-6
    warmup_steps: Count = 100
    start: Literal["current", "seed"] = "current"
    """What a later iteration's SFT starts from."""
    decision_weight: Annotated[float, Field(ge=1)] = 1.0
    """Loss weight of the tokens by which a chain decides: what a finding says of each answer, and the letter of the verdict. All
    others weigh 1. Not in the paper; for small models, whose one deciding token drowns in seventy others (docs/learning.md)."""
    form_steps: Count = 0
    """Optimiser steps at the start that weigh all tokens alike: a chain's form comes before what it decides."""

    @model_validator(mode="after")
    def _weighs_something(self) -> SftConfig:
        if self.form_steps and self.decision_weight == 1:
            raise ValueError("form_steps does nothing while decision_weight is 1: set it higher, or leave form_steps out")
        return self


class DpoConfig(TrainConfig):
    learning_rate: Annotated[float, Field(gt=0)] = 5.5e-8
    beta: Annotated[float, Field(gt=0)] = 0.1
    """Not in the paper; the value of its closest relative's released recipe, as is the next."""
    sft_weight: Annotated[float, Field(ge=0)] = 1.5
    """Weight of the chosen side's per-token negative log-likelihood beside the DPO loss; 0: DPO alone."""
    loss: Literal["sigmoid", "ipo", "hinge", "robust", "sigmoid_norm"] = "sigmoid"
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Of `robust`: the share of preferences that is taken to be the wrong way round."""

    @model_validator(mode="after")
    def _smooths_where_it_acts(self) -> DpoConfig:
        if (self.loss == "robust") != (self.label_smoothing > 0):
            raise ValueError('loss = "robust" and label_smoothing above 0 go together: neither does anything alone')
        return self


class GrpoConfig(TrainConfig):
    """Online GRPO of the judge itself: J1's values (arXiv 2505.10320), which is silent on all that says `chosen`.

    A step writes `batch_size` × `num_generations` chains of at most `judge_tokens`, as long as they may be at test time.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 1e-6
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """Chosen."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """Chosen."""
    batch_size: PositiveInt = 512
    """Prompts an optimiser step over all processes; both orders of a pair are two. J1 says 512 and not of what: chosen."""
    micro_batch_size: PositiveInt = 1
    """Chains a forward pass on one device."""
    max_length: PositiveInt = 4096
    """Of prompt and chain. A pair of which one order's prompt leaves no room for `judge_tokens` is dropped and counted."""
    save_every: PositiveInt = 10
    shuffle: bool = True
    """Of pairs: their two orders always stay neighbours."""
    num_generations: Annotated[int, Field(ge=2)] = 5
    """Chains a prompt."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    beta: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the divergence from the start (J1: 0.01 at 8B, 0 at 70B). 0 also keeps the reference model out of memory."""
    verdict_weight: Annotated[float, Field(ge=0)] = 1.0
    """Reward of a right verdict."""
    consistency_weight: Annotated[float, Field(ge=0)] = 1.0
    """Reward on top where the same chain of the other order is right too. 0: J1 without it."""
    vllm_memory: Fraction = 0.3
    """Share of a GPU that the engine beside the trainer takes."""

    @model_validator(mode="after")
    def _rewards_something(self) -> GrpoConfig:
        if not self.verdict_weight + self.consistency_weight:
            raise ValueError("verdict_weight and consistency_weight are both 0: nothing would be rewarded")
        return self


class LoraConfig(Record):
    """Adapters on every linear layer instead of full fine-tuning. Not in the paper: it is what fits 8B weights on one 80 GB GPU."""

    rank: PositiveInt = 64
    alpha: PositiveInt = 128
    dropout: Fraction = 0.0
