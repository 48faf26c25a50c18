r"""Two cleaned answers, shape against shape: True, False, or None where nobody could say.

What one side leaves out is not held against it: `5` and `5\text{ cm}`, `x = 5` and `5`, `(C)` and `C`, `50\%` and `50`. What both
say must agree: `5\text{ cm}` is not `5\text{ m}`, and is `50\text{ mm}`.
"""

from __future__ import annotations

import re
from typing import Any

import sympy

from rewards.answers import relations
from rewards.answers.amounts import leaves_equal
from rewards.answers.clean import clean, squeezed
from rewards.answers.dates import in_full
from rewards.answers.expressions import parse
from rewards.answers.number_words import is_spoken
from rewards.answers.numerals import number
from rewards.answers.reading import read
from rewards.answers.scalars import equal, every, same
from rewards.answers.shapes import Bracket, Choice, Digits, Leaf, Many, Matrix, Ratio, Relation, Shape, Special, Union, Word


def compare(a: str, b: str) -> bool | None:
    """Whether two answers, as they were written, are the same mathematics."""
    left, right = clean(a), clean(b)
    if not left or not right:
        return None
    if squeezed(left) == squeezed(right):
        return True
    found = shapes_equal(read(left), read(right))
    return _with_decimal_commas(left, right) if found is False else found


# One numeral, with whatever stands around it but brackets: 1.000,50 and 3,5.
_AROUND = r"[^\d.,()\[\]{}]*"
_GROUPED = re.compile(rf"^({_AROUND}[1-9]\d{{0,2}})\.(\d{{3}}),(\d+{_AROUND})$")
_COMMA = re.compile(rf"^({_AROUND})(?![1-9]\d{{0,2}},\d{{3}}(?!\d))(\d+),(\d+{_AROUND})$")


def _with_decimal_commas(a: str, b: str) -> bool | None:
    """What to say of two different answers that are the same once a comma stands before decimals, as in half of the world.

    Nobody lists 1.000 and 50 where the answer is 1000.50. Three and five may well be listed where it is 3.5.
    """
    for pattern, said in ((_GROUPED, True), (_COMMA, None)):
        before = a, b
        a, b = (pattern.sub(r"\1\2.\3", text) for text in before)
        if (a, b) != before and shapes_equal(read(a), read(b)):
            return said
    return False


def shapes_equal(a: Shape, b: Shape) -> bool | None:
    """Compare two shapes, by the first rule that knows one of them; the order of the arguments does not matter."""
    for kind, decide in _RULES:
        for left, right in ((a, b), (b, a)):
            if isinstance(left, kind):
                found = decide(left, right)
                if found is not NotImplemented:
                    return found  # type: ignore[no-any-return]
    return None


# -- one rule a shape; NotImplemented: the other shape's rule knows ------------------------------------------------------


def _choice(a: Choice, b: Shape) -> Any:
    if isinstance(b, Choice):
        if a.letter != b.letter:
            return False
        return True if not (a.rest and b.rest) else _text_equal(a.rest, b.rest)
    if isinstance(b, Leaf) and re.fullmatch("[a-z]", b.text):
        # A bare small letter is a choice to a marked one, and a variable to itself.
        return b.text.upper() == a.letter
    if a.rest:
        return shapes_equal(read(clean(a.rest)), b)
    return same(a.letter, b.text) if isinstance(b, Leaf) and not a.marked and not b.unit else _different(a, b)


def _text_equal(a: str, b: str) -> bool | None:
    return True if squeezed(a).lower() == squeezed(b).lower() else shapes_equal(read(clean(a)), read(clean(b)))


def _special(a: Special, b: Shape) -> Any:
    if isinstance(b, Special):
        return a.name == b.name
    if a.name == "reals" and b == Leaf("R"):
        return None  # a letter, or the real numbers
    if isinstance(b, Word | Choice | Leaf | Digits | Ratio | Matrix):
        return False
    if a.name in ("reals", "empty"):
        found = relations.real_set(b)
        if found is None:
            return _different(a, b)
        return relations.sets_equal(found, sympy.S.Reals if a.name == "reals" else sympy.S.EmptySet)
    return False


