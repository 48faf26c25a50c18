"""bench/ablate.py: which cells there are, that each differs in one choice, that it goes on where it stopped, and what it claims."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench import ablate
from eval.judged import Judged, chain_of
from planner.errors import UserError
from planner.execute import input_key
from planner.judge import JudgeCard, write_card
from planner.models import resolve_model
from planner.records import Chain, LabeledPair, Pair
from planner.store import Shard, read_log, write_jsonl
from planner.styles.evalplanner import EvalPlannerStyle
from selftrain.config import Config, load_config
from selftrain.stamp import stamp_of
from tests.conftest import ROOT
from tests.test_data_build import source_config
from tests.test_loop import write_config

CPU = str(ROOT / "configs/cpu.toml")


def judged(right: int, n: int = 100) -> tuple[Judged, ...]:
    """A judge that is right in both orders of the first pairs and wrong in both of the others."""
    found = []
    for k in range(n):
        one = LabeledPair(pair=Pair(instruction=f"Ask {k}.", response_a="a", response_b="b"), better="A", source="s", kind="k")
        found.append(Judged(one, {order: chain_of(one, order, "A" if k < right else "B") for order in ("ab", "ba")}))
    return tuple(found)


def result(low: float, high: float, right: int = 50) -> ablate.Result:
    middle = (low + high) / 2
    return ablate.Result(100, middle, middle, {"accuracy": (low, high), "position_consistent": (low, high)}, judged(right))


def test_every_cell_differs_from_the_base_in_its_choice_alone() -> None:
    planned = ablate.plan(CPU, [], set())
    assert planned[0][0] is ablate.BASE
    base = planned[0][1]
    assert isinstance(base, Config)
    questions = {cell.question for cell, _ in planned}
    assert questions == {"base", "pairing", "nll", "plan_kind", "dpo_iterations", "train_forced", "plans"}
    names = {config.name for _, config in planned if isinstance(config, Config)}
    assert len(names) == len([1 for _, config in planned if isinstance(config, Config)])
    for cell, config in planned[1:]:
        if isinstance(config, str):
            assert cell.question in ("train_forced", "pairing"), "a recipe of findings, and of one plan"
            continue
        before, after = base.recipe(), config.recipe()
        changed = {key for key in before if before[key] != after[key]} - {"name"}
        assert len(changed) == 1, (cell, changed)


TWICE = 'iterations=[{pairs=126,train=["dpo"]},{pairs=126,train=["dpo"]}]'


@pytest.mark.parametrize(
    ("overrides", "question", "said"),
    [
        ([], "pairing", "sampling.plans to 2 or more"),
        (["plan_kind=none", "sampling.plans=2"], "pairing", "sampling.plans to 2 or more"),
        (["plan_kind=none"], "plans", "no plans to share"),
        (['iterations=[{pairs=8,train=["sft"]}]'], "nll", "no iteration trains by DPO"),
        (['iterations=[{pairs=8,train=["sft"]}]'], "pairing", "no iteration trains by DPO"),
        (['iterations=[{pairs=8,train=["sft","dpo"]}]'], "plans", "no trained judge's chains"),
        (['iterations=[{pairs=8,train=["sft","dpo"]}]', "sampling.plans=2"], "pairing", "whose verdicts are all forced"),
        (["execution_form=free", "sampling.force_verdict=false"], "train_forced", "no verdict is forced"),
        (["sampling.plans=2"], "pairing", None),
        (["execution_form=free"], "train_forced", None),
        (["model=m", TWICE, "sampling.plans=2", "sampling.executions=8"], "pairing", None),
        (["model=m", TWICE, "sampling.plans=2", "sampling.executions=8"], "plans", None),
        (["model=m", TWICE, "sampling.plans=2", "sampling.executions=8"], "dpo_iterations", None),
    ],
)
def test_a_choice_that_changes_nothing_is_not_run(overrides: list[str], question: str, said: str | None) -> None:
    cells = [config for _, config in ablate.plan(CPU, overrides, {question})][1:]
    assert cells
    for config in cells:
        assert isinstance(config, Config) if said is None else said in str(config)


def test_a_seed_that_is_a_judge_already_plans_by_itself(tmp_path: Path) -> None:
    write_card(tmp_path, JudgeCard(style=EvalPlannerStyle(prompt_set="short", execution_form="findings"), max_tokens=9))
    overrides = [f"model={tmp_path}", 'iterations=[{pairs=126,train=["dpo"]}]', "sampling.plans=2"]
    for question, said in (("pairing", None), ("plans", None), ("plan_kind", "never asked for a plan")):
        cells = [config for _, config in ablate.plan(CPU, overrides, {question})][1:]
        for config in cells:
            if said is None:
                assert isinstance(config, Config)
            else:
                assert said in str(config) or "plans True, here False" in str(config)
    with pytest.raises(UserError, match="ties False, here True"):
        ablate.plan(CPU, [*overrides, "ties=true", "rows.whole_groups=false", "rows.train_forced=true"], set())


def test_cells_that_are_not_measured_on_known_are_refused() -> None:
    with pytest.raises(UserError, match=r"set pairs\.held_out\.known"):
        ablate.plan(CPU, ["pairs.held_out={unseen=80}"], set())


def test_one_iteration_is_the_first() -> None:
    ((_, _), (_, one)) = ablate.plan(CPU, [], {"dpo_iterations"})
    assert isinstance(one, Config)
    assert one.iterations == ablate.load_config(CPU).iterations[:1]


def test_one_iteration_is_one_of_dpo() -> None:
    taught = (
        'iterations=[{judged={form="pandalm",path="a",verdicts="b"},train=["sft"]},{pairs=8,train=["dpo"]},{pairs=8,train=["dpo"]}]'
    )
    overrides = [taught, "plan_kind=none", "controls=[]"]
    ((_, base), (_, one)) = ablate.plan(CPU, overrides, {"dpo_iterations"})
    assert isinstance(base, Config)
    assert isinstance(one, Config), one
    assert one.iterations == base.iterations[:2]


def test_a_misspelt_question_is_refused() -> None:
    with pytest.raises(UserError, match="--only paring: there is base, pairing, nll"):
        ablate.plan(CPU, [], {"paring"})


def test_what_overlaps_is_not_told_apart() -> None:
    base = result(0.4, 0.5)
    assert ablate.verdict(base, result(0.49, 0.6)) == "can't tell"
    assert ablate.verdict(base, result(0.51, 0.6)) == "higher"
    assert ablate.verdict(base, result(0.1, 0.39)) == "lower"
    printed = ablate.table(
        [(ablate.BASE, base), (ablate.Cell("nll", "0", ()), result(0.51, 0.6)), (ablate.Cell("nll", "1", ()), "too slow")]
    )
    assert "| nll | 0 | 100 | 55.5% [51.0%, 60.0%] | 55.5% [51.0%, 60.0%] | higher |" in printed
    assert "| nll | 1 | | | | too slow | |" in printed


def test_cells_on_the_same_pairs_are_told_apart_pair_by_pair() -> None:
    """Where each interval is wider than the gain, the pairs that changed say more."""
    base, cell = (ablate.BASE, result(0.4, 0.6, right=50)), (ablate.Cell("nll", "0", ()), result(0.45, 0.65, right=58))
    _, better = ablate.entries([base, cell])
    assert better["against_base"] == "can't tell"
    paired = better["pair_by_pair"]
    assert (paired["difference"], paired["only_ours"], paired["only_theirs"], paired["outlook"]) == (0.08, 8, 0, "better")
    assert paired["p"] == pytest.approx(2 * 0.5**8)
    row = ablate.table([base, cell]).splitlines()[-1]
    assert "| can't tell | +8.0 [+" in row
    assert row.endswith("], p = 0.0078: better |")


def put_finished(path: str, *overrides: str) -> Path:
    """A run's stamp, summary, held-out pairs and judgments: all that a finished cell is asked for."""
    config = load_config(path, list(overrides))
    run = config.run_folder
    interval = {"accuracy": [0.1, 0.9], "position_consistent": [0.1, 0.9]}
    score = {"name": "M1_SFT", "split": "known", "n": 6, "accuracy": 0.5, "position_consistent": 0.5, "ci95": interval}
    run.mkdir(parents=True)
    (run / "stamp.json").write_text(json.dumps(stamp_of(config, resolve_model(config.model))))
    (run / "summary.json").write_text(json.dumps({"name": run.name, "checkpoints": [score]}))
    said = judged(3, 6)
    write_jsonl(run / "pairs" / "known.jsonl", [one.labeled for one in said])
    with Shard[Chain](run / "eval" / "M1_SFT" / "known", 0) as shard:
        for one in said:
            for order, chain in one.chains.items():
                shard.append(input_key(one.labeled.pair, order), [chain] if one is not said[-1] or order == "ab" else [])
    return run / "summary.json"


