"""Two processes: accelerate, DeepSpeed ZeRO-2 over gloo, the whole loop; and what is refused before it starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from planner.compiler import cannot_compile
from planner.lock import lock_run
from planner.records import Chain, Plan
from planner.store import Shards
from selftrain.checkpoints import candidates
from selftrain.config import Config, load_config
from selftrain.launch import World
from selftrain.steps import Run
from tests.conftest import ROOT, tiny_config
from tests.test_distil import made
from tests.test_loop import run_here, write_config

pytestmark = pytest.mark.slow


SAMPLED = ("judged.jsonl", "sft.jsonl")


def two_rank_config(folder: Path, model: Path) -> Path:
    config = tiny_config(folder, model, iterations=[{"pairs": 16, "train": ["sft", "dpo"]}], processes=2)
    config["sft"] |= {"micro_batch_size": 2, "save_every": 3, "max_steps": 12, "epochs": 4}
    config["dpo"] |= {"micro_batch_size": 2, "save_every": 100, "max_steps": 2}
    return write_config(folder, config)


def launch(
    config: Path, stderr: Path, *overrides: str, accelerate: str = "cpu-2-zero2", script: str = "selftrain/run.py"
) -> subprocess.Popen[bytes]:
    if accelerate == "cpu-2-zero2" and (missing := cannot_compile()):
        pytest.skip(f"DeepSpeed compiles its communication on a CPU: {missing}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--quiet", "--config_file", str(ROOT / f"configs/accelerate/{accelerate}.yaml"),
        "--main_process_port", port, str(ROOT / script), str(config), *overrides,
    ]  # fmt: skip
    with stderr.open("wb") as file:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)


def stage_of_rank_1(launcher: subprocess.Popen[bytes], stage: str, stderr: Path) -> psutil.Process:
    """The process of rank 1 that does a stage's work, as soon as it is there: long before its imports are through."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for process in psutil.Process(launcher.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any(part.endswith(f"{stage}/.job-1.json") for part in process.cmdline()):
                    return process
        assert launcher.poll() is None, stderr.read_text()[-3000:]
        time.sleep(0.02)
    raise AssertionError(f"rank 1 never came to {stage}")


def kill_at(process: psutil.Process, moment: Path) -> None:
    """Kill a process once a file is there. It runs in slices and stands still while one looks, so that it cannot come to its end unseen."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        process.suspend()
        if moment.exists():
            process.kill()
            return
        process.resume()
        time.sleep(0.005)
    raise AssertionError(f"{moment} never came")


@pytest.fixture(scope="module")
def one(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of one undisturbed process, as far as it is compared: what it samples, its rows, and SFT's losses."""
    config = load_config(two_rank_config(tmp_path_factory.mktemp("one"), tiny_model), ["processes=1"])
    run = Run(config, World(config))
    run.make_pairs()
    (iteration,) = run.iterations
    chains = run.sample(iteration, "sft", run.seed)
    run.train(iteration, "sft", run.rows(iteration, "sft", chains), start=run.seed)
    run.rows(iteration, "dpo", chains)
    return run.folder


def same_records(one: Path, other: Path) -> None:
    """Equal sets of plans and chains, whichever rank wrote them; everything made from them byte-identical."""
    for kind, record in (("plans", Plan), ("chains", Chain)):
        found = [[item.id for item in Shards(folder / "iter-1/sft" / kind, record)] for folder in (one, other)]
        assert sorted(found[0]) == sorted(found[1]), kind
    for name in SAMPLED:
        assert (one / "iter-1/sft" / name).read_bytes() == (other / "iter-1/sft" / name).read_bytes(), name
    assert (one / "iter-1/dpo/dpo.jsonl").read_bytes() == (other / "iter-1/dpo/dpo.jsonl").read_bytes()


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "iter-1/sft/train/log.jsonl").read_text().splitlines()]


