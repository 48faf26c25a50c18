"""What every subcommand shares: untrusted text on a terminal, errors as one line, and a stdout that is ours alone."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import typer
from typer._click.exceptions import NoArgsIsHelpError
from typer.core import TyperGroup

if TYPE_CHECKING:
    from rich.text import Text

# Control characters (a terminal would obey them), marks that reorder the text around them, and halves of characters.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Untrusted text with everything that a terminal might obey written out, e.g. the escape character as `\\x1b`."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text.replace("\r\n", "\n"))


def plain(text: str, style: str = "") -> Text:
    """Text that rich prints as it is: no markup, no emoji names, no control characters."""
    from rich.text import Text

    return Text(visible(text), style=style)


@contextmanager
def mendable() -> Iterator[None]:
    """Errors that the user can mend become one line on stderr and exit status 2; every other is a bug and shows its trace."""
    from planner.engines.base import EngineError
    from planner.errors import UserError
    from planner.models import ModelError
    from prompts import PromptError

    try:
        yield
    except (EngineError, ModelError, PromptError, UserError) as error:
        typer.echo(f"error: {visible(' '.join(str(error).split()))}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def _typed_right() -> Iterator[None]:
    """What typer says of wrong arguments becomes one line on stderr and exit status 2; a command group by itself still shows its help."""
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except typer.TyperException as error:
        said = " ".join(error.format_message().split()).removesuffix(".")
        context = getattr(error, "ctx", None)
        page = f"{context.command_path} --help" if context else "--help"
        typer.echo(f"error: {visible(said[:1].lower() + said[1:])}; see {page}", err=True)
        raise typer.Exit(2) from None


class Commands(TyperGroup):
    """A group of commands that tells of wrong arguments, its own and its commands', as of every error: in one line."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _typed_right():
            return super().make_context(*args, **extra)

    def invoke(self, *args: Any) -> Any:
        with _typed_right():
            return super().invoke(*args)


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Send to stderr what anybody prints in here, libraries in C included, so that stdout holds results and nothing else."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
