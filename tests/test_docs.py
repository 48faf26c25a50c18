"""The documentation tells no lies: links lead somewhere, commands are ones that exist, and those of the tutorial are executed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import typer.main

from cli.main import app
from planner.records import Chain
from planner.store import Shards, read_log
from selftrain.config import load_config
from selftrain.dry_run import read_launch
from selftrain.ledger import tokens_spent
from tests.conftest import ROOT
from tests.test_loop import kill_when

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


class Tutorial(NamedTuple):
    """What the tutorial's commands left, as written, in a folder that had the configs and nothing else."""

    run: Path
    kept: bytes
    """The chains that were finished when the training was killed."""


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Tutorial:
    """Every command in order. The training, which has nothing scripted, is killed while vLLM samples, and asked for again."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "configs").symlink_to(ROOT / "configs")
    run, stderr, kept = folder / "runs" / "first", folder / "stderr", b""
    chains = run / "iter-1/sft/chains/rank-0.jsonl"
    for line in commands(ROOT / "docs" / "tutorial.md"):
        name, *rest = words(line)
        assert name == "evalplanner"
        command, env = [sys.executable, "-m", "cli.main", *rest], os.environ | {"PYTHONPATH": str(ROOT)}
        if rest[0] == "train":
            with stderr.open("wb") as file:
                process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=file)
            kill_when(process, lambda: chains.exists() and chains.stat().st_size > 0, stderr)
            written = chains.read_bytes()
            kept = written[: written.rfind(b"\n") + 1]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=1100, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
    return Tutorial(run, kept)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_tutorial_s_commands_run_in_order(tutorial: Tutorial) -> None:
    assert "<h1>Run first</h1>" in (tutorial.run / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_tutorial_s_run_killed_while_vllm_samples_goes_on_to_its_end(tutorial: Tutorial) -> None:
    stage = tutorial.run / "iter-1/sft"
    assert tutorial.kept, "killed before a prompt was finished"
    assert (stage / "chains/rank-0.jsonl").read_bytes().startswith(tutorial.kept), "what was finished is not made again"
    ids = [one.id for one in Shards(stage / "chains", Chain)]
    assert len(ids) == len(set(ids))
    assert (stage / "chains/rank-0.jsonl").read_bytes().count(b"\n") > tutorial.kept.count(b"\n"), "killed after its last prompt"
    spent = [entry["attempt"] for entry in read_log(stage / "ledger-0.jsonl")]
    assert len(set(spent)) == 2, "both attempts told what they spent"
    assert tokens_spent(stage)["cached"] > 0, "no prompt shared its prefix"

    scores = {one["name"]: one for one in json.loads((tutorial.run / "summary.json").read_text())["checkpoints"]}
    assert list(scores) == ["seed", "M1_SFT", "M1_DPO"]
    assert scores["seed"]["forced"] == 1.0, "the untrained seed names no verdict"
    assert scores["seed"]["no_verdict"] + scores["seed"]["cut_off"] == 0
    # A trained judge may contradict itself, and such a verdict is not forced.
    assert all(one["n"] == 42 and one["no_verdict"] + one["cut_off"] < 0.2 for one in scores.values())
