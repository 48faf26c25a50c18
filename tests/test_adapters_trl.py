"""TRL's reward interface: groups by prompt, torn groups refused, no reward is None; then the real trainers on a two-layer policy."""

from __future__ import annotations

import asyncio
import json
import math
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from planner.errors import UserError
from planner.judge import Judge
from planner.styles.evalplanner import EvalPlannerStyle
from rewards.adapters import trl as adapter
from rewards.adapters.trl import AsyncJudgeReward, JudgeReward, PairwiseJudge, judge_reward
from rewards.chat import completion_in, content, instruction_of, response_of, untemplated
from rewards.contest import Scoring
from rewards.group import GroupScorer
from tests.conftest import ROOT
from tests.judges import judge_of, longer, silent


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def scorer(taste: Any = longer, **scoring: Any) -> GroupScorer:
    return GroupScorer(judge_of(taste), Scoring(**scoring))


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_groups_are_found_by_prompt_wherever_their_rows_are() -> None:
    prompts = ["p", "q", "p", "q"]
    rewards = JudgeReward(scorer())(
        prompts=prompts, completions=["x", "aaa", "xx", "a"], completion_ids=[[1]] * 4, trainer_state=None
    )
    assert rewards[2] > rewards[0]
    assert rewards[1] > rewards[3]
    assert rewards[0] == rewards[3]


def test_chats_and_strings_are_read_alike() -> None:
    plain = JudgeReward(scorer())(["p", "p"], ["x", "xx"])
    chats = JudgeReward(scorer())([user("p")] * 2, [assistant("x"), assistant("xx")])
    assert plain == chats


def test_no_reward_is_none_and_said_in_the_metrics() -> None:
    logged: dict[str, float] = {}
    rewards = JudgeReward(scorer(silent))(["p"] * 3, ["x", "xx", "xxx"], log_metric=logged.__setitem__)
    assert rewards == [None] * 3
    assert logged == {
        "judge/unread": 1.0,
        "judge/conflicts": 0.0,
        "judge/judgments": 6.0,
        "judge/tokens": pytest.approx(logged["judge/tokens"]),
    }


def test_online_dpo_gets_a_neutral_value_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Its layout: first halves of all prompts, then second halves; it passes no log_metric and would sum None as 0."""
    reward = JudgeReward(scorer(silent), unread=0.5)
    assert (
        reward(prompts=["p", "q"] * 2, completions=["x", "a", "xx", "aa"], completion_ids=[[1]] * 4, trainer_state=None)
        == [0.5] * 4
    )
    assert "no result for 2 of 2" in caplog.text
    halves = JudgeReward(scorer(), unread=0.5)(prompts=["p", "q"] * 2, completions=["x", "aaa", "xx", "a"])
    assert [a >= b for a, b in zip(halves[:2], halves[2:], strict=True)] == [False, True]


def test_async_grpo_calls_once_a_group_without_a_trainer() -> None:
    """Recorded contract: completions, prompts, completion_ids and the row's columns, repeated; no trainer_state, no log_metric."""
    reward = AsyncJudgeReward(scorer())
    said = asyncio.run(reward(completions=["x", "xx"], prompts=["p", "p"], completion_ids=[[1], [2]], level=["easy"] * 2))
    assert said[1] > said[0]


def test_a_reference_column_is_used() -> None:
    reward = JudgeReward(scorer(strategy="pivot"))
    assert reward(["p", "p"], ["x", "xxx"], reference=["xx", "xx"]) == [pytest.approx(0.2), pytest.approx(0.8)]
    assert JudgeReward(scorer(strategy="pivot"), reference_column="gold")(["p"], ["xxx"], gold=["x"]) == [pytest.approx(0.8)]
    with pytest.raises(UserError, match="'reference' holds something other than text: name another"):
        reward(["p", "p"], ["x", "xxx"], reference=[["xx"], ["xx"]])


