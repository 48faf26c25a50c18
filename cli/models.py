"""`evalplanner models`: one call into `planner.shelf`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import mendable, plain


def models(
    runs: Annotated[Path, typer.Option(help="Folder of the runs.", metavar="FOLDER")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list on stdout.")] = False,
) -> None:
    """List the models at hand: the embedded one, judges made by your runs, and the Hugging Face cache.

    A judge knows the style that it is asked in; others are given one with --style.

    \b
    Example:
      evalplanner models --json

    Exit status: 0 listed, 2 something that you can mend (one line on stderr says what).
    """
    with mendable():
        from planner.shelf import models_at_hand

        found = list(models_at_hand(runs))
        if as_json:
            typer.echo(json.dumps([one.model_dump() for one in found]))
            return
        from rich.console import Console
        from rich.table import Table

        table = Table("model", "what", "style", "GB")
        for one in found:
            size = "not unpacked yet" if one.size_gb is None else f"{one.size_gb:.2f}"
            table.add_row(*map(plain, (one.name, one.kind, one.style or "–", size)))
        Console().print(table)
