"""An engine without a model: text by a function of the request, for tests and dry runs of the loop.

Deterministic: the same request gives the same completions, whatever else is running. The default script plays a judge with
a given skill on the builtin pairs' form, and writes responses for the sources that ask for them; tests pass their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator

from planner.engines.base import Alternatives, Choice, Counters, Request
from planner.records import Completion, Letter, Message, uniform
from planner.verdict import first_verdict_at
from prompts import EXECUTION_END, EXECUTION_START, FINAL_VERDICT, PLAN_END, PLAN_START

Script = Callable[[Request, int], str]
"""(request, index of the draw) -> the text that would be sampled, stop strings and all."""


def default_script(request: Request, draw: int) -> str:
    """Plans, executions and whole chains whose verdict is a coin that the prompt and the draw decide; some name none."""
    seed = (*(m.content for m in request.messages), request.prefill, str(draw))
    coin, form = uniform("coin", *seed), uniform("form", *seed)
    letters = "ABC" if any("call it a tie" in message.content for message in request.messages) else "AB"
    letter = letters[int(coin * len(letters))]
    plan = f"Check point {int(form * 97)} of the task."
    execution = f"Answer {letter} meets point {int(coin * 97)}."
    closing = f"{EXECUTION_END}\n{FINAL_VERDICT}\n[[{letter}]]"
    asked = request.messages[-1].content
    if not request.stop and not request.letters:
        return _writes(asked, coin, form)
    if PLAN_END in request.stop and EXECUTION_START not in request.prefill:
        head = "" if request.prefill else f"{PLAN_START}\n"
        return f"{head}{plan}\n{PLAN_END}"
    if form < 0.1:
        return execution  # a chain that names no verdict
    if EXECUTION_END in request.stop:  # the execution prompt
        return f"{execution} My verdict is [[{letter}]]"
    if EXECUTION_START in request.prefill:
        return f"{execution}\n{closing}"
    planned = f"{PLAN_START}\n{plan}\n{PLAN_END}\n" if asked else ""
    return f"{planned}{EXECUTION_START}\n{execution}\n{closing}"


def _writes(asked: str, coin: float, form: float) -> str:
    """What training data is made of: a solution that adds two numbers (half of them badly), another task, or an answer."""
    if "New task:" in asked:
        return f"New task: Name {int(form * 97) + 2} rivers that flow to the north."
    numbers = re.findall(r"\d+", asked)
    if r"\boxed{}" in asked and len(numbers) > 1:
        total = int(numbers[0]) + int(numbers[1]) + (coin < 0.5)
        return rf"{numbers[0]} and {numbers[1]} make {total} (note {int(form * 97)}). \boxed{{{total}}}"
    return f"Point {int(form * 997)}{',' if coin < 0.5 else ''} is met by answer {int(coin * 997)}."


class ScriptedEngine:
    """Plays a script. One word counts as one token."""

    def __init__(self, script: Script = default_script, *, max_model_len: int = 4096) -> None:
        self._script = script
        self._max_model_len = max_model_len
        self._counters = Counters()
        self.model = "scripted"

    def sample(self, requests: Iterable[Request]) -> Iterator[tuple[str, tuple[Completion, ...]]]:
        for request in requests:
            done = tuple(self._complete(request, draw) for draw in range(request.n))
            self._count(request.messages, request.prefill, sum(c.tokens for c in done))
            yield request.key, done

    def choose(self, requests: Iterable[Choice]) -> Iterator[tuple[str, float, float]]:
        for request in requests:
            p_a = 0.05 + 0.9 * uniform("choose", *(m.content for m in request.messages), request.prefill)
            self._count(request.messages, request.prefill, 1)
            yield request.key, math.log(p_a), math.log(1 - p_a)

    def likelihood(self, requests: Iterable[Alternatives]) -> Iterator[tuple[str, tuple[float, ...]]]:
        for request in requests:
            asked = (*(m.content for m in request.messages), request.prefill)
            self._count(request.messages, request.prefill, len(request.texts))
            yield request.key, tuple(math.log(0.05 + 0.9 * uniform("likelihood", *asked, text)) for text in request.texts)

    def fits(self, messages: tuple[Message, ...], prefill: str, max_tokens: int) -> bool:
        return self._length(messages, prefill) + max_tokens <= self._max_model_len

    def load(self, model: str) -> None:
        self.model = model

    @property
    def counters(self) -> Counters:
        return self._counters

    def close(self) -> None:
        pass

    def _complete(self, request: Request, draw: int) -> Completion:
        text = self._script(request, draw)
        stops = [(at, stop) for stop in request.stop if (at := text.find(stop)) >= 0]
        stops += [(at + len(end), end) for end in request.ends if (at := text.find(end)) >= 0]
        at, stopped_by = min(stops, default=(len(text), None))
        text = text[:at]
        words = text.split(" ")
        kept = " ".join(words[: request.max_tokens])
        cut = len(words) > request.max_tokens
        return Completion(
            text=kept,
            finish_reason="length" if cut else "stop",
            stop=None if cut else stopped_by,
            tokens=min(len(words), request.max_tokens),
            letters=self._letters(kept) if request.letters else (),
        )

    @staticmethod
    def _letters(text: str) -> tuple[Letter, ...]:
        at = first_verdict_at(text)
        if at is None:
            return ()
        p_a = 0.8 if text[at] == "A" else 0.2
        return (Letter(offset=at, logp_a=math.log(p_a), logp_b=math.log(1 - p_a)),)

    @staticmethod
    def _length(messages: tuple[Message, ...], prefill: str) -> int:
        return sum(len(m.content.split()) for m in messages) + len(prefill.split())

    def _count(self, messages: tuple[Message, ...], prefill: str, generated: int) -> None:
        was = self._counters
        self._counters = Counters(was.prompt + self._length(messages, prefill), was.cached, was.generated + generated)
