"""A round with nothing scripted: the embedded model, the real vLLM and the real trainer, killed once on the way. (DPO: the tutorial's run.)"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from planner.records import Chain
from planner.store import Shards, read_log
from selftrain.ledger import tokens_spent
from tests.conftest import tiny_config
from tests.test_loop import command, kill_when, run, write_config

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1800)
def test_a_run_killed_while_vllm_samples_goes_on_to_its_end(tmp_path: Path) -> None:
    config = tiny_config(
        tmp_path,
        Path("embedded"),
        judge_tokens=48,
        iterations=[{"pairs": 6, "train": ["sft"]}],
        engine={"kind": "vllm", "max_model_len": 512, "max_num_seqs": 8, "kv_cache_gb": 1, "enforce_eager": True},
    )
    config["pairs"]["held_out"] = {"known": 6}
    config["sft"] |= {"max_steps": 1, "learning_rate": 1e-5}
    path = write_config(tmp_path, config)
    folder = tmp_path / "runs" / "tiny"
    stage = folder / "iter-1/sft"
    chains = stage / "chains/rank-0.jsonl"
    with (tmp_path / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command(path), stdout=subprocess.DEVNULL, stderr=stderr)
        kill_when(process, lambda: chains.exists() and chains.stat().st_size > 0, tmp_path / "stderr")
    written = chains.read_bytes()
    kept = written[: written.rfind(b"\n") + 1]
    assert kept, "killed before a prompt was finished"

    run(path)
    assert chains.read_bytes().startswith(kept), "what was finished is not made again"
    ids = [one.id for one in Shards(stage / "chains", Chain)]
    assert len(ids) == len(set(ids)) > kept.count(b"\n")
    spent = [entry["attempt"] for entry in read_log(stage / "ledger-0.jsonl")]
    assert len(set(spent)) == 2, "both attempts told what they spent"
    assert tokens_spent(stage)["cached"] > 0, "no prompt shared its prefix"

    scores = {one["name"]: one for one in json.loads((folder / "summary.json").read_text())["checkpoints"]}
    assert list(scores) == ["seed", "M1_SFT"]
    assert scores["seed"]["forced"] == 1.0, "the untrained seed names no verdict"
    assert all(one["n"] == 6 and one["no_verdict"] + one["cut_off"] == 0 for one in scores.values())
