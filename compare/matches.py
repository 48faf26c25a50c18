"""Every pair of candidates on every question, judged in both orders and kept, one line a match, as it finishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from compare.candidates import Question
from planner.execute import judge_inputs
from planner.judge import Judge, merge
from planner.progress import progress_bar
from planner.records import Judgment, Record, Verdict, digest
from planner.store import Shard, Shards

_BLOCK = 128
"""Matches judged together; what is finished of them is on disk after each block."""


class Match(Record):
    """Two candidates on one question. `judgment` calls the first one's response A."""

    question: int
    """Index in the questions' file."""
    first: str
    second: str
    instruction: str
    response_first: str
    response_second: str
    judgment: Judgment | None
    """None where the pair did not fit the judge's context."""

    @property
    def verdict(self) -> Verdict:
        return self.judgment.verdict if self.judgment else "none"


class LazyJudge:
    """A judge that is opened when the first match is owed, and closed if it was."""

    def __init__(self, open_judge: Callable[[], Judge]) -> None:
        self._open = open_judge
        self._judge: Judge | None = None

    def __call__(self) -> Judge:
        if self._judge is None:
            self._judge = self._open()
        return self._judge

    def close(self) -> None:
        if self._judge is not None:
            self._judge.engine.close()


def all_pairs(names: Sequence[str], questions: int) -> list[tuple[int, str, str]]:
    """(question, first, second) of every match; the pairs of a question follow one another."""
    return [(question, first, second) for question in range(questions) for first, second in combinations(names, 2)]


def judged(
    judge: LazyJudge, questions: Sequence[Question], responses: Mapping[str, Sequence[str]], wanted: Sequence[tuple[int, str, str]],
    folder: Path,
) -> list[Match]:  # fmt: skip
    """The matches of `wanted`; those that are still owed are judged first. A call that fails stops it; what is finished is kept."""
    done = Shards(folder, Judgment)
    todo = [match for match in wanted if _key(*match) not in done]
    if todo:
        _play(judge(), questions, responses, todo, folder)
        done = Shards(folder, Judgment)
    found = []
    for question, first, second in wanted:
        judgments = done.get(_key(question, first, second))
        match = Match(
            question=question, first=first, second=second, instruction=questions[question].pair("", "").question,
            response_first=responses[first][question], response_second=responses[second][question],
            judgment=judgments[0] if judgments else None,
        )  # fmt: skip
        found.append(match)
    return found


def _play(
    judge: Judge, questions: Sequence[Question], responses: Mapping[str, Sequence[str]], todo: Sequence[tuple[int, str, str]],
    folder: Path,
) -> None:  # fmt: skip
    with Shard[Judgment](folder, 0) as shard, progress_bar("matches", len(todo), "match") as bar:
        for start in range(0, len(todo), _BLOCK):
            block = todo[start : start + _BLOCK]
            pairs = {
                match: questions[match[0]].pair(responses[match[1]][match[0]], responses[match[2]][match[0]]) for match in block
            }
            fitting = {match: pair for match, pair in pairs.items() if judge.fits(pair)}
            unique = {pair.id: pair for pair in fitting.values()}
            chains = judge.chains(judge_inputs(judge.style, unique.values(), judge.orders))
            for match, pair in pairs.items():
                if match in fitting:
                    shard.append(_key(*match), [merge([chains[pair.id, order] for order in judge.orders], judge.rule)])
                else:
                    shard.append(_key(*match), dropped="over_long")
                bar.update()


def _key(question: int, first: str, second: str) -> str:
    return digest(str(question), first, second)
