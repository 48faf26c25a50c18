"""Inside a sampling child: plans, executions in both orders, and forced verdicts, each appended as it finishes.

Work belongs to the engine that owns the instruction's hash, so an engine executes the plans it wrote itself and waits for
nobody. What is on disk already, whoever wrote it, is not made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from planner import execute, plan
from planner.engines.base import Engine, Request, Sampling
from planner.execute import ExecutionInput, ForcedVerdict
from planner.models import resolve_model
from planner.progress import progress_bar
from planner.records import ORDERS, Chain, Completion, LabeledPair, Order, Pair, Plan, digest
from planner.store import Shard, Shards, read_jsonl
from selftrain.config import Config, EngineConfig
from selftrain.stream import Stream

Item = TypeVar("Item")
AnyInput = TypeVar("AnyInput", plan.PlanInput, ExecutionInput)
AnyItem = TypeVar("AnyItem", Plan, Chain)

TAG_TOKENS = 48
"""Room for the tags that a judge writes around its plan, or after its execution, on top of the text itself."""


def open_engine(engine: EngineConfig, model: str, seed: int) -> Engine:
    """The configured engine with `model` loaded."""
    if engine.kind == "scripted":
        from planner.engines.scripted import ScriptedEngine

        return ScriptedEngine()
    if engine.kind == "server":
        if engine.urls:
            from planner.engines.pool import PoolEngine

            return PoolEngine(engine.urls, model, max_model_len=engine.max_model_len, concurrency=engine.max_num_seqs)
        from planner.engines.server import ServerEngine

        assert engine.url is not None
        return ServerEngine(engine.url, model, max_model_len=engine.max_model_len, concurrency=engine.max_num_seqs)
    settings = engine.model_dump(
        include={
            "max_model_len",
            "max_num_seqs",
            "kv_cache_gb",
            "gpu_memory_utilization",
            "tensor_parallel",
            "enforce_eager",
            "dtype",
        }
    ) | {"seed": seed}
    if engine.kind == "ray":
        from planner.engines.ray import RayEngine

        return RayEngine(model, engines=engine.engines, settings=settings)
    from planner.engines.vllm import VllmEngine

    return VllmEngine(resolve_model(model), **settings)


class Sampler:
    """Draws one stage's chains with one model.

    Args:
        folder: the stage's; `plans/`, `chains/` and `forced/` are made in it.
        pairs: the file of labelled pairs. Labels are dropped as it is read.
        first: plans from the instruction alone and the execution prompt (a seed); otherwise the judge's own, on-policy.
    """

    def __init__(self, config: Config, folder: Path, pairs: Path, *, first: bool, rank: int = 0, size: int = 1) -> None:
        self.config, self.folder, self.first = config, folder, first
        self.style, self.draw = config.style, config.sampling
        self.sampling = Sampling(self.draw.temperature, self.draw.top_p, self.draw.top_k)
        self._pairs, self._rank, self._size = pairs, rank, size

    def run(self, engine: Engine) -> None:
        if self._streams:
            self._streamed(engine)
        else:
            if self.style.plans:
                self._plans(engine)
            self._executions(engine)
        if self.draw.force_verdict:
            self._forced(engine)

    def owned(self) -> Iterator[Pair]:
        return owned(self._pairs, self._rank, self._size)

    def plan_inputs(self) -> Iterator[plan.PlanInput]:
        return self._plan_inputs(self.owned())

    def plan_inputs_of(self, pair: Pair) -> Iterator[plan.PlanInput]:
        return self._plan_inputs([pair])

    def _plan_inputs(self, pairs: Iterable[Pair]) -> Iterator[plan.PlanInput]:
        if self.first:
            return plan.instruction_inputs(self.style, pairs, self.draw.plans)
        return plan.judge_inputs(self.style, pairs, self._plans_each)

    @property
    def _plans_each(self) -> tuple[int, int]:
        """Plans that a judge writes of a pair in each order."""
        n = self.draw.plans
        # Executed in the one order they saw, each order needs its own n; executed in both, half are written in each.
        return ((n + 1) // 2, n // 2) if self.draw.reuse_plans else (n, n)

    def execution_inputs(self, pairs: Iterable[Pair], plans: Shards[Plan]) -> Iterator[ExecutionInput]:
        """Every execution prompt of these pairs: pair by pair, order by order, plan by plan, so that prefixes are shared."""
        for pair in pairs:
            for order in ORDERS:
                yield from self.executions_of(pair, order, [one for key in self.plan_keys(pair, order) for one in plans.get(key)])

    def executions_of(self, pair: Pair, order: Order, plans: Iterable[Plan]) -> Iterator[ExecutionInput]:
        """The execution prompts of a pair in an order; the one without a plan where the judge does not plan."""
        make = execute.execution_inputs if self.first else execute.continuation_inputs
        return make(self.style, pair, order, [one for one in plans if one.text is not None] if self.style.plans else [None])

    def plan_keys(self, pair: Pair, order: Order) -> list[str]:
        """Keys of the plan inputs whose plans are executed on a pair in an order."""
        if not self.style.plans:
            return []
        if self.first:
            return [pair.instruction_id]
        asked = [seen for seen, n in zip(ORDERS, self._plans_each, strict=True) if n]
        return [digest(pair.id, seen) for seen in (asked if self.draw.reuse_plans else (order,))]

    @property
    def _limits(self) -> tuple[int, int]:
        """Most tokens of a plan and of an execution. Under the judge prompt the judge writes the tags itself."""
        tags = 0 if self.first else TAG_TOKENS
        return self.draw.plan_tokens + tags, self.draw.execution_tokens + tags

    @property
    def _draws(self) -> int:
        """Executions of a plan in one order; without plans, as many as all of them would get."""
        each_order = self.draw.executions // 2
        return each_order if self.style.plans else each_order * self.draw.plans

    @property
    def _silent(self) -> bool:
        """The seed writes no executions: only verdicts are drawn of it."""
        return self.first and self.style.execution_form == "findings"

    @property
    def _streams(self) -> bool:
        return self.style.plans and not self._silent

    def plan_request(self, item: plan.PlanInput) -> Request:
        return plan.request(item, max_tokens=self._limits[0], sampling=self.sampling)

    def execution_request(self, item: ExecutionInput) -> Request:
        # Nothing trains on P(A), so none is asked for.
        return execute.request(item, n=self._draws, max_tokens=self._limits[1], sampling=self.sampling, letters=False)

    def read_plans(self, item: plan.PlanInput, completions: tuple[Completion, ...]) -> list[Plan]:
        return plan.read(self.style, item, completions)

    def read_chains(self, item: ExecutionInput, completions: tuple[Completion, ...]) -> list[Chain]:
        return execute.read(self.style, item, completions)

    def _streamed(self, engine: Engine) -> None:
        """Plans and executions at once, each plan's as soon as it is written."""
        folders = self.folder / "plans", self.folder / "chains"
        old_plans, old_chains = Shards(folders[0], Plan), Shards(folders[1], Chain)
        # As if no plan were cut off, and nothing done yet: the bar may end early, never late.
        total = sum(1 for _ in self.plan_inputs()) + 2 * self.draw.plans * sum(1 for _ in self.owned())
        with Shard[Plan](folders[0], self._rank) as plans, Shard[Chain](folders[1], self._rank) as chains:
            stream = Stream(self, engine, self.owned(), (old_plans, plans), (old_chains, chains))

            def answers() -> Iterator[tuple[str, tuple[Completion, ...]]]:
                while not stream.over:  # an engine that asks no stream twice is asked again itself
                    yield from engine.sample(stream)

            for key, completions in progress(answers(), engine, "plans and executions", total):
                stream.finish(key, completions)

    def _plans(self, engine: Engine) -> None:
        folder = self.folder / "plans"
        done = Shards(folder, Plan)
        with Shard[Plan](folder, self._rank) as shard:
            owed = [one.key for one in self.plan_inputs() if one.key not in done]
            fitting = self._fitting(engine, (one for one in self.plan_inputs() if one.key not in done), self._limits[0], shard)
            made = plan.write_plans(engine, self.style, fitting, max_tokens=self._limits[0], sampling=self.sampling)
            for key, plans in progress(made, engine, "plans", len(owed)):
                shard.append(key, plans)

    def _executions(self, engine: Engine) -> None:
        plans = Shards(self.folder / "plans", Plan)
        folder = self.folder / "chains"
        done = Shards(folder, Chain)

        def owed() -> Iterator[ExecutionInput]:
            return (one for one in self.execution_inputs(self.owned(), plans) if one.key not in done)

        with Shard[Chain](folder, self._rank) as shard:
            total = sum(1 for _ in owed())
            fitting = self._fitting(engine, owed(), self._limits[1], shard)
            if self._silent:
                made = execute.unwritten(fitting, self._draws)
            else:
                made = execute.execute(
                    engine, self.style, fitting, n=self._draws, max_tokens=self._limits[1], sampling=self.sampling, letters=False
                )
            for key, chains in progress(made, engine, "executions", total):
                shard.append(key, chains)

    def _forced(self, engine: Engine) -> None:
        plans = Shards(self.folder / "plans", Plan)
        chains = Shards(self.folder / "chains", Chain)
        folder = self.folder / "forced"
        done = Shards(folder, ForcedVerdict)

        def owed() -> Iterator[tuple[ExecutionInput, Chain]]:
            for item in self.execution_inputs(self.owned(), plans):
                for chain in chains.get(item.key):
                    if execute.needs_forcing(chain) and chain.id not in done:
                        yield item, chain

        with Shard[ForcedVerdict](folder, self._rank) as shard:
            total = sum(1 for _ in owed())
            for forced in progress(execute.ask_forced(engine, self.style, owed()), engine, "forced verdicts", total):
                shard.append(forced.chain_id, [forced])

    @staticmethod
    def _fitting(engine: Engine, inputs: Iterable[AnyInput], limit: int, shard: Shard[AnyItem]) -> Iterator[AnyInput]:
        """Inputs that fit the context; the others are recorded as dropped before they reach the engine."""
        for one in inputs:
            if engine.fits(one.prompt.messages, one.prompt.prefill, limit):
                yield one
            else:
                shard.append(one.key, dropped="over_long")


def owned(pairs: Path, rank: int, size: int) -> Iterator[Pair]:
    """The pairs of a file whose instruction this engine owns, in file order, without their labels."""
    for labeled in read_jsonl(pairs, LabeledPair):
        if int(labeled.pair.instruction_id, 16) % size == rank:
            yield labeled.pair


def progress(items: Iterable[Item], engine: Engine, what: str, total: int) -> Iterator[Item]:
    """Show a bar with rate and time left, and the engine's tokens a second."""
    if not total:
        return
    start = engine.counters.generated
    with progress_bar(what, total, "prompt") as bar:
        for item in items:
            yield item
            bar.update()
            elapsed = bar.format_dict["elapsed"] or 1e-9
            bar.set_postfix_str(f"{(engine.counters.generated - start) / elapsed:,.0f} tok/s", refresh=False)
