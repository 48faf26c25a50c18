"""`evalplanner train`: one call into `selftrain.run`, in this process."""

from __future__ import annotations

from typing import Annotated

import typer


def train(
    config: Annotated[str, typer.Argument(help="A TOML file; shipped ones are in configs/.", metavar="CONFIG")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Fields to set, dotted, with TOML values.", metavar="KEY=VALUE")
    ] = None,
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

    raise typer.Exit(run.main([config, *(overrides or [])]))
