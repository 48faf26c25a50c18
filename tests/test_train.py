"""selftrain/train.py with the real TRL on a two-layer model: what is trained on, what moves, and from which reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.errors import UserError
from planner.records import Message
from planner.store import write_jsonl
from selftrain.checkpoints import candidates
from selftrain.config import Config
from selftrain.lora import adapter, merge
from selftrain.rows import DpoRow, SftRow
from selftrain.train import TrainJob, row_lengths, train
from tests.conftest import tiny_config

pytestmark = pytest.mark.slow
ASK = (Message(role="user", content="Which is better?"),)


def say(text: str) -> tuple[Message, ...]:
    return (Message(role="assistant", content=text),)


def dpo_rows(n: int = 8, plan: str = "same plan") -> list[DpoRow]:
    return [DpoRow(prompt=ASK, chosen=say(f"{plan} {i} fine [[A]]"), rejected=say(f"{plan} {i} poor [[B]]")) for i in range(n)]


def config(tmp_path: Path, model: Path, **changes: Any) -> Config:
    return Config.model_validate(tiny_config(tmp_path, model, **changes))


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_constant_rate_is_warmed_up_where_steps_are_given(tiny_model: Path, tmp_path: Path) -> None:
    changes = tiny_config(tmp_path, tiny_model)
    changes["sft"] |= {"schedule": "constant", "warmup_steps": 3, "save_every": 100}
    rows, out = tmp_path / "sft.jsonl", tmp_path / "out"
    write_jsonl(rows, [SftRow(prompt=ASK, completion=say(f"row {i} [[A]]")) for i in range(8)])
    train(Config.model_validate(changes), TrainJob(method="sft", rows=str(rows), start=str(tiny_model), out=str(out), max_steps=5))
    rates = [json.loads(line)["learning_rate"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert rates == pytest.approx([0.0, 1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3])


def test_a_loss_that_is_no_number_stops_the_training(tiny_model: Path, tmp_path: Path) -> None:
    changes = tiny_config(tmp_path, tiny_model)
    changes["sft"] |= {"learning_rate": 1e30, "max_grad_norm": 1e30, "schedule": "constant", "save_every": 100}
    rows, out = tmp_path / "sft.jsonl", tmp_path / "out"
    write_jsonl(rows, [SftRow(prompt=ASK, completion=say(f"row {i} [[A]]")) for i in range(8)])
    job = TrainJob(method="sft", rows=str(rows), start=str(tiny_model), out=str(out), max_steps=6)
    with pytest.raises(UserError, match=r"sft's (loss|grad_norm) is (nan|inf) at step \d: lower sft\.learning_rate"):
        train(Config.model_validate(changes), job)
    assert all(0 < json.loads(line)["loss"] < float("inf") for line in (out / "log.jsonl").read_text().splitlines())


def test_one_dpo_step_raises_the_margin_and_moves_weights(tiny_model: Path, tmp_path: Path) -> None:
    import torch

    settings = config(tmp_path, tiny_model)
    rows = tmp_path / "dpo.jsonl"
    write_jsonl(rows, dpo_rows(4))
    train(settings, TrainJob(method="dpo", rows=str(rows), start=str(tiny_model), out=str(tmp_path / "out"), max_steps=3))
    (last,) = candidates(tmp_path / "out")
    before, after = weights(tiny_model), weights(last)
    assert any(not torch.equal(before[key].float(), after[key].float()) for key in before)
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    # At the first step policy and reference are the same model, so the reward margin is zero: the reference is the start.
    assert log[0]["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert log[-1]["rewards/margins"] > 0


def test_over_long_rows_are_dropped_and_counted_and_nothing_is_truncated(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    short = SftRow(prompt=ASK, completion=say("fine [[A]]"))
    long = SftRow(prompt=ASK, completion=say("word " * 300 + "[[A]]"))
    limit = max(row_lengths(tokenizer, long.model_dump())) - 1
    changes = tiny_config(tmp_path, tiny_model)
    changes["sft"]["max_length"] = limit
    settings = Config.model_validate(changes)
    rows = tmp_path / "sft.jsonl"
    write_jsonl(rows, [short, long, short, short])
    train(settings, TrainJob(method="sft", rows=str(rows), start=str(tiny_model), out=str(tmp_path / "out"), max_steps=1))
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert (stats["rows"], stats["over_long"]) == (3, 1)
    write_jsonl(rows, [long])
    with pytest.raises(UserError, match=r"all 1 rows are longer than sft\.max_length"):
        train(settings, TrainJob(method="sft", rows=str(rows), start=str(tiny_model), out=str(tmp_path / "none")))


def test_a_stopped_training_goes_on_to_the_same_weights(tiny_model: Path, tmp_path: Path) -> None:
    """Steps 1-2, a torn checkpoint 3, resume to 4: equal to four steps at once."""
    import torch

    changes = tiny_config(tmp_path, tiny_model)
    changes["sft"] |= {"save_every": 2, "epochs": 2, "schedule": "constant"}
    settings = Config.model_validate(changes)
    rows = tmp_path / "sft.jsonl"
    write_jsonl(rows, [SftRow(prompt=ASK, completion=say(f"row {i} [[A]]")) for i in range(8)])
    straight = TrainJob(method="sft", rows=str(rows), start=str(tiny_model), out=str(tmp_path / "straight"), max_steps=4)
    train(settings, straight)
    stopped = straight.model_copy(update={"out": str(tmp_path / "stopped"), "max_steps": 2})
    train(settings, stopped)
    torn = tmp_path / "stopped" / "checkpoint-3"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half a file")
    train(settings, straight.model_copy(update={"out": str(tmp_path / "stopped")}))
    assert not torn.exists()
    a, b = weights(candidates(tmp_path / "straight")[-1]), weights(candidates(tmp_path / "stopped")[-1])
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-5)
    assert [path.name for path in candidates(tmp_path / "stopped")] == ["checkpoint-2", "checkpoint-4"]
    assert not (tmp_path / "stopped" / "checkpoint-2" / "optimizer.pt").exists(), "only the newest keeps its optimiser state"
    assert (tmp_path / "stopped" / "checkpoint-4" / "optimizer.pt").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt"])
def test_a_candidate_that_a_crash_cut_off_is_made_anew(
    name: str, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = tiny_config(tmp_path, tiny_model)
    changes["sft"] |= {"save_every": 2, "epochs": 2, "schedule": "constant"}
    settings = Config.model_validate(changes)
    rows, out = tmp_path / "sft.jsonl", tmp_path / "out"
    write_jsonl(rows, [SftRow(prompt=ASK, completion=say(f"row {i} [[A]]")) for i in range(8)])
    job = TrainJob(method="sft", rows=str(rows), start=str(tiny_model), out=str(out))
    train(settings, job.model_copy(update={"max_steps": 4}))
    file = out / "checkpoint-4" / name
    file.write_bytes(file.read_bytes()[:-100])
    train(settings, job.model_copy(update={"max_steps": 6}))
    assert f"{file} is cut off: training starts over" in capsys.readouterr().out
    assert [path.name for path in candidates(out)] == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


def test_the_papers_step_moves_float32_weights_and_vanishes_in_bfloat16(tiny_model: Path, tmp_path: Path) -> None:
    """Why weights are kept in float32: 5.5e-8 is far below bfloat16's resolution at the size of a weight."""
    import torch

    changes = tiny_config(tmp_path, tiny_model)
    changes["dpo"] |= {"learning_rate": 5.5e-8, "schedule": "constant"}
    rows = tmp_path / "dpo.jsonl"
    write_jsonl(rows, dpo_rows(4))
    job = TrainJob(method="dpo", rows=str(rows), start=str(tiny_model), out=str(tmp_path / "out"), max_steps=1)
    train(Config.model_validate(changes), job)
    (last,) = candidates(tmp_path / "out")
    before, after = weights(tiny_model), weights(last)
    key = "model.layers.0.mlp.down_proj.weight"
    assert (after[key] != before[key]).float().mean() > 0.9
    coarse = before[key].bfloat16().requires_grad_()
    coarse.grad = torch.ones_like(coarse)  # the size of Adam's first step does not depend on the gradient's
    torch.optim.AdamW([coarse], lr=5.5e-8).step()
    assert (coarse.detach() != before[key].bfloat16()).float().mean() < 0.01


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_adapters_train_and_leave_an_ordinary_model(method: Any, tiny_model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    settings = config(tmp_path, tiny_model, lora={"rank": 4, "alpha": 8})
    rows = tmp_path / "rows.jsonl"
    sft = [SftRow(prompt=ASK, completion=say(f"row {i} [[A]]")) for i in range(8)]
    write_jsonl(rows, dpo_rows(8) if method == "dpo" else sft)
    job = TrainJob(method=method, rows=str(rows), start=str(tiny_model), out=str(tmp_path / "out"), max_steps=4)
    train(settings, job)
    found = candidates(tmp_path / "out")
    assert [path.name for path in found] == (
        ["checkpoint-2", "checkpoint-4"] if method == "sft" else ["checkpoint-3", "checkpoint-4"]
    )
    assert not list((tmp_path / "out").glob("*/adapter_*"))
    before, after = AutoModelForCausalLM.from_pretrained(tiny_model).state_dict(), weights(found[-1])
    assert not torch.equal(before["model.layers.0.self_attn.q_proj.weight"], after["model.layers.0.self_attn.q_proj.weight"])
    torch.testing.assert_close(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    AutoModelForCausalLM.from_pretrained(found[-1])
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < log[0]["loss"]


def test_adapters_trained_under_zero_3_are_merged_by_one_rank_alone(tiny_model: Path, tmp_path: Path) -> None:
    """While ZeRO-3's settings live, transformers opens models in parts, for which all ranks must come together."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.integrations import HfDeepSpeedConfig, is_deepspeed_zero3_enabled

    settings = config(tmp_path, tiny_model, lora={"rank": 4, "alpha": 8})
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), adapter(settings.lora))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.ones_(weight)
    model.save_pretrained(tmp_path / "out")
    live = HfDeepSpeedConfig({"train_micro_batch_size_per_gpu": 1, "zero_optimization": {"stage": 3}})
    assert is_deepspeed_zero3_enabled()
    merge(tmp_path / "out", str(tiny_model))
    assert live.is_zero3()
    before, after = weights(tiny_model), weights(tmp_path / "out")
    assert {key: one.shape for key, one in before.items()} == {key: one.shape for key, one in after.items()}
    assert any(not torch.equal(before[key].float(), after[key].float()) for key in before)


@pytest.mark.parametrize(("key", "value"), [("liger", True), ("attention", "flash_attention_2")])
def test_what_only_a_gpu_has_is_refused_without_one(key: str, value: object, tiny_model: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    rows = tmp_path / "dpo.jsonl"
    write_jsonl(rows, dpo_rows(4))
    job = TrainJob(method="dpo", rows=str(rows), start=str(tiny_model), out=str(tmp_path / "out"))
    with pytest.raises(UserError, match=f"{key} needs a GPU"):
        train(config(tmp_path, tiny_model, **{key: value}), job)


def test_under_same_plan_the_plan_cancels_in_the_dpo_margin(tiny_model: Path) -> None:
    """The recipe's algebra: shared leading tokens get no gradient from the DPO term."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    plan = tokenizer.encode("Check the sum and the form.")
    sides = [plan + tokenizer.encode(text) for text in (" fine [[A]]", " poor [[B]]")]
    logps = []
    for ids in sides:
        tokens = torch.tensor([ids])
        logp = model(tokens).logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
        logps.append(logp)
    shared = len(plan) - 1
    margin = logps[0].sum() - logps[1].sum()
    without = logps[0][:, shared:].sum() - logps[1][:, shared:].sum()
    torch.testing.assert_close(margin, without, rtol=1e-4, atol=1e-4)
