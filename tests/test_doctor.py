"""`evalplanner doctor` and `models`: what they look at, and what they say of a machine that lacks it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from planner.judge import JudgeCard, write_card
from planner.styles.evalplanner import EvalPlannerStyle
from selftrain import doctor
from selftrain.doctor import Machine, checks, fits

RUNNER = CliRunner(env={"COLUMNS": "200"})


def test_recipes_are_held_against_the_machine() -> None:
    def fitting(memory_gb: float, *gpus_gb: float) -> set[str]:
        return {one.recipe for one in fits(Machine(memory_gb, gpus_gb)) if one.fits}

    small = {"configs/cpu.toml", "configs/demo.toml", "configs/gsm8k.toml", "configs/ties.toml"}
    assert len(fits(Machine(1, ()))) == len(list(doctor.CONFIGS.glob("*.toml")))
    assert fitting(1) == set()
    assert fitting(24) == small
    assert fitting(64, 85.0) == small | {"configs/8b-lora.toml"}
    assert fitting(64, *[85.0] * 8) == small | {"configs/8b-lora.toml", "configs/8b.toml", "configs/j1.toml"}
    assert fitting(64, *[40.0] * 8) == small
    assert "configs/70b.toml" in fitting(64, *[85.0] * 32)


def test_a_machine_that_has_all_is_told_so_and_status_is_0() -> None:
    done = RUNNER.invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {one["what"] for one in found["checks"]} >= {
        "Python",
        "torch",
        "vLLM",
        "GPU",
        "memory",
        "disk",
        "model cache",
        "port 8100",
    }
    assert {one["state"] for one in found["checks"]} <= {"ok", "look"}
    assert RUNNER.invoke(app, ["doctor"]).stdout.count("configs/") == len(found["recipes"])


def test_what_is_missing_is_named_with_what_to_do_and_status_is_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda *packages: None)
    done = RUNNER.invoke(app, ["doctor"])
    assert done.exit_code == 2
    assert "make setup" in done.stdout
    by_name = {one.what: one for one in checks(Machine(8, ()))}
    assert (by_name["torch"].state, by_name["vLLM"].state, by_name["embedded model"].state) == ("missing", "look", "look")
    assert all(one.todo for one in by_name.values() if one.state != "ok")


def test_a_port_in_use_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(doctor, "PORTS", {"evalplanner serve": taken.getsockname()[1]})
        (found,) = [one for one in checks(Machine(8, ())) if one.what.startswith("port")]
    assert (found.state, found.todo) == ("look", "evalplanner serve --port N")


def test_judges_of_runs_are_listed_with_their_style(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "mine" / "M1_SFT"
    folder.mkdir(parents=True)
    write_card(folder, JudgeCard(style=EvalPlannerStyle(), max_tokens=5))
    (folder / "model.safetensors").write_bytes(b"0" * 10_000_000)
    done = RUNNER.invoke(app, ["models", "--runs", str(tmp_path / "runs"), "--json"])
    assert done.exit_code == 0, done.output
    (judge,) = [one for one in json.loads(done.stdout) if one["kind"] == "judge"]
    assert judge == {"name": str(folder), "kind": "judge", "style": "evalplanner", "size_gb": 0.01}
    (folder / "judge.json").write_text("{")
    done = RUNNER.invoke(app, ["models", "--runs", str(tmp_path / "runs")])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {folder}/judge.json cannot be read")
