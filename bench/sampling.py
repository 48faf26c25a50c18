"""What the house adds to vLLM's own speed: the loop's plan and execution phases against raw `LLM.generate`.

    python bench/sampling.py [--model embedded] [--pairs 48] [--top-p 1.0] [--json]

Ours is `selftrain.sample.Sampler` on builtin pairs with a `VllmEngine`: prompts rendered, checked for length and fed through the
bounded window, answers parsed, every finished input written to disk. Raw is one call of
`LLM.generate` on exactly the same token ids, all at once and sorted, with the same n, temperature, top_p, max_tokens and stop,
asking for no log-probabilities and keeping nothing. Both use one engine in one process; the prefix cache is emptied before
each; after a warm-up they alternate, raw first. `ratio` is ours over raw in generated tokens a second, from the medians over
the repetitions (the machine may be shared; `ratio_cpu` is the same in tokens a processor-second, which other work disturbs
less). `stream_gain` is the rate of a run's own way, plans and executions in one stream, over that of ours in two phases. With
`--top-p` below 1, raw is cut by vLLM and ours by `planner/engines/nucleus.py`. `cached_share` is the part of prompt tokens that came from the prefix cache, as vLLM tells it of one sequence a prompt.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before bench/, whose eval.py would hide eval/

from planner.engines.base import EngineError  # noqa: E402
from planner.engines.vllm import VllmEngine  # noqa: E402
from planner.errors import UserError  # noqa: E402
from planner.models import ModelError  # noqa: E402
from planner.records import LabeledPair, Plan  # noqa: E402
from planner.store import Shards, read_jsonl, write_jsonl  # noqa: E402
from planner.styles.base import Prompt  # noqa: E402
from selftrain.config import Config, EngineConfig, SamplingConfig  # noqa: E402
from selftrain.pairs.builtin import generate  # noqa: E402
from selftrain.sample import Sampler, open_engine  # noqa: E402

PHASES = ("plans", "executions")


class Measured(NamedTuple):
    """One phase, once."""

    tokens: int
    seconds: float
    cpu_seconds: float
    """Of all threads of this process."""
    cached_share: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


class Clock:
    """Wall and processor seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._start[0], time.process_time() - self._start[1]


class Bench:
    """One engine, one set of pairs, and the plans that every repetition executes."""

    def __init__(self, config: Config, folder: Path, pairs: int) -> None:
        self.config, self.folder = config, folder
        self.pairs = folder / "pairs.jsonl"
        write_jsonl(self.pairs, islice(generate("train", config.seed), pairs))
        engine = open_engine(config.engine, config.model, config.seed)
        assert isinstance(engine, VllmEngine)
        self.engine = engine
        self._runs = 0

    def warm_up(self) -> None:
        """Run both phases once; the plans drawn here are those that are executed from now on."""
        sampler = self.sampler("warm-up")
        sampler._plans(self.engine)
        sampler._executions(self.engine)
        plans = Shards(self.folder / "warm-up" / "plans", Plan)
        if not any(one.text is not None for one in plans):
            raise UserError("every plan was cut off, so there is nothing to execute; raise --plan-tokens")
        asked = [one.pair for one in read_jsonl(self.pairs, LabeledPair)]
        draw = self.config.sampling
        self.raw_inputs = {
            "plans": self._raw_inputs((one.prompt for one in sampler.plan_inputs()), draw.plans, draw.plan_tokens),
            "executions": self._raw_inputs(
                (one.prompt for one in sampler.execution_inputs(asked, plans)), draw.executions // 2, draw.execution_tokens
            ),
        }

    def sampler(self, name: str) -> Sampler:
        return Sampler(self.config, self.folder / name, self.pairs, first=True)

    def _raw_inputs(self, prompts: Iterable[Prompt], n: int, max_tokens: int) -> tuple[list[Any], Any]:
        from vllm import SamplingParams

        asked = list(prompts)
        (stop,) = {one.stop for one in asked}
        draw = self.config.sampling
        params = SamplingParams(n=n, temperature=draw.temperature, top_p=draw.top_p, max_tokens=max_tokens, stop=list(stop))
        ids = sorted(self.engine._ids(one.messages, one.prefill) for one in asked)
        return [{"prompt_token_ids": one} for one in ids], params

    def raw(self, phase: str) -> Measured:
        self.engine._llm.reset_prefix_cache()
        prompts, params = self.raw_inputs[phase]
        clock = Clock()
        outputs = self.engine._llm.generate(prompts, params, use_tqdm=False)
        spent = clock.read()
        tokens = sum(len(choice.token_ids) for output in outputs for choice in output.outputs)
        cached = sum(output.num_cached_tokens or 0 for output in outputs)
        return Measured(tokens, *spent, cached / sum(len(output.prompt_token_ids) for output in outputs))

    def ours(self, phase: str) -> Measured:
        self._runs += 1
        name = f"run-{self._runs}"
        if phase == "executions":
            shutil.copytree(self.folder / "warm-up" / "plans", self.folder / name / "plans")
        self.engine._llm.reset_prefix_cache()
        sampler, before = self.sampler(name), self.engine.counters
        clock = Clock()
        if phase == "plans":
            sampler._plans(self.engine)
        else:
            sampler._executions(self.engine)
        spent = clock.read()
        now = self.engine.counters
        return Measured(now.generated - before.generated, *spent, (now.cached - before.cached) / (now.prompt - before.prompt))

    def streamed(self) -> Measured:
        """Plans and executions in one stream, plans drawn anew."""
        self._runs += 1
        self.engine._llm.reset_prefix_cache()
        sampler, before, clock = self.sampler(f"run-{self._runs}"), self.engine.counters, Clock()
        sampler._streamed(self.engine)
        spent, now = clock.read(), self.engine.counters
        return Measured(now.generated - before.generated, *spent, (now.cached - before.cached) / (now.prompt - before.prompt))


