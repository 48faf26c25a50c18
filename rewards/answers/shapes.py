r"""What kind of thing an answer is: a number with a unit, a list, a tuple, an interval, a set, a matrix, a relation, a word."""

from __future__ import annotations

from dataclasses import dataclass

from rewards.answers.units import Unit


@dataclass(frozen=True)
class Leaf:
    """An expression, with the unit that stands beside it."""

    text: str
    unit: Unit | None = None


@dataclass(frozen=True)
class Word:
    """Plain words, in lower case, one space between them."""

    text: str


@dataclass(frozen=True)
class Choice:
    """A letter of a multiple choice; `marked`: it stood in brackets or the like, and is no variable."""

    letter: str
    marked: bool
    rest: str = ""


@dataclass(frozen=True)
class Special:
    """An answer that has names rather than a form: `empty`, `reals`, `undefined`."""

    name: str


@dataclass(frozen=True)
class Many:
    """Several answers in no order: `2, 3`, `x = 2 or x = -2`, `\\pm 2`."""

    items: tuple[Shape, ...]


@dataclass(frozen=True)
class Bracket:
    """`(a, b)`, `[a, b)`, `{a, b}`: a tuple, an interval or a set, as `open` and `close` say."""

    open: str
    close: str
    items: tuple[Shape, ...]


@dataclass(frozen=True)
class Union:
    """Sets joined by `\\cup`; `minus`: what `\\setminus` takes away."""

    parts: tuple[Shape, ...]
    minus: Shape | None = None


@dataclass(frozen=True)
class Relation:
    """`a < b \\le c`: sides and the signs between them."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True)
class Matrix:
    """Rows of leaves, and a factor before them."""

    rows: tuple[tuple[str, ...], ...]
    factor: str = ""


@dataclass(frozen=True)
class Digits:
    """A numeral in a base: `203_7`."""

    text: str
    base: int


@dataclass(frozen=True)
class Ratio:
    """`3:1`, and times of day: `8:34 p.m.`."""

    parts: tuple[str, ...]
    suffix: str = ""


Shape = Leaf | Word | Choice | Special | Many | Bracket | Union | Relation | Matrix | Digits | Ratio
