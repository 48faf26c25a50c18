r"""Is one expression the same as another: exactly, by math-verify, and where that says no, by numbers that prove it.

math-verify answers "yes" or "not that I can see". A wrong answer and an answer that nobody could read are different things
here, so a no counts only when both sides were read and differ in value somewhere that both are defined.

Runs in the worker (worker.py): sympy may hang or eat memory on hostile input.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import sympy
from math_verify import verify
from sympy.core.function import AppliedUndef

from rewards.answers.expressions import parse
from rewards.answers.numerals import decimals, rounds

DIGITS = 30
"""Significant digits of a numeric comparison; differences below 10^-15 of the values prove nothing."""
# Points at which expressions with symbols are compared; the negative ones count only where both sides are real.
_POSITIVE = (Fraction(3, 7), Fraction(17, 11), Fraction(29, 13), Fraction(101, 19), Fraction(5, 23))
_NEGATIVE = (Fraction(-8, 5), Fraction(-31, 9), Fraction(-2, 17))


def same(a: str, b: str) -> bool | None:
    """Whether two cleaned leaves have one value; None where that could not be found out."""
    left, right = parse(a), parse(b)
    verdict = equal(left, right)
    for decimal, value in ((a, right), (b, left)):
        if verdict is False and rounds(decimal) and not value.free_symbols:
            verdict = bool(abs(sympy.N(value - parse(decimal), DIGITS)) <= sympy.Rational(1, 2 * 10 ** decimals(decimal)))
    return verdict


def equal(a: Any, b: Any) -> bool | None:
    """Whether two sympy expressions have one value."""
    if a == b:
        return None if a in (sympy.nan, sympy.zoo) else True
    if {a, b} & {sympy.oo, -sympy.oo}:
        return False if a.is_number and b.is_number else None
    if isinstance(a, sympy.Rational) and isinstance(b, sympy.Rational):
        return False
    if isinstance(a, sympy.MatrixBase) or isinstance(b, sympy.MatrixBase) or isinstance(a + 0, sympy.MatrixExpr):
        return _equal_matrices(a, b)
    sampled = _by_numbers(a, b)
    if sampled is False:
        return False
    if verify(a, b, timeout_seconds=None, float_rounding=12):
        return True
    return sampled


def _equal_matrices(a: Any, b: Any) -> bool | None:
    a, b = (x.doit() if hasattr(x, "doit") else x for x in (a, b))
    if not isinstance(a, sympy.MatrixBase) or not isinstance(b, sympy.MatrixBase):
        return None
    if a.shape != b.shape:
        return False
    return every(equal(x, y) for x, y in zip(a, b, strict=True))


def every(found: Iterable[bool | None]) -> bool | None:
    """All of several decisions: False if one is, None if one is open."""
    result: bool | None = True
    for one in found:
        if one is False:
            return False
        result = None if one is None else result
    return result


def _by_numbers(a: Any, b: Any) -> bool | None:
    """False: the values differ. True: they agree at every point where both are defined (at least three). None: too few points."""
    a, b = (_without_unknown_functions(x) for x in (a, b))
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    if not symbols:
        return _near(_value(a), _value(b))
    agreed = 0
    for shift, start in enumerate((*_POSITIVE, *_NEGATIVE)):
        points = (*_POSITIVE, *_POSITIVE) if start > 0 else (*_NEGATIVE, *_NEGATIVE)
        at = {symbol: sympy.Rational(start.numerator, start.denominator) for symbol in symbols[:1]}
        for index, symbol in enumerate(symbols[1:], 1):
            point = points[(shift + index) % len(points)] + index
            at[symbol] = sympy.Rational(point.numerator, point.denominator)
        left, right = _value(a.subs(at)), _value(b.subs(at))
        if left is None or right is None:
            continue
        near = _near(left, right)
        real = abs(sympy.im(left)) < 1e-20 and abs(sympy.im(right)) < 1e-20
        if near is False and (start > 0 or real):
            return False
        agreed += bool(near)
    return True if agreed >= 3 else None


def _without_unknown_functions(expression: Any) -> Any:
    known = {f: sympy.Symbol(f"{f.func.__name__}[{sympy.expand(f.args[0])}]") for f in expression.atoms(AppliedUndef)}
    return expression.subs(known)


def _value(expression: Any) -> Any:
    """A complex number of `DIGITS` digits; None where the expression is undefined or does not come to a number."""
    found = sympy.N(expression.doit(), DIGITS)
    finite = found.is_number and found.is_finite
    return found if finite and found.as_real_imag()[0].is_Number and found.as_real_imag()[1].is_Number else None


def _near(left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    # The floor is for what should be nothing and comes to a rounding error.
    scale = max(abs(left), abs(right), sympy.Float(10) ** -10)
    off = abs(left - right) / scale
    if off < sympy.Float(10) ** -20:
        return True
    return False if off > sympy.Float(10) ** -15 else None
