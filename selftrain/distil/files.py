"""Other people's files of judgments, read and written: PandaLM's and JudgeLM's.

- PandaLM: the test set (`idx, instruction, input, response1, response2, annotator1..3`) and, by `idx`, a judge's verdicts
  (`pandalm_result, pandalm_reason, pandalm_reference` with 0 tie, 1, 2; or `gpt_result, …` with "1", "2", "Tie", "garbage").
- JudgeLM: one sample a line (`question_id, question_body, answer1_body, answer2_body`), with the teacher's judgment in `text` and,
  where it was asked again with a reference, `text_w_reference` and `reference.text`; a judge's output adds `pred_text`.
- our own: one `Taught` a line.

The rows of PandaLM's 300,000 training tuples were published as a link only; their columns are in none of its documents, so they are
not read here. Write them as `Taught` lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from planner.errors import UserError
from planner.files import parse, read_text
from planner.grade import Several
from planner.records import Judgment, Pair, Verdict
from planner.store import read_jsonl
from planner.styles.base import ChainParts
from planner.styles.judgelm import JudgeLmStyle
from selftrain.data_config import JudgedForm
from selftrain.distil import Opinion, Taught
from selftrain.pairs.jsonl import read_rows

_RESULT: dict[Any, Verdict] = {0: "tie", 1: "A", 2: "B", "1": "A", "2": "B", "Tie": "tie", "garbage": "none"}
_CODE: dict[Verdict, int] = {"A": 1, "B": 2, "tie": 0}
_JUDGELM = JudgeLmStyle()


def read(form: JudgedForm, path: Path, verdicts: Path | None = None) -> Iterator[Taught]:
    """Judgments of a file.

    Raises:
        UserError: a missing file or a bad row, named by place; PandaLM's test set without its verdicts.
    """
    if form == "taught":
        return read_jsonl(path, Taught, mend="put it right, or set path to another file")
    if form == "judgelm":
        return read_judgelm(path)
    if verdicts is None:
        raise UserError(f"{path} holds PandaLM's pairs; give the file of verdicts on them too")
    return read_pandalm(path, verdicts)


# -- PandaLM -----------------------------------------------------------------------------------------------------------


def read_pandalm(pairs: Path, verdicts: Path) -> Iterator[Taught]:
    """A test set joined with the verdicts of a judge, by `idx`. What the judge's own reader called garbage is no verdict."""
    said: dict[int, tuple[str, dict[str, Any]]] = {}
    for where, row in _list(verdicts):
        idx = _field(row, "idx", int, where)
        if idx in said:
            raise UserError(f"{where}: idx {idx} has a verdict already, in {said[idx][0]}; leave one of the two out")
        said[idx] = where, row
    for where, row in _list(pairs):
        idx = _field(row, "idx", int, where)
        if idx not in said:
            raise UserError(f"{where}: {verdicts} has no verdict on idx {idx}")
        place, verdict = said[idx]
        kind = "pandalm" if "pandalm_result" in verdict else "gpt"
        result = verdict.get(f"{kind}_result")
        if isinstance(result, bool) or not isinstance(result, int | str) or result not in _RESULT:
            raise UserError(f'{place}: {kind}_result is {result!r}; it must be 0, 1 or 2, or "1", "2", "Tie" or "garbage"')
        yield Taught(
            pair=pandalm_pair(row, where),
            opinion=Opinion(
                verdict=_RESULT[result],
                reason=_optional(verdict, f"{kind}_reason", place) or "",
                reference=_optional(verdict, f"{kind}_reference", place),
            ),
        )


def pandalm_pairs(path: Path) -> Iterator[Pair]:
    """The pairs of a test set, without anybody's verdicts."""
    return (pandalm_pair(row, where) for where, row in _list(path))


def pandalm_pair(row: dict[str, Any], where: str) -> Pair:
    # Six released responses are a JSON `true`: a model wrote True.
    responses = [str(row.get(name)) if isinstance(row.get(name), bool) else row.get(name) for name in ("response1", "response2")]
    if not all(isinstance(response, str) for response in responses):
        raise UserError(f"{where}: response1 and response2 must be texts")
    first, second = (str(response) for response in responses)
    instruction = _field(row, "instruction", str, where)
    return Pair(instruction=instruction, input=_optional(row, "input", where), response_a=first, response_b=second)


def pandalm_names(path: Path) -> list[int]:
    """The `idx` of each row of a test set, which verdicts on it go by."""
    return [_field(row, "idx", int, where) for where, row in _list(path)]


