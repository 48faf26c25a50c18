"""The server engine against real HTTP on this machine; the wire format is the fake server's, no model is behind it.

pytest tests/test_engine_server.py
"""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from planner.engines.base import Choice, Counters, EngineError, Request, Sampling
from planner.engines.server import ServerEngine
from planner.records import Completion, Message
from planner.verdict import first_verdict_at
from tests.fake_server import Answer, FakeServer, Refusal, reply, token

pytestmark = pytest.mark.waits

ASKED = (Message(role="system", content="Judge."), Message(role="user", content="Which?"))
EMOJI = "👍"


def request(key: str = "k", *, n: int = 1, prefill: str = "", letters: bool = False, top_k: int = 0) -> Request:
    return Request(key, ASKED, prefill, n, 16, ("\n", "[End]"), Sampling(0.8, 0.95, top_k), letters)


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[FakeServer, ServerEngine]]]:
    opened: list[tuple[FakeServer, ServerEngine]] = []

    def start(
        answer: Answer | None = None, *, owner: str = "vllm", tokenizes: bool = True, **options: Any
    ) -> tuple[FakeServer, ServerEngine]:
        fake = FakeServer(answer, owner=owner).__enter__()
        fake.tokenizes = fake.tokenizes and tokenizes
        opened.append((fake, ServerEngine(fake.url, "m", **options)))
        return opened[-1]

    yield start
    for fake, engine in opened:
        engine.close()
        fake.__exit__(None, None, None)


def one_line(error: pytest.ExceptionInfo[EngineError]) -> str:
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < 600
    return said


def test_answers_come_as_they_finish(serve) -> None:
    last_is_done = threading.Event()

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        asked = body["messages"][-1]["content"]
        assert asked != "first" or last_is_done.wait(10)
        return reply(asked)

    _, engine = serve(answer)
    stream = engine.sample(Request(k, (Message(role="user", content=k),), "", 1, 16, (), Sampling()) for k in ("first", "last"))
    assert next(stream) == ("last", (Completion(text="last", finish_reason="stop", tokens=7),))
    last_is_done.set()
    assert next(stream)[0] == "first"
    assert next(stream, None) is None


def test_what_goes_over_the_wire_to_vllm(serve) -> None:
    fake, engine = serve(lambda body: reply("one", "two", "three", finish="length"), api_key="secret")
    ((key, drawn),) = engine.sample([request(n=3, prefill="[Start]\n", letters=False)])
    assert (key, [c.text for c in drawn], {c.finish_reason for c in drawn}) == ("k", ["one", "two", "three"], {"length"})
    (body,) = fake.chats
    assert body["messages"] == [
        {"role": "system", "content": "Judge."},
        {"role": "user", "content": "Which?"},
        {"role": "assistant", "content": "[Start]\n"},
    ]
    expected = {"model": "m", "n": 3, "max_tokens": 16, "stop": ["\n", "[End]"], "temperature": 0.8, "top_p": 0.95}
    expected |= {"continue_final_message": True, "add_generation_prompt": False, "return_token_ids": True}
    # Left out, these would come from the model's generation_config.json.
    expected |= {"top_k": 0, "repetition_penalty": 1.0, "min_p": 0.0}
    assert body.items() >= expected.items()
    assert "logprobs" not in body
    assert set(fake.keys) == {"Bearer secret"}


def test_half_of_a_character_is_sent_as_one_that_cannot_be_read(serve) -> None:
    """Anybody may write half of a surrogate pair in JSON, and no request could be made of it."""
    fake, engine = serve()
    asked = (Message(role="user", content="a \ud83d b"),)
    assert engine.fits(asked, "", 5)
    assert [done[0].text for _, done in engine.sample([Request("k", asked, "", 1, 5, (), Sampling(0, 1))])] == ["fine"]
    assert fake.chats[-1]["messages"][0]["content"] == "a \ufffd b"


