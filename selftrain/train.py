"""Inside a training child: rows and a checkpoint go in, candidate checkpoints come out.

TRL's SFTTrainer and DPOTrainer do the work; accelerate and DeepSpeed come in through the launcher's environment. Weights are kept in
float32 and multiplied in bfloat16: an optimiser step of 5.5e-8 is far below what bfloat16 weights can hold. The model is always
loaded by path, because TRL re-reads the reference from the path in the model's own config. Every candidate holds the
optimiser's state until a newer one does, so a killed stage goes on from the last.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from planner.errors import UserError
from planner.progress import progress_bar
from planner.records import Record
from planner.store import append_text, write_text
from planner.styles.evalplanner import EvalPlannerStyle
from selftrain.config import Config, DpoConfig, Method
from selftrain.cpu_head import score_answers_only

RESUME_FILES = ("optimizer.pt", "scheduler.pt", "scaler.pt", "training_args.bin")


class TrainJob(Record):
    """What one training child is asked to do."""

    method: Method
    rows: str
    start: str
    """Path of the checkpoint it starts from; for DPO also the reference."""
    out: str
    max_steps: int | None = None
    """Exactly so many optimiser steps, whatever the config's epochs (a control spends an equal number of tokens)."""


class TrainStats(Record):
    """What a training child did; `<out>/stats.json`."""

    rows: int
    over_long: int
    tokens: int
    """Tokens of the rows kept, prompt and answer, both sides of a DPO row; one pass."""
    steps: int
    epochs: float


