"""Existing preferences: chosen and rejected from a file or the hub, in the forms they are published in.

- TRL's: `prompt, chosen, rejected` (explicit), or `chosen, rejected` that start with the prompt (implicit); each plain text or a chat.
- `score_chosen, score_rejected` beside them, or UltraFeedback's `completions` with scores: best against worst.
- HelpSteer's: one rated response a row (`prompt, response, helpfulness`), rows of one prompt standing together; or two responses a
  row with `preference_strength`, below zero where the first is better.

`margin` is how much better the chosen one must be rated; closer pairs are left out and counted, and so are ties.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from planner.errors import UserError
from planner.records import LabeledPair
from selftrain.data_config import SourceConfig
from selftrain.pairs.jsonl import place
from selftrain.pairs.table import Row, prompt_of, rows, text

_SCORES = ("overall_score", "helpfulness", "score", "rating")
_NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}


class Preference(NamedTuple):
    """One comparison; the scores are None where none are given."""

    instruction: str
    chosen: str
    rejected: str
    scores: tuple[float, float] | None = None


def read(config: SourceConfig, folder: Path, seed: int, counts: Counter[str]) -> Iterator[LabeledPair]:
    """The pairs, in the file's order."""
    for one in preferences(config):
        counts["comparisons"] += 1
        if one.scores and (one.scores[0] <= one.scores[1] or one.scores[0] - one.scores[1] < config.margin):
            counts["too_close"] += 1
            continue
        if not one.instruction.strip() or not one.chosen.strip() or not one.rejected.strip() or one.chosen == one.rejected:
            counts["without_contrast"] += 1
            continue
        if config.margin and not one.scores:
            counts["unrated"] += 1  # kept: the margin is for those that have ratings
        notes = {"score_chosen": f"{one.scores[0]:g}", "score_rejected": f"{one.scores[1]:g}"} if one.scores else {}
        yield place(
            instruction=one.instruction, chosen=one.chosen, rejected=one.rejected, source="preference",
            kind=Path(config.path or "").stem, notes=notes,
        )  # fmt: skip


def preferences(config: SourceConfig) -> Iterator[Preference]:
    """Every comparison of the file, in whichever of the forms its rows have.

    Raises:
        UserError: a row of none of them, or with a rating that is no finite number.
    """
    chosen, rejected = (config.columns.get(name, name) for name in ("chosen", "rejected"))

    def prompt(placed: tuple[str, Row]) -> Any:
        where, row = placed
        # Rows with one rated response are read together with their prompt's others.
        return row.get("prompt") if "response" in row and chosen not in row else where

    for _, group in groupby(rows(config), key=prompt):
        placed = list(group)
        where, row = placed[0]
        if chosen in row and rejected in row:
            yield _explicit_or_implicit(config, where, row, chosen, rejected)
        elif "completions" in row:
            entries = row["completions"] if isinstance(row["completions"], list) else []
            yield from _best_and_worst(prompt_of(config, where, row), _rated(where, [(where, one) for one in entries]))
        elif "response" in row:
            yield from _best_and_worst(prompt_of(config, where, row), _rated(where, placed))
        elif "preference_strength" in row:
            yield _two_responses(config, where, row)
        else:
            raise UserError(
                f"{where}: no preference in columns {', '.join(row)}: it needs {chosen!r} and {rejected!r} (name others in pairs.columns), "
                "'completions' with scores, 'response' with 'helpfulness', or 'preference_strength'"
            )


