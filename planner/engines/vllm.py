"""Offline sampling with vLLM: one code for the CUDA package and the CPU package.

The engine runs inside the calling process (`VLLM_ENABLE_V1_MULTIPROCESSING=0`), so that it dies with it and nothing is left
writing; with `tensor_parallel > 1` vLLM starts its own workers, which end with this process too. Requests are fed as room
comes free and yielded as they finish; nothing waits for the slowest of a batch.

A seed is given to the engine and not to requests: a per-request seed crashes vLLM's CPU sampler.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from jinja2 import TemplateError
from pydantic import ValidationError

from planner.compiler import cannot_compile
from planner.engines.base import Alternatives, Choice, Counters, EngineError, Request
from planner.models import resolve_model, special_tokens
from planner.records import Completion, Letter, Message
from prompts import break_tokens

CPU_BLOCK = 32
"""Tokens of a block of the KV cache on a CPU. Only whole blocks of a prefix are shared. vLLM takes 128 tokens there, longer than many a prompt;
32 is the least that its fast kernels take, and halves the time of a stage of short prompts."""
_FORCING_TAIL = "[Final Verdict]\n[["


def _compile_nothing(why: str) -> None:
    """On a CPU, vLLM compiles a part of its sampler in eager mode too. To be called before vLLM's modules are imported."""
    import torch._dynamo

    torch._dynamo.config.disable = True
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # of workers, which are processes of their own
    print(f"{why}: vLLM samples without its compiled parts", file=sys.stderr)


