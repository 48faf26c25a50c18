"""What each stage of a run costs, by arithmetic on its config: prompts, tokens, bytes, memory and seconds.

How long a model writes is unknown beforehand: three quarters of the limit, and no more than `TYPICAL_…` tokens. Half of all chains are
counted as right, as a coin's would be; a judge that always says the same makes fewer DPO rows than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean
from typing import Any, NamedTuple

from planner.records import Pair
from planner.styles.base import Prompt
from selftrain.config import Config, Iteration, Method
from selftrain.hardware import (
    GB,
    Shape,
    hardware_of,
    resume_gb,
    sampling_gb,
    sampling_seconds,
    training_flops,
    training_gb,
)
from selftrain.taught import opened

TYPICAL_PLAN, TYPICAL_EXECUTION = 300, 500
"""Tokens written where the limit leaves room: stated, not measured."""
_FILL = 0.75
"""Share of a tight limit that is written; measured on the long CPU run."""
_RIGHT, _KEPT = 0.5, 0.9
"""Share of chains that are right, and of rows that labels' balance and form leave; the long CPU run kept 85 to 92 % of its first ones."""
_TAG_TOKENS = 24
_PLAIN = 0.6
"""Speed of transformers' own generation on a CPU, of vLLM's: measured on the embedded model, batches of 64, greedy."""
_BLOCK = 32
"""Tokens of the cache that are shared or not as one; the last of a prompt is read again."""
_CHAIN_BYTES, _BYTES_A_TOKEN = 700, 4.5
"""Of a chain's lines, beside its text."""


class Launch(NamedTuple):
    """How many processes, on how many machines, and how DeepSpeed cuts optimiser states (0: not at all)."""

    processes: int
    machines: int
    zero: int


class Stage(NamedTuple):
    """What one stage costs. `read` leaves out what the prefix cache serves; `seconds` counts all ranks at once."""

    name: str
    prompts: float
    read: float
    written: float
    trained: float
    disk_gb: float
    memory: str
    seconds: float


class Lengths(NamedTuple):
    """Mean tokens of prompts, and of what is written after them."""

    ask_plan: float
    ask_execution: float
    """Without the plan, which executions of one pair and order do not share."""
    judge: float
    plan: float
    execution: float


def measure(config: Config, pairs: list[Pair], tokenizer: Any | None) -> Lengths:
    """Mean lengths over these pairs. Without a tokenizer, four characters count as a token."""
    style, draw = config.style, config.sampling

    def tokens(prompt: Prompt) -> int:
        if tokenizer is None:
            return sum(len(m.content) for m in prompt.messages) // 4
        chat = [{"role": m.role, "content": m.content} for m in prompt.messages]
        return len(tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False, add_generation_prompt=True))

    return Lengths(
        ask_plan=fmean(tokens(style.plan_prompt(one.instruction)) for one in pairs) if style.plans else 0,
        ask_execution=fmean(tokens(style.execution_prompt(one, "" if style.plans else None)) for one in pairs),
        judge=fmean(tokens(style.judge_prompt(one)) for one in pairs),
        plan=min(_FILL * draw.plan_tokens, TYPICAL_PLAN) if style.plans else 0,
        execution=min(_FILL * draw.execution_tokens, TYPICAL_EXECUTION),
    )


