"""What the house adds to, or takes from, TRL's own speed: our DPO stage against a plain `DPOTrainer` on the same rows.

    python bench/train.py [--model embedded] [--rows 24] [--json]

Ours is `selftrain.train.train`, as a run calls it. Plain is TRL's `DPOTrainer` with the same learning rate, batch, beta, loss terms and
seed, and every other option at TRL's default but for `max_length=None` (the default cuts verdicts off) and gradient checkpointing, which is
off on both sides. Each runs in a process of its own, one after the other, from reading the model to its last step. `ratio` is ours
over plain in tokens a second (prompt and answer, both sides of a row), by the clock; `ratio_cpu` in tokens a processor-second, which
other work on the machine disturbs less. `peak_gib` is the process's largest resident size. `loss_apart` is the largest difference between
the two loss curves: both train the same thing.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before bench/, whose eval.py would hide eval/

from planner.errors import UserError  # noqa: E402
from planner.models import ModelError, resolve_model  # noqa: E402
from planner.records import Message, flip  # noqa: E402
from planner.store import read_log, write_jsonl  # noqa: E402
from selftrain.config import Config, DpoConfig  # noqa: E402
from selftrain.pairs.builtin import generate  # noqa: E402
from selftrain.rows import DpoRow  # noqa: E402
from selftrain.train import TrainJob, TrainStats, train  # noqa: E402

PLAN = "Find what the instruction asks for, and check it in each answer word by word."
EXECUTION = "Answer A does what was asked in its first line; Answer B leaves it out, and says more than it should about the rest."
SIDES = ("plain", "ours")


def bench_config(model: str, batch: int) -> Config:
    dpo = DpoConfig(
        learning_rate=1e-5, batch_size=batch, micro_batch_size=batch, epochs=1, save_every=10**6, gradient_checkpointing=False,
        max_length=2048,
    )  # fmt: skip
    return Config(name="bench-train", model=model, prompts="short", dpo=dpo)


def write_rows(config: Config, path: Path, rows: int) -> None:
    """Minimal pairs on builtin pairs: about 150 tokens of prompt and 70 of answer a side."""
    style = config.style

    def row(labeled: Any) -> DpoRow:
        def answer(verdict: Any) -> tuple[Message, ...]:
            return (Message(role="assistant", content=style.chain_text(PLAN, EXECUTION, verdict)),)

        prompt, gold = style.judge_prompt(labeled.pair).messages, labeled.gold("ab")
        return DpoRow(prompt=prompt, chosen=answer(gold), rejected=answer(flip(gold)))

    write_jsonl(path, (row(one) for one in islice(generate("train", config.seed), rows)))


def ours(config: Config, model: str, rows: Path, out: Path) -> list[float]:
    train(config, TrainJob(method="dpo", rows=str(rows), start=model, out=str(out)))
    return [entry["loss"] for entry in read_log(out / "log.jsonl")]


def plain(config: Config, model: str, rows: Path, out: Path) -> list[float]:
    import datasets
    import torch
    from trl import DPOConfig, DPOTrainer

    settings = config.dpo
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(out), learning_rate=settings.learning_rate, num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.micro_batch_size, lr_scheduler_type=settings.schedule, weight_decay=settings.weight_decay,
            adam_beta1=settings.betas[0], adam_beta2=settings.betas[1], beta=settings.beta, loss_type=["sigmoid", "sft"],
            loss_weights=[1.0, settings.sft_weight], max_length=None, gradient_checkpointing=False, seed=config.seed, save_strategy="no",
            logging_steps=1, report_to="none", use_cpu=not torch.cuda.is_available(), disable_tqdm=True,
        ),
        train_dataset=datasets.load_dataset("json", data_files=str(rows), split="train", cache_dir=str(out / "cache")),
    )  # fmt: skip
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def child(side: str, model: str, batch: int, folder: Path) -> None:
    """Train once in this process, and leave what it took in `<side>.json`."""
    import torch
    import trl  # noqa: F401  # imports are not what is measured

    config, out = bench_config(model, batch), folder / side
    clock, cpu = time.perf_counter(), time.process_time()
    losses = (ours if side == "ours" else plain)(config, model, folder / "dpo.jsonl", out)
    spent = {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu}
    peak = (
        torch.cuda.max_memory_reserved() if torch.cuda.is_available() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    (folder / f"{side}.json").write_text(json.dumps({**spent, "peak_gib": peak / 2**30, "losses": losses}))


def measure(model: str, rows: int, batch: int, folder: Path) -> dict[str, Any]:
    write_rows(bench_config(model, batch), folder / "dpo.jsonl", rows)
    found: dict[str, dict[str, Any]] = {}
    for side in SIDES:
        command = [sys.executable, __file__, "--model", model, "--batch", str(batch), "--child", side, "--folder", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"{side} failed: {done.stderr[-2000:]}")
        found[side] = json.loads((folder / f"{side}.json").read_text())
        print(f"{side:5} {found[side]['seconds']:6.1f} s", file=sys.stderr)
    tokens = TrainStats.model_validate_json((folder / "ours" / "stats.json").read_text()).tokens
    losses = [found[side]["losses"] for side in SIDES]
    return {
        "ratio": round(found["plain"]["seconds"] / found["ours"]["seconds"], 2),
        "ratio_cpu": round(found["plain"]["cpu_seconds"] / found["ours"]["cpu_seconds"], 2),
        "tokens_per_s": {side: round(tokens / found[side]["seconds"], 1) for side in SIDES},
        "tokens_per_cpu_s": {side: round(tokens / found[side]["cpu_seconds"], 1) for side in SIDES},
        "peak_gib": {side: round(found[side]["peak_gib"], 2) for side in SIDES},
        "loss_apart": round(max(abs(a - b) for a, b in zip(*losses, strict=True)), 4),
        "losses": [round(one, 4) for one in losses[1]],
        "tokens": tokens,
        "rows": rows,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help='"embedded", a checkpoint folder, or a hub id')
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--batch", type=int, default=4, help="rows a step")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object on the last line")
    parser.add_argument("--child", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.model, asked.batch, asked.folder)
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
            figures = measure(resolve_model(asked.model), asked.rows, asked.batch, Path(folder))
    except (ModelError, UserError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for side in SIDES:
        print(f"{side:5} {figures['tokens_per_s'][side]:8,.0f} tok/s · peak {figures['peak_gib'][side]:5.2f} GiB")
    print(
        f"ratio {figures['ratio']:.2f} (by processor time {figures['ratio_cpu']:.2f}) · losses at most {figures['loss_apart']} apart"
    )
    if asked.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
