"""How strong each of n players is, from who beat whom: Bradley-Terry by maximum a posteriori, and the Elo scale of it.

The model (Bradley & Terry, 1952): player i beats player j with probability 1 / (1 + exp(s_j - s_i)). The prior: every player has
also drawn `prior` games against a player of strength 0. So the fit exists, is unique and is finite whatever the results are:
unbeaten players, players without a game, halves of a field that never met. With `prior = 1` a player who won his only game
against a player at 0 gets ln 3 = 1.1, not infinity.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

Strengths = NDArray[np.float64]


def bradley_terry(wins: ArrayLike, *, prior: float = 1.0) -> Strengths:
    """Fit strengths.

    Args:
        wins: (n, n), `wins[i, j]` how often i beat j. Fractions are welcome: a tie is a half for each, and a judge who is 80 % sure
            of i gives 0.8 and 0.2. The diagonal must be zero.
        prior: drawn games of every player against one of strength 0; more than zero.

    Returns:
        (n,) natural-log strengths; 0 is the player of the prior.

    Raises:
        ValueError: not a square matrix of finite numbers from zero upwards with a zero diagonal, or a prior of zero or less.
    """
    won = np.asarray(wins, dtype=np.float64)
    if won.ndim != 2 or won.shape[0] != won.shape[1]:
        raise ValueError(f"wins must be a square matrix, not of shape {won.shape}")
    if not np.isfinite(won).all() or (won < 0).any() or np.diag(won).any():
        raise ValueError("wins must be finite, not negative, and zero on the diagonal")
    if not (math.isfinite(prior) and prior > 0):
        raise ValueError(f"prior must be more than zero, not {prior}: without it an unbeaten player has no finite strength")
    if won.size == 0:
        return np.zeros(0)
    games = won + won.T
    scored = won.sum(axis=1) + prior / 2

    def loss(s: Strengths) -> float:
        return float(-(won * log_expit(s[:, None] - s[None, :])).sum() - prior / 2 * (log_expit(s) + log_expit(-s)).sum())

    def gradient(s: Strengths) -> Strengths:
        rest: Strengths = (games * expit(s[:, None] - s[None, :])).sum(axis=1) + prior * expit(s) - scored
        return rest

    def curvature(s: Strengths) -> NDArray[np.float64]:
        p = expit(s[:, None] - s[None, :])
        weight = games * p * (1 - p)
        own = prior * expit(s) * expit(-s)
        matrix: NDArray[np.float64] = np.diag(weight.sum(axis=1) + own) - weight
        return matrix

    found: Any = minimize(loss, np.zeros(len(won)), jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-7})
    strengths: Strengths = found.x
    # The loss is convex, so a vanished gradient is the answer, whatever the search says of its last step.
    if np.abs(gradient(strengths)).max(initial=0.0) > 1e-4 * max(1.0, scored.max(initial=0.0)):
        raise ArithmeticError(f"the Bradley-Terry fit did not converge: {found.message}")
    return strengths


def elo(strengths: ArrayLike) -> Strengths:
    """Strengths on the Elo scale, where 400 points are odds of ten to one. Strength 0 stands at 1000."""
    points: Strengths = 1000 + 400 / math.log(10) * np.asarray(strengths, dtype=np.float64)
    return points
