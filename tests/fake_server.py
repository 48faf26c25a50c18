"""A server that speaks the wire format of OpenAI's chat API, and of vLLM's `/tokenize`, on a free port of this machine.

No model: a test says what each request is answered. It records what came in, how much of it at once, and who hung up.
"""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""Body of a chat request -> body of the reply; raises `Refusal` for another status."""


class Refusal(Exception):
    """A reply with a status of its own."""

    def __init__(self, status: int, body: dict[str, Any] | str) -> None:
        self.status, self.body = status, body


def token(text: str, logp: float = -0.1, top: dict[str, float] | None = None, raw: bytes | None = None) -> dict[str, Any]:
    """One entry of `logprobs.content`; `raw` for a token that is only a part of a character."""
    listed = {text: logp} if top is None else top
    return {
        "token": text,
        "logprob": logp,
        "bytes": list(text.encode() if raw is None else raw),
        "top_logprobs": [{"token": one, "logprob": value, "bytes": list(one.encode())} for one, value in listed.items()],
    }


def reply(*texts: str | None, finish: str | None = "stop", logprobs: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """A chat completion with one choice a text. They are listed last first, because the wire does not promise an order."""
    choices = [
        {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": finish, "logprobs": None}
        for index, text in enumerate(texts)
    ]
    if logprobs is not None:
        choices[0]["logprobs"] = {"content": logprobs}
    usage = {"prompt_tokens": 10, "completion_tokens": 7 * len(texts), "total_tokens": 10 + 7 * len(texts)}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices[::-1], "usage": usage} | more


class _Listening(ThreadingHTTPServer):
    request_queue_size = 256


class FakeServer:
    """Serves the model `m`.

    Args:
        answer: called in a thread of its own for each chat request.
        owner: `owned_by` of the model; "vllm" also serves `/tokenize`, where a word is a token.
    """

    def __init__(self, answer: Answer | None = None, *, owner: str = "vllm", max_model_len: int | None = 100) -> None:
        self.answer: Answer = answer or (lambda body: reply(*["fine"] * body["n"]))
        self.cards: list[dict[str, Any]] = [{"id": "m", "object": "model", "owned_by": owner, "max_model_len": max_model_len}]
        self.tokenizes = owner == "vllm"
        self.chats: list[dict[str, Any]] = []
        self.tokenized: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.peak = 0
        """The most chat requests that were here at once."""
        self.hung_up = 0
        """Chat requests whose client left before the reply."""
        self._here = 0
        self._lock = threading.Lock()
        self._http = _Listening(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> FakeServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _route(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/v1/models":
            return {"object": "list", "data": self.cards}
        if path == "/tokenize" and self.tokenizes:
            self.tokenized.append(body)
            text = body.get("prompt") or " ".join(message["content"] for message in body["messages"])
            words = text.replace("[[", "[[ ").replace("]]", " ]]").split()
            return {"count": len(words), "max_model_len": 100, "tokens": [sum(w.encode()) for w in words], "token_strs": words}
        if path != "/v1/chat/completions":
            raise Refusal(404, {"error": {"message": f"no page {path}"}})
        with self._lock:
            self.chats.append(body)
            self._here += 1
            self.peak = max(self.peak, self._here)
        try:
            return self.answer(body)
        finally:
            with self._lock:
                self._here -= 1

    def _handler(fake) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                fake.keys.append(self.headers.get("Authorization", ""))
                try:
                    status, said = 200, fake._route(self.path, body)
                except Refusal as refusal:
                    status, said = refusal.status, refusal.body
                if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(1):
                    fake.hung_up += 1
                    self.close_connection = True
                    return
                content = (said if isinstance(said, str) else json.dumps(said)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if isinstance(said, str) else "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Retry-After-Ms", "1")
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
