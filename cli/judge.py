"""`evalplanner judge`: one pair from the command line, or a file of them, through `planner.judge.Judge`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.judgments import show_as_judgelm, show_as_pandalm, show_many, show_one
from cli.terminal import mendable, stdout_kept

if TYPE_CHECKING:
    from planner.engines.base import Engine
    from planner.judge import Decide, Judge, OrderRule
    from planner.records import Judgment, Pair

_BLOCK = 256
"""Pairs of a file judged together; results appear, and memory is freed, block by block."""
_ROW = '{"instruction": …, "response_a": …, "response_b": …}, with "input" and "reference" where there are any'
_OTHERS = "; JudgeLM's samples and PandaLM's .json lists are read too"


def judge(
    model: Annotated[
        str, typer.Argument(help="A checkpoint folder made by selftrain; with --server, the served model's name.", metavar="MODEL")
    ],
    instruction: Annotated[
        str | None, typer.Option("--instruction", "-i", help="What was asked. @PATH reads a file, - reads stdin.", metavar="TEXT")
    ] = None,
    response_a: Annotated[
        str | None, typer.Option("--response-a", "-a", help="The first response; @PATH and - as above.", metavar="TEXT")
    ] = None,
    response_b: Annotated[
        str | None, typer.Option("--response-b", "-b", help="The second response; @PATH and - as above.", metavar="TEXT")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help=f"Judge every line of a JSONL file instead: {_ROW}{_OTHERS}.", metavar="FILE")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="A reference answer to show the judge; @PATH and - as above.", metavar="TEXT")
    ] = None,
    rule: Annotated[
        Literal["mean", "agree", "strict", "pandalm", "judgebench", "first"],
        typer.Option(
            help="What two orders that differ make. mean: the larger mean probability wins. agree: no verdict. strict: a tie. "
            "pandalm: a tie where the same position won twice, else what the first order says. judgebench: the sign of the sum. "
            "first: the pair is asked once, as it stands."
        ),
    ] = "mean",
    decide: Annotated[
        Literal["text", "likelihood"],
        typer.Option(help="text: the judge writes its answer. likelihood: the likelier verdict, without a word; fast."),
    ] = "text",
    force: Annotated[
        bool, typer.Option("--force", help="Read a verdict from the probabilities where the text names none, and mark it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a pair on stdout, and nothing else there.")] = False,
    as_form: Annotated[
        Literal["pandalm", "judgelm"] | None,
        typer.Option(
            "--as",
            help="In place of --json, write a file's judgments to stdout in PandaLM's result format (the file must be PandaLM's list, with idx) "
            "or in JudgeLM's judgment format (JudgeLM's samples, judged in JudgeLM's style; a line for each order).",
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(help="Ask the model behind this OpenAI-compatible URL; OPENAI_API_KEY is its key.", metavar="URL"),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            help="How the model is asked: evalplanner, evalplanner-short, either with -tie, mtbench, self-taught, plain, plain-tie, pandalm, judgelm, "
            "judgelm-fast, judgelm-picture, j1, j1-plan. A checkpoint made by selftrain knows its own; other models need one.",
            metavar="NAME",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Longest answer in tokens. Default: the checkpoint's own, else 2048.")
    ] = None,
) -> None:
    """Ask a judge which of two responses is better: its plan, the plan's execution in both orders, and the verdict.

    \b
    Examples:
      evalplanner judge runs/demo/M2_DPO -i "Name a river in French." -a "La Loire." -b "The Loire."
      evalplanner judge runs/demo/M2_DPO -i @task.txt -a @first.txt -b - --json < second.txt
      evalplanner judge my-judge --server http://127.0.0.1:8000/v1 --style mtbench --file pairs.jsonl --json
      evalplanner judge models/PandaLM-7B --style pandalm --rule pandalm --file IN.json --as pandalm > OUT.json

    P(A) is the mean over the orders of the probability that response A is better. The last newline of a text that comes
    from a file or from stdin is left out.

    Exit status: 0 judged (no verdict is a judgment too), 2 something that you can mend (one line on stderr says what),
    130 stopped by Ctrl-C.
    """
    with mendable():
        from planner.errors import UserError

        texts = (instruction, response_a, response_b)
        if file is not None and any(text is not None for text in (*texts, reference)):
            raise UserError("--file brings its own instructions and responses: leave out the options that name them")
        if file is None and any(text is None for text in texts):
            raise UserError("a pair is --instruction, --response-a and --response-b, all three; many pairs are --file FILE.jsonl")
        if file is not None:
            total = sum(1 for _ in read_pairs(file))  # a bad row stops before a model is loaded
            if not total:
                raise UserError(f"{file} holds no pairs; a row is {_ROW}")
        else:
            pair = pair_of(*texts, reference)
        names = _names(file, as_form, model, style=style, decide=decide, as_json=as_json) if as_form else []
        with stdout_kept():
            opened = open_judge(model, server=server, style=style, max_tokens=max_tokens, rule=rule, force=force, decide=decide)
        try:
            if file is not None and as_form == "pandalm":
                show_as_pandalm(names, judge_file(opened, file, total))
            elif file is not None and as_form == "judgelm":
                show_as_judgelm(names, judge_file(opened, file, total), model)
            elif file is not None:
                show_many(judge_file(opened, file, total), as_json=as_json)
            else:
                with stdout_kept():
                    (judgment,) = opened.compare_many([pair])
                show_one(judgment, as_json=as_json)
        finally:
            with stdout_kept():
                opened.engine.close()


def _names(
    file: Path | None, form: Literal["pandalm", "judgelm"], model: str, *, style: str | None, decide: Decide, as_json: bool
) -> Sequence[int | str]:
    """What the judgments of a file go by in someone else's form, row by row.

    Raises:
        UserError: options or rows that the form has no room for.
    """
    from planner.errors import UserError
    from planner.judge import CARD, read_card
    from planner.styles import named
    from planner.styles.judgelm import JudgeLmStyle
    from selftrain.distil.files import judgelm_names, pandalm_names

    if file is None or as_json:
        raise UserError("--as is a form for the judgments of a --file, in place of --json")
    if (file.suffix == ".json") != (form == "pandalm"):
        raise UserError("--as pandalm is for judgments on PandaLM's .json list, --as judgelm for those on JudgeLM's samples")
    if form == "pandalm":
        return pandalm_names(file)
    carded = style is None and (Path(model) / CARD).is_file()
    asked_by = read_card(model).style if carded else named(style) if style is not None else None
    if asked_by is not None and (not isinstance(asked_by, JudgeLmStyle) or decide != "text"):
        raise UserError(
            "--as judgelm is for judgments with JudgeLM's scores: add --style judgelm, and leave out --decide likelihood"
        )
    return judgelm_names(file)


def check_judge(model: str, *, server: str | None, style: str | None) -> None:
    """Refuse what `open_judge` would refuse, before anything that takes long is done for it: loads no model.

    Raises:
        ModelError, UserError: no such model or style, or nothing says how the model wants to be asked.
    """
    from planner.errors import UserError
    from planner.judge import CARD
    from planner.styles import STYLES, named

    if style is not None:
        named(style)
    elif server is not None:
        raise UserError(f"a server does not say how its model wants to be asked: add --style, one of {', '.join(STYLES)}")
    check_model(model, server)
    if style is None and not (Path(model) / CARD).is_file():
        raise UserError(f"{model} holds no {CARD}, which says how it wants to be asked: add --style, one of {', '.join(STYLES)}")


def check_model(model: str, server: str | None) -> None:
    """Refuse a model that is not here, where no server has it.

    Raises:
        ModelError: there is none.
    """
    from planner.models import EMBEDDED, resolve_model

    if server is None and model != EMBEDDED and not Path(model).is_dir():
        resolve_model(model)


def open_engine(model: str, server: str | None) -> Engine:
    """The server's engine, or one of our own for a model that is here."""
    if server is not None:
        from planner.engines.server import ServerEngine

        return ServerEngine(server, model)
    from planner.engines.vllm import VllmEngine

    return VllmEngine(model, enforce_eager=True)


