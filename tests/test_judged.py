"""selftrain/judged.py and pairs/: what was made and lost is never taken for what was not made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planner.errors import UserError
from planner.store import write_text
from selftrain.config import load_config
from selftrain.judged import Chains, judge_chains
from selftrain.stamp import check_stamp
from selftrain.steps import Run
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


@pytest.mark.parametrize("split", ["train-1", "known"])
def test_a_split_that_was_cut_at_a_line_s_end_stops_the_run_and_is_made_anew_as_advised(tmp_path: Path, split: str) -> None:
    config = load_config(make_run(tmp_path, measured=False) / "config.toml")
    pairs = config.run_folder / "pairs"
    file, told = pairs / f"{split}.jsonl", []

    def once(marker: Path, work: Any) -> None:
        if not marker.exists():
            work()
            write_text(marker, "")

    world: Any = SimpleNamespace(rank=0, size=1, attempt="a", once=once)
    shop = SimpleNamespace(finish=lambda *said, **facts: told.append(said))
    run: Any = SimpleNamespace(config=config, folder=config.run_folder, world=world, shop=shop)

    def start() -> None:
        check_stamp(config, run.folder, "org/model", world)
        Run.make_pairs(run)

    start()
    start()
    assert len(told) == 1, "made once"
    whole = file.read_bytes()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    size = len(whole.splitlines())
    with pytest.raises(UserError, match=rf"{split}\.jsonl holds {size - 1} pairs where {size} .* delete {pairs}/\.done and run"):
        start()
    (pairs / ".done").unlink()
    start()
    assert file.read_bytes() == whole
