"""N responses to N rewards: every strategy, what is settled without asking, what gives no reward, shared plans."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.records import ORDERS, Judgment, OrderJudgment
from prompts import PLAN_END
from rewards.contest import REFERENCE, Group, Scoring, blank, conflicts, preference
from rewards.group import GroupScorer
from rewards.tournament import Strategy
from tests.judges import CountingEngine, first, judge_of, longer, silent

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
LADDER = ["x", "xx", "xxx", "xxxx", "xxxxx", "xxxxxx"]


def scorer(taste: Any = longer, *, judge: dict[str, Any] | None = None, **scoring: Any) -> tuple[GroupScorer, CountingEngine]:
    made = judge_of(taste, **(judge or {}))
    assert isinstance(made.engine, CountingEngine)
    return GroupScorer(made, Scoring(**scoring)), made.engine


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("mode", ["soft", "hard"])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_the_best_is_first_and_the_order_of_listing_changes_nothing(strategy: Strategy, mode: str, n: int) -> None:
    made, engine = scorer(strategy=strategy, mode=mode)
    score = made.score_group("Write much.", LADDER[:n])
    assert all(score.valid)
    assert all(0 <= reward <= 1 for reward in score.rewards if reward is not None)
    back = made.score_group("Write much.", LADDER[:n][::-1])
    assert back.rewards == score.rewards[::-1]
    if strategy in ("all_pairs", "knockout"):
        assert score.rewards.index(max(score.rewards)) == n - 1
    if strategy == "all_pairs":
        assert list(score.rewards) == sorted(score.rewards)
    assert score.cost.judgments == 2 * score.cost.pairs == len(engine.requests) / 2


@pytest.mark.parametrize(
    ("strategy", "n", "pairs"),
    [("all_pairs", 6, 15), ("circular", 6, 6), ("circular", 2, 1), ("circular", 3, 3), ("pivot", 6, 5), ("knockout", 6, 5),
     ("swiss", 6, 9), ("swiss", 5, 6), ("swiss", 2, 1), ("knockout", 5, 4)],
)  # fmt: skip
def test_a_strategy_takes_the_matches_it_says(strategy: Strategy, n: int, pairs: int) -> None:
    made, _ = scorer(strategy=strategy)
    score = made.score_group("Write much.", LADDER[:n])
    assert score.cost.pairs == pairs
    met = {frozenset((one.first, one.second)) for one in score.judgments}
    assert len(met) == pairs
    assert set().union(*met) == set(range(n))


def test_every_pair_is_asked_in_both_orders() -> None:
    made, engine = scorer(strategy="all_pairs")
    made.score_group("Write much.", LADDER[:3])
    contents = [request.messages[-1].content for request in engine.requests]
    assert len(set(contents)) == len(contents) == 6


def test_a_judge_of_position_alone_gives_every_response_the_same() -> None:
    made, _ = scorer(first, strategy="all_pairs")
    score = made.score_group("Write much.", LADDER[:4])
    assert score.rewards == (0.5,) * 4
    assert score.cost.conflicts == score.cost.pairs == 6
    dropped, _ = scorer(first, strategy="all_pairs", conflict="drop")
    score = dropped.score_group("Write much.", LADDER[:4])
    assert score.rewards == (None,) * 4
    assert {one.why for one in score.judgments} == {"conflict"}


def test_an_unread_verdict_is_never_a_number() -> None:
    made, _ = scorer(silent)
    score = made.score_group("Write much.", LADDER[:4])
    assert score.rewards == (None,) * 4
    assert score.valid == (False,) * 4
    assert score.cost.unread == score.cost.pairs == 4


def test_one_unread_pair_leaves_the_rest() -> None:
    made, _ = scorer(lambda a, b: "?" if "xxx" in (a, b) else longer(a, b), strategy="all_pairs")
    score = made.score_group("Write much.", ["x", "xx", "xxx"])
    assert score.valid == (True, True, False)
    assert score.rewards[1] > score.rewards[0]


def test_an_order_that_cannot_be_read_spoils_its_pair() -> None:
    """Half a comparison would hold the position's bias whole."""
    made, _ = scorer(lambda a, b: "A" if len(a) > len(b) else "?")
    assert made.score_group("Write much.", ["x", "xx"]).rewards == (None, None)


def test_ties_are_halves() -> None:
    made, _ = scorer(lambda a, b: "tie", mode="hard")
    assert made.score_group("Write much.", LADDER[:3]).rewards == (0.5,) * 3


# -- settled without asking --------------------------------------------------------------------------------------------


def test_equal_responses_are_one_player() -> None:
    made, engine = scorer(strategy="all_pairs")
    score = made.score_group("Write much.", ["xx", "x", "xx", "x", "x"])
    assert score.cost.pairs == 1
    assert score.rewards[0] == score.rewards[2] > score.rewards[1] == score.rewards[3] == score.rewards[4]
    assert made.score_group("Write much.", ["xx"] * 3).rewards == (0.5,) * 3
    assert len(engine.requests) == 2


