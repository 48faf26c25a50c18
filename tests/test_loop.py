"""The whole loop, for real: child processes, TRL, locks and resume; a scripted engine and a two-layer model make it quick.

One run is made once and looked at by many tests. Beside them, on the other core, the same run is killed in every stage and resumed.
What a run says before it starts a child is asked in this process: a new one would import for seconds first.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomli_w

from planner.records import ORDERS, Chain, JudgedChain, LabeledPair, Plan
from planner.store import Shards, read_jsonl
from selftrain import run as selftrain_run
from tests.conftest import ROOT, tiny_config

pytestmark = pytest.mark.slow
CONTROLS = ["shuffled_labels", "verdict_only"]
PATIENCE_S = 300
"""For what a running process will do."""


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{config['name']}.toml"
    path.write_text(tomli_w.dumps(config))
    return path


def command(config: Path, *overrides: str) -> list[str]:
    return [sys.executable, str(ROOT / "selftrain" / "run.py"), str(config), *overrides]


def run(config: Path, *overrides: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(config, *overrides), capture_output=True, text=True, timeout=1100, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def run_here(config: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """The same in this process: the run's children are children as ever, but nothing is imported anew for their parent."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        # Trainers of other tests leave it behind; to a run it says that a launcher has started it.
        patch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
        code = selftrain_run.main([str(config), *overrides])
    return subprocess.CompletedProcess(command(config, *overrides), code, out.getvalue(), err.getvalue())


def artefacts(folder: Path) -> dict[str, bytes]:
    """What must be byte-identical however often a run was killed: everything but logs, clocks, ledgers and tensors."""
    kept = {}
    for path in sorted(folder.glob("**/*.jsonl")):
        name = str(path.relative_to(folder))
        if path.name.startswith(("seconds-", "ledger-", "log", "attempts", "metrics")):
            continue
        kept[name] = path.read_bytes()
    return kept


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], stderr: Path | None = None) -> None:
    """Wait for something that a running process will do."""
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        if process.poll() is not None:
            pytest.fail("the run ended too early: " + (stderr.read_text()[-2000:] if stderr else ""))
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill_when(process: subprocess.Popen[bytes], ready: Callable[[], bool], stderr: Path | None = None) -> None:
    """SIGKILL the parent as soon as `ready`, and see its children and theirs die with it."""
    wait_until(ready, process, stderr)
    children = descendants(str(process.pid))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}/stat").exists() and not _is_zombie(child) for child in children):
        assert time.monotonic() < deadline, "a child outlived its killed parent"
        time.sleep(0.05)


def descendants(pid: str) -> list[str]:
    found = subprocess.run(["pgrep", "-P", pid], capture_output=True, text=True, check=False).stdout.split()
    return found + [deeper for child in found for deeper in descendants(child)]


def _is_zombie(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Killed(NamedTuple):
    """A run that was killed in every stage and then came to its end."""

    folder: Path
    second: subprocess.CompletedProcess[str]
    """What the same command said while the run was going on."""


def attempts(folder: Path) -> int:
    return len((folder / "attempts.jsonl").read_text().splitlines())


def kill_in_every_stage(tmp_path: Path, model: Path) -> Killed:
    """Kill a run while it samples, trains, selects and measures, and resume it each time."""
    config = write_config(tmp_path, tiny_config(tmp_path, model, controls=CONTROLS))
    folder, stderr = tmp_path / "runs" / "tiny", tmp_path / "stderr"
    moments = [
        lambda: (folder / "iter-1/sft/chains/rank-0.jsonl").exists(),
        lambda: any((folder / "iter-1/sft/train").glob("checkpoint-*")),
        lambda: (folder / "iter-1/dpo/selected.json").exists(),
        lambda: (folder / "iter-2/dpo/plans/rank-0.jsonl").exists(),
        lambda: any((folder / "eval").glob("*/known/rank-0.jsonl")),
    ]
    for number, moment in enumerate(moments, 1):
        with stderr.open("wb") as file:
            process = subprocess.Popen(command(config), stdout=subprocess.DEVNULL, stderr=file)
        if number == len(moments):  # three trainings away from its end
            wait_until(lambda: attempts(folder) == number, process, stderr)  # noqa: B023
            second = run(config, check=False)
        kill_when(process, moment, stderr)
    run(config)
    return Killed(folder, second)


@pytest.fixture(scope="module")
def killing(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Killed]]:
    """The killed run, while other tests run: most of it is one process at a time, and it is for the other core."""
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(kill_in_every_stage, tmp_path_factory.mktemp("killed"), tiny_model)


