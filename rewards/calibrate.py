"""Make a judge's probabilities mean what they say: a temperature and a position's bias, fitted on labelled pairs.

P(A) = sigmoid((log-odds - bias) / temperature), the likelihood of the labels at its maximum. Pairs whose label is a tie say nothing
about A against B and are left out. Fit on pairs that you will not measure on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from planner.likelihood import Calibration, log_odds
from planner.records import Chain, LabeledPair, Order


def fit(judged: Iterable[tuple[LabeledPair, Mapping[Order, Chain]]]) -> Calibration:
    """Fit on (labelled pair, its chains by order), as `rewards.score.score` takes them.

    Raises:
        ValueError: no pair with a label that is no tie and a probability to read.
    """
    import numpy as np
    from scipy.optimize import minimize

    points = [
        (log_odds(chain.p_a), 1.0 if labeled.gold(chain.order) == "A" else -1.0)
        for labeled, chains in judged
        if labeled.better != "tie"
        for chain in chains.values()
        if chain.p_a is not None
    ]
    if not points:
        raise ValueError("there is nothing to calibrate on: no chain of a pair labelled A or B has a p_a")
    x, sign = np.array(points).T  # (judgments,) each

    def loss(parameters: np.ndarray) -> float:
        scale, shift = parameters  # exp(scale) is 1 / temperature
        # A weak pull towards temperature 1 and no bias keeps a judge that is always right from an infinite scale.
        return float(np.logaddexp(0, -sign * (x - shift) * np.exp(scale)).sum() + 0.01 * (scale**2 + shift**2))

    scale, shift = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(-7, 7), (-20, 20)]).x
    return Calibration(temperature=float(np.exp(-scale)), bias=float(shift))
