"""rewards/score.py: what chains on labelled pairs add up to, worked out by hand, and how sure one may be of it.

Rates are over what was asked, so an unread verdict counts against its judge. Intervals resample prompts, not judgments: the same
pair twice is no more evidence than once.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from planner.records import ORDERS, Chain, Completion, Label, LabeledPair, Order, Pair, Verdict
from rewards.score import Score, interval, score

Judged = tuple[LabeledPair, dict[str, Chain]]


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """scipy warns where it returns NaN; here that is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def labeled(name: str, better: Label = "A", kind: str = "k", group: str = "") -> LabeledPair:
    pair = Pair(instruction=name, response_a="a", response_b="b")
    return LabeledPair(pair=pair, better=better, source="test", kind=kind, group=group)


def chain(of: LabeledPair, order: Order, verdict: Verdict, tokens: int = 10, **more: Any) -> Chain:
    completion = Completion(text="t", finish_reason="length" if more.get("cut_off") else "stop", tokens=tokens)
    return Chain(
        pair_id=of.pair.id, order=order, plan_id="", plan=None, sample=0, completion=completion, execution="e", verdict=verdict,
        p_a=None, **more,
    )  # fmt: skip


def item(of: LabeledPair, ab: Verdict, ba: Verdict, **more: dict[str, Any]) -> Judged:
    """A pair with a verdict in each order, each in the naming of the prompt that was read."""
    return of, {"ab": chain(of, "ab", ab, **more.get("on_ab", {})), "ba": chain(of, "ba", ba, **more.get("on_ba", {}))}


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_every_number_by_hand() -> None:
    items = [
        # Right in both orders, at 10 and 30 tokens.
        item(labeled("1", "A", "x"), "A", "B", on_ba={"tokens": 30}),
        # A in both orders: wrong as it stands, right the other way round, and it went by position.
        item(labeled("2", "B", "x"), "A", "A"),
        # Right by force, and cut off.
        item(labeled("3", "A", "y"), "A", "none", on_ab={"forced": True}, on_ba={"cut_off": True}),
        # Contradicts itself, and calls it a tie.
        item(labeled("4", "B", "y"), "none", "tie", on_ab={"disagrees": True}),
    ]
    got = score(items)
    assert got.n == 4
    assert got.accuracy == 4 / 8
    assert got.accuracy_free == 3 / 8
    assert got.position_consistent == 1 / 4
    assert got.no_verdict == 1 / 8
    assert got.cut_off == 1 / 8
    assert got.forced == 1 / 8
    assert got.disagrees == 1 / 8
    assert got.flip == 1 / 4
    assert got.first_position == 4 / 5, "of A, B, A, A, A; a tie names no position"
    assert got.tokens == 100 / 8
    assert got.kinds == {
        "x": {"n": 2, "accuracy": 3 / 4, "position_consistent": 1 / 2},
        "y": {"n": 2, "accuracy": 1 / 4, "position_consistent": 0.0},
    }
    assert got.ci95.keys() == {"accuracy", "accuracy_free", "position_consistent"}


@pytest.mark.parametrize(
    ("ab", "ba", "flips"),
    [
        ("A", "A", 1),
        ("B", "B", 1),
        ("A", "B", 0),
        ("B", "A", 0),
        ("A", "none", 0),
        ("none", "none", 0),
        ("tie", "tie", 0),
        ("A", "tie", 0),
    ],
)
def test_a_flip_is_two_different_responses_named(ab: Verdict, ba: Verdict, flips: int) -> None:
    """A tie names none of the two."""
    assert score([item(labeled("1"), ab, ba)]).flip == flips


@pytest.mark.parametrize(
    ("better", "ab", "ba", "accuracy", "consistent"),
    [
        ("A", "A", "B", 1.0, 1.0),
        ("B", "B", "A", 1.0, 1.0),
        ("A", "B", "A", 0.0, 0.0),
        ("A", "A", "A", 0.5, 0.0),
        ("A", "A", "none", 0.5, 0.0),
        ("A", "tie", "tie", 0.0, 0.0),
        ("tie", "tie", "tie", 1.0, 1.0),
        ("tie", "A", "tie", 0.5, 0.0),
    ],
)
def test_right_in_both_orders(better: Label, ab: Verdict, ba: Verdict, accuracy: float, consistent: float) -> None:
    got = score([item(labeled("1", better), ab, ba)])
    assert (got.accuracy, got.position_consistent) == (accuracy, consistent)


def test_forced_verdicts_count_in_one_accuracy_alone() -> None:
    forced: dict[str, Any] = {"forced": True}
    got = score([item(labeled("1"), "A", "B", on_ab=forced, on_ba=forced), item(labeled("2"), "A", "A", on_ba=forced)])
    assert (got.accuracy, got.accuracy_free, got.forced) == (3 / 4, 1 / 4, 3 / 4)
    assert got.position_consistent == 1 / 2


