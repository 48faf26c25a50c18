r"""Which answer does a solution give: the last box, what follows `####`, "the answer is", or the last number."""

from __future__ import annotations

import re

from rewards.answers.clean import boxed

# Blanks and stars are taken for good (`*+`): a model that writes blanks until it is stopped must not cost their number squared.
_HASHES = re.compile(r"####[ \t]*+(\S[^\n]*)")
_SAID = re.compile(
    r"\b(?:answer|solution|result)[ \t]*+(?:\([^()\n]{0,40}\)[ \t]*+)?(?:is|are|was|equals|would be|to be|:|=)(?:[ \t]*+:)?"
    r"[ \t]*+\**+[ \t]*+(\S[^\n]*)",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"^[ \t]*+\**+(?:A|Answer|ANSWER|Final answer)\**+[ \t]*+:[ \t]*+\**+[ \t]*+(\S[^\n]*)", re.MULTILINE)
_NUMBER = re.compile(r"-?(?<![\w.])(?:\$\s*)?-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?|-?\.\d+")
_SENTENCE_END = re.compile(r"(?<=[^\s.\d])\.(?:\s|$)|(?<=\d)\.(?:\s|$)|\s{2,}|\.\*\*")


def extract(solution: str) -> str | None:
    r"""The final answer of a solution, as it stands there; None where it gives none.

    In this order: the last `\boxed{…}`, the last `#### …`, the last line that starts with `A:` or `Answer:`, the last "the answer
    is …" (up to the end of its sentence), the last number.
    """
    if (box := boxed(solution)) is not None and box.strip():
        return box.strip()
    for pattern in (_HASHES, _LABELLED, _SAID):
        found = pattern.findall(solution)
        if found and (said := _sentence(found[-1])):
            return said
    numbers = _NUMBER.findall(solution)
    return numbers[-1].strip() if numbers else None


def _sentence(text: str) -> str:
    """The first sentence of a line, without the marks around it."""
    first = _SENTENCE_END.split(text.strip(), maxsplit=1)[0]
    return first.strip().strip("*").strip().rstrip(".,;").strip()
