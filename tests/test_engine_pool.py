"""planner/engines/pool.py over real sockets: servers with weights, that fail, come back, or were never there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from planner.engines.base import GREEDY, EngineError, Request
from planner.engines.pool import PoolEngine
from planner.records import Message
from tests.fake_server import FakeServer, Refusal, reply

pytestmark = pytest.mark.waits


def requests(n: int) -> list[Request]:
    return [Request(f"r{i}", (Message(role="user", content=f"say {i}"),), "", 1, 4, (), GREEDY) for i in range(n)]


def echo(pause_s: float = 0.0) -> Any:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        time.sleep(pause_s)
        return reply(body["messages"][-1]["content"].removeprefix("say "))

    return answer


@pytest.fixture
def servers() -> Iterator[list[FakeServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(FakeServer(echo(0.01))) for _ in range(3)]


def pool(weights: dict[str, int], **options: Any) -> PoolEngine:
    return PoolEngine(weights, "m", **{"concurrency": 2, "max_retries": 0, "recheck_s": 0.05, **options})


def texts(engine: PoolEngine, n: int) -> dict[str, str]:
    return {key: completion.text for key, (completion,) in engine.sample(requests(n))}


EXPECTED = {f"r{i}": str(i) for i in range(60)}


def test_all_share_the_work_by_weight(servers: list[FakeServer]) -> None:
    engine = pool({one.url: weight for one, weight in zip(servers, (1, 1, 3), strict=True)})
    assert texts(engine, 60) == EXPECTED
    assert all(one.peak <= most for one, most in zip(servers, (2, 2, 6), strict=True))
    assert len(servers[2].chats) > max(len(one.chats) for one in servers[:2]) > 0
    assert sum(len(one.chats) for one in servers) == 60
    assert engine.counters.generated == 60 * 7
    engine.close()


def test_what_a_failing_server_held_is_answered_by_the_others(servers: list[FakeServer]) -> None:
    calls = 0

    def fails_after_five(body: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise Refusal(500, "")
        return echo()(body)  # type: ignore[no-any-return]

    servers[0].answer = fails_after_five
    engine = pool({one.url: 1 for one in servers}, recheck_s=60)
    assert texts(engine, 60) == EXPECTED
    assert list(engine.down) == [servers[0].url]
    assert "InternalServerError" in engine.down[servers[0].url]
    engine.close()


def test_lengths_are_asked_of_a_server_that_is_up(servers: list[FakeServer]) -> None:
    """A sampler asks while it hands requests out: a first server that is gone must not stop the others, nor cost them a request."""
    gone, here = servers[:2]  # a context of 100
    engine = pool({one.url: 1 for one in (gone, here)}, recheck_s=60)
    gone._http.shutdown()
    gone._http.server_close()

    def fitting() -> Iterator[Request]:
        return (one for one in requests(60) if engine.fits(one.messages, one.prefill, one.max_tokens))

    assert {key: completion.text for key, (completion,) in engine.sample(fitting())} == EXPECTED
    assert list(engine.down) == [gone.url]
    assert not engine.fits((Message(role="user", content="word " * 200),), "", 1)
    engine.close()


def test_a_server_that_comes_back_takes_part_again(servers: list[FakeServer]) -> None:
    broken = threading.Event()
    broken.set()

    def until_mended(body: dict[str, Any]) -> dict[str, Any]:
        if broken.is_set():
            broken.clear()
            raise Refusal(503, "restarting")
        return echo(0.01)(body)  # type: ignore[no-any-return]

    servers[0].answer = until_mended
    servers[1].answer = echo(0.02)
    engine = pool({one.url: 1 for one in servers[:2]})
    assert texts(engine, 60) == EXPECTED
    assert not engine.down
    assert len(servers[0].chats) > 5
    engine.close()


def test_a_server_that_was_never_there_is_told_of_and_gone_without(servers: list[FakeServer]) -> None:
    engine = pool({"http://127.0.0.1:9": 1, servers[0].url: 1}, recheck_s=60)
    assert texts(engine, 60) == EXPECTED
    assert "start the server" in engine.down["http://127.0.0.1:9"]
    engine.close()
    with pytest.raises(EngineError, match=r"no server can be used: http://127\.0\.0\.1:9"):
        pool({"http://127.0.0.1:9": 1})


def test_what_every_server_refuses_ends_the_call(servers: list[FakeServer]) -> None:
    def picky(body: dict[str, Any]) -> dict[str, Any]:
        if body["messages"][-1]["content"] == "say 7":
            raise Refusal(400, {"message": "too long"})
        return echo()(body)  # type: ignore[no-any-return]

    for one in servers:
        one.answer = picky
    engine = pool({one.url: 1 for one in servers}, recheck_s=60)
    with pytest.raises(EngineError, match="too long"):
        texts(engine, 60)
    engine.close()


def test_a_caller_that_stops_early_leaves_nothing_running(servers: list[FakeServer]) -> None:
    engine = pool({one.url: 1 for one in servers})
    stream = engine.sample(iter(requests(60)))
    next(stream)
    stream.close()
    assert sum(len(one.chats) for one in servers) < 60
    assert texts(engine, 60) == EXPECTED
    engine.close()


def test_an_error_in_the_callers_own_stream_is_raised_to_the_caller(servers: list[FakeServer]) -> None:
    def torn() -> Iterator[Request]:
        yield from requests(3)
        raise ValueError("a bad line")

    engine = pool({one.url: 1 for one in servers})
    with pytest.raises(ValueError, match="a bad line"):
        list(engine.sample(torn()))
    engine.close()
