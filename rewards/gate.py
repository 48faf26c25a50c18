"""What every request passes before its route sees it: key, size, queue; and the line in the log that it leaves behind.

Pure ASGI, so that a request without a key is refused before a byte of its body is read. The log names method, path, status
and time; never a body, and never the key.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = frozenset({"/health", "/ready"})
"""Routes without a key."""
_UNCOUNTED = OPEN_PATHS | {"/metrics", "/openapi.json", "/v1/models"}
"""Routes that take no place in the queue."""
_CLOSE = {"Connection": "close"}
"""For a request whose body was not read: the connection cannot be used again."""
_log = logging.getLogger("evalplanner.access")


class Meters:
    """Prometheus' counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("evalplanner_requests", "Requests answered", ["path", "status"], **made)
        self.seconds = Histogram(
            "evalplanner_request_seconds", "Time to the last byte", ["path"], buckets=(0.05, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 180), **made
        )  # fmt: skip
        self.queue = Gauge("evalplanner_queue", "Requests accepted and not yet answered", **made)
        self.ready = Gauge("evalplanner_ready", "Whether the judge answers", **made)
        self.judgments = Counter("evalplanner_judgments", "Chains drawn", **made)
        self.tokens = Counter("evalplanner_tokens", "Tokens generated", **made)
        self.comparisons = Counter("evalplanner_comparisons", "Comparisons by how they ended", ["why"], **made)
        self.cohorts = Counter("evalplanner_cohorts", "Cohorts by how they closed", ["ending"], **made)
        self.retries = Counter("evalplanner_retries", "Requests recognised as another try", **made)


@dataclass
class Gate:
    """The middleware.

    Args:
        key: what a client must send as `Authorization: Bearer KEY` or as the password of HTTP Basic; None: nothing.
        read_s: time that a body has to arrive, or its client would hold a place in the queue, and the server's end, for good.
        paths: the routes there are, for the meters; any other is counted as `other`.
    """

    app: ASGIApp
    key: str | None
    max_body_bytes: int
    max_queue: int
    read_s: float
    meters: Meters
    paths: frozenset[str]
    _queue: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, start, status, raised = scope["path"], time.monotonic(), 0, True

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        counted = path not in _UNCOUNTED
        refusal = self._refusal(scope, counted)
        try:
            if refusal is not None:
                await _refuse(watched, *refusal)
                return
            self._queue += counted
            self.meters.queue.set(self._queue)
            try:
                await self.app(scope, self._limited(receive), watched)
                raised = False
            finally:
                self._queue -= counted
                self.meters.queue.set(self._queue)
        finally:
            seconds = time.monotonic() - start
            status = status or (500 if raised else 0)  # what Starlette, around this, answers to an error
            label = path if path in self.paths else "other"
            self.meters.requests.labels(label, str(status)).inc()
            self.meters.seconds.labels(label).observe(seconds)
            # What a client wrote may hold anything; the name of a route cannot.
            _log.info("%s %s %s %.0f ms", scope["method"], label, status, 1000 * seconds)

    def _refusal(self, scope: Scope, counted: bool) -> tuple[int, str, dict[str, str]] | None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        length = headers.get(b"content-length", b"0")
        too_large = length.isdigit() and int(length) > self.max_body_bytes
        # A body of a size that would be taken is read and thrown away by uvicorn, so that its client, still sending it, reads the answer.
        # Any other is cut off.
        closed = _CLOSE if too_large or b"transfer-encoding" in headers else {}
        if self.key is not None and scope["path"] not in OPEN_PATHS and not _knows(headers.get(b"authorization", b""), self.key):
            return (
                401,
                "send the server's key as `Authorization: Bearer KEY`",
                {"WWW-Authenticate": 'Bearer, Basic realm="evalplanner"', **closed},
            )
        if too_large:
            return 413, self._too_large, closed
        if counted and self._queue >= self.max_queue:
            return 429, f"{self._queue} requests are waiting already", {"Retry-After": "2", **closed}
        return None

    @property
    def _too_large(self) -> str:
        return f"a body of more than {self.max_body_bytes} bytes is not taken"

    def _limited(self, receive: Receive) -> Receive:
        """Stop reading a body that turns out too large, whatever its header said, or does not come to its end."""
        read, whole, until = 0, False, time.monotonic() + self.read_s

        async def limited() -> Message:
            nonlocal read, whole
            try:
                # After the body only the client's end is waited for, and that has time.
                async with asyncio.timeout(None if whole else until - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the body did not arrive within {self.read_s:g} s", _CLOSE) from None
            whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > self.max_body_bytes:
                raise HTTPException(413, self._too_large, _CLOSE)
            return message

        return limited


async def _refuse(send: Callable[[Message], Any], status: int, detail: str, headers: dict[str, str]) -> None:
    body = json.dumps({"detail": detail}).encode()
    sent = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _knows(header: bytes, key: str) -> bool:
    scheme, _, value = header.partition(b" ")
    said = value.strip()
    if scheme.lower() == b"basic":
        try:
            said = base64.b64decode(said, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != b"bearer":
        return False
    return hmac.compare_digest(said, key.encode())


class Redact(logging.Filter):
    """Takes the key out of whatever is logged."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if self._key in said:
            record.msg, record.args = said.replace(self._key, "[key]"), ()
        return True
