"""The judge that every outside user imports: an engine, a style, and a rule for the two orders.

    from planner.judge import Judge
    judge = Judge.from_pretrained("runs/demo/M2_DPO")
    judge.compare("Name a river in French.", "La Loire.", "The Loire.")

A checkpoint of ours carries `judge.json`, which says how it was trained to be asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from planner.engines.base import GREEDY, Engine, EngineError, Sampling
from planner.execute import ExecutionInput, ask_forced, execute, forced_chain, judge_inputs, needs_forcing
from planner.likelihood import Calibration, judge_by_likelihood
from planner.models import ModelError
from planner.records import ORDERS, Chain, Judgment, Order, OrderJudgment, Pair, Record, Verdict, flip
from planner.styles import AnyStyle
from planner.styles.base import Style

OrderRule = Literal["mean", "agree", "strict", "pandalm", "judgebench", "first"]
"""What two orders make together where they do not say the same. `mean`: the larger mean probability wins. `agree`: no verdict.
`strict`: a tie. `pandalm`: a tie where the same position won twice, else what the first order says. `judgebench`: the sign of the
sum, an order without a verdict counting nothing. Under the other rules an order without a verdict leaves the pair without one.
`first`: the pair is asked once, as it stands."""
Decide = Literal["text", "likelihood"]
"""`text`: the judge writes its answer. `likelihood`: the likelier verdict, without a word (`planner.likelihood`)."""

Watch = Callable[[Iterator[tuple[str, list[Chain]]], int], Iterable[tuple[str, list[Chain]]]]
"""Wraps what comes out of an engine, e.g. in a progress bar, given how much will come."""

CARD = "judge.json"
VERDICT_TOKENS = 16
"""Room for a bare verdict, where nothing else is written."""


class JudgeCard(Record):
    """How a checkpoint wants to be asked; `judge.json` in its folder."""

    style: AnyStyle
    max_tokens: int
    calibration: Calibration = Calibration()
    """For verdicts decided by likelihood."""


class Judge:
    """Compares two responses to an instruction.

    Args:
        engine: any engine; the judge does not close it.
        style: how the model is asked; `planner.styles.named` finds one by name.
        max_tokens: of one chain (the paper's inference limit: 2048).
        rule: what two orders make together.
        force: read a verdict from the probabilities where the text names none, and mark it. Off: such a chain has none.
        sampling: greedy unless told otherwise.
        decide: by a written answer, or by likelihood, where `calibration` says how to read the probabilities.
    """

    def __init__(
        self,
        engine: Engine,
        style: Style,
        *,
        max_tokens: int = 2048,
        rule: OrderRule = "mean",
        force: bool = False,
        sampling: Sampling = GREEDY,
        decide: Decide = "text",
        calibration: Calibration = Calibration(),  # noqa: B008 (it is frozen)
    ) -> None:
        self.engine, self.style, self.max_tokens = engine, style, max_tokens if decide == "text" else VERDICT_TOKENS
        self.rule, self.force, self.sampling = rule, force, sampling
        self.decide, self.calibration = decide, calibration

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, rule: OrderRule = "mean", force: bool = False, decide: Decide = "text", **engine: Any
    ) -> Judge:
        """Open a checkpoint that `selftrain` made, with a vLLM engine of its own.

        Args:
            engine: passed to `planner.engines.vllm.VllmEngine`.

        Raises:
            ModelError: no such folder, or one without a readable `judge.json`.
        """
        card = read_card(path)
        from planner.engines.vllm import VllmEngine

        engine.setdefault("enforce_eager", True)
        return cls(
            VllmEngine(str(path), **engine), card.style, max_tokens=card.max_tokens, rule=rule, force=force, decide=decide,
            calibration=card.calibration,
        )  # fmt: skip

    def compare(self, instruction: str, response_a: str, response_b: str, reference: str | None = None) -> Judgment:
        """Judge one pair. Many at once are much faster through `compare_many`."""
        pair = Pair(instruction=instruction, response_a=response_a, response_b=response_b, reference=reference)
        (judgment,) = self.compare_many([pair])
        return judgment

    def compare_many(self, pairs: Iterable[Pair]) -> Iterator[Judgment]:
        """Judge pairs; the judgments come in the pairs' order, when all are done.

        Raises:
            EngineError: a pair that does not fit the model's context together with `max_tokens` of answer.
        """
        pairs = list(pairs)
        unique = {pair.id: pair for pair in pairs}
        for pair in unique.values():
            if not self.fits(pair):
                raise EngineError(
                    f"the pair with instruction {pair.instruction[:60]!r} and {self.max_tokens} tokens of answer do not "
                    "fit the model's context: shorten it, lower max_tokens, or raise max_model_len"
                )
        chains = self.chains(judge_inputs(self.style, unique.values(), self.orders))
        for pair in pairs:
            yield merge([chains[pair.id, order] for order in self.orders], self.rule)

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders that each pair is asked in."""
        return ORDERS if self.rule != "first" else ("ab",)

    def fits(self, pair: Pair) -> bool:
        """Whether a pair and `max_tokens` of answer stay within the model's context, in every order asked."""
        inputs = judge_inputs(self.style, [pair], self.orders)
        return all(self.engine.fits(item.prompt.messages, item.prompt.prefill, self.max_tokens) for item in inputs)

    def chains(self, inputs: Iterable[ExecutionInput], watch: Watch | None = None) -> dict[tuple[str, Order], Chain]:
        """One chain an input, by (pair id, order), forced where asked for and needed. `watch` may show progress."""
        return {key: drawn for key, (drawn,) in self.votes(inputs, 1, watch).items()}

    def votes(self, inputs: Iterable[ExecutionInput], n: int, watch: Watch | None = None) -> dict[tuple[str, Order], list[Chain]]:
        """`n` chains an input, by (pair id, order), each forced where asked for and needed. `watch` may show progress."""
        by_key = {item.key: item for item in inputs}
        if self.decide == "likelihood":
            if n != 1:
                raise ValueError("a likelihood is the same however often it is read: ask for one vote")
            made = judge_by_likelihood(self.engine, self.style, by_key.values(), self.calibration)
        else:
            made = execute(self.engine, self.style, by_key.values(), n=n, max_tokens=self.max_tokens, sampling=self.sampling)
        chains = dict(watch(made, len(by_key)) if watch else made)
        if self.force and self.decide == "text":
            silent = {c.id: (by_key[key], c) for key, drawn in chains.items() for c in drawn if needs_forcing(c)}
            for forced in ask_forced(self.engine, self.style, silent.values()):
                item, chain = silent[forced.chain_id]
                chains[item.key][chain.sample] = forced_chain(chain, forced)
        return {(by_key[key].pair.id, by_key[key].order): drawn for key, drawn in chains.items()}


def read_card(path: str | Path) -> JudgeCard:
    """Read a checkpoint's `judge.json`.

    Raises:
        ModelError: it is missing or unreadable.
    """
    file = Path(path) / CARD
    if not Path(path).is_dir():
        raise ModelError(f"no model at {path}: give the folder of a checkpoint made by selftrain, e.g. runs/demo/M2_DPO")
    if not file.is_file():
        raise ModelError(
            f"{path} holds no {CARD}, so it is no judge made by selftrain; give the style yourself: Judge(engine, style)"
        )
    try:
        return JudgeCard.model_validate_json(file.read_text())
    except ValueError as error:
        raise ModelError(f"{file} cannot be read: {str(error).splitlines()[0]}") from error


def write_card(path: str | Path, card: JudgeCard) -> None:
    (Path(path) / CARD).write_text(json.dumps(card.model_dump(), indent=2) + "\n")


def merge(chains: list[Chain], rule: OrderRule) -> Judgment:
    """Merge a pair's chains, as many in each order, into one judgment in the naming of the pair as it stands."""
    orders = tuple(_in_pair_naming(chain) for chain in chains)
    said = [one.verdict for one in orders]
    named = [one.p_a for one in orders if one.p_a is not None and one.verdict != "none"]
    p_a = sum(named) / len(named) if len(named) == len(orders) else None
    agree = len(set(said)) == 1
    verdict = said[0] if agree else _settled(said, rule, p_a)
    first = orders[0]
    return Judgment(
        verdict=verdict, p_a=p_a, plan=first.plan, execution=first.execution,
        consistent=agree and said[0] != "none" and {one.order for one in orders} == set(ORDERS), orders=orders,
    )  # fmt: skip


def _settled(said: list[Verdict], rule: OrderRule, p_a: float | None) -> Verdict:
    """What two orders that differ make together, `said` in the naming of the pair."""
    if rule == "judgebench":
        balance = said.count("A") - said.count("B")
        return "A" if balance > 0 else "B" if balance < 0 else "none" if "none" in said else "tie"
    if rule == "mean":
        return "none" if p_a is None or p_a == 0.5 else "A" if p_a > 0.5 else "B"
    if rule == "agree" or "none" in said:
        return "none"
    return said[0] if rule == "pandalm" and "tie" in said else "tie"


def _in_pair_naming(chain: Chain) -> OrderJudgment:
    swapped = chain.order == "ba"
    return OrderJudgment(
        order=chain.order,
        verdict=flip(chain.verdict) if swapped else chain.verdict,
        p_a=chain.p_a if chain.p_a is None or not swapped else 1 - chain.p_a,
        plan=chain.plan,
        execution=chain.execution,
        forced=chain.forced,
        cut_off=chain.cut_off,
        tokens=chain.completion.tokens,
        scores=chain.scores[::-1] if chain.scores and swapped else chain.scores,
        reference=chain.reference,
        p_tie=chain.p_tie,
    )