class Forecast:
    """The stages of a run, in order.

    Args:
        from_judge: the seed is a trained judge, and draws as one.
    """

    def __init__(self, config: Config, launch: Launch, shape: Shape, lengths: Lengths, *, from_judge: bool = False) -> None:
        self.config, self.launch, self.shape, self.lengths = config, launch, shape, lengths
        self._from_judge = from_judge
        self.hardware = hardware_of(config.hardware, launch.processes // launch.machines)
        self._group = config.engine.tensor_parallel
        by_ray = config.engine.kind == "ray"
        self._engines = config.engine.engines if by_ray else max(1, launch.processes // self._group)
        self._chain = min(config.judge_tokens, lengths.plan + lengths.execution + _TAG_TOKENS)

    def stages(self) -> Iterator[Stage]:
        config, trained, checkpoints = self.config, 0.0, 1  # the seed is measured too
        for k, iteration in enumerate(config.iterations, 1):
            for method in iteration.train:
                name, pairs = f"iter-{k}/{method}", self._pairs(iteration, method)
                draws = method != "grpo" and not iteration.judged  # GRPO draws while it trains; a judged file has been drawn
                if draws and (method == iteration.train[0] or iteration.resample_before_dpo):
                    yield self._sampling(
                        f"{name}/sample", pairs, first=k == 1 and method == iteration.train[0] and not self._from_judge
                    )
                steps = self._steps(method, pairs)
                stage = self._grpo(f"{name}/train", steps) if method == "grpo" else self._training(f"{name}/train", method, steps)
                yield stage
                trained += stage.trained
                candidates = math.ceil(steps / config.training(method).save_every)
                if candidates > 1:
                    yield self._judging(f"{name}/selection", config.pairs.validation, candidates)
                checkpoints += 1
        for control in config.controls:
            method, steps = config.iterations[0].train[0], 0
            if control == "verdict_only":
                steps = math.ceil(trained / (config.sft.batch_size * (self.lengths.judge + _TAG_TOKENS / 2)))
                yield self._training(f"controls/{control}/train", "sft", steps, answer=_TAG_TOKENS / 2)
            else:
                steps = self._steps(method, self._pairs(config.iterations[0], method))
                yield self._training(f"controls/{control}/train", method, steps)
            checkpoints += 1
        yield self._judging("eval", sum(config.pairs.held_out.values()), checkpoints)

    # -- sizes -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _pairs(iteration: Iteration, method: Method) -> int:
        if iteration.judged:
            return sum(1 for _ in opened(iteration.judged))
        return iteration.dpo_pairs or iteration.pairs if method == "dpo" else iteration.pairs

    def _steps(self, method: Method, pairs: int) -> int:
        """Optimiser steps: all rows that half-right chains give, within the epochs and the limit."""
        draw, rows = self.config.sampling, self.config.rows
        settings, plans, each = self.config.training(method), draw.plans, draw.executions // 2
        if method == "grpo":  # every prompt is a row
            total = max(1, int(2 * pairs // settings.batch_size * settings.epochs))
            return min(total, settings.max_steps) if settings.max_steps else total
        if method == "sft":
            per_order = 1.0 - (1 - _RIGHT) ** (plans * each)
        else:
            share = _RIGHT * (1 - _RIGHT)
            same, across = plans * each * (each - 1) * share, plans * (plans - 1) * each * each * share
            found = {"same_plan": same, "cross_plan": across, "mixed": same + across}[rows.pairing]
            if rows.train_forced:  # each forced chain is a minimal pair
                found = plans * each
            per_order = min(found, rows.max_pairs_per_order)
        total = max(1, math.ceil(math.ceil(2 * pairs * per_order * _KEPT) / settings.batch_size * settings.epochs))
        return min(total, settings.max_steps) if settings.max_steps else total

    # -- kinds of stage ----------------------------------------------------------------------------------------------

    def _sampling(self, name: str, pairs: int, *, first: bool) -> Stage:
        draw, of = self.config.sampling, self.lengths
        both = 2 * pairs
        # A seed plans for an instruction; a trained judge for a pair in an order, unless each plan serves both.
        asks = (pairs if first else both) if of.plan else 0
        plans = (pairs if first or draw.reuse_plans else both) * draw.plans if of.plan else both
        executed = both * (draw.plans if of.plan else 1)
        chains = both * draw.plans * draw.executions // 2
        tags = 0 if first else _TAG_TOKENS / 2  # the seed's are in its prompt
        written = plans * (of.plan + tags) if of.plan else 0.0
        # Under the judge prompt plans and executions share what they read, and without plans executions read it.
        shown = asks * of.ask_plan + both * of.ask_execution if first else both * of.judge
        read = shown + executed * (of.plan + _BLOCK)
        if first and self.config.execution_form != "findings" and draw.force_verdict:
            read += chains * (_TAG_TOKENS + _BLOCK)  # each chain's text is read again up to its verdict
        if not first or self.config.execution_form != "findings":
            written += chains * (of.execution + tags)
        prompts = asks + executed
        disk = chains * (_CHAIN_BYTES + _BYTES_A_TOKEN * (of.plan + 2 * of.execution)) * 2 / GB  # as drawn, and as judged
        return self._engine_stage(name, prompts, read, written, disk)

    def _judging(self, name: str, pairs: int, models: int) -> Stage:
        prompts = 2 * pairs * models
        disk = prompts * (_CHAIN_BYTES + 2 * _BYTES_A_TOKEN * self._chain) / GB
        stage = self._engine_stage(name, prompts, prompts * self.lengths.judge, prompts * self._chain, disk)
        return stage._replace(seconds=stage.seconds + models * 2 * self.shape.parameters / GB / self.hardware.read_gb_s)

    def _engine_stage(self, name: str, prompts: float, read: float, written: float, disk: float) -> Stage:
        engine, hardware = self.config.engine, self.hardware
        weights, cache = sampling_gb(self.shape, hardware.memory_gb, engine.gpu_memory_utilization, self._group)
        if self.config.hardware == "cpu":
            cache = engine.kv_cache_gb
        longest = engine.max_model_len or self.lengths.judge + self._chain
        at_once = int(cache * GB * self._group / (self.shape.kv_bytes * longest)) if cache > 0 else 0
        memory = f"{weights:.1f} GB + cache for {at_once:,} sequences" if at_once else f"{weights:.1f} GB: DOES NOT FIT"
        busy = sampling_seconds(self.shape, hardware, read=read, written=written, engines=self._engines, group=self._group)
        return Stage(name, prompts, read, written, 0, disk, memory, hardware.engine_start_s + busy)

    def _grpo(self, name: str, steps: int) -> Stage:
        """Training, and in it the sampling of what is trained on, by an engine beside the trainer or by the model itself."""
        prompts, group = steps * self.config.grpo.batch_size, self._group
        read, written = prompts * self.lengths.judge, prompts * self.config.grpo.num_generations * self._chain
        engines, speed = self._engines, 1.0
        if self.config.hardware == "cpu":
            engines, group, speed = self.launch.processes, 1, _PLAIN
        busy = sampling_seconds(self.shape, self.hardware, read=read, written=written, engines=engines, group=group) / speed
        stage = self._training(name, "grpo", steps, answer=self._chain)
        return stage._replace(prompts=prompts, read=read, written=written, seconds=stage.seconds + busy)

    def _beside_the_trainer_gb(self) -> float:
        """What GRPO holds on a device beside the model that it trains: an engine, and the reference, which of adapters is their base."""
        config, launch = self.config, self.launch
        engine = 0.0 if config.hardware == "cpu" else config.grpo.vllm_memory * self.hardware.memory_gb
        if not config.grpo.beta or config.lora:
            return engine
        return engine + self.shape.parameters * (2 if launch.zero else 4) / (launch.processes if launch.zero == 3 else 1) / GB

    def _training(self, name: str, method: Method, steps: int, *, answer: float | None = None) -> Stage:
        config, launch, settings = self.config, self.launch, self.config.training(method)
        sides, rank = (2 if method == "dpo" else 1), config.lora.rank if config.lora else None
        answer = self.lengths.plan + self.lengths.execution + _TAG_TOKENS if answer is None else answer
        rows = steps * settings.batch_size * (config.grpo.num_generations if method == "grpo" else 1)
        flops = sides * rows * training_flops(
            self.shape, self.lengths.judge, answer, checkpointed=settings.gradient_checkpointing, lora=rank is not None,
            referenced=method == "dpo" or (method == "grpo" and config.grpo.beta > 0),
        )  # fmt: skip
        longest = settings.micro_batch_size * sides * min(settings.max_length, int(2 * (self.lengths.judge + answer)))
        memory = training_gb(
            self.shape, tokens=longest, checkpointed=settings.gradient_checkpointing, zero=launch.zero, ranks=launch.processes,
            lora_rank=rank,
        )  # fmt: skip
        memory += self._beside_the_trainer_gb() if method == "grpo" else 0
        whole = (2 if rank or launch.zero else 4) * self.shape.parameters
        saved = math.ceil(steps / settings.save_every)
        # The newest checkpoint lets training go on, and while it is written so does the one before.
        disk = saved * whole / GB + min(saved, 2) * resume_gb(self.shape, zero=launch.zero, lora_rank=rank)
        fits = "" if memory < self.hardware.memory_gb else ": DOES NOT FIT"
        seconds = self.hardware.child_start_s + flops / (self.hardware.train * launch.processes) + disk / self.hardware.read_gb_s
        return Stage(name, rows, 0, 0, rows * sides * (self.lengths.judge + answer), disk, f"{memory:.1f} GB{fits}", seconds)
