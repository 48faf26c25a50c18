"""Bradley-Terry against closed forms, its own likelihood, and recovery of known strengths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.ratings import bradley_terry, elo


def random_wins(seed: int, n: int = 6) -> np.ndarray:
    wins = np.random.default_rng(seed).integers(0, 4, (n, n)).astype(float)
    np.fill_diagonal(wins, 0)
    return wins


def test_two_players_have_a_closed_form() -> None:
    """By symmetry s_b = -s_a = -s, and s solves 2σ(2s) + 2σ(s) = 2 + 1 for prior 2 and one game won twice."""
    a, b = bradley_terry([[0, 2], [0, 0]], prior=2)
    assert a == pytest.approx(-b)
    assert 2 / (1 + math.exp(-2 * a)) + 2 / (1 + math.exp(-a)) == pytest.approx(3)


def test_one_win_over_a_fixed_field_is_ln_3() -> None:
    """The docstring's example: many strong draws hold the opponent at 0."""
    wins = np.zeros((2, 2))
    wins[0, 1] = 1
    # The opponent also drew thousands of games among others who stay at 0.
    field = np.pad(wins, (0, 50))
    field[1, 2:], field[2:, 1] = 1000, 1000
    assert bradley_terry(field)[0] == pytest.approx(math.log(3), abs=1e-2)


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_vanishes_at_the_fit(seed: int) -> None:
    """Games won = games expected, for each player, the prior's drawn games included."""
    wins, prior = random_wins(seed), 0.7
    s = bradley_terry(wins, prior=prior)
    p = 1 / (1 + np.exp(s[None, :] - s[:, None]))
    expected = ((wins + wins.T) * p).sum(axis=1) + prior / (1 + np.exp(-s))
    assert expected == pytest.approx(wins.sum(axis=1) + prior / 2, abs=1e-4)


def test_known_strengths_come_back() -> None:
    true = np.array([1.5, 0.5, 0.0, -0.7, -1.3])
    p = 1 / (1 + np.exp(true[None, :] - true[:, None]))
    np.fill_diagonal(p, 0)
    fitted = bradley_terry(5000 * p, prior=1e-3)
    assert fitted - fitted.mean() == pytest.approx(true - true.mean(), abs=1e-3)


def test_an_unbeaten_player_stays_finite_and_first() -> None:
    wins = np.triu(np.full((5, 5), 1e6), 1)
    strengths = bradley_terry(wins)
    assert np.isfinite(strengths).all()
    assert list(np.argsort(-strengths)) == [0, 1, 2, 3, 4]


def test_nobody_met_anybody() -> None:
    assert bradley_terry(np.zeros((4, 4))) == pytest.approx(np.zeros(4))
    assert bradley_terry(np.zeros((0, 0))).shape == (0,)


@given(st.integers(0, 10_000), st.permutations(range(6)))
def test_naming_players_otherwise_changes_nothing(seed: int, order: list[int]) -> None:
    wins = random_wins(seed)
    assert bradley_terry(wins)[order] == pytest.approx(bradley_terry(wins[np.ix_(order, order)]), abs=1e-4)


@given(st.integers(0, 10_000))
def test_turning_every_result_round_turns_the_strengths_round(seed: int) -> None:
    wins = random_wins(seed)
    assert bradley_terry(wins) == pytest.approx(-bradley_terry(wins.T), abs=1e-4)


def test_one_more_win_never_weakens() -> None:
    for seed in range(20):
        wins = random_wins(seed)
        more = wins.copy()
        more[2, 4] += 1
        assert bradley_terry(more)[2] > bradley_terry(wins)[2]


@pytest.mark.parametrize(
    ("wins", "prior", "named"),
    [
        ([[0, 1]], 1, "square"),
        ([[0, -1], [0, 0]], 1, "negative"),
        ([[1, 1], [0, 0]], 1, "diagonal"),
        ([[0, math.nan], [0, 0]], 1, "finite"),
        ([[0, 1], [0, 0]], 0, "prior"),
        ([[0, 1], [0, 0]], math.inf, "prior"),
    ],
)
def test_what_cannot_be_fitted_is_refused(wins: list[list[float]], prior: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        bradley_terry(wins, prior=prior)


def test_elo_is_four_hundred_points_for_ten_to_one() -> None:
    assert elo([0.0, math.log(10)]) == pytest.approx([1000, 1400])
