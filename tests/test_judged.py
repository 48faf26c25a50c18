"""selftrain/judged.py and pairs/: what was made and lost is never taken for what was not made."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planner.errors import UserError
from planner.execute import ForcedVerdict
from planner.store import Shards
from selftrain.config import load_config
from selftrain.judged import Chains, judge_chains
from selftrain.kept import Checkpoint
from selftrain.launch import World
from selftrain.stamp import check_stamp
from selftrain.steps import IterationRun, Run
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


def a_run(folder: Path) -> Any:
    """A run that has sampled once, without a model; what its steps say is in `told`."""
    config = load_config(make_run(folder, measured=False) / "config.toml")
    told: list[str] = []
    shop = SimpleNamespace(finish=lambda stage, line, **facts: told.append(line), sample=pytest.fail)
    run = SimpleNamespace(config=config, folder=config.run_folder, world=World(config), shop=shop, told=told, _first_chains=None)
    run._judge, run._check_origin = partial(Run._judge, run), lambda folder, judge: None
    return run


@pytest.mark.parametrize("split", ["train-1", "known"])
def test_a_split_that_was_cut_at_a_line_s_end_stops_the_run_and_is_made_anew_as_advised(tmp_path: Path, split: str) -> None:
    run = a_run(tmp_path)
    pairs = run.folder / "pairs"
    file = pairs / f"{split}.jsonl"

    def start() -> None:
        check_stamp(run.config, run.folder, "org/model", run.world)
        Run.make_pairs(run)

    start()
    start()
    assert len(run.told) == 1, "made once"
    whole = file.read_bytes()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=rf"{split}\.jsonl holds .* bytes where .* delete {pairs}/\.done and {file} and run"):
        start()
    (pairs / ".done").unlink()
    file.unlink()
    start()
    assert file.read_bytes() == whole


def test_a_verdict_is_forced_on_the_text_that_it_was_read_of(tmp_path: Path) -> None:
    """Chains drawn anew bear the names of those before them."""
    run = make_run(tmp_path, measured=False)
    chains = Chains(run / "iter-1/sft", run / "pairs" / "train-1.jsonl", "seed", first=True)
    config = load_config(run / "config.toml")
    shard = chains.folder / "chains" / "rank-0.jsonl"
    lines = [json.loads(line) for line in shard.read_text().splitlines()]
    forced = {one.chain_id for one in Shards(chains.folder / "forced", ForcedVerdict)}
    assert forced
    assert judge_chains(config, chains)["forced"] == len(forced)
    for line in lines:
        for chain in line["items"]:
            if chain["id"] in forced if "id" in chain else chain["verdict"] == "none":
                chain["execution"] = "Quite another execution."
    shard.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(
        UserError, match=rf"forced holds verdicts of other chains .* delete {chains.folder}/\.sampled and {chains.folder}/forced"
    ):
        judge_chains(config, chains)


SEED = Checkpoint(name="seed", path="/no/model", parent="", method=None, stage="", judges=False)


@pytest.mark.parametrize("lost", ["judged.jsonl", "plans/rank-0.jsonl", "chains/rank-0.jsonl", "forced/rank-0.jsonl"])
def test_a_sampling_that_was_cut_at_a_line_s_end_is_not_gone_on_from(tmp_path: Path, lost: str) -> None:
    """Forced verdicts and judged chains are as many as there are: nothing else would miss one."""
    run = a_run(tmp_path)
    stage = run.folder / "iter-1/sft"
    iteration = IterationRun(1, ("sft",), False, {"sft": run.folder / "pairs" / "train-1.jsonl"}, None)
    run.world.once(stage / ".sampled", lambda: None, ("plans/*.jsonl", "chains/*.jsonl", "forced/*.jsonl"))
    file, marker = stage / lost, stage / (".judged" if lost == "judged.jsonl" else ".sampled")
    if lost == "judged.jsonl":
        Run.sample(run, iteration, "sft", SEED)
        Run.sample(run, iteration, "sft", SEED)
        assert len(run.told) == 1, "judged once"
    whole = file.read_bytes()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    made = ["plans", "chains", "forced"]
    goes = [file] if lost == "judged.jsonl" else [stage / name for name in made[made.index(file.parent.name) :]]
    advised = ", ".join(map(str, [marker, *goes[:-1]])) + f" and {goes[-1]}"
    with pytest.raises(UserError, match=rf"{lost} holds .* bytes where .* delete {advised} and run"):
        Run.sample(run, iteration, "sft", SEED)
    if lost == "judged.jsonl":  # as advised
        marker.unlink()
        file.unlink()
        assert Run.sample(run, iteration, "sft", SEED).judged.read_bytes() == whole


@pytest.mark.parametrize("judges", [False, True])
def test_a_seed_that_is_a_judge_draws_as_one_and_on_the_seed_s_engine(tmp_path: Path, judges: bool) -> None:
    run = a_run(tmp_path)
    jobs: list[Any] = []

    def sample(stage: str, job: Any) -> None:
        jobs.append(job)
        raise KeyboardInterrupt

    run.shop.sample, run._name_for_engine = sample, lambda judge: judge.path
    iteration = IterationRun(1, ("sft",), False, {"sft": run.folder / "pairs" / "train-1.jsonl"}, None)
    with pytest.raises(KeyboardInterrupt):
        Run.sample(run, iteration, "sft", SEED.model_copy(update={"judges": judges}))
    ((first, of_seed),) = [(one.first, one.of_seed) for one in jobs]
    assert (first, of_seed) == (not judges, True)
