"""From instructions to plans.

The first iteration's plans see the instruction alone (paper, section 2.1: "responses deliberately not shown"). A trained
judge's plans are the first part of its own chain under the judge prompt, so they were written with the pair in view, in one
order, and remember which.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from planner.engines.base import Engine, Request, Sampling
from planner.records import ORDERS, Completion, Order, Pair, Plan, digest
from planner.styles.base import Prompt
from planner.styles.evalplanner import EvalPlannerStyle


class PlanInput(NamedTuple):
    """One prompt to draw plans from."""

    key: str
    prompt: Prompt
    instruction_id: str
    pair_id: str | None
    order: Order | None
    n: int
    """How many plans to draw."""


def instruction_inputs(style: EvalPlannerStyle, pairs: Iterable[Pair], n: int) -> Iterator[PlanInput]:
    """One input an instruction, however many pairs share it."""
    seen: set[str] = set()
    for pair in pairs:
        if pair.instruction_id not in seen:
            seen.add(pair.instruction_id)
            yield PlanInput(pair.instruction_id, style.plan_prompt(pair.question), pair.instruction_id, None, None, n)


def judge_inputs(style: EvalPlannerStyle, pairs: Iterable[Pair], n: tuple[int, int]) -> Iterator[PlanInput]:
    """One input a pair and order; `n` is how many plans to draw in each of the two orders."""
    for pair in pairs:
        for order, draws in zip(ORDERS, n, strict=True):
            if draws:
                prompt = style.judge_plan_prompt(pair.shown(order))
                yield PlanInput(digest(pair.id, order), prompt, pair.instruction_id, pair.id, order, draws)


def request(item: PlanInput, *, max_tokens: int, sampling: Sampling) -> Request:
    """What an engine is asked for an input."""
    return Request(item.key, item.prompt.messages, item.prompt.prefill, item.n, max_tokens, item.prompt.stop, sampling)


def read(style: EvalPlannerStyle, item: PlanInput, completions: Sequence[Completion]) -> list[Plan]:
    """The plans in an answer. A cut-off plan has `text = None`."""
    return [
        Plan(
            instruction_id=item.instruction_id,
            pair_id=item.pair_id,
            order=item.order,
            sample=sample,
            completion=completion,
            text=style.read_plan(item.prompt.prefill, completion),
        )
        for sample, completion in enumerate(completions)
    ]


def write_plans(
    engine: Engine, style: EvalPlannerStyle, inputs: Iterable[PlanInput], *, max_tokens: int, sampling: Sampling
) -> Iterator[tuple[str, list[Plan]]]:
    """Draw each input's plans; yields (input key, plans) as they finish."""
    held: dict[str, PlanInput] = {}

    def requests() -> Iterator[Request]:
        for item in inputs:
            held[item.key] = item
            yield request(item, max_tokens=max_tokens, sampling=sampling)

    for key, completions in engine.sample(requests()):
        yield key, read(style, held.pop(key), completions)
