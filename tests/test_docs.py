"""The documentation tells no lies: links lead somewhere, every command runs, every snippet does what its page says.

Each command of README.md and docs/ is run at a desk that has what the pages name (`tests/docs_desk.py`): whole where that is cheap, else up to
its first step. Commands of other projects are held to the options that theirs have. A command that no test knows how to run fails.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from cli.main import app
from eval.evaluate import evaluate
from planner.models import EMBEDDED
from rewards.config import RewardConfig
from selftrain import run
from selftrain.config import load_config
from selftrain.dry_run import read_launch
from selftrain.pairs import check_coverage
from tests.conftest import ROOT
from tests.docs_desk import Reached
from tests.documents import Command, every_command, launch

EVERY = every_command()
RUNNER = CliRunner(env={"COLUMNS": "200"})
THEIRS = {
    "openrlhf.cli.train_ppo_ray": {
        "--reward.remote_url", "--actor.model_name_or_path", "--data.prompt_dataset", "--data.input_key", "--data.label_key",
        "--data.apply_chat_template", "--rollout.n_samples_per_prompt", "--algo.advantage.estimator", "--ckpt.output_dir",
    },
    "verl.trainer.main_ppo": {
        "algorithm.adv_estimator", "data.train_files", "data.val_files", "actor_rollout_ref.model.path", "actor_rollout_ref.rollout.n",
        "reward.custom_reward_function.path", "reward.custom_reward_function.name", "reward.reward_model.enable",
        "reward.reward_model.model_path",
    },
}  # fmt: skip
"""Options that OpenRLHF 0.11 and verl 0.9 have, by their own examples."""


def test_there_are_commands_to_hold() -> None:
    assert len(EVERY) > 90


# -- commands ----------------------------------------------------------------------------------------------------------


def slow(one: Command) -> bool:
    """Whether a command needs another project's parser, or opens a tokenizer: seconds each."""
    words = one.words
    dry = "--dry-run" in words and any(word.endswith("toml") and _embedded(word) for word in words)
    return dry or words[:1] in (["trl"], ["schemathesis"]) or words[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]


def _embedded(config: str) -> bool:
    return load_config(ROOT / config).model == EMBEDDED