def test_json_is_one_object_last_and_says_what_the_table_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (f"out={tmp_path}", "model=org/judge")
    for name, override in (("base-as-configured", "seed=2"), ("nll-0", "dpo.sft_weight=0")):
        put_finished(CPU, *common, override, f"name=cpu-ablate-{name}")
    monkeypatch.setattr("sys.argv", ["ablate.py", CPU, "--only", "nll,train_forced", *common, "--json"])
    assert ablate.main() == 0
    base, nll, refused = json.loads(capsys.readouterr().out.splitlines()[-1])["cells"]
    assert (base["question"], base["n"], base["accuracy"], base["against_base"]) == ("base", 6, 0.5, None)
    assert (nll["question"], nll["answer"], nll["against_base"]) == ("nll", "0", "can't tell")
    assert nll["ci95"]["position_consistent"] == [0.1, 0.9]
    assert (nll["pair_by_pair"]["n"], nll["pair_by_pair"]["difference"], base["pair_by_pair"]) == (6, 0.0, None)
    assert refused.keys() == {"question", "answer", "why"}, "a recipe of findings cannot leave forced verdicts out"


def test_a_cell_that_another_recipe_finished_is_not_taken_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (f"out={tmp_path}", "model=org/judge")
    put_finished(CPU, *common, "name=cpu-ablate-base-as-configured")
    monkeypatch.setattr("sys.argv", ["ablate.py", CPU, *common, "seed=3", "--only", "nll"])
    assert ablate.main() == 2
    assert "another recipe: seed (was 2, now 3); undo that, or choose another name=" in capsys.readouterr().err


