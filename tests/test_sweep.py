"""compare/sweep.py and its bracket: PandaLM's protocol, its counts, and a real trial of each kind."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import socket
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from compare.bracket import FINAL, play_bracket
from compare.candidates import RespondConfig, RespondJob, read_questions, respond
from compare.child import run_child
from compare.harness import Score, ScoreJob, Scores, check_tasks
from compare.ray_trials import RayConfig, _train, run_trials
from compare.standings import Triple
from compare.sweep import Grid, SweepConfig, SweepResult, sweep
from compare.trial import TrainConfig, Trained, Trial, TrialJob, read_examples, train
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from planner.judge import Judge
from planner.lock import lock_run
from planner.store import write_text
from planner.styles import STYLES
from selftrain.config import load_record
from tests.conftest import ROOT
from tests.test_compare import longer_wins

# -- the bracket -------------------------------------------------------------------------------------------------------


def by_skill(champion: str, challenger: str) -> Triple:
    return Triple(3, 1, 0) if int(champion) > int(challenger) else Triple(1, 3, 0)


def test_pandalm_s_count_of_comparisons() -> None:
    """80 settings in 4 blocks of 20; with the match against the default, five base models and both orders: 800."""
    settings = len(Grid().trials()) * Grid().epochs
    assert settings == 80
    rounds = play_bracket([str(k) for k in range(settings)], 20, by_skill)
    assert len({one.block for one in rounds} - {FINAL}) == 4
    assert [sum(one.block == block for one in rounds) for block in ("block 1", "block 4", FINAL)] == [19, 19, 3]
    assert (len(rounds) + 1) * 2 * 5 == 800


@given(st.permutations([str(k) for k in range(11)]), st.integers(2, 12))
def test_the_best_wins_wherever_it_stands(names: list[str], block: int) -> None:
    rounds = play_bracket(names, block, by_skill)
    assert rounds[-1].winner == "10"
    assert len(rounds) == len(names) - 1


def test_a_draw_leaves_the_champion() -> None:
    (only,) = play_bracket(["a", "b"], 2, lambda one, other: Triple(2, 2, 5))
    assert only.winner == "a"
    with pytest.raises(ValueError, match="two names"):
        play_bracket(["a"], 2, by_skill)


# -- the sweep, with trials that pretend -------------------------------------------------------------------------------

TOML = """
name = "s"
out = "{tmp}/runs"
model = "{tmp}/base"
data = "{tmp}/data.jsonl"
questions = "{tmp}/questions.jsonl"
block = 2
[grid]
optimizer = ["adamw"]
learning_rate = [1e-5, 2e-4]
scheduler = ["cosine"]
epochs = 2
[judge]
model = "{tmp}/j"
style = "pandalm"
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    (tmp_path / "data.jsonl").write_text(
        '{"instruction": "a", "response": "b"}\n{"instruction": "c", "input": "d", "output": "e"}\n'
    )
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps({"instruction": f"Q{k}"}) + "\n" for k in range(5)))
    for name in ("base", "j"):
        write_text(tmp_path / name / "config.json", "{}")
        write_text(tmp_path / name / "model.safetensors", name)
    (tmp_path / "sweep.toml").write_text(TOML.format(tmp=tmp_path))
    return tmp_path / "sweep.toml"


def pretended(kind: str, job: Any, file: Path) -> None:
    """Trials with fixed losses; a larger rate and more epochs make longer answers, but the last epoch of the larger one fails."""
    if kind == "train":
        assert isinstance(job, TrialJob)
        checkpoints = [str(Path(job.folder) / "checkpoints" / f"{job.trial.learning_rate:g}-{k}") for k in range(1, job.epochs + 1)]
        for path in checkpoints:
            Path(path).mkdir(parents=True)
        trained = Trained(rows=1, held_out=1, over_long=0, losses=(2.0, 1.5), checkpoints=tuple(checkpoints))
        (Path(job.folder) / "trial.json").write_text(trained.model_dump_json())
    elif kind == "score":
        assert isinstance(job, ScoreJob)
        value = {"1e-05-2": 0.25, "0.0002-1": 0.5}[Path(job.model).name]
        scores = tuple(
            Score(task=task, metric="acc", higher_is_better=True, value=value, stderr=value / 10 if job.limit else None)
            for task in job.tasks
        )
        write_text(Path(job.file), Scores(job=job, scores=scores).model_dump_json())
    else:
        assert isinstance(job, RespondJob)
        size = {"1e-05-1": 1, "1e-05-2": 2, "0.0002-1": 4, "0.0002-2": 3}[Path(job.model).name]
        engine = ScriptedEngine(lambda request, draw: "word " * size)
        respond(engine, read_questions(Path(job.questions)), Path(job.folder), job.respond)


