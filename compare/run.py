"""A comparison from questions to standings: answers, matches in both orders, matrix, ratings, graph. Resumable at every step.

A run's folder holds:

    stamp.json           what was asked of whom; a run that was begun with something else is refused
    responses/<name>/    a candidate's answers, where it is a model
    judgments/           one line a match, as it finishes
    matches.jsonl        every match: question, both answers, verdict, the judge's reasons in both orders
    summary.json         triples, standings, edges, position bias
    graph.svg            who is better than whom
    report.html          all of it, for reading
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from compare.candidates import Question, RespondConfig, RespondJob, read_outputs, read_questions, read_responses
from compare.child import run_child
from compare.matches import LazyJudge, all_pairs, judged
from compare.standings import Summary
from compare.summary import write_summary
from planner.errors import UserError
from planner.judge import Judge
from planner.lock import lock_run
from planner.models import model_digest, resolve_model
from planner.records import Record, digest
from planner.store import write_text
from selftrain.stamp import hold_against

_NAME = re.compile(r"[\w.-]{1,60}")


class CompareConfig(Record):
    """What is compared, and how. `judge` names how the judge was opened, for the stamp."""

    questions: str
    candidates: dict[str, str]
    """Path of a model, or of a `.json` or `.jsonl` file of its answers, by name."""
    out: str
    judge: dict[str, Any]
    respond: RespondConfig = RespondConfig()
    threshold: int = 5
    """Two candidates whose wins and losses differ by less are called similar."""
    seed: int = 0


def compare(config: CompareConfig, open_judge: Callable[[], Judge]) -> Summary:
    """Compare candidates; `open_judge` is called once all have answered, so that no two models share a process.

    Raises:
        UserError: fewer than two candidates, a name that cannot be a folder, files that do not fit, a run of other things, or one that is going
            on.
    """
    if len(config.candidates) < 2:
        raise UserError("a comparison needs two candidates or more: NAME=PATH NAME=PATH …")
    for name in config.candidates:
        if not _NAME.fullmatch(name) or name.startswith("."):
            raise UserError(f"{name!r} cannot be a candidate's name: use letters, digits, - _ and . (at most 60)")
    out = Path(config.out)
    questions = read_questions(Path(config.questions))
    responses = {name: _given(path, questions) for name, path in config.candidates.items()}
    hold_against(out / "stamp.json", _stamp(config, questions, responses))
    with lock_run(out):
        answered = {name: given or _answer(config, name, questions, out) for name, given in responses.items()}
        judge = LazyJudge(open_judge)
        try:
            matches = judged(judge, questions, answered, all_pairs(list(config.candidates), len(questions)), out / "judgments")
        finally:
            judge.close()
        return write_summary(
            matches, out, names=list(config.candidates), judge=config.judge, threshold=config.threshold, seed=config.seed
        )


def _stamp(config: CompareConfig, questions: Sequence[Question], responses: Mapping[str, list[str] | None]) -> dict[str, Any]:
    asked = {}
    for name, path in config.candidates.items():
        given = responses[name]
        # Other weights in the same place are another candidate.
        asked[name] = f"{path} {model_digest(resolve_model(path))}" if given is None else digest(*given)
    return {
        "questions": digest(*(question.id for question in questions)),
        "candidates": asked,
        "judge": config.judge,
        "respond": config.respond.model_dump(exclude={"engine"}),
    }


def _given(path: str, questions: Sequence[Question]) -> list[str] | None:
    """Answers from a file; None where the path is a model's."""
    return read_outputs(Path(path), questions) if path.endswith((".json", ".jsonl")) else None


def _answer(config: CompareConfig, name: str, questions: Sequence[Question], out: Path) -> list[str]:
    folder = out / "responses" / name
    if not (folder / "done").exists():
        job = RespondJob(model=config.candidates[name], questions=config.questions, folder=str(folder), respond=config.respond)
        run_child("respond", job, folder / "job.json")
        write_text(folder / "done", "")
    return read_responses(folder, questions)
