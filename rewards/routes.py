"""What each route of the server does. Which there are, and what becomes of their errors: server.py.

Blocking work runs in threads. Only `/get_reward` and `/verify` never fail for want of a verdict: their trainers stop at an error, so
they get the neutral 0.5 and a flag.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, TypeVar

from fastapi import Body, Depends, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError

from planner.engines.base import EngineError
from planner.judge import Judge
from planner.records import Judgment, Pair
from rewards.chat import completion_in, instruction_of, untemplated
from rewards.cohort import Rewarded
from rewards.contest import Group
from rewards.service import Service
from rewards.stream import staged
from rewards.tournament import Strategy
from rewards.wire import (
    NEUTRAL,
    Compare,
    Compared,
    GetReward,
    GymCompare,
    GymCompared,
    JudgeRequest,
    Rewards,
    Verified,
    Verify,
    output_text,
)

T = TypeVar("T")
_log = logging.getLogger("evalplanner")
RETRY_S = "5"
"""What a client is told to wait while the model is down."""


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _up(request: Request) -> Service:
    """The service, if its model is up."""
    service = _service(request)
    if service.backend.state != "ready":
        raise HTTPException(503, "the judge's model is being started", {"Retry-After": RETRY_S})
    return service


Any_ = Annotated[Service, Depends(_service)]
Up = Annotated[Service, Depends(_up)]


def _refuse_batch(service: Service, size: int) -> None:
    if size > service.config.http.max_batch:
        raise HTTPException(413, f"{size} responses in one request; at most {service.config.http.max_batch} are taken")


def _comparing(service: Service) -> Judge:
    """The judge, if it compares."""
    if service.judge is None:
        raise HTTPException(422, "this judge grades one response at a time: it compares no pairs and takes no strategy")
    return service.judge


def _fitting(service: Service, strategy: Strategy) -> None:
    """Refuse a strategy that does not go with the rest of the config."""
    try:
        service.config.scoring.by(strategy)
    except ValidationError as error:
        raise HTTPException(422, f"strategy: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


def tell(error: Exception) -> None:
    """Say in the log why the model gave nothing: clients are told to try again, and whoever keeps the server may have something to mend."""
    _log.warning("no judgment: %s", " ".join(str(error).split())[:300])


async def health() -> dict[str, str]:
    """Whether this process answers."""
    return {"status": "ok"}


async def ready(service: Any_) -> dict[str, str]:
    """Whether the judge can judge."""
    up = await service.answers()
    service.meters.ready.set(up)
    if not up:
        raise HTTPException(503, "the judge's model is being started", {"Retry-After": RETRY_S})
    return {"status": "ready"}


async def metrics(service: Any_) -> Response:
    """Counters, in Prometheus' format."""
    service.meters.ready.set(service.backend.state == "ready")
    return Response(generate_latest(service.meters.registry), media_type=CONTENT_TYPE_LATEST)


async def get_reward(body: GetReward, request: Request, service: Up) -> Rewards:
    """Rewards for OpenRLHF, and for whoever knows one response at a time. Waits for a prompt's cohort, if one is configured."""
    _refuse_batch(service, len(body.query))
    items = []
    for query, prompt, label in zip(body.query, body.prompts, body.labels, strict=True):
        items.append(
            (untemplated(prompt).strip(), completion_in(query, prompt), label if isinstance(label, str) and label else None)
        )
    if service.config.http.cohort > 1:
        found = await service.while_there(request, _cohort_rewards(service, items))
    else:
        try:
            found = await service.within_deadline(request, _rewards(service, items))
        except TimeoutError:
            found = [None] * len(items)
    service.meters.retries.inc(sum(one is not None and one.retried for one in found))
    rewards = [NEUTRAL if one is None or one.reward is None else one.reward for one in found]
    return Rewards(
        rewards=rewards,
        scores=rewards,
        extra_logs={
            "invalid": [float(one is None or one.reward is None) for one in found],
            "cohort": [float(one.cohort) if one else 0.0 for one in found],
        },
    )


Item = tuple[str, str | None, str | None]
"""Instruction, response, reference. There is no response where it was not found in the text that came."""


async def _cohort_rewards(service: Service, items: list[Item]) -> list[Rewarded | None]:
    """One outcome an item, each of its prompt's cohort; None where there is no response, or the deadline came first."""
    found: list[Rewarded | None] = [None] * len(items)

    async def one(at: int, instruction: str, response: str, reference: str | None) -> None:
        with suppress(TimeoutError):  # the others of this request may have theirs
            found[at] = await service.cohorts.reward(instruction, response, reference)

    async with _together() as waiting:
        for at, (instruction, response, reference) in enumerate(items):
            if response is not None:
                waiting.append(one(at, instruction, response, reference))
    return found


