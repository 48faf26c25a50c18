"""The `evalplanner` command: one file a subcommand, arguments in, one call out.

    evalplanner judge runs/demo/M2_DPO -i "Name a river in French." -a "La Loire." -b "The Loire."
    evalplanner train configs/demo.toml
    evalplanner eval judgebench --judge runs/demo/M2_DPO --data judgebench/

Nothing heavy is imported before a command runs, so that every help page comes at once.
"""

from __future__ import annotations

import sys

import typer

from cli import data
from cli.compare import compare
from cli.distil import distil
from cli.doctor import doctor
from cli.evaluate import evaluate
from cli.grade import grade
from cli.judge import judge
from cli.models import models
from cli.report import report
from cli.serve import serve
from cli.sweep import sweep
from cli.terminal import Commands
from cli.train import train
from cli.ui import ui

app = typer.Typer(
    name="evalplanner",
    cls=Commands,
    help=(
        "A judge that plans before it judges: train it from its own verdicts, and ask it which of two responses is better.\n\n"
        "\b\n"
        "  evalplanner train configs/demo.toml\n"
        '  evalplanner judge runs/demo/M2_DPO -i "Name a river in French." -a "La Loire." -b "The Loire."\n'
        "  evalplanner eval judgebench --judge runs/demo/M2_DPO --data judgebench/\n\n"
        "`evalplanner --install-completion` teaches your shell to complete commands and options.\n\n"
        "Exit status: 0 done, 2 something that you can mend (one line on stderr says what), 130 stopped by Ctrl-C."
    ),
    no_args_is_help=True,
    # Plain help: square brackets in it are text.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(judge)
app.command()(grade)
app.command()(serve)
app.command()(train)
app.command()(compare)
app.command()(sweep)
app.command()(distil)
app.add_typer(data.app, name="data")
app.command()(report)
app.command()(ui)
app.command()(models)
app.command()(doctor)
# Its options are eval.run's own, so that `python -m eval.run` and this are one.
app.command(
    "eval", add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)(evaluate)  # fmt: skip


def main() -> None:
    # A terminal that cannot show a character gets its escape, not a crash.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app(prog_name="evalplanner")


if __name__ == "__main__":
    main()