class VllmEngine:
    """A vLLM engine on this process's devices.

    Args:
        model: what `planner.models.resolve_model` takes.
        max_model_len: context in tokens; None: the model's own.
        max_num_seqs: sequences decoded at once. The window of requests held is sized from it.
        seed: of the engine; equal seeds give equal text only for equal batches.
        kv_cache_gb: memory for the KV cache on a CPU, in GB; ignored on a GPU.
        gpu_memory_utilization: share of a GPU's memory; ignored on a CPU.

    Raises:
        EngineError: vLLM is missing, the model cannot be served, or its tokenizer cannot take our verdict tag.
    """

    def __init__(
        self,
        model: str,
        *,
        max_model_len: int | None = None,
        max_num_seqs: int = 64,
        seed: int = 0,
        kv_cache_gb: int = 2,
        gpu_memory_utilization: float = 0.9,
        tensor_parallel: int = 1,
        enforce_eager: bool = False,
        dtype: str = "bfloat16",
    ) -> None:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(kv_cache_gb))
        # vLLM keeps a core for its front end, which here is this same process: on two cores that would halve the speed.
        os.environ.setdefault("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")
        path = resolve_model(model)
        try:
            from vllm.platforms import current_platform

            on_cpu = current_platform.is_cpu()
            if on_cpu and (missing := cannot_compile("g++")):
                enforce_eager = True
                _compile_nothing(missing)
            from vllm import LLM
        except ImportError as error:
            raise EngineError(f"vLLM cannot be imported ({error}): install the extra `gpu` or `cpu`") from error
        if on_cpu:
            from planner.engines.nucleus import NucleusProcessor, cuts

            self._cuts: Any = cuts
        else:
            self._cuts = lambda top_p, top_k: {"top_p": top_p, "top_k": top_k}
        try:
            self._llm = LLM(
                path, dtype=dtype, max_model_len=max_model_len, max_num_seqs=max_num_seqs, seed=seed, enforce_eager=enforce_eager,
                tensor_parallel_size=tensor_parallel, gpu_memory_utilization=gpu_memory_utilization, enable_prefix_caching=True,
                disable_log_stats=True, trust_remote_code=False, load_format="safetensors", use_tqdm_on_load=False,
                block_size=CPU_BLOCK if on_cpu else None, logits_processors=[NucleusProcessor] if on_cpu else None,
            )  # fmt: skip
        except (ValueError, OSError, RuntimeError) as error:
            raise EngineError(f"vLLM cannot serve {model}: {cause(error)}") from error
        self.model = model
        self._engine = self._llm.llm_engine
        self._max_model_len = int(self._llm.model_config.max_model_len)
        self._window = 4 * max_num_seqs
        self._tokenizer: Any = self._llm.get_tokenizer()
        self._id_a, self._id_b = letter_ids(self._tokenizer)
        self._special = special_tokens(self._tokenizer)
        self._counters = Counters()

    def sample(self, requests: Iterable[Request]) -> Iterator[tuple[str, tuple[Completion, ...]]]:
        # `map`, not a generator: a stream that has ended may go on when an answer makes a new request.
        for key, output in self._run(map(self._asked, requests)):
            yield key, tuple(self._completion(choice) for choice in output.outputs)

    def choose(self, requests: Iterable[Choice]) -> Iterator[tuple[str, float, float]]:
        params = _next_token_among([self._id_a, self._id_b])
        for key, output in self._run((r.key, self._ids(r.messages, r.prefill), params) for r in requests):
            found = output.outputs[0].logprobs[0]
            yield key, found[self._id_a].logprob, found[self._id_b].logprob

    def likelihood(self, requests: Iterable[Alternatives]) -> Iterator[tuple[str, tuple[float, ...]]]:
        held: dict[str, tuple[list[tuple[int, ...]], dict[tuple[int, ...], dict[int, float]], int]] = {}

        def prompts() -> Iterator[tuple[str, list[int], Any]]:
            for request in requests:
                start = self._ids(request.messages, request.prefill)
                texts = [self._continuation(request, text, start) for text in request.texts]
                forks = branches(texts)
                held[request.key] = (texts, {}, len(forks))
                for prefix, following in forks.items():
                    key = " ".join(map(str, (request.key, *prefix)))
                    yield key, start + list(prefix), _next_token_among(following)

        # One forward pass a fork, all of one prompt: the prefix cache makes that one prompt.
        for name, output in self._run(prompts()):
            key, *prefix = name.split(" ")
            texts, known, forks = held[key]
            known[tuple(map(int, prefix))] = {token: found.logprob for token, found in output.outputs[0].logprobs[0].items()}
            if len(known) == forks:
                del held[key]
                yield key, tuple(sum(known[text[:k]][token] for k, token in enumerate(text)) for text in texts)

    def fits(self, messages: tuple[Message, ...], prefill: str, max_tokens: int) -> bool:
        return len(self._ids(messages, prefill)) + max_tokens <= self._max_model_len

    def load(self, model: str) -> None:
        self._llm.collective_rpc("reload_weights", kwargs={"weights_path": resolve_model(model)})
        # Keys and values in the cache were computed with the old weights.
        if not self._llm.reset_prefix_cache():
            raise EngineError(f"cannot switch to {model} while requests are running")
        self.model = model

    @property
    def counters(self) -> Counters:
        return self._counters

    def close(self) -> None:
        self._engine.engine_core.shutdown()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _ids(self, messages: tuple[Message, ...], prefill: str) -> list[int]:
        return prompt_ids(self._tokenizer, self._special, messages, prefill)

    def _continuation(self, request: Alternatives, text: str, start: list[int]) -> tuple[int, ...]:
        """Token ids of `text` after the prefill, whose own are `start`."""
        whole = self._ids(request.messages, request.prefill + text)
        if whole[: len(start)] != start or len(whole) == len(start):
            raise EngineError(f"this tokenizer joins {text!r} with what stands before it, so its likelihood cannot be read")
        return tuple(whole[len(start) :])

    def _asked(self, request: Request) -> tuple[str, list[int], Any]:
        return request.key, self._ids(request.messages, request.prefill), self._params(request)

    def _params(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            n=request.n, temperature=request.sampling.temperature, **self._cuts(request.sampling.top_p, request.sampling.top_k),
            max_tokens=request.max_tokens, stop=[*request.stop, *request.ends], include_stop_str_in_output=bool(request.ends),
            output_kind=RequestOutputKind.FINAL_ONLY,
            logprob_token_ids=[self._id_a, self._id_b] if request.letters else None,
        )  # fmt: skip

    def _run(self, prompts: Iterable[tuple[str, list[int], Any]]) -> Iterator[tuple[str, Any]]:
        """Feed a bounded window, yield finished requests. In the order given, so that shared prefixes meet in the cache."""
        waiting = iter(prompts)
        running = 0  # sequences, not requests: a request may ask for many
        held: dict[str, int] = {}  # sequences by request
        try:
            while True:
                while running < self._window:
                    taken = next(islice(waiting, 1), None)
                    if taken is None:
                        break
                    key, ids, params = taken
                    if key in held:
                        raise EngineError(f"two requests are called {key}")
                    held[key] = params.n
                    self._engine.add_request(key, {"prompt_token_ids": ids}, params)
                    running += params.n
                if not held:
                    return
                for output in self._engine.step():
                    if output.finished:
                        key = output.request_id
                        running -= held.pop(key)
                        generated = sum(len(choice.token_ids) for choice in output.outputs)
                        was = self._counters
                        self._counters = Counters(
                            prompt=was.prompt + len(output.prompt_token_ids),
                            cached=was.cached + (output.num_cached_tokens or 0),
                            generated=was.generated + generated,
                        )
                        yield key, output
        finally:
            # A caller that stops early (an error, Ctrl-C) must not leave its requests in the engine for the next call.
            if held:
                self._engine.abort_request(list(held))

    def _completion(self, choice: Any) -> Completion:
        if choice.finish_reason not in ("stop", "length"):
            raise EngineError(f"vLLM ended a sequence with {choice.finish_reason!r}; see its log")
        return Completion(
            text=choice.text,
            finish_reason=choice.finish_reason,
            stop=choice.stop_reason if isinstance(choice.stop_reason, str) else None,
            tokens=len(choice.token_ids),
            letters=tuple(self._letters(choice)),
        )

    def _letters(self, choice: Any) -> Iterator[Letter]:
        for place, (token, logps) in enumerate(zip(choice.token_ids, choice.logprobs or (), strict=False)):
            if token in (self._id_a, self._id_b):
                offset = len(self._tokenizer.decode(choice.token_ids[:place], skip_special_tokens=True))
                yield Letter(offset=offset, logp_a=logps[self._id_a].logprob, logp_b=logps[self._id_b].logprob)


