"""Deciding without text: how likely is each way to write a verdict, right where it stands (PandaLM, appendix G).

Any style can be judged so, in one forward pass or a few for a pair and order instead of a written chain. What such a judge has
not written it has not thought: a judge that plans is asked here for its verdict without its plan.

The probabilities are those of the verdicts against each other. They are sharp or flat as the model is; a `Calibration`, fitted on
labelled pairs by `rewards.calibrate.fit`, makes them mean what they say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field

from planner.engines.base import Alternatives, Engine
from planner.execute import ExecutionInput
from planner.records import Chain, Completion, Record, Verdict
from planner.styles.base import Style
from planner.verdict import decided

_UNWRITTEN = Completion(text="", finish_reason="stop", tokens=0)


class Calibration(Record):
    """How to read log-odds of A over B: subtract the position's bias, divide by the temperature."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    bias: float = 0.0
    """Log-odds by which the response shown first is preferred whatever it says."""

    def p_a(self, p_a: float) -> float:
        """A probability of A, calibrated."""
        odds = max(-700.0, min(700.0, (log_odds(p_a) - self.bias) / self.temperature))
        return 1 / (1 + math.exp(-odds))


def log_odds(p_a: float) -> float:
    """log P(A) - log P(B), held within ±20."""
    p_a = min(max(p_a, 1e-12), 1 - 1e-12)
    return max(-20.0, min(20.0, math.log(p_a) - math.log1p(-p_a)))


def judge_by_likelihood(
    engine: Engine, style: Style, inputs: Iterable[ExecutionInput], calibration: Calibration
) -> Iterator[tuple[str, list[Chain]]]:
    """One chain without text for each input; yields (input key, [chain]) as they finish, as `execute` does."""
    before, ways = style.verdict_texts()
    held: dict[str, ExecutionInput] = {}

    def requests() -> Iterator[Alternatives]:
        for item in inputs:
            held[item.key] = item
            yield Alternatives(item.key, item.prompt.messages, item.prompt.prefill + before, tuple(ways))

    for key, logps in engine.likelihood(requests()):
        item = held.pop(key)
        p = verdict_probabilities(list(ways.values()), logps)
        p_a = calibration.p_a(p["A"] / (p["A"] + p["B"]) if p["A"] + p["B"] else 0.5)
        chain = Chain(
            pair_id=item.pair.id, order=item.order, plan_id="", plan=None, sample=0, completion=_UNWRITTEN, execution="",
            verdict=decided(p_a, p.get("tie")), p_a=p_a, p_tie=p.get("tie"),
        )  # fmt: skip
        yield key, [chain]


def verdict_probabilities(verdicts: list[Verdict], logps: tuple[float, ...]) -> dict[Verdict, float]:
    """Probabilities of the verdicts against each other, from the log-probability of each way to write one."""
    top = max(logps)
    if top == -math.inf:  # nothing is possible, so nothing is preferred
        logps, top = (0.0,) * len(logps), 0.0
    weights = [math.exp(logp - top) for logp in logps]
    summed: dict[Verdict, float] = dict.fromkeys(verdicts, 0.0)
    for verdict, weight in zip(verdicts, weights, strict=True):
        summed[verdict] += weight
    total = math.fsum(weights)
    return {verdict: weight / total for verdict, weight in summed.items()}
