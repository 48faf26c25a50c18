"""OpenAI's API, answered by the judge's model itself: what is asked is up to the client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from fastapi import HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from planner.engines.base import EngineError
from rewards.config import RewardConfig
from rewards.routes import Any_, Up, tell
from rewards.service import Service
from rewards.wire import ChatRequest


async def models(service: Any_) -> dict[str, Any]:
    """The one model there is."""
    card = {"id": model_name(service.config), "object": "model", "created": 0, "owned_by": "evalplanner"}
    return {"object": "list", "data": [card]}


async def chat(body: ChatRequest, request: Request, service: Up) -> Response:
    """OpenAI's chat completions, by the judge's model itself: what is asked is up to the client."""
    if body.model != model_name(service.config):
        raise HTTPException(404, f"no model {body.model!r} here; it is {model_name(service.config)!r}")
    asked = body.model_dump(exclude_none=True) | {"model": service.backend.model}
    if not body.logprobs:
        del asked["logprobs"], asked["top_logprobs"]
    if not body.stream:
        return await service.within_deadline(request, _complete(service, asked))
    upstream = await _post(service, asked)
    if upstream.status_code != 200:
        return await _whole(upstream)
    return StreamingResponse(_parts(upstream), media_type="text/event-stream")


async def _post(service: Service, asked: dict[str, Any]) -> httpx.Response:
    try:
        request = service.client.build_request("POST", f"{service.backend.url}/chat/completions", json=asked)
    except UnicodeEncodeError:
        raise HTTPException(422, "a text holds half of a character, a surrogate without its other half") from None
    try:
        return await service.client.send(request, stream=True)
    except httpx.TimeoutException:
        raise TimeoutError from None
    except httpx.HTTPError as error:
        raise EngineError(f"the model's server does not answer: {error}") from error


async def _complete(service: Service, asked: dict[str, Any]) -> Response:
    return await _whole(await _post(service, asked))


async def _parts(upstream: httpx.Response) -> AsyncIterator[bytes]:
    """A stream as it comes. The status is sent before anything can fail, so a failure is an event, in the form that OpenAI's clients raise."""
    try:
        async for part in upstream.aiter_raw():
            yield part
    except httpx.HTTPError as error:
        tell(error)
        yield b'\n\ndata: {"error": {"message": "the judge\'s model broke off"}}\n\n'


async def _whole(upstream: httpx.Response) -> Response:
    try:
        return _passed_on(upstream.status_code, await upstream.aread())
    except httpx.HTTPError as error:
        raise EngineError(f"the model's server broke off: {error}") from error


def _passed_on(status: int, content: bytes) -> Response:
    if status >= 500:
        raise EngineError("the model's server failed")
    if status == 200:
        return Response(content, media_type="application/json")
    try:
        said = json.loads(content)
    except ValueError:
        said = content.decode(errors="replace")
    return JSONResponse({"detail": said}, 422 if status == 422 else 400)


def model_name(config: RewardConfig) -> str:
    """What clients call the model: the last part of its path or id."""
    return Path(config.model).name
