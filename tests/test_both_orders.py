"""rewards/both_orders.py: what chains earn, by hand-made cases, and every arrangement of rows that is refused."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import UserError
from planner.records import Outcome
from planner.styles.evalplanner import EvalPlannerStyle
from prompts import EXECUTION_END, EXECUTION_START, FINAL_VERDICT
from rewards.both_orders import BothOrdersReward, pair_rewards

SAID = {
    "A": f"{EXECUTION_START}\nA is better.\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[A]]",
    "B": f"{EXECUTION_START}\nB is better.\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[B]]",
    "none": "They are hard to tell apart.",
    "early": "[[A]] it is.",  # a verdict outside of its place is none
    "conflict": f"{EXECUTION_START}\nSo [[B]].\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[A]]",
    "tie": f"{EXECUTION_START}\nEqual.\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[C]]",
}


def reward(generations: int = 1, *, verdict: float = 1.0, consistency: float = 1.0, max_tokens: int = 50) -> BothOrdersReward:
    return BothOrdersReward(
        EvalPlannerStyle(), num_generations=generations, max_tokens=max_tokens, verdict=verdict, consistency=consistency
    )


def rows(*pairs: tuple[list[str], list[str]], gold: str = "A") -> dict[str, Any]:
    """A reward call as TRL makes it: for each pair what was said in order ab, and in order ba. Gold is `gold` in ab."""
    columns: dict[str, Any] = {"completions": [], "completion_ids": [], "pair_id": [], "order": [], "gold": [], "prompts": []}
    other = {"A": "B", "B": "A", "tie": "tie"}[gold]
    for number, sides in enumerate(pairs):
        for order, right, side in zip(("ab", "ba"), (gold, other), sides, strict=True):
            for said in side:
                columns["completions"].append([{"role": "assistant", "content": SAID[said]}])
                columns["completion_ids"].append([1] * len(SAID[said].split()))
                columns["prompts"].append([{"role": "user", "content": "Which is better?"}])
                columns["pair_id"].append(f"pair-{number}")
                columns["order"].append(order)
                columns["gold"].append(right)
    return columns | {"trainer_state": None, "log_extra": None, "log_metric": lambda name, value: None}


@pytest.mark.parametrize(
    ("ab", "ba", "expected"),
    [
        ("right", "right", ([1.25], [1.25])),
        ("right", "wrong", ([1.0], [0.0])),
        ("wrong", "right", ([0.0], [1.0])),
        ("wrong", "wrong", ([0.0], [0.0])),
        ("right", "no_verdict", ([1.0], [0.0])),
        ("no_verdict", "no_verdict", ([0.0], [0.0])),
        ("cut_off", "right", ([0.0], [1.0])),
    ],
)
def test_a_right_verdict_earns_and_two_earn_more(ab: Outcome, ba: Outcome, expected: tuple[list[float], list[float]]) -> None:
    assert pair_rewards([ab], [ba], verdict=1.0, consistency=0.25) == expected


def test_the_ith_chain_stands_beside_the_ith() -> None:
    ab: list[Outcome] = ["right", "right", "wrong"]
    ba: list[Outcome] = ["right", "wrong", "right"]
    assert pair_rewards(ab, ba, verdict=1.0, consistency=1.0) == ([2.0, 1.0, 0.0], [2.0, 0.0, 1.0])
    assert pair_rewards(ab, ba, verdict=0.0, consistency=1.0) == ([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]), "J1's stricter form"
    assert pair_rewards(ab, ba, verdict=1.0, consistency=0.0) == ([1.0, 1.0, 0.0], [1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="zip"):
        pair_rewards(ab, ba[:2], verdict=1.0, consistency=1.0)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("A", "B"), [2.0, 2.0]),  # the same response, named by the letter it bore
        (("A", "A"), [1.0, 0.0]),  # the same letter: one order is wrong
        (("B", "A"), [0.0, 0.0]),
        (("none", "B"), [0.0, 1.0]),
        (("early", "B"), [0.0, 1.0]),
        (("conflict", "B"), [0.0, 1.0]),
        (("tie", "tie"), [0.0, 0.0]),
    ],
)
def test_what_was_said_is_read_in_the_naming_of_its_order(said: tuple[str, str], expected: list[float]) -> None:
    assert reward()(**rows(([said[0]], [said[1]]))) == expected


def test_a_tie_is_right_where_the_label_is_one() -> None:
    assert reward()(**rows((["tie"], ["tie"]), gold="tie")) == [2.0, 2.0]


def test_groups_keep_their_rows_and_shares_are_logged() -> None:
    logged: dict[str, float] = {}
    call = rows((["A", "B"], ["B", "B"]), (["none", "A"], ["conflict", "A"])) | {"log_metric": logged.__setitem__}
    assert reward(2)(**call) == [2.0, 0.0, 2.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    assert logged == {
        "right": 4 / 8, "wrong": 2 / 8, "no_verdict": 2 / 8, "cut_off": 0.0, "disagrees": 1 / 8, "right_in_both_orders": 2 / 8,
    }  # fmt: skip


def test_a_chain_that_ran_out_was_cut_off() -> None:
    logged: dict[str, float] = {}
    call = rows((["none"], ["B"])) | {"log_metric": logged.__setitem__}
    assert reward(max_tokens=5)(**call) == [0.0, 1.0], "a verdict that was reached counts, however long the chain"
    assert (logged["cut_off"], logged["no_verdict"]) == (0.5, 0.0)


def refused(call: dict[str, Any], generations: int = 2) -> str:
    with pytest.raises(UserError) as error:
        reward(generations)(**call)
    return str(error.value)


def swapped(call: dict[str, Any], i: int, j: int) -> dict[str, Any]:
    """Two rows exchanged, as a shuffled dataset would have them."""
    columns = {key: list(value) for key, value in call.items() if isinstance(value, list)}
    for column in columns.values():
        column[i], column[j] = column[j], column[i]
    return call | columns


def cut(call: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Some of the rows, as one rank or one micro-batch would get them."""
    return {key: value[start:stop] if isinstance(value, list) else value for key, value in call.items()}


