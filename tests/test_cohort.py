"""The cohort buffer: arrivals in any order, duplicates, retries, timeouts, clients that die."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rewards.cohort import Cohorts, Rewarded
from rewards.contest import Group, GroupScore, Scoring
from rewards.group import GroupScorer
from tests.judges import judge_of, longer

pytestmark = pytest.mark.waits

Scene = Callable[[Cohorts, list[Group]], Awaitable[Any]]


def play(
    scene: Scene, *, size: int = 3, wait_s: float = 0.05, deadline_s: float = 60.0, remember_s: float = 60.0,
    fail: list[Exception] | None = None, slow_s: float = 0.0,
) -> Any:  # fmt: skip
    """Run a scene on a buffer over a judge that likes length; `groups` is what was scored, `fail` what scoring raises in turn."""
    scorer, groups = GroupScorer(judge_of(longer), Scoring(strategy="all_pairs")), list[Group]()

    async def score(group: Group) -> GroupScore:
        groups.append(group)
        await asyncio.sleep(slow_s)
        if fail:
            raise fail.pop(0)
        return scorer.score_groups([group])[0]

    async def main() -> Any:
        cohorts = Cohorts(score, size=size, wait_s=wait_s, deadline_s=deadline_s, remember_s=remember_s)
        return await asyncio.wait_for(scene(cohorts, groups), 10)

    return asyncio.run(main())


async def settled(cohorts: Cohorts) -> None:
    while cohorts._tasks:
        await asyncio.wait(cohorts._tasks)


def test_the_last_one_in_has_all_scored() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        got = await asyncio.gather(*(cohorts.reward("p", text) for text in ("xxx", "x", "xx")))
        assert [one.cohort for one in got] == [3, 3, 3]
        assert got[0].reward > got[2].reward > got[1].reward
        assert len(groups) == 1
        assert cohorts.held == 0

    play(scene, wait_s=9)


def test_prompts_are_kept_apart_however_they_arrive() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        order = [("p", "x"), ("q", "a"), ("q", "aaa"), ("p", "xx"), ("q", "aa"), ("p", "xxx")]
        got = await asyncio.gather(*(cohorts.reward(prompt, text) for prompt, text in order))
        assert [group.instruction for group in groups] == ["q", "p"]
        assert got[1].reward == got[0].reward
        assert got[2].reward == got[5].reward == max(one.reward for one in got)

    play(scene, wait_s=9)


def test_a_reference_of_its_own_is_a_cohort_of_its_own() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        await asyncio.gather(cohorts.reward("p", "x", "r"), cohorts.reward("p", "x", None))
        assert len(groups) == 2

    play(scene)


def test_equal_responses_that_both_wait_are_two() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        got = await asyncio.gather(*(cohorts.reward("p", text) for text in ("x", "x", "xx")))
        assert groups[0].responses == ("x", "x", "xx")
        assert got[0].reward == got[1].reward
        assert not any(one.retried for one in got)

    play(scene, wait_s=9)


def test_after_the_wait_those_who_came_are_scored_and_a_late_one_starts_anew() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        got = await asyncio.gather(cohorts.reward("p", "x"), cohorts.reward("p", "xx"))
        assert [one.cohort for one in got] == [2, 2]
        late = await cohorts.reward("p", "xxx")
        assert (late.cohort, late.reward) == (1, None)
        assert [len(group.responses) for group in groups] == [2, 1]

    play(scene)


def test_one_alone_is_compared_with_its_reference() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        assert (await cohorts.reward("p", "xxx", "x")).reward == pytest.approx(0.8)

    play(scene)


def test_a_client_that_dies_does_not_take_its_response_away_and_its_retry_is_recognised() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        first = asyncio.create_task(cohorts.reward("p", "x"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        again = asyncio.create_task(cohorts.reward("p", "x"))
        others = [asyncio.create_task(cohorts.reward("p", text)) for text in ("xx", "xxx")]
        got = await asyncio.gather(again, *others)
        assert [group.responses for group in groups] == [("x", "xx", "xxx")]
        assert [one.retried for one in got] == [True, False, False]

    play(scene, wait_s=9)


def test_a_retry_after_the_score_is_answered_from_memory_once() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        dying = asyncio.create_task(cohorts.reward("p", "x"))
        await asyncio.sleep(0)
        dying.cancel()
        await asyncio.gather(cohorts.reward("p", "xx"), cohorts.reward("p", "xxx"))
        again = await cohorts.reward("p", "x")
        assert (again.retried, again.cohort, len(groups)) == (True, 3, 1)
        fresh = await cohorts.reward("p", "x")
        assert (fresh.retried, fresh.cohort, len(groups)) == (False, 1, 2)

    play(scene)


def test_a_named_rollout_is_itself_however_often_it_asks() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        got = await asyncio.gather(
            cohorts.reward("p", "x", name="r0"), cohorts.reward("p", "x", name="r0"), cohorts.reward("p", "x", name="r1"),
            cohorts.reward("p", "xx", name="r2"),
        )  # fmt: skip
        assert groups[0].responses == ("x", "x", "xx")
        assert [one.retried for one in got] == [False, True, False, False]
        assert (await cohorts.reward("p", "x", name="r0")).retried
        assert len(groups) == 1

    play(scene, wait_s=9)


def test_what_is_remembered_is_forgotten_in_time() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        await cohorts.reward("p", "x", name="r0")
        (named,) = cohorts._known
        await asyncio.sleep(0.1)
        assert not (await cohorts.reward("p", "x", name="r0")).retried
        await asyncio.sleep(0.1)
        await cohorts.reward("q", "x")
        assert named not in cohorts._known

    play(scene, size=1, remember_s=0.05)


def test_what_is_remembered_holds_no_text() -> None:
    """Rewards are kept for ten minutes; what a client sends can be 16 MiB, and a judge's plans and executions are as long."""

    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        tracemalloc.start()
        for k in range(20):
            await cohorts.reward("p" * 10**6, "x" * 10**6, name=str(k))
            groups.clear()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(cohorts._known) == 20
        assert kept < 5 * 10**6

    play(scene, size=1)


