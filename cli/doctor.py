"""`evalplanner doctor`: one call into `selftrain.doctor`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cli.terminal import mendable, plain, stdout_kept


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check Python, torch, vLLM, GPU, memory, disk, model cache and ports, and say which recipes fit this machine.

    Nothing is downloaded or written.

    \b
    Example:
      evalplanner doctor

    Exit status: 0 nothing is missing, 2 something that sampling and training need is (the last column says what to do).
    """
    with mendable():
        from selftrain.doctor import checks, fits, machine

        with stdout_kept():
            found = machine()
            lines, recipes = checks(found), fits(found)
        if as_json:
            typer.echo(
                json.dumps({"checks": [one.model_dump() for one in lines], "recipes": [one.model_dump() for one in recipes]})
            )
        else:
            from rich.console import Console
            from rich.table import Table

            console, table = Console(), Table("", "what", "found", "what to do")
            for line in lines:
                table.add_row(*map(plain, (line.state, line.what, line.found, line.todo)))
            console.print(table)
            table = Table("recipe", "fits", "why")
            for one in recipes:
                table.add_row(*map(plain, (one.recipe, "yes" if one.fits else "no", one.why)))
            console.print(table)
        if any(line.state == "missing" for line in lines):
            raise typer.Exit(2)
