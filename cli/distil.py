"""`evalplanner distil`: teach a judge what another judge said, through `selftrain.distil.run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import mendable, plain


def distil(
    config: Annotated[Path, typer.Argument(help="A TOML file; shipped ones are in configs/distil/.", metavar="CONFIG")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Fields to set, dotted, with TOML values.", metavar="KEY=VALUE")
    ] = None,
) -> None:
    """Teach a judge by supervised fine-tuning on another judge's verdicts and reasons, in the words of any style.

    Reads PandaLM's files, JudgeLM's, and our own; filters, swaps, and adds or drops references as the config says. This is one
    process; many go through `accelerate launch selftrain/distil/run.py CONFIG [KEY=VALUE]...`.

    \b
    Example:
      evalplanner distil configs/distil/judgelm.toml

    Exit status: 0 done, 2 something that you can mend (one line on stderr says what), 130 stopped by Ctrl-C.
    """
    with mendable():
        from rich.console import Console

        from selftrain.config import load_record
        from selftrain.distil.run import DistilConfig
        from selftrain.distil.run import distil as run

        Console().print(plain(f"the judge is {run(load_record(config, DistilConfig, overrides))}"))
