"""Rewards from a judge that grades one response at a time."""

from __future__ import annotations

import pytest

from planner.engines.base import Request, Sampling
from planner.engines.scripted import ScriptedEngine
from planner.records import Message
from planner.styles import SCORING
from planner.styles.base import Prompt
from rewards.adapters.trl import JudgeReward
from rewards.contest import Group
from rewards.pointwise import PointwiseScorer


class OneToFive:
    """A `ScoringStyle` for tests: the response is the last line of the prompt."""

    bounds = (1.0, 5.0)

    def score_prompt(self, instruction: str, response: str, reference: str | None = None) -> Prompt:
        return Prompt((Message(role="user", content=f"{instruction} {reference}\n{response}"),), "Score: ", ())

    def read_score(self, text: str, finish_reason: str = "stop") -> float | None:
        said = text.removeprefix("Score: ")
        return float(said) if said.replace(".", "").isdigit() else None


def graded(request: Request, draw: int) -> str:
    """The number of letters, plus the number of the draw; nothing readable for `?`."""
    response = request.messages[-1].content.rpartition("\n")[2]
    return "no idea" if response == "?" else str(len(response) + draw)


def test_grades_become_rewards_by_their_bounds() -> None:
    engine = ScriptedEngine(graded)
    score = PointwiseScorer(engine, OneToFive()).score_group("Write much.", ["x", "xxx", "xxxxx", "?", "xxxxxxx", "", "xxx"])
    assert score.rewards == (0.0, 0.5, 1.0, None, None, 0.0, 0.5)
    assert score.valid == (True, True, True, False, False, True, True)
    assert (score.cost.judgments, score.cost.unread) == (5, 2)


def test_votes_are_averaged_and_unread_ones_left_out() -> None:
    scorer = PointwiseScorer(ScriptedEngine(graded), OneToFive(), sampling=Sampling(1.0), votes=3)
    assert scorer.score_group("Write much.", ["x", "xxxx"]).rewards == (0.25, 0.875)  # 1, 2, 3; then 4, 5 and one out of bounds
    with pytest.raises(ValueError, match="greedy"):
        PointwiseScorer(ScriptedEngine(graded), OneToFive(), votes=3)


def test_groups_go_to_the_engine_together_and_what_is_too_long_does_not_go() -> None:
    scorer = PointwiseScorer(ScriptedEngine(graded, max_model_len=60), OneToFive(), max_tokens=20)
    groups = [Group(instruction="a", responses=("x", "y " * 60)), Group(instruction="b", responses=("xx",), reference="xxx")]
    assert [score.rewards for score in scorer.score_groups(groups)] == [(0.0, None), (0.25,)]


def test_it_stands_where_a_pairwise_judge_may() -> None:
    assert JudgeReward(PointwiseScorer(ScriptedEngine(graded), OneToFive()))(["p", "p"], ["x", "xxx"]) == [0.0, 0.5]


@pytest.mark.parametrize(("name", "said"), [("j1-score", "<think>fine</think><score>7</score>"), ("judgelm", " 7\nBecause.")])
def test_the_house_s_own_grading_styles_fit(name: str, said: str) -> None:
    """JudgeLM's answer goes on from the reference's 10."""
    score = PointwiseScorer(ScriptedEngine(lambda request, draw: said), SCORING[name]).score_group("p", ["x"], reference="gold")
    assert score.rewards == (pytest.approx(0.7),)
