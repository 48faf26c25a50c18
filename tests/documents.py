"""What the documentation has its readers type: commands, Python, configs; found here for the tests that hold the pages to them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCED = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_ENVIRONMENT = re.compile(r"([A-Z_]+)=(.*)", re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s+)#\s.*$")
_OURS = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:taskset -c 0 )?"
    r"(?:(?:evalplanner|make|pytest|trl grpo|schemathesis|accelerate launch|python -m eval)(?![\w-])|python (?:bench|tools|selftrain)/)"
)
"""What a command between backticks starts with, if it is one of this project's and not another's, named beside ours."""


class Command(NamedTuple):
    """A command and where it stands."""

    page: str
    text: str

    @property
    def environment(self) -> dict[str, str]:
        return dict(self._split[0])

    @property
    def words(self) -> list[str]:
        """What is run: without the environment before it, and without `taskset`, which only says on which core."""
        return self._split[1]

    @property
    def _split(self) -> tuple[list[tuple[str, str]], list[str]]:
        words, environment = shlex.split(self.text), []
        while words and (found := _ENVIRONMENT.fullmatch(words[0])):
            environment.append((found[1], found[2]))
            words = words[1:]
        if words[:2] == ["taskset", "-c"]:
            words = words[3:]
        goes_on = words[-1:] == ["…"] and not words[-2].startswith("--")
        return environment, words[:-1] if goes_on else words


def blocks(page: Path, language: str) -> list[str]:
    """A page's fenced blocks in a language."""
    return [text for found, text in _FENCED.findall(page.read_text()) if found == language]


def commands(page: Path, *, spans: bool = True) -> Iterator[Command]:
    """Every command of a page: those in bash blocks, continued lines joined, then those between backticks (`spans`)."""
    for block in blocks(page, "bash"):
        held = ""
        for line in block.replace("\\\n", " ").splitlines():
            held = f"{held}\n{line}" if held else _COMMENT.sub("", line).strip()
            try:
                shlex.split(held)
            except ValueError:  # a quotation goes on in the next line
                continue
            if held:
                yield Command(_name(page), held)
            held = ""
        assert not held, f"{page}: a quotation has no end: {held}"
    for span in _SPAN.findall(_FENCED.sub("", page.read_text())) if spans else ():
        if _OURS.match(span):
            yield Command(_name(page), span)


def every_command() -> list[Command]:
    """All commands of all pages, each once."""
    return list({one.text: one for page in PAGES for one in commands(page)}.values())


def launch(words: list[str], folder: Path) -> tuple[str | None, list[str]]:
    """(launch file, arguments of `selftrain/run.py`) of the words after `accelerate launch`, by accelerate's own parser.

    What the command says otherwise than its launch file is written into a copy of the file, in `folder`.
    """
    import yaml  # type: ignore[import-untyped]
    from accelerate.commands.launch import launch_command_parser

    words = [{"RANK": "0", "FIRST": "127.0.0.1"}.get(word, word) for word in words]
    asked = launch_command_parser().parse_args(words)
    assert asked.training_script == "selftrain/run.py"
    if asked.config_file is None:
        return None, asked.training_script_args
    given = yaml.safe_load((ROOT / asked.config_file).read_text())
    given.update({name: value for name in ("num_processes", "num_machines") if (value := getattr(asked, name)) is not None})
    file = folder / "launch.yaml"
    file.write_text(yaml.safe_dump(given))
    return str(file), asked.training_script_args


def every_block(language: str) -> list[tuple[str, str]]:
    """(page, text) of all blocks in a language."""
    return [(_name(page), text) for page in PAGES for text in blocks(page, language)]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))