def test_an_end_string_is_asked_for_and_kept_by_vllm_alone(serve) -> None:
    ending = Request("k", ASKED, "", 1, 16, (), Sampling(0.0, 1.0), ends=("[[A]]",))
    fake, engine = serve()
    list(engine.sample([ending]))
    assert fake.chats[0].items() >= {"stop": ["[[A]]"], "include_stop_str_in_output": True}.items()
    fake, engine = serve(owner="openai")
    list(engine.sample([ending]))
    assert not fake.chats[0].keys() & {"stop", "include_stop_str_in_output"}, "elsewhere the end itself would be lost"


def test_what_goes_over_the_wire_to_others(serve) -> None:
    """OpenAI's own server refuses fields that it does not know."""
    fake, engine = serve(owner="openai")
    plain = Request("plain", ASKED, "", 1, 16, (), Sampling(0.0, 1.0))
    assert dict(engine.sample([plain, request("cut", top_k=20)])).keys() == {"plain", "cut"}
    bodies = sorted(fake.chats, key=len)
    assert bodies[0].keys() == {"model", "messages", "n", "max_tokens", "temperature", "top_p"}
    assert bodies[1].keys() - bodies[0].keys() == {"stop", "top_k"}
    assert fake.tokenized == []


def test_the_key_comes_from_the_environment(monkeypatch) -> None:
    for value, expected in (("from-env", "Bearer from-env"), ("", "Bearer none")):
        monkeypatch.setenv("OPENAI_API_KEY", value)
        with FakeServer() as fake:
            ServerEngine(fake.url + "/v1/", "m").close()
            assert set(fake.keys) == {expected}


def test_tokens_of_each_completion(serve) -> None:
    def with_ids(body: dict[str, Any]) -> dict[str, Any]:
        said = reply("long text", "x")
        said["choices"][0]["token_ids"], said["choices"][1]["token_ids"] = [1], [1] * 13
        return said

    _, engine = serve(with_ids)
    assert [c.tokens for c in next(engine.sample([request(n=2)]))[1]] == [13, 1]
    _, engine = serve(lambda body: reply("nine long", "x"), owner="openai")
    assert [c.tokens for c in next(engine.sample([request(n=2)]))[1]] == [12, 2]  # 14 shared by length


def test_letters_stand_where_the_text_has_them(serve) -> None:
    text = f"An {EMOJI} A: [[B]]"
    first, rest = EMOJI.encode()[:1], EMOJI.encode()[1:]
    content = [
        token("An"),
        token(" "),
        token("bytes:\\xf0", raw=first),  # one character, two tokens
        token("bytes:\\x9f\\x91\\x8d", raw=rest),
        token(" A"),  # not the bare letter
        token(": [["),
        token("B", -0.2, {"B": -0.2, "A": -1.8, "C": -9.0}),
        token("]]"),
        token("<|im_end|>"),  # not part of the text
    ]
    fake, engine = serve(lambda body: reply(text, logprobs=content))
    ((_, (completion,)),) = engine.sample([request(letters=True)])
    assert [(one.offset, one.logp_a, one.logp_b) for one in completion.letters] == [(first_verdict_at(text), -1.8, -0.2)]
    assert text[completion.letters[0].offset] == "B"
    assert fake.chats[0].items() >= {"logprobs": True, "top_logprobs": 20, "logprob_token_ids": [ord("A"), ord("B")]}.items()
    assert engine.unplaced == 0


def test_letters_with_a_letter_missing_and_tokens_that_do_not_add_up(serve) -> None:
    drawn_rarely = token("A", -12.0, {"A": -12.0, "x": -0.1, "y": -3.0})  # vLLM lists the drawn token first, however unlikely
    in_stop_string = token("A", -0.1, {"A": -0.1, "B": -2.0})

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        if body["n"] == 2:
            return reply("hidden [[A]]", "[[A]]", logprobs=[token("thought"), token(" [["), drawn_rarely, token("]]")])
        return reply("[[A]]", logprobs=[token("[["), drawn_rarely, token("]]"), in_stop_string])

    _, engine = serve(answer, owner="openai")
    ((_, (completion,)),) = engine.sample([request(letters=True)])
    assert [(one.offset, one.logp_a, one.logp_b) for one in completion.letters] == [(2, -12.0, -3.0)]
    assert engine.unplaced == 0
    with pytest.raises(EngineError, match="no top_logprobs"):  # the second of the two has none
        next(engine.sample([request(n=2, letters=True)]))