@pytest.mark.parametrize(
    "one", [pytest.param(one, marks=[pytest.mark.slow] if slow(one) else [], id=f"{one.page}: {one.text}"[:120]) for one in EVERY]
)
def test_a_command_runs(one: Command, desk: pytest.MonkeyPatch) -> None:
    for name, value in one.environment.items():
        desk.setenv(name, value)
    match one.words:
        case ["evalplanner", *rest]:
            with desk.context() as whole:
                whole.setattr("eval.evaluate.evaluate", evaluate)
                for before in stood_on(one):
                    ours(before.words[1:])
            ours(rest)
        case ["accelerate", "launch", *rest]:
            launched(rest)
        case ["python", "selftrain/run.py", *rest]:
            assert rest == ["--dry-run"] or run.main(rest) == 0
        case [
            "python",
            "-m",
            "eval.run" | "eval.rescore" | "eval.benchmarks.followbench" | "selftrain.pairs.builtin" as module,
            *rest,
        ]:
            assert not rest or module_main(module)(rest) == 0
        case ["python", "-m", "vllm.entrypoints.openai.api_server", *rest]:
            served_by_vllm(rest)
        case ["python", str(path), *rest] if path.startswith(("bench/", "tools/")):
            parsed(path, rest, desk)
        case ["make", *rest]:
            done = subprocess.run(["make", "-n", *rest], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        case ["pytest", *paths]:
            assert all((ROOT / path).exists() for path in paths)
        case ["pip", "install", *rest]:
            installed(rest)
        case ["curl", *rest]:
            curl(rest)
        case ["trl", "grpo", *rest]:
            trl_grpo(rest)
        case ["schemathesis", "run", *rest]:
            done = subprocess.run([Path(sys.executable).with_name("schemathesis"), "run", "--help"], capture_output=True, text=True)
            assert all(word in done.stdout for word in rest if word.startswith("--"))
        case ["python3", "-m", str(module), *rest]:
            theirs(module, rest)
        case ["uv", "run", "python", str(script), *_]:
            assert f'title="{script}"' in (ROOT / one.page).read_text()
        case _:
            pytest.fail(f"{one.page}: no test runs {one.text!r}")


def stood_on(one: Command) -> list[Command]:
    """The commands of the page that made the runs which a command is held `--against`."""
    made = [run for flag, run in pairwise(one.words) if flag == "--against" and run != "DIR"]
    found = [other for other in EVERY if other.page == one.page and any(("--out", run) in pairwise(other.words) for run in made)]
    assert len(found) == len(made), f"{one.page}: nothing on it makes {made}"
    return found


def ours(rest: list[str]) -> None:
    """`evalplanner …`: to its end, or to its first step; one that is only named is there."""
    group: Any = typer.main.get_command(app)
    names = list(rest)
    while names and hasattr(group, "commands"):
        if names[0].startswith("-"):
            break
        assert names[0] in group.commands, f"no command {names[0]}"
        group = group.commands[names.pop(0)]
    if not names and group.name not in ("doctor", "models", "ui"):
        return
    if names == ["--install-completion"]:
        assert any("--install-completion" in one.opts for one in group.params)
        return
    done = RUNNER.invoke(app, rest)
    if not isinstance(done.exception, Reached):
        assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"


def launched(rest: list[str]) -> None:
    """`accelerate launch …`: accelerate takes the options, the launch file fits the config, and the run would begin."""
    file, arguments = launch(rest if "selftrain/run.py" in rest else [*rest, "selftrain/run.py"], Path.cwd())
    if not arguments:  # named in passing
        return
    if file:
        read_launch(file, load_config(arguments[0], arguments[1:]))
    with pytest.raises(Reached):
        run.main(arguments)


def runs() -> list[list[str]]:
    """Config and overrides of every run that a page has its reader start."""
    found = [one.words[2:] for one in EVERY if one.words[:2] == ["evalplanner", "train"]]
    found += [one.words[one.words.index("selftrain/run.py") + 1 :] for one in EVERY if "selftrain/run.py" in one.words]
    asked = [[word for word in words if word != "--dry-run" and not word.endswith(".yaml")] for words in found]
    return [words for words in asked if words]


def test_no_page_asks_for_builtin_splits_that_a_run_refuses() -> None:
    configs = [load_config(ROOT / config, overrides) for config, *overrides in runs()]
    builtin = [config for config in configs if config.pairs.source == "builtin"]
    assert len(builtin) >= 4
    for config in builtin:
        check_coverage(config)


def module_main(module: str) -> Any:
    return importlib.import_module(module).main


def parsed(path: str, rest: list[str], patch: pytest.MonkeyPatch) -> None:
    """A script's own parser takes the arguments; what it takes for overrides is right for its config."""
    patch.setattr(sys, "argv", [path, *rest])

    def stop(parse: Any) -> Any:
        def parse_and_stop(self: Any, *arguments: Any) -> Any:
            asked = parse(self, *arguments)
            if getattr(asked, "overrides", None):
                load_config(asked.config, asked.overrides)
            raise Reached

        return parse_and_stop

    for name in ("parse_args", "parse_intermixed_args"):
        patch.setattr(argparse.ArgumentParser, name, stop(getattr(argparse.ArgumentParser, name)))
    with pytest.raises(Reached):
        runpy.run_path(str(ROOT / path), run_name="__main__")


def installed(rest: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in rest:
        if found := re.fullmatch(r"\.\[([\w-]+)\]", word):
            assert found[1] in extras
        elif word != "-e":
            assert importlib.util.find_spec(word), f"{word} is not what our adapters import"


def curl(rest: list[str]) -> None:
    """Sent to a real server over a scripted judge, which answers."""
    import httpx

    from tests.serving import running

    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d")
    parser.add_argument("-N", action="store_true")
    asked = parser.parse_intermixed_args(rest)
    headers = dict(header.split(": ", 1) for header in asked.H)
    key = headers["Authorization"].removeprefix("Bearer ") if "Authorization" in headers else None
    with running(key=key, scoring={"strategy": "all_pairs"}) as server:
        url = asked.url.replace("http://127.0.0.1:8100", server.url)
        assert url.startswith(server.url)
        reply = httpx.request("POST" if asked.d else "GET", url, headers=headers, content=asked.d, timeout=20)
    assert reply.status_code == 200, reply.text
    if '"stream": true' in (asked.d or ""):
        assert reply.text.rstrip().rpartition("event: ")[2].startswith("judgment")


def trl_grpo(rest: list[str]) -> None:
    """TRL's own parser knows every option, and the dotted path leads to a function."""
    from trl.scripts.grpo import make_parser

    if not rest:  # named in passing
        return
    asked, *_ = make_parser().parse_args_and_config([*rest, "--use_cpu"])  # or TRL's defaults ask for a GPU
    (path,) = asked.reward_funcs
    module, _, name = path.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
    RewardConfig.model_validate(tomllib.loads(Path(os.environ["EVALPLANNER_REWARD"]).read_text()))


def served_by_vllm(rest: list[str]) -> None:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    assert Path(make_arg_parser(FlexibleArgumentParser()).parse_args(rest).model, "judge.json").is_file()


def theirs(module: str, rest: list[str]) -> None:
    """Another project's trainer: options that it has, files and arguments that we have."""
    arguments = inspect.signature(adapter_at("verl").compute_score).parameters
    for word in rest:
        name, _, value = word.partition("=")
        if name.startswith("+reward.custom_reward_function.reward_kwargs."):
            assert name.rpartition(".")[2] in arguments
        elif name.startswith("--") or "=" in word:
            assert name in THEIRS[module], f"{module} is not known to have {name}"
        for text in (word, value):
            if text.startswith("/path/to/evalplanner/"):
                assert (ROOT / text.removeprefix("/path/to/evalplanner/")).is_file()


def adapter_at(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "rewards" / "adapters" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_the_long_run_s_table_is_its_summary() -> None:
    found = json.loads((ROOT / "docs" / "results" / "cpu.json").read_text())

    def row(one: dict[str, Any], mark: str) -> str:
        rates = [
            f"{one[name]:.1%} [{100 * one['ci95'][name][0]:.1f}, {100 * one['ci95'][name][1]:.1f}]"
            for name in ("accuracy", "position_consistent")
        ]
        shares = [f"{one['forced']:.1%}", *(f"{one[name]:.0%}" for name in ("supported", "prejudged", "flip"))]
        return f"| {' | '.join([one['name'] + mark, one['split'], str(one['n']), *rates, *shares])} |"

    expected = [row(one, "") for one in found["checkpoints"]] + [row(one, " (control)") for one in found["controls"]]
    lines = (ROOT / "docs" / "learning.md").read_text().splitlines()
    start = lines.index("| judge | split | n | accuracy | position-consistent | forced | supported | prejudged | order flips |") + 2
    assert lines[start : start + len(expected) + 1] == [*expected, ""]


# -- the site ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_site_builds_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"DISABLE_MKDOCS_2_WARNING": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "site" / "api" / "index.html").read_text()
    assert "compare_many" in api, "the reference is made from the docstrings"
    page = (tmp_path / "site" / "trainers" / "trl" / "index.html").read_text()
    assert '<span class="filename">reward.toml</span>' in page, "a titled block is shown as one"
