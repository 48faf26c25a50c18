"""The documentation tells no lies: links lead somewhere, commands are ones that exist, and those of the tutorial are executed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main

from cli.main import app
from selftrain.config import load_config
from selftrain.dry_run import read_launch
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_ENVIRONMENT = re.compile(r"^[A-Z_]+=")


def commands(page: Path) -> list[str]:
    """Every command in a page's bash blocks, continued lines joined, without comments."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        found += [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(("#", "|"))]
    return found


EVERY = [(page.relative_to(ROOT), line) for page in PAGES for line in commands(page)]


def words(line: str) -> list[str]:
    """A command's words; what stands before it in the environment is left out."""
    split = shlex.split(line, comments=True)
    while split and _ENVIRONMENT.match(split[0]):
        split = split[1:]
    return split


def test_there_are_commands_to_hold() -> None:
    assert len(EVERY) > 20
    assert len(commands(ROOT / "docs" / "tutorial.md")) == 5


@pytest.mark.parametrize(("page", "line"), [one for one in EVERY if words(one[1])[:1] == ["evalplanner"]], ids=str)
def test_a_command_of_ours_has_the_arguments_that_a_page_gives_it(page: Path, line: str) -> None:
    """Parsed, not run: a name or an option that is no more stops here."""
    group: Any = typer.main.get_command(app)
    rest = words(line)[1:]
    while isinstance(group, click.Group) or hasattr(group, "commands"):
        command = group.commands.get(rest[0]) if rest else None
        assert command is not None, f"{page}: no command {rest[:1]}"
        group, rest = command, rest[1:]
    if group.name == "eval":  # its options are eval.run's
        from eval.benchmarks import BENCHMARKS

        assert rest[0] in BENCHMARKS
        return
    group.make_context(group.name, rest)


@pytest.mark.parametrize(("page", "line"), [one for one in EVERY if "selftrain/run.py" in one[1]], ids=str)
def test_a_run_that_a_page_starts_has_a_config_that_loads(page: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    split = words(line)
    after = split[split.index("selftrain/run.py") + 1 :]
    launch = next((word for word in split if word.startswith("configs/accelerate/")), None)
    config = next(word for word in after if word.endswith(".toml") and not word.startswith("configs/accelerate/"))
    overrides = [word for word in after if "=" in word]
    loaded = load_config(config, overrides)
    if launch and "--dry-run" not in split:
        read_launch(launch, loaded)


@pytest.mark.parametrize(("page", "line"), EVERY, ids=str)
def test_files_of_ours_that_a_command_names_are_there(page: Path, line: str) -> None:
    for word in re.findall(r"(?:configs|bench|tools|selftrain|tests)/[\w./-]+\.(?:py|toml|yaml)", line):
        assert (ROOT / word).is_file(), f"{page}: {word}"
    for module in re.findall(r"python -m ([\w.]+)", line):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file() or module == "pytest", f"{page}: {module}"


@pytest.mark.slow
def test_the_site_builds_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"DISABLE_MKDOCS_2_WARNING": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "site" / "api" / "index.html").read_text()
    assert "compare_many" in api, "the reference is made from the docstrings"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_tutorial_s_commands_run_in_order(tmp_path: Path) -> None:
    """As written, in a folder that has the configs and nothing else."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for line in commands(ROOT / "docs" / "tutorial.md"):
        name, *rest = words(line)
        assert name == "evalplanner"
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *rest], cwd=tmp_path, capture_output=True, text=True, timeout=1100, check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
    assert "<h1>Run first</h1>" in (tmp_path / "runs" / "first" / "report.html").read_text()