def test_a_judge_that_names_nothing_scores_nothing() -> None:
    got = score([item(labeled(str(i)), "none", "none", on_ab={"cut_off": True}) for i in range(5)])
    assert (got.accuracy, got.no_verdict, got.cut_off, got.first_position) == (0.0, 0.5, 0.5, None)


def test_a_judge_that_always_says_a_scores_a_half_and_is_never_consistent() -> None:
    got = score([item(labeled(str(i), "A" if i % 3 else "B"), "A", "A") for i in range(30)])
    assert (got.accuracy, got.position_consistent, got.flip, got.first_position) == (0.5, 0.0, 1.0, 1.0)


def test_swapping_every_pair_changes_nothing() -> None:
    rng = random.Random(0)
    items, swapped = [], []
    for i in range(40):
        of = labeled(str(i), rng.choice(["A", "B"]), group=str(i // 4))
        other = LabeledPair(
            pair=of.pair.swapped(), better="B" if of.better == "A" else "A", source="test", kind="k", group=of.group
        )
        verdicts: list[Verdict] = [rng.choice(["A", "B", "none", "tie"]) for _ in ORDERS]  # type: ignore[misc]
        items.append(item(of, *verdicts))
        swapped.append(item(other, *reversed(verdicts)))
    assert score(items) == score(swapped)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("orders", "told"), [(["ab"], r"\['ab'\]"), (["ba"], r"\['ba'\]"), ([], "no order")])
def test_a_pair_without_both_orders_is_refused(orders: list[Order], told: str) -> None:
    of = labeled("1")
    with pytest.raises(ValueError, match=f"pair {of.pair.id} was judged in {told}, not in both orders"):
        score([item(labeled("0"), "A", "B"), (of, {order: chain(of, order, "A") for order in orders})])


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="no pairs to score"):
        score([])


# -- intervals ---------------------------------------------------------------------------------------------------------


def rows(hits: list[int], clusters: list[str] | None = None) -> list[dict[str, Any]]:
    return [{"cluster": clusters[i] if clusters else str(i), "right": hit} for i, hit in enumerate(hits)]


def width(of: tuple[float, float]) -> float:
    return of[1] - of[0]


def bits(n: int, p: float, seed: int = 0) -> list[int]:
    rng = random.Random(seed)
    return [int(rng.random() < p) for _ in range(n)]


def test_copies_of_a_pair_are_no_more_evidence() -> None:
    """Each of 50 pairs nine times: clustered as wide as with one copy, unclustered three times too narrow."""
    hits = bits(50, 0.6)
    once = interval(rows(hits), "right", per=1)
    clusters = [str(i) for i in range(50) for _ in range(9)]
    nine = [hit for hit in hits for _ in range(9)]
    clustered = interval(rows(nine, clusters), "right", per=1)
    unclustered = interval(rows(nine), "right", per=1)
    assert clustered == pytest.approx(once)
    assert width(clustered) == pytest.approx(3 * width(unclustered), rel=0.15)


def test_pairs_of_one_prompt_are_one_cluster_in_a_score() -> None:
    """Through `score`: the group makes the cluster, and pairs without a group stand alone."""

    def scored(group: bool) -> Score:
        every = []
        for i, hit in enumerate(bits(40, 0.5)):
            for copy in range(4):
                of = labeled(f"{i} {copy}", group=str(i) if group else "")
                every.append(item(of, "A", "B") if hit else item(of, "B", "A"))
        return score(every)

    for name in ("accuracy", "accuracy_free", "position_consistent"):
        assert width(scored(True).ci95[name]) > 1.6 * width(scored(False).ci95[name])


