"""Ask a judge about every pair in both orders, and keep every judgment.

`judgments/rank-0.jsonl` of a run's folder has one line a pair and order, with all votes in it, appended as they finish; a run that
was stopped goes on with what is owed. A call that fails stops the run and stays owed: nothing is ever stored in its place. Votes are
`plans` × `executions`: whole chains where there is one execution a plan, else a plan is written once (`plans/`) and executed often.
Verdicts that are read from the probabilities, because a text named none, lie apart in `forced/`.

Both orders and all votes of a pair follow one another, so that they meet in the engine's prefix cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from eval.judged import Ballots, chain_of
from planner.engines.base import EngineError
from planner.execute import (
    ExecutionInput,
    ForcedVerdict,
    ask_forced,
    continuation_inputs,
    execute,
    forced_chain,
    input_key,
    judge_inputs,
    needs_forcing,
)
from planner.judge import Judge
from planner.plan import judge_inputs as plan_inputs
from planner.plan import write_plans
from planner.records import ORDERS, Chain, LabeledPair, Order, Pair, Plan, Record, digest
from planner.store import Shard, Shards
from planner.styles.evalplanner import EvalPlannerStyle

Watch = Callable[[int, int], None]
"""Told (judgments made, tokens generated) as they come."""


class Votes(NamedTuple):
    """How often each order of a pair is asked."""

    plans: int = 1
    executions: int = 1

    @property
    def total(self) -> int:
        return self.plans * self.executions


class Vote(Record):
    """One judgment, as it was made."""

    prompt: str
    """Hash of the prompt: its messages and prefill."""
    chain: Chain
    tokens: int
    """Generated for it; a plan that many executions share counts with the first of them."""
    seconds: float
    """From the moment the engine took it to its end; others were decoded in the same time."""


def collect(judge: Judge, pairs: Iterable[Pair], folder: Path, votes: Votes, watch: Watch = lambda made, tokens: None) -> None:
    """Judge what is still owed of `pairs`. Pairs that do not fit the model's context are named `over_long` and never asked.

    Raises:
        EngineError: a call failed; what is finished is kept.
    """
    done = Shards(folder / "judgments", Vote)
    unique = {pair.id: pair for pair in pairs}
    watch(len(done), 0)
    with Shard[Vote](folder / "judgments", 0) as shard:

        def owed() -> Iterator[ExecutionInput]:
            """Measured as the engine has room for them, while others are decoded."""
            for item in judge_inputs(judge.style, unique.values()):
                if item.key in done:
                    continue
                if judge.engine.fits(item.prompt.messages, item.prompt.prefill, judge.max_tokens):
                    yield item
                else:
                    shard.append(item.key, dropped="over_long")
                    watch(1, 0)

        asked = _Asked(judge, votes)
        for key, made in asked.whole_chains(owed()) if votes.executions == 1 else asked.planned(list(owed()), folder):
            shard.append(key, made)
            watch(1, sum(vote.tokens for vote in made))
    if judge.force:
        _force(judge, unique.values(), folder)


def _force(judge: Judge, pairs: Iterable[Pair], folder: Path) -> None:
    """Read a verdict of every chain that names none, where that is still owed. One line a chain."""
    kept, done = Shards(folder / "judgments", Vote), Shards(folder / "forced", ForcedVerdict)
    silent = [
        (item, vote.chain)
        for item in judge_inputs(judge.style, pairs)
        for vote in kept.get(item.key)
        if needs_forcing(vote.chain) and vote.chain.id not in done
    ]
    with Shard[ForcedVerdict](folder / "forced", 0) as shard:
        left = {chain.id for _, chain in silent}
        for read in ask_forced(judge.engine, judge.style, silent):
            shard.append(read.chain_id, [read])
            left.discard(read.chain_id)
        for chain_id in sorted(left):
            shard.append(chain_id, dropped="over_long")


class _Asked:
    """Both ways to draw votes; each yields (input key, its votes)."""

    def __init__(self, judge: Judge, votes: Votes) -> None:
        self.judge, self.votes = judge, votes
        self._taken: dict[str, tuple[ExecutionInput, float]] = {}

    def whole_chains(self, items: Iterable[ExecutionInput]) -> Iterator[tuple[str, list[Vote]]]:
        for key, chains, item, seconds in self._drawn(items, self.votes.plans):
            yield key, [_vote(item, chain, chain.completion.tokens, seconds) for chain in chains]

    def planned(self, items: Sequence[ExecutionInput], folder: Path) -> Iterator[tuple[str, list[Vote]]]:
        style = self.judge.style
        if not isinstance(style, EvalPlannerStyle):
            raise EngineError("votes of several executions a plan need a style whose plans can be told apart: evalplanner")
        plans, fits = self._plans(style, items, folder), self.judge.engine.fits
        of_plan: dict[str, tuple[ExecutionInput, Plan]] = {}
        waiting: dict[str, int] = {}
        made: dict[str, list[Vote]] = {}

        def continued() -> Iterator[ExecutionInput]:
            for item in items:
                made[item.key], going = [], []
                for plan in plans.get(item.key):
                    (going_on,) = continuation_inputs(style, item.pair, item.order, [plan])
                    # A plan without an end, or one that leaves no room, is not executed: its votes are cut off.
                    if plan.text is None or not fits(going_on.prompt.messages, going_on.prompt.prefill, self.judge.max_tokens):
                        made[item.key] += self._cut_off(item, plan)
                    else:
                        going.append(going_on)
                        of_plan[going_on.key] = (item, plan)
                waiting[item.key] = len(going)
                yield from going

        for key, chains, going_on, seconds in self._drawn(continued(), self.votes.executions):
            item, plan = of_plan.pop(key)
            for index, chain in enumerate(chains):
                shared = plan.completion.tokens if index == 0 else 0
                made[item.key].append(_vote(going_on, chain, chain.completion.tokens + shared, seconds))
            waiting[item.key] -= 1
            if not waiting[item.key]:
                yield item.key, _in_turn(made.pop(item.key), plans.get(item.key))
        for key, votes in made.items():  # inputs none of whose plans could be executed
            yield key, _in_turn(votes, plans.get(key))

    def _plans(self, style: EvalPlannerStyle, items: Sequence[ExecutionInput], folder: Path) -> Shards[Plan]:
        known = Shards(folder / "plans", Plan)
        by_pair: dict[str, list[ExecutionInput]] = {}
        for item in items:
            if item.key not in known:
                by_pair.setdefault(item.pair.id, []).append(item)
        inputs = (
            plan_input
            for found in by_pair.values()
            for plan_input in plan_inputs(style, [found[0].pair], _draws(found, self.votes.plans))
        )
        with Shard[Plan](folder / "plans", 0) as shard:
            drawn = write_plans(self.judge.engine, style, inputs, max_tokens=self.judge.max_tokens, sampling=self.judge.sampling)
            pair_of = {digest(item.pair.id, item.order): item.key for item in items}
            for key, plans in drawn:
                shard.append(pair_of[key], plans)
        return Shards(folder / "plans", Plan)

    def _drawn(self, items: Iterable[ExecutionInput], n: int) -> Iterator[tuple[str, list[Chain], ExecutionInput, float]]:
        """(key, chains, the input, seconds since the engine took it) as inputs finish."""

        def noted() -> Iterator[ExecutionInput]:
            for item in items:
                self._taken[item.key] = (item, time.perf_counter())
                yield item

        judge = self.judge
        drawn = execute(judge.engine, judge.style, noted(), n=n, max_tokens=judge.max_tokens, sampling=judge.sampling)
        for key, chains in drawn:
            item, start = self._taken.pop(key)
            yield key, chains, item, time.perf_counter() - start

    def _cut_off(self, item: ExecutionInput, plan: Plan) -> Iterator[Vote]:
        for sample in range(self.votes.executions):
            chain = Chain(
                pair_id=item.pair.id, order=item.order, plan_id=plan.id, plan=None, sample=sample, completion=plan.completion,
                execution="", verdict="none", p_a=None, cut_off=True,
            )  # fmt: skip
            yield _vote(item, chain, plan.completion.tokens if sample == 0 else 0, 0.0)


def _vote(item: ExecutionInput, chain: Chain, tokens: int, seconds: float) -> Vote:
    return Vote(prompt=prompt_hash(item), chain=chain, tokens=tokens, seconds=round(seconds, 3))


def _in_turn(votes: Iterable[Vote], plans: Sequence[Plan]) -> list[Vote]:
    """Votes as their plans were drawn. As they finish, the cut-off and the short ones come first, and k votes would be the first k of those."""
    place = {plan.id: index for index, plan in enumerate(plans)}
    return sorted(votes, key=lambda vote: (place[vote.chain.plan_id], vote.chain.sample))


def _draws(found: Sequence[ExecutionInput], plans: int) -> tuple[int, int]:
    """Plans to draw in each order; none where the order is not owed."""
    owed = {item.order for item in found}
    first, second = (plans if order in owed else 0 for order in ORDERS)
    return first, second


def prompt_hash(item: ExecutionInput) -> str:
    return digest(*(f"{message.role}\n{message.content}" for message in item.prompt.messages), item.prompt.prefill)


def read_ballots(folder: Path, pairs: Iterable[LabeledPair]) -> tuple[list[Ballots], set[str]]:
    """(the kept judgments of every pair, ids of pairs that were too long in some order). A too long one has no verdict.

    Raises:
        EngineError: judgments are still owed.
    """
    kept, forced = Shards(folder / "judgments", Vote), Shards(folder / "forced", ForcedVerdict)
    ballots, over_long = [], set()
    for labeled in pairs:
        chains: dict[Order, list[Chain]] = {}
        for order in ORDERS:
            key = input_key(labeled.pair, order)
            if key not in kept:
                raise EngineError(f"{folder} lacks judgments; run the same command again, it goes on")
            if key in kept.dropped:
                over_long.add(labeled.pair.id)
            chains[order] = [final(vote, forced) for vote in kept.get(key)] or [chain_of(labeled, order, "none")]
        ballots.append(Ballots(labeled, chains))
    return ballots, over_long


def final(vote: Vote, forced: Shards[ForcedVerdict]) -> Chain:
    """The chain with all tokens that were generated for it, and with its verdict where that was read apart."""
    chain = vote.chain
    if vote.tokens != chain.completion.tokens:
        chain = chain.model_copy(update={"completion": chain.completion.model_copy(update={"tokens": vote.tokens})})
    read = forced.get(chain.id)
    return forced_chain(chain, read[0]) if read else chain
