"""planner/grade.py: scores in the order asked, against a reference, and none where nothing can be read."""

from __future__ import annotations

import pytest

from planner.engines.base import EngineError, Request
from planner.engines.scripted import ScriptedEngine
from planner.grade import Grader, Single
from planner.styles import SCORING
from prompts import PromptError


def j1(request: Request, draw: int) -> str:
    return f"<think>words</think> <score>{request.messages[-1].content.count('wx ')}</score>"


def test_grades_come_in_the_order_asked() -> None:
    grader = Grader(ScriptedEngine(j1), SCORING["j1-score"])
    found = list(grader.grade_many(Single(instruction="Q", response="wx " * n) for n in (3, 1, 2)))
    assert [one.score for one in found] == [3, 1, 2]
    assert grader.grade("Q", "wx ").score == 1


def test_judgelm_grades_against_a_reference() -> None:
    seen: list[Request] = []

    def script(request: Request, draw: int) -> str:
        seen.append(request)
        return " 7\nclose to it"

    grader = Grader(ScriptedEngine(script), SCORING["judgelm"])
    assert grader.grade("Q", "y", "R").score == 7
    assert (seen[0].prefill, seen[0].messages[0].role) == ("10", "text")
    with pytest.raises(PromptError, match="reference"):
        grader.grade("Q", "y")


def test_what_cannot_be_read_or_was_cut_off_has_no_score() -> None:
    assert Grader(ScriptedEngine(lambda r, d: "good"), SCORING["j1-score"]).grade("Q", "y").score is None
    cut = Grader(ScriptedEngine(lambda r, d: "<think> a b c d </think> <score>7</score>"), SCORING["j1-score"], max_tokens=3)
    assert (cut.grade("Q", "y").score, cut.grade("Q", "y").cut_off) == (None, True)


def test_several_responses_at_once() -> None:
    grader = Grader(ScriptedEngine(lambda r, d: "8 7, 9/10\nbecause"), SCORING["judgelm"])
    assert grader.grade_together("Q", ("x", "y", "z")) == (8, 7, 9)
    assert grader.grade_together("Q", ("x", "y")) is None, "three scores for two responses"
    with pytest.raises(EngineError, match="judgelm"):
        Grader(ScriptedEngine(), SCORING["j1-score"]).grade_together("Q", ("x", "y"))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(EngineError, match="do not fit"):
        Grader(ScriptedEngine(max_model_len=300), SCORING["j1-score"], max_tokens=200).grade("Q", "w " * 99)