async def _rewards(service: Service, items: list[Item]) -> list[Rewarded | None]:
    """One outcome an item, items of one prompt and reference scored as a group; None where there is no response."""
    found: list[Rewarded | None] = [None] * len(items)
    places: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for at, (instruction, response, reference) in enumerate(items):
        if response is not None:
            places[instruction, reference].append(at)
    groups = [
        Group(instruction=instruction, responses=tuple(str(items[at][1]) for at in ats), reference=reference)
        for (instruction, reference), ats in places.items()
    ]
    for ats, score in zip(places.values(), await service.score(groups), strict=True):
        for at, reward in zip(ats, score.rewards, strict=True):
            found[at] = Rewarded(reward, len(ats))
    return found


@asynccontextmanager
async def _together() -> AsyncIterator[list[Coroutine[Any, Any, None]]]:
    """Collects work and awaits all of it at the end; the first error cancels the rest."""
    work: list[Coroutine[Any, Any, None]] = []
    yield work
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def compare(
    body: Annotated[Compare | GymCompare, Body()], request: Request, service: Up
) -> Compared | GymCompared:  # fmt: skip
    """Compare the responses to one prompt: our own form, or NeMo-Gym's."""
    if isinstance(body, GymCompare):
        return await _gym_compare(body, request, service)
    _refuse_batch(service, len(body.responses))
    if body.strategy is not None:
        _comparing(service)
        _fitting(service, body.strategy)
    group = Group(instruction=body.instruction, responses=tuple(body.responses), reference=body.reference)
    (score,) = await service.within_deadline(request, service.score([group], body.strategy))
    return Compared(
        rewards=list(score.rewards), valid=list(score.valid), comparisons=list(score.judgments), cost=score.cost
    )  # fmt: skip


async def _gym_compare(body: GymCompare, request: Request, service: Service) -> GymCompared:
    _refuse_batch(service, len(body.response_objs))
    if not body.response_objs:
        return GymCompared(rewards=[], valid=[], comparison_results=[], metrics={})
    instruction, responses = _readable(
        lambda: (instruction_of(body.conversation_history), tuple(output_text(one) for one in body.response_objs))
    )
    score = await service.within_deadline(request, service.score_one(Group(instruction=instruction, responses=responses)))
    return GymCompared(
        rewards=[NEUTRAL if reward is None else reward for reward in score.rewards],
        valid=list(score.valid),
        comparison_results=[
            {"response_i": one.first, "response_j": one.second, "judge_idx": 0, "p_i": one.p, "why": one.why}
            for one in score.judgments
        ],
        metrics={"unread": score.cost.unread, "conflicts": score.cost.conflicts, "judgments": score.cost.judgments},
    )


async def verify(body: Verify, request: Request, service: Up) -> Verified:
    """The reward of one NeMo-Gym rollout. Waits for its cohort, if one is configured."""
    back = body.model_dump(by_alias=True, exclude_unset=True)
    instruction, response = _readable(lambda: (instruction_of(body.responses_create_params.input), output_text(body.response)))
    _readable(lambda: json.dumps(back, allow_nan=False))  # it is sent back, so it must be what can be sent
    try:
        found = await service.while_there(request, service.cohorts.reward(instruction, response, None, body.name))
    except TimeoutError:
        found = None
    service.meters.retries.inc(found is not None and found.retried)
    invalid = found is None or found.reward is None
    reward = NEUTRAL if found is None or found.reward is None else found.reward
    return Verified.model_validate(back | {"reward": reward, "invalid": invalid})


async def judge(body: JudgeRequest, request: Request, service: Up) -> Any:
    """Judge one pair in both orders: as one object, or in stages as they come."""
    one = _comparing(service)
    pair = Pair(instruction=body.instruction, response_a=body.response_a, response_b=body.response_b, reference=body.reference)
    end = time.monotonic() + service.config.http.deadline_s

    async def judged() -> Judgment | None:
        if not await service.blocking(lambda: one.fits(pair)):
            raise HTTPException(422, "the pair does not fit the judge's context")
        return None if body.stream else _counted(service, await service.blocking(lambda: next(one.compare_many([pair]))))

    judgment = await service.within_deadline(request, judged())
    return judgment or StreamingResponse(_events(service, one, pair, end), media_type="text/event-stream")


async def _events(service: Service, one: Judge, pair: Pair, end: float) -> AsyncIterator[str]:
    """Server-sent events of one judgment, until `end`. The status is sent before anything can fail, so a failure is an event."""
    stages = staged(one, pair)
    try:
        while True:
            event = await asyncio.wait_for(service.blocking(lambda: next(stages, None)), end - time.monotonic())
            if event is None:
                return
            if isinstance(event, Judgment):
                _counted(service, event)
            yield f"event: {'judgment' if isinstance(event, Judgment) else event.stage}\ndata: {event.model_dump_json()}\n\n"
    except (EngineError, TimeoutError) as error:
        if isinstance(error, EngineError):
            tell(error)
        detail = "the judge's model does not answer" if isinstance(error, EngineError) else "not judged within the deadline"
        yield f"event: error\ndata: {json.dumps({'detail': detail})}\n\n"


def _counted(service: Service, judgment: Judgment) -> Judgment:
    service.meters.judgments.inc(len(judgment.orders))
    service.meters.tokens.inc(sum(order.tokens for order in judgment.orders))
    return judgment


def _readable(read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
