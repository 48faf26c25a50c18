"""Two expressions with units: which units convert into each other, and what one without a unit may have meant."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import sympy

from rewards.answers.clean import squeezed
from rewards.answers.expressions import parse
from rewards.answers.numerals import number
from rewards.answers.scalars import equal, same
from rewards.answers.shapes import Leaf


def leaves_equal(a: Leaf, b: Leaf) -> bool | None:
    """Whether two amounts are the same; what one side leaves out is not held against it."""
    if _squeezed(a) == _squeezed(b):
        return True
    if a.unit is None or b.unit is None:
        return _one_unit(a, b)
    if a.unit.dimension == b.unit.dimension:
        return same(_scaled(a.text, a.unit.factor / b.unit.factor), b.text)
    if "degree" in (a.unit.dimension, b.unit.dimension) and {a.unit.dimension, b.unit.dimension} & {"celsius", "fahrenheit"}:
        return same(a.text, b.text)
    if {a.unit.dimension, b.unit.dimension} == {"degree", "radian"}:
        return equal(_in_radians(a), _in_radians(b))
    if a.unit.noun or b.unit.noun:
        found = same(a.text, b.text)
        shared = set(a.unit.dimension.split()) & set(b.unit.dimension.split())
        # 5 students for 5 people: nobody can tell from the answers alone.
        return found if not found or shared else None
    # `6 m` may be six metres or 6m; a unit of another dimension is another answer.
    return False


def _squeezed(leaf: Leaf) -> str:
    return squeezed(leaf.text) + (f" {leaf.unit.dimension} {leaf.unit.factor}" if leaf.unit else "")


def _one_unit(a: Leaf, b: Leaf) -> bool | None:
    """At least one side says no unit."""
    with_unit, plain = (a, b) if a.unit else (b, a)
    found = same(a.text, b.text)
    if found or with_unit.unit is None:
        return found
    if with_unit.unit.dimension == "percent":
        return (
            same(f"({with_unit.text})/100", plain.text) if number(with_unit.text) is None else _percent(with_unit.text, plain.text)
        )
    if with_unit.unit.dimension == "degree" and "\\pi" in plain.text:
        return equal(_in_radians(with_unit), parse(plain.text))
    if with_unit.unit.dimension == "dollar" and with_unit.unit.factor != 1:
        # Cents against a bare number: 50 cents may stand for 0.50.
        return None if same(_scaled(with_unit.text, with_unit.unit.factor), plain.text) else found
    return found


def _percent(text: str, plain: str) -> bool | None:
    value = number(text)
    assert value is not None
    return equal(sympy.Rational(value.numerator, value.denominator * 100), parse(plain))


def _in_radians(leaf: Leaf) -> Any:
    value = parse(leaf.text)
    return value * sympy.pi / 180 if leaf.unit and leaf.unit.dimension == "degree" else value


def _scaled(text: str, factor: Fraction) -> str:
    if factor == 1:
        return text
    plain = number(text)
    if plain is not None:
        scaled = plain * factor
        return (
            rf"\frac{{{scaled.numerator}}}{{{scaled.denominator}}}"
            if scaled >= 0
            else rf"-\frac{{{-scaled.numerator}}}{{{scaled.denominator}}}"
        )
    return rf"\frac{{{factor.numerator}}}{{{factor.denominator}}}({text})"
