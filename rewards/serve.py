"""Start the server and end it well: the model first, then the port; at SIGTERM no new request, an answer to every accepted one."""

from __future__ import annotations

import ipaddress
import logging
import math
import socket
import sys
from types import FrameType

import uvicorn

from planner.engines.server import ServerEngine
from planner.errors import UserError
from planner.models import resolve_model, special_tokens
from rewards.backend import Backend, EngineProcess, ServedElsewhere
from rewards.config import RewardConfig, check_style, scorer_for
from rewards.gate import Redact
from rewards.server import create_app
from rewards.service import Service

KEY = "EVALPLANNER_API_KEY"
_START_S = 600.0
_KEEP_ALIVE_S = 75
"""Longer than clients keep an idle connection (httpx 5 s, aiohttp 15 s): who closes first must be the one who asks, or a request is lost on
its way."""


class _Server(uvicorn.Server):
    """Uvicorn, whose way to end is already to answer what it accepted; here cohorts are closed as well, so nobody waits for members."""

    service: Service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not uvicorn's own, which raises the signal again at the end: then nobody would end the model's process.
        self.should_exit = True
        # A signal comes at any point of the loop's work, so the loop is asked to do it.
        self.loop.call_soon_threadsafe(self.service.cohorts.drain)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        import asyncio

        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)


def serve(config: RewardConfig, *, host: str, port: int, key: str | None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        key: what clients must send; None: nobody must, which is for loopback only.

    Raises:
        UserError: no key on an address that others can reach, or a port that is taken.
        EngineError, ModelError: the model cannot be served.
    """
    if key is None and not is_loopback(host):
        raise UserError(f"{host} can be reached by others: set {KEY}, or serve 127.0.0.1")
    bound = _bind(host, port)
    if config.url is None:
        resolve_model(config.model)
    check_style(config)
    _log_to_stderr(key)
    backend = open_backend(config)
    try:
        engine = ServerEngine(
            backend.url,
            backend.model,
            api_key=backend.key,
            timeout_s=config.http.deadline_s,
            max_retries=2,
            concurrency=256,
            special=_special_tokens(config),
        )
        try:
            server = server_of(Service(config, scorer_for(config, engine), backend), key)
            logging.getLogger("evalplanner").info("listening on http://%s:%d", host, bound.getsockname()[1])
            server.run(sockets=[bound])
        finally:
            engine.close()
    finally:
        backend.close()


def server_of(service: Service, key: str | None) -> _Server:
    """The server of a judge, not yet running. Its end takes no longer than a request may: a stream that goes on is cut off then."""
    options = service.config.http
    settings = uvicorn.Config(
        create_app(service, key), log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=math.ceil(options.read_s + options.deadline_s), timeout_keep_alive=_KEEP_ALIVE_S,
    )  # fmt: skip
    server = _Server(settings)
    server.service = service
    return server


def open_backend(config: RewardConfig) -> Backend:
    """The model behind a config, ready to answer.

    Raises:
        EngineError, ModelError: it cannot be started.
    """
    if config.url is not None:
        return ServedElsewhere(config.url, config.model)
    started = EngineProcess(config.model, config.engine, start_s=_START_S)
    started.wait(_START_S)
    return started


def _special_tokens(config: RewardConfig) -> tuple[str, ...]:
    """Of the model that we serve; somebody else's is not ours to look into."""
    if config.url is not None:
        return ()
    from transformers import AutoTokenizer

    return special_tokens(AutoTokenizer.from_pretrained(resolve_model(config.model)))


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
    return bound


def _log_to_stderr(key: str | None) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
    if key is not None:
        handler.addFilter(Redact(key))
    for name in ("evalplanner", "rewards", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name != "uvicorn" else logging.WARNING)
