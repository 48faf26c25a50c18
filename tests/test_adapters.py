"""OpenRLHF, verl and NeMo-RL: their recorded contracts, called as their own code calls them, over a real server on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from planner.errors import UserError
from rewards.adapters import client
from rewards.adapters.client import ask
from rewards.group import GroupScorer
from tests import nemo_contract
from tests.conftest import ROOT
from tests.fake_server import FakeServer, reply, token
from tests.judges import chain, judge_of, longer, shown_in, silent
from tests.serving import KEY, running

pytestmark = pytest.mark.waits


def by_path(name: str) -> Any:
    """A module loaded from its file under a name of the trainer's choosing, as OpenRLHF and verl do."""
    path = ROOT / "rewards" / "adapters" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"loaded_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- OpenRLHF ----------------------------------------------------------------------------------------------------------


def test_openrlhf_loads_the_file_and_calls_with_one_at_a_time_from_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    reward_func = by_path("openrlhf").reward_func
    with running(scoring={"strategy": "all_pairs"}, cohort=3, wait_s=10) as server, ThreadPoolExecutor(8) as pool:
        monkeypatch.setenv("EVALPLANNER_URL", server.url)
        monkeypatch.setenv("EVALPLANNER_API_KEY", KEY)
        calls = [pool.submit(reward_func, [f"Say more.{text}</s>"], ["Say more."], [""]) for text in ("x", "xxx", "xx")]
        said = [call.result() for call in calls]
    assert all(one["rewards"].shape == one["scores"].shape == (1,) for one in said)
    rewards = [one["rewards"].item() for one in said]
    assert rewards[1] > rewards[2] > rewards[0]
    assert all(0 <= reward <= 1 for reward in rewards)
    assert [one["extra_logs"]["invalid"].item() for one in said] == [0.0] * 3
    assert [one["extra_logs"]["cohort"].item() for one in said] == [3.0] * 3


def test_openrlhf_never_sees_an_error_for_want_of_a_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    reward_func = by_path("openrlhf").reward_func
    monkeypatch.setattr(client, "GIVE_UP_S", 0.3)
    monkeypatch.setenv("EVALPLANNER_URL", "http://127.0.0.1:9")
    said = reward_func(["Say more.x"], ["Say more."], [None])
    assert (said["rewards"].item(), said["extra_logs"]["invalid"].item()) == (0.5, 1.0)


def test_the_client_waits_out_a_restart_and_refuses_to_go_on_with_a_wrong_key() -> None:
    with running() as server, ThreadPoolExecutor(1) as pool:
        server.service.backend.state = "starting"
        waiting = pool.submit(ask, ["p x", "p xx"], ["p ", "p "], [None, None], url=server.url, key=KEY)
        while "evalplanner_requests_total{" not in server.client.get("/metrics").text:
            pass
        server.service.backend.state = "ready"
        assert waiting.result().extra_logs["invalid"] == [0.0, 0.0]
        with pytest.raises(UserError, match="status 401"):
            ask(["p x"], ["p "], [None], url=server.url, key="wrong")
    with pytest.raises(UserError, match="EVALPLANNER_URL"):
        ask([], [], [])


