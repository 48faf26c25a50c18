"""GRPO in the loop: configs and rows without a model; then TRL's GRPOTrainer itself, on a two-layer judge that has learnt to name verdicts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from planner.errors import UserError
from planner.records import LabeledPair
from planner.store import read_log, write_jsonl
from selftrain.checkpoints import candidates
from selftrain.config import Config, load_config
from selftrain.grpo import GrpoRow, grpo_rows, tokens_written, whole_batches
from selftrain.pairs.builtin import generate
from selftrain.rows import broken, verdict_only_rows
from selftrain.train import TrainJob, train
from tests.conftest import ROOT, tiny_config
from tests.test_loop import command, kill_when, run, write_config
from tests.test_train import weights

GRPO = {
    "learning_rate": 1e-3, "epochs": 2, "batch_size": 4, "micro_batch_size": 8, "num_generations": 4, "save_every": 2, "max_length": 600,
    "gradient_checkpointing": False,
}  # fmt: skip


def pairs(n: int) -> list[LabeledPair]:
    stream = generate("train", 0, ("letter_case", "keyword", "list_shape"))
    return [next(stream) for _ in range(n)]


def config(tmp_path: Path, model: Path, **changes: Any) -> dict[str, Any]:
    """A run that is one iteration of GRPO, of 8 pairs: 4 steps a pass."""
    return tiny_config(
        tmp_path, model, judge_tokens=16, grpo=GRPO, iterations=[{"pairs": 8, "train": ["grpo"]}], plan_kind="none", **changes
    )


# -- configs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("grpo.num_generations=1", "grpo.num_generations: Input should be greater than or equal to 2"),
        ("grpo.batch_size=3", "grpo.batch_size = 3 is no multiple of 2 × processes = 2"),
        ("grpo.batch_size=1", "grpo.batch_size = 1 is no multiple of 2 × processes = 2"),
        ("grpo.micro_batch_size=3", "grpo.batch_size × grpo.num_generations = 16 is no multiple of grpo.micro_batch_size × processes = 3"),
        ("grpo.batch_size=18", "fewer prompts, two a pair, than grpo.batch_size = 18"),
        ("judge_tokens=600", "grpo.max_length = 600 leaves no room for a prompt beside a chain of judge_tokens = 600"),
        ("grpo={verdict_weight=0, consistency_weight=0}", "verdict_weight and consistency_weight are both 0"),
        ("grpo.verdict_weight=-1", "grpo.verdict_weight: "),
        ("controls=['shuffled_labels']", "shuffled_labels trains on the chains drawn for the first iteration"),
        ("model=embedded", 'the first iteration must train "sft": the embedded seed names no verdict'),
        ("iterations.0.train=['sft', 'grpo']", 'iterations.0: train is ["sft"], ["dpo"], ["sft", "dpo"] or ["grpo"]'),
        ("iterations.0.train=['ppo']", "iterations.0.train.0: "),
    ],
)  # fmt: skip
def test_what_grpo_cannot_do_is_refused_before_anything_starts(override: str, said: str, tmp_path: Path) -> None:
    path = write_config(tmp_path, config(tmp_path, Path("/some/judge")))
    load_config(path)
    with pytest.raises(UserError) as error:
        load_config(path, [override])
    assert said in str(error.value)


def test_ranks_must_hold_whole_pairs(tmp_path: Path) -> None:
    path = write_config(tmp_path, config(tmp_path, Path("/some/judge")))
    sizes = ["processes=2", "sft.micro_batch_size=2", "dpo.micro_batch_size=2"]
    load_config(path, sizes)
    with pytest.raises(UserError, match=r"grpo\.batch_size = 2 is no multiple of 2 × processes = 4"):
        load_config(path, [*sizes, "grpo.batch_size=2"])


def test_grpo_is_part_of_the_recipe_only_of_a_run_that_trains_by_it(tmp_path: Path) -> None:
    """So that a run from before there was GRPO goes on; and speed is no part of a recipe."""
    path = write_config(tmp_path, config(tmp_path, Path("/some/judge")))
    recipe = load_config(path).recipe()
    assert recipe["grpo"]["num_generations"] == 4
    assert recipe == load_config(path, ["grpo.micro_batch_size=8", "grpo.vllm_memory=0.5"]).recipe()
    assert recipe != load_config(path, ["grpo.beta=0.0"]).recipe()
    assert "grpo" not in load_config(path, ["iterations.0.train=['sft']"]).recipe()


def test_j1_has_the_published_values() -> None:
    """Recipe of J1: 5 generations at temperature 1, learning rate 1e-6, batch 512, chains of 4096 tokens, KL 0.01 at 8B."""
    j1 = load_config(ROOT / "configs/j1.toml")
    grpo = j1.grpo
    assert (grpo.num_generations, grpo.temperature, grpo.learning_rate, grpo.batch_size, grpo.beta) == (5, 1.0, 1e-6, 512, 0.01)
    assert (grpo.verdict_weight, grpo.consistency_weight, j1.judge_tokens) == (1.0, 1.0, 4096)
    assert [one.train for one in j1.iterations] == [("sft",), ("grpo",)]


# -- rows --------------------------------------------------------------------------------------------------------------


def test_orders_are_neighbours_and_no_label_reaches_a_prompt(tmp_path: Path) -> None:
    settings = Config.model_validate(config(tmp_path, Path("/some/judge")))
    given = pairs(8)
    rows = list(grpo_rows(given, settings))
    assert [row.order for row in rows] == ["ab", "ba"] * 8
    assert [one.pair_id for one in rows[::2]] == [one.pair_id for one in rows[1::2]]
    assert {row.pair_id for row in rows} == {one.pair.id for one in given}
    assert [row.pair_id for row in rows[::2]] != [one.pair.id for one in given], "shuffled, as the config says"
    golds = {one.pair.id: one for one in given}
    for row in rows:
        assert row.gold == golds[row.pair_id].gold(row.order)
    turned = [one.model_copy(update={"better": "B" if one.better == "A" else "A"}) for one in given]
    assert [row.prompt for row in grpo_rows(turned, settings)] == [row.prompt for row in rows], "prompts know nothing of labels"
    unshuffled = settings.model_copy(update={"grpo": settings.grpo.model_copy(update={"shuffle": False})})
    assert [row.pair_id for row in grpo_rows(given, unshuffled)][::2] == [one.pair.id for one in given]


def test_special_tokens_in_a_prompt_are_broken_and_columns_stay(tmp_path: Path) -> None:
    settings = Config.model_validate(config(tmp_path, Path("/some/judge")))
    (row, *_) = grpo_rows(pairs(2), settings)
    word = row.prompt[-1].content.split()[0]
    (safe,) = broken([row], (word,))
    assert isinstance(safe, GrpoRow)
    assert word not in safe.prompt[-1].content.split()
    assert (safe.pair_id, safe.order, safe.gold) == (row.pair_id, row.order, row.gold)


def test_whole_pairs_in_whole_batches() -> None:
    assert whole_batches(range(8), 4, where="rows") == (list(range(8)), 0)
    assert whole_batches([0, 1, 2, 4, 5, 6, 7, 9], 4, where="rows") == ([0, 1, 4, 5], 2), "2 and 9 lack their other order"
    with pytest.raises(UserError, match=r"rows: 2 prompts of pairs fit, fewer than grpo\.batch_size = 4"):
        whole_batches([0, 1, 3, 4], 4, where="rows")


def test_tokens_of_a_step_taken_twice_count_once() -> None:
    log = [{"step": s, "num_tokens": 100.0 * s, "completions/mean_length": 3.0} for s in (1, 2, 3, 3, 4)]
    assert tokens_written(log, chains=8) == (400, 96)


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two-layer model, taught to name a verdict, now A and now B: it has something to be rewarded for."""
    folder = tmp_path_factory.mktemp("judge")
    settings = tiny_config(folder, tiny_model, plan_kind="none")
    settings["sft"] |= {
        "learning_rate": 1e-2,
        "schedule": "constant",
        "epochs": 40,
        "batch_size": 8,
        "micro_batch_size": 8,
        "save_every": 1000,
    }
    rows = folder / "sft.jsonl"
    style = Config.model_validate(settings).style
    write_jsonl(rows, verdict_only_rows(((one.pair, one.gold(o), o) for one in pairs(8) for o in ("ab", "ba")), style))
    job = TrainJob(method="sft", rows=str(rows), start=str(tiny_model), out=str(folder / "out"), max_steps=60)
    train(Config.model_validate(settings), job)
    (made,) = candidates(folder / "out")
    return made