def test_rows_that_are_not_whole_pairs_are_refused_with_what_mends_it() -> None:
    call = rows((["A", "A"], ["B", "B"]), (["A", "A"], ["B", "B"]))
    assert reward(2)(**call) == [2.0] * 8
    for start, stop in ((0, 3), (0, 2), (0, 6), (0, 0)):
        said = refused(cut(call, start, stop))
        assert f"{stop - start} chains" in said
        assert "grpo.batch_size a multiple of 2 × processes" in said
        assert "steps_per_generation" in said
    assert "chains 0 to 3" in refused(cut(call, 2, 6)), "a rank that starts in the middle of a pair"
    assert "shuffle_dataset=False" in refused(swapped(call, 2, 6)), "a row of another pair"
    assert "chains 4 to 7" in refused(swapped(call, 5, 6)), "the orders mixed"
    assert "not one pair" in refused(swapped(swapped(call, 0, 2), 1, 3)), "ba before ab"
    assert "not one pair" in refused(call, generations=4), "another number of generations than the trainer's"


def test_a_judge_that_never_names_a_verdict_is_stopped_early() -> None:
    """Nothing could be learnt of it: every reward is 0, for hours."""
    silent, one = rows(*[(["none"] * 2, ["none"] * 2)] * 8), reward(2)  # 32 chains
    assert one(**silent) == [0.0] * 32
    with pytest.raises(UserError, match=r"none of this judge's first 64 chains names a verdict.*train = \[\"sft\"\]"):
        one(**silent)
    spoke = reward(2)
    spoke(**rows((["B", "B"], ["none", "none"])))
    for _ in range(3):
        spoke(**silent)
