"""What the server's routes share: the scorer, the model behind it, the cohorts, threads for blocking work, and deadlines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx
from fastapi import Request

from planner.judge import Judge
from rewards.backend import Backend
from rewards.cohort import Cohorts
from rewards.config import RewardConfig
from rewards.contest import Group, GroupScore, Scorer
from rewards.gate import Meters
from rewards.group import GroupScorer
from rewards.tournament import Strategy

T = TypeVar("T")
_THREADS = 64
"""Requests judged at once; the rest of the queue waits its turn."""


class Service:
    """What the routes share. Made outside of the event loop, used in one."""

    def __init__(self, config: RewardConfig, scorer: Scorer, backend: Backend) -> None:
        self.config, self.scorer, self.backend = config, scorer, backend
        self.judge: Judge | None = scorer.judge if isinstance(scorer, GroupScorer) else None
        """None: one that grades, and compares no pairs."""
        self.meters = Meters()
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="judging")
        # Requests are limited at the gate. Here a limit would make whether the model is up a question of who asked before.
        self.client = httpx.AsyncClient(
            timeout=config.http.deadline_s,
            headers={"Authorization": f"Bearer {backend.key}"},
            limits=httpx.Limits(max_connections=None),
        )
        options = config.http
        self.cohorts = Cohorts(
            self.score_one, size=options.cohort, wait_s=options.wait_s, deadline_s=options.deadline_s,
            remember_s=options.remember_s, on_close=lambda ending: self.meters.cohorts.labels(ending).inc(),
        )  # fmt: skip

    async def blocking(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    async def score(self, groups: list[Group], strategy: Strategy | None = None) -> list[GroupScore]:
        """Scores of groups. A strategy other than the config's is for judges that compare. Cancelled, it asks for no more judgments."""
        scorer, left = self.scorer, threading.Event()

        def work() -> list[GroupScore]:
            if strategy is None:
                return scorer.score_groups(groups, abandoned=left.is_set)
            assert isinstance(scorer, GroupScorer), "who grades has no strategy: its route refuses one"
            return scorer.score_groups(groups, strategy, abandoned=left.is_set)

        try:
            scores = await self.blocking(work)
        except asyncio.CancelledError:
            left.set()  # a thread cannot be cancelled
            raise
        for score in scores:
            self.meters.judgments.inc(score.cost.judgments)
            self.meters.tokens.inc(score.cost.tokens)
            for one in score.judgments:
                self.meters.comparisons.labels(one.why).inc()
        return scores

    async def score_one(self, group: Group) -> GroupScore:
        return (await self.score([group]))[0]

    async def answers(self) -> bool:
        """Whether the judge's model is up, asked of itself."""
        if self.backend.state != "ready":
            return False
        try:
            return (await self.client.get(f"{self.backend.url}/models", timeout=2)).status_code == 200
        except httpx.HTTPError:
            return False

    async def within_deadline(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, unless its client goes away or its time runs out first; then it is cancelled.

        Raises:
            TimeoutError: the deadline.
            ClientGone: the connection was closed.
        """
        return await self.while_there(request, work, timeout_s=self.config.http.deadline_s)

    async def while_there(self, request: Request, work: Coroutine[Any, Any, T], *, timeout_s: float | None = None) -> T:
        """The same for work that keeps the deadline itself, as the cohorts do."""
        task, watch = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
        try:
            done, _ = await asyncio.wait({task, watch}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
        if task in done:
            return task.result()
        task.cancel()
        raise ClientGone if watch in done else TimeoutError

    async def close(self) -> None:
        """Whoever waited has been answered. What is still judged is of clients that left or were told of the deadline: it is let go."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        await self.client.aclose()


class ClientGone(Exception):
    """Nobody is there to answer."""


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
