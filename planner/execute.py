"""From a plan and a pair to chains: executions in one order, whole chains at test time, and forced verdicts.

A forced verdict (blueprint rule 2) is read where a chain ended or ran out without naming one: its text is trimmed to whole
sentences, the closing tags are appended, and P(A) is read against P(B), and against P(tie) where the style knows ties, at the
letter of the verdict. `ask_forced` only
reads; whether the verdict is drawn (training) or taken at its maximum (test), and whether the position's bias is subtracted
first, is decided by `forced_chain` and `position_bias`, which need no engine and give the same answer on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Annotated, NamedTuple

from pydantic import Field

from planner.engines.base import Alternatives, Choice, Engine, EngineError, Request, Sampling
from planner.records import LETTERS, ORDERS, Chain, Completion, Order, Pair, Plan, Record, digest
from planner.styles.base import ChainParts, Prompt, Style, make_chain
from planner.styles.evalplanner import EvalPlannerStyle
from planner.verdict import decided, names_something, p_a_from_logps, trim_to_sentence
from prompts import CHAIN_TAGS


class ExecutionInput(NamedTuple):
    """One prompt to draw chains from."""

    key: str
    prompt: Prompt
    pair: Pair
    """As it stands; `prompt` shows it in `order`."""
    order: Order
    plan: Plan | None
    by_judge: bool
    """True under the judge prompt, whose answer is a whole chain; False under the execution prompt."""


class ForcedVerdict(Record):
    """What was read at the verdict of a chain that named none. Natural logs."""

    chain_id: str
    execution: str
    """The trimmed text that the verdict was read after."""
    logp_a: Annotated[float, Field(le=0)]
    logp_b: Annotated[float, Field(le=0)]
    logp_tie: Annotated[float, Field(le=0)] | None = Field(default=None, exclude_if=lambda logp: logp is None)
    """None where the style knows no ties."""

    @property
    def p_tie(self) -> float | None:
        """P(tie) against the two others together; None where a tie was not possible."""
        if self.logp_tie is None:
            return None
        logps = (self.logp_a, self.logp_b, self.logp_tie)
        top = max(logps)
        if top == -math.inf:  # nothing is possible, so nothing is preferred
            return 1 / 3
        weights = [math.exp(logp - top) for logp in logps]
        return weights[2] / math.fsum(weights)

    @property
    def log_odds(self) -> float:
        """log P(A) - log P(B), held within ±20: a letter that an engine calls impossible must not decide a batch's mean."""
        if self.logp_a == self.logp_b:
            return 0.0
        return max(-20.0, min(20.0, self.logp_a - self.logp_b))


def execution_inputs(style: EvalPlannerStyle, pair: Pair, order: Order, plans: Iterable[Plan | None]) -> Iterator[ExecutionInput]:
    """First-iteration inputs of one pair in one order: its execution prompt with each plan."""
    for plan in plans:
        prompt = style.execution_prompt(pair.shown(order), plan.text if plan else None)
        yield ExecutionInput(input_key(pair, order, plan), prompt, pair, order, plan, by_judge=False)


def continuation_inputs(
    style: EvalPlannerStyle, pair: Pair, order: Order, plans: Iterable[Plan | None]
) -> Iterator[ExecutionInput]:
    """Later inputs: the judge goes on from its own plan under its own prompt, so what is sampled is exactly on-policy."""
    for plan in plans:
        prompt = style.judge_execution_prompt(pair.shown(order), plan.text if plan else None)
        yield ExecutionInput(input_key(pair, order, plan), prompt, pair, order, plan, by_judge=True)


def judge_inputs(style: Style, pairs: Iterable[Pair], orders: Iterable[Order] = ORDERS) -> Iterator[ExecutionInput]:
    """Test-time inputs: the whole chain in one generation (paper, section 2.4)."""
    orders = tuple(orders)
    for pair in pairs:
        for order in orders:
            yield ExecutionInput(
                input_key(pair, order, None), style.judge_prompt(pair.shown(order)), pair, order, None, by_judge=True
            )


def request(item: ExecutionInput, *, n: int, max_tokens: int, sampling: Sampling, letters: bool = True) -> Request:
    """What an engine is asked for an input. `letters`: also P(A) of each verdict, which takes an engine some of its speed."""
    prompt = item.prompt
    return Request(item.key, prompt.messages, prompt.prefill, n, max_tokens, prompt.stop, sampling, letters, prompt.ends)


def read(style: Style, item: ExecutionInput, completions: Sequence[Completion]) -> list[Chain]:
    """The chains in an answer."""
    chains = []
    for sample, completion in enumerate(completions):
        text = item.prompt.prefill + completion.text
        if item.by_judge:
            parts = style.read_chain(text, completion.finish_reason)
        else:
            assert isinstance(style, EvalPlannerStyle), "only its seed is asked with the execution prompt"
            parts = style.read_execution(item.prompt.prefill, completion)
        chains.append(make_chain(parts, pair=item.pair, order=item.order, plan=item.plan, sample=sample, completion=completion))
    return chains


