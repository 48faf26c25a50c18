"""Numbers that are written in words: `twenty-one`, `two thirds`, `one and a half`, `three dozen`, `first`. No sympy."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import partial

_each = partial(re.findall, "[a-z]+")
_ONES = {
    word: value
    for value, word in enumerate(
        _each(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
        )
    )
}
_TENS = {word: 10 * value for value, word in enumerate(_each("twenty thirty forty fifty sixty seventy eighty ninety"), 2)}
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = {word: value for value, word in enumerate(_each("first second third fourth fifth sixth seventh eighth ninth tenth"), 1)}
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "hundredth": 100, "thousandth": 1000} | {
    word: value for word, value in _ORDINALS.items() if value > 2
}
_SPOKEN = frozenset(
    (*_ONES, *_TENS, *SCALES, *_ORDINALS, *_PARTS, "dozen", "dozens", "quarters", "once", "twice", "pair", "couple")
)

_NO_UNIT = frozenset(_each("to of out in than or more less by and the a an is are was"))


def in_words(text: str) -> Fraction | None:
    """The number that some words are, all of them; None where they are anything else."""
    whole, joined, part = " ".join(text.lower().replace("-", " ").split()).rpartition(" and ")
    if joined and (above := _cardinal(whole.split())) is not None and (below := _fraction(part.split())) is not None:
        return above + below if below < 1 else None
    if joined and whole.split()[-1] not in SCALES:
        return None  # "twenty and five" are two
    words = [*whole.split(), *part.split()]
    if len(words) == 1 and words[0] in _ORDINALS:
        return Fraction(_ORDINALS[words[0]])
    if len(words) > 1 and words[-1] == "dozen":
        count = _count(words[:-1])
        return None if count is None else 12 * count
    found = _cardinal(words)
    return _fraction(words) if found is None else found


def leading(text: str) -> tuple[Fraction, str] | None:
    """(number, what is counted) of `seven apples`; None where the rest is no plain noun or unit."""
    words = text.split()
    for size in range(len(words) - 1, 0, -1):
        rest = words[size:]
        if len(rest) <= 2 and not any(is_spoken(word) or word.lower() in _NO_UNIT for word in rest):
            found = in_words(" ".join(words[:size]))
            if found is not None:
                return found, " ".join(rest)
    return None


def is_spoken(text: str) -> bool:
    """Whether some word of a text is one that numbers are made of: such a text may mean a number, read or not."""
    return any(word in _SPOKEN or word.removesuffix("s") in _SPOKEN for word in re.findall("[a-z]+", text.lower()))


def _fraction(words: list[str]) -> Fraction | None:
    if not words:
        return None
    part = _PARTS.get(words[-1]) or _PARTS.get(words[-1].removesuffix("s"))
    if part is None or (len(words) == 1 and words[0] != "half"):
        return None
    top = _count(words[:-1]) if len(words) > 1 else Fraction(1)
    return None if top is None else top / part


def _count(words: list[str]) -> Fraction | None:
    """As in "a third", "two thirds"."""
    return Fraction(1) if words in (["a"], ["an"]) else _cardinal(words)


def _cardinal(words: list[str]) -> Fraction | None:
    """`a hundred five`, `two million three hundred thousand`."""
    if not words:
        return None
    total, group, last = 0, 0, 10**15
    for place, word in enumerate(words):
        if word in ("a", "an") and place == 0:
            group, last = 1, 1
        elif word in SCALES and group:
            if word == "hundred":
                group, last = group * 100, 100
            else:
                total, group, last = total + group * SCALES[word], 0, SCALES[word]
        elif word in _TENS and last >= 100:
            group, last = group + _TENS[word], 10
        elif word in _ONES and (last >= 100 or (last == 10 and 0 < _ONES[word] < 10)):
            group, last = group + _ONES[word], 1
        else:
            return None
    return None if words in (["a"], ["an"]) else Fraction(total + group)
