"""selftrain/stamp.py: a run holds to its recipe from the moment it has made something, and not before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planner.errors import UserError
from planner.store import write_text
from selftrain.config import load_config
from selftrain.stamp import check_stamp, hold_against


def attempt(tmp_path: Path, *overrides: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text('name = "run"\n[[iterations]]\npairs = 4\ntrain = ["sft"]\n')
    world: Any = SimpleNamespace(attempt="a", size=1)
    check_stamp(load_config(file, list(overrides)), tmp_path / "runs", "org/model", world)


def test_a_changed_recipe_is_refused_once_pairs_are_made(tmp_path: Path) -> None:
    attempt(tmp_path)
    write_text(tmp_path / "runs" / "pairs" / ".done", "")
    attempt(tmp_path)
    with pytest.raises(UserError, match=r"another recipe: seed \(was 2, now 3\)"):
        attempt(tmp_path, "seed=3")


def test_pairs_that_are_half_made_do_not_bind_and_are_not_kept(tmp_path: Path) -> None:
    """A run that stopped because its source has too few pairs says to ask for fewer, and that must work."""
    attempt(tmp_path, "iterations.0.pairs=1000000")
    write_text(tmp_path / "runs" / "pairs" / "known.jsonl", "{}\n")
    attempt(tmp_path)
    assert not (tmp_path / "runs" / "pairs").exists()


def test_what_an_engine_has_written_for_pairs_binds(tmp_path: Path) -> None:
    attempt(tmp_path)
    write_text(tmp_path / "runs" / "pairs" / "solutions" / "rank-0.jsonl", "{}\n")
    with pytest.raises(UserError, match="another recipe: seed"):
        attempt(tmp_path, "seed=3")
    assert (tmp_path / "runs" / "pairs" / "solutions" / "rank-0.jsonl").exists()


def test_a_recipe_on_disk_that_is_torn_is_one_line(tmp_path: Path) -> None:
    write_text(tmp_path / "stamp.json", '{"seed": ')
    with pytest.raises(UserError, match=r"stamp\.json is not JSON"):
        hold_against(tmp_path / "stamp.json", {"seed": 3})


def test_a_run_that_has_made_nothing_may_be_started_otherwise(tmp_path: Path) -> None:
    attempt(tmp_path, "seed=3")
    attempt(tmp_path)
    assert "seed = 2" in (tmp_path / "runs" / "config.toml").read_text(), "and is remembered as it was started last"
