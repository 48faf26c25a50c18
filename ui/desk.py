"""The judge's desk behind the page: opens judges by name, judges a pair part by part, ranks more, and keeps votes.

Knows nothing of the page. Whoever calls it lets one caller in at a time, since an engine is not shared between threads.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from planner.engines.base import EngineError
from planner.errors import UserError
from planner.execute import ask_forced, continuation_inputs, execute, forced_chain, judge_inputs, needs_forcing
from planner.judge import Judge, merge
from planner.plan import judge_inputs as plan_inputs
from planner.plan import write_plans
from planner.records import ORDERS, Chain, Completion, Judgment, Order, Pair, Plan
from planner.store import append_text
from planner.styles import named
from planner.styles.evalplanner import EvalPlannerStyle
from rewards.contest import GroupScore
from rewards.group import GroupScorer

OWN = "its own"
"""The style that a judge's card names."""
MOST = 10
"""Responses that one instruction may have."""

Opener = Callable[[str, str | None], Judge]
"""(model, style or None for its own) -> a judge with an engine of its own."""


class Seen(NamedTuple):
    """What is known of a comparison so far."""

    plans: dict[Order, str]
    chains: dict[Order, Chain]
    judgment: Judgment | None
    """None until both orders are in."""
    tokens: int
    seconds: float


class Desk:
    """Holds one open judge.

    Args:
        judges: the models that may be asked for; nothing else is opened.
        votes: JSONL file that votes go to.
    """

    def __init__(self, judges: Sequence[str], votes: Path, opener: Opener) -> None:
        self.judges, self.votes = tuple(judges), votes
        self._opener = opener
        self._open: tuple[str, str, Judge] | None = None
        """The model, the style that it was opened with, and the judge."""

    def judge(self, model: str, style: str = OWN, *, max_tokens: int | None = None, force: bool = False) -> Judge:
        """The judge of that name, opened now unless it is already.

        Raises:
            UserError: it is not among those that the page was started with.
            ModelError, EngineError: it cannot be opened, or does not say how it is asked.
        """
        if model not in self.judges:
            raise UserError(f"{model!r} is not among the judges that this page was started with")
        # Opened under another style, it does not know its own: that, and its length, are on its card.
        if self._open is None or self._open[0] != model or (style == OWN and self._open[1] != OWN):
            self.close()
            self._open = (model, style, self._opener(model, None if style == OWN else style))
        opened = self._open[2]
        asked = opened.style if style == OWN else named(style)
        return Judge(opened.engine, asked, max_tokens=max_tokens or opened.max_tokens, force=force)

    def close(self) -> None:
        if self._open is not None:
            self._open[2].engine.close()
            self._open = None

    def vote(self, pair: Pair, judgment: Judgment, *, right: bool) -> str:
        """Append a labelled pair, in the form that `pairs.source = "jsonl"` reads; returns the name of the better response.

        Raises:
            UserError: the judge named neither response, so that no label follows from the vote, or the file cannot be written.
        """
        if judgment.verdict not in ("A", "B"):
            raise UserError("the judge named neither response, so nothing follows from a vote; no pair was kept")
        better = judgment.verdict if right else {"A": "B", "B": "A"}[judgment.verdict]
        chosen, rejected = (pair.response_a, pair.response_b)[:: 1 if better == "A" else -1]
        if chosen == rejected or not all(text.strip() for text in (pair.question, chosen, rejected)):
            raise UserError("a pair to learn from has an instruction and two different responses; no pair was kept")
        row = {"instruction": pair.question, "chosen": chosen, "rejected": rejected, "kind": "vote", "said": judgment.verdict}
        if pair.reference:  # what the judge was shown, it is trained to be shown
            row["reference"] = pair.reference
        append_text(self.votes, json.dumps(row))
        return better


def entrants(instruction: str, responses: Sequence[str], plan: str | None = None) -> dict[str, str]:
    """The responses by their letters, without the boxes left empty.

    Raises:
        UserError: not what a judgment needs; of a plan to execute, not what that needs.
    """
    given = {chr(ord("A") + i): text for i, text in enumerate(responses) if text.strip()}
    if plan is not None and not plan.strip():
        raise UserError("the plan is empty")
    if not instruction.strip():
        raise UserError("write an instruction, and two responses to it")
    if len(given) < 2 or (len(given) == 2 and set(given) != {"A", "B"}):
        raise UserError("two responses are judged: write them as response A and response B")
    if plan is not None and len(given) > 2:
        raise UserError("a plan is executed on two responses: empty the others")
    return given


