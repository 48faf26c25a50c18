"""What a judge's chains on labelled pairs add up to.

Every rate is over the judgments asked for (pairs × orders) unless it says otherwise, and an unread verdict is never right.
Intervals are 95 % percentile bootstraps that resample clusters (pairs that share a prompt), not judgments. No interval is
narrower than what n clusters can rule out, so that a judge that always does the same is not printed as a certainty.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import numpy as np
from pydantic import Field
from scipy.stats import bootstrap

from planner.records import Chain, Label, LabeledPair, Order, Record, Verdict, flip
from rewards.outcome import outcome
from rewards.support import prejudges, supports

Interval = tuple[float, float]


class Ties(Record):
    """What a judge made of three labels. Of judgments, in the naming of the prompt."""

    n: int
    """Pairs labelled a tie."""
    said: float
    """Verdicts of a tie / judgments."""
    accuracy: float
    """Right judgments / judgments of pairs labelled a tie."""
    confusion: dict[Label, dict[Verdict, int]]
    """Judgments by label and verdict."""
    ci95: dict[str, Interval]
    """Of `said` and `accuracy`."""


class Score(Record):
    """One judge on one set of pairs, both orders. Fractions, not percentages."""

    n: int
    """Pairs."""
    accuracy: float
    """Right judgments / judgments."""
    accuracy_free: float
    """The same with every forced verdict counted as not right."""
    position_consistent: float
    """Pairs right in both orders / pairs."""
    no_verdict: float
    cut_off: float
    forced: float
    disagrees: float
    """Chains whose execution and final verdict differ; they are among `no_verdict`."""
    flip: float
    """Pairs whose two orders named different responses / pairs."""
    first_position: float | None
    """Verdicts for the response shown first / verdicts that name one; None where there are none. Without position bias: one half, as labels are
    balanced by order."""
    supported: float
    """Right judgments whose execution says of both answers what the verdict says / right judgments (`rewards/support.py`). The
    execution's own words count: a forced verdict that was given to them afterwards can be supported too."""
    prejudged: float
    """Judgments whose plan already says which answer is good or bad, or names a verdict (`rewards/support.py`) / judgments."""
    tokens: float
    """Generated tokens a judgment, mean."""
    ci95: dict[str, Interval]
    kinds: dict[str, dict[str, float]]
    """By kind of pair: n, accuracy, position_consistent."""
    ties: Ties | None = Field(default=None, exclude_if=lambda ties: ties is None)
    """None where no pair is labelled a tie; else `accuracy` is over three labels."""


def score(items: Iterable[tuple[LabeledPair, Mapping[Order, Chain]]], *, seed: int = 0) -> Score:
    """Score a judge from (labelled pair, its chains by order).

    Raises:
        ValueError: no pairs at all, or a pair without both orders.
    """
    rows: list[dict[str, Any]] = []
    for labeled, chains in items:
        if chains.keys() != {"ab", "ba"}:
            raise ValueError(f"pair {labeled.pair.id} was judged in {sorted(chains) or 'no order'}, not in both orders")
        rows.append(_row(labeled, chains))
    if not rows:
        raise ValueError("there are no pairs to score")

    def total(name: str) -> float:
        return float(sum(row[name] for row in rows))

    n, judgments = len(rows), 2 * len(rows)
    named = total("named")
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row)
    return Score(
        n=n,
        accuracy=total("right") / judgments,
        accuracy_free=total("right_free") / judgments,
        position_consistent=total("both") / n,
        no_verdict=total("no_verdict") / judgments,
        cut_off=total("cut_off") / judgments,
        forced=total("forced") / judgments,
        disagrees=total("disagrees") / judgments,
        flip=total("flip") / n,
        first_position=total("first") / named if named else None,
        supported=total("supported") / total("right") if total("right") else 0.0,
        prejudged=total("prejudged") / judgments,
        tokens=total("tokens") / judgments,
        ci95={
            "accuracy": interval(rows, "right", per=2, seed=seed),
            "accuracy_free": interval(rows, "right_free", per=2, seed=seed),
            "position_consistent": interval(rows, "both", per=1, seed=seed),
        },
        kinds={
            kind: {
                "n": len(found),
                "accuracy": sum(r["right"] for r in found) / (2 * len(found)),
                "position_consistent": sum(r["both"] for r in found) / len(found),
            }
            for kind, found in sorted(kinds.items())
        },
        ties=_ties(rows, seed),
    )


