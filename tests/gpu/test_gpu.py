"""What only a GPU can show, in ten minutes on one of 80 GB: `pytest tests/gpu`. Skipped, with the reason, elsewhere.

The embedded model is small enough to train and sample in seconds; kernels, memory and CUDA's own paths are what is tested here, not
learning. Whatever runs on a CPU as well is tested in the files beside this folder.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planner.engines.base import GREEDY, Choice, Request, Sampling
from planner.records import Message
from planner.store import write_jsonl
from selftrain.checkpoints import candidates
from selftrain.config import Config
from selftrain.rows import DpoRow, SftRow
from tests.conftest import ROOT, tiny_config, weaken_the_seed


def _no_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "no CUDA device here"


WHY_NOT = _no_gpu() if os.environ.get("EVALPLANNER_GPU", "1") != "0" else "EVALPLANNER_GPU=0"
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]
ASK = (Message(role="user", content="Which is better?"),)


def needs(package: str) -> Any:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def say(text: str) -> tuple[Message, ...]:
    return (Message(role="assistant", content=text),)


@pytest.fixture(scope="module")
def engine() -> Any:
    from planner.engines.vllm import VllmEngine

    made = VllmEngine("embedded", max_model_len=1024, max_num_seqs=128, gpu_memory_utilization=0.3)
    yield made
    made.close()


def test_the_engine_samples_reads_letters_and_shares_prefixes(engine: Any) -> None:
    long = (Message(role="user", content="A long shared beginning. " * 60),)
    asked = [Request(f"r{i}", long, "", 4, 16, (), Sampling(0.8, 0.95)) for i in range(64)]
    got = dict(engine.sample(asked))
    assert len(got) == 64
    assert engine.counters.cached > 0.5 * engine.counters.prompt
    ((_, logp_a, logp_b),) = engine.choose([Choice("c", ASK, "[Final Verdict]\n[[")])
    assert logp_a < 0
    assert logp_b < 0


def test_weights_are_switched_in_place(engine: Any, tmp_path: Path) -> None:
    asked = [Request("a", ASK, "", 1, 12, (), GREEDY)]
    ((_, (before,)),) = engine.sample(asked)
    weaken_the_seed(tmp_path / "other")
    engine.load(str(tmp_path / "other"))
    ((_, (other,)),) = engine.sample(asked)
    engine.load("embedded")
    ((_, (back,)),) = engine.sample(asked)
    assert other.text != before.text
    assert back.text == before.text


TRAININGS = [
    pytest.param({}, id="full"),
    pytest.param({"lora": {"rank": 8, "alpha": 16}}, id="lora"),
    pytest.param({"liger": True}, id="liger", marks=needs("liger_kernel")),
    pytest.param({"attention": "flash_attention_2"}, id="flash", marks=needs("flash_attn")),
]


@pytest.mark.parametrize("changes", TRAININGS)
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_training_lowers_the_loss(changes: dict[str, Any], method: Any, tmp_path: Path) -> None:
    """Each in a process of its own: kernels are patched into the model's classes and would leak into the next."""
    from planner.models import resolve_model
    from selftrain.train import TrainJob

    config = tiny_config(tmp_path, Path(resolve_model("embedded")), **changes)
    config[method] |= {
        "learning_rate": 1e-4,
        "gradient_checkpointing": True,
        "batch_size": 8,
        "micro_batch_size": 4,
        "save_every": 100,
    }
    rows = tmp_path / "rows.jsonl"
    if method == "sft":
        write_jsonl(rows, [SftRow(prompt=ASK, completion=say(f"row {i} " * (1 + i % 7) + "[[A]]")) for i in range(64)])
    else:
        write_jsonl(
            rows, [DpoRow(prompt=ASK, chosen=say(f"plan {i} fine [[A]]"), rejected=say(f"plan {i} poor [[B]]")) for i in range(64)]
        )
    job = TrainJob(method=method, rows=str(rows), start=resolve_model("embedded"), out=str(tmp_path / "out"), max_steps=12)
    code = "import sys; from selftrain.train import *; train(Config.model_validate_json(sys.argv[1]), TrainJob.model_validate_json(sys.argv[2]))"
    done = subprocess.run(
        [sys.executable, "-c", code, Config.model_validate(config).model_dump_json(), job.model_dump_json()],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    log = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < log[0]["loss"]
    assert candidates(tmp_path / "out")


def test_a_run_through_the_launcher_with_vllm_and_trl(tmp_path: Path) -> None:
    """One whole iteration: the sampling child gives the GPU back before the training child takes it."""
    import tomli_w

    config = tiny_config(tmp_path, tmp_path, model="embedded", iterations=[{"pairs": 16, "train": ["sft", "dpo"]}])
    config["engine"] = {"kind": "vllm", "max_model_len": 768, "max_num_seqs": 64, "gpu_memory_utilization": 0.5}
    path = tmp_path / "gpu.toml"
    path.write_text(tomli_w.dumps(config))
    launch = ["-m", "accelerate.commands.launch", "--quiet", "--config_file", str(ROOT / "configs/accelerate/gpu-1.yaml")]
    done = subprocess.run(
        [sys.executable, *launch, str(ROOT / "selftrain/run.py"), str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "runs/tiny/summary.json").is_file()


def test_our_dpo_stage_is_no_slower_than_plain_trl(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench/train.py"), "--rows", "256", "--batch", "16", "--json"],
        capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["loss_apart"] < 0.05
    assert figures["ratio"] > 0.9
    assert figures["peak_gib"]["ours"] <= figures["peak_gib"]["plain"]