@pytest.mark.waits
def test_a_driver_that_is_killed_leaves_no_run(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    (tmp_path / "selftrain").mkdir()
    (tmp_path / "selftrain" / "run.py").write_text(
        f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(300)\n"
    )
    driver = "import sys; from pathlib import Path; from bench import ablate; ablate.ROOT = Path(sys.argv.pop(1)); ablate.main()"
    process = subprocess.Popen([sys.executable, "-c", driver, str(tmp_path), CPU, f"out={tmp_path}", "--only", "nll"], cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run = psutil.Process(int(pid.read_text()))
    process.kill()
    process.wait()
    psutil.wait_procs([run], timeout=10)
    left = run.is_running() and run.status() != psutil.STATUS_ZOMBIE
    if left:
        run.kill()
    assert not left


@pytest.mark.slow
def test_a_cell_out_of_time_is_gone_on_with(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The cell is a whole run, here one on problems, whose responses the seed writes first; the base is made of it afterwards."""
    path = write_config(tmp_path, source_config("math", tmp_path, tiny_model))
    base = put_finished(str(path), "name=tiny-ablate-base-as-configured").parent
    arguments = ["ablate.py", "--only", "train_forced", str(path)]
    monkeypatch.setattr("sys.argv", [*arguments, "--minutes", "0.02"])
    assert ablate.main() == 1
    assert "not finished in 0.02 minutes" in capsys.readouterr().out

    cell, config = ablate.plan(str(path), [], {"train_forced"})[1]
    assert isinstance(config, Config)
    assert isinstance(ablate.run(str(path), [], cell, config, 20), ablate.Result)
    assert json.loads((config.run_folder / "pairs" / "source.json").read_text())["hygiene"]["counts"]["kept"] >= 16
    made = next(one for one in read_log(config.run_folder / "metrics.jsonl") if one["stage"] == "pairs")
    assert made["generated"] > 0, "what the seed wrote for the pairs is counted"
    for part in ("pairs", "eval", "summary.json"):
        (shutil.rmtree if (base / part).is_dir() else Path.unlink)(base / part)
        (shutil.copytree if (config.run_folder / part).is_dir() else shutil.copy2)(config.run_folder / part, base / part)

    summaries = [folder / "summary.json" for folder in (base, config.run_folder)]
    before = [one.stat().st_mtime_ns for one in summaries]
    monkeypatch.setattr("sys.argv", arguments)
    assert ablate.main() == 0
    printed = capsys.readouterr().out
    assert printed.count("| base | as-configured | 4 |") == 1
    assert printed.count("| train_forced | no | 4 |") == 1
    assert "+0.0 [" in printed, "the same judgments, pair by pair"
    assert [one.stat().st_mtime_ns for one in summaries] == before, "what is finished is only read"