@pytest.mark.timeout(1200)
def test_two_ranks_make_what_one_makes(one: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Sampling is sharded by key and training is ZeRO-2: the same chains, rows and losses come out."""
    stderr = tmp_path / "stderr"
    process = launch(two_rank_config(tmp_path, tiny_model), stderr)
    assert process.wait(timeout=1100) == 0, stderr.read_text()[-3000:]
    two = tmp_path / "runs" / "tiny"
    same_records(one, two)
    assert len(list((two / "iter-1/sft/chains").glob("rank-*.jsonl"))) == 2
    # One process adds up micro-batches in float32; ZeRO reduces gradients in bfloat16.
    assert losses(two) == pytest.approx(losses(one), rel=0.02)
    assert (two / "M1_DPO/judge.json").is_file()


@pytest.mark.timeout(1200)
def test_a_killed_rank_ends_the_run_with_one_error_and_any_size_goes_on(one: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Rank 1 of two is killed while it samples, then while it trains; one process finishes what they began."""
    config, stderr = two_rank_config(tmp_path, tiny_model), tmp_path / "stderr"
    run = tmp_path / "runs" / "tiny"
    moments = {
        "iter-1/sft": run / "iter-1/sft/plans/rank-1.jsonl",
        "iter-1/sft/train": run / "iter-1/sft/train/checkpoint-3/trainer_state.json",
    }
    for stage, moment in moments.items():
        process = launch(config, stderr)
        kill_at(stage_of_rank_1(process, stage, stderr), moment)
        assert process.wait(timeout=60) != 0
        errors = [line for line in stderr.read_text().splitlines() if line.startswith("error: ")]
        assert errors == [
            f"error: stage {stage} failed on rank 1 (killed by SIGKILL); mend the cause above and run the same command again"
        ]
    assert candidates(run / "iter-1/sft/train")
    done = run_here(config, "processes=1")
    assert done.returncode == 0, done.stderr
    assert "iter-1/sft · launched in another size: its unfinished training starts over" in done.stdout
    same_records(one, run)
    assert losses(run) == pytest.approx(losses(one), rel=1e-3)


@pytest.mark.timeout(300)
def test_a_killed_parent_ends_the_others_and_their_children(tiny_model: Path, tmp_path: Path) -> None:
    stderr = tmp_path / "stderr"
    process = launch(two_rank_config(tmp_path, tiny_model), stderr)
    rank_1 = stage_of_rank_1(process, "iter-1/sft", stderr).parent()
    everyone = psutil.Process(process.pid).children(recursive=True)
    assert rank_1 is not None
    rank_1.kill()
    assert process.wait(timeout=60) != 0
    assert "error: rank 0 was stopped from outside" in stderr.read_text()
    _, alive = psutil.wait_procs(everyone, timeout=10)
    assert not alive


@pytest.mark.timeout(600)
def test_a_distillation_by_two_ranks_is_finished_by_one(tiny_model: Path, tmp_path: Path) -> None:
    config, stderr, script = made(tmp_path, tiny_model, "judgelm"), tmp_path / "stderr", "selftrain/distil/run.py"
    overrides = ["sft.micro_batch_size=2", "sft.save_every=1", "sft.epochs=9", "sft.max_steps=20"]
    process = launch(config, stderr, *overrides, "processes=2", script=script)
    trained, deadline = tmp_path / "taught" / "train", time.monotonic() + 300
    while not (trained / "checkpoint-2" / "trainer_state.json").exists():
        assert process.poll() is None, stderr.read_text()[-3000:]
        assert time.monotonic() < deadline, f"checkpoint-2 never came: {stderr.read_text()[-3000:]}"
        time.sleep(0.01)
    ranks = [
        one for one in psutil.Process(process.pid).children(recursive=True) if any(part.endswith(script) for part in one.cmdline())
    ]
    ranks[-1].kill()
    assert process.wait(timeout=60) != 0
    _, alive = psutil.wait_procs(ranks, timeout=20)
    assert not alive
    command = [sys.executable, str(ROOT / script), str(config), *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "launched in another size: the unfinished training starts over" in done.stderr
    assert (tmp_path / "taught" / "judge" / "judge.json").is_file()
    assert (
        "begun with another sft.max_steps"
        in subprocess.run([*command, "sft.max_steps=9"], capture_output=True, text=True, check=False, timeout=300).stderr
    )


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
        _, said = process.communicate(timeout=400)
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


@pytest.mark.parametrize(("allowed", "bound"), [({4, 5, 8, 9}, ["4", "5", "8", "9"]), ({4, 5}, ["4", "5", "4", "5"])])
def test_engines_on_a_cpu_share_the_cores_that_they_may_use(
    allowed: set[int], bound: list[str], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of a scheduler or a container may not have core 0, nor a core a rank."""
    world = World(Config.model_validate(tiny_config(tmp_path, tiny_model)))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: allowed)
    world.size = world.local_size = 4
    found = []
    for world.local_rank in range(4):
        found.append(world.sampling_environment()["VLLM_CPU_OMP_THREADS_BIND"])
    assert found == bound
