"""The benches run, on as little as they can, and their figures add up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from selftrain.config import load_config
from selftrain.stamp import hold_against

pytestmark = pytest.mark.waits

ROOT = Path(__file__).resolve().parent.parent


def bench(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """On a path that has the project's root already, behind the script's own folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "bench" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_store_counts_every_chain_once(tmp_path: Path) -> None:
    done = bench("store.py", "--chains", "130", "--json", "--keep", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["pairs"], figures["chains"]) == (3, 120)
    assert set(figures["phases"]) == {"append", "open", "judge", "sft", "dpo"}
    assert figures["phases"]["open"]["counts"]["lines"] == 3 + 3 * 2 * 5
    counts = figures["phases"]["judge"]["counts"]
    assert sum(counts[outcome] for outcome in ("right", "wrong", "no_verdict", "cut_off")) == counts["chains"] == 120
    assert all(phase["ratio"] > 0 and phase["peak_mib"] > 1 for phase in figures["phases"].values())
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert kept == {"pairs.jsonl", "plans", "chains", "judged.jsonl", "sft.jsonl", "dpo.jsonl"}
    assert sum(figures["disk_bytes"].values()) == sum(path.stat().st_size for path in (tmp_path / "kept").rglob("*.jsonl"))


def test_store_does_not_write_into_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    done = bench("store.py", "--chains", "40", "--keep", str(tmp_path))
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "bench").glob("*.py")))
def test_every_bench_has_help(name: str) -> None:
    done = bench(name, "--help")
    assert done.returncode == 0, done.stderr
    assert ("ratio" in done.stdout) or name not in ("store.py", "sampling.py", "train.py", "eval.py")


def test_a_ceiling_is_not_told_from_what_other_settings_left(tmp_path: Path) -> None:
    (tmp_path / "seconds-a-step.txt").write_text("1.0")
    config = load_config(ROOT / "configs/cpu.toml", ["name=ceiling", "sft.save_every=50", "sft.max_steps=0"])
    hold_against(tmp_path / "stamp.json", {"config": config.recipe(), "pairs": 2400, "known": 210})
    for changed, said in (
        ("--pairs=3600", "pairs (was 2400, now 3600)"),
        ("sft.decision_weight=300", "config.sft.decision_weight"),
    ):
        done = bench("ceiling.py", "--out", str(tmp_path), "--pairs=2400", changed)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
