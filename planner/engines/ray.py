"""Sampling on a Ray cluster: each call is one Ray Data job over a pool of vLLM engines, on whatever nodes Ray finds room.

Ray does the scheduling, the flow control and the restarting; an engine here is `planner/engines/vllm.py` in one of its workers. The
address is Ray's own (`RAY_ADDRESS`; without one, a cluster of this machine alone is started). The model and the code must lie where
every node sees them.

Engines are opened for each call and closed after it, as Ray Data does with its workers, so few long calls are cheaper than many short
ones. Requests are handed over in slices of a bounded size; what a slice has finished is yielded while the rest of it runs.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import socket
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from planner.engines.base import Alternatives, Choice, Counters, EngineError, Request
from planner.engines.vllm import VllmEngine, prompt_ids
from planner.models import open_tokenizer, resolve_model, special_tokens
from planner.records import Completion, Message

_SLICE = 100_000
"""Requests held at once, in the driver and in Ray's object store."""


class RayEngine:
    """One model on several vLLM engines of a Ray cluster.

    Args:
        engines: how many; each takes `tensor_parallel` GPUs, or one CPU where the cluster has no GPU.
        settings: arguments of `VllmEngine`, for each. The seed of engine k is not known: texts depend on who took which batch.

    Raises:
        EngineError: Ray is missing or not reached, or its cluster has no room for the engines.
    """

    def __init__(self, model: str, *, engines: int, settings: dict[str, Any]) -> None:
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise EngineError(f"Ray cannot be imported ({error}): install the extra `ray`") from error
        self._ray, self._settings, self._engines = ray, settings, engines
        if not ray.is_initialized():
            where = os.environ.get("RAY_ADDRESS")
            try:
                reach(where)
                ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            except OSError as error:
                raise EngineError(
                    f"no Ray cluster at {where or 'the address that `ray start` left'} ({error}): start one, mend RAY_ADDRESS, or set "
                    "RAY_AUTH_MODE=token where it asks for a token"
                ) from error
        for name in ("ray.data", "ray.data._internal"):
            logging.getLogger(name).setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False  # the caller shows its own
        has = ray.cluster_resources()
        self._needs = {"num_gpus": settings.get("tensor_parallel", 1)} if has.get("GPU") else {"num_cpus": 1}
        ((kind, each),) = self._needs.items()
        if engines * each > has.get(kind.removeprefix("num_").removesuffix("s").upper(), 0):
            raise EngineError(
                f"{engines} engines need {engines * each} {kind[4:]} and the Ray cluster has {has}: lower engine.engines"
            )
        self._counters = Counters()
        self.load(model)

    def sample(self, requests: Iterable[Request]) -> Iterator[tuple[str, tuple[Completion, ...]]]:
        return self._run(requests)

    def choose(self, requests: Iterable[Choice]) -> Iterator[tuple[str, float, float]]:
        return self._run(requests)

    def likelihood(self, requests: Iterable[Alternatives]) -> Iterator[tuple[str, tuple[float, ...]]]:
        return self._run(requests)

    def fits(self, messages: tuple[Message, ...], prefill: str, max_tokens: int) -> bool:
        return len(prompt_ids(self._tokenizer, self._special, messages, prefill)) + max_tokens <= self._max_model_len

    def load(self, model: str) -> None:
        """The engines of the next call open this model."""
        from transformers import AutoConfig

        path = resolve_model(model)
        self.model = model
        self._settings = {**self._settings, "model": path}
        self._tokenizer = open_tokenizer(path)
        self._special = special_tokens(self._tokenizer)
        self._max_model_len = self._settings.get("max_model_len") or int(AutoConfig.from_pretrained(path).max_position_embeddings)

    @property
    def counters(self) -> Counters:
        return self._counters

    def close(self) -> None:
        self._ray.shutdown()

    def _run(self, requests: Iterable[Any]) -> Iterator[Any]:
        waiting = iter(requests)
        while some := list(islice(waiting, _SLICE)):
            batch = max(1, min(4 * self._settings.get("max_num_seqs", 64), -(-len(some) // self._engines)))
            items = [{"asked": pickle.dumps(one)} for one in some]
            job = self._ray.data.from_items(items, override_num_blocks=-(-len(items) // batch)).map_batches(
                _Worker, fn_constructor_args=(self._settings,), batch_size=batch,
                compute=self._ray.data.ActorPoolStrategy(size=min(self._engines, -(-len(items) // batch))), **self._needs,
            )  # fmt: skip
            try:
                for row in job.iter_rows():
                    spent, answer = pickle.loads(row["answered"])
                    self._counters = Counters(*(a + b for a, b in zip(self._counters, spent, strict=True)))
                    yield answer
            except self._ray.exceptions.RayError as error:
                raise EngineError(f"Ray: {_cause(error)}") from error


def reach(address: str | None) -> None:
    """Open a connection to HOST:PORT, where the address is one: Ray itself would try for a quarter of an hour.

    Raises:
        OSError: nobody is there.
    """
    if address and (found := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)):
        socket.create_connection((found[1], int(found[2])), timeout=10).close()


def _cause(error: Exception) -> str:
    """What went wrong in a worker, in one line: Ray joins its traces, the worker's own error first."""
    said = re.findall(r"^(?!ray\.)[\w.]*(?:Error|Exception): .*", str(error), re.MULTILINE)
    return said[0] if said else str(error).strip().splitlines()[0]


class _Answered(NamedTuple):
    spent: Counters
    """Tokens since the row before it."""
    answer: Any


class _Worker:
    """A vLLM engine in a Ray process; takes batches of pickled requests, gives back pickled answers."""

    def __init__(self, settings: dict[str, Any]) -> None:
        # Ray has given this process its share of the machine; vLLM would bind every worker to the same cores.
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        self._engine = VllmEngine(**settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        asked = [pickle.loads(one) for one in batch["asked"]]
        ask: Any = {Request: self._engine.sample, Choice: self._engine.choose, Alternatives: self._engine.likelihood}[
            type(asked[0])
        ]
        before, answered = self._engine.counters, []
        for answer in ask(asked):
            now = self._engine.counters
            answered.append(pickle.dumps(_Answered(Counters(*(a - b for a, b in zip(now, before, strict=True))), answer)))
            before = now
        return {"answered": answered}
