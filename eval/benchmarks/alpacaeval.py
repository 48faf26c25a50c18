"""AlpacaEval annotations: a JSON list of {…, preference}, from 1 (the first output) to 2 (the second), read only to be rescored.

The win rate of `generator_2` is the mean of preference - 1, its standard error sd / sqrt(n) with ddof 1. 1.5 and 0 are draws; null is no
annotation: it is left out and counted.
"""

from __future__ import annotations

from pathlib import Path
from statistics import stdev

from eval.benchmarks.base import Percentages, Row, mean, percent, read
from planner.errors import UserError

DRAW = 1.5


class AnnotationRow(Row):
    preference: float | None


def rescore(path: Path) -> Percentages:
    """Win rate and standard error in percent.

    Raises:
        UserError: no annotation, or a preference out of range.
    """
    rows = read(path, AnnotationRow)
    for index, row in enumerate(rows):
        if row.preference is not None and row.preference != 0 and not 1 <= row.preference <= 2:
            raise UserError(f"{path}[{index}] has the preference {row.preference}, which is neither from 1 to 2 nor 0 for a draw")
    said = [row.preference or DRAW for row in rows if row.preference is not None]
    if not said:
        raise UserError(f"{path} holds no preference, only nulls")
    wins = [preference - 1 for preference in said]
    return {
        "win_rate": percent(sum(wins), len(wins)),
        "standard_error": 100 * stdev(wins) / len(wins) ** 0.5 if len(wins) > 1 else 0.0,
        "wins": percent(sum(win > 0.5 for win in wins), len(wins)),
        "draws": percent(sum(win == 0.5 for win in wins), len(wins)),
        "mean_preference": mean(said),
        "n": float(len(rows)),
        "none": percent(len(rows) - len(said), len(rows)),
    }
