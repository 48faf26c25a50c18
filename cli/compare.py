"""`evalplanner compare`: candidates against each other in private, through `compare.run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.judge import check_judge, open_judge
from cli.terminal import mendable, plain, stdout_kept

if TYPE_CHECKING:
    from compare.standings import Summary


def compare(
    questions: Annotated[
        Path, typer.Argument(help='A JSONL file, or a JSON list, of {"instruction": …} rows.', metavar="QUESTIONS")
    ],
    candidates: Annotated[
        list[str], typer.Argument(help="Who answers: a model, or a .json or .jsonl file of its answers.", metavar="NAME=PATH...")
    ],
    judge: Annotated[str, typer.Option(help="A checkpoint folder made by selftrain; with --server, the served model's name.")],
    out: Annotated[Path, typer.Option(help="Folder of the run. The same command again goes on.", metavar="FOLDER")],
    rule: Annotated[
        Literal["strict", "pandalm", "judgebench", "mean", "agree"],
        typer.Option(help="What two orders that differ make, as in `evalplanner judge`."),
    ] = "strict",
    decide: Annotated[
        Literal["text", "likelihood"], typer.Option(help="A written judgment, or the likelier verdict without a word.")
    ] = "text",
    style: Annotated[str | None, typer.Option(help="How the judge is asked, as in `evalplanner judge`.", metavar="NAME")] = None,
    server: Annotated[str | None, typer.Option(help="Ask the judge behind this OpenAI-compatible URL.", metavar="URL")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Read a verdict from the probabilities where the text names none, and mark it.")
    ] = False,
    judge_tokens: Annotated[int | None, typer.Option(min=1, metavar="N", help="Longest judgment in tokens.")] = None,
    answer_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Longest answer of a candidate in tokens.")] = 512,
    temperature: Annotated[float, typer.Option(min=0, help="Of the candidates' answers.")] = 0.0,
    ask: Annotated[
        Literal["chat", "text"], typer.Option(help="text: candidates read the question as it stands, without a chat template.")
    ] = "chat",
    threshold: Annotated[int, typer.Option(min=1, help="Wins and losses that differ by less make two candidates similar.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object on stdout.")] = False,
) -> None:
    """Compare models, or their answers, on your own questions with your own judge; nothing leaves the machine.

    Every two candidates are judged on every question in both orders. FOLDER gets every judgment with its reasons (matches.jsonl),
    the wins, losses and ties of every two, Bradley-Terry ratings on the Elo scale with bootstrap intervals (summary.json), the graph
    of who is better than whom (graph.svg), and a page with all of it (report.html).

    \b
    Examples:
      evalplanner compare questions.jsonl base=models/base tuned=models/tuned --judge runs/demo/M2_DPO --out runs/compare/tuned
      evalplanner compare questions.json a=a.json b=b.json --judge models/PandaLM-7B --style pandalm --rule pandalm --out runs/compare/ab

    Exit status: 0 done, 2 something that you can mend (one line on stderr says what), 130 stopped by Ctrl-C.
    """
    with mendable():
        from compare.candidates import RespondConfig
        from compare.run import CompareConfig
        from compare.run import compare as run
        from planner.errors import UserError
        from planner.models import model_digest, resolve_model

        check_judge(judge, server=server, style=style)  # before any candidate answers
        by_name: dict[str, str] = {}
        for candidate in candidates:
            name, equals, path = candidate.partition("=")
            if not equals or not path or name in by_name:
                raise UserError(f"{candidate!r} is not NAME=PATH with a name of its own")
            by_name[name] = path
        with stdout_kept():
            weights = model_digest(resolve_model(judge)) if server is None else None
        config = CompareConfig(
            questions=str(questions), candidates=by_name, out=str(out), threshold=threshold,
            judge={
                "model": judge, "weights": weights, "style": style, "rule": rule, "decide": decide, "force": force,
                "max_tokens": judge_tokens,
            },
            respond=RespondConfig(max_tokens=answer_tokens, temperature=temperature, ask=ask),
        )  # fmt: skip
        with stdout_kept():
            summary = run(
                config,
                lambda: open_judge(
                    judge, server=server, style=style, max_tokens=judge_tokens, rule=rule, force=force, decide=decide
                ),
            )
        show(summary, out, as_json=as_json)


def show(summary: Summary, out: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(summary.model_dump_json())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("candidate", "Elo", "95 %", "won", "lost", "tied", "no verdict")
    for one in summary.standings:
        low, high = one.elo_ci95
        cells = (one.name, f"{one.elo:.0f}", f"{low:.0f} – {high:.0f}", one.wins, one.losses, one.ties, one.none)
        table.add_row(*(plain(str(cell)) for cell in cells))
    console = Console()
    console.print(table)
    if summary.cycle:
        console.print(plain("no order: " + " beats ".join(summary.cycle)))
    found = summary.positions
    console.print(plain(
        f"both orders agree on {found.consistency:.0%} of {found.n} matches; for the first shown {found.bias_first:.0%}, "
        f"for the second {found.bias_second:.0%}, unread {found.unread:.0%} · {out}/report.html"
    ))  # fmt: skip