def train(config: Config, job: TrainJob) -> None:
    """Train and leave `checkpoint-<step>` folders and `stats.json` in `job.out`.

    Raises:
        UserError: no row is left after over-long ones were dropped.
    """
    # Heavy imports here: the parent reads this file's records without them.
    import datasets
    import torch
    import transformers
    from transformers import AutoTokenizer, PrinterCallback, TrainerCallback

    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    settings = config.sft if job.method == "sft" else config.dpo
    out = Path(job.out)
    out.mkdir(parents=True, exist_ok=True)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    main = int(os.environ.get("RANK", "0")) == 0
    tokenizer = AutoTokenizer.from_pretrained(job.start)
    # From a file, not from memory: rank 1 cannot find rank 0's cache of a dataset that was built in memory.
    dataset = datasets.load_dataset("json", data_files=job.rows, split="train", cache_dir=str(out / "cache"))
    lengths = [row_lengths(tokenizer, row) for row in dataset]
    keep = [i for i, sides in enumerate(lengths) if max(sides) <= settings.max_length]
    if not keep:
        raise UserError(
            f"{job.rows}: all {len(lengths)} rows are longer than {job.method}.max_length = {settings.max_length} tokens; raise it"
        )
    dataset = dataset.select(keep)
    steps = job.max_steps or _steps(len(keep), settings.batch_size, settings.epochs, settings.max_steps)
    facts = {"rows": len(keep), "over_long": len(lengths) - len(keep), "tokens": sum(sum(lengths[i]) for i in keep), "steps": steps}
    stats = TrainStats(**facts, epochs=steps * settings.batch_size / len(keep))
    whole = candidates(out)
    if whole and _step(whole[-1]) >= steps:  # killed between its last checkpoint and its end; going on would take a step too many
        if main:
            write_text(out / "stats.json", stats.model_dump_json())
        return
    check_disk(out, job.start, -(-steps // settings.save_every))

    accumulation = settings.batch_size // (settings.micro_batch_size * world)  # the config has checked that it divides
    cuda = torch.cuda.is_available()
    common: dict[str, Any] = {
        "output_dir": str(out),
        "learning_rate": settings.learning_rate,
        "num_train_epochs": settings.epochs,
        "max_steps": steps,
        "per_device_train_batch_size": settings.micro_batch_size,
        "gradient_accumulation_steps": accumulation,
        "warmup_steps": settings.warmup_steps,
        "lr_scheduler_type": settings.schedule,
        "weight_decay": settings.weight_decay,
        "adam_beta1": settings.betas[0],
        "adam_beta2": settings.betas[1],
        "max_grad_norm": settings.max_grad_norm,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "bf16": True,
        "use_cpu": not cuda,
        "max_length": None,
        "model_init_kwargs": {"dtype": "float32"},
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "logging_steps": 1,
        "report_to": list(config.report_to) or "none",
        "run_name": f"{config.name}/{out.parent.name}",
        "seed": config.seed,
        "dataloader_pin_memory": cuda,
        "train_sampling_strategy": "random" if settings.shuffle else "sequential",
        "disable_tqdm": True,  # the ledger below shows the same bar as every other stage
    }

    class Ledger(TrainerCallback):  # type: ignore[misc]
        """Logs every loss, shows the bar, and keeps one optimiser state on disk instead of one a candidate."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar = progress_bar(job.method, state.max_steps, "step") if state.is_world_process_zero else None

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if self.bar is not None:
                self.bar.update(state.global_step - self.bar.n)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if self.bar is not None:
                self.bar.close()

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            if state.is_world_process_zero and logs and "loss" in logs:
                entry = {"step": state.global_step, **{k: v for k, v in logs.items() if isinstance(v, int | float)}}
                append_text(out / "log.jsonl", json.dumps(entry))
                assert self.bar is not None
                self.bar.set_postfix_str(f"loss {logs['loss']:.3f}", refresh=False)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                for folder in candidates(out)[:-1]:
                    strip_resume_state(folder)

    if job.method == "sft":
        from trl import SFTConfig, SFTTrainer

        trainer = SFTTrainer(
            model=job.start,
            args=SFTConfig(**common, packing=False),
            train_dataset=dataset,
            processing_class=tokenizer,
            callbacks=[Ledger()],
        )
    else:
        from trl import DPOConfig, DPOTrainer

        assert isinstance(settings, DpoConfig)
        losses = [settings.loss, "sft"] if settings.sft_weight else [settings.loss]
        trainer = DPOTrainer(
            model=job.start,
            args=DPOConfig(
                **common,
                beta=settings.beta,
                loss_type=losses,
                loss_weights=[1.0, settings.sft_weight] if settings.sft_weight else None,
                precompute_ref_log_probs=True,
            ),
            train_dataset=dataset,
            processing_class=tokenizer,
            callbacks=[Ledger()],
        )
    trainer.remove_callback(PrinterCallback)  # what it would print is in log.jsonl
    if not cuda:
        score_answers_only(trainer.model)
    trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)
    if main:
        write_text(out / "stats.json", stats.model_dump_json())


def row_lengths(tokenizer: Any, row: dict[str, Any]) -> list[int]:
    """Tokens of a row's sequences, prompt included: one for SFT, chosen and rejected for DPO."""
    sides = [row["completion"]] if "completion" in row else [row["chosen"], row["rejected"]]
    return [len(tokenizer.apply_chat_template([*row["prompt"], *side], tokenize=True, return_dict=False)) for side in sides]


def check_disk(out: Path, start: str, kept: int) -> None:
    """Refuse to start what the disk cannot hold: `kept` candidates in float32, and the optimiser's state.

    Raises:
        UserError: says how much is missing.
    """
    folder = Path(start)
    if not folder.is_dir():
        return
    half = json.loads((folder / "config.json").read_text()).get("dtype") in ("bfloat16", "float16")
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    weights *= 2 if half else 1
    # Candidates hold their weights until one is chosen; the newest two also hold two moments a weight.
    need, free = weights * (kept + 4), shutil.disk_usage(out).free
    if free < need:
        raise UserError(f"{out}: training needs about {need / 1e9:.1f} GB of disk for checkpoints, {free / 1e9:.1f} GB are free")


def _steps(rows: int, batch: int, epochs: float, limit: int) -> int:
    """Optimiser steps of that many epochs, at most `limit` unless that is 0."""
    whole = max(1, int(-(-rows // batch) * epochs))
    return min(limit, whole) if limit else whole


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def candidates(out: Path) -> list[Path]:
    """Whole checkpoints in a training folder, oldest first. One that was being written when its process died is removed."""
    found = sorted(out.glob("checkpoint-*"), key=_step)
    # The trainer writes its state file last.
    for path in found:
        if not (path / "trainer_state.json").is_file() and int(os.environ.get("RANK", "0")) == 0:
            shutil.rmtree(path)
    return [path for path in found if (path / "trainer_state.json").is_file()]


def strip_resume_state(folder: Path) -> None:
    """Leave the model, drop what only a resumed training needs."""
    for path in folder.iterdir():
        if path.name in RESUME_FILES or path.name.startswith("rng_state"):
            path.unlink()
        elif path.is_dir() and path.name.startswith("global_step"):
            shutil.rmtree(path)


def model_card(name: str, config: Config, parent: str, method: str, facts: dict[str, object], style: EvalPlannerStyle) -> str:
    """The README of a checkpoint: how it was made, for a stranger who finds the folder."""
    source = config.pairs.source + (f" ({Path(config.pairs.path).name})" if config.pairs.path else "")
    contaminated = (
        "\n> **Contaminated.** Trained on solutions of GSM8K *test* problems: never report it on GSM8K or a benchmark that holds it.\n"
        if config.pairs.source == "gsm8k_solutions"
        else ""
    )
    table = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"""---
library_name: transformers
pipeline_tag: text-generation
base_model: {config.model}
tags: [llm-as-a-judge, evalplanner, {method}]
---

# {name}

A judge that plans, executes its plan on two responses, and names the better one; trained on its own right and wrong verdicts.
{contaminated}
| | |
| --- | --- |
| seed model | {config.model} |
| trained from | {parent} |
| method | {method} |
| pairs | {source} |
| prompts | {style.prompt_set}, plans {style.plan_kind} |
{table}

```python
from planner.judge import Judge
judge = Judge.from_pretrained("PATH_OF_THIS_FOLDER")
print(judge.compare("Name a river in France.", "The Loire.", "Rome."))
```
"""
