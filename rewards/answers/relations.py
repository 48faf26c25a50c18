r"""Equations up to rearrangement, inequalities, and the sets of real numbers that they and intervals stand for."""

from __future__ import annotations

import re
from typing import Any

import sympy

from rewards.answers.expressions import Unreadable, parse
from rewards.answers.scalars import equal, every, same
from rewards.answers.shapes import Bracket, Leaf, Many, Relation, Shape, Special, Union

_FLIP = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_HEAD = re.compile(
    r"\(\s*[a-z](?:\s*,\s*[a-z])+\s*\)|[a-zA-Z](?:_\{?\w+\}?)?(?:\^\{-1\})?\s*\(\s*[a-z](?:\s*,\s*[a-z])*\s*\)|[a-zA-Z]\w?(?:_\{?\w+\}?)?|\\(?:theta|alpha|beta|gamma|angle\s*\w+)|[A-Z]{2,3}|[a-z]{4,}(?: [a-z]+)*",
    re.IGNORECASE,
)
_NAME = re.compile(r"[a-zA-Z]|\\(?:theta|alpha|beta|gamma|lambda|omega|phi)")


def value_side(relation: Relation) -> str | None:
    """The value that `x = 5`, `f(x) = 2x` or `a = b + c = 5` gives; None for anything else."""
    if set(relation.signs) != {"="}:
        return None
    if _HEAD.fullmatch(relation.sides[0].strip()):
        return relation.sides[-1]
    if _HEAD.fullmatch(relation.sides[-1].strip()) and len(relation.sides) == 2:
        return relation.sides[0]
    return None


def same_relation(a: Relation, b: Relation) -> bool | None:
    """Whether two relations say the same."""
    if a.signs == b.signs == ("=",):
        return _same_equation(a, b)
    if set(a.signs) == set(b.signs) == {"="}:
        return _same_values(a, b)
    left, right = real_set(a), real_set(b)
    if left is not None and right is not None:
        if _variables(a) != _variables(b):
            return False
        return sets_equal(left, right)
    if len(a.signs) == len(b.signs) == 1:
        return _same_inequality(a, b)
    flipped = Relation(tuple(reversed(b.sides)), tuple(_FLIP[sign] for sign in reversed(b.signs)))
    for other in (b, flipped):
        if a.signs == other.signs and every(same(x, y) for x, y in zip(a.sides, other.sides, strict=True)):
            return True
    return None


def _same_values(a: Relation, b: Relation) -> bool | None:
    left, right = value_side(a), value_side(b)
    return same(left, right) if left is not None and right is not None else None


def _same_equation(a: Relation, b: Relation) -> bool | None:
    heads = [(value_side(one), one) for one in (a, b)]
    if all(
        value is not None and not _NAME.fullmatch(one.sides[0].strip()) and not _NAME.fullmatch(one.sides[1].strip())
        for value, one in heads
    ):
        # AB = 9 and f(x) = 2x name what they give; the name is no product.
        names = [re.sub(r"\s", "", one.sides[0]) for _, one in heads]
        found = same(str(heads[0][0]), str(heads[1][0]))
        return found if names[0] == names[1] or not found else None
    try:
        f, g = (parse(one.sides[0]) - parse(one.sides[1]) for one in (a, b))
    except Unreadable:
        return None
    if f.free_symbols != g.free_symbols:
        function = [one for one in (a, b) if "(" in one.sides[0] and value_side(one) is not None]
        if function:
            # f(x) = … beside y = … says the same of the same x.
            return every([same(str(value_side(a)), str(value_side(b)))]) if value_side(a) and value_side(b) else None
        return False
    if not f.free_symbols:
        return None
    return _same_zeros(f, g)


def _same_zeros(f: Any, g: Any) -> bool | None:
    f, g = (sympy.numer(sympy.together(sympy.expand(one))) for one in (f, g))
    if f == 0 or g == 0:
        return None
    ratio = sympy.simplify(f / g)
    if not ratio.free_symbols:
        return bool(ratio.is_finite) and ratio != 0
    symbols = sorted(f.free_symbols, key=str)
    if not (f.is_polynomial(*symbols) and g.is_polynomial(*symbols)):
        return None
    if len(symbols) == 1:
        return sets_equal(sympy.FiniteSet(*sympy.roots(f, multiple=True)), sympy.FiniteSet(*sympy.roots(g, multiple=True)))
    factors = [{factor for factor, _ in sympy.factor_list(one)[1]} for one in (f, g)]
    return all(any(not sympy.simplify(x / y).free_symbols for y in factors[1]) for x in factors[0]) and len(factors[0]) == len(
        factors[1]
    )


def _same_inequality(a: Relation, b: Relation) -> bool | None:
    def difference(one: Relation) -> tuple[Any, str]:
        left, right = (parse(side) for side in one.sides)
        # Everything as greater-than.
        return (left - right, one.signs[0]) if one.signs[0] in (">", ">=", "!=") else (right - left, _FLIP[one.signs[0]])

    if "=" in (a.signs[0], b.signs[0]):
        return False
    (f, f_sign), (g, g_sign) = difference(a), difference(b)
    if f_sign != g_sign:
        return False
    ratio = sympy.simplify(f / g)
    if not ratio.free_symbols:
        return bool(ratio > 0) or f_sign == "!="
    return False if f.is_polynomial() and g.is_polynomial() else None


