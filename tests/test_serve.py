"""`evalplanner serve` and its config: what cannot be served is one line and status 2; then the real thing with the embedded judge."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from cli.main import app
from planner.engines.base import EngineError
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from rewards import backend
from rewards.config import EngineOptions, RewardConfig, judge_for, load_reward_config
from tests.conftest import ROOT

pytestmark = pytest.mark.waits


def serve(*arguments: str, key: str | None = "k") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["serve", *arguments], env={"EVALPLANNER_API_KEY": key, "EVALPLANNER_REWARD": None})
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("arguments", "key", "said"),
    [
        ((), None, "set EVALPLANNER_API_KEY"),
        (("--no-auth", "--host", "0.0.0.0"), None, "0.0.0.0 can be reached by others"),
        (("--no-auth",), "k", "which is it to be"),
        (("--config", "missing.toml"), "k", "missing.toml cannot be read: No such file"),
        (("nowhere/at/all",), "k", "no model at nowhere/at/all"),
        (("--url", "http://127.0.0.1:9/v1", "m", "--style", "evalplanner"), "k", "start the server"),
        (("--url", "http://127.0.0.1:9/v1", "m"), "k", "set style, one of"),
        (("--host", "192.0.2.1"), "k", "cannot listen on 192.0.2.1"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments: tuple[str, ...], key: str | None, said: str) -> None:
    port = () if "--port" in arguments else ("--port", "0")
    status, stderr = serve(*arguments, *port, key=key)
    assert status == 2, stderr
    assert said in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_a_taken_port_is_said_before_a_model_is_loaded() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, stderr = serve("--port", str(taken.getsockname()[1]))
    assert status == 2
    assert "choose another --port" in stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model = ", "is not TOML"),
        ("modle = 'm'", "modle: unknown key"),
        ("[scoring]\nstrategy = 'best'", "scoring.strategy: Input should be 'all_pairs'"),
        ("[scoring]\nvotes = 3", "needs temperature > 0"),
        ("[http]\ndeadline_s = 170", "less than or equal to 150"),
        ("[http]\nwait_s = 150", "must leave time to judge"),
        ("[http]\ncohort = 600", "must hold a whole cohort"),
        ("[http]\nremember_s = inf", "http.remember_s: Input should be a finite number"),
        ("[scoring]\nprior = inf", "scoring.prior: Input should be a finite number"),
        ("temperature = inf", "temperature: Input should be a finite number"),
        ("[scoring]\nrating = 'win_rate'", 'for strategy = "all_pairs"'),
    ],
)
def test_a_bad_config_is_named_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "reward.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"reward\.toml") as found:
        load_reward_config(file)
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_without_a_file_it_is_the_embedded_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALPLANNER_REWARD", raising=False)
    config = load_reward_config()
    judge = judge_for(config, ScriptedEngine())
    assert (config.model, judge.force, judge.max_tokens) == ("embedded", True, 48)
    with pytest.raises(UserError, match="set style, one of evalplanner"):
        judge_for(RewardConfig(model="org/name"), ScriptedEngine())
    assert judge_for(RewardConfig(model="org/name", style="mtbench", force=True), ScriptedEngine()).force


FLAKY = """
import http.server, pathlib, sys
tries = pathlib.Path(sys.argv[1])
tries.write_text(tries.read_text() + "x")
if len(tries.read_text()) == 2:
    sys.exit("out of memory")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""
"""A model's server whose second start fails."""


def test_a_model_that_has_come_up_once_is_started_until_it_comes_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = tmp_path / "tries"
    tries.touch()
    monkeypatch.setattr(backend, "_PAUSE_S", 0.1)
    monkeypatch.setattr(backend.EngineProcess, "_command", lambda self: [sys.executable, "-c", FLAKY, str(tries), str(self._port)])
    model = backend.EngineProcess("embedded", EngineOptions())
    try:
        model.wait(60)
        assert model.pid is not None
        os.kill(model.pid, signal.SIGKILL)
        until = time.monotonic() + 60
        while model.starts < 3 and model.state != "stopped" and time.monotonic() < until:
            time.sleep(0.05)
        model.wait(60)
        assert (model.starts, model.state) == (3, "ready")
    finally:
        model.close()
    assert model.state == "stopped"


def test_a_model_that_never_came_up_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.EngineProcess, "_command", lambda self: [sys.executable, "-c", "raise SystemExit(1)"])
    model = backend.EngineProcess("embedded", EngineOptions())
    try:
        with pytest.raises(EngineError, match="did not start"):
            model.wait(60)
        assert model.starts == 1
    finally:
        model.close()


@pytest.mark.slow
def test_the_embedded_judge_serves_dies_comes_back_and_ends(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "reward.toml"
    config.write_text("max_tokens = 12\n[engine]\nmax_model_len = 768\nkv_cache_gb = 1\nmax_num_seqs = 16\n")
    environment = os.environ | {"EVALPLANNER_API_KEY": "k", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cli.main", "serve", "--config", str(config), "--port", str(port)]
    log = (tmp_path / "log").open("w+")
    server = subprocess.Popen(command, env=environment, stderr=log, cwd=tmp_path)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer k"}, timeout=150)
    body: dict[str, Any] = {"instruction": "Name a river in French.", "responses": ["La Loire.", "The Loire.", "Bread."]}

    def until_ready() -> None:
        until = time.monotonic() + 280
        while time.monotonic() < until and server.poll() is None:
            try:
                if client.get("/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        log.seek(0)
        pytest.fail(log.read()[-3000:])

    try:
        until_ready()
        said = client.post("/compare", json=body).json()
        assert said["valid"] == [True] * 3
        assert said["cost"]["judgments"] == 6
        assert all(order["forced"] for one in said["comparisons"] for order in one["judgment"]["orders"])
        chat = {"model": "embedded", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
        assert client.post("/v1/chat/completions", json=chat).json()["usage"]["completion_tokens"] <= 4
        with client.stream("POST", "/v1/chat/completions", json=chat | {"stream": True}) as streamed:
            assert "".join(streamed.iter_text()).rstrip().endswith("[DONE]")
        assert client.post("/v1/chat/completions", json=chat | {"max_tokens": 9000}).status_code == 400
        psutil.Process(server.pid).children()[0].kill()
        assert client.post("/compare", json=body).status_code == 503
        until_ready()
        assert client.post("/compare", json=body).json()["valid"] == [True] * 3
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        log.seek(0)
        assert "Bearer" not in log.read()
    finally:
        server.kill()
        client.close()
        log.close()