def open_judge(
    model: str,
    *,
    server: str | None,
    style: str | None,
    max_tokens: int | None,
    rule: OrderRule,
    force: bool,
    decide: Decide,
) -> Judge:
    """The judge that the options name, with an engine of its own."""
    from planner.judge import Judge
    from planner.styles import named

    check_judge(model, server=server, style=style)
    if style is None:
        opened = Judge.from_pretrained(model, rule=rule, force=force, decide=decide)
        opened.max_tokens = max_tokens or opened.max_tokens
        return opened
    return Judge(open_engine(model, server), named(style), max_tokens=max_tokens or 2048, rule=rule, force=force, decide=decide)


def pair_of(instruction: str | None, response_a: str | None, response_b: str | None, reference: str | None = None) -> Pair:
    """The pair that the options spell."""
    from planner.errors import UserError
    from planner.records import Pair

    named = {"instruction": instruction or "", "response_a": response_a or "", "response_b": response_b or ""}
    if reference is not None:
        named["reference"] = reference
    if sum(value == "-" for value in named.values()) > 1:
        raise UserError("stdin can be read once: give - to one option and @PATH to the others")
    return Pair(**{name: _text(value) for name, value in named.items()})


def _text(value: str) -> str:
    """An option's text: itself, or what @PATH or - leads to."""
    from planner.errors import UserError
    from planner.files import read_text

    if value.startswith("@"):
        text = read_text(Path(value[1:]))
    elif value == "-":
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError as error:
            raise UserError(f"stdin is not UTF-8: {error.reason} at byte {error.start}") from None
    else:
        return value
    # The last newline is the editor's.
    return text.removesuffix("\n")


