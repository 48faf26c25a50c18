"""One instruction-tuning run of a base model through TRL's SFTTrainer, with a checkpoint and a held-out loss each epoch.

Started as a child by `compare.sweep`. A finished trial leaves `trial.json`; one that was stopped begins anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from compare.candidates import Question, fit, rows
from planner.errors import UserError
from planner.models import resolve_model
from planner.progress import progress_bar
from planner.records import Record, uniform
from planner.store import write_text
from selftrain.config import Seed

Optimizer = Literal["adamw", "sgd"]
Scheduler = Literal["cosine", "linear", "constant"]
Tuning = Literal["full", "lora"]
_EXAMPLE = '{"instruction": …, "response": …}, with "input" where there is one'


class Trial(Record):
    """A point of the grid; its epochs are the settings."""

    optimizer: Optimizer
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    scheduler: Scheduler
    tuning: Tuning

    @property
    def name(self) -> str:
        return f"{self.optimizer}-{self.learning_rate:g}-{self.scheduler}-{self.tuning}"


class TrainConfig(Record):
    """What all trials share. Batch size, length and LoRA's sizes are PandaLM's."""

    batch_size: PositiveInt = 16
    micro_batch_size: PositiveInt = 2
    max_length: PositiveInt = 1024
    """Longer rows are dropped and counted."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the rows that the loss of each epoch is measured on, chosen by hash."""
    lora_rank: PositiveInt = 8
    lora_alpha: PositiveInt = 16
    seed: Seed = 2023

    @model_validator(mode="after")
    def _batches_divide(self) -> TrainConfig:
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size = {self.batch_size} is no multiple of micro_batch_size = {self.micro_batch_size}: other batches than asked "
                "for would train"
            )
        return self


class TrialJob(Record):
    trial: Trial
    model: str
    data: str
    folder: str
    epochs: PositiveInt
    ask: Literal["chat", "text"]
    train: TrainConfig


class Trained(Record):
    """What a trial left; `trial.json`."""

    rows: int
    held_out: int
    over_long: int
    losses: tuple[float, ...]
    """Held-out loss after each epoch."""
    checkpoints: tuple[str, ...]
    """One an epoch."""


def read_examples(path: Path) -> list[tuple[str, str]]:
    """(question, response) of every row.

    Raises:
        UserError: missing, or a row without an instruction or a response.
    """
    found = []
    for where, value in rows(path):
        response = value.get("response", value.get("output")) if isinstance(value, dict) else None
        if not isinstance(response, str) or not isinstance(value.get("instruction"), str):
            raise UserError(f"{where} is no example; a row is {_EXAMPLE}")
        found.append((fit(value, Question, where, _EXAMPLE).pair("", "").question, response))
    if len(found) < 2:
        raise UserError(f"{path} holds {len(found)} examples; a trial needs some to train on and some to hold out")
    return found


def train(job: TrialJob) -> None:
    """Train and leave a checkpoint folder an epoch, each an ordinary model with its tokenizer (LoRA merged).

    Raises:
        UserError: no row is left to train on or to hold out.
    """
    import datasets
    import torch
    import transformers
    from peft import LoraConfig
    from transformers import AutoTokenizer, PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    out, settings = Path(job.folder), job.train
    path = resolve_model(job.model)
    tokenizer = AutoTokenizer.from_pretrained(path)
    made = [_row(question, response, job.ask, tokenizer) for question, response in read_examples(Path(job.data))]
    if job.ask == "chat" and not tokenizer.chat_template:
        raise UserError(f'{job.model} has no chat template: set respond.ask = "text", or start from an instruction-tuned model')
    fitting = [row for row in made if _length(row, tokenizer) <= settings.max_length]
    held: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    for row in fitting:
        (held if uniform("held out", str(settings.seed), str(row)) < settings.held_out else kept).append(row)
    if not held or not kept:
        raise UserError(
            f"{job.data}: of {len(made)} rows {len(kept)} are left to train on and {len(held)} to hold out; give more rows, or raise "
            "train.max_length or train.held_out"
        )
    losses: list[float] = []

    class Progress(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar = progress_bar(job.trial.name, state.max_steps, "step")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.update(state.global_step - self.bar.n)

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
            losses.append(metrics["eval_loss"])

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.close()

    cuda = torch.cuda.is_available()
    trial = job.trial
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    trainer = SFTTrainer(
        model=path,
        args=SFTConfig(
            output_dir=str(out / "checkpoints"), optim={"adamw": "adamw_torch", "sgd": "sgd"}[trial.optimizer],
            learning_rate=trial.learning_rate, lr_scheduler_type=trial.scheduler, num_train_epochs=job.epochs,
            per_device_train_batch_size=settings.micro_batch_size, per_device_eval_batch_size=settings.micro_batch_size,
            gradient_accumulation_steps=settings.batch_size // settings.micro_batch_size, save_strategy="epoch",
            save_only_model=True, eval_strategy="epoch", logging_strategy="no", report_to="none", seed=settings.seed,
            max_length=None, packing=False, bf16=True, use_cpu=not cuda, dataloader_pin_memory=cuda, disable_tqdm=True,
            model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=datasets.Dataset.from_list(kept),
        eval_dataset=datasets.Dataset.from_list(held),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=settings.lora_rank, lora_alpha=settings.lora_alpha, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"
        )
        if trial.tuning == "lora"
        else None,
        callbacks=[Progress()],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    checkpoints = sorted((out / "checkpoints").glob("checkpoint-*"), key=lambda one: int(one.name.rpartition("-")[2]))
    if trial.tuning == "lora":
        for checkpoint in checkpoints:
            _merge(path, checkpoint)
    trained = Trained(
        rows=len(kept), held_out=len(held), over_long=len(made) - len(fitting), losses=tuple(losses), checkpoints=tuple(map(str, checkpoints))
    )  # fmt: skip
    write_text(out / "trial.json", trained.model_dump_json(indent=2) + "\n")


def _row(question: str, response: str, ask: str, tokenizer: Any) -> dict[str, Any]:
    """A row in TRL's conversational form, or as plain text for models without a chat template."""
    if ask == "text":
        return {"prompt": question + "\n", "completion": response + tokenizer.eos_token}
    return {"prompt": [{"role": "user", "content": question}], "completion": [{"role": "assistant", "content": response}]}


def _length(row: dict[str, Any], tokenizer: Any) -> int:
    if isinstance(row["prompt"], str):
        return len(tokenizer.encode(row["prompt"] + row["completion"]))
    return len(tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=True, return_dict=False))


def _merge(base: str, checkpoint: Path) -> None:
    """Put an adapter into its base model, in place: an engine opens the folder like any other."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    merged = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype="float32"), str(checkpoint)
    ).merge_and_unload()
    for file in checkpoint.glob("adapter_*"):
        file.unlink()
    merged.save_pretrained(checkpoint)
