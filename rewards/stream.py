"""One judgment in stages: the plan as soon as it is written, then what came of it.

A judge's chain is drawn in two parts, its plan and the continuation of that plan under the same prompt, which is how the chain
goes on anyway. A judge that wrote no plan (or whose family does not plan), or one too long to be gone on from, is asked for a whole chain.
"""

from __future__ import annotations

from collections.abc import Iterator

from planner import plan as planning
from planner.execute import ExecutionInput, continuation_inputs, judge_inputs
from planner.judge import Judge, merge
from planner.records import ORDERS, Judgment, Order, Pair, Plan
from planner.styles.evalplanner import EvalPlannerStyle
from rewards.wire import StageEvent


def staged(judge: Judge, pair: Pair) -> Iterator[StageEvent | Judgment]:
    """Plan, execution and verdict in both orders as they come, then the judgment.

    Raises:
        EngineError: the engine cannot go on. Whether the pair fits the context is for the caller to ask first.
    """
    plans: dict[Order, Plan] = {}
    if isinstance(judge.style, EvalPlannerStyle) and judge.style.plans:
        asked = planning.judge_inputs(judge.style, [pair], (1, 1))
        for _, (plan,) in planning.write_plans(
            judge.engine, judge.style, asked, max_tokens=judge.max_tokens, sampling=judge.sampling
        ):
            if plan.text is None or plan.order is None:
                continue
            (going_on,) = continuation_inputs(judge.style, pair, plan.order, [plan])
            if judge.engine.fits(going_on.prompt.messages, going_on.prompt.prefill, judge.max_tokens):
                plans[plan.order] = plan
                yield StageEvent(stage="plan", order=plan.order, text=plan.text)
    inputs: list[ExecutionInput] = []
    for order in ORDERS:
        if isinstance(judge.style, EvalPlannerStyle) and order in plans:
            inputs += continuation_inputs(judge.style, pair, order, [plans[order]])
        else:
            inputs += judge_inputs(judge.style, [pair], [order])
    chains = judge.chains(inputs)
    judgment = merge([chains[pair.id, order] for order in ORDERS], judge.rule)
    for one in judgment.orders:
        if one.plan is not None and one.order not in plans:
            yield StageEvent(stage="plan", order=one.order, text=one.plan)
        yield StageEvent(stage="execution", order=one.order, text=one.execution)
        yield StageEvent(stage="verdict", order=one.order, verdict=one.verdict, p_a=one.p_a)
    yield judgment
