"""A reward server in a thread of the test process, over a scripted judge, with a client that has its key."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from rewards.backend import ServedElsewhere
from rewards.config import HttpOptions, RewardConfig
from rewards.contest import Scorer, Scoring
from rewards.group import GroupScorer
from rewards.serve import _bind, server_of
from rewards.service import Service
from tests.judges import judge_of, longer

KEY = "sésame-1234".encode().hex()


class Running:
    """A server in a thread, and a client with its key."""

    def __init__(self, service: Service, key: str | None) -> None:
        self.service, self.key = service, key
        bound = _bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        self.server = server_of(service, key)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [bound]})
        self.thread.start()
        self.client = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=20)
        while not self.server.started:
            time.sleep(0.005)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body)

    def stop(self) -> None:
        """What a signal does, without one: signals belong to the main thread."""
        if self.thread.is_alive():
            self.server.handle_exit(15, None)
            self.thread.join()


@contextmanager
def running(
    taste: Any = longer, *, key: str | None = KEY, backend_url: str = "http://127.0.0.1:9/v1", scoring: dict[str, Any] | None = None,
    judge: dict[str, Any] | None = None, scorer: Scorer | None = None, model: str = "m", **http: Any,
) -> Iterator[Running]:  # fmt: skip
    config = RewardConfig(model=model, style="evalplanner", scoring=Scoring(**(scoring or {})), http=HttpOptions(**http))
    service = Service(
        config, scorer or GroupScorer(judge_of(taste, **(judge or {})), config.scoring), ServedElsewhere(backend_url, "m")
    )
    one = Running(service, key)
    try:
        yield one
    finally:
        one.stop()
        one.client.close()


def reward_body(*responses: str, prompt: str = "Say more. ", labels: list[str] | None = None) -> dict[str, Any]:
    query = [f"{prompt}{response}</s>" for response in responses]
    return {"query": query, "prompts": [prompt] * len(responses), "labels": labels or [""] * len(responses)}