@pytest.mark.parametrize("nothing", ["", " \n\t", "\u200b\u200e", "\x00\u2028", "\ufe0f\u034f", "\u3164 \u2800", "\ue000"])
def test_a_blank_response_loses_unseen(nothing: str) -> None:
    made, engine = scorer(lambda a, b: "A" if blank(a) else "B", strategy="all_pairs")
    score = made.score_group("Say it.", ["good", nothing, "fine", ""])
    assert min(score.rewards) == score.rewards[1] == score.rewards[3] < min(score.rewards[0], score.rewards[2])
    assert not any(blank(text) for request in engine.requests for text in request.messages[-1].content.split("Answer]\n")[1:])
    assert [one.why for one in score.judgments].count("blank") == 2


def test_a_group_of_one() -> None:
    made, engine = scorer()
    alone = made.score_group("Write much.", ["xx"])
    assert (alone.rewards, alone.cost.pairs, engine.requests) == ((None,), 0, [])
    beside = made.score_group("Write much.", ["xx"], reference="x")
    assert beside.rewards[0] > 0.5
    assert beside.judgments[0].second == REFERENCE
    assert made.score_group("Write much.", ["xx"], reference="xx").rewards == (0.5,)


@pytest.mark.parametrize("nothing", ["", " \n", "\u200b"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_blank_reference_is_none(strategy: Strategy, nothing: str) -> None:
    """Whatever beats nothing has shown nothing: an empty column of a data set must not give full marks."""
    made, _ = scorer(strategy=strategy)
    assert made.score_group("Write much.", ["xx"], reference=nothing).rewards == (None,)
    assert made.score_group("Write much.", LADDER, reference=nothing) == made.score_group("Write much.", LADDER)


@pytest.mark.parametrize("instruction", list("abcdefgh"))
def test_a_blank_response_is_no_anchor(instruction: str) -> None:
    """Drawn as one, it would leave the others alike and itself with one half."""
    made, _ = scorer(strategy="pivot")
    score = made.score_group(instruction, ["", "x", "xxxx"])
    assert score.rewards[0] == 0.0
    assert score.rewards[1] < score.rewards[2]


def test_a_group_of_none_is_refused() -> None:
    made, _ = scorer()
    with pytest.raises(ValidationError):
        made.score_group("Write much.", [])


def test_pivot_is_against_the_reference() -> None:
    made, engine = scorer(strategy="pivot")
    score = made.score_group("Write much.", ["x", "xxxx"], reference="xx")
    assert score.rewards == (pytest.approx(0.2), pytest.approx(0.8))
    assert len(engine.requests) == 4


def test_what_does_not_fit_the_context_gives_no_reward() -> None:
    long = "word " * 500
    made, engine = scorer(strategy="all_pairs", judge={"max_model_len": 400})
    score = made.score_group("Write much.", ["x", long, "xx"])
    assert score.valid == (True, False, True)
    assert [one.why for one in score.judgments].count("over_long") == 2
    assert len(engine.requests) == 2
    assert score.cost.unread == 2


# -- batches, votes, plans ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "calls"), [("all_pairs", 1), ("circular", 1), ("knockout", 2), ("swiss", 2)])
def test_a_round_of_all_groups_goes_to_the_engine_at_once(strategy: Strategy, calls: int) -> None:
    made, engine = scorer(strategy=strategy)
    groups = [Group(instruction=f"Task {k}.", responses=tuple(LADDER[:4])) for k in range(5)]
    scores = made.score_groups(groups)
    assert len(engine.calls) == calls
    apart = [scorer(strategy=strategy)[0].score_group(group.instruction, group.responses) for group in groups]
    assert [one.rewards for one in apart] == [one.rewards for one in scores]


def test_equal_groups_are_asked_for_once() -> None:
    made, engine = scorer()
    group = Group(instruction="Write much.", responses=("x", "xx"))
    a, b = made.score_groups([group, group])
    assert a == b
    assert len(engine.requests) == 2


def test_votes_are_averaged() -> None:
    made, engine = scorer(judge={"temperature": 1.0}, votes=3)
    score = made.score_group("Write much.", ["x", "xx"])
    assert score.cost.judgments == 6
    assert {request.n for request in engine.requests} == {3}
    with pytest.raises(ValueError, match="greedy"):
        scorer(votes=3)


def test_a_shared_plan_is_written_once_without_the_responses_and_prefilled_everywhere() -> None:
    made, engine = scorer(strategy="all_pairs", plan="shared")
    score = made.score_group("Write much.", LADDER[:3])
    plans = [request for request in engine.requests if PLAN_END in request.stop]
    assert len(plans) == 1
    assert not any(response in plans[0].messages[-1].content.split() for response in LADDER[:3])
    assert {request.prefill for request in engine.requests[1:]} == {
        "[Start of Evaluation Plan]\nLook at what was asked.\n[End of Evaluation Plan]\n[Start of Plan Execution]\n"
    }
    assert {one.judgment.plan for one in score.judgments if one.judgment} == {"Look at what was asked."}
    own, _ = scorer(strategy="all_pairs")
    assert score.rewards == own.score_group("Write much.", LADDER[:3]).rewards


def test_shared_plans_are_kept_by_model_and_instruction_and_bounded() -> None:
    made = judge_of(longer)
    assert isinstance(made.engine, CountingEngine)
    shared = GroupScorer(made, Scoring(plan="shared"), cached_plans=2)

    def written(instruction: str) -> int:
        before = len(made.engine.requests)  # type: ignore[attr-defined]
        shared.score_group(instruction, ["x", "xx"])
        return sum(PLAN_END in r.stop for r in made.engine.requests[before:])  # type: ignore[attr-defined]

    assert [written(one) for one in ("a", "a", "b", "a", "c", "a", "b")] == [1, 0, 1, 0, 1, 0, 1]
    made.engine.load("another")
    assert written("a") == 1


def test_a_plan_that_came_to_nothing_gives_no_reward() -> None:
    made = judge_of(longer, max_tokens=2)  # cut off before its end tag
    score = GroupScorer(made, Scoring(plan="shared")).score_group("Write much.", ["x", "xx"])
    assert score.rewards == (None, None)
    assert {one.why for one in score.judgments} == {"no_plan"}
    assert score.cost.tokens > 0


def test_the_rating_by_wins_is_for_all_pairs() -> None:
    made, _ = scorer(strategy="all_pairs", rating="win_rate", mode="hard")
    assert made.score_group("Write much.", LADDER[:3]).rewards == (0.0, 0.5, 1.0)
    with pytest.raises(ValidationError, match="all_pairs"):
        Scoring(rating="win_rate", strategy="circular")
    with pytest.raises(ValidationError, match="all_pairs"):
        made.score_group("Write much.", LADDER[:3], strategy="swiss")


# -- one comparison ----------------------------------------------------------------------------------------------------


def said(*votes: tuple[str, str, float | None]) -> Judgment:
    orders = tuple(
        OrderJudgment(order=order, verdict=verdict, p_a=p_a, plan=None, execution="", forced=False, cut_off=False, tokens=1)
        for order, verdict, p_a in votes
    )
    return Judgment(verdict="none", p_a=None, plan=None, execution="", consistent=False, orders=orders)


@pytest.mark.parametrize(
    ("votes", "mode", "expected"),
    [
        ([("ab", "A", 0.9), ("ba", "A", 0.7)], "soft", 0.8),
        ([("ab", "A", 0.9), ("ba", "A", 0.7)], "hard", 1.0),
        ([("ab", "A", 0.9), ("ba", "B", 0.4)], "soft", 0.65),
        ([("ab", "A", 0.9), ("ba", "B", 0.4)], "hard", 0.5),
        ([("ab", "A", 0.9), ("ab", "none", None), ("ba", "B", 0.3)], "soft", 0.6),  # a vote that cannot be read is no vote
        ([("ab", "A", 0.9), ("ba", "none", None)], "soft", None),
        ([("ab", "A", None), ("ba", "A", None)], "soft", None),  # no probabilities: no soft reward, and no hard one in its place
        ([("ab", "A", None), ("ba", "A", None)], "hard", 1.0),
        ([("ab", "tie", None), ("ba", "A", 0.8)], "soft", 0.65),
        ([("ab", "A", 0.8)], "soft", None),
    ],
)
def test_a_preference_is_the_mean_over_the_orders(votes: list[Any], mode: Any, expected: float | None) -> None:
    p, why = preference(said(*votes), Scoring(mode=mode))
    assert p == (None if expected is None else pytest.approx(expected))
    assert why == ("no_verdict" if expected is None else "judged")


def test_orders_conflict_by_their_majorities() -> None:
    assert conflicts(said(("ab", "A", 1.0), ("ba", "B", 0.0)))
    assert not conflicts(said(("ab", "A", 1.0), ("ba", "A", 1.0)))
    assert not conflicts(said(("ab", "A", 1.0), ("ba", "none", None)))
    assert conflicts(said(("ab", "A", 1.0), ("ab", "A", 1.0), ("ab", "B", 0.0), ("ba", "B", 0.0)))


@given(st.lists(st.sampled_from(["x", "xx", "xxx", "", "xxxx", " "]), min_size=1, max_size=7), st.sampled_from(STRATEGIES))
def test_any_group_has_a_score_of_its_own_length(responses: list[str], strategy: Strategy) -> None:
    made, _ = scorer(strategy=strategy)
    score = made.score_group("Write much.", responses)
    assert len(score.rewards) == len(responses)
    assert score.cost.judgments == len(ORDERS) * score.cost.pairs
    for i, a in enumerate(responses):
        for j, b in enumerate(responses):
            if a.strip() == b.strip():
                assert score.rewards[i] == score.rewards[j]
