"""Does a judge plan and judge, or guess? Whether what an execution says of the two answers supports the verdict it ends in, and
whether a plan leaves that to the execution.

A rule reads statements of the form "Answer A passes", "Response B does not meet …". It is strict: both answers must be spoken of,
the better as good and the other as bad, or for a tie both alike, and the last word on each counts. Free prose that says it otherwise is not recognised.
"""

from __future__ import annotations

import re

from planner.records import Verdict, flip
from planner.verdict import names_something

_GOOD = r"passes|meets|satisfies|fulfils|fulfills|follows|is (?:correct|right)"
_BAD = r"fails|breaks|violates|misses|is (?:incorrect|wrong|not correct|not right)|does not (?:pass|meet|satisfy|fulfil|fulfill|follow)"
_STATEMENT = rf"(?:answer|response|assistant) (?P<side>[AB])\b,? (?:(?P<good>{_GOOD})|(?P<bad>{_BAD})|(?P<level>ties))\b"
_SAID = re.compile(rf"\b{_STATEMENT}", re.IGNORECASE)
_STATED = re.compile(rf"(?:^|[.!?:;]\s|\n)\W*{_STATEMENT}(?!,? (?:if|when|where|unless|only|provided)\b)", re.IGNORECASE)


def supports(execution: str, verdict: Verdict) -> bool:
    """Whether the execution says of the answer that `verdict` names that it is good, and of the other one that it is not; of a tie, the
    same of both."""
    said = {found["side"].upper(): found.lastgroup for found in _SAID.finditer(execution)}
    if verdict == "tie":
        return said.keys() == {"A", "B"} and said["A"] == said["B"]
    return verdict in ("A", "B") and said == {verdict: "good", flip(verdict): "bad"}


def prejudges(plan: str) -> bool:
    """Whether a plan names a verdict, or says of an answer at the beginning of a sentence that it is good or bad.

    A plan that asks ("check whether Answer A meets …") or sets a condition ("Answer A passes if …") does not.
    """
    return names_something(plan) or _STATED.search(plan) is not None
