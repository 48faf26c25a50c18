"""The server over real HTTP on loopback: keys, limits, deadlines, cohorts, retries, streams, and what happens when things end."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from planner.engines.base import EngineError
from planner.execute import judge_inputs
from planner.judge import Judge
from planner.records import Pair
from planner.styles.evalplanner import EvalPlannerStyle
from rewards.gate import Redact
from rewards.group import GroupScorer
from tests.fake_server import FakeServer, reply
from tests.judges import CountingEngine, judge_of, longer, silent
from tests.serving import KEY, reward_body, running

pytestmark = pytest.mark.waits

# -- keys --------------------------------------------------------------------------------------------------------------


def test_every_route_but_health_and_ready_wants_the_key() -> None:
    with running() as server:
        routes = server.client.get("/openapi.json").json()["paths"]
        assert len(routes) == 9
        for path, methods in routes.items():
            for method in methods:
                bare = httpx.request(method, server.url + path)
                assert bare.status_code == 401 or path in ("/health", "/ready"), path
        for header in (
            "",
            "Bearer",
            "Bearer wrong",
            f"Bearer {KEY}x",
            f"Token {KEY}",
            "Basic ?",
            f"Basic {base64.b64encode(b'x:no').decode()}",
        ):
            assert httpx.get(server.url + "/metrics", headers={"Authorization": header}).status_code == 401
        assert httpx.get(server.url + "/health").json() == {"status": "ok"}
        assert httpx.get(server.url + "/nowhere").status_code == 401


def test_openrlhf_s_client_sends_the_key_in_the_url() -> None:
    """Its HTTP library, its call: aiohttp takes the user info of a URL for HTTP Basic."""
    import aiohttp

    async def fetch(url: str) -> Any:
        timeout = aiohttp.ClientTimeout(total=180)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url, json=reward_body("x", "xx")) as response:
            response.raise_for_status()
            return await response.json()

    with running() as server:
        said = asyncio.run(fetch(server.url.replace("http://", f"http://x:{KEY}@") + "/get_reward"))
        assert said["rewards"][1] > said["rewards"][0]


def test_the_log_names_neither_key_nor_contents(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "evalplanner.access"), running() as server:
        server.post("/get_reward", **reward_body("a secret answer", prompt="a secret question "))
        server.client.get(f"/{KEY}/secret?x=secret")
    assert "POST /get_reward 200" in caplog.text
    assert "GET other 404" in caplog.text
    assert "secret" not in caplog.text
    assert KEY not in caplog.text


def test_a_key_that_gets_into_a_log_line_is_taken_out() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "calling http://x:%s@host", (KEY,), None)
    assert Redact(KEY).filter(record)
    assert record.getMessage() == "calling http://x:[key]@host"


# -- rewards -----------------------------------------------------------------------------------------------------------


def test_get_reward_in_openrlhf_s_form() -> None:
    with running(scoring={"strategy": "all_pairs"}) as server:
        said = server.post("/get_reward", **reward_body("x", "xxx", "xx")).json()
        assert said["rewards"] == said["scores"]
        assert said["rewards"][1] > said["rewards"][2] > said["rewards"][0]
        assert said["extra_logs"] == {"invalid": [0.0] * 3, "cohort": [3.0] * 3}
        assert server.post("/get_reward", query=[], prompts=[], labels=[]).json()["rewards"] == []  # a shard may be empty


@pytest.mark.parametrize("label", ["", " ", None, 42, 1.5, ["gold"], {"answer": "gold"}])
def test_a_label_that_is_no_text_is_no_reference(label: Any) -> None:
    """OpenRLHF sends whatever the label column holds; both ways to us read it alike."""
    with running() as server:
        said = server.post("/get_reward", **reward_body("x", labels=[label])).json()
        assert (said["rewards"], said["extra_logs"]["invalid"]) == ([0.5], [1.0])


def test_no_reward_is_neutral_and_flagged() -> None:
    with running(silent) as server:
        said = server.post("/get_reward", **reward_body("x", "xx")).json()
        assert (said["rewards"], said["extra_logs"]["invalid"]) == ([0.5, 0.5], [1.0, 1.0])
        said = server.post("/get_reward", query=["elsewhere"], prompts=["Say more."]).json()
        assert (said["rewards"], said["extra_logs"]["invalid"]) == ([0.5], [1.0])


def test_the_judge_reads_the_user_s_turn_and_not_the_template() -> None:
    prompt = "<|im_start|>user\nSay more.<|im_end|>\n<|im_start|>assistant\n"
    with running() as server:
        body = {"query": [f"{prompt}{text}<|im_end|>" for text in ("x", "xx")], "prompts": [prompt] * 2}
        assert server.post("/get_reward", **body).status_code == 200
        asked = server.service.judge.engine.requests[0].messages[-1].content  # type: ignore[attr-defined]
        assert "Say more." in asked
        assert "im_end" not in asked


def test_single_requests_wait_for_their_cohort() -> None:
    with running(scoring={"strategy": "all_pairs"}, cohort=4, wait_s=10) as server, ThreadPoolExecutor(8) as pool:
        texts = ["xxx", "x", "xxxx", "xx"]
        jobs = [pool.submit(server.post, "/get_reward", **reward_body(text, prompt=p)) for text in texts for p in ("p: ", "q: ")]
        said = [job.result().json() for job in jobs]
        assert all(one["extra_logs"]["cohort"] == [4.0] for one in said)
        rewards = [one["rewards"][0] for one in said[::2]]
        assert sorted(texts, key=len) == sorted(texts, key=lambda text: rewards[texts.index(text)])
        assert 'evalplanner_cohorts_total{ending="full"} 2.0' in server.client.get("/metrics").text


def test_a_lone_request_falls_back_to_its_label_after_the_wait() -> None:
    with running(cohort=4, wait_s=0.05) as server:
        said = server.post("/get_reward", **reward_body("xxx", labels=["x"])).json()
        assert (said["rewards"], said["extra_logs"]) == ([pytest.approx(0.8)], {"invalid": [0.0], "cohort": [1.0]})


def test_a_client_that_dies_and_asks_again_is_one_response() -> None:
    with running(cohort=2, wait_s=10) as server, ThreadPoolExecutor(4) as pool:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(server.url + "/get_reward", json=reward_body("x"), headers=server.client.headers, timeout=0.2)
        until = time.monotonic() + 5
        while server.service.cohorts.held != 1 or any(m.waiting for ms in server.service.cohorts._known.values() for m in ms):
            assert time.monotonic() < until
            time.sleep(0.01)
        again = pool.submit(server.post, "/get_reward", **reward_body("x"))
        time.sleep(0.05)
        other = server.post("/get_reward", **reward_body("xx")).json()
        assert again.result().json()["extra_logs"]["cohort"] == other["extra_logs"]["cohort"] == [2.0]
        assert "evalplanner_retries_total 1.0" in server.client.get("/metrics").text


def test_a_deadline_gives_trainers_a_flag_and_others_a_504() -> None:
    def slow(a: str, b: str) -> str:
        time.sleep(0.3)
        return "A"

    with running(slow, deadline_s=0.2, wait_s=0.1) as server:
        said = server.post("/get_reward", **reward_body("x", "xx"))
        assert (said.status_code, said.json()["extra_logs"]["invalid"]) == (200, [1.0, 1.0])
        assert server.post("/compare", instruction="p", responses=["x", "xx"]).status_code == 504
        assert server.post("/judge", instruction="p", response_a="x", response_b="xx").status_code == 504


# -- comparing and judging ---------------------------------------------------------------------------------------------


def test_a_strategy_that_does_not_go_with_the_config_is_refused() -> None:
    with running(scoring={"strategy": "all_pairs", "rating": "win_rate"}) as server:
        asked = {"instruction": "p", "responses": ["x", "xx", "xxx"]}
        said = server.post("/compare", **asked, strategy="circular")
        assert (said.status_code, said.json()["detail"]) == (
            422, 'strategy: rating = "win_rate" is for strategy = "all_pairs"; the others rank better by bradley_terry',
        )  # fmt: skip
        assert server.post("/compare", **asked, strategy="all_pairs").status_code == 200


def test_an_error_of_ours_is_counted_as_one(caplog: pytest.LogCaptureFixture) -> None:
    def broken(a: str, b: str) -> str:
        raise ArithmeticError("a mistake")

    caplog.set_level(logging.INFO, "evalplanner")
    with running(broken) as server:
        assert server.post("/compare", instruction="p", responses=["x", "xx"]).status_code == 500
        told = httpx.get(server.url + "/metrics", headers={"Authorization": f"Bearer {KEY}"}).text  # that connection is closed
        assert 'evalplanner_requests_total{path="/compare",status="500"} 1.0' in told
        assert "POST /compare 500 " in caplog.text


def test_the_deadline_is_of_all_that_a_judgment_takes() -> None:
    judge, measured = judge_of(longer), threading.Event()
    judge.engine.fits = lambda *_: measured.wait(60)  # type: ignore[method-assign]
    with running(scorer=GroupScorer(judge), deadline_s=0.3, wait_s=0.1) as server:
        for stream in (False, True):
            said = server.post("/judge", instruction="p", response_a="x", response_b="y", stream=stream)
            assert said.status_code == 504
        measured.set()


def test_compare_says_what_is_valid_and_what_it_took() -> None:
    with running() as server:
        said = server.post("/compare", instruction="p", responses=["x", "xx", "x"], strategy="all_pairs").json()
        assert said["valid"] == [True] * 3
        assert said["rewards"][1] > said["rewards"][0] == said["rewards"][2]
        assert said["cost"]["pairs"] == 1
        assert said["comparisons"][0]["judgment"]["orders"][0]["execution"] == "One is better."
    with running(silent) as server:
        assert server.post("/compare", instruction="p", responses=["x", "xx"]).json()["rewards"] == [None, None]


def gym_object(text: str) -> dict[str, Any]:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hidden"}]}
    return {"output": [thought, {"type": "message", "content": [{"type": "output_text", "text": text}]}]}


def test_nemo_gym_compares() -> None:
    asked = [{"role": "user", "content": "Say more."}]
    with running(scoring={"strategy": "all_pairs"}) as server:
        said = server.post("/compare", conversation_history=asked, response_objs=[gym_object(t) for t in ("x", "xxx")]).json()
        assert said["rewards"][1] > said["rewards"][0]
        assert said["comparison_results"][0].keys() >= {"response_i", "response_j", "judge_idx"}
        assert said["metrics"]["judgments"] == 2.0
        assert server.post("/compare", conversation_history=asked, response_objs=[]).json()["rewards"] == []
        assert server.post("/compare", conversation_history=asked, response_objs=[{"output": "?"}]).status_code == 422
        assert server.post("/compare", conversation_history=asked, response_objs=[], principle="be brief").status_code == 422
    with running(silent) as server:
        said = server.post("/compare", conversation_history=asked, response_objs=[gym_object(t) for t in ("x", "xx")]).json()
        assert (said["rewards"], said["valid"]) == ([0.5, 0.5], [False, False])


def test_nemo_gym_verifies_a_cohort_and_knows_a_rollout_again() -> None:
    def body(text: str, rollout: int) -> dict[str, Any]:
        return {
            "responses_create_params": {"input": [{"role": "user", "content": "Say more."}]}, "response": gym_object(text),
            "_ng_task_index": 7, "_ng_rollout_index": rollout, "anything": {"else": 1}, "nothing": None,
        }  # fmt: skip

    with running(cohort=2, wait_s=10) as server, ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(server.post, "/verify", **body("x" * (k + 1), k)) for k in range(2)]
        said = [job.result().json() for job in jobs]
        assert said[1]["reward"] > said[0]["reward"]
        assert said[0]["invalid"] is False
        assert said[0] == body("x", 0) | {"reward": said[0]["reward"], "invalid": False}
        assert server.post("/verify", **body("x", 0)).json()["reward"] == said[0]["reward"]
        assert server.post("/verify", responses_create_params={}, response={}).status_code == 422


def test_judge_answers_whole_or_in_stages() -> None:
    pair = {"instruction": "p", "response_a": "xx", "response_b": "x"}
    with running() as server:
        whole = server.post("/judge", **pair).json()
        assert (whole["verdict"], whole["consistent"]) == ("A", True)
        with server.client.stream("POST", "/judge", json=pair | {"stream": True}) as streamed:
            assert streamed.headers["content-type"].startswith("text/event-stream")
            events = [block.split("\ndata: ") for block in "".join(streamed.iter_text()).strip().split("\n\n")]
        names = [name.removeprefix("event: ") for name, _ in events]
        assert names == ["plan", "plan", "execution", "verdict", "execution", "verdict", "judgment"]
        assert [json.loads(data)["verdict"] for name, data in events if name == "event: verdict"] == ["A", "A"]
        assert json.loads(events[-1][1])["verdict"] == "A"
        assert "evalplanner_judgments_total 4.0" in server.client.get("/metrics").text
        assert server.post("/judge", instruction="w " * 5000, response_a="x", response_b="y").status_code == 422


def test_a_plan_too_long_to_go_on_from_is_no_error() -> None:
    """The plan and as many tokens again may not fit where the whole chain does; then the whole chain is asked for."""

    class Strict(CountingEngine):
        def sample(self, requests):  # type: ignore[no-untyped-def]
            held = list(requests)
            if not all(self.fits(one.messages, one.prefill, one.max_tokens) for one in held):
                raise EngineError("a request is longer than the context")
            yield from super().sample(held)

    pair = Pair(instruction="p", response_a="x", response_b="xx")
    lengths = [sum(len(m.content.split()) for m in one.prompt.messages) for one in judge_inputs(EvalPlannerStyle(), [pair])]
    judge = Judge(Strict(longer, max_model_len=max(lengths) + 65), EvalPlannerStyle(), max_tokens=64)
    assert judge.fits(pair)
    with (
        running(scorer=GroupScorer(judge)) as server,
        server.client.stream(
            "POST", "/judge", json={"instruction": "p", "response_a": "x", "response_b": "xx", "stream": True}
        ) as streamed,
    ):
        said = "".join(streamed.iter_text())
    names = [line.removeprefix("event: ") for line in said.splitlines() if line.startswith("event: ")]
    assert sorted(names) == ["execution", "execution", "judgment", "plan", "plan", "verdict", "verdict"]


# -- the model behind it -----------------------------------------------------------------------------------------------


def test_chat_is_the_model_s_own() -> None:
    with (
        FakeServer(lambda body: reply("fine" if body["max_tokens"] == 5 else "?")) as model,
        running(backend_url=f"{model.url}/v1") as server,
    ):
        asked = {"model": "m", "messages": [{"role": "user", "content": "Which?"}], "max_tokens": 5}
        assert server.post("/v1/chat/completions", **asked).json()["choices"][0]["message"]["content"] == "fine"
        assert server.client.get("/v1/models").json()["data"][0]["id"] == "m"
        assert server.post("/v1/chat/completions", **asked | {"model": "other"}).status_code == 404
        assert server.post("/v1/chat/completions", **asked, seed=1).status_code == 422  # it would end vLLM's CPU sampler
        assert server.post("/v1/chat/completions", **asked, n=99).status_code == 422
        assert server.client.get("/ready").status_code == 200


def test_an_address_that_our_own_engine_takes_does_for_every_route() -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "Which?"}], "max_tokens": 5}
    with FakeServer() as model:
        for url in (model.url, f"{model.url}/v1/"):
            with running(backend_url=url) as server:
                assert server.client.get("/ready").status_code == 200
                assert server.post("/v1/chat/completions", **asked).status_code == 200


def test_many_chats_do_not_make_it_look_down() -> None:
    go_on = threading.Event()

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        go_on.wait(60)
        return reply("fine")

    async def ask(url: str, model: FakeServer) -> tuple[int, list[int]]:
        limits = httpx.Limits(max_connections=None)
        headers = {"Authorization": f"Bearer {KEY}"}
        asked = {"model": "m", "messages": [{"role": "user", "content": "Which?"}], "max_tokens": 5}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, limits=limits) as client:
            chats = [asyncio.ensure_future(client.post("/v1/chat/completions", json=asked)) for _ in range(110)]
            until = time.monotonic() + 20
            while model.peak < 110 and time.monotonic() < until:
                await asyncio.sleep(0.02)
            ready = (await client.get("/ready")).status_code
            go_on.set()
            return ready, [one.status_code for one in await asyncio.gather(*chats)]

    with FakeServer(answer) as model, running(backend_url=f"{model.url}/v1") as server:
        ready, statuses = asyncio.run(ask(server.url, model))
        assert ready == 200
        assert statuses == [200] * 110


def test_a_chat_that_breaks_off_says_so() -> None:
    class Torn(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'data: {"choices": []}\n\n')

        def log_message(self, *args: Any) -> None:
            pass

    asked = {"model": "m", "messages": [{"role": "user", "content": "Go on."}], "stream": True}
    with ThreadingHTTPServer(("127.0.0.1", 0), Torn) as model:
        threading.Thread(target=model.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with running(backend_url=f"http://127.0.0.1:{model.server_port}/v1") as server:
            said = server.post("/v1/chat/completions", **asked).text
            assert json.loads(said.split("data: ")[-1])["error"]["message"] == "the judge's model broke off"
            assert said.startswith('data: {"choices": []}')
        model.shutdown()


def test_our_own_engine_can_use_it_as_a_server() -> None:
    from planner.engines.base import GREEDY, Request
    from planner.engines.server import ServerEngine
    from planner.records import Message

    with FakeServer() as model, running(backend_url=f"{model.url}/v1") as server:
        engine = ServerEngine(server.url, "m", api_key=KEY)
        request = Request("k", (Message(role="user", content="Hi"),), "", 1, 5, (), GREEDY)
        assert [done[0].text for _, done in engine.sample([request])] == ["fine"]
        engine.close()


def test_a_model_that_is_down_is_a_503_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    broken = [True]

    def taste(a: str, b: str) -> str:
        if broken[0]:
            raise EngineError("the process died")
        return longer(a, b)

    with running(taste) as server:
        for path, body in (("/get_reward", reward_body("x", "xx")), ("/compare", {"instruction": "p", "responses": ["x", "xx"]})):
            refused = server.post(path, **body)
            assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        assert server.post("/v1/chat/completions", model="m", messages=[{"role": "user", "content": "x"}]).status_code == 503
        assert server.client.get("/ready").status_code == 503
        assert server.client.get("/health").status_code == 200
        with server.client.stream(
            "POST", "/judge", json={"instruction": "p", "response_a": "x", "response_b": "y", "stream": True}
        ) as streamed:
            assert "event: error" in "".join(streamed.iter_text())
        assert caplog.text.count("no judgment: the process died") == 3, "whoever keeps the server can see why"
        broken[0] = False
        assert server.post("/get_reward", **reward_body("x", "xx")).status_code == 200
        server.service.backend.state = "starting"
        assert server.post("/get_reward", **reward_body("x", "xx")).status_code == 503


# -- limits ------------------------------------------------------------------------------------------------------------


def test_what_is_too_large_is_refused() -> None:
    with running(max_body_bytes=2000, max_batch=3) as server:
        assert server.post("/compare", instruction="p" * 3000, responses=["x"]).status_code == 413

        def chunks() -> Iterator[bytes]:
            for _ in range(30):
                yield b" " * 100

        assert server.client.post("/compare", content=chunks()).status_code == 413
        for path, body in (
            ("/compare", {"instruction": "p", "responses": ["x"] * 4}), ("/get_reward", reward_body(*"abcd", prompt="p")),
            ("/compare", {"conversation_history": [{"role": "user", "content": "x"}], "response_objs": [gym_object("x")] * 4}),
        ):  # fmt: skip
            assert server.post(path, **body).status_code == 413, path
        assert server.post("/compare", instruction="p", responses=["x", "xx"]).status_code == 200


def test_a_client_that_does_not_finish_its_body_is_let_go() -> None:
    """It would hold its place in the queue, and the end of the server, until it goes away by itself."""
    head = f"POST /compare HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n{{"
    with running(read_s=0.3) as server:
        with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=20) as slow:
            slow.sendall(head.encode())
            said = slow.recv(4096).decode()
            while slow.recv(4096):
                pass  # the connection is closed, not kept for more
        assert said.startswith("HTTP/1.1 408 ")
        assert "evalplanner_queue 0.0" in server.client.get("/metrics").text
        assert 'path="/compare",status="408"' in server.client.get("/metrics").text
        time.sleep(0.4)  # the limit is for bodies alone
        assert server.post("/compare", instruction="p", responses=["x", "xx"]).status_code == 200


def test_a_full_queue_is_a_429_and_health_still_answers() -> None:
    go = threading.Event()

    def waits(a: str, b: str) -> str:
        go.wait(10)
        return "A"

    with running(waits, max_queue=2) as server, ThreadPoolExecutor(4) as pool:
        body = {"instruction": "p", "responses": ["x", "xx"]}
        held = [pool.submit(server.post, "/compare", **body) for _ in range(2)]
        while "evalplanner_queue 2.0" not in server.client.get("/metrics").text:
            time.sleep(0.01)
        refused = server.post("/compare", **body)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
        assert server.client.get("/health").status_code == 200
        go.set()
        assert [job.result().status_code for job in held] == [200, 200]


def test_an_idle_connection_outlives_its_client_s_pool() -> None:
    """Closed by the server at the moment it is used again, it loses a request."""
    aiohttp_s = 15.0
    with running() as server:
        assert server.server.config.timeout_keep_alive > max(aiohttp_s, httpx.Limits().keepalive_expiry or 0)


def test_a_refused_client_that_is_still_sending_reads_why() -> None:
    """Closing at once would reset the connection under it: it would know of an error and not which."""

    def ask(connection: socket.socket, path: str, key: str, *parts: bytes) -> str:
        length = sum(map(len, parts))
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode())
        said = connection.recv(65536).decode() if key != KEY else ""
        for part in parts:
            connection.sendall(part)
        return said or connection.recv(65536).decode()

    with running() as server, socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=20) as client:
        for _ in range(3):
            assert ask(client, "/compare", "wrong", b" " * 60_000, b" " * 60_000).startswith("HTTP/1.1 401 ")
        body = json.dumps({"instruction": "p", "responses": ["x", "xx"]}).encode()
        assert ask(client, "/compare", KEY, body).startswith("HTTP/1.1 200 "), "the connection is as good as new"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"query": 1}', '{"instruction": "p"}', '{"query": ["a"], "prompts": []}', '{"responses": []}']
)
def test_bad_bodies_are_the_client_s_fault(content: str) -> None:
    with running() as server:
        for path in ("/get_reward", "/compare", "/judge", "/verify", "/v1/chat/completions"):
            said = server.client.post(path, content=content, headers={"Content-Type": "application/json"})
            assert said.status_code == 422, (path, said.text)


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/compare", '{"instruction": NaN, "responses": ["a"]}', 422),
        ("/compare", '{"\\ud800": 1, "instruction": "p", "responses": ["a"]}', 422),
        ("/compare", '{"instruction": "\\ud800", "responses": ["a", "b\\udfff"]}', 200),
        ("/judge", '{"instruction": "p", "response_a": "\\ud800", "response_b": "b"}', 200),
        ("/verify", '{"responses_create_params": {"input": "p"}, "response": {"output": []}, "more": "\\ud800"}', 200),
        ("/verify", '{"responses_create_params": {"input": "p"}, "response": {"output": []}, "more": NaN}', 422),
        ("/compare", "[" * 100_000, 400),
        ("/v1/chat/completions", '{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}', 422),
        ("/v1/chat/completions", '{"model": "m", "messages": [{"role": "user", "content": "p"}], "stop": "\\ud800"}', 422),
    ],
)
def test_what_json_cannot_say_is_no_error_of_the_server_s(path: str, content: str, status: int) -> None:
    with running() as server:
        said = server.client.post(path, content=content, headers={"Content-Type": "application/json"})
        assert said.status_code == status, said.text
        said.json()
        assert 'status="500"' not in server.client.get("/metrics").text


def test_a_refusal_does_not_send_the_body_back() -> None:
    with running() as server:
        said = server.post("/compare", instruction=["long" * 10_000], responses=["a"])
        assert (said.status_code, len(said.content) < 2000) == (422, True)


# -- the end -----------------------------------------------------------------------------------------------------------


def test_what_was_accepted_is_answered_when_the_server_ends() -> None:
    def slow(a: str, b: str) -> str:
        time.sleep(0.1)
        return longer(a, b)

    with running(slow, cohort=8, wait_s=60) as server, ThreadPoolExecutor(12) as pool:
        jobs = [pool.submit(server.post, "/get_reward", **reward_body("x" * (k + 1))) for k in range(3)]
        jobs += [pool.submit(server.post, "/compare", instruction=str(k), responses=["x", "xx"]) for k in range(6)]
        while "evalplanner_queue 9.0" not in server.client.get("/metrics").text or server.service.cohorts.held < 3:
            time.sleep(0.01)
        start = time.monotonic()
        server.stop()
        said = [job.result() for job in jobs]
        assert [one.status_code for one in said] == [200] * 9
        assert [one.json()["extra_logs"]["cohort"] for one in said[:3]] == [[3.0]] * 3
        assert time.monotonic() - start < 20
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url + "/health")


def test_what_nobody_waits_for_is_judged_no_further() -> None:
    asked = list[str]()

    def slow(a: str, b: str) -> str:
        asked.append(a)
        time.sleep(0.05)
        return longer(a, b)

    with running(slow, deadline_s=0.3, wait_s=0.1) as server:
        many = {"instruction": "p", "responses": ["x" * (k + 1) for k in range(16)], "strategy": "all_pairs"}
        assert server.post("/compare", **many).status_code == 504
        time.sleep(0.2)
        before = len(asked)
        time.sleep(0.3)
        assert len(asked) == before < 240


@pytest.mark.parametrize("cohort", [1, 2])
def test_a_judge_that_hangs_does_not_keep_the_server_from_ending(cohort: int) -> None:
    go_on = threading.Event()

    def hangs(a: str, b: str) -> str:
        go_on.wait(60)
        return longer(a, b)

    try:
        with running(hangs, cohort=cohort, deadline_s=0.3, wait_s=0.1) as server:
            assert server.post("/get_reward", **reward_body("x", "xx")).json()["extra_logs"]["invalid"] == [1.0, 1.0]
            start = time.monotonic()
            server.stop()
            assert time.monotonic() - start < 20
    finally:
        go_on.set()


def test_a_stream_without_end_does_not_keep_the_server_from_ending() -> None:
    class Endless(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"data: {}\n\n")
                    time.sleep(0.05)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as model:
        model.daemon_threads = True
        threading.Thread(target=model.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        asked = {"model": "m", "messages": [{"role": "user", "content": "Go on."}], "stream": True}
        with (
            running(backend_url=f"http://127.0.0.1:{model.server_port}/v1", read_s=0.5, wait_s=0.1, deadline_s=0.5) as server,
            server.client.stream("POST", "/v1/chat/completions", json=asked) as streamed,
        ):
            assert next(streamed.iter_raw()).startswith(b"data: ")
            start = time.monotonic()
            server.stop()
            assert time.monotonic() - start < 15
        model.shutdown()
