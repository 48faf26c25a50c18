"""`evalplanner train`: one call into `selftrain.run`, in this process."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cli.terminal import stdout_kept


def train(
    config: Annotated[str, typer.Argument(help="A TOML file; shipped ones are in configs/.", metavar="CONFIG")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Fields to set, dotted, with TOML values.", metavar="KEY=VALUE")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="At the end the run's summary.json on stdout, and nothing else there.")
    ] = False,
) -> None:
    """Train a judge from its own right and wrong verdicts.

    The same command again goes on where the last one stopped. This is one process with one engine; many GPUs go through
    `accelerate launch selftrain/run.py CONFIG [KEY=VALUE]...`, which takes the same arguments.

    \b
    Example:
      evalplanner train configs/demo.toml name=hot sampling.temperature=1.0

    Exit status: 0 done, 2 something that you can mend (one line on stderr says what), 130 stopped by Ctrl-C.
    """
    from selftrain import run

    arguments = [config, *(overrides or [])]
    if not as_json:
        raise typer.Exit(run.main(arguments))
    with stdout_kept():
        status = run.main(arguments)
    if status == 0:
        from selftrain.config import load_config

        typer.echo(json.dumps(json.loads((load_config(config, overrides).run_folder / "summary.json").read_text())))
    raise typer.Exit(status)
