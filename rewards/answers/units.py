"""Units of measure and money: which words are one, and how they convert.

A unit is (dimension, factor): two quantities of one dimension are compared as value × factor. Factors are exact. What is not in
the table is a noun ("3 apples"), which says what was counted and converts to nothing.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """`dimension` "percent" and "degree" are their own; a noun's dimension is its words."""

    dimension: str
    factor: Fraction
    noun: bool = False


_INCH = Fraction(254, 10000)
_BASE: dict[str, tuple[Fraction, str]] = {
    # length, in metres
    "nm": (Fraction(1, 10**9), "nanometer nanometre"),
    "mm": (Fraction(1, 1000), "millimeter millimetre"),
    "cm": (Fraction(1, 100), "centimeter centimetre"),
    "dm": (Fraction(1, 10), "decimeter decimetre"),
    "m": (Fraction(1), "meter metre"),
    "km": (Fraction(1000), "kilometer kilometre"),
    "in": (_INCH, "inch inche"),
    "ft": (12 * _INCH, "foot feet"),
    "yd": (36 * _INCH, "yard"),
    "mi": (63360 * _INCH, "mile"),
}
_OTHER: dict[str, dict[str, Fraction]] = {
    "mass": {
        "mg milligram": Fraction(1, 10**6), "g gm gram": Fraction(1, 1000), "kg kilogram kilo": Fraction(1), "tonne": Fraction(1000),
        "lb pound": Fraction(45359237, 10**8), "oz ounce": Fraction(45359237, 16 * 10**8), "ton": Fraction(2000 * 45359237, 10**8),
    },
    "time": {
        "ms millisecond": Fraction(1, 1000), "s sec second": Fraction(1), "min minute": Fraction(60), "h hr hour": Fraction(3600),
        "day": Fraction(86400), "week wk": Fraction(7 * 86400),
    },
    "months": {"month": Fraction(1), "year yr": Fraction(12)},
    "volume": {
        "ml milliliter millilitre": Fraction(1, 10**6), "cl": Fraction(1, 10**5), "l liter litre": Fraction(1, 1000),
        "cc": Fraction(1, 10**6), "gal gallon": 231 * _INCH**3, "qt quart": 231 * _INCH**3 / 4, "pt pint": 231 * _INCH**3 / 8,
        "cup": 231 * _INCH**3 / 16,
    },
    "area": {"acre": 43560 * (12 * _INCH) ** 2, "hectare ha": Fraction(10000)},
    "dollar": {"$ usd us$ dollar buck": Fraction(1), "¢ cent": Fraction(1, 100)},
    "euro": {"€ eur euro": Fraction(1)},
    "pound sterling": {"£ gbp": Fraction(1), "penny pence": Fraction(1, 100)},
    "yen": {"¥ jpy yen": Fraction(1)},
    "rupee": {"₹ rs inr rupee": Fraction(1)},
    "percent": {"% percent pct percentage": Fraction(1)},
    "degree": {"deg degree ^\\circ": Fraction(1)},
    "radian": {"rad radian": Fraction(1)},
    "kelvin": {"kelvin": Fraction(1)},
    "celsius": {"celsius": Fraction(1)},
    "fahrenheit": {"fahrenheit": Fraction(1)},
    "unit": {"unit u": Fraction(1)},
    "speed": {"mph": 63360 * _INCH / 3600, "kmh kmph kph": Fraction(1000, 3600)},
    "energy": {"j joule": Fraction(1), "kj": Fraction(1000)},
    "force": {"newton": Fraction(1)},
    "power": {"watt": Fraction(1), "kw": Fraction(1000)},
}  # fmt: skip
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_LENGTH_POWER = {1: "length", 2: "area", 3: "volume"}
MONEY = "$€£¥₹¢"


def _table() -> dict[str, Unit]:
    table = {name: Unit("length", factor) for short, (factor, long) in _BASE.items() for name in (short, *long.split())}
    for dimension, entries in _OTHER.items():
        table |= {name: Unit(dimension, factor) for names, factor in entries.items() for name in names.split()}
    return table


_TABLE = _table()


def unit(words: str) -> Unit | None:
    """The unit that some words name, e.g. `cm^{2}`, `square inches`, `miles per hour`; a noun where they are other words.

    None: no words at all, or signs that no unit has.
    """
    words = re.sub(r"[{}]", "", words).replace(r"\cdot", " ").strip(" .").lower()
    words = re.sub(r"(?<=[a-z])\.(?=[a-z]|$|\s)", "", words)
    words = re.sub(r"^degrees? (c|f)(?:elsius|ahrenheit)?$", lambda match: {"c": "celsius", "f": "fahrenheit"}[match[1]], words)
    if not words or not re.fullmatch(r"[a-z$€£¥₹¢%/^\d\s\\'-]+", words):
        return None
    top, per, bottom = re.sub(r"\bper\b|\bin an?\b(?=.*hour)", "/", words).partition("/")
    found = _power(top.strip())
    if per and found is not None:
        below = _power(bottom.strip())
        if below is not None:
            if {"length", "time"} == {found.dimension, below.dimension}:
                return Unit("speed", found.factor / below.factor)
            return Unit(f"{found.dimension}/{below.dimension}", found.factor / below.factor, found.noun or below.noun)
    if found is not None and not per:
        return found
    nouns = " ".join(sorted(_singular(word) for word in words.split() if word not in ("of", "the", "a", "total", "more", "in")))
    return Unit(nouns, Fraction(1), noun=True) if re.fullmatch(r"[a-z/\s'-]+", nouns) else None


def _power(words: str) -> Unit | None:
    words = words.strip()
    power = 1
    match = re.fullmatch(r"(.*?)\s*\^?\s*([23])", words)
    if match:
        words, power = match[1], int(match[2])
    first, _, rest = words.partition(" ")
    if first in _POWERS and rest:
        words, power = rest, power * _POWERS[first]
    last = words.rsplit(" ", 1)
    if len(last) == 2 and last[1] in ("square", "squared", "cubed"):
        words, power = last[0], 3 if last[1] == "cubed" else 2
    found = _TABLE.get(words) or _TABLE.get(_singular(words))
    if found is None or (power > 1 and found.dimension not in ("length", "unit", "time")):
        return None
    if found.dimension == "length":
        return Unit(_LENGTH_POWER.get(power, f"length^{power}"), found.factor**power)
    return found if power == 1 or found.dimension == "unit" else Unit(f"{found.dimension}^{power}", found.factor**power)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 2 else word
