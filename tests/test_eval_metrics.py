"""Strict scores, intervals by prompt, calibration, votes, and the judgment on two judges."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from eval.curves import calibration, vote_curve
from eval.judged import Ballots, Judged, chain_of, elect
from eval.metrics import bootstrap_intervals, by_kind, class_scores, cohen_kappa, compare, strict
from eval.positions import positions
from planner.records import Chain, LabeledPair, Pair, Verdict


def pair(i: int, better: str = "A", group: str = "", kind: str = "k", a: str = "long answer", b: str = "short") -> LabeledPair:
    asked = Pair(instruction=f"T{i}", response_a=a, response_b=b)
    return LabeledPair(pair=asked, better=better, source="s", kind=kind, group=group)  # type: ignore[arg-type]


def judged(labeled: LabeledPair, ab: Verdict, ba: Verdict, p: tuple[float | None, float | None] = (None, None)) -> Judged:
    """Verdicts and P(response_a) in the naming of the pair as it stands."""
    shown = (p[0], None if p[1] is None else 1 - p[1])
    chains = {
        order: chain_of(labeled, order, said).model_copy(update={"p_a": p_a})
        for order, said, p_a in zip(("ab", "ba"), (ab, ba), shown, strict=True)
    }
    return Judged(labeled, chains)  # type: ignore[arg-type]


# -- strict ------------------------------------------------------------------------------------------------------------


def test_length_preference_counts_named_verdicts_of_unequal_pairs_only() -> None:
    found = strict(
        [
            judged(pair(1), "A", "A"),  # longer twice
            judged(pair(2), "B", "none"),  # shorter once, nothing once
            judged(pair(3, a="same", b="size"), "A", "A"),  # no longer one
            judged(pair(4, better="B"), "tie", "tie"),
        ]
    )
    assert found.longer == pytest.approx(2 / 3)
    assert found.longer_gold == pytest.approx(2 / 3)


def test_both_orders_together_go_to_the_larger_mean_probability() -> None:
    found = strict([judged(pair(1), "A", "B", (0.9, 0.4)), judged(pair(2), "A", "B", (0.6, 0.2)), judged(pair(3), "A", "none")])
    assert found.score.flip == pytest.approx(2 / 3)
    assert found.merged == pytest.approx(1 / 3), "the second leans to B, the third lacks an order"


def test_a_refusal_is_a_missing_verdict_that_opens_like_one() -> None:
    def saying(text: str, verdict: Verdict) -> Chain:
        return chain_of(pair(1), "ab", verdict, text)

    texts = [
        ("I'm sorry, but I can't help with that.", "none"),
        ("As an AI I must say: [[A]]", "A"),
        ("The first. It is right.", "none"),
    ]
    asked = [Judged(pair(i), {"ab": saying(text, v), "ba": saying(text, v)}) for i, (text, v) in enumerate(texts)]  # type: ignore[arg-type]
    assert strict(asked).refused == pytest.approx(1 / 3)


def test_categories_are_scored_apart() -> None:
    kinds = by_kind([judged(pair(1, kind="x"), "A", "A"), judged(pair(2, kind="y"), "B", "B"), judged(pair(3, kind="y"), "A", "A")])
    assert {kind: (one.score.n, one.score.accuracy) for kind, one in kinds.items()} == {"x": (1, 1.0), "y": (2, 0.5)}


def accuracy(found: Sequence[Judged]) -> dict[str, float]:
    return {"accuracy": 100 * sum(one.both_right for one in found) / len(found)}


def test_intervals_resample_prompts_and_not_pairs() -> None:
    """Ten prompts whose pairs stand or fall together are ten observations, however many pairs they are."""
    rng = random.Random(1)
    fates = [rng.random() < 0.5 for _ in range(10)]
    many = [
        judged(pair(100 * g + i, group=f"g{g}"), "A" if f else "B", "A" if f else "B")
        for g, f in enumerate(fates)
        for i in range(20)
    ]
    apart = [judged(pair(100 * g + i), "A" if f else "B", "A" if f else "B") for g, f in enumerate(fates) for i in range(20)]
    wide, narrow = bootstrap_intervals(many, accuracy)["accuracy"], bootstrap_intervals(apart, accuracy)["accuracy"]
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])
    assert wide[0] < accuracy(many)["accuracy"] < wide[1]
    assert bootstrap_intervals(many, accuracy)["accuracy"] == wide, "seeded"
    assert bootstrap_intervals(many[:20], accuracy) == {}, "one prompt has no spread to resample"
    assert bootstrap_intervals(many, lambda found: {}) == {}
    certain = bootstrap_intervals(many, lambda found: {"all": 100.0})["all"]
    assert certain == (pytest.approx(100 * 0.025**0.1), 100), "ten that never vary are no certainty"


def test_a_score_that_most_resamples_lack_has_no_interval() -> None:
    found = [judged(pair(i, kind="rare" if i == 0 else "common"), "A", "A") for i in range(10)]

    def by_rare(drawn: Sequence[Judged]) -> dict[str, float]:
        return {"both": 100.0} if sum(one.labeled.kind == "rare" for one in drawn) > 1 else {"one": 50.0}

    assert bootstrap_intervals(found, by_rare).keys() == {"one"}


def test_a_category_s_interval_is_that_of_its_own_prompts() -> None:
    """Five of two hundred, all right: nothing certain, however many others there are."""
    found = [judged(pair(i, kind="rare" if i < 5 else "common"), "A", "A" if i < 5 or i % 2 else "B") for i in range(200)]

    def scores(drawn: Sequence[Judged]) -> dict[str, float]:
        rare = [one for one in drawn if one.labeled.kind == "rare"]
        named = {"rare": [one for one in rare if one.both_right], "all": [one for one in drawn if one.both_right]}
        return {"rare": 100 * len(named["rare"]) / len(rare), "all": 100 * len(named["all"]) / len(drawn)} if rare else {}

    intervals = bootstrap_intervals(found, scores)
    assert intervals["rare"] == (pytest.approx(100 * 0.025 ** (1 / 5)), 100)
    assert intervals["all"][1] - intervals["all"][0] < 20


# -- calibration -------------------------------------------------------------------------------------------------------


def test_a_calibrated_judge_has_no_error_and_an_overconfident_one_has() -> None:
    rng = random.Random(0)
    honest, bold = [], []
    for i in range(2000):
        p = rng.choice((0.15, 0.35, 0.65, 0.85))
        better = "A" if rng.random() < p else "B"
        said: Verdict = "A" if p > 0.5 else "B"
        honest.append(judged(pair(i, better), said, said, (p, p)))
        sure = 0.99 if p > 0.5 else 0.01
        bold.append(judged(pair(i, better), said, said, (sure, sure)))
    one, other = calibration(honest), calibration(bold)
    assert one is not None
    assert other is not None
    assert one.ece < 0.03
    assert other.ece > 0.2
    assert one.brier < other.brier
    assert one.n == sum(b.n for b in one.bins) == 4000
    assert [b.share_a for b in one.bins] == sorted(b.share_a for b in one.bins)


def test_coverage_begins_with_the_surest() -> None:
    sure_right = [judged(pair(i), "A", "A", (0.95, 0.95)) for i in range(5)]
    unsure_wrong = [judged(pair(i + 5), "B", "B", (0.45, 0.45)) for i in range(5)]
    found = calibration(unsure_wrong + sure_right)
    assert found is not None
    curve = {round(point.coverage, 1): point.accuracy for point in found.coverage}
    assert (curve[0.1], curve[0.5], curve[1.0]) == (1.0, 1.0, 0.5)


def test_without_probabilities_there_is_no_calibration() -> None:
    assert calibration([judged(pair(1), "A", "A")]) is None
    assert calibration([judged(pair(1, better="tie"), "A", "A", (0.7, 0.7))]) is None


# -- votes -------------------------------------------------------------------------------------------------------------


def drawn(*verdicts: Verdict, p: float | None = None, forced: bool = False) -> list[Chain]:
    base = chain_of(pair(1), "ab", "none")
    counted = base.completion.model_copy(update={"tokens": 10})
    return [base.model_copy(update={"verdict": v, "p_a": p, "completion": counted, "forced": forced}) for v in verdicts]


def test_an_election() -> None:
    assert elect(drawn("A", "A", "B"), "majority").verdict == "A"
    assert elect(drawn("A", "B"), "majority").verdict == "none", "a draw names nothing"
    assert elect(drawn("none", "none", "B"), "majority").verdict == "B", "who names nothing does not vote"
    assert elect(drawn("A", "B", "B"), "majority").completion.tokens == 30
    mixed = [*drawn("A", p=0.9), *drawn("B", "B", p=0.4)]
    assert elect(mixed, "majority").verdict == "B"
    assert elect(mixed, "mean_p").verdict == "A", "one sure voice against two weak ones"
    assert elect(mixed, "mean_p").p_a == pytest.approx(1.7 / 3)
    assert elect(drawn("A", "B"), "mean_p").verdict == "none", "no probabilities, no mean"
    assert elect([*drawn("A", forced=True), *drawn("B")], "majority").forced is False
    assert elect(drawn("A", "A", forced=True), "majority").forced is True
    (alone,) = drawn("A")
    assert elect([alone], "majority") is alone


def test_more_votes_of_a_judge_that_is_mostly_right_are_better_and_cost_more() -> None:
    rng = random.Random(3)
    ballots = []
    for i in range(150):
        labeled = pair(i)
        chains = {}
        for order in ("ab", "ba"):
            gold = labeled.gold(order)  # type: ignore[arg-type]
            votes: list[Verdict] = [gold if rng.random() < 0.7 else ("B" if gold == "A" else "A") for _ in range(9)]
            chains[order] = [chain.model_copy(update={"order": order}) for chain in drawn(*votes)]
        ballots.append(Ballots(labeled, chains))  # type: ignore[arg-type]
    points = [point for point in vote_curve(ballots) if point.rule == "majority"]
    assert [point.votes for point in points] == [1, 2, 4, 8, 9]
    assert [point.tokens for point in points] == [20, 40, 80, 160, 180]
    assert points[-1].accuracy > points[0].accuracy + 0.1
    assert points[-1].position_consistent > points[0].position_consistent
    assert vote_curve([Ballots(one.labeled, {order: chains[:1] for order, chains in one.chains.items()}) for one in ballots]) == []


def test_a_pair_that_was_too_long_to_be_asked_does_not_hide_the_curve() -> None:
    asked = pair(1)
    chains = {order: [one.model_copy(update={"order": order}) for one in drawn("A", "A", "A")] for order in ("ab", "ba")}
    silent = pair(2)
    ballots = [
        Ballots(asked, chains),  # type: ignore[arg-type]
        Ballots(silent, {order: [chain_of(silent, order, "none")] for order in ("ab", "ba")}),  # type: ignore[arg-type]
    ]
    assert [(point.votes, point.accuracy) for point in vote_curve(ballots)[:3]] == [(1, 0.25), (2, 0.25), (3, 0.25)]


# -- two judges --------------------------------------------------------------------------------------------------------


def judge_with(hits: Sequence[bool], groups: int | None = None) -> list[Judged]:
    return [
        judged(pair(i, group=f"g{i % groups}" if groups else ""), "A" if hit else "B", "A" if hit else "B")
        for i, hit in enumerate(hits)
    ]


def test_the_same_judge_cannot_be_told_from_itself() -> None:
    one = judge_with([i % 3 > 0 for i in range(60)])
    found = compare(one, one)
    assert (found.outlook, found.difference, found.p, found.changed) == ("can't tell", 0, 1, 0)


def test_better_worse_and_can_t_tell() -> None:
    weak, strong = judge_with([i % 2 == 0 for i in range(60)]), judge_with([i % 2 == 0 or i % 3 == 0 for i in range(60)])
    found = compare(strong, weak)
    assert (found.outlook, found.only_ours, found.only_theirs) == ("better", 10, 0)
    assert found.p == pytest.approx(2 * 0.5**10)
    assert found.difference == pytest.approx(10 / 60)
    assert compare(weak, strong).outlook == "worse"
    assert compare(judge_with([True] * 3), judge_with([False] * 3)).outlook == "can't tell", "three pairs prove nothing"
    swapped_luck = judge_with([i % 2 == 1 for i in range(60)])
    assert compare(weak, swapped_luck).outlook == "can't tell"
    assert compare(weak, swapped_luck).changed == 1


def test_pairs_of_one_prompt_are_one_observation() -> None:
    """Sixty pairs of five prompts: what would be overwhelming by pairs is five against none."""
    ours, theirs = judge_with([True] * 60, groups=5), judge_with([False] * 60, groups=5)
    found = compare(ours, theirs)
    assert (found.only_ours, found.outlook) == (5, "can't tell")


def test_a_judge_equals_itself_on_a_pair_that_is_labelled_both_ways() -> None:
    one = [judged(pair(1, better="A"), "A", "A"), judged(pair(1, better="B"), "A", "A"), judged(pair(2), "A", "A")]
    found = compare(one, one)
    assert (found.difference, found.only_ours, found.only_theirs, found.ours) == (0, 0, 0, found.theirs)


def test_judges_of_different_pairs_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different pairs"):
        compare(judge_with([True]), judge_with([True, False]))


# -- classes -----------------------------------------------------------------------------------------------------------


def test_averages_over_classes() -> None:
    found = class_scores(["A", "A", "A", "tie"], ["A", "A", "B", "B"], ("A", "B", "tie"))
    assert found["macro"].recall == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert found["weighted"].recall == pytest.approx(0.5), "weighted recall is accuracy"
    assert found["macro"].precision == pytest.approx(1 / 3), "a class that is never said has precision 0"


def test_kappa() -> None:
    assert cohen_kappa([0, 1, 2, 1], [0, 1, 2, 1]) == 1
    assert cohen_kappa([1, 1], [1, 1]) == 1
    assert abs(cohen_kappa([0, 0, 1, 1], [0, 1, 0, 1])) < 1e-12


def test_position_metrics_by_hand() -> None:
    found = positions([("A", "A"), ("tie", "tie"), ("A", "B"), ("A", "tie"), ("tie", "B"), ("B", "A"), ("A", "none")])
    assert found.n == 7
    assert (found.consistency, found.bias_first, found.bias_second, found.unread) == pytest.approx((2 / 7, 3 / 7, 1 / 7, 1 / 7))
    assert (found.delta_bias, found.total_bias) == pytest.approx((2 / 7, 4 / 7))
    assert positions([]).n == positions([]).consistency == 0
