"""Months and days of the week, in full or short."""

from __future__ import annotations

import re

from rewards.answers.shapes import Word

_MONTHS = re.findall("[a-z]+", "january february march april may june july august september october november december")
_DAYS = re.findall("[a-z]+", "monday tuesday wednesday thursday friday saturday sunday")
_FULL = {name[:3]: name for name in (*_MONTHS, *_DAYS)} | {
    "sept": "september",
    "tues": "tuesday",
    "thur": "thursday",
    "thurs": "thursday",
}
_MONTH = rf"({'|'.join(_MONTHS)}|(?:{'|'.join(month[:3] for month in _MONTHS)}|sept)\.?)"
_DATE = re.compile(rf"{_MONTH}\s+(\d{{1,2}})(?:st|nd|rd|th)?|(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}", re.IGNORECASE)


def in_full(text: str) -> str:
    """A text whose months and days of the week are not shortened: `jan 5` -> `january 5`."""
    return re.sub(r"[a-z]+", lambda word: _FULL.get(word[0], word[0]), text)


def day_of_a_month(bare: str) -> Word | None:
    """`Jan. 5`, `5 January`, `January 5th`: one spelling, `january 5`. A month's short name is one only beside a day."""
    match = _DATE.fullmatch(bare)
    if match is None:
        return None
    month, day = match[1] or match[4], match[2] or match[3]
    return Word(f"{in_full(month.lower().rstrip('.'))} {int(day)}")
