"""selftrain/kept.py, checkpoints.py and training.py: files of a stage that are cut off stop it with one line, or are made anew."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from planner.errors import UserError
from planner.store import append_text, write_text
from selftrain.checkpoints import candidates, last_usable, strip_resume_state
from selftrain.config import Config
from selftrain.kept import Checkpoint, keep, last
from selftrain.launch import World
from selftrain.train import TrainStats
from selftrain.training import train_on
from tests.conftest import tiny_config

STAGE = "iter-1/sft"


def shop(folder: Path) -> Any:
    """A workshop whose steps are all done already."""
    return SimpleNamespace(folder=folder, world=SimpleNamespace(once=lambda marker, work: None))


def test_a_kept_model_that_is_cut_off_is_named_with_what_to_delete(tmp_path: Path) -> None:
    kept = Checkpoint(name="M1_SFT", path=str(tmp_path / "M1_SFT"), parent="seed", method="sft", stage=STAGE)
    weights = tmp_path / "M1_SFT" / "model.safetensors"
    write_text(tmp_path / "M1_SFT" / "config.json", "{}")
    save_file({"w": np.zeros(100, np.float32)}, weights)
    keep(shop(tmp_path), kept, tmp_path / "gone")
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(UserError, match=rf"M1_SFT is incomplete; delete {tmp_path}/{STAGE} .*model\.safetensors is no whole"):
        keep(shop(tmp_path), kept, tmp_path / "gone")


def test_a_decision_that_is_cut_off_is_one_line(tmp_path: Path) -> None:
    write_text(tmp_path / STAGE / "selected.json", '{"chosen": "check')
    with pytest.raises(UserError, match=r"selected\.json is not JSON .* delete the stage"):
        last(shop(tmp_path), STAGE, tmp_path / STAGE / "train")


@pytest.mark.parametrize("state", ["", '{"global_step": 4, "log_his'])
def test_a_candidate_whose_state_is_half_written_is_no_candidate(tmp_path: Path, state: str) -> None:
    """What a full disk leaves; gone on from, it would fail in every attempt."""
    for step, text in ((2, json.dumps({"global_step": 2})), (4, state)):
        write_text(tmp_path / f"checkpoint-{step}" / "trainer_state.json", text)
    assert [path.name for path in candidates(tmp_path)] == ["checkpoint-2"]
    assert not (tmp_path / "checkpoint-4").exists()


def saved(out: Path, step: int, *, state: bool = True) -> Path:
    """A candidate with a model and, unless it is stripped, the optimiser's state, as torch writes it."""
    import torch

    folder = out / f"checkpoint-{step}"
    write_text(folder / "trainer_state.json", json.dumps({"global_step": step}))
    save_file({"w": np.zeros(100, np.float32)}, folder / "model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth") if state else ():
        torch.save({"step": step}, folder / name)
    return folder


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"])
@pytest.mark.parametrize("left", [0, 30, -1])
def test_a_candidate_that_is_cut_off_is_not_gone_on_from(tmp_path: Path, name: str, left: int) -> None:
    older, newest = saved(tmp_path, 2), saved(tmp_path, 4)
    assert last_usable([older, newest], 6) == (newest, "")
    file = newest / name
    file.write_bytes(file.read_bytes()[:left])
    assert last_usable([older, newest], 6) == (older, f"{file} is cut off")
    strip_resume_state(older)
    assert last_usable([older, newest], 6) == (None, f"{file} is cut off"), "and never from weights alone"


def test_a_training_that_has_ended_needs_no_state(tmp_path: Path) -> None:
    newest = saved(tmp_path, 4, state=False)
    assert last_usable([newest], 4) == (newest, "")
    assert last_usable([newest], 6) == (None, f"{newest} holds no optimiser state")
    # An adapter is merged in place: a merge that was killed is made again, from the adapter.
    write_text(newest / "adapter_config.json", "{}")
    save_file({"w": np.zeros(100, np.float32)}, newest / "adapter_model.safetensors")
    (newest / "model.safetensors").write_bytes(b"half")
    assert last_usable([newest], 4) == (newest, "")


def test_a_candidate_that_is_damaged_after_its_training_is_named_until_one_is_kept(tmp_path: Path) -> None:
    world = World(Config.model_validate(tiny_config(tmp_path, tmp_path)))
    done: Any = SimpleNamespace(folder=tmp_path, world=world, train=lambda *_: None, finish=lambda *_, **__: None, metrics=list)
    stage, out = tmp_path / STAGE, tmp_path / STAGE / "train"
    write_text(out / "stats.json", TrainStats(rows=4, over_long=0, tokens=9, steps=4, epochs=1, longest=3).model_dump_json())
    append_text(out / "log.jsonl", '{"step": 1, "loss": 1.0}')
    older, newest = (saved(out, step, state=False) for step in (2, 4))

    def trained() -> Path:
        return train_on(done, STAGE, "sft", tmp_path / "no.jsonl", "start")

    assert trained() == trained() == out
    for file in (older / "model.safetensors", newest / "trainer_state.json"):
        whole = file.read_bytes()
        file.write_bytes(whole[:-1])
        with pytest.raises(UserError, match=rf"^{file} holds .* delete {stage}/\.trained and {out} and run"):
            trained()
        file.write_bytes(whole)
    trained()
    # Stopped while one was being kept, the stage goes on from what is left.
    with pytest.raises(UserError, match=r"M1_SFT is incomplete.*no config\.json"):
        keep(done, Checkpoint(name="M1_SFT", path=str(tmp_path / "M1_SFT"), parent="seed", method="sft", stage=STAGE), newest)
    assert not newest.exists()
    trained()
