"""Reading verdicts: what a completion says, where it says it first, and how sure it was.

The rule (blueprint rule 1): find the *last* `[[…]]` of any content, then look at what is in it; never the prompt, only the
model's own text. What cannot be read is `none`: never a tie, never a score.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from planner.records import LETTERS, Letter, Verdict

# Content may hold anything but another opening: an unclosed `[[` must not swallow the tag after it.
_TAG = re.compile(r"\[\[((?:(?!\[\[).)*?)\]\]", re.DOTALL)
_MEANING: dict[str, Verdict] = {"TIE": "tie", **{letter: label for label, letter in LETTERS.items()}}
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)|\n")


def read_verdict(text: str) -> Verdict:
    """The verdict in the last `[[…]]` of `text`; `none` where there is no tag or it holds something else."""
    tags = _TAG.findall(text)
    return _meaning(tags[-1]) if tags else "none"


def _meaning(content: str) -> Verdict:
    # A third bracket, as in `[[[A]]]`, changes nothing.
    return _MEANING.get(content.strip("[] \t\n").upper(), "none")


def names_something(text: str) -> bool:
    """Whether `text` holds any whole `[[…]]`, readable or not."""
    return _TAG.search(text) is not None


def first_verdict_at(text: str) -> int | None:
    """Character offset of the letter in the first `[[A]]` or `[[B]]`: where the verdict is first named."""
    for match in _TAG.finditer(text):
        if _meaning(match[1]) in ("A", "B"):
            return match.start(1) + len(match[1]) - len(match[1].lstrip("[ \t\n"))
    return None


def p_a_first_named(text: str, letters: Sequence[Letter]) -> float | None:
    """P(A) / (P(A) + P(B)) at the first named verdict; None where the engine measured nothing there."""
    at = first_verdict_at(text)
    return next((p_a_from_logps(letter.logp_a, letter.logp_b) for letter in letters if letter.offset == at), None)


def p_a_from_logps(logp_a: float, logp_b: float) -> float:
    """Softmax over two log-probabilities. At -inf for both there is no preference to read: 0.5."""
    if logp_a == logp_b:
        return 0.5
    return 1 / (1 + math.exp(min(logp_b - logp_a, 700.0)))


def decided(p_a: float, p_tie: float | None = None, draw: float | None = None) -> Verdict:
    """The verdict that probabilities make.

    Args:
        p_a: P(A) against P(B).
        p_tie: P(tie) against the two together; None where a tie is not possible.
        draw: a uniform number in [0, 1): the verdict is drawn. None: the likeliest, A before B before a tie.
    """
    tie = p_tie or 0.0
    a, b = p_a * (1 - tie), (1 - p_a) * (1 - tie)
    if draw is not None:
        return "A" if a > draw else "tie" if a + tie > draw else "B"
    return "tie" if tie > max(a, b) else "A" if a >= b else "B"


def trim_to_sentence(text: str) -> str:
    """`text` up to its last whole sentence (or line), all of it if it ends one, and "" where it holds none."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""