def _explicit_or_implicit(config: SourceConfig, where: str, row: Row, chosen: str, rejected: str) -> Preference:
    named = config.columns.get("instruction") or next((one for one in ("prompt", "instruction", "question") if one in row), None)
    good, bad = row[chosen], row[rejected]
    names = [config.columns.get(name, name) for name in ("score_chosen", "score_rejected")]
    if lacking := [name for name in names if name in config.columns.values() and name not in row]:
        raise UserError(f"{where}: no column {lacking[0]!r}, which pairs.columns names; the file has {', '.join(row)}")
    given = [_number(where, name, row[name]) for name in names if row.get(name) is not None]
    rated = (given[0], given[1]) if len(given) == 2 else None
    if isinstance(good, list) and isinstance(bad, list):
        shared = _shared(good, bad)  # a chat often repeats the prompt before the response
        asked = _chat(where, good[:shared]) if named is None else _asked(where, row, named)
        return Preference(asked, _reply(where, good[shared:]), _reply(where, bad[shared:]), rated)
    if not isinstance(good, str) or not isinstance(bad, str):
        raise UserError(f"{where}: {chosen!r} and {rejected!r} must both be text, or both be chats")
    if named is not None:
        asked = _asked(where, row, named)
        return Preference(asked, good, bad, rated)
    prefix = _at_turn(good[: _shared(good, bad)])
    if not prefix.strip():
        raise UserError(f"{where}: there is no prompt: name its column in pairs.columns, or give texts that both start with it")
    return Preference(prefix.strip(), good[len(prefix) :].strip(), bad[len(prefix) :].strip(), rated)


def _number(where: str, name: str, value: Any) -> float:
    """A score that can be compared.

    Raises:
        UserError: it is no number, or none that is finite.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    shown = repr(value) if isinstance(value, str | bool | float) else type(value).__name__
    raise UserError(f"{where}: {name!r} is {shown}, not a finite number; mend or remove the row")


def _asked(where: str, row: Row, column: str) -> str:
    """A prompt that has a column of its own: a chat, or a text."""
    value = row.get(column)
    if isinstance(value, list):
        return _chat(where, value)
    return value if isinstance(value, str) else text(where, row, column)  # an empty one is counted


def _shared(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many messages, or characters, two sequences begin with together."""
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(a, b, strict=False)))


def _at_turn(prefix: str) -> str:
    """A shared beginning, cut back to where the assistant's turn starts, else to a whole word: answers may share their first letters."""
    turn = prefix.rfind("Assistant:")
    return prefix[: turn + len("Assistant:")] if turn >= 0 else prefix[: prefix.rfind(" ") + 1]


def _chat(where: str, messages: list[Any]) -> str:
    """A prompt's chat as one text: its only message, or every turn with its speaker."""
    turns = [_turn(where, one) for one in messages]
    if not turns:
        raise UserError(f"{where}: the chat before the response is empty, so there is no prompt")
    if len(turns) == 1:
        return turns[0][1]
    return "\n\n".join(f"{_NAMES.get(role, role)}: {content}" for role, content in turns)


def _reply(where: str, messages: list[Any]) -> str:
    turns = [_turn(where, one) for one in messages]
    return turns[-1][1] if turns else ""


def _turn(where: str, message: Any) -> tuple[str, str]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
        raise UserError(f"{where}: a chat is a list of {{role, content}}, and one entry is not")
    return message["role"], message["content"]


def _rated(where: str, entries: Iterable[tuple[str, Row]]) -> list[tuple[float, str]]:
    """(score, response) of every rated one of (place, entry)."""
    found = []
    for at, entry in entries:
        name = next((one for one in _SCORES if isinstance(entry, dict) and isinstance(entry.get(one), int | float)), None)
        if name is not None and isinstance(entry.get("response"), str):
            found.append((_number(at, name, entry[name]), entry["response"]))
    if not found:
        raise UserError(f"{where}: no response with a rating ({', '.join(_SCORES)})")
    return found


def _best_and_worst(instruction: str, rated: Iterable[tuple[float, str]]) -> Iterator[Preference]:
    ordered = sorted(rated, key=lambda one: one[0])
    if len(ordered) > 1:
        (low, worst), (high, best) = ordered[0], ordered[-1]
        yield Preference(instruction, best, worst, (high, low))


def _two_responses(config: SourceConfig, where: str, row: Row) -> Preference:
    strength = _number(where, "preference_strength", row["preference_strength"])
    first, second = row.get("response_1"), row.get("response_2")
    if not isinstance(first, str) or not isinstance(second, str):
        raise UserError(f"{where}: 'response_1', 'response_2' and a number in 'preference_strength' belong together")
    better, worse = (second, first) if strength > 0 else (first, second)
    return Preference(prompt_of(config, where, row), better, worse, (abs(strength), 0.0))
