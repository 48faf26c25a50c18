"""Every score of judged pairs that is not one benchmark's own: strict scores with their intervals, and two judges compared.

Strict means: both orders, an unread verdict never right, intervals by bootstrap over prompts (`rewards.score`). Shares are 0 to 1 here;
reports print percentages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from eval.judged import Judged, chain_of, refused
from planner.judge import merge
from planner.records import Order, Record, Verdict, flip
from rewards.score import Interval, Score, interval, ratio_interval, score, unseen_interval

Outlook = Literal["better", "worse", "can't tell"]
_SIGNIFICANT = 0.05


class Strict(Record):
    """One judge on a set of pairs asked in both orders."""

    score: Score
    merged: float
    """Pairs where both orders together (the larger mean P(A), or agreement) name the right response / pairs."""
    merged_ci95: Interval
    longer: float | None
    """Verdicts for the longer response / verdicts that name one of two responses of different length; None where there are none."""
    longer_gold: float | None
    """Labels for the longer response, over pairs of different length: what an unbiased judge would come near."""
    refused: float
    """Judgments without a verdict that open like a refusal / judgments."""


def strict(judged: Sequence[Judged], *, seed: int = 0) -> Strict:
    """Score pairs asked in both orders.

    Raises:
        ValueError: no pairs, or one without both orders.
    """
    found = score(judged, seed=seed)
    merged = [int(merge(list(one.chains.values()), "mean").verdict == one.labeled.better) for one in judged]
    rows = [{"cluster": one.labeled.cluster, "merged": hit} for one, hit in zip(judged, merged, strict=True)]
    chose, gold = longer_preference(judged)
    return Strict(
        score=found,
        merged=sum(merged) / len(merged),
        merged_ci95=interval(rows, "merged", per=1, seed=seed),
        longer=chose,
        longer_gold=gold,
        refused=sum(refused(chain) for one in judged for chain in one.chains.values()) / (2 * len(judged)),
    )


def longer_preference(judged: Sequence[Judged]) -> tuple[float | None, float | None]:
    """(share of verdicts, share of labels) for the response with more characters; None where there is none to count."""
    chose, gold = [], []
    for one in judged:
        a, b = len(one.labeled.pair.response_a), len(one.labeled.pair.response_b)
        if a == b:
            continue
        longer = "A" if a > b else "B"
        chose += [one.said(order) == longer for order in one.chains if one.said(order) in ("A", "B")]
        gold += [one.labeled.better == longer] if one.labeled.better != "tie" else []
    return (sum(chose) / len(chose) if chose else None, sum(gold) / len(gold) if gold else None)


def by_kind(judged: Sequence[Judged], *, seed: int = 0) -> dict[str, Strict]:
    """The same of every category."""
    kinds: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        kinds[one.labeled.kind].append(one)
    return {kind: strict(found, seed=seed) for kind, found in sorted(kinds.items())}


# -- intervals of scores that are no plain rate ------------------------------------------------------------------------


def bootstrap_intervals(
    judged: Sequence[Judged], statistic: Callable[[Sequence[Judged]], Mapping[str, float]], *, resamples: int = 300, seed: int = 0
) -> dict[str, Interval]:
    """95 % percentile intervals of percentages by name, resampling prompts; left out where resamples mostly lack what one is made of.

    A prompt that is drawn twice is in the resample twice, as the same `Judged` objects.
    """
    clusters: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        clusters[one.labeled.cluster].append(one)
    groups = list(clusters.values())
    if len(groups) < 2:
        return {}
    rng = np.random.default_rng(seed)
    values: dict[str, list[float]] = defaultdict(list)
    for _ in range(resamples):
        drawn = [one for index in rng.integers(len(groups), size=len(groups)) for one in groups[index]]
        for name, value in statistic(drawn).items():
            values[name].append(value)
    behind = _prompts_behind(judged, statistic)
    intervals = {}
    for name, observed in statistic(judged).items():
        if len(values[name]) >= resamples / 2:
            low, high = unseen_interval(observed, behind.get(name, len(groups)), (0.0, 100.0))
            found = np.percentile(values[name], [2.5, 97.5])
            intervals[name] = (min(low, float(found[0])), max(high, float(found[1])))
    return intervals


def _prompts_behind(judged: Sequence[Judged], statistic: Callable[[Sequence[Judged]], Mapping[str, float]]) -> dict[str, int]:
    """How many prompts each score is made of: those of the parts and kinds that move it, of a judge that is right on all others."""
    kinds: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in judged:
        kinds[_part_and_kind(one)].add(one.labeled.cluster)
    right = [_played(one, right=True) for one in judged]
    whole = statistic(right)
    behind: dict[str, set[str]] = defaultdict(set)
    for kind, prompts in kinds.items():
        moved = statistic([_played(one, right=False) if _part_and_kind(one) == kind else one for one in right])
        for name in whole:
            if moved.get(name) != whole[name]:
                behind[name] |= prompts
    return {name: len(prompts) for name, prompts in behind.items()}


def _part_and_kind(one: Judged) -> tuple[str, str]:
    return one.labeled.notes.get("part", ""), one.labeled.kind


def _played(one: Judged, *, right: bool) -> Judged:
    """The pair judged right in all orders; or wrong in the first and not at all in the other, which lowers every score there is."""
    gold = one.labeled.better
    said: dict[Order, Verdict] = {"ab": gold, "ba": gold} if right else {"ab": "A" if gold == "tie" else flip(gold), "ba": "none"}
    return Judged(one.labeled, {order: chain_of(one.labeled, order, said[order]) for order in one.chains})


# -- two judges --------------------------------------------------------------------------------------------------------


class Comparison(Record):
    """This judge against another on the same pairs, by pairs right in both orders."""

    n: int
    ours: float
    theirs: float
    difference: float
    ci95: Interval
    """Of the difference, by bootstrap over prompts."""
    only_ours: int
    """Prompts on which this judge gets more pairs right; the other's are `only_theirs`."""
    only_theirs: int
    p: float
    """Exact McNemar: the two counts above against a fair coin."""
    outlook: Outlook
    """`better` and `worse` only where the test and the interval both say so."""
    changed: float
    """Verdicts that differ / judgments."""