def test_letters_of_text_that_the_server_rewrote_are_counted(serve) -> None:
    letter = token("A", -0.1, {"A": -0.1, "B": -2.4})
    content = [token("<think>"), token("so A"), token("</think>"), token("[["), letter, token("]]")]
    _, engine = serve(lambda body: reply("It is [[A]]", logprobs=content))
    ((_, (completion,)),) = engine.sample([request(letters=True)])
    assert completion.letters == ()
    assert engine.unplaced == 1


def test_choose(serve) -> None:
    tops = {
        "both": {"A": -0.5, "B": -1.0, "The": -3.0},
        "one": {"The": -0.1, "B": -2.0, " A": -2.5, "x": -7.0},
        "none": {"The": -0.1, " A": -2.5, "b": -4.0},
        "alone": {"A": -0.1},
        "nothing": {},
    }

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        top = tops[body["messages"][1]["content"]]
        if not top:
            return reply("", logprobs=[])
        drawn = next(iter(top))
        return reply(drawn, finish="length", logprobs=[token(drawn, top[drawn], top)])

    fake, engine = serve(answer, tokenizes=False)
    asked = [Choice(k, (ASKED[0], Message(role="user", content=k)), "[Final Verdict]\n[[") for k in tops]
    assert {key: (a, b) for key, a, b in engine.choose(asked)} == {"both": (-0.5, -1.0), "one": (-7.0, -2.0)}
    assert engine.unread == 3
    expected = {"max_tokens": 1, "n": 1, "temperature": 1.0, "top_p": 1.0, "logprobs": True, "top_logprobs": 20}
    assert all(body.items() >= expected.items() for body in fake.chats)
    assert all(body["messages"][-1] == {"role": "assistant", "content": "[Final Verdict]\n[["} for body in fake.chats)


def test_choose_is_exact_where_vllm_names_the_tokens(serve) -> None:
    """vLLM then gives the drawn token and the two that were asked for."""
    fake, engine = serve(lambda body: reply("x", logprobs=[token("x", -0.1, {"x": -0.1, "A": -14.0, "B": -15.5})]))
    assert list(engine.choose([Choice("k", ASKED, "[[")])) == [("k", -14.0, -15.5)]
    assert fake.chats[0]["logprob_token_ids"] == [ord("A"), ord("B")]


def test_a_tokenizer_without_bare_letters_is_refused() -> None:
    with FakeServer() as fake:
        fake._route = lambda path, body, route=fake._route: route(path, body | {"prompt": "[[A]]".replace("[[", "{")})
        with pytest.raises(EngineError, match=r"does not keep the letters") as error:
            ServerEngine(fake.url, "m")
        one_line(error)


def test_an_endless_stream_is_pulled_only_as_room_comes_free(serve) -> None:
    pulled = 0

    def endless() -> Iterator[Request]:
        nonlocal pulled
        while True:
            pulled += 1
            yield request(str(pulled))

    fake, engine = serve(lambda body: (time.sleep(0.02), reply("x"))[1], concurrency=4)
    stream = engine.sample(endless())
    assert pulled == 0
    for finished in range(1, 11):
        next(stream)
        assert pulled <= finished + 4
    stream.close()
    assert 2 <= fake.peak <= 4


def test_stopping_early_hangs_up(serve) -> None:
    enough = threading.Event()

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        assert body["max_tokens"] == 1 or enough.wait(10)
        return reply("x")

    fake, engine = serve(answer)
    stream = engine.sample([request("short")._replace(max_tokens=1), *(request(str(i)) for i in range(5))])
    assert next(stream)[0] == "short"
    stream.close()
    time.sleep(0.2)  # until the cancelled tasks have closed their sockets
    enough.set()
    deadline = time.monotonic() + 5
    while fake.hung_up < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert fake.hung_up == 5
    assert next(engine.sample([request("next")]))[0] == "next"