def test_a_group_torn_over_processes_is_refused_with_the_setting_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="give num_generations"):
        JudgeReward(scorer())(["p"] * 4, ["x", "xx", "xxx", "xxxx"])
    with pytest.raises(UserError, match="per_device_train_batch_size × steps_per_generation a multiple of 8"):
        JudgeReward(scorer(), num_generations=8)(["p"] * 4, ["x", "xx", "xxx", "xxxx"])
    with pytest.raises(UserError, match="leave num_generations_eval unset"):
        JudgeReward(scorer(), num_generations=8)(["p"] * 2, ["x", "xx"])
    assert len(JudgeReward(scorer(), num_generations=2)(["p"] * 4, ["x", "xx", "xxx", "xxxx"])) == 4


def test_two_groups_of_one_prompt_stay_two() -> None:
    apart = JudgeReward(scorer(strategy="all_pairs"), num_generations=2)(["p"] * 4, ["x", "xx", "xxx", "xxxx"])
    assert (apart[0], apart[1]) == (apart[2], apart[3])


def test_the_old_pairwise_judge() -> None:
    judge = PairwiseJudge(scorer())
    assert judge.judge(["p", "q", "r"], [["x", "xx"], ["xxx", "x"], ["x", "x"]]) == [1, 0, -1]
    assert PairwiseJudge(scorer(silent)).judge(["p"], [["x", "xx"]], shuffle_order=False) == [-1]
    with pytest.raises(UserError, match="two completions"):
        judge.judge(["p"], [["x", "xx", "xxx"]])


def test_by_dotted_path_it_reads_the_file_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "reward.toml"
    file.write_text(
        'model = "m"\nstyle = "evalplanner"\nnum_generations = 2\nreference_column = "gold"\n[scoring]\nstrategy = "pivot"\n'
    )
    monkeypatch.setenv("EVALPLANNER_REWARD", str(file))
    monkeypatch.setattr(
        adapter, "open_scorer", lambda config: GroupScorer(judge_of(longer), config.scoring) if config.model == "m" else None
    )
    adapter._configured.cache_clear()
    assert judge_reward(["p", "p"], ["x", "xxx"], gold=["xx", "xx"]) == [pytest.approx(0.2), pytest.approx(0.8)]
    adapter._configured.cache_clear()


def test_async_grpo_can_send_the_function_to_its_rollout_process() -> None:
    assert pickle.loads(pickle.dumps(judge_reward)) is judge_reward


def test_groups_that_come_together_open_one_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def open_scorer(config: Any) -> GroupScorer:
        time.sleep(0.05)
        opened.append(config)
        return GroupScorer(judge_of(longer), config.scoring)

    monkeypatch.delenv("EVALPLANNER_REWARD", raising=False)
    monkeypatch.setattr(adapter, "open_scorer", open_scorer)
    adapter._configured.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        said = [*pool.map(lambda n: judge_reward(["p", "p"], ["x", "xx"]), range(4))]
    adapter._configured.cache_clear()
    assert len(opened) == 1
    assert all(one == said[0] for one in said)


# -- texts -------------------------------------------------------------------------------------------------------------


def test_what_is_read_of_a_chat() -> None:
    assert instruction_of(user("Hi")) == "Hi"
    assert instruction_of([{"role": "system", "content": "Be kind."}, *user("Hi")]) == "System: Be kind.\n\nUser: Hi"
    assert response_of([*assistant("One."), {"role": "tool", "content": "secret"}, *assistant("Two.")]) == "One.\n\nTwo."
    assert response_of([{"role": "assistant", "content": None, "tool_calls": []}]) == ""
    assert content({"content": [{"type": "text", "text": "a"}, {"type": "output_text", "text": "b"}]}) == "ab"
    with pytest.raises(ValueError, match="other than text"):
        content({"content": [{"type": "image", "image": object()}]})