def judge_in_parts(judge: Judge, pair: Pair, plan: str | None = None) -> Iterator[Seen]:
    """Judge a pair in both orders, and say after each part what is known: plans first, then executions and verdicts.

    Args:
        plan: executed in both orders instead of plans of the judge's own.

    Raises:
        UserError: a plan for a style that has none, or texts that do not fit the model's context.
    """
    started, spent = time.monotonic(), 0
    plans: dict[Order, Plan] = {}
    chains: dict[Order, Chain] = {}

    def seen(judgment: Judgment | None = None) -> Seen:
        shown = {order: one.text for order, one in plans.items() if one.text is not None}
        shown |= {order: one.plan for order, one in chains.items() if one.plan is not None}
        return Seen(shown, dict(chains), judgment, spent, time.monotonic() - started)

    if not judge.fits(pair):
        raise UserError(f"the texts and {judge.max_tokens} tokens of answer do not fit the judge's context: shorten them")
    style = judge.style
    if plan is not None:
        if not isinstance(style, EvalPlannerStyle) or not style.plans:
            raise UserError("a judge of this style does not plan, so it cannot be given a plan")
        if not plan.strip():
            raise UserError("the plan is empty")
        plans = {order: _given(pair, order, plan.strip()) for order in ORDERS}
    elif isinstance(style, EvalPlannerStyle) and style.plans:
        asked = plan_inputs(style, [pair], (1, 1))
        for _, (made,) in write_plans(judge.engine, style, asked, max_tokens=judge.max_tokens, sampling=judge.sampling):
            spent += made.completion.tokens
            if made.order is not None and made.text is not None:
                plans[made.order] = made
            yield seen()
    items = []
    for item in judge_inputs(style, [pair]):
        planned = plans.get(item.order)
        if planned is not None and isinstance(style, EvalPlannerStyle):
            (item,) = continuation_inputs(style, pair, item.order, [planned])
        items.append(item)
    # A plan that is written already has used its part of the answer.
    left = max(1, judge.max_tokens - max((one.completion.tokens for one in plans.values()), default=0))
    if not all(judge.engine.fits(item.prompt.messages, item.prompt.prefill, left) for item in items):
        raise UserError(f"the plan, the texts and {left} tokens of answer do not fit the judge's context: shorten them")
    by_key = {item.key: item for item in items}
    for key, (chain,) in execute(judge.engine, style, items, n=1, max_tokens=left, sampling=judge.sampling):
        spent += chain.completion.tokens
        if judge.force and needs_forcing(chain):
            for forced in ask_forced(judge.engine, style, [(by_key[key], chain)]):
                chain = forced_chain(chain, forced)
        chains[chain.order] = chain
        if len(chains) < len(items):
            yield seen()
    yield seen(merge([chains[order] for order in ORDERS], judge.rule))


def rank(judge: Judge, instruction: str, responses: Sequence[str], reference: str | None) -> GroupScore:
    """Rewards of three to ten responses, each two judged in both orders.

    Raises:
        EngineError: the judge's engine failed.
    """
    return GroupScorer(judge).score_group(instruction, responses, reference, strategy="all_pairs")


def open_vllm(model: str, style: str | None) -> Judge:
    """The judge of that name on a vLLM engine in this process."""
    from planner.engines.vllm import VllmEngine
    from planner.judge import CARD, read_card
    from planner.models import resolve_model

    path = resolve_model(model)
    if style is None and not (Path(path) / CARD).is_file():
        raise EngineError(f"{model} does not say how it is asked: choose a style")
    card = read_card(path) if style is None else None
    engine = VllmEngine(path, enforce_eager=True)
    return Judge(engine, card.style, max_tokens=card.max_tokens) if card else Judge(engine, named(style or ""))


def _given(pair: Pair, order: Order, text: str) -> Plan:
    """A plan that a person wrote, as if the judge had."""
    completion = Completion(text=text, finish_reason="stop", tokens=0)
    return Plan(instruction_id=pair.instruction_id, pair_id=pair.id, order=order, sample=0, completion=completion, text=text)
