"""`evalplanner eval`: one call into `eval.run`, in this process, which has the options and their help."""

from __future__ import annotations

import typer


def evaluate(context: typer.Context) -> None:
    """Measure a judge on a benchmark, as its authors do and honestly."""
    from eval import run

    raise typer.Exit(run.main(context.args, prog="evalplanner eval"))