def measure(bench: Bench, repeats: int) -> dict[str, Any]:
    bench.warm_up()
    streamed: list[Measured] = []
    found: dict[str, dict[str, list[Measured]]] = {side: {phase: [] for phase in (*PHASES, "both")} for side in ("raw", "ours")}
    for repeat in range(1, repeats + 1):
        for side, run in (("raw", bench.raw), ("ours", bench.ours)):
            phases = [run(phase) for phase in PHASES]
            for phase, one in zip((*PHASES, "both"), (*phases, together(phases)), strict=True):
                found[side][phase].append(one)
                print(f"{repeat}/{repeats} {side:4} {phase:10} {one.rate:8,.0f} tok/s · {one.seconds:6.1f} s", file=sys.stderr)
        streamed.append(bench.streamed())
        print(
            f"{repeat}/{repeats} one stream      {streamed[-1].rate:8,.0f} tok/s · {streamed[-1].seconds:6.1f} s", file=sys.stderr
        )
    rates = {side: {p: median(m.rate for m in every) for p, every in phases.items()} for side, phases in found.items()}
    cached = {side: {p: round(median(m.cached_share for m in phases[p]), 3) for p in PHASES} for side, phases in found.items()}
    cpu = {side: median(m.tokens / m.cpu_seconds for m in phases["both"]) for side, phases in found.items()}
    both = zip(found["ours"]["both"], found["raw"]["both"], strict=True)
    return {
        "ratio": round(rates["ours"]["both"] / rates["raw"]["both"], 3),
        "ratio_plans": round(rates["ours"]["plans"] / rates["raw"]["plans"], 3),
        "ratio_executions": round(rates["ours"]["executions"] / rates["raw"]["executions"], 3),
        "ratio_each_repeat": [round(ours.rate / raw.rate, 3) for ours, raw in both],
        "stream_gain": round(median(one.rate for one in streamed) / rates["ours"]["both"], 3),
        "stream_gain_cpu": round(median(one.tokens / one.cpu_seconds for one in streamed) / cpu["ours"], 3),
        "ratio_cpu": round(cpu["ours"] / cpu["raw"], 3),
        "cached_share": cached["ours"],
        "cached_share_raw": cached["raw"],
        "tokens_per_s": {phase: round(rate, 1) for phase, rate in rates["ours"].items()},
        "tokens_per_s_raw": {phase: round(rate, 1) for phase, rate in rates["raw"].items()},
        "prompts": {phase: len(bench.raw_inputs[phase][0]) for phase in PHASES},
        "repeats": repeats,
    }


def together(phases: list[Measured]) -> Measured:
    """Phases one after the other; what was cached is told of each alone."""
    return Measured(sum(m.tokens for m in phases), sum(m.seconds for m in phases), sum(m.cpu_seconds for m in phases), 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help='"embedded", a checkpoint folder, or a hub id')
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--plans", type=int, default=3, help="plans an instruction")
    parser.add_argument("--executions", type=int, default=8, help="executions a plan, over both orders")
    parser.add_argument("--plan-tokens", type=int, default=24)
    parser.add_argument("--execution-tokens", type=int, default=40)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sequences", type=int, default=64, help="decoded at once (vLLM's max_num_seqs)")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object on the last line")
    asked = parser.parse_args()
    config = Config(
        name="bench-sampling",
        model=asked.model,
        prompts="short",
        sampling=SamplingConfig(
            plans=asked.plans, executions=asked.executions, temperature=0.8, top_p=asked.top_p,
            plan_tokens=asked.plan_tokens, execution_tokens=asked.execution_tokens,
        ),
        engine=EngineConfig(max_model_len=768, max_num_seqs=asked.sequences, kv_cache_gb=2, enforce_eager=True),
    )  # fmt: skip
    try:
        with tempfile.TemporaryDirectory(prefix="bench-sampling-") as folder:
            bench = Bench(config, Path(folder), asked.pairs)
            figures = measure(bench, asked.repeats)
            bench.engine.close()
    except (EngineError, ModelError, UserError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for phase, name in (("plans", "ratio_plans"), ("executions", "ratio_executions"), ("both", "ratio")):
        ours, raw = figures["tokens_per_s"][phase], figures["tokens_per_s_raw"][phase]
        print(f"{phase:10} ours {ours:8,.0f} tok/s · raw {raw:8,.0f} tok/s · ratio {figures[name]:.3f}")
    print(f"one stream over two phases: {figures['stream_gain']:.3f}")
    print(f"served from the prefix cache: ours {figures['cached_share']} · raw {figures['cached_share_raw']}")
    if asked.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
