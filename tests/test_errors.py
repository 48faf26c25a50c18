"""planner/errors.py: a full disk is one line, whichever library runs into it."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.errors import DISK_FULL, TellDiskFull, UserError, is_lost_peer
from planner.store import write_jsonl
from selftrain import stage
from selftrain.config import Config
from selftrain.rows import SftRow
from selftrain.train import TrainJob
from tests.conftest import tiny_config
from tests.test_train import ASK, say


def after(first: Exception, last: Exception, *, cause: bool) -> Exception:
    """`last`, raised from `first` or while that was handled."""
    setattr(last, "__cause__" if cause else "__context__", first)
    return last


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        Exception("No space left on device (os error 28)"),  # tokenizers
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),  # torch.save
        after(OSError(errno.ENOSPC, ""), RuntimeError("An error occurred while generating the dataset"), cause=True),
        after(OSError(errno.ENOSPC, ""), RuntimeError("while cleaning up"), cause=False),
    ],
    ids=repr,
)
def test_a_full_disk_is_known_however_it_is_told(error: Exception) -> None:
    with pytest.raises(UserError, match=DISK_FULL) as raised, TellDiskFull():
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "x"), RuntimeError("shape mismatch"), KeyboardInterrupt(), UserError("disk")]
)
def test_everything_else_goes_on_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, TellDiskFull():
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ("[../gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1234", True),
        (
            "NCCL error in: NCCLUtils.cpp:94, remote process exited or there was a network error, NCCL version 2.27.5\nncclRemoteError: A call failed",
            True,
        ),
        ("NCCL error in: NCCLUtils.cpp:94, unhandled cuda error\nncclUnhandledCudaError: Call to CUDA function failed.", False),
    ],
)
def test_a_rank_that_is_gone_is_not_taken_for_a_fault_of_ours(said: str, lost: bool) -> None:
    assert is_lost_peer(RuntimeError(said)) is lost


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(folder)], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("a small disk: needs the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_while_the_trainer_saves_is_one_line(
    small_disk: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Room for the weights, none for the optimiser's state; then more room, and the same job goes on to its end."""
    rows = tmp_path / "sft.jsonl"
    write_jsonl(rows, [SftRow(prompt=ASK, completion=say(f"row {i} [[A]]")) for i in range(4)])
    task = TrainJob(method="sft", rows=str(rows), start=str(tiny_model), out=str(small_disk / "out"), max_steps=1)
    config = Config.model_validate(tiny_config(tmp_path, tiny_model))
    job = stage.Job(task=task, config=config, attempt="a", ledger=str(tmp_path / "ledger-0.jsonl"))
    monkeypatch.setattr("selftrain.train.check_disk", lambda *_: None)  # it would see this coming
    with pytest.raises(UserError, match=DISK_FULL), TellDiskFull():
        stage.run(job)
    subprocess.run(["mount", "-o", "remount,size=300m", str(small_disk)], check=True)
    stage.run(job)
    assert (small_disk / "out" / "stats.json").is_file()