def read_pairs(path: Path) -> Iterator[tuple[int, Pair]]:
    """Stream (line number, pair) of a JSONL file; blank lines are passed over. Of PandaLM's JSON list, (number of the row, pair)."""
    from pydantic import ValidationError

    from planner.errors import UserError
    from planner.records import Pair
    from selftrain.distil.files import judgelm_sample, pandalm_pairs

    if path.suffix == ".json":
        yield from enumerate(pandalm_pairs(path), 1)
        return
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if (sample := _sample(line)) is not None:
                    yield number, judgelm_sample(sample, f"{path}:{number}")
                elif line.strip():
                    yield number, Pair.model_validate_json(line)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; give --file a file of pairs") from None
    except ValidationError as error:
        problem = error.errors()[0]
        what = "is not JSON" if problem["type"] == "json_invalid" else f"does not fit at {'.'.join(map(str, problem['loc']))}"
        raise UserError(f"{path}:{number} {what} ({problem['msg']}); a row is {_ROW}") from None


def _sample(line: bytes) -> dict[str, Any] | None:
    """The row, where a line is one of JudgeLM's samples."""
    if b'"answer1_body"' not in line:
        return None
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None  # said by whoever reads it as a pair
    return row if isinstance(row, dict) and "answer1_body" in row else None


def judge_file(judge: Judge, path: Path, total: int) -> Iterator[tuple[int, Pair, Judgment]]:
    """Judge a file block by block, in its order, with a bar on stderr."""
    from planner.errors import UserError
    from planner.progress import progress_bar

    rows = read_pairs(path)
    with progress_bar("pairs", total, "pair") as bar:
        while block := list(islice(rows, _BLOCK)):
            for number, pair in block:
                if not judge.fits(pair):
                    raise UserError(
                        f"{path}:{number} and {judge.max_tokens} tokens of answer do not fit the model's context: shorten the row "
                        "or lower --max-tokens"
                    )
            with stdout_kept():
                judgments = list(judge.compare_many(pair for _, pair in block))
            bar.update(len(block))
            for (number, pair), judgment in zip(block, judgments, strict=True):
                yield number, pair, judgment
