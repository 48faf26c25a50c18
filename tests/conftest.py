"""What several test files share: a two-layer model, small configs, and the folder of real data where there is one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# How long an example takes says more about the machine than about the code.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised two-layer Llama with the embedded model's tokenizer: 3 million weights, opened by vLLM and TRL."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from planner.models import resolve_model

    tokenizer = AutoTokenizer.from_pretrained(resolve_model("embedded"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def embedded_engine() -> Any:
    """The real vLLM with the embedded model; one for the whole test run, because it takes half a minute to start."""
    from planner.engines.vllm import VllmEngine

    engine = VllmEngine("embedded", max_model_len=768, max_num_seqs=32, kv_cache_gb=1, enforce_eager=True)
    yield engine
    engine.close()


@pytest.fixture
def data_folder() -> Path:
    """The folder of real benchmark and training files; its tests are skipped where there is none."""
    folder = os.environ.get("EVALPLANNER_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real data: set EVALPLANNER_DATA to a folder that holds it")
    return Path(folder)


@pytest.fixture(scope="session")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk that has every file that the documentation names; tests work at a `desk`, a copy."""
    from tests.docs_desk import lay

    return lay(tmp_path_factory.mktemp("laid"))


@pytest.fixture
def desk(laid: Path, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Work at a desk of one's own, with scripted engines; gives the patches that hold there."""
    from tests.docs_desk import played

    shutil.copytree(laid, tmp_path / "desk", symlinks=True)
    with played(tmp_path / "desk") as patch:
        yield patch


def weaken_the_seed(folder: Path) -> None:
    """Write the embedded model with half of its layers' work undone: the same architecture, saying other things."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from planner.models import resolve_model

    seed = resolve_model("embedded")
    model = AutoModelForCausalLM.from_pretrained(seed, dtype=torch.float32)
    with torch.no_grad():
        for layer in model.model.layers[15:]:
            layer.mlp.down_proj.weight.zero_()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(seed).save_pretrained(folder)


def tiny_config(tmp_path: Path, model: Path, **changes: Any) -> dict[str, Any]:
    """A whole run that takes seconds: scripted engine, two-layer model."""
    config: dict[str, Any] = {
        "name": "tiny",
        "out": str(tmp_path / "runs"),
        "model": str(model),
        "prompts": "short",
        "judge_tokens": 60,
        "pairs": {"kinds": ["letter_case", "keyword", "list_shape"], "validation": 4, "held_out": {"known": 6, "unseen": 10}},
        "sampling": {"plans": 2, "executions": 4, "plan_tokens": 24, "execution_tokens": 40, "force_verdict": True},
        "rows": {"train_forced": True},
        "sft": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 4, "micro_batch_size": 4, "warmup_steps": 0, "save_every": 2,
                "gradient_checkpointing": False},
        "dpo": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 4, "micro_batch_size": 4, "save_every": 3,
                "gradient_checkpointing": False},
        "iterations": [{"pairs": 8, "train": ["sft", "dpo"]}, {"pairs": 6}],
        "engine": {"kind": "scripted"},
    }  # fmt: skip
    config.update(changes)
    return config
