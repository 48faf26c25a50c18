"""Several servers of one model as one engine: each takes requests as it has room, and what a failing one held goes to the others.

A server's weight multiplies how many requests it holds at once, so a machine twice as large gets twice as many. One that fails (the
client has tried again by then) is left alone, asked every `recheck_s` seconds whether it is back, and takes part again once it is. The
call fails when no server is left, with what the last one said; a request that every server refuses ends so too.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Literal

from planner.engines.base import Alternatives, Choice, Counters, EngineError, Request
from planner.engines.server import ServerEngine
from planner.records import Completion, Message

_Asked = Literal["sample", "choose"]


class PoolEngine:
    """One model behind many URLs.

    Args:
        weights: by URL.
        concurrency: requests in flight at once, for a weight of 1.
        options: further arguments of `ServerEngine`, for each.

    Raises:
        EngineError: not one server can be used. Those that cannot are in `down`, with why.
    """

    def __init__(
        self, weights: Mapping[str, int], model: str, *, concurrency: int = 64, recheck_s: float = 30.0, **options: Any
    ) -> None:  # fmt: skip
        self._recheck_s = recheck_s
        self.down: dict[str, str] = {}
        self._open = {url: (concurrency * weight, options) for url, weight in weights.items()}
        self._engines: dict[str, ServerEngine] = {}
        self.model = model
        for url in weights:
            self._try_to_join(url)
        if not self._engines:
            raise EngineError("no server can be used: " + "; ".join(self.down.values()))

    def sample(self, requests: Iterable[Request]) -> Iterator[tuple[str, tuple[Completion, ...]]]:
        return self._run("sample", requests)

    def choose(self, requests: Iterable[Choice]) -> Iterator[tuple[str, float, float]]:
        return self._run("choose", requests)

    def likelihood(self, requests: Iterable[Alternatives]) -> Iterator[tuple[str, tuple[float, ...]]]:
        return next(iter(self._engines.values())).likelihood(requests)

    def fits(self, messages: tuple[Message, ...], prefill: str, max_tokens: int) -> bool:
        """By the first server that is up: they serve one model. One that fails at it is left to its own thread to tell of."""
        why = ""
        for url, engine in self._engines.items():
            if url not in self.down:
                try:
                    return engine.fits(messages, prefill, max_tokens)
                except EngineError as error:
                    why = str(error)
        raise EngineError(f"no server can be used: {why or '; '.join(self.down.values())}")

    def load(self, model: str) -> None:
        for engine in self._engines.values():
            engine.load(model)
        self.model = model

    @property
    def counters(self) -> Counters:
        every = [engine.counters for engine in self._engines.values()]
        return Counters(*map(sum, zip(*every, strict=True)))

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _try_to_join(self, url: str) -> bool:
        """Open a server, or see whether one that failed is back."""
        try:
            if url in self._engines:
                self._engines[url].load(self.model)
            else:
                concurrency, options = self._open[url]
                self._engines[url] = ServerEngine(url, self.model, concurrency=concurrency, **options)
        except EngineError as error:
            self.down[url] = str(error)
            return False
        self.down.pop(url, None)
        return True

    def _run(self, ask: _Asked, requests: Iterable[Any]) -> Iterator[Any]:
        work, answers = _Work(requests, self._open), SimpleQueue[Any]()
        left = len(self._open)
        with ThreadPoolExecutor(left, thread_name_prefix="pool") as threads:
            serving = [threads.submit(self._serve, ask, url, work, answers) for url in self._open]
            try:
                while left:
                    answer = answers.get()
                    if answer is None:
                        left -= 1
                    else:
                        yield answer
            finally:
                work.stop()
        for one in serving:
            one.result()  # raises what the caller's own stream of requests raised there
        if work.error is not None:
            raise work.error

    def _serve(self, ask: _Asked, url: str, work: _Work, answers: SimpleQueue[Any]) -> None:
        """One server's thread: take, answer, and give back what it fails on, until all is answered or nobody is left."""
        try:
            if url in self.down:
                work.leave(url, EngineError(self.down[url]))
            while not work.over.is_set():
                if url not in self.down:
                    self._serve_until_it_fails(ask, url, work, answers)
                elif not work.over.wait(self._recheck_s) and self._try_to_join(url):
                    work.come_back(url)
        finally:
            work.stop()
            answers.put(None)

    def _serve_until_it_fails(self, ask: _Asked, url: str, work: _Work, answers: SimpleQueue[Any]) -> None:
        try:
            for answer in getattr(self._engines[url], ask)(work.take(url)):
                answers.put(answer)
                work.answered(url, answer[0])
                if work.over.is_set():
                    return  # closes the stream, which cancels what is still on the server
            work.wait_for_more(url)
        except EngineError as error:
            self.down[url] = str(error)
            work.leave(url, error)


class _Work:
    """Requests that servers take, answer and give back. Its methods may be called from any thread."""

    def __init__(self, requests: Iterable[Any], servers: Iterable[str]) -> None:
        self._source, self._returned = iter(requests), deque[Any]()
        self._held: dict[str, dict[str, Any]] = {url: {} for url in servers}
        self._up = set(self._held)
        self._dry = False
        self._changed = threading.Condition()
        self.over = threading.Event()
        self.error: EngineError | None = None

    def take(self, url: str) -> Iterator[Any]:
        """Requests for one server, pulled as it has room; ends when there is none just now."""
        while True:
            with self._changed:
                if self.over.is_set():
                    return
                one = self._returned.popleft() if self._returned else next(self._source, None)
                if one is None:
                    self._dry = True
                    return
                self._held[url][one.key] = one
            yield one

    def answered(self, url: str, key: str) -> None:
        with self._changed:
            del self._held[url][key]

    def wait_for_more(self, url: str) -> None:
        """A server has come to the end of what there was; what it holds still, it left out for good. Wait for others' leavings."""
        with self._changed:
            self._held[url].clear()
            if self._dry and not self._returned and not any(self._held.values()):
                self.over.set()
            self._changed.notify_all()
            while not self._returned and not self.over.is_set():
                self._changed.wait()

    def leave(self, url: str, error: EngineError) -> None:
        """A server fails: the others get what it held. The last to leave ends the call."""
        with self._changed:
            self._returned.extend(self._held[url].values())
            self._held[url].clear()
            self._up.discard(url)
            if not self._up:
                self.error = error
                self.over.set()
            self._changed.notify_all()

    def come_back(self, url: str) -> None:
        with self._changed:
            self._up.add(url)

    def stop(self) -> None:
        with self._changed:
            self.over.set()
            self._changed.notify_all()
