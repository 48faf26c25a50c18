"""Sampling over HTTP from any OpenAI-compatible server, vLLM's first of all (`vllm serve MODEL`).

HTTP runs in a thread of its own, so that answers keep coming in while the caller works, and so that a caller with a running
event loop (a trainer, a notebook) can use the engine too. Retries and time limits are the client's own. An engine that does
not hold the model cannot promise all that others do:

- Prefills use vLLM's `continue_final_message`. A chat template that trims messages trims the prefill's last blanks as well.
- P(A) and P(B) are exact where a vLLM also serves `/tokenize`. Elsewhere they are read among the 20 likeliest tokens: a
  letter that is not there gets the smallest probability that is, an upper bound, so the error is below that probability. A
  choice with neither letter there is left out and counted in `unread`. Letters whose tokens do not add up to the text before
  them (a server that hides or strips some of it) are left out and counted in `unplaced`.
- `fits` says yes where there is no such `/tokenize`; the server then refuses what is too long. The tokenizer is never seen,
  so `prompts.AMBIGUOUS_TOKENS` are broken in every message, special or not.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletion, ChatCompletionTokenLogprob
from openai.types.chat.chat_completion import Choice as Drawn

from planner.engines.base import Alternatives, Choice, Counters, EngineError, Request, Sampling
from planner.records import Completion, FinishReason, Letter, Message
from prompts import AMBIGUOUS_TOKENS, FINAL_VERDICT, break_tokens

T = TypeVar("T")
_ADVICE: tuple[tuple[type[openai.APIError], str], ...] = (
    (openai.APITimeoutError, "raise timeout_s or lower concurrency"),
    (openai.APIConnectionError, "start the server (`vllm serve MODEL`) or correct the URL"),
    (openai.AuthenticationError, "pass api_key or set OPENAI_API_KEY"),
    (openai.NotFoundError, "correct the URL (it usually ends in /v1) or the model's name"),
    (openai.BadRequestError, "if it is too long, shorten it or lower max_tokens; else change what the server names"),
    (openai.APIError, "see the server's log"),
)


class ServerEngine:
    """One model behind one URL. `EngineError` at the start if nothing answers, the key is refused or the model is not served.

    Args:
        url: what OpenAI's client calls the base URL; a bare host gets `/v1` added.
        api_key: None: `OPENAI_API_KEY`, or "none" for a server that asks for no key.
        max_model_len: context in tokens, where it is to be smaller than the server's.
        concurrency: requests in flight at once.
        timeout_s: of one attempt at one request with all of its completions.
        max_retries: further attempts after a timeout, a lost connection, or a status of 408, 409, 429 or 5xx.
        special: special tokens of the served model's tokenizer, where the caller knows them, to break inside of messages.
    """

    def __init__(
        self, url: str, model: str, *, api_key: str | None = None, max_model_len: int | None = None, concurrency: int = 64,
        timeout_s: float = 600.0, max_retries: int = 5, special: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self._url = base_url(url)
        self._limit, self._concurrency = max_model_len, concurrency
        self._special = tuple(sorted({*special, *AMBIGUOUS_TOKENS}))
        self._counters = Counters()
        self.unread = self.unplaced = 0
        key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._client = openai.AsyncOpenAI(base_url=self._url, api_key=key, timeout=timeout_s, max_retries=max_retries)
        loop: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(loop)), name="server-engine", daemon=True)
        self._thread.start()
        self._loop = loop.result()
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            self.load(model)
            on_failure.pop_all()

    def sample(self, requests: Iterable[Request]) -> Iterator[tuple[str, tuple[Completion, ...]]]:
        for request, drawn in self._run(requests):
            yield request.key, tuple(self._completion(request, choice, tokens) for choice, tokens in drawn)

    def choose(self, requests: Iterable[Choice]) -> Iterator[tuple[str, float, float]]:
        plain = Sampling(temperature=1.0, top_p=1.0)
        one_token = (Request(r.key, r.messages, r.prefill, 1, 1, (), plain, letters=True) for r in requests)
        for request, ((choice, _),) in self._run(one_token):
            found = next(map(_letter_logps, _tokens(choice)), None)
            if found is None:
                self.unread += 1
            else:
                yield request.key, *found

    def likelihood(self, requests: Iterable[Alternatives]) -> Iterator[tuple[str, tuple[float, ...]]]:
        raise EngineError(f"{self._url}: a server does not tell how likely a given text is; open the model's folder instead")

    def fits(self, messages: tuple[Message, ...], prefill: str, max_tokens: int) -> bool:
        if self._letter_ids is None or self._max_model_len is None:
            return True
        return int(self._tokenize(self._chat(messages, prefill))["count"]) + max_tokens <= self._max_model_len

    def load(self, model: str) -> None:
        """Go on with another model of the same server. Its weights cannot be switched from here."""
        # Fails within seconds: the whole series of attempts is for a server that has answered before.
        listed = self._client.with_options(max_retries=1, timeout=30.0).get("/models", cast_to=object)
        listing = self._result(self._send(listed), "the list of models")
        cards = listing.get("data") if isinstance(listing, dict) else None
        served: dict[str, dict[str, Any]] = {card["id"]: card for card in cards or ()}
        if model not in served:
            names = ", ".join(served) or "no models (the URL of an API usually ends in /v1)"
            raise EngineError(f"{self._url} serves {names}; its weights cannot be switched from here: name that or serve {model}")
        self.model, self._is_vllm = model, served[model].get("owned_by") == "vllm"
        self._max_model_len: int | None = min(filter(None, (self._limit, served[model].get("max_model_len"))), default=None)
        self._letter_ids = self._find_letters() if self._is_vllm else None

    @property
    def counters(self) -> Counters:
        return self._counters

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()

    async def _serve(self, loop: Future[asyncio.AbstractEventLoop]) -> None:
        """The thread's life. What is still in flight at its end is cancelled by `asyncio.run`."""
        self._closing = asyncio.Event()
        loop.set_result(asyncio.get_running_loop())
        async with self._client:
            await self._closing.wait()

    def _send(self, sent: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(sent, self._loop)

    def _result(self, future: Future[T], what: str) -> T:
        try:
            return future.result()
        except openai.APIError as error:
            named = error.body.get("message") if isinstance(error.body, dict) else None
            said = " ".join(str(named or str(error.__cause__ or "") or error.message).split())[:300]
            advice = next(advice for kind, advice in _ADVICE if isinstance(error, kind))
            raise EngineError(f"{self._url}: {type(error).__name__} on {what} ({said}): {advice}") from error
        except ValueError as error:
            raise EngineError(f"{self._url} answers {what} with something that is not JSON: is it an API's URL?") from error

    def _run(self, requests: Iterable[Request]) -> Iterator[tuple[Request, list[tuple[Drawn, int]]]]:
        """Keep a bounded window in flight; yield (request, its choices and their token counts) as each finishes."""
        waiting = iter(requests)
        running: dict[Future[ChatCompletion], Request] = {}
        done: SimpleQueue[Future[ChatCompletion]] = SimpleQueue()
        try:
            while True:
                for request in islice(waiting, self._concurrency - len(running)):
                    if any(request.key == other.key for other in running.values()):
                        raise EngineError(f"two requests are called {request.key}")
                    posted = self._client.post("/chat/completions", cast_to=ChatCompletion, body=self._body(request))
                    running[future := self._send(posted)] = request
                    future.add_done_callback(done.put)
                if not running:
                    return
                future = done.get()
                request = running.pop(future)
                yield request, self._read(request, self._result(future, f"request {request.key}"))
        finally:
            # A caller that stops early (an error, Ctrl-C) must not leave its requests running on the server.
            for future in running:
                future.cancel()

    def _body(self, request: Request) -> dict[str, Any]:
        if request.prefill and not self._is_vllm:
            # Elsewhere the prefill would be taken for a finished turn, and the answer start anew, without a word.
            raise EngineError(
                f"{self._url} is no vLLM server, and only those go on from a prefill; --force and the set `short` need it"
            )
        body = {
            "model": self.model,
            "n": request.n,
            "max_tokens": request.max_tokens,
            **self._chat(request.messages, request.prefill),
        }
        body |= {"temperature": request.sampling.temperature, "top_p": request.sampling.top_p}
        if request.stop:
            body["stop"] = list(request.stop)
        if self._is_vllm:
            # vLLM takes what is left out from the model's generation_config.json, which often cuts and penalises.
            body |= {"top_k": request.sampling.top_k, "min_p": 0.0, "repetition_penalty": 1.0}
            if request.ends:
                body |= {"stop": list(request.ends), "include_stop_str_in_output": True}
            body["return_token_ids"] = request.n > 1 and not request.letters  # to count the tokens of each
            body["logprob_token_ids"] = self._letter_ids if request.letters else None  # where unknown: the likeliest
        elif request.sampling.top_k > 0:
            body["top_k"] = request.sampling.top_k
        if request.letters:
            body |= {"logprobs": True, "top_logprobs": 20}  # the most that OpenAI allows, and vLLM unless told otherwise
        return body

    def _read(self, request: Request, reply: ChatCompletion) -> list[tuple[Drawn, int]]:
        if not isinstance(reply, ChatCompletion) or reply.usage is None:
            raise EngineError(f"{self._url} answers with no chat completion, or one without `usage`: is it OpenAI-compatible?")
        choices = sorted(reply.choices or (), key=lambda choice: choice.index)
        if len(choices) != request.n:
            raise EngineError(f"{self._url} draws {len(choices)} of {request.n} completions: use a server that supports `n`")
        for choice in choices:
            if (why := choice.finish_reason) not in ("stop", "length"):
                raise EngineError(f"request {request.key} ended with {why!r}, not stop or length: switch that off on the server")
            if request.letters and choice.message.content and not any(token.top_logprobs for token in _tokens(choice)):
                raise EngineError(f"{self._url} returns no top_logprobs, where verdicts are read: use a server that does")
        was, used, details = self._counters, reply.usage, reply.usage.prompt_tokens_details
        cached = (details.cached_tokens if details else None) or 0
        self._counters = Counters(was.prompt + used.prompt_tokens, was.cached + cached, was.generated + used.completion_tokens)
        # Where a server tells only the sum of their tokens, completions share it by length of text.
        listed = [_tokens(choice) or (choice.model_extra or {}).get("token_ids") or [] for choice in choices]
        sizes = [len(tokens) for tokens in listed] if all(listed) else [len(c.message.content or "") + 1 for c in choices]
        return [(choice, round(used.completion_tokens * size / sum(sizes))) for choice, size in zip(choices, sizes, strict=True)]

    def _completion(self, request: Request, choice: Drawn, tokens: int) -> Completion:
        text = choice.message.content or ""
        letters = []
        written = bytearray()  # a token may end inside a character, so this is decoded only as a whole
        for token in _tokens(choice) if request.letters else ():
            if token.token in ("A", "B") and (found := _letter_logps(token)):
                before = written.decode("utf-8", "replace")
                if text.startswith(before + token.token):
                    letters.append(Letter(offset=len(before), logp_a=found[0], logp_b=found[1]))
                elif not before.startswith(text):  # else it belongs to a stop string
                    self.unplaced += 1
            written += token.token.encode() if token.bytes is None else bytes(token.bytes)
        finish: FinishReason = "length" if choice.finish_reason == "length" else "stop"
        stop = (choice.model_extra or {}).get("stop_reason")  # vLLM's own field: the stop string, or the id of an end token
        stop = stop if isinstance(stop, str) else None
        return Completion(text=text, finish_reason=finish, stop=stop, tokens=tokens, letters=tuple(letters))

    def _chat(self, messages: tuple[Message, ...], prefill: str) -> dict[str, Any]:
        if messages[0].role == "text":
            raise EngineError("this style's prompt is no chat, and a server would wrap it in one: open the model's folder instead")
        turns = [(m.role, m.content) for m in messages] + ([("assistant", prefill)] if prefill else [])
        flags = {"continue_final_message": True, "add_generation_prompt": False} if prefill else {}
        return {"messages": [{"role": role, "content": break_tokens(content, self._special)} for role, content in turns], **flags}

    def _tokenize(self, what: dict[str, Any]) -> Any:
        url, body = self._url.removesuffix("/v1") + "/tokenize", {"model": self.model, **what}
        return self._result(self._send(self._client.post(url, cast_to=object, body=body)), "a text to tokenize")

    def _find_letters(self) -> list[int] | None:
        """Token ids of the bare `A` and `B` of a verdict tag; None where `/tokenize` is not served."""
        tags = "\n".join(f"{FINAL_VERDICT}\n[[{letter}]]" for letter in "AB")
        try:
            said = self._tokenize({"prompt": tags, "return_token_strs": True})
        except EngineError as error:
            if isinstance(error.__cause__, openai.APIStatusError) and error.__cause__.status_code < 500:
                return None  # a gateway that passes on /v1 alone
            raise
        ids = dict(zip(said["token_strs"], said["tokens"], strict=True))
        if not ids.keys() >= {"A", "B"}:
            raise EngineError("this tokenizer does not keep the letters of [[A]] and [[B]] as tokens of their own")
        return [ids["A"], ids["B"]]


def base_url(url: str) -> str:
    """What OpenAI's client calls the base URL, without a slash at its end; a bare host gets `/v1` added."""
    return url.rstrip("/") + ("" if urlsplit(url).path.strip("/") else "/v1")


def _tokens(choice: Drawn) -> list[ChatCompletionTokenLogprob]:
    return (choice.logprobs.content if choice.logprobs else None) or []


def _letter_logps(token: ChatCompletionTokenLogprob) -> tuple[float, float] | None:
    """Log-probabilities of `A` and `B` at a place; one that is missing gets its bound. None where nothing can be said."""
    top = {one.token: one.logprob for one in reversed(token.top_logprobs or ())}
    # vLLM lists the token drawn even where it is not among the likeliest, so it bounds nothing.
    bound = min((logp for text, logp in top.items() if text != token.token), default=None)
    known = top | {token.token: token.logprob}
    return (known.get("A", bound), known.get("B", bound)) if bound is not None and ("A" in known or "B" in known) else None