def _ties(rows: list[dict[str, Any]], seed: int) -> Ties | None:
    tied = [row for row in rows if row["label"] == "tie"]
    if not tied:
        return None
    cells = Counter(cell for row in rows for cell in row["cells"])
    return Ties(
        n=len(tied),
        said=sum(row["said_tie"] for row in rows) / (2 * len(rows)),
        accuracy=sum(row["right"] for row in tied) / (2 * len(tied)),
        confusion={label: {verdict: cells[label, verdict] for verdict in get_args(Verdict)} for label in get_args(Label)},
        ci95={"said": interval(rows, "said_tie", per=2, seed=seed), "accuracy": interval(tied, "right", per=2, seed=seed)},
    )


def _row(labeled: LabeledPair, chains: Mapping[Order, Chain]) -> dict[str, Any]:
    outcomes = [outcome(chain, labeled.gold(chain.order)) for chain in chains.values()]
    verdicts = {chain.verdict if chain.order == "ab" else flip(chain.verdict) for chain in chains.values()}
    right = [found == "right" for found in outcomes]
    all_chains = list(chains.values())
    return {
        "kind": labeled.kind,
        "label": labeled.better,
        "cells": [(labeled.gold(chain.order), chain.verdict) for chain in all_chains],
        "said_tie": sum(chain.verdict == "tie" for chain in all_chains),
        "cluster": labeled.cluster,
        "right": sum(right),
        "right_free": sum(ok and not chain.forced for ok, chain in zip(right, all_chains, strict=True)),
        "both": int(all(right)),
        "no_verdict": outcomes.count("no_verdict"),
        "cut_off": outcomes.count("cut_off"),
        "forced": sum(chain.forced for chain in all_chains),
        "disagrees": sum(chain.disagrees for chain in all_chains),
        "flip": int(verdicts == {"A", "B"}),
        "first": sum(chain.verdict == "A" for chain in all_chains),
        "named": sum(chain.verdict in ("A", "B") for chain in all_chains),
        "supported": sum(ok and supports(chain.execution, chain.verdict) for ok, chain in zip(right, all_chains, strict=True)),
        "prejudged": sum(prejudges(chain.plan or "") for chain in all_chains),
        "tokens": sum(chain.completion.tokens for chain in all_chains),
    }


def interval(rows: list[dict[str, Any]], name: str, *, per: int, seed: int = 0) -> Interval:
    """95 % interval of a rate, resampling clusters. `per`: judgments a pair that the count is over."""
    hits: dict[str, float] = defaultdict(float)
    sizes: dict[str, int] = defaultdict(int)
    for row in rows:
        hits[row["cluster"]] += row[name]
        sizes[row["cluster"]] += per
    x = np.array([hits[c] for c in sizes])  # (clusters,)
    m = np.array([sizes[c] for c in sizes])  # (clusters,)
    if len(x) < 2:
        return (0.0, 1.0)
    return ratio_interval(x, m, seed=seed)


def ratio_interval(x: Any, m: Any, *, bounds: Interval = (0.0, 1.0), seed: int = 0) -> Interval:
    """95 % interval of sum(x) / sum(m) over clusters, a number within `bounds`. `x`, `m`: (clusters,)."""
    low, high = unseen_interval(float(x.sum() / m.sum()), len(x), bounds)
    if np.ptp(x / m) > 0:
        found = bootstrap((x, m), _rate, paired=True, vectorized=True, n_resamples=2000, method="percentile", rng=seed, batch=200)
        low, high = min(low, float(found.confidence_interval.low)), max(high, float(found.confidence_interval.high))
    return (low, high)


def unseen_interval(observed: float, clusters: int, bounds: Interval = (0.0, 1.0)) -> Interval:
    """How far what so many draws did not show could move an observed mean.

    A bootstrap knows only what it saw: of what never varied (all right, all wrong, or right in one order of every pair) it says
    that it never will. A kind of cluster that n draws did not show can still be this share of all (exact binomial bound), and lie
    at either bound.
    """
    unseen = 1 - 0.025 ** (1 / clusters)
    return (observed * (1 - unseen) + bounds[0] * unseen, observed * (1 - unseen) + bounds[1] * unseen)


def _rate(x: Any, m: Any, axis: int = -1) -> Any:
    return x.sum(axis=axis) / m.sum(axis=axis)
