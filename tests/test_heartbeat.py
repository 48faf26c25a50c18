"""selftrain/heartbeat.py: a rank that gives no sign is noticed, one that works is not; selftrain/launch.py: all ranks see one folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli_w

from planner.errors import UserError
from selftrain import heartbeat
from selftrain.config import Config
from selftrain.heartbeat import Heartbeat
from selftrain.launch import World
from tests.conftest import ROOT, tiny_config

pytestmark = pytest.mark.waits


def test_a_rank_that_gives_no_sign_is_lost_and_one_that_does_is_not(tmp_path: Path) -> None:
    one, other, third = (Heartbeat(tmp_path, "a", rank, 3, every=0.02, limit=2.0) for rank in range(3))
    deadline = time.monotonic() + 4.5
    while time.monotonic() < deadline:  # longer than the limit, all three alive
        assert one.lost() is None
        time.sleep(0.03)
    other.stop()
    deadline = time.monotonic() + 30
    while (lost := one.lost()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.03)
    assert lost == 1
    one.stop()
    third.stop()


def test_a_rank_that_never_came_is_lost(tmp_path: Path) -> None:
    one = Heartbeat(tmp_path, "a", 0, 2, every=0.02, limit=1.0)
    started = time.monotonic()
    while (lost := one.lost()) is None:
        assert time.monotonic() < started + 30
        time.sleep(0.03)
    assert lost == 1
    assert time.monotonic() - started > 1.0, "not at once"
    one.stop()


def test_who_was_away_does_not_take_the_others_for_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All were paused together: what this one missed says nothing about the others."""
    clock = [1000.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: clock[0])
    one = Heartbeat(tmp_path, "a", 0, 2, every=10.0, limit=300.0)
    for _ in range(5):
        clock[0] += 11
        assert one.lost() is None
    clock[0] += 3600
    assert one.lost() is None
    for _ in range(27):
        clock[0] += 11
        assert one.lost() is None, "the limit begins anew"
    clock[0] += 11
    assert one.lost() == 1
    one.stop()


def test_a_waiting_rank_says_which_one_is_lost(tmp_path: Path) -> None:
    world = World(Config.model_validate(tiny_config(tmp_path, tmp_path)))
    world.size = 2
    world._heartbeat = Heartbeat(world._meeting, world.attempt, 0, 2, every=0.01, limit=1.5)
    with pytest.raises(UserError, match="rank 1 has given no sign of life"):
        world.wait_for(tmp_path / "never")
    assert [path.name for path in world._meeting.glob("failed-*")] == [f"failed-{world.attempt}-0"], "the others are told"
    world._heartbeat.stop()


def test_deepspeed_without_a_stage_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.delenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", raising=False)
    with pytest.raises(UserError, match="add zero_stage to its deepspeed_config"):
        World(Config.model_validate(tiny_config(tmp_path, tmp_path)))


START = """
import sys
from planner.errors import UserError
from selftrain import launch
from selftrain.config import load_config
launch.PATIENCE_S = 2.0
try:
    launch.World(load_config(sys.argv[1]))
except UserError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.parametrize("shared", [True, False])
def test_all_ranks_see_one_folder_or_all_are_refused(tmp_path: Path, shared: bool) -> None:
    """Two ranks with disks of their own, as two machines have them, and with one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = []
    for rank in range(2):
        disk = tmp_path / ("disk" if shared else f"disk-{rank}")
        disk.mkdir(exist_ok=True)
        path = disk / f"run-{rank}.toml"
        config = tiny_config(disk, tmp_path, processes=2)
        config["sft"]["micro_batch_size"] = config["dpo"]["micro_batch_size"] = 2
        path.write_text(tomli_w.dumps(config))
        place = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
        ranks.append(subprocess.Popen(
            [sys.executable, "-c", START, str(path)], cwd=ROOT, stderr=subprocess.PIPE, text=True,
            env=os.environ | place | {"MASTER_PORT": port, "PYTHONPATH": str(ROOT)},
        ))  # fmt: skip
    said = [one.communicate(timeout=120)[1] for one in ranks]
    assert [one.returncode for one in ranks] == ([0, 0] if shared else [1, 1]), said
    if not shared:
        assert all("rank 1 does not see what rank 0 wrote to" in one and "storage that all nodes share" in one for one in said), (
            said
        )
