"""Numbers with what stands beside them (units, money, percent), and plain words."""

from __future__ import annotations

import re

from rewards.answers.clean import TEXT_CLOSE, TEXT_OPEN
from rewards.answers.number_words import SCALES, leading
from rewards.answers.numerals import number
from rewards.answers.shapes import Leaf, Shape, Word
from rewards.answers.units import MONEY, unit

_SMALL_WORDS = frozenset(
    re.findall("[a-z]+", "yes no odd even on off up red all any not and or the at it he she in by is mon tue sun jan may")
)


def compound(bare: str) -> Leaf | None:
    """`3 hours 30 minutes`, `5 dollars and 50 cents`, `5 ft 6 in`: one quantity."""
    match = re.fullmatch(r"(\d+)\s*([a-z]+)\.?\s*(?:,|and)?\s*(\d+(?:\.\d+)?)\s*([a-z]+)\.?", bare)
    if match is None:
        return None
    large, small = unit(match[2]), unit(match[4])
    if large is None or small is None or large.noun or large.dimension != small.dimension or large.factor <= small.factor:
        return None
    value = number(match[1]), number(match[3])
    assert value[0] is not None
    assert value[1] is not None
    return Leaf(str(value[0] + value[1] * small.factor / large.factor), large)


_SHORT = {"k": "thousand", "K": "thousand", "M": "million", "B": "billion"}
_THOUSANDS = re.compile(r"^([+-]?[\d.,]+)\s*([kKMB])$")
_AMOUNT = r"[+-]?\s*(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s*(?:\\times|\\cdot|x|\*)\s*10\s*\^\s*(?:\{[^{}]*\}|\d+))?(?:\s*\\frac\s*(?:\{\d+\}|\d)\s*(?:\{\d+\}|\d)|\s+\d+/\d+|/\d+)?"


def quantity(text: str, bare: str) -> Shape:
    money = re.fullmatch(rf"([+-]?)\s*(?:[Uu][Ss]|US)?([{MONEY}])\s*([+-]?\s*(?:[\d.,]|\\frac).*)", bare)
    if money:
        amount = _THOUSANDS.sub(lambda match: f"{match[1]} {_SHORT[match[2]]}", money[1] + money[3])
        rest = quantity(amount, amount)
        if isinstance(rest, Leaf) and (rest.unit is None or rest.unit.noun or rest.unit.dimension == unit(money[2]).dimension):  # type: ignore[union-attr]
            return Leaf(rest.text, unit(money[2]))
    code = re.fullmatch(r"(USD|EUR|GBP|INR|Rs\.?)\s*(\d.*)", bare)
    if code:
        return quantity(f"{code[2]} {code[1]}", f"{code[2]} {code[1]}")
    ordinal = re.fullmatch(r"(\d+)\s*(?:st|nd|rd|th)", bare)
    if ordinal:
        return Leaf(ordinal[1])
    joined = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    value, words = _unit_behind(joined)
    if words:
        value, words = _scaled(value, words)
        if not words:
            return Leaf(value)
        found = unit(words)
        if found is not None:
            return Leaf(value, found)
    lowered = " ".join(bare.lower().split())
    if (counted := leading(bare)) is not None and (found := unit(counted[1])) is not None:
        return Leaf(str(counted[0]), found)
    if _is_words(text, bare):
        return Word(re.sub(r"^(?:the|an?)\s+|[.\"']", "", lowered).strip())
    return Leaf(joined.replace(TEXT_OPEN, "").replace(TEXT_CLOSE, "").strip())


def _scaled(value: str, words: str) -> tuple[str, str]:
    """`5`, `million dollars` -> `5000000`, `dollars`; `2`, `dozen eggs` -> `24`, `eggs`."""
    first, _, rest = words.partition(" ")
    times = 12 if first.lower().removesuffix("s") == "dozen" else SCALES.get(first.lower())
    plain = number(value)
    return (str(plain * times), rest) if times is not None and plain is not None else (value, words)


def _unit_behind(text: str) -> tuple[str, str]:
    """(value, words of the unit) where a unit stands behind a value."""
    marked = re.fullmatch(rf"(.*[\d\w)}}\]!])\s*{TEXT_OPEN}([^{TEXT_OPEN}{TEXT_CLOSE}]+){TEXT_CLOSE}\s*(\^\s*\{{?\d\}}?)?", text)
    if marked and TEXT_OPEN not in marked[1]:
        return marked[1].strip(), marked[2] + (marked[3] or "")
    if re.search(r"\\(?:sin|cos|tan|cot|sec|csc)", text):
        return text, ""  # the degrees of a sine are no unit of its value
    sign = re.fullmatch(r"(.*[\d\w)}\]])\s*(%|[€£¥₹¢]|\^\\circ(?:\s*[CF])?)", text.strip())
    if sign:
        return sign[1].strip(), sign[2].split()[0] if "C" not in sign[2] and "F" not in sign[2] else "degree " + sign[2][-1]
    plain = re.fullmatch(
        rf"({_AMOUNT}|[+-]?\\frac\{{\d+\}}\{{\d+\}}|.*\\pi|.*\\sqrt\{{\d+\}}|.*\d\)?)\s*([a-zA-Z][a-zA-Z .'/-]*(?:\^\s*\{{?[23]\}}?|[23])?)",
        text,
    )
    if plain and not plain[1].endswith(("\\", "_", "^")):
        words = plain[2].strip()
        # The h of \\pi r^2 h is no hour.
        alone = not re.search(r"(?<![\\a-zA-Z])[a-zA-Z](?![a-zA-Z])", plain[1])
        apart = text[len(plain[1])] == " " and alone
        known = unit(words)
        if (
            known
            and not known.noun
            and (len(words) > 2 or (apart and words not in ("i", "e", "u")) or words in ("cm", "mm", "km", "kg", "ft", "lb"))
        ):
            return plain[1].strip(), words
        if known and known.noun and number(plain[1]) is not None and len(words) > 3 and apart:
            return plain[1].strip(), words
    return text, ""


def _is_words(text: str, bare: str) -> bool:
    if re.fullmatch(rf"{TEXT_OPEN}[^{TEXT_OPEN}{TEXT_CLOSE}]*{TEXT_CLOSE}", text):
        return number(bare) is None and len(bare) > 1 and re.fullmatch(r"[\w\s.,'\"/-]+", bare) is not None
    if re.fullmatch(r"[\w\s'+*/-]+", bare) and re.search(r"\d\s*[+*/-]\s*[A-Za-z']{3,}|[A-Za-z']{3,}\s*[+*/-]\s*\d", bare):
        return True  # 10 + John's age
    if re.match(r"(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?\b|(?:log|sqrt|exp|gcd|lcm|max|min)\b(?= *[\d(])", bare):
        return False  # a function without its backslash
    if not re.fullmatch(r"[A-Za-z][A-Za-z\s.'-]*\d{0,4}", bare) or (
        re.search(r"\d", bare) and not re.search(r"[a-zA-Z]{3,} \d", bare)
    ):
        return False
    return (
        bool(re.search(r"[A-Za-z]{4}", bare))
        or bare.lower() in _SMALL_WORDS
        or (" " in bare and bool(re.search(r"[A-Za-z]{3}", bare)))
    )
