r"""Are these two answers the same mathematics? And which answer does a solution give?

    from rewards.answers import equivalent, extract
    equivalent(r"\frac{\sqrt{8}}{4}", r"\frac{1}{\sqrt 2}")   ->  True
    equivalent("9**9**9", "1")                                ->  None
    extract("… so she makes $18. The answer is 18.")          ->  "18"

True and False are decisions; None is none: what cannot be read, or takes longer than the limit, is counted as undecided and
never as wrong. math-verify (on sympy) parses and proves; this package reads what it lacks (units, money, mixed numbers, choices,
words, what kind of thing an answer is) and proves that two values differ. All of it that meets sympy runs in a worker process that
may be killed. Imports no sympy itself.
"""

from __future__ import annotations

import re

from rewards.answers.clean import clean
from rewards.answers.numerals import same_number
from rewards.answers.solution import extract
from rewards.answers.worker import Decision, Worker

__all__ = ["LIMIT_S", "MAX_CHARACTERS", "Decision", "decide", "equivalent", "extract", "worker_pid"]

LIMIT_S = 2.0
"""Seconds of processor time that a comparison may take; what cannot be interrupted is killed after twice this."""
MAX_CHARACTERS = 1000
"""Longer answers are nobody's; they are not looked at."""

_NUMERAL = re.compile(r"\s*[-+]?[\d,.]{1,4000}\s*")
# What a program has and an answer has not. Nothing evaluates text here; this only keeps code from being read as prose.
_CODE = re.compile(
    r"__|[\x00-\x08\x0e-\x1f]|\b(?:import|lambda|exec|eval|system|subprocess)\b|\b(?!(?:a?r?c?(?:sin|cos|tan)h?|sqrt|log|ln|exp|max|min|gcd|lcm|abs|or|and)\b)"
    r"(?<!\\)[a-z_]{4,}\([^\s]|[a-z_]{2,}\.[a-z_]{2,}\("
)

_worker = Worker()


def worker_pid() -> int | None:
    """Process id of the worker; None where none runs."""
    return _worker.pid


def equivalent(a: str, b: str, *, limit_s: float = LIMIT_S) -> bool | None:
    """Whether two answers are the same; None where that cannot be said. Symmetric, and safe on any text."""
    return decide(a, b, limit_s=limit_s).equal


def decide(a: str, b: str, *, limit_s: float = LIMIT_S) -> Decision:
    """`equivalent`, with what stood in the way of a decision."""
    for text in (a, b):
        # A numeral may be as long as a model's patience; anything else is nobody's answer.
        if len(text) > MAX_CHARACTERS and not _NUMERAL.fullmatch(text):
            return Decision(None, "too_long")
        if _CODE.search(text):
            return Decision(None, "code")
    left, right = clean(a), clean(b)
    if not left or not right:
        return Decision(None, "empty")
    if left == right:
        return Decision(True)
    plain = same_number(left, right)
    if plain is not None:
        return Decision(plain)  # most answers are plain numbers, and those need no process
    return _worker.compare(a, b, limit_s)
