"""planner/models.py and selftrain/preflight.py: what would stop a run after hours is one line before it starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.engines.base import EngineError
from planner.engines.vllm import prompt_ids
from planner.errors import UserError
from planner.models import ModelError, open_tokenizer, resolve_model
from planner.records import Message
from selftrain.config import Config
from selftrain.preflight import check_packages, check_trackers
from selftrain.stamp import check_stamp
from tests.conftest import tiny_config

NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda model: cut(model / "model.safetensors", 100_000), "model.safetensors is no whole safetensors file"),
        (lambda model: cut(model / "model.safetensors", 3), "model.safetensors is no whole safetensors file"),
        (lambda model: cut(model / "config.json", 40), "config.json' is not a valid JSON file"),
        (lambda model: [path.unlink() for path in model.glob("token*")], "the tokenizer of .* cannot be opened"),
        (lambda model: (model / "chat_template.jinja").unlink(), "does not take a system and a user message"),
        (lambda model: (model / "chat_template.jinja").write_text(NO_SYSTEM), "System role not supported"),
        (lambda model: (model / "chat_template.jinja").write_text("{% if %}"), "does not take a system and a user message"),
    ],
)
def test_a_broken_seed_is_one_line(tiny_model: Path, tmp_path: Path, damage: Callable[[Path], object], said: str) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    open_tokenizer(str(model))
    damage(model)
    with pytest.raises(ModelError, match=said) as raised:
        open_tokenizer(str(model))
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize(("text", "said"), [(None, "chat template"), (NO_SYSTEM, "System role not supported")])
def test_a_judge_or_candidate_whose_template_cannot_be_asked_is_one_line(tiny_model: Path, text: str | None, said: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    chat = (Message(role="system", content="Judge."), Message(role="user", content="A or B?"))
    assert prompt_ids(tokenizer, (), chat, "")
    tokenizer.chat_template = text
    with pytest.raises(EngineError, match=f"does not take a system and user message .*{said}.*--ask text") as raised:
        prompt_ids(tokenizer, (), chat, "")
    assert "\n" not in str(raised.value)
    assert prompt_ids(tokenizer, (), (Message(role="text", content="A or B?"),), "")


@pytest.mark.slow
def test_a_hub_id_that_cannot_be_had_is_one_line() -> None:
    with pytest.raises(ModelError, match="the tokenizer of nobody/nothing cannot be opened") as raised:
        open_tokenizer(resolve_model("nobody/nothing"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["/nowhere", "./nowhere", "nowhere", "a/b/c"])
def test_what_can_only_be_a_folder_and_is_none_is_named(name: str) -> None:
    with pytest.raises(ModelError, match=f"no model at {name}"):
        resolve_model(name)


def test_weights_that_could_run_code_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("")
    with pytest.raises(ModelError, match=r"holds no \*\.safetensors"):
        resolve_model(str(tmp_path))


@pytest.mark.slow
def test_old_weights_are_made_safetensors_as_the_page_for_pandalm_s_users_says(tiny_model: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(tiny_model, old)
    weights = load_file(old / "model.safetensors")
    torch.save(weights, old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no \*\.safetensors"):
        resolve_model(str(old))
    AutoModelForCausalLM.from_pretrained(old).save_pretrained(new)
    AutoTokenizer.from_pretrained(old).save_pretrained(new)
    open_tokenizer(resolve_model(str(new)))
    assert all(torch.equal(weights[name], one) for name, one in load_file(new / "model.safetensors").items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"), [("nope", "no tracker 'nope'; choose from .*wandb"), ("neptune", "'neptune' is not installed")]
)
def test_a_tracker_that_is_not_there_is_refused(tmp_path: Path, name: str, said: str) -> None:
    check_trackers(Config.model_validate(tiny_config(tmp_path, tmp_path)))
    with pytest.raises(UserError, match=said):
        check_trackers(Config.model_validate(tiny_config(tmp_path, tmp_path, report_to=[name])))


@pytest.mark.parametrize(
    ("changes", "package"), [({"liger": True}, "liger-kernel"), ({"attention": "flash_attention_2"}, "flash-attn")]
)
def test_a_package_that_no_extra_installs_is_asked_for_before_anything_is_sampled(
    tmp_path: Path, changes: dict[str, Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.model_validate(tiny_config(tmp_path, tmp_path, **changes))
    monkeypatch.setattr("selftrain.preflight.find_spec", lambda _: None)
    check_packages(Config.model_validate(tiny_config(tmp_path, tmp_path)))
    with pytest.raises(UserError, match=f"{next(iter(changes))} needs the package {package}, which is not installed"):
        check_packages(config)
    monkeypatch.setattr("selftrain.preflight.find_spec", lambda _: "found")
    check_packages(config)


def test_a_stamp_that_is_no_json_is_named(tmp_path: Path) -> None:
    config = Config.model_validate(tiny_config(tmp_path, tmp_path))
    stamp = config.run_folder / "stamp.json"
    stamp.parent.mkdir(parents=True)
    (stamp.parent / "pairs").mkdir()
    (stamp.parent / "pairs" / ".done").touch()  # before its pairs are made a run may be begun anew
    stamp.write_text(json.dumps({"recipe": {}})[:5])
    with pytest.raises(UserError, match=rf"{stamp} is not JSON"):
        check_stamp(config, config.run_folder, "org/name", None)  # type: ignore[arg-type]
