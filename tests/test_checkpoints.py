"""selftrain/checkpoints.py: what a training asks of the disk before it starts. The rest is tested where trainings are killed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from planner.errors import UserError
from planner.judge import JudgeCard, write_card
from planner.styles import STYLES
from planner.styles.evalplanner import EvalPlannerStyle
from selftrain import checkpoints
from selftrain.checkpoints import check_disk, is_judge, start_over_if_resized
from selftrain.config import load_config
from tests.conftest import ROOT


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("deepspeed", "lora", "bytes_a_weight"),
    [
        (False, False, {"float32": 2 * 4 + 2 * 8, "bfloat16": 2 * 4 + 2 * 8}),  # float32 candidates; two moments
        (
            True,
            False,
            {"float32": 2 * 2 + 2 * (12 + 2), "bfloat16": 2 * 2 + 2 * (12 + 2)},
        ),  # bfloat16 candidates; masters, moments, weights
        (False, True, {"float32": 2 * 4, "bfloat16": 2 * 2}),  # merged, they are of their base's type
        (True, True, {"float32": 2 * 4, "bfloat16": 2 * 2}),
    ],
)
def test_two_candidates_and_their_states_must_fit(
    dtype: str, deepspeed: bool, lora: bool, bytes_a_weight: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = 1000
    (tmp_path / "config.json").write_text(json.dumps({"dtype": dtype}))
    (tmp_path / "model.safetensors").write_bytes(b"x" * weights * (4 if dtype == "float32" else 2))
    free = bytes_a_weight[dtype] * weights
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    check_disk(tmp_path, str(tmp_path), 2, deepspeed, lora)
    free -= 1
    with pytest.raises(UserError, match="GB more of disk for checkpoints"):
        check_disk(tmp_path, str(tmp_path), 2, deepspeed, lora)
    # An attempt that was killed has written some of it.
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "model.safetensors").write_bytes(b"x")
    check_disk(tmp_path, str(tmp_path), 2, deepspeed, lora)


def test_a_clean_up_that_was_killed_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half removed, what is left is still of the other layout."""
    assert not start_over_if_resized(tmp_path, "zero-3 on 8")
    for name in ("checkpoint-2", "checkpoint-4"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text("{}")
    (tmp_path / "log.jsonl").write_text("{}\n")
    assert not start_over_if_resized(tmp_path, "zero-3 on 8")
    removed: list[Path] = []

    def killed(path: Path) -> None:
        if removed:
            raise KeyboardInterrupt
        removed.append(path)
        os.unlink(path / "trainer_state.json")
        path.rmdir()

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            start_over_if_resized(tmp_path, "zero-3 on 4")
    assert len(removed) == 1
    assert start_over_if_resized(tmp_path, "zero-3 on 4")
    assert [path.name for path in tmp_path.iterdir()] == ["layout.txt"]
    assert not start_over_if_resized(tmp_path, "zero-3 on 4")


def test_a_seed_is_a_judge_where_it_was_trained_to_be_asked_as_this_run_asks(tmp_path: Path) -> None:
    config = load_config(ROOT / "configs/cpu.toml")
    assert not is_judge(config, str(tmp_path)), "no card"
    assert not is_judge(config, "org/judge"), "a hub id"
    write_card(tmp_path, JudgeCard(style=STYLES["pandalm"], max_tokens=9))
    assert not is_judge(config, str(tmp_path)), "of another family"
    # What only a seed is asked by does not count.
    write_card(tmp_path, JudgeCard(style=EvalPlannerStyle(prompt_set="short", plan_kind="questions"), max_tokens=9))
    assert is_judge(config, str(tmp_path))
    for other, said in (
        (EvalPlannerStyle(prompt_set="paper"), "prompts paper, here short"),
        (EvalPlannerStyle(prompt_set="short", ties=True), "ties True, here False"),
        (EvalPlannerStyle(prompt_set="short", plan_kind="none"), "plans False, here True"),
    ):
        write_card(tmp_path, JudgeCard(style=other, max_tokens=9))
        with pytest.raises(UserError, match=said):
            is_judge(config, str(tmp_path))
