"""Verifiable problems: an engine solves each k times, a right solution is chosen, a wrong one rejected.

Rows have an instruction and a reference answer (GSM8K, MATH, or any file with named columns). The engine is asked to put its answer in a
box; `rewards.answers` extracts it and compares it with the reference. A solution whose answer cannot be compared is `undecided`: neither
chosen nor rejected. Problems that are all right or all wrong make no pair; they are counted and kept for the record in `problems.jsonl`.
(Paper, section 3.1: several candidate solutions to a MATH problem, correct final answer chosen, incorrect rejected.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from planner.progress import progress_bar
from planner.records import Completion, LabeledPair, Record, digest
from planner.store import Shard, Shards, write_jsonl
from prompts import render
from rewards.answers import decide, extract
from selftrain.data_config import SourceConfig
from selftrain.pairs.asking import Asking, Question, user
from selftrain.pairs.contrast import contrasts
from selftrain.pairs.jsonl import place
from selftrain.pairs.table import prompt_of, rows, text

ROUND = "solutions"
Mark = Literal["right", "wrong", "undecided", "no_answer", "cut_off"]


class Solution(Record):
    """One candidate and what its answer is worth."""

    text: str
    answer: str | None
    mark: Mark
    why: str = ""
    """What stood in the way of a decision."""


class Problem(Record):
    """A problem for the record: how its candidates fared."""

    instruction: str
    answer: str
    marks: dict[str, int]


def problems(config: SourceConfig) -> Iterator[tuple[str, str]]:
    """(problem, reference answer) of every row, each problem once."""
    answer = config.columns.get("answer", "answer")
    seen: set[str] = set()
    for where, row in rows(config):
        problem, solution = prompt_of(config, where, row), text(where, row, answer)
        if digest(problem) not in seen:
            seen.add(digest(problem))
            # GSM8K's answer is a whole solution that ends in "#### 18"; MATH's is the answer itself.
            yield problem, (extract(solution) or solution) if "####" in solution or "\\boxed" in solution else solution


def ask(config: SourceConfig, asking: Asking) -> None:
    """Have the engine solve what is owed."""

    def questions() -> Iterator[Question]:
        for problem, _ in problems(config):
            messages, _ = render("data", "solve", instruction=problem)
            yield Question(digest(problem), user(messages[-1][1]), config.candidates)

    asking.ask(ROUND, questions())


def mark(config: SourceConfig, folder: Path) -> None:
    """Compare every answer with its reference, once; resumable, because a hard comparison takes seconds."""
    solved = Shards(folder / ROUND, Completion)
    done = Shards(folder / "marks", Solution)
    keys = set(solved.keys()) - solved.dropped.keys() - set(done.keys())
    owed = [(problem, answer) for problem, answer in problems(config) if digest(problem) in keys]
    if not owed:
        return
    with Shard[Solution](folder / "marks", 0) as shard, progress_bar("answers", len(owed), "problem") as bar:
        for problem, answer in owed:
            shard.append(digest(problem), [_marked(one, answer) for one in solved.get(digest(problem))])
            bar.update()


def _marked(completion: Completion, reference: str) -> Solution:
    solution = completion.text.strip()
    if completion.finish_reason != "stop":
        return Solution(text=solution, answer=None, mark="cut_off")
    answer = extract(solution)
    if answer is None:
        return Solution(text=solution, answer=None, mark="no_answer")
    found = decide(answer, reference)
    named: dict[bool | None, Mark] = {True: "right", False: "wrong", None: "undecided"}
    return Solution(text=solution, answer=answer, mark=named[found.equal], why=found.why)


def read(config: SourceConfig, folder: Path, seed: int, counts: Counter[str]) -> Iterator[LabeledPair]:
    """The pairs, in the file's order; `counts` gets what became of every problem and solution."""
    mark(config, folder)
    marks = Shards(folder / "marks", Solution)
    record: list[Problem] = []
    for problem, answer in problems(config):
        key = digest(problem)
        if key not in marks:
            counts["over_long"] += 1
            continue
        solutions = marks.get(key)
        found: dict[str, int] = dict(Counter(one.mark for one in solutions))
        counts.update({f"solutions_{name}": count for name, count in found.items()})
        # A solution without an answer is wrong in form only: no judge learns mathematics from it.
        right = [one.text for one in solutions if one.mark == "right"]
        wrong = [one.text for one in solutions if one.mark == "wrong"]
        kind = "mixed" if right and wrong else "all_right" if right else "all_wrong" if wrong else "undecided"
        counts[f"problems_{kind}"] += 1
        record.append(Problem(instruction=problem, answer=answer, marks=found))
        for chosen, rejected in contrasts(right, wrong, config.pairs_per_prompt, seed, key):
            yield place(
                instruction=problem, chosen=chosen, rejected=rejected, source="math", kind=Path(config.path or "").stem,
                notes={"answer": answer},
            )  # fmt: skip
    write_jsonl(folder / "problems.jsonl", record)
