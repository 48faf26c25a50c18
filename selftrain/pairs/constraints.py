"""Pairs from prompts with constraints that a program can check: a response that meets them all against one that breaks some.

Rows are IFEval's: `prompt`, `instruction_id_list`, and `kwargs` with one object an id. The engine answers each prompt k times, checkers
(constraint_checks.py) decide. Prompts of which all or none pass make no pair; they are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from planner.errors import UserError
from planner.records import Completion, LabeledPair, digest
from planner.store import Shards
from selftrain.data_config import SourceConfig
from selftrain.pairs.asking import Asking, Question, user, whole
from selftrain.pairs.constraint_checks import CHECKS, broken, check_arguments
from selftrain.pairs.contrast import contrasts
from selftrain.pairs.jsonl import place
from selftrain.pairs.table import prompt_of, rows

ROUND = "responses"


class Constrained(NamedTuple):
    """A prompt and its constraints: (id, arguments) each."""

    instruction: str
    constraints: tuple[tuple[str, dict[str, Any]], ...]


def prompts(config: SourceConfig) -> Iterator[Constrained]:
    """Every prompt of the file, once.

    Raises:
        UserError: a row whose ids and arguments do not go together, an id without a checker, or arguments that it cannot take.
    """
    ids_column = config.columns.get("constraints", "instruction_id_list")
    arguments_column = config.columns.get("arguments", "kwargs")
    seen: set[str] = set()
    for where, row in rows(config):
        instruction = prompt_of(config, where, row)
        ids, arguments = row.get(ids_column), row.get(arguments_column)
        if not isinstance(ids, list) or not isinstance(arguments, list) or len(ids) != len(arguments) or not ids:
            raise UserError(f"{where}: {ids_column!r} and {arguments_column!r} must be lists of one length, an object an id")
        if not all(one is None or isinstance(one, dict) for one in arguments):
            raise UserError(f"{where}: {arguments_column!r} must hold an object an id")
        if unknown := [one for one in ids if not isinstance(one, str) or one not in CHECKS]:
            raise UserError(f"{where}: no checker for constraint {unknown[0]!r}; there are {', '.join(CHECKS)}")
        if digest(instruction) not in seen:
            seen.add(digest(instruction))
            given = ({name: value for name, value in (one or {}).items() if value is not None} for one in arguments)
            constraints = tuple(zip(ids, given, strict=True))
            try:
                for name, one in constraints:
                    check_arguments(name, one)
            except UserError as error:
                raise UserError(f"{where}: {error}") from None
            yield Constrained(instruction, constraints)


def ask(config: SourceConfig, asking: Asking) -> None:
    """Have the engine answer what is owed."""
    asking.ask(ROUND, (Question(digest(one.instruction), user(one.instruction), config.candidates) for one in prompts(config)))


def read(config: SourceConfig, folder: Path, seed: int, counts: Counter[str]) -> Iterator[LabeledPair]:
    """The pairs, in the file's order; `notes` name what the rejected response broke."""
    answered = Shards(folder / ROUND, Completion)
    for one in prompts(config):
        key = digest(one.instruction)
        found = {response: broken(response, one.constraints) for response in whole(answered.get(key))}
        passed = [response for response, faults in found.items() if not faults]
        failed = [response for response, faults in found.items() if faults]
        counts["responses_passed"] += len(passed)
        counts["responses_failed"] += len(failed)
        counts["responses_cut_off"] += len(answered.get(key)) - len(whole(answered.get(key)))
        kind = "mixed" if passed and failed else "all_passed" if passed else "all_failed" if failed else "unanswered"
        counts[f"prompts_{kind}"] += 1
        for chosen, rejected in contrasts(passed, failed, config.pairs_per_prompt, seed, key):
            yield place(
                instruction=one.instruction, chosen=chosen, rejected=rejected, source="constraints",
                kind=one.constraints[0][0].partition(":")[0], notes={"broken": ", ".join(found[rejected])},
            )  # fmt: skip
