"""`evalplanner ui`: one call into `ui.serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import mendable


def ui(
    judge: Annotated[
        list[str] | None,
        typer.Option(help="A judge to offer: a checkpoint folder, a hub id, `embedded`. Again for more. Default: all at hand."),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the runs to look into.", metavar="FOLDER")] = Path("runs"),
    votes: Annotated[
        Path, typer.Option(help="Where votes go: a file that selftrain reads with pairs.source=jsonl.", metavar="FILE.jsonl")
    ] = Path("runs/votes.jsonl"),
    host: Annotated[str, typer.Option(help="Address to listen on. Beyond loopback a password is required.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
) -> None:
    """Judge, look into chains, and watch runs in the browser.

    \b
    Examples:
      evalplanner ui --judge runs/demo/M2_DPO
      EVALPLANNER_UI_PASSWORD=secret evalplanner ui --host 0.0.0.0      # the user is `evalplanner`
      evalplanner train configs/demo.toml name=voted pairs.source=jsonl pairs.path=runs/votes.jsonl 'pairs.held_out={known=20}'

    Exit status: 0 ended, 2 something that you can mend (one line on stderr says what), 130 stopped by Ctrl-C.
    """
    with mendable():
        from planner.errors import UserError
        from planner.shelf import models_at_hand
        from ui.serve import serve

        judges = judge or [one.name for one in models_at_hand(runs)]
        if not judges:
            raise UserError("no judge is at hand: name one with --judge")
        serve(judges, runs, votes, host=host, port=port)