@pytest.mark.parametrize(
    ("status", "headers"), [(502, {}), (504, {}), (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), (408, {})]
)
def test_what_a_proxy_on_the_way_says_is_waited_out_too(
    status: int, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {"rewards": [1.0], "scores": [1.0], "extra_logs": {"invalid": [0.0], "cohort": [1.0]}}
    replies = [httpx.Response(status, headers=headers), httpx.Response(200, json=good)]
    transport = httpx.MockTransport(lambda request: replies.pop(0))
    make = httpx.AsyncClient
    monkeypatch.setattr(client.httpx, "AsyncClient", lambda **options: make(transport=transport, **options))
    assert ask(["p x"], ["p "], [None], url="http://judge").rewards == [1.0]


@pytest.mark.parametrize("status", [500, 422])
def test_a_key_in_the_address_is_not_logged(status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        if status == 500:
            raise httpx.ConnectError("refused")
        return httpx.Response(status)

    make = httpx.AsyncClient
    monkeypatch.setattr(client, "GIVE_UP_S", 0.1)
    monkeypatch.setattr(client.httpx, "AsyncClient", lambda **options: make(transport=httpx.MockTransport(reply), **options))
    caplog.set_level("INFO", "rewards")
    said = ""
    try:
        ask(["p x"], ["p "], [None], url="http://x:s3cret@judge:8100")
    except UserError as error:
        said = str(error)
    assert "judge:8100" in caplog.text + said
    assert "s3cret" not in caplog.text + said


def test_an_address_that_is_none_is_said_at_once() -> None:
    with pytest.raises(UserError, match="address of `evalplanner serve`"):
        ask(["p x"], ["p "], [None], url="localhost:8100")


# -- verl --------------------------------------------------------------------------------------------------------------


def test_verl_finds_a_coroutine_function_with_its_arguments() -> None:
    compute_score = by_path("verl").compute_score
    assert inspect.iscoroutinefunction(compute_score)
    names = list(inspect.signature(compute_score).parameters)
    assert names[:6] == [
        "data_source",
        "solution_str",
        "ground_truth",
        "extra_info",
        "reward_router_address",
        "reward_model_tokenizer",
    ]


def test_verl_rollouts_meet_in_the_server_s_cohort() -> None:
    compute_score = by_path("verl").compute_score

    async def rollouts(url: str) -> list[dict[str, float]]:
        return await asyncio.gather(
            *(
                compute_score(
                    data_source="d", solution_str=text, ground_truth=None, extra_info={"instruction": "Say more."}, url=url, key=KEY
                )
                for text in ("x", "xxx", "xx")
            )
        )

    with running(scoring={"strategy": "all_pairs"}, cohort=3, wait_s=10) as server:
        said = asyncio.run(rollouts(server.url))
    assert said[1]["score"] > said[2]["score"] > said[0]["score"]
    assert [set(one) for one in said] == [{"score", "invalid", "cohort"}] * 3
    with running(silent) as server:
        one = asyncio.run(
            compute_score("d", "x", "gold", {"raw_prompt": [{"role": "user", "content": "p"}]}, url=server.url, key=KEY)
        )
    assert one == {"score": 0.5, "invalid": 1.0, "cohort": 1.0}
    with pytest.raises(UserError, match="instruction"):
        asyncio.run(compute_score("d", "x", "gold", {}))


def test_verl_fills_a_cohort_larger_than_a_pool_of_threads() -> None:
    compute_score = by_path("verl").compute_score

    async def rollouts(url: str) -> list[dict[str, float]]:
        asked = {"data_source": "d", "ground_truth": None, "extra_info": {"instruction": "Say more."}, "url": url, "key": KEY}
        return await asyncio.gather(*(compute_score(solution_str="x" * (k + 1), **asked) for k in range(48)))

    with running(cohort=48, wait_s=15) as server:
        said = asyncio.run(rollouts(server.url))
    assert {one["cohort"] for one in said} == {48.0}


def test_verl_s_own_router_serves_the_judge_and_a_baseline_is_the_anchor() -> None:
    verl = by_path("verl")
    compute_score = verl.compute_score

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        letter = longer(*shown_in(body["messages"][-1]["content"]))
        head = chain(letter).removesuffix(f"{letter}]]")
        top = {letter: -0.2, "B" if letter == "A" else "A": -1.7}
        return reply(chain(letter), logprobs=[token(head), token(letter, -0.2, top), token("]]")])

    with FakeServer(answer, max_model_len=100_000) as router:
        call: dict[str, Any] = {
            "data_source": "d", "solution_str": "xxx", "extra_info": {"instruction": "Say more."}, "model": "m", "style": "evalplanner",
            "reward_router_address": router.url.removeprefix("http://"), "reward_model_tokenizer": None,
        }  # fmt: skip
        said = asyncio.run(compute_score(ground_truth="x", **call))
        assert said["invalid"] == 0.0
        assert said["score"] > 0.7
        assert len(router.chats) == 2
        # The adapter keeps its engine for the life of the trainer's process.
        verl._scorer(router.url.removeprefix("http://"), "m", "evalplanner").judge.engine.close()
        with pytest.raises(UserError, match="baseline"):
            asyncio.run(compute_score(ground_truth=None, **call))
        with pytest.raises(UserError, match="model"):
            asyncio.run(compute_score(ground_truth="x", **call | {"model": None}))


# -- NeMo-RL -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def nemo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The adapter over the recorded contract, and `nemo.environments`, what is registered."""
    environments = nemo_contract.install(monkeypatch)
    import rewards.adapters.nemo as adapter

    monkeypatch.setattr(adapter, "environments", environments, raising=False)
    yield adapter
    sys.modules.pop("rewards.adapters.nemo", None)


def log(prompt: str, response: str) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": prompt, "token_ids": object()},
        {"role": "assistant", "content": response, "token_ids": object()},
    ]


def test_nemo_rl_gets_a_reward_a_log_by_prompt(nemo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(nemo, "open_scorer", lambda config: GroupScorer(judge_of(longer), config.scoring))
    environment = nemo.JudgeEnvironment({"model": "m", "style": "evalplanner", "scoring": {"strategy": "all_pairs"}})
    batch = [log("p", "x"), log("q", "aa"), log("p", "xx"), log("q", "a"), log("r", "alone")]
    step = environment.step(batch, [{"k": k} for k in range(5)])
    assert step.rewards.dtype == torch.float32
    assert step.rewards[2] > step.rewards[0]
    assert step.rewards[1] > step.rewards[3]
    assert step.rewards[4] == 0.5
    assert step.terminateds.tolist() == [True] * 5
    assert step.answers == ["x", "aa", "xx", "a", "alone"]
    assert [len(part) for part in (step.observations, step.metadata, step.next_stop_strings)] == [5] * 3
    assert environment.global_post_process_and_metrics("batch") == ("batch", {"judge/unread": 0.2})
    assert environment.global_post_process_and_metrics("batch")[1] == {"judge/unread": 0.0}


def test_nemo_rl_makes_it_by_name_as_its_own_code_does(nemo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`create_env`: the registered name, the Python registered for it, then `.options(…).remote(config)`."""
    monkeypatch.setattr(nemo, "open_scorer", lambda config: GroupScorer(judge_of(longer), config.scoring))
    nemo.register("evalplanner")
    made = nemo_contract.actor(nemo.environments["evalplanner"])
    assert made.asked == {"runtime_env": {"py_executable": nemo_contract.PYTHON}}
    environment = made.remote({"model": "m", "style": "evalplanner"})
    worse, better = environment.step([log("p", "x"), log("p", "xx")], [None] * 2).rewards.tolist()
    assert worse < 0.5 < better


def test_nemo_rl_s_config_is_checked(nemo: Any) -> None:
    with pytest.raises(UserError, match="modle"):
        nemo.JudgeEnvironment({"modle": "m"})
