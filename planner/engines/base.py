"""What every engine does: the one protocol through which the house samples text (blueprint rule 7).

An engine takes a stream of requests and yields each as it finishes, in any order, holding only a bounded window of them.
Nothing here retries, truncates or swallows: an over-long request is refused before it is sent, by `fits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from planner.records import Completion, Message


class EngineError(RuntimeError):
    """An engine that cannot start or go on; the message says what to do."""


class Sampling(NamedTuple):
    """How to draw. `top_k = 0` and `top_p = 1.0` switch those cuts off; `temperature = 0.0` is greedy."""

    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0


GREEDY = Sampling(temperature=0.0, top_p=1.0)


class Request(NamedTuple):
    """`n` continuations of a chat whose assistant turn already starts with `prefill`."""

    key: str
    """The caller's name for it, unique within one `sample` call."""
    messages: tuple[Message, ...]
    prefill: str
    n: int
    max_tokens: int
    stop: tuple[str, ...]
    """Strings that end a completion. They are left out of its text."""
    sampling: Sampling
    letters: bool = False
    """Also report the probabilities of the tokens `A` and `B` wherever one of them was drawn."""
    ends: tuple[str, ...] = ()
    """Strings that end a completion as well, and stay in its text: nothing after a verdict is worth its time. A server that is no
    vLLM goes on to the end of its turn. A request has stops or ends, not both."""


class Choice(NamedTuple):
    """Read P(A) against P(B) for the one token that follows `prefill`."""

    key: str
    messages: tuple[Message, ...]
    prefill: str


class Alternatives(NamedTuple):
    """How likely is each of `texts` as what follows `prefill`?"""

    key: str
    messages: tuple[Message, ...]
    prefill: str
    texts: tuple[str, ...]


class Counters(NamedTuple):
    """Tokens since the engine started."""

    prompt: int = 0
    cached: int = 0
    """Prompt tokens that were served from the prefix cache."""
    generated: int = 0


class Engine(Protocol):
    """`model` may be changed between calls with `load`; everything else is fixed at the start."""

    @property
    def model(self) -> str:
        """What is loaded now."""
        ...

    def sample(self, requests: Iterable[Request]) -> Iterator[tuple[str, tuple[Completion, ...]]]:
        """Yield (key, n completions) as each request finishes. Pulls from `requests` only as room comes free.

        While requests are running, a stream that has ended is asked again: answers may have made new ones.
        """
        ...

    def choose(self, requests: Iterable[Choice]) -> Iterator[tuple[str, float, float]]:
        """Yield (key, log P(A), log P(B)) for each request: natural logs, temperature 1, unmasked."""
        ...

    def likelihood(self, requests: Iterable[Alternatives]) -> Iterator[tuple[str, tuple[float, ...]]]:
        """Yield (key, log P of each text) for each request: natural logs, temperature 1, of the text's tokens in all."""
        ...

    def fits(self, messages: tuple[Message, ...], prefill: str, max_tokens: int) -> bool:
        """Whether prompt and completion together stay within the model's context."""
        ...

    def load(self, model: str) -> None:
        """Go on with the weights of another checkpoint of the same architecture."""
        ...

    @property
    def counters(self) -> Counters: ...

    def close(self) -> None: ...
