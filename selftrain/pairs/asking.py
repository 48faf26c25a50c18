"""Responses that an engine writes to prompts, on disk as they finish: what is there is not asked for again.

    <folder>/<round>/rank-0.jsonl      one line a prompt: its key, its completions, or why there are none

A prompt belongs to the engine that owns its key, as in `selftrain/sample.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from planner.engines.base import Engine, Request, Sampling
from planner.progress import progress_bar
from planner.records import Completion, Message
from planner.store import Shard, Shards
from prompts import defuse


class Question(NamedTuple):
    """One prompt and how many responses it wants."""

    key: str
    messages: tuple[Message, ...]
    n: int = 1


class Asking(NamedTuple):
    """An engine and how it is to be asked; `rank` of `size` engines."""

    engine: Engine
    folder: Path
    sampling: Sampling
    max_tokens: int
    rank: int = 0
    size: int = 1

    def owns(self, key: str) -> bool:
        return int(key, 16) % self.size == self.rank

    def ask(self, name: str, questions: Iterable[Question]) -> None:
        """Have the engine answer what is still owed of a round; over-long prompts are recorded as dropped."""
        folder = self.folder / name
        done = Shards(folder, Completion)
        owed = [one for one in questions if self.owns(one.key) and one.key not in done]
        if not owed:
            return
        with Shard[Completion](folder, self.rank) as shard, progress_bar(name, len(owed), "prompt") as bar:

            def requests() -> Iterator[Request]:
                for one in owed:
                    if self.engine.fits(one.messages, "", self.max_tokens):
                        yield Request(one.key, one.messages, "", one.n, self.max_tokens, (), self.sampling)
                    else:
                        shard.append(one.key, dropped="over_long")
                        bar.update()

            for key, completions in self.engine.sample(requests()):
                shard.append(key, completions)
                bar.update()


def user(text: str) -> tuple[Message, ...]:
    """A chat of one turn, as a real user would ask; control tokens in it are text."""
    return (Message(role="user", content=defuse(text, "data")),)


def whole(completions: Iterable[Completion]) -> list[str]:
    """The texts that came to their own end; one cut off by its limit is no response to judge."""
    return [one.text.strip() for one in completions if one.finish_reason == "stop" and one.text.strip()]
