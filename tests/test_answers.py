"""Are two answers the same mathematics? Decisions against a table, the extraction of answers, and input that means harm.

rewards/answers/: `equivalent`, `decide`, `extract`. The table is tests/answer_pairs.py.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from rewards.answers import MAX_CHARACTERS, decide, equivalent, extract
from tests.answer_pairs import COMMON, OTHER, SAME

CASES = [
    (a, b, expected) for table, expected in ((SAME, True), (OTHER, False)) for pairs in table.values() for a, b in pairs
]


def test_the_table_is_as_large_and_as_varied_as_it_claims() -> None:
    assert len(CASES) >= 400
    assert len({frozenset((a, b)) for a, b, _ in CASES}) == len(CASES)
    assert min(len([case for case in CASES if case[2] is expected]) for expected in (True, False)) >= 150
    assert len(COMMON) == 100
    assert len({(a, b) for a, b, _ in COMMON}) == 100


def test_no_decision_of_the_table_is_wrong_and_few_are_left_open() -> None:
    found = [(a, b, expected, decide(a, b)) for a, b, expected in CASES]
    wrong = [(a, b, f"said {got.equal}") for a, b, expected, got in found if got.equal is not None and got.equal != expected]
    undecided = [(a, b, got.why) for a, b, _, got in found if got.equal is None]
    assert wrong == []
    assert [one for one in undecided if one[2] in ("time", "memory", "died")] == []
    assert len(undecided) <= 0.02 * len(CASES), undecided


def test_a_decision_does_not_depend_on_who_is_named_first() -> None:
    assert [(a, b) for a, b, expected in CASES if equivalent(b, a) not in (expected, None)] == []


def test_none_of_a_hundred_common_forms_is_left_open() -> None:
    assert [(a, b, got) for a, b, expected in COMMON if (got := equivalent(a, b)) is not expected] == []
