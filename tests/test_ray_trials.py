"""A sweep's trials on a real Ray of two processors on this machine, against the same trials without it; skipped where Ray is not installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compare.candidates import read_questions, respond
from compare.child import run_child
from compare.ray_trials import RayConfig, run_trials
from compare.sweep import Grid, JudgeChoice, SweepConfig, sweep
from compare.trial import TrainConfig, Trained, TrialJob
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from planner.judge import Judge
from planner.styles import STYLES
from tests.test_compare import longer_wins

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
pytest.importorskip("ray.tune", reason="Ray Tune is not installed: pip install -e '.[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    # Workers give way to all else by default, and starve where other tests run beside.
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        _system_config={"worker_niceness": 0},
    )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": f"Say {k}.", "response": f"{k} it is"} for k in range(24)]
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("questions.jsonl").write_text('{"instruction": "Q1"}\n{"instruction": "Q2"}\n')
    return tmp_path


def of(model: Path, **changes: Any) -> SweepConfig:
    return SweepConfig(
        name="s", model=str(model), data="data.jsonl", questions="questions.jsonl", judge=JudgeChoice(model=str(model)),
        grid=Grid(optimizer=("adamw",), learning_rate=(1e-4, 1e-2), scheduler=("linear",), epochs=1), block=2, keep="all",
        **{"train": TrainConfig(batch_size=4, micro_batch_size=4, held_out=0.2, max_length=64), **changes},
    )  # fmt: skip


def answered_by_loss(kind: str, job: Any, file: Path, **options: Any) -> None:
    """Real training; a model's answers are the longer, the lower its held-out loss is."""
    if kind == "train":
        run_child("train", job, file, **options)
        return
    checkpoint = Path(job.model)
    trained = Trained.model_validate_json((checkpoint.parent.parent / "trial.json").read_text())
    loss = trained.losses[[Path(one).name for one in trained.checkpoints].index(checkpoint.name)]
    engine = ScriptedEngine(lambda request, draw: "word " * round(400 - 30 * loss))
    respond(engine, read_questions(Path(job.questions)), Path(job.folder), job.respond)


def test_the_same_files_and_the_same_bracket_as_without_it(
    cluster: None, desk: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compare.sweep.run_child", answered_by_loss)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # what Ray gives a trial of one processor

    def judge() -> Judge:
        return Judge(ScriptedEngine(longer_wins), STYLES["pandalm"], rule="strict", max_tokens=50)

    here = sweep(of(tiny_model, out="here"), judge)
    there = sweep(of(tiny_model, out="there", trials="ray", ray=RayConfig(max_concurrent=2)), judge)
    assert there.rounds == here.rounds
    assert there.chosen == here.chosen
    assert there.checkpoint == here.checkpoint.replace("here/", "there/")
    for name in here.losses:
        one, other = (json.loads((desk / out / "s" / "trials" / name / "trial.json").read_text()) for out in ("here", "there"))
        assert other.pop("checkpoints") == [path.replace("here/", "there/") for path in one.pop("checkpoints")]
        assert other.pop("losses") == pytest.approx(one.pop("losses"), rel=1e-3)
        assert other == one
        files = [
            {str(path.relative_to(root)) for path in root.rglob("*")} - {"log.txt"}  # which only a trial on Ray has
            for root in (desk / out / "s" / "trials" / name for out in ("here", "there"))
        ]
        assert files[0] == files[1]
    assert (desk / "there" / "s" / "tune").is_dir()

    # Finished trials are not handed over again.
    monkeypatch.setattr("compare.sweep.run_trials", lambda *_: pytest.fail("nothing is owed"))
    assert sweep(of(tiny_model, out="there", trials="ray"), judge) == there


def test_a_failed_trial_is_named_in_one_line_and_ends_the_rest(cluster: None, desk: Path, tiny_model: Path) -> None:
    config = of(tiny_model, out="bad", train=TrainConfig(max_length=1))
    jobs = [
        TrialJob(
            trial=trial, model=config.model, data=config.data, folder=f"bad/s/trials/{trial.name}", epochs=1, ask="chat", train=config.train
        )
        for trial in config.grid.trials()
    ]  # fmt: skip
    with pytest.raises(UserError) as caught:
        run_trials(jobs, RayConfig(max_concurrent=1), desk / "bad" / "s")
    said = str(caught.value)
    assert said.startswith("trial adamw-0.0001-linear-full failed: data.jsonl: of 24 rows 0 are left to train on"), said
    assert "bad/s/trials/adamw-0.0001-linear-full/log.txt has the rest" in said
    assert "\n" not in said
    assert not (desk / "bad/s/trials/adamw-0.01-linear-full/log.txt").exists(), "the other one was not begun"


def test_a_trial_that_no_machine_has_room_for_is_refused(cluster: None, desk: Path) -> None:
    with pytest.raises(UserError, match=r"^no machine of the Ray cluster has the 9 CPUs and 0 GPUs of a trial: lower ray\.cpus"):
        run_trials([], RayConfig(cpus=9), desk)
    with pytest.raises(UserError, match=r"1 CPUs and 0\.5 GPUs of a trial"):
        run_trials([], RayConfig(gpus=0.5), desk)