def test_an_error_in_the_callers_stream_hangs_up_too(serve) -> None:
    def broken() -> Iterator[Request]:
        yield request("one")
        raise KeyError("lost")

    _, engine = serve()
    with pytest.raises(KeyError):
        list(engine.sample(broken()))
    with pytest.raises(EngineError, match="two requests are called k"):
        list(engine.sample([request(), request()]))


def test_the_client_retries(serve) -> None:
    states = [503, 429, 500]

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        if states:
            raise Refusal(states.pop(0), {"error": {"message": "busy"}})
        return reply("at last")

    fake, engine = serve(answer)
    ((_, (completion,)),) = engine.sample([request()])
    assert completion.text == "at last"
    assert len(fake.chats) == 4
    assert engine.counters == Counters(prompt=10, generated=7)


@pytest.mark.parametrize(
    ("status", "named"),
    [(401, "api_key"), (404, "model's name"), (400, "if it is too long"), (500, "server's log"), (403, "server's log")],
)
def test_refusals_are_one_line_and_say_what_to_do(serve, status: int, named: str) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        raise Refusal(status, {"error": {"message": "maximum context\nlength is 100 tokens " + "x" * 900, "code": status}})

    fake, engine = serve(answer, max_retries=0)
    with pytest.raises(EngineError, match="request the-key") as error:
        list(engine.sample([request("the-key")]))
    said = one_line(error)
    assert named in said
    assert fake.url in said
    assert "maximum context length is 100 tokens" in said


def test_a_slow_server(serve) -> None:
    hold = threading.Event()
    _, engine = serve(lambda body: (hold.wait(5), reply("x"))[1], timeout_s=0.2, max_retries=0)
    with pytest.raises(EngineError, match="raise timeout_s") as error:
        list(engine.sample([request()]))
    one_line(error)
    hold.set()


def test_nothing_answers() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(EngineError, match="start the server") as error:
            ServerEngine(url, "m")
    assert url in one_line(error)
    assert all(thread.name != "server-engine" for thread in threading.enumerate())


@pytest.mark.parametrize("url", ["localhost:8000", ""])
def test_no_url(url: str) -> None:
    with pytest.raises(EngineError) as error:
        ServerEngine(url, "m")
    one_line(error)


def test_a_model_that_is_not_served(serve) -> None:
    fake, engine = serve()
    with pytest.raises(EngineError, match=r"serves m; .* serve other") as error:
        ServerEngine(fake.url, "other")
    one_line(error)
    with pytest.raises(EngineError, match="weights cannot be switched"):
        engine.load("checkpoints/iter-1")
    assert next(engine.sample([request()]))[0] == "k"  # a failed load changes nothing
    fake.cards.append({"id": "adapter", "owned_by": "vllm", "max_model_len": 20})
    engine.load("adapter")
    next(engine.sample([request()]))
    assert fake.chats[-1]["model"] == "adapter"
    assert not engine.fits(ASKED, "", 19)


def test_a_web_page_is_no_server() -> None:
    with FakeServer() as fake:
        fake._route = lambda path, body: "<html>"  # type: ignore[assignment,return-value]
        with pytest.raises(EngineError, match="usually ends in /v1") as error:
            ServerEngine(fake.url, "m")
        one_line(error)


@pytest.mark.parametrize(
    ("answered", "named"),
    [
        (reply("x", finish="content_filter"), "content_filter"),
        (reply(None, finish="tool_calls"), "tool_calls"),
        (reply("x", finish=None), "None"),
        (reply("x", "y"), "draws 2 of 1"),
        (reply("x", usage=None), "usage"),
    ],
)
def test_answers_that_are_no_completion(serve, answered: dict[str, Any], named: str) -> None:
    _, engine = serve(lambda body: answered)
    with pytest.raises(EngineError, match=named) as error:
        list(engine.sample([request()]))
    one_line(error)