@pytest.fixture(scope="module")
def whole(killing: Future[Killed], tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(run folder, what it printed) of one undisturbed run with both controls."""
    folder = tmp_path_factory.mktemp("whole")
    config = write_config(folder, tiny_config(folder, tiny_model, controls=CONTROLS))
    done = run(config)
    return folder / "runs" / "tiny", done.stdout


def test_every_checkpoint_is_made_measured_and_printed(whole: tuple[Path, str]) -> None:
    folder, printed = whole
    summary = json.loads((folder / "summary.json").read_text())
    names = [one["name"] for one in summary["checkpoints"] if one["split"] == "known"]
    assert names == ["seed", "M1_SFT", "M1_DPO", "M2_DPO"]
    assert {one["name"] for one in summary["controls"]} == {"shuffled_labels", "verdict_only"}
    for one in summary["checkpoints"] + summary["controls"]:
        assert one["n"] == (6 if one["split"] == "known" else 10)
        assert 0 <= one["accuracy_free"] <= one["accuracy"] <= 1
        low, high = one["ci95"]["accuracy"]
        assert low <= one["accuracy"] <= high
    for name in (*names, "verdict_only", "coin"):
        assert name in printed
    assert summary["seconds"] > 0
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "<h1>Run tiny</h1>" in (folder / "report.html").read_text()
    stages = {one["stage"] for one in summary["stages"]}
    assert {"pairs", "iter-1/sft/sample", "iter-1/sft/train", "iter-1/dpo/rows", "iter-2/dpo/selection", "eval"} <= stages


def test_a_checkpoint_is_an_ordinary_folder_with_a_card(whole: tuple[Path, str]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, _ = whole
    for name in ("M1_SFT", "M1_DPO", "M2_DPO"):
        found = {path.name for path in (folder / name).iterdir()}
        assert {"config.json", "model.safetensors", "tokenizer.json", "judge.json", "README.md"} <= found
        assert "optimizer.pt" not in found
        assert "trained on its own right and wrong verdicts" in (folder / name / "README.md").read_text()
    AutoTokenizer.from_pretrained(folder / "M2_DPO")
    AutoModelForCausalLM.from_pretrained(folder / "M2_DPO")
    lines = [json.loads(line) for line in (folder / "checkpoints.jsonl").read_text().splitlines()]
    assert [(one["name"], one["parent"]) for one in lines[:3]] == [("M1_SFT", "seed"), ("M1_DPO", "M1_SFT"), ("M2_DPO", "M1_DPO")]


def test_training_moves_weights_in_every_stage(whole: tuple[Path, str], tiny_model: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder, _ = whole
    before = load_file(tiny_model / "model.safetensors")
    for name in ("M1_SFT", "M1_DPO", "M2_DPO"):
        after = load_file(folder / name / "model.safetensors")
        assert any(not torch.equal(before[key], after[key]) for key in before), name
        before = after


def test_outcomes_add_up_and_plans_know_what_they_saw(whole: tuple[Path, str]) -> None:
    folder, _ = whole
    for stage, first in (("iter-1/sft", True), ("iter-2/dpo", False)):
        metrics = {one["stage"]: one for one in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())}
        entry = metrics[f"{stage}/sample"]
        judged = list(read_jsonl(folder / stage / "judged.jsonl", JudgedChain))
        assert entry["right"] + entry["wrong"] + entry["no_verdict"] + entry["cut_off"] == entry["chains"] == len(judged)
        plans = list(Shards(folder / stage / "plans", Plan))
        assert all((one.pair_id is None) == first and (one.order is None) == first for one in plans)
        by_id = {one.id: one for one in plans}
        pairs = {one.pair.id: one for one in read_jsonl(folder / "pairs" / f"train-{stage[5]}.jsonl", LabeledPair)}
        for one in judged:
            plan = by_id[one.chain.plan_id]
            assert plan.text == one.chain.plan
            assert plan.order in (None, one.chain.order), "a later plan is executed only in the order it saw"
            assert one.gold == pairs[one.chain.pair_id].gold(one.chain.order)
        assert {one.chain.order for one in judged} == set(ORDERS)


def test_iterations_use_fresh_pairs_and_held_out_ones_stay_out(whole: tuple[Path, str]) -> None:
    folder, _ = whole
    ids = {
        path.stem: {one.pair.instruction for one in read_jsonl(path, LabeledPair)} for path in (folder / "pairs").glob("*.jsonl")
    }
    assert set(ids) == {"train-1", "train-2", "validation", "known", "unseen"}
    names = sorted(ids)
    for i, name in enumerate(names):
        for other in names[i + 1 :]:
            assert not ids[name] & ids[other], (name, other)


def test_every_training_row_ends_in_its_verdict(whole: tuple[Path, str], tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    folder, _ = whole
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rows = 0
    for path in [*folder.glob("iter-*/*/sft.jsonl"), *folder.glob("iter-*/*/dpo.jsonl"), *folder.glob("controls/**/[sd]??.jsonl")]:
        for row in map(json.loads, path.read_text().splitlines()):
            rows += 1
            sides = [row["completion"]] if "completion" in row else [row["chosen"], row["rejected"]]
            texts = [
                tokenizer.decode(tokenizer.apply_chat_template(row["prompt"] + side, tokenize=True, return_dict=False))
                for side in sides
            ]
            assert texts[0].rstrip().endswith(("[[A]]<|im_end|>", "[[B]]<|im_end|>")), texts[0][-80:]
            if len(texts) == 2:
                assert texts[0] != texts[1]
                assert texts[0].split("<|im_start|>assistant")[0] == texts[1].split("<|im_start|>assistant")[0]
    assert rows > 20


def test_the_same_command_again_does_nothing_twice(whole: tuple[Path, str]) -> None:
    folder, printed = whole
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    chains = (folder / "iter-1/sft/chains/rank-0.jsonl").read_bytes()
    again = run_here(folder.parent.parent / "tiny.toml")
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before
    assert (folder / "iter-1/sft/chains/rank-0.jsonl").read_bytes() == chains
    table = printed[printed.index("held-out pairs") :].rsplit("\n", 2)[0]
    assert table in again.stdout


@pytest.mark.parametrize(
    ("override", "named"),
    [("sampling.temperature=0.5", "sampling.temperature"), ("seed=9", "seed"), ("iterations.1.pairs=7", "iterations")],
)
def test_a_changed_recipe_is_refused_and_named(whole: tuple[Path, str], override: str, named: str) -> None:
    folder, _ = whole
    done = run_here(folder.parent.parent / "tiny.toml", override)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert named in last


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=/nowhere/model"], "no model at /nowhere/model"),
        (["sampling.plnas=3"], "unknown key sampling.plnas"),
        (
            ["processes=2", "sft.micro_batch_size=2", "dpo.micro_batch_size=2"],
            "launched with 1 process(es) but the config says processes = 2",
        ),
        (
            ["pairs.source=jsonl", "pairs.held_out={known=2}", "pairs.kinds=[]", "pairs.path=/nowhere.jsonl"],
            "/nowhere.jsonl cannot be read",
        ),
        (["pairs.kinds=['juggling']"], "juggling"),
    ],
)
def test_what_the_user_can_mend_is_one_line(tiny_model: Path, tmp_path: Path, overrides: list[str], said: str) -> None:
    done = run_here(write_config(tmp_path, tiny_config(tmp_path, tiny_model)), *overrides)
    assert done.returncode == 2
    assert said in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_through_the_launcher_an_error_stays_one_line(tiny_model: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, tiny_config(tmp_path, tiny_model))
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--quiet",
        "--config_file",
        str(ROOT / "configs/accelerate/cpu-1.yaml"),
    ]
    done = subprocess.run(
        [*launch, str(ROOT / "selftrain/run.py"), str(config), "model=/nowhere/model"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    assert "error: no model at /nowhere/model" in done.stderr
    assert "Traceback" not in done.stderr


def copy_of(whole: tuple[Path, str], tmp_path: Path) -> tuple[Path, Path]:
    """(config, run folder) of a copy of the whole run, elsewhere."""
    folder, _ = whole
    copy = tmp_path / "runs" / "tiny"
    shutil.copytree(folder, copy, symlinks=True)
    config = tmp_path / "tiny.toml"
    config.write_text((folder.parent.parent / "tiny.toml").read_text().replace(str(folder.parent), str(copy.parent)))
    return config, copy


def test_a_stage_that_is_deleted_is_made_anew_and_what_stands_on_it_is_refused(whole: tuple[Path, str], tmp_path: Path) -> None:
    """What our errors advise must work: no old weights under a new stage, no old chains or verdicts under a new checkpoint."""
    folder, _ = whole
    config, copy = copy_of(whole, tmp_path)
    shutil.rmtree(copy / "iter-1" / "dpo")
    done = run_here(config)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {copy}/iter-2/dpo was made with an earlier M1_DPO")

    shutil.rmtree(copy / "iter-2")
    (copy / "M2_DPO" / "model.safetensors").write_bytes(b"stale")
    judged = [copy / "eval" / name / "known" / "rank-0.jsonl" for name in ("M1_DPO", "M2_DPO")]
    for path in judged:
        path.write_text("stale\n")
    kept = copy / "eval" / "M1_SFT" / "known" / "rank-0.jsonl"
    before = kept.stat().st_mtime_ns  # not its time of reading
    done = run_here(config)
    assert done.returncode == 0, done.stderr
    assert (copy / "M2_DPO" / "model.safetensors").stat().st_size > 1000
    for path in judged:
        assert path.read_bytes() == (folder / path.relative_to(copy)).read_bytes()
    assert kept.stat().st_mtime_ns == before, "what still holds is not judged again"
    assert (
        json.loads((copy / "summary.json").read_text())["checkpoints"]
        == json.loads((folder / "summary.json").read_text())["checkpoints"]
    )


def test_a_checkpoint_that_lost_its_files_is_named(whole: tuple[Path, str], tmp_path: Path) -> None:
    config, copy = copy_of(whole, tmp_path)
    shutil.rmtree(copy / "M1_DPO")
    done = run_here(config)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith(f"error: {copy}/M1_DPO is incomplete; delete {copy}/iter-1/dpo")


def test_a_bad_line_stops_with_its_place(whole: tuple[Path, str], tmp_path: Path) -> None:
    config, copy = copy_of(whole, tmp_path)
    judged = copy / "iter-1/sft/judged.jsonl"
    lines = judged.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:40].ljust(len(lines[2]) - 1) + b"\n"  # as long as before
    judged.write_bytes(b"".join(lines))
    for path in (copy / "iter-1/sft").glob("sft.*"):
        path.unlink()
    done = run_here(config)
    assert done.returncode == 2
    assert f"{judged}:3 is not JSON" in done.stderr


# Last: until now it went on beside the others.
@pytest.mark.timeout(2400)
def test_a_run_killed_in_every_stage_ends_byte_identical(killing: Future[Killed], whole: tuple[Path, str]) -> None:
    """Nothing lost, nothing twice."""
    folder, reference = killing.result().folder, whole[0]
    ours, theirs = artefacts(folder), artefacts(reference)
    assert ours.keys() == theirs.keys()
    for name, content in theirs.items():
        if name == "checkpoints.jsonl":  # holds paths
            content = content.replace(str(reference).encode(), str(folder).encode())
        assert ours[name] == content, name
    chains = [one.id for one in Shards(folder / "iter-1/sft/chains", Chain)]
    assert len(chains) == len(set(chains))
    assert attempts(folder) == 6


@pytest.mark.timeout(2400)
def test_a_run_in_use_is_refused(killing: Future[Killed]) -> None:
    second = killing.result().second
    assert second.returncode == 2
    assert "in use by another process" in second.stderr
