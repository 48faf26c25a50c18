"""Scripted judges for reward tests: what they prefer is a function of the two responses that a prompt shows."""

from __future__ import annotations

import re
from collections.abc import Callable

from planner.engines.base import Request, Sampling
from planner.engines.scripted import ScriptedEngine
from planner.judge import Judge
from planner.styles.evalplanner import EvalPlannerStyle
from prompts import EXECUTION_END, EXECUTION_START, FINAL_VERDICT, PLAN_END, PLAN_START

Taste = Callable[[str, str], str]
"""(text shown as A, text shown as B) -> the letter named, or anything else for a verdict that cannot be read."""

_SHOWN = re.compile(r"\[The Start of Assistant ([AB])'s Answer\]\n(.*?)\n\[The End of Assistant \1's Answer\]", re.DOTALL)


def shown_in(prompt: str) -> tuple[str, str]:
    """The responses that a judge prompt of the set `paper` shows as A and as B."""
    found = dict(_SHOWN.findall(prompt))
    return found["A"], found["B"]


def shown(request: Request) -> tuple[str, str]:
    return shown_in(request.messages[-1].content)


def chain(letter: str, plan: str = "Compare the two.") -> str:
    return f"{PLAN_START}\n{plan}\n{PLAN_END}\n{EXECUTION_START}\nOne is better.\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[{letter}]]"


class CountingEngine(ScriptedEngine):
    """Also keeps every request, and how many came in each call."""

    def __init__(self, taste: Taste, *, max_model_len: int = 4096) -> None:
        super().__init__(self._play, max_model_len=max_model_len)
        self.taste = taste
        self.requests: list[Request] = []
        self.calls: list[int] = []

    def sample(self, requests):  # type: ignore[no-untyped-def]
        held = list(requests)
        self.requests += held
        self.calls.append(len(held))
        yield from super().sample(held)

    def _play(self, request: Request, draw: int) -> str:
        if PLAN_END in request.stop:
            return f"{PLAN_START}\nLook at what was asked.\n{PLAN_END}"
        whole = chain(self.taste(*shown(request)))
        return whole if not request.prefill else whole.partition(f"{EXECUTION_START}\n")[2]


def judge_of(taste: Taste, *, max_model_len: int = 4096, max_tokens: int = 64, temperature: float = 0.0) -> Judge:
    """A judge that plays a taste on the `paper` prompts; `judge.engine` is a `CountingEngine`."""
    engine = CountingEngine(taste, max_model_len=max_model_len)
    return Judge(engine, EvalPlannerStyle(), max_tokens=max_tokens, sampling=Sampling(temperature, 1.0))


def longer(a: str, b: str) -> str:
    """A taste: the longer text, and the first shown of equals."""
    return "A" if len(a) >= len(b) else "B"


def first(a: str, b: str) -> str:
    """A taste: whatever is shown first."""
    return "A"


def silent(a: str, b: str) -> str:
    """A taste that cannot be read."""
    return "?"
