"""`evalplanner sweep`: hyperparameters of an instruction tuning chosen by judge, through `compare.sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.judge import check_judge, open_judge
from cli.terminal import mendable, plain, stdout_kept

if TYPE_CHECKING:
    from compare.sweep import SweepResult


def sweep(
    config: Annotated[Path, typer.Argument(help="A TOML file; a shipped one is configs/sweeps/embedded.toml.", metavar="CONFIG")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Fields to set, dotted, with TOML values.", metavar="KEY=VALUE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as one JSON object on stdout.")] = False,
) -> None:
    """Choose an optimiser, learning rate, scheduler, number of epochs, and LoRA or full tuning, by judge.

    Each point of the grid is a training run of the base model; its checkpoint after every epoch is a setting. Settings answer the
    validation questions and meet in blocks whose champions play a final; each match is judged in both orders. Trials run one after the
    other, or with trials=ray on a Ray cluster; lm_eval names tasks of lm-eval that the choice and the default are scored on. The same
    command again goes on where the last one stopped.

    \b
    Example:
      evalplanner sweep configs/sweeps/embedded.toml data=examples.jsonl questions=questions.jsonl

    Exit status: 0 done, 2 something that you can mend (one line on stderr says what), 130 stopped by Ctrl-C.
    """
    with mendable():
        from compare.sweep import SweepConfig
        from compare.sweep import sweep as run
        from selftrain.config import load_record

        settings = load_record(config, SweepConfig, overrides)
        judge = settings.judge
        check_judge(judge.model, server=None, style=judge.style)  # before anything is trained
        with stdout_kept():
            result = run(
                settings,
                lambda: open_judge(
                    judge.model, server=None, style=judge.style, max_tokens=judge.max_tokens, rule=judge.rule, force=judge.force,
                    decide=judge.decide,
                ),
            )  # fmt: skip
        show(result, as_json=as_json)


def show(result: SweepResult, *, as_json: bool) -> None:
    if as_json:
        typer.echo(result.model_dump_json())
        return
    from rich.console import Console
    from rich.table import Table

    # Names of settings are long, and their ends tell them apart: fold them, never cut them.
    table = Table()
    for heading in ("block", "champion", "challenger", "won", "lost", "tied", "no verdict", "stays"):
        table.add_column(heading, overflow="fold")
    for one in result.rounds:
        cells = (one.block, one.champion, one.challenger, *map(str, one.result), one.winner)
        table.add_row(*map(plain, cells))
    console = Console()
    console.print(table)
    against = result.against_default
    console.print(plain(f"chosen: {result.chosen.name} ({result.checkpoint})"))
    console.print(plain(
        "it is the default setting" if against is None
        else f"against the default it won {against.wins}, lost {against.losses}, tied {against.ties}, without a verdict {against.none}"
    ))  # fmt: skip
    if result.lm_eval:
        from compare.harness import score_table

        shown = score_table(result.lm_eval)
        scores = Table(title=shown.title)
        for heading in shown.columns:
            scores.add_column(heading, overflow="fold")
        for row in shown.rows:
            scores.add_row(*map(plain, row))
        console.print(scores)
    console.print(plain(f"{result.matches} matches, {result.judgments} judgments; {result.advice}"))
