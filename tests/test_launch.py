"""Two processes: accelerate, DeepSpeed ZeRO-2 over gloo, the whole loop; and what is refused before it starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from planner.records import Chain
from planner.store import Shards
from selftrain.config import Config
from selftrain.launch import World
from selftrain.lock import lock_run
from tests.conftest import ROOT, tiny_config
from tests.test_loop import write_config

pytestmark = pytest.mark.slow


@pytest.mark.timeout(2400)
def test_two_ranks_make_the_records_that_one_makes(tiny_model: Path, tmp_path: Path) -> None:
    """Sampling is sharded by key and training is ZeRO-2: the same chains, rows and checkpoints come out."""
    changes = {"iterations": [{"pairs": 8, "train": ["sft", "dpo"]}], "processes": 2}
    config = tiny_config(tmp_path, tiny_model, **changes)
    for method in ("sft", "dpo"):
        config[method] |= {"micro_batch_size": 2, "save_every": 100, "max_steps": 2}
    path = write_config(tmp_path, config)
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(ROOT / "configs/accelerate/cpu-2-zero2.yaml"),
    ]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    two = subprocess.run(
        [*launch, "--main_process_port", port, str(ROOT / "selftrain/run.py"), str(path), "name=two"],
        capture_output=True, text=True, timeout=1100, check=False,
    )  # fmt: skip
    assert two.returncode == 0, two.stdout[-3000:] + two.stderr[-3000:]
    one = subprocess.run(
        [sys.executable, str(ROOT / "selftrain/run.py"), str(path), "name=one", "processes=1"],
        capture_output=True, text=True, timeout=1100, check=False,
    )  # fmt: skip
    assert one.returncode == 0, one.stderr[-3000:]
    runs = tmp_path / "runs"
    chains = {name: Shards(runs / name / "iter-1/sft/chains", Chain) for name in ("one", "two")}
    assert {c.id for c in chains["one"]} == {c.id for c in chains["two"]}
    assert len(list((runs / "two/iter-1/sft/chains").glob("rank-*.jsonl"))) == 2
    for name in ("judged.jsonl", "sft.jsonl"):
        assert (runs / "one/iter-1/sft" / name).read_bytes() == (runs / "two/iter-1/sft" / name).read_bytes()
    losses = {}
    for name in ("one", "two"):
        log = (runs / name / "iter-1/sft/train/log.jsonl").read_text().splitlines()
        losses[name] = [json.loads(line)["loss"] for line in log]
    assert losses["two"] == pytest.approx(losses["one"], rel=0.02)
    assert (runs / "two/M1_DPO/judge.json").is_file()


def test_a_second_launch_is_refused_whole(tiny_model: Path, tmp_path: Path) -> None:
    """Rank 1 of the second launch finds its own place free, and must not take it: one line from each rank, and nothing written."""
    config = tiny_config(tmp_path, tiny_model, processes=2)
    for method in ("sft", "dpo"):
        config[method] |= {"micro_batch_size": 2}
    path = write_config(tmp_path, config)
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    held = lock_run(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    env = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "selftrain/run.py"), str(path)],
            env=env | {"RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) for rank in range(2)
    ]  # fmt: skip
    # Rank 1 first: rank 0 may host the store that both read.
    for process in reversed(ranks):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 2, said
        assert f"error: {folder} is in use by another process" in said.splitlines()[-1]
    assert [one.name for one in folder.iterdir()] == [".lock-0"]
    held.close()


def test_a_launched_size_other_than_the_configured_is_refused(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    from planner.errors import UserError

    with pytest.raises(UserError, match="launched with 4"):
        World(Config.model_validate(tiny_config(tmp_path, tiny_model)))


def test_sampling_children_see_no_rank_and_only_their_devices(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(Config.model_validate(tiny_config(tmp_path, tiny_model)))
    world.size, world.local_size, world.local_rank = 4, 4, 2
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "ACCELERATE_USE_CPU"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    env = world.sampling_environment()
    assert env["CUDA_VISIBLE_DEVICES"] == "6"
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} & env.keys()
    assert not [name for name in env if name.startswith(("TORCHELASTIC_", "ACCELERATE_"))]
