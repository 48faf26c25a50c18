"""Groups out of single requests: responses to one prompt wait for each other, and the last one in has all of them scored.

Trainers that ask for one reward at a time (OpenRLHF, verl, NeMo-Gym) never show a group. A cohort opens with the first response
to a prompt and closes when `size` have come or after `wait_s`; one that came alone is compared with its reference. All state is
one event loop's, so there are no locks.

A client that gave up asks again with the same words, which must not make its response count twice. It is known by its name where
it has one; else because its first try is still here with nobody waiting for it. Two equal responses that both wait are two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from planner.records import digest
from rewards.contest import Group, GroupScore

Ending = Literal["full", "timeout", "alone"]


class Rewarded(NamedTuple):
    """What one response got."""

    reward: float | None
    cohort: int
    """How many were scored together."""
    retried: bool = False
    """Whether this answers a request that came before."""


@dataclass(eq=False)
class _Member:
    """One response in a cohort. It outlives the request that brought it, so it holds no text."""

    future: asyncio.Future[Rewarded]
    waiting: int = 0
    """Requests that wait for it now."""
    gone: bool = False
    """Whether its last client left without the answer."""
    seen_at: float = 0.0


@dataclass(eq=False)
class _Cohort:
    key: tuple[str, str | None]
    responses: list[str] = field(default_factory=list)
    members: list[_Member] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


class Cohorts:
    """The buffer.

    Args:
        score: scores one group; called once a cohort, outside of any request, so no client's end stops it. Cancelled after `deadline_s`.
        size: responses to a prompt that make a cohort full.
        wait_s: how long a cohort stays open.
        deadline_s: how long one response waits for its reward, its cohort's wait included.
        remember_s: how long a reward is kept for a client that left or may ask again by name.
    """

    def __init__(
        self, score: Callable[[Group], Awaitable[GroupScore]], *, size: int, wait_s: float, deadline_s: float, remember_s: float,
        on_close: Callable[[Ending], None] = lambda ending: None,
    ) -> None:  # fmt: skip
        self._score, self._size, self._on_close = score, size, on_close
        self._wait_s, self._deadline_s, self._remember_s = wait_s, deadline_s, remember_s
        self._open: dict[tuple[str, str | None], _Cohort] = {}
        self._known: dict[str, list[_Member]] = {}
        """Members by the digest of prompt, reference, response and name; forgotten after `remember_s`."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._next_look = 0.0

    async def reward(self, instruction: str, response: str, reference: str | None = None, name: str | None = None) -> Rewarded:
        """Join the cohort of a prompt and wait for its score. Cancelling the wait leaves the response where it is.

        Args:
            name: a rollout's own identity, where its trainer sends one.

        Raises:
            TimeoutError: the deadline. Its client is told, so the same words again are another response.
            whatever `score` raised, for everybody in the cohort; it is then forgotten, so asking again starts anew.
        """
        key = (instruction, reference)
        asked = (instruction, response) if reference is None else (instruction, response, reference)
        identity = digest("words", *asked) if name is None else digest("name", name, *asked)
        self._forget()
        member = self._again(identity, named=name is not None)
        retried = member is not None
        if member is None:
            member = _Member(asyncio.get_running_loop().create_future())
            self._known.setdefault(identity, []).append(member)
            self._join(key, response, member)
        member.waiting, member.gone = member.waiting + 1, False
        try:
            # Does not end the scoring, whatever ends the wait.
            done, _ = await asyncio.wait([member.future], timeout=self._deadline_s)
        except asyncio.CancelledError:
            member.gone = member.waiting == 1
            raise
        finally:
            member.waiting -= 1
            member.seen_at = time.monotonic()
        if name is None:  # answered: the same words again are another response
            self._known[identity].remove(member)
        if not done:
            raise TimeoutError
        return member.future.result()._replace(retried=retried)

    def drain(self) -> None:
        """Score what is here without waiting for more, and whatever still comes by itself."""
        self._draining = True
        for cohort in list(self._open.values()):
            self._close(cohort)

    @property
    def held(self) -> int:
        """Responses waiting for their cohort."""
        return sum(len(cohort.members) for cohort in self._open.values())

    # -- inside ------------------------------------------------------------------------------------------------------

    def _again(self, identity: str, *, named: bool) -> _Member | None:
        """The earlier try of the same request, if this is another."""
        for member in self._known.get(identity, ()):
            failed = member.future.done() and (member.future.cancelled() or member.future.exception() is not None)
            if not failed and (named or member.gone):
                return member
        return None

    def _join(self, key: tuple[str, str | None], response: str, member: _Member) -> None:
        cohort = self._open.get(key)
        if cohort is None:
            cohort = self._open[key] = _Cohort(key)
            cohort.timer = asyncio.get_running_loop().call_later(self._wait_s, self._close, cohort)
        cohort.responses.append(response)
        cohort.members.append(member)
        if len(cohort.members) >= self._size or self._draining:
            self._close(cohort)

    def _close(self, cohort: _Cohort) -> None:
        if cohort.timer is not None:
            cohort.timer.cancel()
        if self._open.get(cohort.key) is cohort:
            del self._open[cohort.key]
        full = len(cohort.members) >= self._size
        self._on_close("full" if full else "alone" if len(cohort.members) == 1 else "timeout")
        task = asyncio.get_running_loop().create_task(self._finish(cohort))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, cohort: _Cohort) -> None:
        instruction, reference = cohort.key
        group = Group(instruction=instruction, responses=tuple(cohort.responses), reference=reference)
        # A task, so that what goes wrong is told to everybody who waits, and by the future to nobody else.
        scoring = asyncio.ensure_future(self._score(group))
        done, _ = await asyncio.wait([scoring], timeout=self._deadline_s)
        if not done:  # every client was told by now; judging on would only make the next ones late as well
            scoring.cancel()
        for index, member in enumerate(cohort.members):
            if (error := scoring.exception() if done else TimeoutError()) is not None:
                member.future.set_exception(error)
                member.future.exception()  # seen, though its client may have left
            else:
                member.future.set_result(Rewarded(scoring.result().rewards[index], len(cohort.members)))
            member.seen_at = time.monotonic()

    def _forget(self) -> None:
        """Let go of what nobody has asked for since `remember_s`; looked through once in a while, not at each request."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + self._remember_s / 60
        for identity, members in list(self._known.items()):
            kept = [m for m in members if m.waiting or not m.future.done() or now - m.seen_at < self._remember_s]
            if kept:
                self._known[identity] = kept
            else:
                del self._known[identity]
