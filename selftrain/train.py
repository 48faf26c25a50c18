"""Inside a training child: rows and a checkpoint go in, candidate checkpoints come out.

TRL's SFTTrainer, DPOTrainer and GRPOTrainer do the work; accelerate and DeepSpeed come in through the launcher's environment. Weights are kept in
float32 and multiplied in bfloat16: an optimiser step of 5.5e-8 is far below what bfloat16 weights can hold. The model is always
loaded by path, because TRL re-reads the reference from the path in the model's own config. Every candidate holds the
optimiser's state until a newer one does, so a killed stage goes on from the last, and starts over where that one is damaged.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from planner.errors import UserError
from planner.progress import progress_bar
from planner.records import Record
from planner.store import append_text, read_log, write_text
from selftrain import on_cpu
from selftrain.checkpoints import candidates, check_disk, go_back_to, last_usable, step_of, strip_resume_state
from selftrain.config import Config, Method, TrainConfig
from selftrain.extensions import wait_for_compilations
from selftrain.grpo import grpo_trainer, prompt_length, tokens_written, whole_batches
from selftrain.lora import adapter, merge


class TrainJob(Record):
    """What one training child is asked to do."""

    method: Method
    rows: str
    start: str
    """Path of the checkpoint it starts from; for DPO and GRPO also the reference."""
    out: str
    max_steps: int | None = None
    """Exactly so many optimiser steps, whatever the config's epochs (a control spends an equal number of tokens)."""


class TrainStats(Record):
    """What a training child did; `<out>/stats.json`."""

    rows: int
    over_long: int
    tokens: int
    """Tokens of the rows kept, prompt and answer, both sides of a DPO row; one pass, which of GRPO's is the mean one."""
    generated: int = 0
    """Tokens that GRPO's judge wrote, over all passes."""
    left_over: int = 0
    """GRPO: prompts that fill no batch."""
    steps: int
    epochs: float
    """Passes over the rows, the last one perhaps in part."""
    longest: int
    """Tokens of the longest sequence kept, prompt and answer."""


