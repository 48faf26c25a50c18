"""What a killed compilation of DeepSpeed's leaves does not hold up the next run for ever."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from planner.errors import UserError
from selftrain import extensions

pytestmark = pytest.mark.waits


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.delenv("RANK", raising=False)
    path = tmp_path / "py311_cpu" / "deepspeed_shm_comm" / "lock"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_lock_that_stays_is_named(lock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(extensions, "PATIENCE_S", 0.0)
    with pytest.raises(UserError, match=f"{lock} has been there .* delete it"):
        extensions.wait_for_compilations()
    monkeypatch.setattr(extensions, "PATIENCE_S", 0.3)
    with pytest.raises(UserError):
        extensions.wait_for_compilations()
    assert capsys.readouterr().out.count(f"waiting for the compilation that holds {lock}") == 1


def test_a_compilation_that_ends_is_waited_for(lock: Path) -> None:
    threading.Timer(0.3, lock.unlink).start()
    extensions.wait_for_compilations()
    assert not lock.exists()


def test_nothing_is_waited_for_where_nothing_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "none"))
    extensions.wait_for_compilations()
