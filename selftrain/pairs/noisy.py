"""Pairs from prompts alone, the self-taught way: the answer to a similar but different instruction is the rejected response.

For each prompt the engine writes such an instruction, answers the prompt, and answers the other instruction. Both answers are good in
themselves, so what tells them apart is the prompt. What does not come out as that is dropped, with a reason, in `dropped.jsonl`.
(Self-Taught Evaluators, arXiv 2408.02666, the source of the paper's WildChat pairs; the prompt's words are ours.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rapidfuzz import fuzz, utils

from planner.records import Completion, LabeledPair, Message, Record, digest
from planner.store import Shards, write_jsonl
from prompts import render
from selftrain.data_config import SourceConfig
from selftrain.pairs.asking import Asking, Question, user, whole
from selftrain.pairs.jsonl import place
from selftrain.pairs.table import prompt_of, rows

SIMILAR, ANSWERS, OTHER_ANSWERS = "similar", "answers", "other-answers"
TOO_SIMILAR = 95.0
"""Of 100, by word order and spelling (rapidfuzz ratio): an instruction so near is the same one."""
_NEW_TASK = re.compile(r"new task\s*\W*?:\**\s*(\S.*)", re.IGNORECASE | re.DOTALL)


class Dropped(Record):
    """A prompt that made no pair, and why."""

    instruction: str
    reason: str
    text: str = ""


def instructions(config: SourceConfig) -> Iterator[str]:
    """Every prompt of the file, once."""
    seen: set[str] = set()
    for where, row in rows(config):
        found = prompt_of(config, where, row)
        if digest(found) not in seen:
            seen.add(digest(found))
            yield found


def ask(config: SourceConfig, asking: Asking) -> None:
    """Have the engine write what is owed: other instructions, then answers to both. One answer each."""

    def chat(instruction: str) -> tuple[Message, ...]:
        messages, _ = render("data", "similar", instruction=instruction)
        return tuple(Message(role=role, content=text) for role, text in messages)

    asking.ask(SIMILAR, (Question(digest(one), chat(one)) for one in instructions(config)))
    asking.ask(ANSWERS, (Question(digest(one), user(one)) for one in instructions(config)))
    similar = Shards(asking.folder / SIMILAR, Completion)

    def others() -> Iterator[Question]:
        for one in instructions(config):
            other, reason = other_instruction(one, similar.get(digest(one)))
            if not reason:
                yield Question(digest(one), user(other))

    asking.ask(OTHER_ANSWERS, others())


def other_instruction(instruction: str, completions: tuple[Completion, ...]) -> tuple[str, str]:
    """(the other instruction, "") or ("", why there is none)."""
    texts = whole(completions)
    if not texts:
        return "", "cut_off" if completions else "over_long"
    match = _NEW_TASK.search(texts[0])
    if match is None:
        return "", "unreadable"
    other = match[1].strip().strip('"*').strip()
    if not other:
        return "", "unreadable"
    if fuzz.ratio(instruction, other, processor=utils.default_process) >= TOO_SIMILAR:
        return "", "near_identical"
    return other, ""


def read(config: SourceConfig, folder: Path, seed: int, counts: Counter[str]) -> Iterator[LabeledPair]:
    """The pairs, in the file's order."""
    similar, answers, others = (Shards(folder / name, Completion) for name in (SIMILAR, ANSWERS, OTHER_ANSWERS))
    dropped: list[Dropped] = []
    for instruction in instructions(config):
        key = digest(instruction)
        other, reason = other_instruction(instruction, similar.get(key))
        good, bad = whole(answers.get(key)), whole(others.get(key))
        if not reason and not (good and bad):
            reason = "answer_cut_off"
        if not reason and fuzz.ratio(good[0], bad[0], processor=utils.default_process) >= TOO_SIMILAR:
            reason = "same_answer"
        counts[f"prompts_{reason or 'paired'}"] += 1
        if reason:
            raw = similar.get(key)
            dropped.append(Dropped(instruction=instruction, reason=reason, text=raw[0].text if raw else ""))
            continue
        yield place(
            instruction=instruction, chosen=good[0], rejected=bad[0], source="noisy", kind=Path(config.path or "").stem,
            notes={"other_instruction": other},
        )  # fmt: skip
    write_jsonl(folder / "dropped.jsonl", dropped)