def test_no_response_passes_for_a_named_one() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        dying = asyncio.create_task(cohorts.reward("p", "x", name="r0"))
        await asyncio.sleep(0)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        got = await asyncio.gather(*(cohorts.reward("p", text) for text in ("name r0 x", "xx")))
        assert groups[0].responses == ("x", "name r0 x", "xx")
        assert not any(one.retried for one in got)

    play(scene, wait_s=9)


def test_a_failure_is_told_to_everybody_and_the_next_try_starts_anew() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        got = await asyncio.gather(*(cohorts.reward("p", text) for text in ("x", "xx", "xxx")), return_exceptions=True)
        assert [str(error) for error in got] == ["gone"] * 3
        again = await asyncio.gather(*(cohorts.reward("p", text) for text in ("x", "xx", "xxx")))
        assert [one.cohort for one in again] == [3] * 3
        assert not any(one.retried for one in again)

    play(scene, wait_s=9, fail=[RuntimeError("gone")])


def test_a_client_told_of_the_deadline_does_not_ask_again_so_equal_words_are_another_response() -> None:
    """The next epoch's: it is not given the old reward, and its cohort does not wait for it in vain."""

    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        late = await asyncio.gather(cohorts.reward("p", "x"), cohorts.reward("p", "xx"), return_exceptions=True)
        assert [type(one) for one in late] == [TimeoutError] * 2
        await settled(cohorts)
        cohorts._deadline_s = 9
        got = await asyncio.gather(cohorts.reward("p", "x"), cohorts.reward("p", "xx"))
        assert [(one.cohort, one.retried) for one in got] == [(2, False)] * 2
        assert len(groups) == 2

    play(scene, size=2, wait_s=0.1, deadline_s=0.2, slow_s=0.4)


def test_what_comes_too_late_for_everybody_is_scored_no_further() -> None:
    """Else a judge that is too slow falls ever further behind, and everything that it does is late."""

    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        with pytest.raises(TimeoutError):
            await cohorts.reward("p", "x", "r")
        await asyncio.wait_for(settled(cohorts), 2)
        assert len(groups) == 1

    play(scene, size=1, wait_s=0.05, deadline_s=0.2, slow_s=9)


def test_draining_scores_what_is_here_at_once() -> None:
    async def scene(cohorts: Cohorts, groups: list[Group]) -> Rewarded:
        waiting = [asyncio.create_task(cohorts.reward("p", text)) for text in ("x", "xx")]
        await asyncio.sleep(0)
        assert cohorts.held == 2
        cohorts.drain()
        assert [one.cohort for one in await asyncio.gather(*waiting)] == [2, 2]
        return await cohorts.reward("q", "x", "xx")

    assert play(scene, wait_s=9).cohort == 1


def test_many_clients_lose_and_double_nothing() -> None:
    """200 prompts of four in a scrambled order; each fifth client dies and asks again."""

    async def scene(cohorts: Cohorts, groups: list[Group]) -> None:
        async def client(prompt: int, k: int) -> Rewarded:
            await asyncio.sleep(((prompt * 7 + k * 13) % 11) / 2000)
            asked = cohorts.reward(f"p{prompt}", "x" * (k + 1))
            if (prompt + k) % 5 == 0:
                task = asyncio.create_task(asked)
                await asyncio.sleep(0.001)
                if not task.done():
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    asked = cohorts.reward(f"p{prompt}", "x" * (k + 1))
                else:
                    return task.result()
            return await asked

        got = await asyncio.gather(*(client(prompt, k) for prompt in range(200) for k in range(4)))
        assert len(groups) == 200
        assert all(sorted(group.responses) == ["x", "xx", "xxx", "xxxx"] for group in groups)
        for at in range(0, 800, 4):
            rewards = [one.reward for one in got[at : at + 4]]
            assert rewards == sorted(rewards)

    play(scene, size=4, wait_s=9)
