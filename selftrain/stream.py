"""Plans and their executions in one stream: a plan is executed as soon as it is there, while others are still being written.

In two phases the engine runs dry at the end of the first, when a few long plans are left and nothing else may start. Here finished
plans' executions fill that room. They go first, so that a pair's prompts meet in the prefix cache and few plans are held at a time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from planner.engines.base import Engine, Request
from planner.execute import ExecutionInput
from planner.plan import PlanInput
from planner.records import ORDERS, Chain, Completion, Order, Pair, Plan
from planner.store import Shard, Shards


class Drawing(Protocol):
    """What the stream asks of the sampler."""

    first: bool

    def plan_inputs_of(self, pair: Pair) -> Iterator[PlanInput]: ...
    def plan_keys(self, pair: Pair, order: Order) -> list[str]: ...
    def executions_of(self, pair: Pair, order: Order, plans: Sequence[Plan]) -> Iterator[ExecutionInput]: ...
    def plan_request(self, item: PlanInput) -> Request: ...
    def execution_request(self, item: ExecutionInput) -> Request: ...
    def read_plans(self, item: PlanInput, completions: tuple[Completion, ...]) -> list[Plan]: ...
    def read_chains(self, item: ExecutionInput, completions: tuple[Completion, ...]) -> list[Chain]: ...


class Stream:
    """An iterator of requests that may go on after it has ended: each answer that `finish` is told of may make new ones.

    A pool of servers takes requests in threads of its own, while answers are told of in the caller's.

    Args:
        pairs: read as room comes free. At most the pairs that an engine has in hand are held; of a seed, whose plans serve every pair
            with their instruction, all plans drawn in this attempt.
    """

    def __init__(
        self, draw: Drawing, engine: Engine, pairs: Iterable[Pair], plans: tuple[Shards[Plan], Shard[Plan]],
        chains: tuple[Shards[Chain], Shard[Chain]],
    ) -> None:  # fmt: skip
        self._draw, self._engine = draw, engine
        (self._old_plans, self._plans), (self._old_chains, self._chains) = plans, chains
        self._fresh: dict[str, list[Plan]] = {}
        self._asked: set[str] = set()
        self._waiting: dict[str, list[tuple[Pair, Order, set[str]]]] = {}
        """By a plan input's key: whose executions wait for it, with all the keys they wait for."""
        self._ready: deque[ExecutionInput] = deque()
        self._held: dict[str, PlanInput | ExecutionInput] = {}
        self._walk = self._plan_inputs(pairs)
        self._lock = threading.Lock()
        self.over = False
        """All pairs were read and all that was ready was handed out."""

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Request:
        while True:
            with self._lock:
                item = self._ready.popleft() if self._ready else next(self._walk, None)
                if item is None:
                    self.over = True
                    raise StopIteration
            planned = isinstance(item, PlanInput)
            request = self._draw.plan_request(item) if isinstance(item, PlanInput) else self._draw.execution_request(item)
            fits = self._engine.fits(request.messages, request.prefill, request.max_tokens)
            with self._lock:
                if fits:
                    self._held[request.key] = item
                    return request
                (self._plans if planned else self._chains).append(item.key, dropped="over_long")
                if planned:
                    self._have(item.key, [])

    def finish(self, key: str, completions: tuple[Completion, ...]) -> None:
        """Write an answer down, and make ready what waited for it."""
        with self._lock:
            item = self._held.pop(key)
            if isinstance(item, PlanInput):
                plans = self._draw.read_plans(item, completions)
                self._plans.append(item.key, plans)
                self._have(item.key, plans)
            else:
                self._chains.append(item.key, self._draw.read_chains(item, completions))

    def _plan_inputs(self, pairs: Iterable[Pair]) -> Iterator[PlanInput | ExecutionInput]:
        """What is still to be planned, pair by pair. A pair that has its plans already makes its executions ready."""
        for pair in pairs:
            asks = [one for one in self._draw.plan_inputs_of(pair) if one.key not in self._old_plans and one.key not in self._asked]
            self._asked.update(one.key for one in asks)
            for order in ORDERS:
                missing = {
                    key for key in self._draw.plan_keys(pair, order) if key not in self._old_plans and key not in self._fresh
                }
                for key in missing:
                    self._waiting.setdefault(key, []).append((pair, order, missing))
                if not missing:
                    self._make_ready(pair, order)
            yield from asks
            while self._ready:
                yield self._ready.popleft()

    def _have(self, key: str, plans: list[Plan]) -> None:
        self._fresh[key] = plans
        for pair, order, missing in self._waiting.pop(key, []):
            missing.discard(key)
            if not missing:
                self._make_ready(pair, order)
        self.over = self.over and not self._ready

    def _make_ready(self, pair: Pair, order: Order) -> None:
        keys = self._draw.plan_keys(pair, order)
        plans = [one for key in keys for one in (self._fresh[key] if key in self._fresh else self._old_plans.get(key))]
        self._ready.extend(one for one in self._draw.executions_of(pair, order, plans) if one.key not in self._old_chains)
