"""selftrain/checkpoints.py: what a training asks of the disk before it starts. The rest is tested where trainings are killed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from planner.errors import UserError
from selftrain.checkpoints import check_disk


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