def _word(a: Word, b: Shape) -> Any:
    if isinstance(b, Word):
        left, right = (re.findall(r"\w+", one.text) for one in (a, b))
        if left == right:
            return True
        # Anne is taller than Bo; Bo is taller than Anne. And Jan is a month or a man, Sun a day or a star.
        return None if sorted(left) == sorted(right) or in_full(a.text) == in_full(b.text) else False
    if isinstance(b, Leaf):
        if a.text == b.text.lower():
            return True
        if is_spoken(a.text):
            return None  # words of a number that was not read
        return False if number(b.text) is not None or re.search(r"\d", b.text) else None
    return NotImplemented if isinstance(b, Relation) else _different(a, b)


def _relation(a: Relation, b: Shape) -> Any:
    if isinstance(b, Relation):
        return relations.same_relation(a, b)
    if isinstance(b, Bracket | Union | Special):
        left, right = relations.real_set(a), relations.real_set(b)
        if left is not None and right is not None:
            return relations.sets_equal(left, right)
    if isinstance(b, Many):
        return NotImplemented
    side = relations.value_side(a)
    if side is not None:
        return shapes_equal(read(side), b)
    found = relations.solved_by(a, (b,)) if isinstance(b, Leaf) else None
    if found is None and isinstance(b, Leaf) and a.signs == ("=",):
        # The left side of `… = 0` alone may stand for the equation.
        bare = equal(parse(a.sides[0]) - parse(a.sides[1]), parse(b.text))
        return False if bare is False else None
    return _different(a, b) if found is None else found


def _union(a: Union, b: Shape) -> Any:
    left, right = relations.real_set(a), relations.real_set(b)
    return _different(a, b) if left is None or right is None else relations.sets_equal(left, right)


def _matrix(a: Matrix, b: Shape) -> Any:
    if isinstance(b, Matrix):
        if a.factor or b.factor:
            left, right = _dense(a), _dense(b)
            return left.shape == right.shape and every(equal(x, y) for x, y in zip(left, right, strict=True))
        if [len(row) for row in a.rows] != [len(row) for row in b.rows]:
            return False
        return every(_leaves(x, y) for left, right in zip(a.rows, b.rows, strict=True) for x, y in zip(left, right, strict=True))
    if isinstance(b, Bracket):
        # A column or a row of numbers is a vector, and so is a tuple.
        cells = [cell for row in a.rows for cell in row]
        if not a.factor and 1 in (len(a.rows), len(a.rows[0])) and len(cells) == len(b.items) and b.open in "([":
            return every(shapes_equal(read(clean(cell)), item) for cell, item in zip(cells, b.items, strict=True))
        return False
    return _different(a, b)


def _dense(matrix: Matrix) -> Any:
    dense = sympy.Matrix([[parse(cell) for cell in row] for row in matrix.rows])
    return parse(matrix.factor) * dense if matrix.factor not in ("", "-") else (-dense if matrix.factor else dense)


def _leaves(a: str, b: str) -> bool | None:
    return shapes_equal(read(clean(a)), read(clean(b)))


def _bracket(a: Bracket, b: Shape) -> Any:
    if isinstance(b, Bracket):
        if a.open == b.open and a.close == b.close and len(a.items) == len(b.items) and a.open != "{":
            return every(shapes_equal(x, y) for x, y in zip(a.items, b.items, strict=True))
        if a.open == b.open == "{" and len(a.items) == len(b.items) == 1:
            return shapes_equal(a.items[0], b.items[0])
        if a.open == b.open == "{" and not any(isinstance(item, Relation) for item in (*a.items, *b.items)):
            return _same_members(_distinct(_flat(a)), _distinct(_flat(b)))
        left, right = relations.real_set(a), relations.real_set(b)
        if left is not None and right is not None and ("{" in (a.open, b.open) or len(a.items) == len(b.items) == 2):
            return relations.sets_equal(left, right)
        return False
    if isinstance(b, Many):
        if a.open == "{":
            return _same_members(_distinct(_flat(a)), _distinct(_flat(b)))
        if len(a.items) != len(b.items) or ({a.open, a.close} & {"["} and a.close != "]"):
            return False
        in_order = every(shapes_equal(x, y) for x, y in zip(a.items, b.items, strict=True))
        # 2, 1 may have meant (2, 1) or {1, 2}: only what is in neither is wrong.
        return in_order or (None if _same_members(a.items, b.items) else in_order)
    if len(a.items) == 1 and a.open == "{":
        return shapes_equal(a.items[0], b)
    return _different(a, b)


def _distinct(items: tuple[Shape, ...]) -> tuple[Shape, ...]:
    kept: list[Shape] = []
    for item in items:
        if not any(shapes_equal(item, other) is True for other in kept):
            kept.append(item)
    return tuple(kept)


