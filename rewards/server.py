"""The judge over HTTP: rewards for trainers of any make, comparisons, judgments, and the model behind it by OpenAI's API.

    evalplanner serve runs/demo/M2_DPO          # rewards/adapters and docs/reward.md say how each trainer is pointed at it

The judge's model is another process (`rewards/backend.py`) that batches the judgments of all requests. Every accepted request gets
an answer, on shutdown too: 503 while the model is down, 504 past its deadline.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBasic, HTTPBearer

from planner.engines.base import EngineError
from planner.records import Judgment
from prompts import PromptError
from rewards import passthrough, routes
from rewards.gate import Gate
from rewards.service import ClientGone, Service
from rewards.wire import Problem

_ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", "/health", routes.health),
    ("GET", "/ready", routes.ready),
    ("GET", "/metrics", routes.metrics),
    ("POST", "/get_reward", routes.get_reward),
    ("POST", "/compare", routes.compare),
    ("POST", "/verify", routes.verify),
    ("POST", "/judge", routes.judge),
    ("GET", "/v1/models", passthrough.models),
    ("POST", "/v1/chat/completions", passthrough.chat),
)
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "no JSON, or refused by the model's server"},
    401: {"model": Problem, "description": "no key, or a wrong one"},
    408: {"model": Problem, "description": "the body did not arrive in time"},
    413: {"model": Problem, "description": "too large"},
    422: {"model": Problem, "description": "not what this route takes"},
    429: {"model": Problem, "description": "too many requests are waiting"},
    503: {"model": Problem, "description": "the judge's model is down; it is being started again"},
    504: {"model": Problem, "description": "not judged within the deadline"},
}


class Escaped(JSONResponse):
    """JSON in ASCII: half of a character in a text that came goes back as it came."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


def create_app(service: Service, key: str | None) -> FastAPI:
    """The routes. `key`: what every client but `/health` and `/ready` must send; None: nobody must."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    schemes = [Security(HTTPBearer(auto_error=False)), Security(HTTPBasic(auto_error=False))]
    app = FastAPI(title="EvalPlanner judge", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    for method, path, route in _ROUTES:
        open_to_all = path in ("/health", "/ready")
        app.add_api_route(
            path, route, methods=[method], response_class=Response if path == "/metrics" else Escaped,
            responses=_responses(path), dependencies=[] if open_to_all or key is None else schemes,
        )  # fmt: skip
    app.add_api_route("/openapi.json", lambda: JSONResponse(app.openapi()), include_in_schema=False)
    app.state.service = service
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(EngineError, _down)
    app.add_exception_handler(TimeoutError, _late)
    app.add_exception_handler(PromptError, lambda request, error: JSONResponse({"detail": str(error)}, 422))
    app.add_exception_handler(ClientGone, lambda request, error: Response(status_code=499))
    paths = frozenset(path for _, path, _ in _ROUTES) | {"/openapi.json"}
    options = service.config.http
    app.add_middleware(
        Gate, key=key, max_body_bytes=options.max_body_bytes, max_queue=options.max_queue, read_s=options.read_s, meters=service.meters,
        paths=paths,
    )  # fmt: skip
    return app


_STREAM = {
    "schema": {
        "type": "object",
        "properties": {"event": {"type": "string"}, "data": {"type": "string", "description": "JSON"}},
        "required": ["data"],
    }
}
"""Server-sent events."""


def _responses(path: str) -> dict[int | str, dict[str, Any]]:
    """What a route may answer beside its own model, for the description."""
    codes = {"/health": (), "/ready": (503,), "/metrics": (401,), "/v1/models": (401,)}.get(path, tuple(_PROBLEMS))
    found = {code: _PROBLEMS[code] for code in codes}
    if path == "/metrics":
        found[200] = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    if path == "/v1/chat/completions":
        found[404] = {"model": Problem, "description": "no such model"}
        found[200] = {"content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": _STREAM}}
    if path == "/judge":
        found[200] = {"model": Judgment, "content": {"text/event-stream": _STREAM}}
    return found


async def _unfit(request: Request, error: Exception) -> JSONResponse:
    """What does not fit and where, not what was sent: that may be anything, even what JSON cannot say."""
    assert isinstance(error, RequestValidationError)
    return Escaped({"detail": [{name: one[name] for name in ("loc", "msg", "type")} for one in error.errors()]}, 422)


async def _down(request: Request, error: Exception) -> JSONResponse:
    routes.tell(error)
    return JSONResponse({"detail": "the judge's model does not answer; try again"}, 503, {"Retry-After": routes.RETRY_S})


async def _late(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "not judged within the deadline"}, 504)
