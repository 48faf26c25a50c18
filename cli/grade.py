"""`evalplanner grade`: scores for the answers of a file, through `planner.grade.Grader`.

A command beside `judge`, because a score knows none of what `judge` offers: no orders and no rule for them, no likelihood of a verdict,
nothing to force; and the styles that grade are others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.judge import check_model, open_engine
from cli.terminal import mendable, plain, stdout_kept, visible

if TYPE_CHECKING:
    from planner.grade import Grade, Grader, Several, Single
    from planner.styles.base import ScoringStyle

_BLOCK = 256
"""Rows graded together; results appear block by block."""
_ROW = '{"instruction": …, "response": …} or {"instruction": …, "responses": [two to ten]}, with "reference" where there is one'


def grade(
    model: Annotated[str, typer.Argument(help="A model's folder; with --server, the served model's name.", metavar="MODEL")],
    file: Annotated[Path, typer.Argument(help=f"A JSONL file; a row is {_ROW}. JudgeLM's samples are read too.", metavar="FILE")],
    style: Annotated[
        str | None,
        typer.Option(
            help="How the model is asked: judgelm, judgelm-fast (scores and no explanation), judgelm-picture, j1-score. A checkpoint "
            "that `evalplanner distil` taught JudgeLM's style knows it; other models need one.",
            metavar="NAME",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a row on stdout, and nothing else there.")] = False,
    server: Annotated[
        str | None,
        typer.Option(help="Ask the model behind this OpenAI-compatible URL; OPENAI_API_KEY is its key.", metavar="URL"),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Longest answer in tokens. Default: the checkpoint's own, else 2048.")
    ] = None,
) -> None:
    """Have a judge grade answers: one against a reference answer, or two to ten to the same question at once.

    A row with "response" is one answer; JudgeLM's styles hold it against the row's "reference". A row with "responses" is several,
    graded at once (JudgeLM's styles). The "instruction" may be a conversation, a list of {"role": …, "content": …}. With
    --style judgelm-picture it is a question about a picture that the judge does not see: the reference stands for the picture.

    \b
    Examples:
      evalplanner grade models/JudgeLM-7B answers.jsonl --style judgelm
      evalplanner grade models/JudgeLM-7B pictures.jsonl --style judgelm-picture --json
      evalplanner grade my-judge answers.jsonl --style j1-score --server http://127.0.0.1:8000/v1

    An answer of the judge that does not hold the scores gives none.

    Exit status: 0 graded, 2 something that you can mend (one line on stderr says what), 130 stopped by Ctrl-C.
    """
    with mendable():
        from planner.errors import UserError
        from planner.grade import Grader

        asked_by, default_tokens = _style(model, server, style)
        rows = list(read_rows(file, asked_by))  # a bad row stops before a model is loaded
        if not rows:
            raise UserError(f"{file} holds no rows; a row is {_ROW}")
        with stdout_kept():
            grader = Grader(open_engine(model, server), asked_by, max_tokens=max_tokens or default_tokens)
        try:
            show(rows, grade_rows(grader, rows), as_json=as_json)
        finally:
            with stdout_kept():
                grader.engine.close()


def _style(model: str, server: str | None, style: str | None) -> tuple[ScoringStyle, int]:
    """The style that a model grades in, and how long its answers may be: as the option says, or its card.

    Raises:
        ModelError, UserError: no such model, no such style, or nothing says which.
    """
    from planner.errors import UserError
    from planner.judge import CARD, read_card
    from planner.styles import SCORING, scoring
    from planner.styles.judgelm import JudgeLmStyle

    check_model(model, server)
    if style is not None:
        return scoring(style), 2048
    if server is None and (Path(model) / CARD).is_file():
        card = read_card(model)
        if isinstance(card.style, JudgeLmStyle):
            return card.style, card.max_tokens
        raise UserError(f"{model} was trained to compare two responses: ask it with `evalplanner judge`, or add --style")
    raise UserError(f"nothing says how {model} grades: add --style, one of {', '.join(SCORING)}")


def read_rows(path: Path, style: ScoringStyle) -> Iterator[tuple[str, Single | Several]]:
    """(place, row) of every line that is not blank.

    Raises:
        UserError: a file that cannot be read, or a row that does not fit or that the style cannot be asked about.
    """
    from pydantic import ValidationError

    from planner.errors import UserError
    from planner.files import json_lines, read_text
    from planner.grade import Several, Single, prompt_of
    from prompts import PromptError
    from selftrain.distil.files import judgelm_answers

    for where, value in json_lines(read_text(path), path):
        if not isinstance(value, dict):
            raise UserError(f"{where} is no JSON object; a row is {_ROW}")
        try:
            one: Single | Several
            if "answer1_body" in value:
                one = judgelm_answers(value, where)
            else:
                one = (Several if "responses" in value else Single).model_validate(value)
            prompt_of(style, one)
        except ValidationError as error:
            problem = error.errors()[0]
            raise UserError(
                f"{where} does not fit at {'.'.join(map(str, problem['loc']))} ({problem['msg']}); a row is {_ROW}"
            ) from None
        except PromptError as error:
            raise UserError(f"{where}: {error}") from None
        yield where, one


def grade_rows(grader: Grader, rows: list[tuple[str, Single | Several]]) -> Iterator[Grade]:
    """Grade block by block, in order, with a bar on stderr."""
    from planner.errors import UserError
    from planner.progress import progress_bar

    with progress_bar("rows", len(rows), "row") as bar:
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            for where, one in block:
                if not grader.fits(one):
                    raise UserError(
                        f"{where} and {grader.max_tokens} tokens of answer do not fit the model's context: shorten the row or lower "
                        "--max-tokens"
                    )
            with stdout_kept():
                grades = list(grader.grade_many(one for _, one in block))
            bar.update(len(block))
            yield from grades


def show(rows: list[tuple[str, Single | Several]], grades: Iterator[Grade], *, as_json: bool) -> None:
    if as_json:
        for one in grades:
            # ASCII, so that any pipe takes it.
            sys.stdout.write(json.dumps(one.model_dump(mode="json")) + "\n")
            sys.stdout.flush()
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("line", "instruction", "scores")
    for (where, row), one in zip(rows, grades, strict=True):
        start = visible(" ".join(row.instruction[:400].split()))
        scores = "  ".join(f"{score:g}" for score in one.scores) if one.scores else "cut off" if one.cut_off else "none"
        cells = (where.rpartition(":")[2], start[:59] + "…" if len(start) > 60 else start, scores)
        table.add_row(*(plain(cell) for cell in cells))
    Console().print(table)
