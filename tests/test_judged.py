"""selftrain/judged.py: chains that were drawn and lost are never taken for chains that were not drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import UserError
from selftrain.config import load_config
from selftrain.judged import Chains, judge_chains
from tests.run_folder import make_run


@pytest.mark.parametrize("lost", ["plans", "chains"])
def test_a_line_that_a_finished_stage_has_lost_stops_it(tmp_path: Path, lost: str) -> None:
    run = make_run(tmp_path, measured=False)
    chains = Chains(run / "iter-1/sft", run / "pairs" / "train-1.jsonl", "seed", first=True)
    config = load_config(run / "config.toml")
    whole = judge_chains(config, chains)["chains"]
    shard = chains.folder / lost / "rank-0.jsonl"
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(UserError, match=r"iter-1/sft lacks plans or chains of .*train-1\.jsonl"):
        judge_chains(config, chains)
    shard.write_bytes(b"".join(lines))
    assert judge_chains(config, chains)["chains"] == whole
