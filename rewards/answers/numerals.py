"""Plain numbers, exactly: integers, decimals, fractions, mixed numbers, scientific notation, repeating decimals. No sympy."""

from __future__ import annotations

import re
from fractions import Fraction

MAX_DIGITS = 4000
"""Longer numerals are nobody's answer, and Python itself refuses them above 4,300."""


def number(text: str) -> Fraction | None:
    r"""The exact value of a plain number: integer, decimal, fraction, mixed number, scientific, repeating decimal."""
    text = text.strip().replace(" ", " ")
    sign = 1
    while text[:1] in ("-", "+") and text[1:2] not in ("-", "+"):
        sign, text = (-sign if text[0] == "-" else sign), text[1:].strip()
    if len(text) > MAX_DIGITS or text[:1] not in set("0123456789.\\"):
        return None
    value = _unsigned(text)
    return None if value is None else sign * value


_MIXED = re.compile(r"(\d+)\s*(?:\\frac\s*(\d|\{\s*\d+\s*\})\s*(\d|\{\s*\d+\s*\})|(?<=\s)(\d+)\s*/\s*(\d+))")
_FRACTION = re.compile(r"\\frac\s*(\d|\{\s*-?\d+\s*\})\s*(\d|\{\s*-?\d+\s*\})|(\d+)\s*/\s*(\d+)|\{?(\d+)\s*/\s*(\d+)\}?")
_SCIENTIFIC = re.compile(r"(\d*\.?\d+|\d+\.)\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*(?:\{\s*([+-]?\d{1,3})\s*\}|([+-]?\d{1,3}))")
_E_NOTATION = re.compile(r"(\d*\.?\d+|\d+\.)[eE]([+-]?\d{1,3})")
_REPEATING = re.compile(r"(\d*)\.(\d*)(?:\\overline\s*(?:\{(\d+)\}|(\d))|\((\d+)\)|\\dot\s*\{?(\d)\}?|\\bar\s*\{?(\d+)\}?)")
_DOTTED = re.compile(r"(\d*)\.(\d+)\.{3}")


def _unsigned(text: str) -> Fraction | None:
    if re.fullmatch(r"\d+|\d+\.\d*|\.\d+", text):
        return Fraction(text.rstrip(".") if text.endswith(".") else text)
    if match := _MIXED.fullmatch(text):
        whole, top, bottom = int(match[1]), _int(match[2] or match[4]), _int(match[3] or match[5])
        return whole + Fraction(top, bottom) if bottom and top < bottom else None
    if match := _FRACTION.fullmatch(text):
        top, bottom = _int(match[1] or match[3] or match[5]), _int(match[2] or match[4] or match[6])
        return Fraction(top, bottom) if bottom else None
    if match := _SCIENTIFIC.fullmatch(text):
        return Fraction(match[1]) * Fraction(10) ** int(match[2] or match[3])
    if match := _E_NOTATION.fullmatch(text):
        return Fraction(match[1]) * Fraction(10) ** int(match[2])
    if match := _REPEATING.fullmatch(text):
        return _repeating(match[1], match[2], next(group for group in match.groups()[2:] if group))
    if match := _DOTTED.fullmatch(text):
        # 0.333… and 0.1818…: the shortest block that the digits end in at least twice.
        digits = match[2]
        for size in range(1, len(digits) // 2 + 1):
            block = digits[-size:]
            if digits[-2 * size : -size] == block:
                head = digits[: len(digits) - 2 * size]
                return _repeating(match[1], head, block)
    return None


def _int(text: str) -> int:
    return int(text.strip("{} "))


def _repeating(whole: str, head: str, block: str) -> Fraction:
    base = Fraction(int(whole or "0")) + (Fraction(int(head), 10 ** len(head)) if head else 0)
    return base + Fraction(int(block), (10 ** len(block) - 1) * 10 ** len(head))


def decimals(text: str) -> int:
    """Digits after the point of a plain decimal; 0 for everything else."""
    match = re.fullmatch(r"[+-]?\d*\.(\d+)", text.strip())
    return len(match[1]) if match else 0


def rounds(text: str) -> bool:
    """Whether a decimal is long enough to stand for a number without end: six decimals, which is what math-verify rounds to."""
    return decimals(text) >= 6


def same_number(a: str, b: str) -> bool | None:
    """Whether two plain numbers are one; None where one of them is no plain number."""
    x, y = number(a), number(b)
    if x is None or y is None:
        return None
    for decimal, value, exact in ((a, x, y), (b, y, x)):
        # 0.333333 is a third to every grader; 0.1234567 is not 0.1234568.
        if rounds(decimal) and 10**60 % exact.denominator:
            return abs(value - exact) <= Fraction(1, 2 * 10 ** decimals(decimal))
    return x == y