def train(config: Config, job: TrainJob) -> None:
    """Train and leave `checkpoint-<step>` folders, ordinary models all, and `stats.json` in `job.out`.

    Raises:
        UserError: no row is left after over-long ones were dropped; something that the config asks for is not installed.
    """
    # Heavy imports here and below: the parent reads this file's records without them.
    import datasets
    import torch
    import transformers
    from transformers import AutoTokenizer

    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    out = Path(job.out)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(job.start)
    rows, stats = _rows(config, job, tokenizer)
    main = int(os.environ.get("RANK", "0")) == 0
    found = candidates(out)
    last, damage = last_usable(found, stats.steps)
    # Killed between its last checkpoint and its end, a training would take a step too many if it went on.
    if last is None or step_of(last) < stats.steps:
        by_deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
        check_disk(out, job.start, -(-stats.steps // _settings(config, job).save_every), by_deepspeed, config.lora is not None)
        if by_deepspeed:
            wait_for_compilations()
        trainer = _trainer(config, job, rows, stats, tokenizer)
        if damage:
            trainer.accelerator.wait_for_everyone()  # not before every rank has looked
            if main:
                go_back_to(last, found)
                print(f"{damage}: training {f'goes on from {last.name}' if last else 'starts over'}", flush=True)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    if main:
        if config.lora:
            for folder in candidates(out):
                merge(folder, job.start)
        if job.method == "grpo":  # how long chains are is known now
            chains = config.grpo.batch_size * config.grpo.num_generations
            seen, written = tokens_written(read_log(out / "log.jsonl"), chains)
            stats = stats.model_copy(update={"tokens": round(seen / stats.epochs), "generated": written})
        write_text(out / "stats.json", stats.model_dump_json())


def _settings(config: Config, job: TrainJob) -> TrainConfig:
    return config.training(job.method)


def _rows(config: Config, job: TrainJob, tokenizer: Any) -> tuple[Any, TrainStats]:
    """The rows that fit, as a dataset, and what will be done with them."""
    import datasets

    settings = _settings(config, job)
    # From a file, not from memory: rank 1 cannot find rank 0's cache of a dataset that was built in memory.
    rows = datasets.load_dataset("json", data_files=job.rows, split="train", cache_dir=str(Path(job.out) / "cache"))
    if job.method == "grpo":  # room for the longest chain
        lengths = [[prompt_length(tokenizer, row) + config.judge_tokens] for row in rows]
    else:
        lengths = [row_lengths(tokenizer, row) for row in rows]
    keep = [i for i, sides in enumerate(lengths) if max(sides) <= settings.max_length]
    if not keep:
        raise UserError(
            f"{job.rows}: all {len(lengths)} rows are longer than {job.method}.max_length = {settings.max_length} tokens; raise it"
        )
    over_long, left_over = len(lengths) - len(keep), 0
    if job.method == "grpo":
        keep, left_over = whole_batches(keep, settings.batch_size, where=job.rows)
        over_long = len(lengths) - len(keep) - left_over
    steps = job.max_steps or _steps(len(keep), settings.batch_size, settings.epochs, settings.max_steps)
    return rows.select(keep), TrainStats(
        rows=len(keep),
        over_long=over_long,
        left_over=left_over,
        tokens=sum(sum(lengths[i]) for i in keep),
        steps=steps,
        epochs=passes(steps, len(keep), settings.batch_size),
        longest=max(max(lengths[i]) for i in keep),
    )


def passes(steps: int, rows: int, batch: int) -> float:
    """How often `steps` optimiser steps see `rows` rows; the last batch of a pass holds what is left over, and is smaller."""
    whole, begun = divmod(steps, -(-rows // batch))
    return whole + min(begun * batch, rows) / rows


def _trainer(config: Config, job: TrainJob, rows: Any, stats: TrainStats, tokenizer: Any) -> Any:
    """TRL's trainer for the method, on the device there is."""
    import torch
    from transformers import PrinterCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    from selftrain.weights import WeightsCollator, weigh_log_probs, weigh_rows

    cuda = torch.cuda.is_available()
    if not cuda:
        on_cpu.keep_freed_memory()
        on_cpu.use_answers_only_head()
    common = _arguments(config, job, stats, cuda=cuda)
    shared: dict[str, Any] = {
        "model": job.start,
        "train_dataset": rows,
        "processing_class": tokenizer,
        "peft_config": adapter(config.lora),
        "callbacks": [_ledger(job.method, Path(job.out))],
    }
    if job.method == "grpo":
        trainer = grpo_trainer(config, common, shared)
    elif job.method == "sft":
        # Flash attention takes rows of unequal length side by side, without padding. TRL 1.16 has that for SFT alone.
        padding_free = config.attention == "flash_attention_2"
        if config.sft.decision_weight != 1:
            padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
            shared["train_dataset"] = weigh_rows(rows, tokenizer, config.style, config.sft.decision_weight)
            shared["data_collator"] = WeightsCollator(pad_token_id=padding, padding_free=padding_free)
            common["remove_unused_columns"] = False
        trainer = SFTTrainer(args=SFTConfig(**common, padding_free=padding_free), **shared)
        if config.sft.decision_weight != 1:
            weigh_log_probs(trainer.model, lambda: trainer.state.global_step >= config.sft.form_steps)
    else:
        weight = config.dpo.sft_weight
        preference = DPOConfig(
            **common,
            beta=config.dpo.beta,
            label_smoothing=config.dpo.label_smoothing,
            loss_type=[config.dpo.loss, "sft"] if weight else [config.dpo.loss],
            loss_weights=[1.0, weight] if weight else None,
            precompute_ref_log_probs=True,  # so that the reference model is never in memory beside the policy
        )
        trainer = DPOTrainer(args=preference, **shared)
    trainer.remove_callback(PrinterCallback)  # what it would print is in log.jsonl
    return trainer


def _arguments(config: Config, job: TrainJob, stats: TrainStats, *, cuda: bool) -> dict[str, Any]:
    """What all methods have in common.

    Raises:
        UserError: the config asks for what only a GPU has.
    """
    for key, asked in (("liger", config.liger), ("attention", config.attention != "sdpa")):
        if asked and not cuda:
            raise UserError(f"{key} needs a GPU, and there is none here; leave it at its default")
    settings = _settings(config, job)
    out = Path(job.out)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    return {
        "output_dir": str(out),
        "learning_rate": settings.learning_rate,
        "num_train_epochs": settings.epochs,
        "max_steps": stats.steps,
        "per_device_train_batch_size": settings.micro_batch_size,
        # The config has checked that it divides.
        "gradient_accumulation_steps": settings.batch_size // (settings.micro_batch_size * world),
        "warmup_steps": settings.warmup_steps,
        # Transformers' plain "constant" takes no notice of warm-up steps.
        "lr_scheduler_type": "constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        "weight_decay": settings.weight_decay,
        "adam_beta1": settings.betas[0],
        "adam_beta2": settings.betas[1],
        "max_grad_norm": settings.max_grad_norm,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "bf16": True,
        "use_cpu": not cuda,
        "use_liger_kernel": config.liger,
        "max_length": None,
        # A frozen base needs no master weights; its adapter has its own, in float32.
        "model_init_kwargs": {
            "dtype": "bfloat16" if config.lora else "float32",
            "attn_implementation": config.attention if cuda else on_cpu.attention(stats.longest),
        },
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is no number stops the training, and is not told as 0
        "report_to": list(config.report_to) or "none",
        "run_name": f"{config.name}/{out.parent.name}",
        "seed": config.seed,
        "dataloader_pin_memory": cuda,
        "train_sampling_strategy": "random" if settings.shuffle else "sequential",
        "disable_tqdm": True,  # the ledger shows the same bar as every other stage
    }


def _ledger(method: Method, out: Path) -> Any:
    """A callback that logs every loss, shows the bar, and keeps one optimiser state on disk instead of one a candidate."""
    from transformers import TrainerCallback

    class Ledger(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar = progress_bar(method, state.max_steps, "step") if state.is_world_process_zero else None

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if self.bar is not None:
                self.bar.update(state.global_step - self.bar.n)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if self.bar is not None:
                self.bar.close()

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            for name in ("loss", "grad_norm"):
                if logs and not math.isfinite(float(logs.get(name, 0.0))):
                    raise UserError(
                        f"{method}'s {name} is {logs[name]} at step {state.global_step}: lower {method}.learning_rate, under another name="
                    )
            if state.is_world_process_zero and logs and "loss" in logs:
                entry = {"step": state.global_step, **{k: v for k, v in logs.items() if isinstance(v, int | float)}}
                append_text(out / "log.jsonl", json.dumps(entry))
                assert self.bar is not None
                shown = "reward" if method == "grpo" else "loss"
                self.bar.set_postfix_str(f"{shown} {logs[shown]:.3f}", refresh=False)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                for folder in candidates(out)[:-1]:
                    strip_resume_state(folder)

    return Ledger()


def row_lengths(tokenizer: Any, row: dict[str, Any]) -> list[int]:
    """Tokens of a row's sequences, prompt included: one for SFT, chosen and rejected for DPO."""
    if isinstance(row["prompt"], str):
        return [len(tokenizer.encode(row["prompt"] + row["completion"])) + 1]
    sides = [row["completion"]] if "completion" in row else [row["chosen"], row["rejected"]]
    return [len(tokenizer.apply_chat_template([*row["prompt"], *side], tokenize=True, return_dict=False)) for side in sides]


def _steps(rows: int, batch: int, epochs: float, limit: int) -> int:
    """Optimiser steps of that many epochs, at most `limit` unless that is 0."""
    whole = max(1, int(-(-rows // batch) * epochs))
    return min(limit, whole) if limit else whole
