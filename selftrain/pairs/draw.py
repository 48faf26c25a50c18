"""What kinds of builtin pairs are written with: seeded choices from the share of the banks that one split owns.

Splits are kept apart in two ways. A person's noun and a sum's value are dealt out to the splits (`shares`), and a combination
of other items belongs to the split that its hash names (`owner`). One or the other is in every instruction and every response.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple, TypeVar, get_args

from planner.records import digest
from selftrain.pairs import topics

Split = Literal["train", "validation", "known", "wording", "unseen"]
SPLITS: tuple[Split, ...] = get_args(Split)

# Train has six tenths of all material, each other split a tenth.
_TENTHS: tuple[Split, ...] = (SPLITS[0],) * 6 + SPLITS[1:]

NUMBERS = tuple(str(number) for number in range(2, 100))
"""What sums may come to."""

T = TypeVar("T")


@lru_cache(maxsize=1 << 16)
def owner(text: str) -> Split:
    """The one split that may use a combination of items."""
    return _TENTHS[int(digest(text), 16) % 10]


@lru_cache
def shares(bank: tuple[str, ...]) -> dict[Split, tuple[str, ...]]:
    """A bank dealt out to the splits, each item to one. Dealt and not hashed, or a small bank's shares would be lopsided."""
    dealt: dict[Split, list[str]] = {split: [] for split in SPLITS}
    for place, item in enumerate(sorted(bank, key=digest)):
        dealt[_TENTHS[place % 10]].append(item)
    return {split: tuple(items) for split, items in dealt.items()}


@dataclass(frozen=True)
class Base:
    """Two responses and two requirements: `first` meets `x` and breaks `y`, `second` meets `y` and breaks `x`."""

    x: str
    y: str
    first: str
    second: str
    texts: tuple[str, ...]
    """The base texts the responses are made of, all owned by one split."""
    fields: dict[str, str] = field(default_factory=dict)
    """What templates of both instructions may mention."""


class Clause(NamedTuple):
    """Somebody did something."""

    subject: str
    base: str
    past: str
    ing: str
    object: str

    @property
    def text(self) -> str:
        """The base text, without the adjective."""
        return f"{self.subject.split()[-1]} {self.past} {self.object}"

    @property
    def fact(self) -> str:
        return f"{self.subject} {self.past} {self.object}"

    @property
    def fields(self) -> dict[str, str]:
        return {"about": self.subject, "fact": self.fact}


def sentence(text: str) -> str:
    """A capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


class Draw:
    """Seeded choices from one split's share of the banks."""

    def __init__(self, split: Split, rng: random.Random) -> None:
        self.split = split
        self.rng = rng

    def one(self, bank: Sequence[T]) -> T:
        return self.rng.choice(bank)

    def two(self, bank: Sequence[T]) -> tuple[T, T]:
        first, second = self.rng.sample(bank, 2)
        return first, second

    def own(self, make: Callable[[], T], text: Callable[[T], str]) -> T:
        """Draws until the split owns the text. A split has a tenth of the texts at least, so this ends soon."""
        for _ in range(10_000):
            made = make()
            if owner(text(made)) == self.split:
                return made
        raise AssertionError(f"split {self.split!r} owns nothing like {text(made)!r}; give its bank more combinations")

    def person(self) -> str:
        """A noun belongs to one split, and with it every instruction and response that names such a person."""
        return f"the {self.one(topics.ADJECTIVES)} {self.one(shares(topics.NOUNS)[self.split])}"

    def clause(self) -> Clause:
        return Clause(self.person(), *self.one(topics.ACTIONS))

    def tail(self) -> str:
        """A place or a time or nothing, with its leading space."""
        return self.one(("", f" {self.one(topics.TIMES)}", f" {self.one(topics.PLACES)}"))

    def items(self, category: str, count: int) -> list[str]:
        return self.own(lambda: self.rng.sample(topics.CATEGORIES[category], count), set_of)

    def sum(self, operators: str, avoid: int | None = None) -> tuple[str, int]:
        """An expression and its value. A value belongs to one split, and with it every expression that comes to it."""
        while True:
            value, operator, b = int(self.one(shares(NUMBERS)[self.split])), self.one(operators), self.rng.randint(2, 39)
            if value == avoid:
                continue
            if operator == "-":
                return f"{value + b} - {b}", value
            if operator == "+" and b < value - 1:
                return f"{value - b} + {b}", value
            if operator == "*" and b < 10 and value % b == 0 and 1 < value // b < 10:
                return f"{value // b} * {b}", value


def set_of(items: Sequence[str]) -> str:
    return ", ".join(sorted(items))


def value_text(value: int) -> str:
    return f"the number {value}"
