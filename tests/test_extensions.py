"""What compiling an extension needs is asked for before a run; what a killed compilation leaves does not hold up the next for ever."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from planner.compiler import cannot_compile
from planner.errors import UserError
from selftrain import extensions
from selftrain.preflight import check_compiler

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


def test_what_is_missing_for_compiling_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "Python.h"
    there.touch()
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("CXX", f"{sys.executable} -m anything")
    assert cannot_compile() is None
    there.unlink()
    assert "Python.h" in str(cannot_compile())
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert cannot_compile() == "there is no C++ compiler (no-such-compiler)"
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cannot_compile() == "there is no C++ compiler (c++)"
    assert cannot_compile("g++") == "there is no C++ compiler (g++)"


def test_only_deepspeed_on_a_cpu_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selftrain.preflight.cannot_compile", lambda: "there is no C++ compiler (c++)")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED", raising=False)
    check_compiler()
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(UserError, match=r"no C\+\+ compiler \(c\+\+\): install it, or launch one process"):
        check_compiler()
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    check_compiler()