def _many(a: Many, b: Shape) -> Any:
    if isinstance(b, Many):
        return _same_members(_flat(a), _flat(b))
    if isinstance(b, Relation):
        side = relations.value_side(b)
        return relations.solved_by(b, _flat(a)) if side is None else shapes_equal(read(side), a)
    left, right = relations.real_set(a), relations.real_set(b)
    if left is not None and right is not None and not isinstance(b, Leaf):
        return relations.sets_equal(left, right)
    if isinstance(b, Leaf | Word | Digits | Ratio):
        members = _distinct(_flat(a))
        # 75, 75 for 75: said twice, or of two things.
        return (False if shapes_equal(members[0], b) is False else None) if len(members) == 1 else _different(a, b)
    return _different(a, b)


def _flat(several: Many | Bracket) -> tuple[Shape, ...]:
    """The members, those of a ± or an "or" among them."""
    return tuple(inner for item in several.items for inner in (_flat(item) if isinstance(item, Many) else (item,)))


def _same_members(a: tuple[Shape, ...], b: tuple[Shape, ...]) -> bool | None:
    """Whether one list can be laid on the other, whatever the order."""
    if len(a) != len(b):
        return False
    left = list(b)
    open_ends = False
    for item in a:
        found = [shapes_equal(item, other) for other in left]
        if True in found:
            del left[found.index(True)]
        elif None in found:
            open_ends = True
        else:
            return False
    return None if open_ends else True


def _digits(a: Digits, b: Shape) -> Any:
    try:
        value = int(a.text, a.base)
    except ValueError:
        return None  # a digit that the base does not have
    if isinstance(b, Digits):
        return value == int(b.text, b.base)
    if isinstance(b, Leaf):
        # 203 for 203_7 may have left the base out, which the question gave.
        return None if b.text == a.text and a.base != 10 else same(str(value), b.text)
    return _different(a, b)


def _ratio(a: Ratio, b: Shape) -> Any:
    if isinstance(b, Ratio):
        if len(a.parts) != len(b.parts) or (a.suffix and b.suffix and a.suffix != b.suffix):
            return False
        if every(same(x, y) for x, y in zip(a.parts, b.parts, strict=True)):
            return True
        if bool(a.suffix) != bool(b.suffix) and _on_the_clock(a) == _on_the_clock(b):
            return True  # 17:00 and 5:00 p.m.
        if a.suffix or b.suffix or not all(re.search("[1-9a-z]", part) for part in (*a.parts, *b.parts)):
            return False
        if all(re.fullmatch(r"\d\d", part) for part in (*a.parts[1:], *b.parts[1:])):
            return False  # times of day
        return every(same(f"({a.parts[0]})*({y})", f"({b.parts[0]})*({x})") for x, y in zip(a.parts[1:], b.parts[1:], strict=True))
    if isinstance(b, Leaf) and len(a.parts) == 2 and not a.suffix and re.search("[1-9a-z]", a.parts[1]):
        whole = same(rf"\frac{{{a.parts[0]}}}{{{a.parts[1]}}}", b.text)
        return whole if whole is False or "/" in b.text or "frac" in b.text else None
    return _different(a, b)


def _on_the_clock(time: Ratio) -> tuple[int, ...] | None:
    """Hours, minutes and so on of a time of day, the hours from 0 to 23; None where it is none."""
    if not all(part.isdecimal() for part in time.parts):
        return None
    hours, *rest = map(int, time.parts)
    return (hours % 12 + 12 * (time.suffix == "pm") if time.suffix else hours, *rest)


def _different(a: Shape, b: Shape) -> bool | None:
    """Two different kinds of thing are different answers, as far as both can be read."""
    return False if _readable(a) and _readable(b) else None


def _readable(shape: Shape) -> bool:
    if isinstance(shape, Leaf):
        return parse(shape.text) is not None  # raises where it is not
    if isinstance(shape, Bracket | Many):
        return all(_readable(item) for item in shape.items)
    return not isinstance(shape, Union) or all(_readable(part) for part in shape.parts)


_RULES: tuple[tuple[type, Any], ...] = (
    (Special, _special),
    (Choice, _choice),
    (Word, _word),
    (Relation, _relation),
    (Union, _union),
    (Matrix, _matrix),
    (Bracket, _bracket),
    (Many, _many),
    (Digits, _digits),
    (Ratio, _ratio),
    (Leaf, leaves_equal),
)
