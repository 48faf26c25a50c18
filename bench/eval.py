"""What a benchmark run costs: pairs a second in both orders, against raw vLLM and against a plain loop.

    python bench/eval.py [--model embedded] [--pairs 64] [--votes 1] [--json]

Ours is `eval.collect.collect` on builtin pairs with a `VllmEngine`, in the style of RewardBench's prompt: prompts rendered, checked for
length and fed through the bounded window, probabilities of the letters read, answers parsed, every judgment written to disk.
Raw is one call of `LLM.generate` on the same token ids, all at once and sorted, with the same n, temperature and max_tokens, asking
for no probabilities and keeping nothing. The loop asks as the public runners do by default: one order after the other, one request
at a time, on `--loop-pairs` of the pairs. All use one engine in one process; the prefix cache is emptied before each; after a
warm-up they alternate. `ratio_raw` and `ratio_loop` are ours over theirs in pairs a second, from the medians over the repetitions.
`cached_share` is the part of our prompt tokens that came from the prefix cache: what the two orders and the votes share.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# A script's folder comes first on the path, and there this file would stand for the package of its name.
sys.path[:] = [str(ROOT), *(place for place in sys.path if Path(place).resolve() != ROOT / "bench")]

from eval.collect import Votes, collect  # noqa: E402
from planner.engines.base import GREEDY, EngineError, Request, Sampling  # noqa: E402
from planner.engines.vllm import VllmEngine  # noqa: E402
from planner.execute import judge_inputs  # noqa: E402
from planner.judge import Judge  # noqa: E402
from planner.models import ModelError  # noqa: E402
from planner.styles.mtbench import MtBenchStyle  # noqa: E402
from selftrain.pairs.builtin import generate  # noqa: E402


class Bench:
    """One engine and one set of pairs."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.engine = VllmEngine(asked.model, max_model_len=1024, max_num_seqs=asked.sequences, kv_cache_gb=2, enforce_eager=True)
        self.votes, self.max_tokens, self.folder = asked.votes, asked.max_tokens, folder
        self.sampling = GREEDY if asked.votes == 1 else Sampling()
        self.judge = Judge(self.engine, MtBenchStyle(), max_tokens=asked.max_tokens, sampling=self.sampling)
        self.pairs = [one.pair for one in islice(generate("train", 0), asked.pairs)]
        self.looped = self.pairs[: asked.loop_pairs]
        self.runs = 0

    def ours(self) -> float:
        """Pairs a second."""
        self.runs += 1
        return self._timed(
            len(self.pairs), lambda: collect(self.judge, self.pairs, self.folder / str(self.runs), Votes(self.votes))
        )

    def raw(self) -> float:
        from vllm import SamplingParams

        params = SamplingParams(
            n=self.votes, temperature=self.sampling.temperature, top_p=self.sampling.top_p, max_tokens=self.max_tokens
        )  # fmt: skip
        inputs = list(judge_inputs(self.judge.style, self.pairs))
        ids = sorted(self.engine._ids(one.prompt.messages, one.prompt.prefill) for one in inputs)
        prompts = [{"prompt_token_ids": one} for one in ids]
        return self._timed(len(self.pairs), lambda: self.engine._llm.generate(prompts, params, use_tqdm=False))

    def loop(self) -> float:
        def one_by_one() -> None:
            for order in ("ab", "ba"):
                for item in judge_inputs(self.judge.style, self.looped, (order,)):
                    request = Request(
                        item.key,
                        item.prompt.messages,
                        item.prompt.prefill,
                        self.votes,
                        self.max_tokens,
                        item.prompt.stop,
                        self.sampling,
                    )
                    list(self.engine.sample([request]))

        return self._timed(len(self.looped), one_by_one)

    def _timed(self, pairs: int, run: Callable[[], Any]) -> float:
        self.engine._llm.reset_prefix_cache()
        start = time.perf_counter()
        run()
        return pairs / (time.perf_counter() - start)


def measure(bench: Bench, repeats: int) -> dict[str, Any]:
    bench.ours()
    found: dict[str, list[float]] = {"raw": [], "ours": [], "loop": []}
    cached = []
    for repeat in range(1, repeats + 1):
        for side in found:
            before = bench.engine.counters
            found[side].append(getattr(bench, side)())
            now = bench.engine.counters
            if side == "ours":
                cached.append((now.cached - before.cached) / (now.prompt - before.prompt))
            print(f"{repeat}/{repeats} {side:4} {found[side][-1]:8.2f} pairs/s", file=sys.stderr)
    rate = {side: median(rates) for side, rates in found.items()}
    return {
        "ratio_raw": round(rate["ours"] / rate["raw"], 3),
        "ratio_loop": round(rate["ours"] / rate["loop"], 3),
        "pairs_per_s": {side: round(value, 3) for side, value in rate.items()},
        "each_repeat": {side: [round(value, 3) for value in rates] for side, rates in found.items()},
        "cached_share": round(median(cached), 3),
        "pairs": len(bench.pairs),
        "loop_pairs": len(bench.looped),
        "votes": bench.votes,
        "max_tokens": bench.max_tokens,
        "repeats": repeats,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help='"embedded", a checkpoint folder, or a hub id')
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--loop-pairs", type=int, default=8, help="pairs that the slow loop is measured on")
    parser.add_argument("--votes", type=int, default=1, help="chains in each order")
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sequences", type=int, default=64, help="decoded at once (vLLM's max_num_seqs)")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object on the last line")
    asked = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-eval-") as folder:
            bench = Bench(asked, Path(folder))
            figures = measure(bench, asked.repeats)
            bench.engine.close()
    except (EngineError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rates = figures["pairs_per_s"]
    print(
        f"ours {rates['ours']:.2f} pairs/s · raw vLLM {rates['raw']:.2f} (ratio {figures['ratio_raw']:.3f}) · plain loop {rates['loop']:.2f} (ratio {figures['ratio_loop']:.2f})"
    )
    print(f"prompt tokens from the prefix cache: {figures['cached_share']:.0%}")
    if asked.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
