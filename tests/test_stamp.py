"""selftrain/stamp.py: a run holds to its recipe from the moment it has made something, and not before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planner.errors import UserError
from selftrain.config import load_config
from selftrain.stamp import check_stamp


def attempt(tmp_path: Path, *overrides: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text('name = "run"\n[[iterations]]\npairs = 4\ntrain = ["sft"]\n')
    world: Any = SimpleNamespace(attempt="a", size=1)
    check_stamp(load_config(file, list(overrides)), tmp_path / "runs", "org/model", world)


def test_a_changed_recipe_is_refused_once_pairs_are_made(tmp_path: Path) -> None:
    attempt(tmp_path)
    (tmp_path / "runs" / "pairs").mkdir()
    (tmp_path / "runs" / "pairs" / "known.jsonl").write_text("{}\n")
    attempt(tmp_path)
    with pytest.raises(UserError, match=r"another recipe: seed \(was 2, now 3\)"):
        attempt(tmp_path, "seed=3")


def test_a_run_that_has_made_nothing_may_be_started_otherwise(tmp_path: Path) -> None:
    attempt(tmp_path, "seed=3")
    attempt(tmp_path)
    assert "seed = 2" in (tmp_path / "runs" / "config.toml").read_text(), "and is remembered as it was started last"
