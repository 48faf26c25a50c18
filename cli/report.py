"""`evalplanner report`: one call into `ui.report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import mendable, plain


def report(
    run: Annotated[Path, typer.Argument(help="A run's folder, finished or not.", metavar="RUN")],
) -> None:
    """Write the report of a run: RUN/report.html, one file that opens without a network.

    Every run writes it at its end. While a run is going on, this shows how far it has come; the run is not disturbed.

    \b
    Example:
      evalplanner report runs/demo

    Exit status: 0 written (its path is on stdout), 2 something that you can mend (one line on stderr says what).
    """
    with mendable():
        from rich.console import Console

        from ui.report import write_report

        Console(soft_wrap=True).print(plain(str(write_report(run))))