def test_no_content_is_an_empty_text(serve) -> None:
    _, engine = serve(lambda body: reply(None, finish="length"))
    ((_, (completion,)),) = engine.sample([request()])
    assert (completion.text, completion.finish_reason) == ("", "length")


def test_a_server_without_logprobs(serve) -> None:
    _, engine = serve(tokenizes=False)
    for stream in (engine.sample([request(letters=True)]), engine.choose([Choice("k", ASKED, "[[")])):
        with pytest.raises(EngineError, match="no top_logprobs"):
            next(stream)


def test_a_prefill_is_refused_where_it_would_be_taken_for_a_finished_turn(serve) -> None:
    fake, engine = serve(owner="openai")
    with pytest.raises(EngineError, match="no vLLM server"):
        next(engine.sample([request(prefill="[Start]\n")]))
    assert fake.chats == []


def test_the_stop_string_is_told_by_vllm_alone(serve) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        made = reply("x")
        made["choices"][0]["stop_reason"] = "[End]"
        return made

    _, engine = serve(answer)
    ((_, (told,)),) = engine.sample([request()])
    assert told.stop == "[End]"
    _, engine = serve(lambda body: reply("x"), owner="openai")
    ((_, (untold,)),) = engine.sample([request()])
    assert untold.stop is None


def test_fits_counts_the_servers_own_tokens(serve) -> None:
    fake, engine = serve()
    assert engine.fits(ASKED, "go on", 96)  # 4 words of 100
    assert not engine.fits(ASKED, "go on", 97)
    assert fake.tokenized[-1]["messages"][-1] == {"role": "assistant", "content": "go on"}
    assert fake.tokenized[-1].items() >= {"continue_final_message": True, "add_generation_prompt": False}.items()
    smaller = ServerEngine(fake.url, "m", max_model_len=50)
    assert not smaller.fits(ASKED, "", 49)
    smaller.close()


def test_fits_may_be_asked_while_sampling(serve) -> None:
    _, engine = serve()
    fitting = (r for r in (request(str(i)) for i in range(3)) if engine.fits(r.messages, r.prefill, r.max_tokens))
    assert sorted(key for key, _ in engine.sample(fitting)) == ["0", "1", "2"]


def test_fits_says_yes_where_nobody_knows() -> None:
    with FakeServer() as fake:
        fake.tokenizes = False  # a gateway that passes on /v1 alone
        engine = ServerEngine(fake.url, "m")
        assert engine.fits(ASKED, "", 10**6)
        list(engine.sample([request()]))
        assert fake.chats[0]["logprob_token_ids"] is None
        engine.close()


def test_counters(serve) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 8}}
    _, engine = serve(lambda body: reply("x", usage=usage))
    assert engine.counters == Counters()
    list(engine.sample(request(str(i)) for i in range(3)))
    assert engine.counters == Counters(prompt=30, cached=24, generated=9)


def test_a_caller_may_have_an_event_loop_running(serve) -> None:
    _, engine = serve()

    async def trainer() -> list[str]:
        return [key for key, _ in engine.sample([request("a"), request("b")])]

    assert sorted(asyncio.run(trainer())) == ["a", "b"]


def test_closing_ends_the_thread_and_may_be_repeated() -> None:
    with FakeServer(lambda body: (time.sleep(0.3), reply("x"))[1]) as fake:
        engine = ServerEngine(fake.url, "m")
        stream = engine.sample([request("a")._replace(max_tokens=1), request("b")])
        next(stream)
        engine.close()
        engine.close()
        assert all(thread.name != "server-engine" for thread in threading.enumerate())


def test_logps_are_natural_logs(serve) -> None:
    _, engine = serve(lambda body: reply("A", logprobs=[token("A", math.log(0.75), {"A": math.log(0.75), "B": math.log(0.25)})]))
    ((_, logp_a, logp_b),) = engine.choose([Choice("k", ASKED, "[[")])
    assert math.exp(logp_a) + math.exp(logp_b) == pytest.approx(1.0)