def pandalm_result(idx: int, judgment: Judgment) -> dict[str, Any]:
    """A row of a verdict file in the form of `pandalm-7b-testset-v1.json`.

    Raises:
        ValueError: a judgment without a verdict, which the form would make a tie.
    """
    if judgment.verdict == "none":
        raise ValueError("PandaLM's form knows no missing verdict")
    return {
        "idx": idx,
        "pandalm_result": _CODE[judgment.verdict],
        "pandalm_reason": judgment.execution,
        "pandalm_reference": judgment.orders[0].reference or "",
    }


# -- JudgeLM -----------------------------------------------------------------------------------------------------------


def read_judgelm(path: Path) -> Iterator[Taught]:
    """Samples with a teacher's judgments (JudgeLM-100K) or a judge's (`pred_text`)."""
    for where, row in read_rows(path):
        text = row.get("pred_text", row.get("text"))
        if not isinstance(text, str):
            raise UserError(f"{where} holds no judgment: neither pred_text nor text")
        given = _reference(row, where)
        with_reference = _optional(row, "text_w_reference", where)
        yield Taught(
            pair=judgelm_pair(row, where),
            opinion=_opinion(text),
            given_reference=given,
            referenced=_opinion(with_reference) if with_reference and given else None,
        )


def judgelm_pair(row: dict[str, Any], where: str) -> Pair:
    question, first, second = (_field(row, name, str, where) for name in ("question_body", "answer1_body", "answer2_body"))
    return Pair(instruction=question, response_a=first, response_b=second)


def judgelm_answers(row: dict[str, Any], where: str) -> Several:
    """All answers of a sample, `answer1_body` and on: those that JudgeLM's script for several answers reads."""
    names = takewhile(row.__contains__, (f"answer{k}_body" for k in count(1)))
    answers = tuple(_field(row, name, str, where) for name in names)
    return Several(instruction=_field(row, "question_body", str, where), responses=answers, reference=_reference(row, where))


def judgelm_sample(row: dict[str, Any], where: str) -> Pair:
    """The pair of a sample as JudgeLM is asked about it: with its reference, where it has one."""
    return Pair(**{**judgelm_pair(row, where).model_dump(), "reference": _reference(row, where)})


def _reference(row: dict[str, Any], where: str) -> str | None:
    given = row.get("reference")
    return _optional(given, "text", f"{where}: reference") if isinstance(given, dict) else _optional(row, "reference", where)


def _opinion(text: str) -> Opinion:
    parts = _JUDGELM.read_chain(text)
    scores = (parts.scores[0], parts.scores[1]) if parts.scores else None
    return Opinion(verdict=parts.verdict, reason=parts.execution if scores else "", scores=scores)


def judgelm_names(path: Path) -> list[int | str]:
    """The `question_id` of each sample, which judgments on it go by."""
    return [_field(row, "question_id", (int, str), where) for where, row in read_rows(path)]


def judgelm_results(question_id: int | str, pair: Pair, judgment: Judgment, model: str) -> Iterator[dict[str, Any]]:
    """Rows of a judgment file in JudgeLM's form: one for each order asked, with the answers as they were shown."""
    for one in judgment.orders:
        shown = pair.shown(one.order)
        scores = one.scores[::-1] if one.scores and one.order == "ba" else one.scores
        if scores:
            text = _JUDGELM.write_chain(ChainParts(None, one.execution, one.verdict, closed=True, scores=scores))
        else:
            # What ran out in the middle of a score would be read as a whole one.
            text = one.execution if _JUDGELM.read_chain(one.execution).scores is None else ""
        row: dict[str, Any] = {
            "question_id": question_id, "question_body": shown.question, "answer1_body": shown.response_a,
            "answer2_body": shown.response_b, "pred_text": text, "pred_model_id": model,
        }  # fmt: skip
        yield row if shown.reference is None else row | {"reference": shown.reference}


# -- both --------------------------------------------------------------------------------------------------------------


def _list(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    found = parse(read_text(path), str(path))
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise UserError(f"{path} is no JSON list of objects, which is PandaLM's form")
    for index, row in enumerate(found):
        yield f"{path}[{index}]", row


def _field(row: dict[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> Any:
    value = row.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
        raise UserError(f"{where}: {name!r} {'is missing' if name not in row else f'is {type(value).__name__}, not {wanted}'}")
    return value


def _optional(row: dict[str, Any], name: str, where: str) -> str | None:
    """A text that may be missing, null or empty."""
    return _field(row, name, str, where) if row.get(name) not in (None, "") else None
