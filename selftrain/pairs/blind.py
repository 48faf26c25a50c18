"""What a judge that never reads the instruction gets on pairs: the honest zero of a source.

Two such judges: one that always names the longer response, and a classifier that is trained on the responses' words (logistic regression on
hashed words of A minus those of B), five-fold, never trained on a prompt it is tested on. Well above one half, the pairs can
be told apart without the task, and a judge trained on them may learn just that.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from planner.records import LabeledPair, Record
from rewards.score import Interval, interval

MOST = 20_000
"""Pairs that the classifier sees at most."""
LEAST = 20
"""Prompts below which a classifier says nothing."""


class Blind(Record):
    """Accuracies of judges blind to the instruction; None where there are too few prompts to train one."""

    n: int
    classifier: float | None
    classifier_ci95: Interval | None
    longer: float | None
    """Of naming the longer response, where lengths differ."""


def blind(pairs: Iterable[LabeledPair], seed: int = 0) -> Blind:
    """Measure both on pairs; ties are left out."""
    taken = [one for one in islice(pairs, MOST) if one.better != "tie"]
    differ = [one for one in taken if len(one.pair.response_a) != len(one.pair.response_b)]
    longer = sum((len(one.pair.response_a) > len(one.pair.response_b)) == (one.better == "A") for one in differ)
    rate = longer / len(differ) if differ else None
    if len({one.cluster for one in taken}) < LEAST or len({one.better for one in taken}) < 2:
        return Blind(n=len(taken), classifier=None, classifier_ci95=None, longer=rate)
    right = _classifier(taken, seed)
    scored = [{"cluster": one.cluster, "right": int(ok)} for one, ok in zip(taken, right, strict=True)]
    return Blind(
        n=len(taken), classifier=sum(right) / len(right), classifier_ci95=interval(scored, "right", per=1, seed=seed), longer=rate
    )


def _classifier(pairs: list[LabeledPair], seed: int) -> list[bool]:
    """Right or wrong, pair by pair, each judged by a classifier trained on other prompts."""
    import numpy as np
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict

    words = HashingVectorizer(n_features=2**16, ngram_range=(1, 2), alternate_sign=False)
    # (pairs, words): positive where A has more of a word. An antisymmetric view, so a slot cannot be learnt.
    view: Any = words.transform([one.pair.response_a for one in pairs]) - words.transform([one.pair.response_b for one in pairs])
    labels = np.array([one.better == "A" for one in pairs])
    groups = [one.cluster for one in pairs]
    model = LogisticRegression(fit_intercept=False, C=10.0, max_iter=300)
    said = cross_val_predict(model, view, labels, groups=groups, cv=GroupKFold(5, shuffle=True, random_state=seed))
    return [bool(ok) for ok in said == labels]