@pytest.mark.parametrize(
    "prompt",
    [
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi\nthere<|im_end|>\n<|im_start|>assistant\n",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi\nthere<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "<bos><start_of_turn>user\nHi\nthere<end_of_turn>\n<start_of_turn>model\n",
        "<s>[INST] Hi\nthere [/INST]",
        "<s>[SYSTEM_PROMPT]Be kind.[/SYSTEM_PROMPT][INST]Hi\nthere[/INST]",
        "Hi\nthere",
    ],
)
def test_a_templated_prompt_is_undone(prompt: str) -> None:
    assert untemplated(prompt) == "Hi\nthere"


@pytest.mark.parametrize(
    "prompt",
    ["What is [INST] hi [/INST] for?", "Explain:\n<|im_start|>user\nHi<|im_end|>", "1 < 2 <start_of_turn>user\nHi<end_of_turn>"],
)
def test_a_prompt_about_templates_is_none(prompt: str) -> None:
    assert untemplated(prompt) == prompt


def test_a_completion_is_found_behind_its_prompt() -> None:
    assert completion_in("<s>Ask: answer</s></s>\n", "Ask:") == " answer"
    assert completion_in("Ask: a Ask: b<|im_end|>\n<|endoftext|>", "Ask:") == " a Ask: b"
    assert completion_in("something else", "Ask:") is None
    assert completion_in("x" * 50 + "Ask: late", "Ask:") is None


@pytest.mark.parametrize(
    "text",
    ["[INST]" + " " * 500, "[INST]" * 20_000, "<|im_start|>user\n" * 20_000, " " * 20_000 + "x", "</s> " * 20_000, "<|" * 20_000],
)
def test_no_text_keeps_the_reader_busy(text: str) -> None:
    """The server reads between other requests: what takes long here, all of them wait for."""
    before = time.process_time()
    untemplated(text)
    completion_in(f"Ask:{text}", "Ask:")
    assert time.process_time() - before < 1


# -- the real trainers -------------------------------------------------------------------------------------------------


class Recorded:
    """Keeps what a reward function gave."""

    def __init__(self, reward: Any) -> None:
        self.reward, self.__name__ = reward, reward.__name__
        self.given: list[float | None] = []

    def __call__(self, *args: Any, **columns: Any) -> Any:
        rewards = self.reward(*args, **columns)
        self.given += rewards
        return rewards


def weights(model: Any) -> Iterator[Any]:
    return (parameter.detach().clone() for parameter in model.parameters())