def _next_token_among(tokens: list[int]) -> Any:
    """Parameters that read the log-probabilities of some tokens at the next place."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    # Asking for the most likely tokens instead would turn P(A) into 0 or 1 without a word. The mask makes the drawn token one of
    # those named, so all are always among what is returned; the log-probabilities are those before the mask.
    return SamplingParams(
        max_tokens=1, temperature=1.0, allowed_token_ids=tokens, logprob_token_ids=tokens, detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )  # fmt: skip


def branches(texts: list[tuple[int, ...]]) -> dict[tuple[int, ...], list[int]]:
    """The tree of token sequences: what may follow each beginning of one, the shortest beginnings first."""
    prefixes = sorted({text[:k] for text in texts for k in range(len(text))}, key=lambda prefix: (len(prefix), prefix))
    return {p: sorted({text[len(p)] for text in texts if len(text) > len(p) and text[: len(p)] == p}) for p in prefixes}


def cause(error: Exception) -> str:
    """What an exception says, in one line. Of a pydantic error the last line is a link."""
    if isinstance(error, ValidationError):
        return error.errors()[0]["msg"]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def prompt_ids(tokenizer: Any, special: Any, messages: tuple[Message, ...], prefill: str) -> list[int]:
    """Token ids of a chat up to the end of the prefill. Ids, not text: a templated string would get a second BOS.

    Raises:
        EngineError: the model has no chat template, or one that does not take these messages.
    """
    if messages[0].role == "text":
        plain: list[int] = tokenizer.encode(break_tokens(messages[0].content + prefill, special))
        return plain
    chat = [{"role": m.role, "content": break_tokens(m.content, special)} for m in messages]
    try:
        ids: list[int] = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
    except (ValueError, TemplateError) as error:
        roles = " and ".join(m.role for m in messages)
        raise EngineError(
            f"the model's chat template does not take a {roles} message ({cause(error)}): take an instruction-tuned model whose template "
            "does, or ask without one (styles pandalm and judgelm; of a compared model, --ask text)"
        ) from error
    return ids + tokenizer.encode(break_tokens(prefill, special), add_special_tokens=False) if prefill else ids


def letter_ids(tokenizer: Any) -> tuple[int, int]:
    """Token ids of the bare `A` and `B` of a verdict tag.

    Raises:
        EngineError: the tokenizer joins the letter with its brackets, so that a verdict is no single token.
    """
    head = tokenizer.encode(_FORCING_TAIL, add_special_tokens=False)
    found = []
    for letter in "AB":
        whole = tokenizer.encode(f"{_FORCING_TAIL}{letter}]]", add_special_tokens=False)
        if whole[: len(head)] != head or tokenizer.decode([whole[len(head)]]) != letter:
            raise EngineError(f"this tokenizer does not keep the {letter} of [[{letter}]] as a token of its own")
        found.append(whole[len(head)])
    return found[0], found[1]
