"""Real input: a right against a wrong solution that real models wrote to one GSM8K problem.

Reads `example_model_solutions.jsonl` of OpenAI's grade-school-math: {question, ground_truth, <model>: {solution, is_correct}} with
four models. Two of them are far stronger, so "the stronger model wins" gets most right-wrong pairs right without reading
them. Pairs are therefore balanced: for any two models, as many pairs where the one is chosen as where the other is.

These are GSM8K *test* problems: a judge trained on them is contaminated with GSM8K, and its model card says so.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice, permutations
from pathlib import Path
from typing import Any

from planner.errors import UserError
from planner.records import LabeledPair, digest
from selftrain.pairs.jsonl import place, read_rows

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
# Calculator annotations, e.g. <<16-3=13>>: an artefact of how the models were trained, not part of a solution.
_CALCULATOR = re.compile(r"<<[^<>]*>>")


def read(path: Path, seed: int, most: int | None = None) -> Iterator[LabeledPair]:
    """Stream balanced pairs, in the file's order, of its first `most` problems; None: of all.

    Raises:
        UserError: missing file or a bad row, named by file:line.
    """
    quota = _quota(path, seed, most)
    rates: Counter[str] = Counter()
    problems = 0
    for _, row in _rows(path, most):
        problems += 1
        rates.update(model for model in MODELS if row[model]["is_correct"])
    for _, row in _rows(path, most):
        for right, wrong in _contrasts(row):
            if digest(row["question"]) in quota[right, wrong]:
                yield place(
                    instruction=row["question"],
                    chosen=_clean(row[right]["solution"]),
                    rejected=_clean(row[wrong]["solution"]),
                    source="gsm8k_solutions",
                    kind="gsm8k",
                    notes={
                        "model_chosen": right,
                        "model_rejected": wrong,
                        "strength_chosen": f"{rates[right] / problems:.4f}",
                        "strength_rejected": f"{rates[wrong] / problems:.4f}",
                    },
                )


def _quota(path: Path, seed: int, most: int | None) -> dict[tuple[str, str], set[str]]:
    """For each ordered pair of models (right, wrong), the problems that may use it: equally many in both directions."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for _, row in _rows(path, most):
        for contrast in _contrasts(row):
            found[contrast].append(digest(row["question"]))
    kept: dict[tuple[str, str], set[str]] = defaultdict(set)
    for right, wrong in permutations(MODELS, 2):
        size = min(len(found[right, wrong]), len(found[wrong, right]))
        by_hash = sorted(found[right, wrong], key=lambda key: digest("quota", str(seed), right, wrong, key))
        kept[right, wrong] = set(by_hash[:size])
    return kept


def _contrasts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(right model, wrong model) pairs of a problem whose texts differ."""
    for right, wrong in permutations(MODELS, 2):
        differ = _clean(row[right]["solution"]) != _clean(row[wrong]["solution"])
        if row[right]["is_correct"] and not row[wrong]["is_correct"] and differ:
            yield right, wrong


def _clean(solution: str) -> str:
    return _CALCULATOR.sub("", solution).strip()


def _rows(path: Path, most: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, row in islice(read_rows(path), most):
        question = row.get("question")
        if not isinstance(question, str):
            raise UserError(f"{where}: no text in 'question'; this is not example_model_solutions.jsonl of grade-school-math")
        for model in MODELS:
            entry = row.get(model)
            if (
                not isinstance(entry, dict)
                or not isinstance(entry.get("solution"), str)
                or not isinstance(entry.get("is_correct"), bool)
            ):
                raise UserError(f"{where}: {model!r} is not {{solution, is_correct}}; this is not example_model_solutions.jsonl")
        yield where, row
