"""Rewards from a judge that grades one response at a time."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from planner.engines.base import Request, Sampling
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from planner.records import Message
from planner.styles import SCORING
from planner.styles.base import Prompt
from rewards.adapters.trl import JudgeReward
from rewards.config import RewardConfig, open_scorer
from rewards.contest import Abandoned, Group, Scoring
from rewards.group import GroupScorer
from rewards.pointwise import PointwiseScorer
from tests.judges import judge_of, longer
from tests.serving import reward_body, running


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
    reward, logged = JudgeReward(PointwiseScorer(ScriptedEngine(graded), OneToFive())), dict[str, float]()
    assert reward(["p", "p"], ["x", "xxx"]) == [0.0, 0.5]
    assert reward(["p", "p"], ["x", "?"], log_metric=logged.__setitem__) == [0.0, None]
    assert logged["judge/unread"] == 0.5


@pytest.mark.parametrize("nothing", ["", " \u200b"])
def test_a_blank_reference_is_not_shown(nothing: str) -> None:
    engine, asked = ScriptedEngine(graded), []
    engine.sample = lambda requests: asked.extend(requests) or iter(())  # type: ignore[method-assign,func-returns-value]
    PointwiseScorer(engine, OneToFive()).score_group("p", ["x"], reference=nothing)
    assert asked[0].messages[-1].content == "p None\nx"


def ten(request: Request, draw: int) -> str:
    """J1's form: the number of ß in the prompt."""
    return f"<think>fine</think><score>{request.messages[-1].content.count('ß')}</score>"


def test_a_config_makes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that every adapter and the server grade too."""
    config = RewardConfig(model="m", style="j1-score", max_tokens=9, scoring={"strategy": "pointwise"})
    monkeypatch.setattr("rewards.config._open_engine", lambda config: ScriptedEngine(ten))
    made = open_scorer(config)
    assert isinstance(made, PointwiseScorer)
    assert (made.style, made.max_tokens) == (SCORING["j1-score"], 9)
    with pytest.raises(ValidationError, match="judges that compare"):
        Scoring(strategy="pointwise", plan="shared")
    with pytest.raises(ValueError, match="judges that grade"):
        GroupScorer(judge_of(longer), Scoring(strategy="pointwise"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"style": "evalplanner", "scoring": {"strategy": "pointwise"}}, "style = 'evalplanner': set one that grades"),
        ({"scoring": {"strategy": "pointwise"}}, "with no style: set one that grades a single response, of judgelm"),
        ({"style": "mtbench", "scoring": {"plan": "shared"}}, "needs a judge that plans"),
        ({}, "set style, one of"),
    ],
)
def test_a_style_that_does_not_do_is_said_before_an_engine_is_started(
    fields: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewards.config._open_engine", lambda config: pytest.fail("started"))
    with pytest.raises(UserError, match=said):
        open_scorer(RewardConfig(model="m", **fields))


def test_the_server_grades() -> None:
    with running(scorer=PointwiseScorer(ScriptedEngine(ten), SCORING["j1-score"], max_tokens=9)) as server:
        said = server.post("/get_reward", **reward_body("ß" * 3, "ß" * 7)).json()
        assert said["rewards"] == [pytest.approx(0.3), pytest.approx(0.7)]
        assert server.post("/get_reward", **reward_body("xxx")).json()["extra_logs"] == {"invalid": [0.0], "cohort": [1.0]}
        assert server.post("/compare", instruction="p", responses=["x", "xx"]).json()["valid"] == [True, True]
        for path, body in (
            ("/compare", {"instruction": "p", "responses": ["x", "xx"], "strategy": "swiss"}),
            ("/judge", {"instruction": "p", "response_a": "x", "response_b": "xx"}),
        ):
            refused = server.post(path, **body)
            assert (refused.status_code, "grades one response" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(("name", "said"), [("j1-score", "<think>fine</think><score>7</score>"), ("judgelm", " 7\nBecause.")])
def test_the_house_s_own_grading_styles_fit(name: str, said: str) -> None:
    """JudgeLM's answer goes on from the reference's 10."""
    score = PointwiseScorer(ScriptedEngine(lambda request, draw: said), SCORING[name]).score_group("p", ["x"], reference="gold")
    assert score.rewards == (pytest.approx(0.7),)


def test_what_a_style_cannot_do_without_is_the_client_s_to_send() -> None:
    """JudgeLM grades against a reference alone; a missing one is no error of the server's."""
    with running(scorer=PointwiseScorer(ScriptedEngine(ten), SCORING["judgelm"]), cohort=2, wait_s=0.05) as server:
        refused = server.post("/get_reward", **reward_body("x"))
        assert (refused.status_code, "reference" in refused.json()["detail"]) == (422, True)
        assert server.post("/compare", instruction="p", responses=["x"], reference="y").status_code == 200


def test_what_nobody_wants_any_more_is_graded_no_further() -> None:
    asked = list[str]()

    def counted(request: Request, draw: int) -> str:
        asked.append(request.key)
        return graded(request, draw)

    group = Group(instruction="p", responses=tuple("x" * (k + 1) for k in range(9)))
    with pytest.raises(Abandoned):
        PointwiseScorer(ScriptedEngine(counted), OneToFive()).score_groups([group], abandoned=lambda: len(asked) > 2)
    assert len(asked) < 9
