"""What sampling cost: an engine that keeps its books while it works, and the sum over ranks and attempts.

A stage may be killed and gone on with many times. Each attempt of each rank says now and then how many tokens it has come to, and
its last word counts, so a killed one loses at most the tokens of its last few seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from planner.engines.base import Alternatives, Choice, Counters, Engine, Request
from planner.records import Completion, Message
from planner.store import append_text, read_log

T = TypeVar("T")


class Ledger:
    """Any engine, with its counters appended to a file: once at once, then every few seconds, and when it is closed.

    Args:
        path: a rank's `ledger-<rank>.jsonl` in the stage's folder.
        attempt: name of this attempt at the stage.
    """

    def __init__(self, engine: Engine, path: Path, attempt: str, *, every_s: float = 5.0) -> None:
        self._engine, self._path, self._attempt, self._every_s = engine, path, attempt, every_s
        self._told_at = -every_s

    def sample(self, requests: Iterable[Request]) -> Iterator[tuple[str, tuple[Completion, ...]]]:
        return self._watched(self._engine.sample(requests))

    def choose(self, requests: Iterable[Choice]) -> Iterator[tuple[str, float, float]]:
        return self._watched(self._engine.choose(requests))

    def likelihood(self, requests: Iterable[Alternatives]) -> Iterator[tuple[str, tuple[float, ...]]]:
        return self._watched(self._engine.likelihood(requests))

    def fits(self, messages: tuple[Message, ...], prefill: str, max_tokens: int) -> bool:
        return self._engine.fits(messages, prefill, max_tokens)

    def load(self, model: str) -> None:
        self._engine.load(model)

    @property
    def model(self) -> str:
        return self._engine.model

    @property
    def counters(self) -> Counters:
        return self._engine.counters

    def close(self) -> None:
        self._enter()
        self._engine.close()

    def _watched(self, stream: Iterator[T]) -> Iterator[T]:
        for one in stream:
            if time.monotonic() - self._told_at >= self._every_s:
                self._enter()
            yield one

    def _enter(self) -> None:
        self._told_at = time.monotonic()
        append_text(self._path, json.dumps({"attempt": self._attempt, **self._engine.counters._asdict()}))


def tokens_spent(stage_folder: Path) -> dict[str, int]:
    """Engine tokens of a stage, summed over its ranks and attempts: prompt, cached, generated."""
    last = {
        (path, entry["attempt"]): Counters(*(entry[name] for name in Counters._fields))
        for path in sorted(stage_folder.glob("ledger-*.jsonl"))
        for entry in read_log(path)
    }
    return {name: sum(getattr(one, name) for one in last.values()) for name in Counters._fields}