def solved_by(relation: Relation, members: tuple[Shape, ...]) -> bool | None:
    """Whether an equation in one unknown has exactly these solutions."""
    if relation.signs != ("=",):
        left, right = real_set(relation), real_set(Many(members))
        return sets_equal(left, right) if left is not None and right is not None else None
    f = parse(relation.sides[0]) - parse(relation.sides[1])
    if len(f.free_symbols) != 1 or not f.is_polynomial():
        return None
    roots = sympy.roots(f, multiple=True)
    if len(roots) != sympy.degree(f):
        return None
    values = [_value(member) for member in members]
    if any(value is None for value in values):
        return None
    return sets_equal(sympy.FiniteSet(*roots), sympy.FiniteSet(*values))


def _value(shape: Shape) -> Any:
    if isinstance(shape, Leaf):
        return parse(shape.text)
    if isinstance(shape, Relation):
        side = value_side(shape)
        return parse(side) if side is not None else None
    return None


# -- sets of real numbers ----------------------------------------------------------------------------------------------


def real_set(shape: Shape) -> Any:
    """The set of real numbers that a shape stands for, as sympy's; None where it is none, or has letters in it."""
    if isinstance(shape, Special):
        return {"reals": sympy.S.Reals, "empty": sympy.S.EmptySet}.get(shape.name)
    if isinstance(shape, Bracket):
        return _bracket_set(shape)
    if isinstance(shape, Union | Many):
        parts = shape.parts if isinstance(shape, Union) else shape.items
        sets = [real_set(part) for part in parts]
        if any(found is None for found in sets):
            return None
        whole = sympy.Union(*sets)
        if isinstance(shape, Union) and shape.minus is not None:
            taken = real_set(shape.minus)
            return None if taken is None else whole - taken
        return whole
    if isinstance(shape, Relation):
        return _relation_set(shape)
    if isinstance(shape, Leaf) and shape.unit is None:
        return _point(shape.text)
    return None


def _point(text: str) -> Any:
    found = parse(text)
    return sympy.FiniteSet(found) if found.is_number and found.is_finite else None


def _bracket_set(shape: Bracket) -> Any:
    if shape.open == "{":
        sets = [real_set(item) for item in shape.items]
        return None if any(found is None for found in sets) else sympy.Union(*sets)
    if len(shape.items) != 2 or not all(isinstance(item, Leaf) for item in shape.items):
        return None
    low, high = (parse(item.text) for item in shape.items)  # type: ignore[union-attr]
    if not (low.is_number and high.is_number and low.is_extended_real and high.is_extended_real) or bool(low > high):
        return None
    return sympy.Interval(low, high, shape.open == "(", shape.close == ")")


def _variables(relation: Relation) -> Any:
    return {symbol.name for side in relation.sides for symbol in parse(side).free_symbols}


def _relation_set(shape: Relation) -> Any:
    # g(x) in -80 <= g(x) <= 82 is what the interval holds.
    parsed = [parse("x" if "(" in side[1:] and _HEAD.fullmatch(side) else side) for side in shape.sides]
    symbols = {symbol for side in parsed for symbol in side.free_symbols}
    if len(symbols) != 1 or any(sign == "in" for sign in shape.signs):
        return None
    name = symbols.pop()
    x = sympy.Symbol("x", real=True)
    makers = {"<": sympy.Lt, ">": sympy.Gt, "<=": sympy.Le, ">=": sympy.Ge, "=": sympy.Eq, "!=": sympy.Ne}
    sides = [side.subs(name, x) for side in parsed]
    found = sympy.S.Reals
    for left, sign, right in zip(sides, shape.signs, sides[1:], strict=False):
        condition = makers[sign](left, right)
        if condition in (sympy.true, sympy.false):
            part = sympy.S.Reals if condition == sympy.true else sympy.S.EmptySet
        else:
            part = condition.as_set()
        found = found.intersect(part)
    return found


def sets_equal(a: Any, b: Any) -> bool | None:
    """Whether two sets of real (or, of roots, complex) numbers are one set."""
    if a == b:
        return True
    if isinstance(a, sympy.FiniteSet) and isinstance(b, sympy.FiniteSet):
        left, right = _apart(a), _apart(b)
        if len(left) != len(right):
            return False
        found = [[equal(x, y) for y in right] for x in left]
        if all(True in row for row in found):
            return True
        return None if any(None in row for row in found) else False
    if isinstance(a, sympy.FiniteSet) or isinstance(b, sympy.FiniteSet):
        kinds = (sympy.Interval, sympy.Union, type(sympy.S.EmptySet))
        return False if isinstance(a, kinds) or isinstance(b, kinds) else None
    pieces = [_pieces(one) for one in (a, b)]
    if pieces[0] is None or pieces[1] is None:
        return None
    if len(pieces[0]) != len(pieces[1]):
        return False
    return every(
        x[2:] == y[2:] and every(equal(p, q) for p, q in zip(x[:2], y[:2], strict=True)) for x, y in zip(*pieces, strict=True)
    )


def _apart(members: Any) -> list[Any]:
    kept: list[Any] = []
    for one in members:
        if not any(equal(one, other) for other in kept):
            kept.append(one)
    return kept


def _pieces(found: Any) -> list[tuple[Any, Any, bool, bool]] | None:
    """Disjoint intervals in ascending order, as (low, high, low is open, high is open)."""
    pieces = []
    for part in found.args if isinstance(found, sympy.Union) else (found,):
        if part == sympy.S.Reals:
            pieces.append((-sympy.oo, sympy.oo, True, True))
        elif isinstance(part, sympy.Interval):
            pieces.append((part.start, part.end, bool(part.left_open), bool(part.right_open)))
        elif isinstance(part, sympy.FiniteSet):
            pieces += [(point, point, False, False) for point in part]
        elif part != sympy.S.EmptySet:
            return None
    return sorted(pieces, key=lambda piece: float(piece[0]))
