"""A real Ray of two workers on this machine, with the embedded model; skipped where Ray is not installed."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from planner.engines.base import GREEDY, Choice, EngineError, Request
from planner.records import Message

pytestmark = pytest.mark.slow
SETTINGS: dict[str, Any] = {"max_model_len": 256, "max_num_seqs": 8, "kv_cache_gb": 1, "enforce_eager": True}


@pytest.fixture(scope="module")
def engine() -> Any:
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    from planner.engines.ray import RayEngine

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    engine = RayEngine("embedded", engines=2, settings=SETTINGS)
    yield engine
    engine.close()


def chat(i: int) -> tuple[Message, ...]:
    return (Message(role="user", content=f"Say the number {i}."),)


@pytest.mark.timeout(600)
def test_two_workers_answer_every_request_as_one_engine_does(engine: Any, embedded_engine: Any) -> None:
    asked = [Request(f"r{i}", chat(i), "", 1, 6, (), GREEDY) for i in range(20)]
    got = dict(engine.sample(iter(asked)))
    assert got.keys() == {one.key for one in asked}
    assert all(len(got[one.key]) == one.n for one in asked)
    alone = dict(embedded_engine.sample(asked))
    # Batches of another make-up round differently now and then; a lost or mixed-up answer would differ nearly everywhere.
    assert sum(got[key][0].text == alone[key][0].text for key in alone) >= 16
    counted = engine.counters
    assert counted.generated == sum(one.tokens for drawn in got.values() for one in drawn)
    assert counted.prompt > 20 * 10


@pytest.mark.timeout(600)
def test_letters_are_read_there_too(engine: Any, embedded_engine: Any) -> None:
    asked = [Choice(f"c{i}", chat(i), "[Final Verdict]\n[[") for i in range(4)]
    got = {key: (a, b) for key, a, b in engine.choose(asked)}
    for key, a, b in embedded_engine.choose(asked):
        assert got[key] == pytest.approx((a, b), abs=0.25)


@pytest.mark.timeout(600)
def test_an_error_in_a_worker_is_one_line(engine: Any) -> None:
    with pytest.raises(EngineError, match=r"^Ray: \S*Error: n must be 1 when using greedy sampling"):
        list(engine.sample([Request("r", chat(1), "", 2, 4, (), GREEDY)]))


def test_lengths_are_known_without_an_engine(engine: Any, embedded_engine: Any) -> None:
    assert engine.fits(chat(1), "", 100)
    assert not engine.fits((Message(role="user", content="word " * 300),), "", 1)


def test_more_engines_than_the_cluster_has_room_for_are_refused(engine: Any) -> None:
    from planner.engines.ray import RayEngine

    with pytest.raises(EngineError, match=r"need 9 cpus .* lower engine\.engines"):
        RayEngine("embedded", engines=9, settings=SETTINGS)


def test_an_address_where_no_cluster_is_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would try for a quarter of an hour. Needs no Ray."""
    from planner.engines.ray import RayEngine

    data = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, data=data))
    monkeypatch.setitem(sys.modules, "ray.data", data)
    with socket.socket() as nobody:  # bound and not listening: connections are refused
        nobody.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", where)
        with pytest.raises(EngineError, match=rf"^no Ray cluster at {where} \(.*refused\): start one, mend RAY_ADDRESS"):
            RayEngine("embedded", engines=1, settings=SETTINGS)