@pytest.mark.parametrize("size", [1, 5])
def test_intervals_cover_the_truth(size: int) -> None:
    """Of 60 judges with a true accuracy of 0.7, on 60 prompts of `size` pairs that fall together: 95 % should, 90 % must."""
    covered = 0
    for seed in range(60):
        hits = [hit for hit in bits(60, 0.7, seed) for _ in range(size)]
        low, high = interval(rows(hits, [str(i // size) for i in range(60 * size)]), "right", per=1)
        assert low <= sum(hits) / len(hits) <= high
        covered += low <= 0.7 <= high
    assert covered >= 54


def test_an_interval_is_the_normal_one_where_that_holds() -> None:
    hits = [1] * 300 + [0] * 100
    low, high = interval(rows(hits), "right", per=1)
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.008)


def test_clusters_weigh_by_their_size() -> None:
    """The rate is over judgments, not the mean of the clusters' rates."""
    hits, clusters = [1] * 90 + [0] * 10, ["big"] * 90 + [f"small {i}" for i in range(10)]
    low, high = interval(rows(hits, clusters), "right", per=1)
    assert low == 0.0
    assert high > 0.95


@pytest.mark.parametrize("n", [2, 3, 50])
def test_data_that_never_varies_keeps_the_exact_bound(n: int) -> None:
    """All right, or all wrong, in n clusters: 0.025 ** (1 / n), not an interval without width (scipy's own is [x, x])."""
    from scipy.stats import binomtest

    low, high = interval(rows([2] * n), "right", per=2)
    exact = binomtest(n, n).proportion_ci(0.95, method="exact")
    assert (low, high) == (pytest.approx(exact.low), 1.0)
    assert interval(rows([0] * n), "right", per=2) == (0.0, pytest.approx(1 - exact.low))


@pytest.mark.parametrize("n", [16, 100])
def test_a_judge_of_positions_is_no_certainty(n: int) -> None:
    """Right in one order of every pair: 50 % exactly, but n pairs cannot rule out a few that it does read."""
    got = score([item(labeled(str(i), "A" if i % 2 else "B"), "A", "A") for i in range(n)])
    half = (1 - 0.025 ** (1 / n)) / 2
    assert got.accuracy == 0.5
    assert got.ci95["accuracy"] == pytest.approx((0.5 - half, 0.5 + half))
    assert got.ci95["position_consistent"] == pytest.approx((0, 2 * half))


@pytest.mark.parametrize("of", [[0], [2], [1]])
def test_one_pair_that_differs_makes_no_interval_narrower(of: list[int]) -> None:
    """Before: [50 %, 50 %] of 100 pairs alike, and [0 %, 1.5 %] of one right in 200, where none right gave [0 %, 3.6 %]."""
    alike = interval(rows(of * 50), "right", per=2)
    but_one = interval(rows([*of * 49, 1 if of != [1] else 2]), "right", per=2)
    assert width(but_one) > 0.9 * width(alike)
    assert but_one[0] < alike[0] + 0.01
    assert but_one[1] > alike[1] - 0.01


def test_a_perfect_judge_has_a_whole_score() -> None:
    got = score([item(labeled(str(i)), "A", "B") for i in range(6)])
    for name in ("accuracy", "accuracy_free", "position_consistent"):
        assert got.ci95[name] == pytest.approx((0.025 ** (1 / 6), 1.0))
    assert Score.model_validate_json(got.model_dump_json()) == got, "NaN would come back as something else"


@pytest.mark.parametrize("hits", [[1], [0, 1, 1]])
def test_one_cluster_tells_nothing(hits: list[int]) -> None:
    assert interval(rows(hits, ["same"] * len(hits)), "right", per=1) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_interval_and_another_a_near_one() -> None:
    hits = rows(bits(80, 0.5))
    assert interval(hits, "right", per=1, seed=3) == interval(hits, "right", per=1, seed=3)
    assert interval(hits, "right", per=1, seed=3) == pytest.approx(interval(hits, "right", per=1, seed=4), abs=0.03)
    items = [item(labeled(str(i)), "A", "B" if i % 2 else "A") for i in range(30)]
    assert score(items, seed=1) == score(items, seed=1)


@pytest.mark.parametrize(
    ("execution", "verdict", "expected"),
    [
        ("Answer A passes. Answer B fails.", "A", True),
        ("Answer A fails. Answer B passes.", "A", False),
        ("Answer A passes. Answer B passes.", "A", False),
        ("Answer A passes.", "A", False),
        ("The response B meets the task, while Response A does not meet it.", "B", True),
        ("Answer B fails at first. Answer A fails. On a second look, answer B is correct.", "B", True),
        ("A is better than B.", "A", False),
        ("Answer A passes. Answer B fails.", "none", False),
        ("Answer Apasses. Answer B fails.", "A", False),
        ("Answer A ties. Answer B ties.", "tie", True),
        ("Answer A fails. Answer B is wrong.", "tie", True),
        ("Answer A passes. Answer B fails.", "tie", False),
        ("Answer A ties.", "tie", False),
        ("Answer A ties. Answer B ties.", "A", False),
    ],
)
def test_an_execution_supports_a_verdict_by_what_it_says_of_both(execution: str, verdict: Any, expected: bool) -> None:
    from rewards.support import supports

    assert supports(execution, verdict) is expected


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("Answer A passes. Answer B fails.", True),
        ("Look at the list.\n- Response B does not meet it", True),
        ("The task asks for a list: answer A is correct.", True),
        ("Look at the list. [[A]]", True),
        ("Check whether Answer A meets the task, and answer B as well.", False),
        ("Answer A passes if it lists three rivers. Response B fails unless it does.", False),
        ("Answer A passes if it lists three. Answer B fails.", True),
        ("See that answer A follows the order that was asked for.", False),
        ("The task asks to write a short poem.", False),
        ("", False),
    ],
)
def test_a_plan_prejudges_where_it_says_what_only_an_execution_can_find(plan: str, expected: bool) -> None:
    from rewards.support import prejudges

    assert prejudges(plan) is expected


def test_the_share_of_plans_that_prejudge_is_of_all_judgments() -> None:
    (first, chains), second = item(labeled("1"), "A", "A"), item(labeled("2"), "A", "B")
    found = chains["ab"].model_copy(update={"plan": "Answer A passes."})
    assert score([(first, {**chains, "ab": found}), second]).prejudged == 0.25