def kill_while_it_trains(tmp_path: Path, judge: Path) -> tuple[Path, str]:
    """(run folder, what the second attempt printed) of a run that was killed once and then came to its end."""
    path = write_config(tmp_path, config(tmp_path, judge, controls=["verdict_only"]))
    folder = tmp_path / "runs" / "tiny"
    process = subprocess.Popen(command(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kill_when(process, lambda: (folder / "iter-1/grpo/train/checkpoint-2/trainer_state.json").exists())
    return folder, run(path).stdout


@pytest.fixture(scope="module")
def killing(judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[tuple[Path, str]]]:
    """The killed run, while other tests train in this process."""
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(kill_while_it_trains, tmp_path_factory.mktemp("killed"), judge)


@pytest.mark.slow
@pytest.mark.usefixtures("killing")
def test_grpo_moves_weights_and_a_stopped_one_goes_on_to_the_same(judge: Path, tmp_path: Path) -> None:
    """Steps 1-2, a torn checkpoint, resume to 4: equal to four steps at once; rewards, outcomes and tokens are on file."""
    import torch

    settings = Config.model_validate(config(tmp_path, judge))
    rows = tmp_path / "grpo.jsonl"
    write_jsonl(rows, grpo_rows(pairs(8), settings))
    straight = TrainJob(method="grpo", rows=str(rows), start=str(judge), out=str(tmp_path / "straight"), max_steps=4)
    train(settings, straight)
    before, after = weights(judge), weights(candidates(tmp_path / "straight")[-1])
    assert any(not torch.equal(before[key], after[key]) for key in before)
    log = list(read_log(tmp_path / "straight" / "log.jsonl"))
    assert [one["step"] for one in log] == [1, 2, 3, 4]
    for one in log:
        assert one["right"] + one["wrong"] + one["no_verdict"] + one["cut_off"] == pytest.approx(1)
        assert one["reward"] == pytest.approx(one["right"] + one["right_in_both_orders"])
        assert one["kl"] >= 0
    assert any(one["reward_std"] > 0 for one in log), "the judge never varies, so nothing here could be learnt"
    stats = json.loads((tmp_path / "straight" / "stats.json").read_text())
    assert (stats["rows"], stats["steps"], stats["epochs"], stats["left_over"]) == (16, 4, 1.0, 0)
    assert 4 * 16 <= stats["generated"] <= 4 * 16 * 16
    assert stats["tokens"] > stats["generated"]

    stopped = straight.model_copy(update={"out": str(tmp_path / "stopped"), "max_steps": 2})
    train(settings, stopped)
    torn = tmp_path / "stopped" / "checkpoint-3"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half a file")
    train(settings, straight.model_copy(update={"out": str(tmp_path / "stopped")}))
    assert [path.name for path in candidates(tmp_path / "stopped")] == ["checkpoint-2", "checkpoint-4"]
    again = weights(candidates(tmp_path / "stopped")[-1])
    for key in after:
        torch.testing.assert_close(after[key], again[key], rtol=1e-4, atol=1e-5)
    assert json.loads((tmp_path / "stopped" / "stats.json").read_text())["generated"] == stats["generated"]


@pytest.mark.slow
def test_shuffled_rows_stop_the_training_in_one_line(judge: Path, tmp_path: Path) -> None:
    settings = Config.model_validate(config(tmp_path, judge))
    rows = tmp_path / "grpo.jsonl"
    written = list(grpo_rows(pairs(8), settings))
    write_jsonl(rows, [*written[1:], written[0]])  # every pair torn
    job = TrainJob(method="grpo", rows=str(rows), start=str(judge), out=str(tmp_path / "out"), max_steps=1)
    with pytest.raises(UserError, match="not one pair in order ab and then ba"):
        train(settings, job)


@pytest.mark.slow
def test_adapters_train_by_grpo(judge: Path, tmp_path: Path) -> None:
    settings = Config.model_validate(config(tmp_path, judge, lora={"rank": 4, "alpha": 8}))
    rows = tmp_path / "grpo.jsonl"
    write_jsonl(rows, grpo_rows(pairs(8), settings))
    train(settings, TrainJob(method="grpo", rows=str(rows), start=str(judge), out=str(tmp_path / "out"), max_steps=2))
    (made,) = candidates(tmp_path / "out")
    assert not list(made.glob("adapter_*"))
    before, after = weights(judge), weights(made)
    assert any(not before[key].equal(after[key].to(before[key].dtype)) for key in before)


# Last: until now it went on beside the others.
@pytest.mark.slow
def test_a_run_of_grpo_killed_while_it_trains_goes_on_and_is_kept_and_told(killing: Future[tuple[Path, str]]) -> None:
    folder, printed = killing.result()
    assert "iter-1/grpo · 16 prompts, both orders of 8 pairs" not in printed, "rows are not written twice"
    assert "iter-1/grpo · grpo on 16 rows · 8 steps · reward " in printed
    log = list(read_log(folder / "iter-1/grpo/train/log.jsonl"))
    assert {one["step"] for one in log} == set(range(1, 9))
    assert len(log) <= 8 + 2, "at most what came after the last checkpoint was done twice"
    (made, *_) = [json.loads(line) for line in (folder / "checkpoints.jsonl").read_text().splitlines()]
    assert (made["name"], made["parent"], made["method"]) == ("M1_GRPO", "seed", "grpo")
    card = (folder / "M1_GRPO" / "README.md").read_text()
    assert "1 right, 1 more if right in both orders" in card
    summary = json.loads((folder / "summary.json").read_text())
    assert [one["name"] for one in summary["checkpoints"] if one["split"] == "known"] == ["seed", "M1_GRPO"]
    (told,) = [one for one in summary["stages"] if one["stage"] == "iter-1/grpo/train"]
    assert told["train_tokens"] > told["generated_tokens"] > 0
    assert not (folder / "iter-1/grpo/chains").exists(), "no sampling stage"
    assert "GRPO reward" in (folder / "report.html").read_text()