def compare(ours: Sequence[Judged], theirs: Sequence[Judged], *, seed: int = 0) -> Comparison:
    """Compare two judges pair by pair.

    Raises:
        ValueError: they judged different pairs.
    """
    from scipy.stats import binomtest

    other = {_identity(one): one for one in theirs}
    if {_identity(one) for one in ours} != other.keys():
        raise ValueError("the two judges judged different pairs")
    gains: dict[str, list[int]] = defaultdict(list)
    changed = asked = 0
    for one in ours:
        rival = other[_identity(one)]
        gains[one.labeled.cluster].append(one.both_right - rival.both_right)
        changed += sum(one.said(order) != rival.said(order) for order in one.chains)
        asked += len(one.chains)
    gain = np.array([sum(found) for found in gains.values()])  # (clusters,)
    size = np.array([len(found) for found in gains.values()])  # (clusters,)
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    p = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    difference = float(gain.sum() / size.sum())
    ci95 = ratio_interval(gain, size, bounds=(-1.0, 1.0), seed=seed)
    outlook: Outlook = "can't tell"
    if p < _SIGNIFICANT and ci95[0] > 0:
        outlook = "better"
    elif p < _SIGNIFICANT and ci95[1] < 0:
        outlook = "worse"
    return Comparison(
        n=len(ours),
        ours=sum(one.both_right for one in ours) / len(ours),
        theirs=sum(other[_identity(one)].both_right for one in ours) / len(ours),
        difference=difference,
        ci95=ci95,
        only_ours=wins,
        only_theirs=losses,
        p=p,
        outlook=outlook,
        changed=changed / asked,
    )


def _identity(one: Judged) -> tuple[str, str]:
    """A pair may stand in a file twice, under other labels."""
    return one.labeled.pair.id, one.labeled.better


# -- classes -----------------------------------------------------------------------------------------------------------


class ClassScores(Record):
    """Three-class scores under one average."""

    precision: float
    recall: float
    f1: float


def class_scores(
    gold: Sequence[str], said: Sequence[str], classes: Sequence[str]
) -> dict[Literal["macro", "weighted"], ClassScores]:
    """Precision, recall and F1 under both averages; a class that is never said has precision 0."""
    from sklearn.metrics import precision_recall_fscore_support

    averages: tuple[Literal["macro", "weighted"], ...] = ("macro", "weighted")
    found = {}
    for average in averages:
        precision, recall, f1, _ = precision_recall_fscore_support(
            gold, said, labels=list(classes), average=average, zero_division=0
        )
        found[average] = ClassScores(precision=float(precision), recall=float(recall), f1=float(f1))
    return found


def cohen_kappa(one: Sequence[int], other: Sequence[int]) -> float:
    """Agreement of two annotators beyond chance; 1.0 where they agree on everything, also on a single class."""
    from sklearn.metrics import cohen_kappa_score

    return 1.0 if list(one) == list(other) else float(cohen_kappa_score(one, other))