def never(*_: Any) -> Any:
    raise AssertionError("nothing is owed")


def pandalm() -> Judge:
    return Judge(ScriptedEngine(longer_wins), STYLES["pandalm"], rule="strict", max_tokens=50)


def test_a_sweep_names_the_best_and_when_to_stop(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compare.sweep.run_child", pretended)
    config = load_record(toml, SweepConfig)
    assert [one.name for one in config.settings()] == [
        "adamw-1e-05-cosine-full-e1", "adamw-1e-05-cosine-full-e2", "adamw-0.0002-cosine-full-e1", "adamw-0.0002-cosine-full-e2",
    ]  # fmt: skip
    result = sweep(config, pandalm)
    assert result.chosen.name == "adamw-0.0002-cosine-full-e1"
    assert [(one.block, one.winner[6:]) for one in result.rounds] == [
        ("block 1", "1e-05-cosine-full-e2"), ("block 2", "0.0002-cosine-full-e1"), ("final", "0.0002-cosine-full-e1"),
    ]  # fmt: skip
    assert result.against_default == Triple(5, 0, 0)
    assert (result.matches, result.judgments) == (3, 30), "the default was the other finalist, so that match is not played twice"
    assert "chose epoch 1 of 2: train no longer" in result.advice
    assert "lowest after epoch 2 (1.500)" in result.advice
    assert Path(result.checkpoint).is_dir()
    assert len(list(Path(config.out).rglob("checkpoints/*"))) == 1, "only the chosen one is kept"

    monkeypatch.setattr("compare.sweep.run_child", never)
    assert sweep(config, never) == result
    with pytest.raises(UserError, match=r"another grid\.epochs|another model|another block"):
        sweep(config.model_copy(update={"block": 4}), never)


def test_a_trial_whose_record_is_torn_is_named(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compare.sweep.run_child", pretended)
    config = load_record(toml, SweepConfig)
    sweep(config, pandalm)
    (record,) = (Path(config.out) / config.name / "trials").glob("*-1e-05-*/trial.json")
    record.write_text(record.read_text()[:20])
    with pytest.raises(UserError, match=f"{record} is not JSON"):
        sweep(config, never)


def test_a_sweep_that_is_going_on_is_left_alone(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one would begin a trial anew, and so delete the checkpoints of the first."""
    monkeypatch.setattr("planner.lock._PATIENCE_S", 0.0)
    monkeypatch.setattr("compare.sweep.run_child", never)
    config = load_record(toml, SweepConfig)
    folder = Path(config.out) / config.name
    folder.mkdir(parents=True)
    with lock_run(folder), pytest.raises(UserError, match=f"{folder} is in use by another process"):
        sweep(config, never)


def test_lm_eval_scores_the_chosen_setting_and_the_default(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []

    def counted(kind: str, job: Any, file: Path) -> None:
        kinds.append(kind)
        pretended(kind, job, file)

    monkeypatch.setattr("compare.sweep.run_child", counted)
    monkeypatch.setattr("compare.sweep.check_tasks", lambda tasks, folder: kinds.append("check"))
    config = load_record(toml, SweepConfig, ['lm_eval=["one", "two"]', "lm_eval_limit=9", "keep=all"])
    result = sweep(config, pandalm)
    assert kinds[0] == "check", "before anything is trained"
    assert kinds.count("score") == 2
    assert [(one.task, one.chosen, one.default) for one in result.lm_eval] == [
        ("one", (0.5, 0.05), (0.25, 0.025)), ("two", (0.5, 0.05), (0.25, 0.025)),
    ]  # fmt: skip
    out = Path(config.out) / config.name
    assert SweepResult.model_validate_json((out / "sweep.json").read_text()) == result
    assert "<td>0.5000 ± 0.0500</td>" in (out / "report.html").read_text()

    kinds.clear()
    assert sweep(config.model_copy(update={"lm_eval_batch": 1}), never) == result
    assert kinds == ["check"], "nothing is scored twice"
    again = sweep(config.model_copy(update={"lm_eval_limit": None, "keep": "chosen"}), never)
    assert kinds.count("score") == 2, "another limit is another score"
    assert again.lm_eval[0].default == (0.25, None)
    with pytest.raises(UserError, match=r'adamw-1e-05-cosine-full-e2: keep = "chosen" has deleted'):
        sweep(config.model_copy(update={"lm_eval": ("three",)}), never)
    assert sweep(config.model_copy(update={"lm_eval": (), "lm_eval_limit": None}), never).lm_eval == ()


def test_lm_eval_s_scores_are_printed(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compare.sweep.run_child", pretended)
    monkeypatch.setattr("compare.sweep.check_tasks", lambda tasks, folder: None)
    monkeypatch.setattr("cli.sweep.check_judge", lambda *_, **__: None)
    monkeypatch.setattr("cli.sweep.open_judge", lambda *_, **__: pandalm())
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["sweep", str(toml), 'lm_eval=["one"]', "lm_eval_limit=9"])
    assert done.exit_code == 0, done.stderr
    assert re.search(r"one .* acc .* higher .* 0\.5000 ± 0\.0500 .* 0\.2500 ± 0\.0250", done.stdout)


@pytest.mark.parametrize(
    ("package", "override", "message"),
    [
        ("ray", "trials=ray", "Ray Tune cannot be imported .* install the extra `ray`"),
        ("lm_eval", 'lm_eval=["arc_easy"]', r"lm-eval cannot be imported .* `pip install lm-eval==0\.4\.13`"),
    ],
)
def test_what_is_not_installed_is_said_before_anything_is_trained(
    toml: Path, monkeypatch: pytest.MonkeyPatch, package: str, override: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("compare.sweep.run_child", never)
    monkeypatch.setattr("cli.sweep.check_judge", lambda *_, **__: None)
    done = CliRunner().invoke(app, ["sweep", str(toml), override])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
    assert re.search(message, done.stderr)


def test_the_pinned_lm_eval_is_the_one_that_is_named() -> None:
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["lm-eval"]
    assert f"pip install {pins[0]}" in inspect.getsource(check_tasks)


def test_a_machine_that_does_not_share_the_folder_is_named(tmp_path: Path) -> None:
    job = TrialJob(
        trial=Trial(optimizer="sgd", learning_rate=1, scheduler="linear", tuning="full"), model="m", data="d", folder="runs/s/trials/t",
        epochs=1, ask="chat", train=TrainConfig(),
    )  # fmt: skip
    with pytest.raises(UserError, match=rf"^\S+ does not see {tmp_path}/runs/s/trials/t/job\.json: all machines must share"):
        _train({"trial": job.trial.model_dump()}, jobs={job.trial.name: job}, folder=str(tmp_path))


def test_an_address_where_no_cluster_is_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unstarted = SimpleNamespace(is_initialized=lambda: False, init=never)
    monkeypatch.setitem(sys.modules, "ray", unstarted)
    monkeypatch.setitem(sys.modules, "ray.tune", SimpleNamespace())
    with socket.socket() as nobody:  # bound and not listening: connections are refused
        nobody.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"^no Ray cluster at {where} \(.*refused\): start one"):
            run_trials([], RayConfig(address=where), tmp_path)
        monkeypatch.setenv("RAY_ADDRESS", f"ray://{where}")
        with pytest.raises(UserError, match=rf"^no Ray cluster at ray://{where} "):
            run_trials([], RayConfig(), tmp_path)


def test_what_a_child_says_last_is_the_error_where_it_has_a_log(tmp_path: Path) -> None:
    job = RespondJob(model="m", questions=str(tmp_path / "none.jsonl"), folder=str(tmp_path), respond=RespondConfig())
    with pytest.raises(UserError, match=r"^no model at m: ") as caught:
        run_child("respond", job, tmp_path / "job.json", log=tmp_path / "log.txt")
    assert f"(exit status 2; {tmp_path}/log.txt has the rest)" in str(caught.value)


@pytest.mark.parametrize(("who", "named"), [("base", r"weights\.model"), ("j", r"weights\.judge")])
def test_other_weights_in_the_same_place_are_another_sweep(
    toml: Path, monkeypatch: pytest.MonkeyPatch, who: str, named: str
) -> None:
    monkeypatch.setattr("compare.sweep.run_child", pretended)
    config = load_record(toml, SweepConfig)
    sweep(config, pandalm)
    (toml.parent / who / "model.safetensors").write_text("others")
    with pytest.raises(UserError, match=f"was begun with another {named}"):
        sweep(config, never)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[1e-5, 2e-4]", "[1e-5, 1.0000001e-5]", "two trials that would both be called adamw-1e-05-cosine-full"),
        ("[1e-5, 2e-4]", "[1e-5, nan]", "grid.learning_rate.1"),
        ("[1e-5, 2e-4]", "[1e-5, -1.0]", "grid.learning_rate.1"),
        ("block = 2", "block = 1", "block: Input should be greater than or equal to 2"),
        ("[judge]", "[jugde]", "judge: Field required"),
        ("epochs = 2", "epochs = 2\nlayers = 3", "unknown key grid.layers"),
        ("[1e-5, 2e-4]\nscheduler = [\"cosine\"]\nepochs = 2", "[1e-5]\nscheduler = [\"cosine\"]\nepochs = 1", "nothing to choose"),
        ("[judge]", "[default]\nepoch = 9\ntrial = {optimizer=\"sgd\",learning_rate=1,scheduler=\"linear\",tuning=\"full\"}\n[judge]",
         "is not in the grid"),
        ("[judge]", "[train]\nbatch_size = 3\nmicro_batch_size = 2\n[judge]", "train: batch_size = 3 is no multiple of micro_batch_size = 2"),
        ("name =", "name", "is not TOML"),
        ("block = 2", "ray.cpus = 2", 'ray is for trials = "ray"'),
        ("block = 2", "trials = \"ray\"\nray.gpus = 2", "ray.gpus: Input should be less than or equal to 1"),
        ("block = 2", "trials = \"slurm\"", "trials: Input should be 'local' or 'ray'"),
        ("block = 2", "lm_eval_limit = 5", "are for the tasks of lm_eval, and it names none"),
    ],
)  # fmt: skip
def test_a_bad_sweep_is_said(toml: Path, old: str, new: str, message: str) -> None:
    text = toml.read_text()
    assert old in text
    toml.write_text(text.replace(old, new))
    result = CliRunner().invoke(app, ["sweep", str(toml)])
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(("name", "settings"), [("embedded", 8), ("pandalm", 80)])
def test_every_shipped_sweep_parses(name: str, settings: int) -> None:
    assert {path.stem for path in (ROOT / "configs" / "sweeps").iterdir()} == {"embedded", "pandalm"}
    assert len(load_record(ROOT / "configs" / "sweeps" / f"{name}.toml", SweepConfig).settings()) == settings


def test_bad_examples_are_named(tmp_path: Path) -> None:
    file = tmp_path / "d.jsonl"
    file.write_text('{"instruction": "a", "response": "b"}\n{"instruction": "a"}\n')
    with pytest.raises(UserError, match=r"d\.jsonl:2 is no example"):
        read_examples(file)
    file.write_text(
        '{"instruction": "a", "response": "b", "input": "on this"}\n{"instruction": "a", "response": "b", "input": 5}\n'
    )
    with pytest.raises(UserError, match=r"d\.jsonl:2 does not fit at input .*; a row is"):
        read_examples(file)
    file.write_text('{"instruction": "a", "response": "b"}\n')
    with pytest.raises(UserError, match="holds 1 examples"):
        read_examples(file)


# -- a real trial ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_base_model_without_a_chat_template_is_told_how_to_be_asked(tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "base"
    shutil.copytree(tiny_model, model)
    (model / "chat_template.jinja").unlink()
    data = tmp_path / "data.jsonl"
    data.write_text('{"instruction": "Say it.", "response": "it"}\n' * 4)
    trial = Trial(optimizer="adamw", learning_rate=1e-2, scheduler="linear", tuning="full")
    job = TrialJob(trial=trial, model=str(model), data=str(data), folder=str(tmp_path), epochs=1, ask="chat", train=TrainConfig())
    with pytest.raises(UserError, match=r'base has no chat template: set respond\.ask = "text"'):
        train(job)


@pytest.mark.slow
@pytest.mark.parametrize(("tuning", "ask"), [("full", "chat"), ("lora", "text")])
def test_a_trial_trains_and_leaves_a_model_an_epoch(tiny_model: Path, tmp_path: Path, tuning: Any, ask: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"instruction": f"Say {k}.", "response": f"{k} it is"}) + "\n" for k in range(24)))
    trial = Trial(optimizer="adamw", learning_rate=1e-2, scheduler="linear", tuning=tuning)
    settings = TrainConfig(batch_size=4, micro_batch_size=4, held_out=0.2, max_length=64)
    train(TrialJob(trial=trial, model=str(tiny_model), data=str(data), folder=str(tmp_path), epochs=2, ask=ask, train=settings))
    done = Trained.model_validate_json((tmp_path / "trial.json").read_text())
    assert done.rows + done.held_out == 24
    assert len(done.losses) == len(done.checkpoints) == 2
    assert done.losses[1] < done.losses[0] < 11
    before = AutoModelForCausalLM.from_pretrained(tiny_model).state_dict()
    for checkpoint in done.checkpoints:
        after = AutoModelForCausalLM.from_pretrained(checkpoint).state_dict()
        assert after.keys() == before.keys()
        assert any(not torch.equal(after[name].float(), before[name].float()) for name in before)
        assert not list(Path(checkpoint).glob("adapter_*"))
        assert (Path(checkpoint) / "tokenizer_config.json").is_file()
