"""The tutorial, as written: a run with nothing scripted, the embedded model, the real vLLM and the real trainer, killed once on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from planner.records import Chain
from planner.store import Shards, read_log
from selftrain.ledger import tokens_spent
from tests.conftest import ROOT
from tests.documents import Command, commands
from tests.test_loop import kill_when


def steps() -> list[Command]:
    """The tutorial's blocks; what it names in passing is not a step of it."""
    return list(commands(ROOT / "docs" / "tutorial.md", spans=False))


def test_there_are_steps_to_take() -> None:
    assert [one.words[1] for one in steps()] == ["doctor", "train", "models", "report", "judge"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_tutorial_s_commands_run_in_order_and_training_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """In a folder that has the configs and nothing else."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    folder = tmp_path / "runs" / "first"
    stage = folder / "iter-1" / "sft"
    chains = stage / "chains" / "rank-0.jsonl"
    kept = b""
    for one in steps():
        name, *rest = one.words
        assert name == "evalplanner"
        command = [sys.executable, "-m", "cli.main", *rest]
        if rest[0] == "train":
            stderr = tmp_path / "stderr"
            with stderr.open("wb") as file:
                process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=file)
                kill_when(process, lambda: chains.exists() and chains.stat().st_size > 0, stderr)
            written = chains.read_bytes()
            kept = written[: written.rfind(b"\n") + 1]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1100, check=False)
        assert done.returncode == 0, f"{one.text}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
    assert "<h1>Run first</h1>" in (folder / "report.html").read_text()

    assert kept, "killed before a prompt was finished"
    assert chains.read_bytes().startswith(kept), "what was finished is not made again"
    ids = [one.id for one in Shards(stage / "chains", Chain)]
    assert len(ids) == len(set(ids)) > kept.count(b"\n")
    spent = [entry["attempt"] for entry in read_log(stage / "ledger-0.jsonl")]
    assert len(set(spent)) == 2, "both attempts told what they spent"
    assert tokens_spent(stage)["cached"] > 0, "no prompt shared its prefix"

    scores = {one["name"]: one for one in json.loads((folder / "summary.json").read_text())["checkpoints"]}
    assert list(scores) == ["seed", "M1_SFT", "M1_DPO"]
    assert scores["seed"]["forced"] == 1.0, "the untrained seed names no verdict"
    assert all(one["n"] == 42 and one["no_verdict"] + one["cut_off"] == 0 for one in scores.values())