def grpo(tiny_model: Path, out: Path, reward: Any, *, steps: int, prompts: list[Any], **more: Any) -> Any:
    """A GRPO run on the two-layer policy; the trainer, trained."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model),
        reward_funcs=reward,
        args=GRPOConfig(
            output_dir=str(out), max_steps=steps, num_generations=4, per_device_train_batch_size=4, max_completion_length=12,
            learning_rate=1e-3, logging_steps=1, save_strategy="no", report_to="none", use_cpu=True, bf16=False, disable_tqdm=True,
            seed=1, gradient_checkpointing=False, **more,
        ),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    before = list(weights(trainer.model))
    trainer.train()
    trainer.moved = max(float((a - b).abs().max()) for a, b in zip(before, weights(trainer.model), strict=True))
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("kind", [JudgeReward, AsyncJudgeReward])
@pytest.mark.parametrize("chat", [False, True])
def test_grpo_takes_it_sync_and_async_plain_and_chat(tiny_model: Path, tmp_path: Path, kind: Any, chat: bool) -> None:
    prompts = [user(text) if chat else text for text in ("Name a river.", "Name a city.")]
    trainer = grpo(tiny_model, tmp_path, kind(scorer(strategy="all_pairs")), steps=2, prompts=prompts)
    logged = [entry for entry in trainer.state.log_history if "rewards/judge_reward/mean" in entry]
    assert len(logged) == 2
    assert all(entry["judge/unread"] == 0 and entry["judge/judgments"] > 0 for entry in logged)
    assert trainer.moved > 0


@pytest.mark.slow
def test_grpo_learns_from_a_judge_that_gives_no_reward_nothing(tiny_model: Path, tmp_path: Path) -> None:
    trainer = grpo(tiny_model, tmp_path, JudgeReward(scorer(silent)), steps=2, prompts=["Name a river."], beta=0.0)
    assert trainer.moved == 0


@pytest.mark.slow
def test_twenty_steps_of_grpo_with_the_embedded_judge(tiny_model: Path, tmp_path: Path, embedded_engine: Any) -> None:
    judge = Judge(embedded_engine, EvalPlannerStyle(prompt_set="short"), max_tokens=12, force=True)
    reward = Recorded(JudgeReward(GroupScorer(judge, Scoring(strategy="circular")), num_generations=4))
    prompts = [
        user(f"Name {n} rivers of {land}.") for n in ("two", "three") for land in ("France", "Spain", "Italy", "Poland", "Peru")
    ]
    trainer = grpo(tiny_model, tmp_path, reward, steps=20, prompts=prompts)
    logged = [entry for entry in trainer.state.log_history if "rewards/judge_reward/mean" in entry]
    assert len(logged) == 20
    assert all(entry["judge/judgments"] > 0 for entry in logged)
    assert len(reward.given) == 80
    assert sum(value is not None for value in reward.given) > 70
    assert len(set(reward.given)) > 20
    assert any(entry["reward_std"] > 0 for entry in logged)
    assert all(math.isfinite(entry["loss"]) for entry in logged)
    assert trainer.moved > 0


@pytest.mark.slow
def test_online_dpo_takes_it(tiny_model: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    reward = Recorded(JudgeReward(scorer(strategy="all_pairs"), unread=0.5))
    trainer = OnlineDPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model),
        reward_funcs=reward,
        args=OnlineDPOConfig(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=2, max_new_tokens=8, learning_rate=1e-3, logging_steps=1,
            save_strategy="no", report_to="none", use_cpu=True, bf16=False, disable_tqdm=True, gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_dict({"prompt": [user("Name a river."), user("Name a city.")] * 2}),
        processing_class=AutoTokenizer.from_pretrained(tiny_model, padding_side="left"),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    before = list(weights(trainer.model))
    trainer.train()
    assert len(reward.given) == 8
    assert all(value is not None for value in reward.given)
    assert any(float((a - b).abs().max()) > 0 for a, b in zip(before, weights(trainer.model), strict=True))


@pytest.mark.slow
def test_trl_s_own_command_takes_the_dotted_path(tiny_model: Path, tmp_path: Path) -> None:
    """`trl grpo --reward_funcs rewards.adapters.trl.judge_reward`, the judge behind a URL that the TOML file names."""
    from tests.fake_server import FakeServer, reply, token
    from tests.judges import chain

    data = tmp_path / "data"
    data.mkdir()
    (data / "train.jsonl").write_text("".join(json.dumps({"prompt": f"Name river {n}."}) + "\n" for n in range(4)))

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        head, letter, tail = chain("A").rpartition("A")
        return reply(chain("A"), logprobs=[token(head), token(letter, -0.2, {"A": -0.2, "B": -1.7}), token(tail)])

    with FakeServer(answer, max_model_len=100_000) as server:
        (tmp_path / "reward.toml").write_text(f'model = "m"\nurl = "{server.url}"\nstyle = "evalplanner"\n')
        environment = os.environ | {
            "EVALPLANNER_REWARD": str(tmp_path / "reward.toml"),
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": "",
        }
        command = (
            f"grpo --model_name_or_path {tiny_model} --dataset_name {data} --reward_funcs rewards.adapters.trl.judge_reward "
            f"--output_dir {tmp_path}/out --max_steps 1 --num_generations 2 --per_device_train_batch_size 2 --max_completion_length 8 "
            "--use_cpu true --bf16 false --report_to none --save_strategy no --gradient_checkpointing false --dtype float32"
        )
        done = subprocess.run(
            [str(Path(sys.executable).with_name("trl")), *command.split()],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            timeout=280,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(server.chats) == 2