def execute(
    engine: Engine,
    style: Style,
    inputs: Iterable[ExecutionInput],
    *,
    n: int,
    max_tokens: int,
    sampling: Sampling,
    letters: bool = True,
) -> Iterator[tuple[str, list[Chain]]]:
    """Draw `n` chains for each input; yields (input key, chains) as they finish. Nothing is forced here."""
    held: dict[str, ExecutionInput] = {}

    def requests() -> Iterator[Request]:
        for item in inputs:
            held[item.key] = item
            yield request(item, n=n, max_tokens=max_tokens, sampling=sampling, letters=letters)

    for key, completions in engine.sample(requests()):
        yield key, read(style, held.pop(key), completions)


def unwritten(inputs: Iterable[ExecutionInput], n: int) -> Iterator[tuple[str, list[Chain]]]:
    """`n` chains for each input without a word of execution, for a seed of which only verdicts are drawn."""
    silent = ChainParts(plan=None, execution="", verdict="none", closed=True)
    nothing = Completion(text="", finish_reason="stop", tokens=0)
    for item in inputs:
        chains = [
            make_chain(silent, pair=item.pair, order=item.order, plan=item.plan, sample=sample, completion=nothing)
            for sample in range(n)
        ]
        yield item.key, chains


def needs_forcing(chain: Chain) -> bool:
    """Whether a chain named no verdict. One that named something unreadable or contradicts itself is left as it is."""
    return chain.verdict == "none" and not names_something(chain.completion.text)


def ask_forced(engine: Engine, style: Style, inputs: Iterable[tuple[ExecutionInput, Chain]]) -> Iterator[ForcedVerdict]:
    """Read P(A), P(B) and, in a style with ties, P(tie) at the verdict of each chain; yields as they finish. Chains whose text no
    longer fits are left out.

    Raises:
        EngineError: a family whose verdict is no letter; ties asked of a server, which tells of A and B alone.
    """
    held: dict[str, tuple[list[str], str]] = {}

    def requests() -> Iterator[Choice]:
        for _, group in groupby(inputs, key=lambda one: one[0].key):
            alike: dict[tuple[str | None, str], list[Chain]] = {}  # chains of one input with one text are asked about once
            together = list(group)
            item = together[0][0]
            for _, chain in together:
                alike.setdefault((chain.plan, _execution_to_force(chain)), []).append(chain)
            for (plan, execution), chains in alike.items():
                prefill = style.forcing_text(plan if item.by_judge else None, execution)
                if prefill is None:
                    raise EngineError("this style's verdict is no letter A or B, so none can be forced: leave force off")
                key = chains[0].id
                held[key] = ([chain.id for chain in chains], execution)
                if engine.fits(item.prompt.messages, prefill, 1):
                    yield Choice(key, item.prompt.messages, prefill)

    answers: Iterator[tuple[str, tuple[float, ...]]]
    if "tie" in style.verdict_texts()[1].values():
        answers = engine.likelihood(Alternatives(*asked, tuple(LETTERS.values())) for asked in requests())
    else:
        answers = ((key, (logp_a, logp_b)) for key, logp_a, logp_b in engine.choose(requests()))
    for key, logps in answers:
        chain_ids, execution = held.pop(key)
        read = dict(zip(("logp_a", "logp_b", "logp_tie"), (min(logp, 0.0) for logp in logps), strict=False))
        for chain_id in chain_ids:
            yield ForcedVerdict(chain_id=chain_id, execution=execution, **read)


def _execution_to_force(chain: Chain) -> str:
    """A chain's execution without tags, and without its torn tail where it ran out."""
    execution = chain.execution
    for tag in CHAIN_TAGS:
        execution = execution.replace(tag, "")
    return trim_to_sentence(execution) if chain.cut_off else execution.strip()


def was_forced(chain: Chain, forced: ForcedVerdict) -> bool:
    """Whether a forced verdict was read of this very text, and not of another under the same name."""
    return needs_forcing(chain) and forced.execution == _execution_to_force(chain)


def position_bias(forced: Iterable[ForcedVerdict]) -> float:
    """Mean log-odds of A over a balanced batch: how far a judge leans to a position whatever it reads (contextual calibration)."""
    odds = [one.log_odds for one in forced]
    return math.fsum(odds) / len(odds) if odds else 0.0


def forced_chain(chain: Chain, forced: ForcedVerdict, *, bias: float = 0.0, draw: float | None = None) -> Chain:
    """The chain with its verdict filled in and marked.

    Args:
        bias: log-odds to subtract, from `position_bias`.
        draw: a uniform number in [0, 1): the verdict is drawn by its probability. None: the likeliest.
    """
    p_a = p_a_from_logps(forced.log_odds - bias, 0.0)
    return chain.model_copy(
        update={
            "execution": forced.execution,
            "verdict": decided(p_a, forced.p_tie, draw),
            "p_a": p_a,
            "p_tie": forced.p_tie,
            "forced": True,
        }
    )


def input_key(pair: Pair, order: Order, plan: Plan | None = None) -> str:
    """The name of an input, and of what was made of it on disk."""
    return digest(pair.id, order, plan.id if plan else "")
