"""The benches run, on as little as they can, and their figures add up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.waits

ROOT = Path(__file__).resolve().parent.parent


def bench(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(ROOT / "bench" / name), *arguments], capture_output=True, text=True, timeout=120)


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


@pytest.mark.parametrize("name", ["store.py", "sampling.py", "train.py", "eval.py"])
def test_help_says_what_is_measured_against_what(name: str) -> None:
    done = bench(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "ratio" in done.stdout
