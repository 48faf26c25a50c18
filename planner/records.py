"""What travels through the house: frozen, typed records, on disk as they are in memory.

A type says what may be seen. `Pair` has no label, and every function of `planner` takes a `Pair`, so no prompt can leak
one. The label lives in `LabeledPair` and meets a chain once, in `rewards/outcome.py`.

Imports neither torch nor vLLM, so that a laptop can read any run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Label = Literal["A", "B", "tie"]
Verdict = Literal["A", "B", "tie", "none"]
"""What a judge said, in the naming of the prompt it read. `none`: nothing that can be read as a verdict."""
Order = Literal["ab", "ba"]
"""`ab`: the pair as it stands. `ba`: `response_b` was shown as Assistant A's answer."""
Outcome = Literal["right", "wrong", "no_verdict", "cut_off"]
FinishReason = Literal["stop", "length"]

ORDERS: tuple[Order, Order] = ("ab", "ba")
LETTERS: dict[Label, str] = {"A": "A", "B": "B", "tie": "C"}
"""How a verdict is written in its tag: `[[C]]` is the tie of the MT-Bench prompts."""
_FLIP: dict[Verdict, Verdict] = {"A": "B", "B": "A", "tie": "tie", "none": "none"}


class Record(BaseModel):
    """Base of all records and configs: immutable, and a field nobody knows is an error."""

    # JSON has no infinity; as null, a log-probability of -inf could not be read back.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Message(Record):
    """One chat message."""

    role: Literal["system", "user", "assistant", "text"]
    """`text` stands alone: it is no chat, and reaches the model as it is, without a chat template."""
    content: str


def transcript(turns: Sequence[Message]) -> str:
    """A conversation as one text, in a form of ours: JudgeLM speaks of several turns but gives no form. One turn is its content."""
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in turns)


def digest(*parts: str) -> str:
    """A 16-hex-digit name for content; the same on every machine, unlike `hash()`."""
    # Lengths are hashed as well, so that ("ab", "c") and ("a", "bc") differ.
    framed = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(framed.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def uniform(*parts: str) -> float:
    """A number in [0, 1) that is a function of its arguments: a draw that any machine repeats."""
    return int(digest(*parts), 16) / 2**64


def flip(verdict: Verdict) -> Verdict:
    """The same opinion, said of the swapped pair. Its own inverse."""
    return _FLIP[verdict]


class Pair(Record):
    """All that a judge may see: one instruction and two responses.

    An instruction given as a list of messages, such as the turns of a conversation before the response, becomes its transcript.
    """

    instruction: str
    response_a: str
    response_b: str
    input: str | None = None
    """What the instruction is to be carried out on, where a data set keeps it apart (Alpaca, PandaLM)."""
    reference: str | None = None
    """A reference answer, shown to the judge beside the responses."""

    @field_validator("instruction", mode="before")
    @classmethod
    def _transcribed(cls, given: Any) -> Any:
        return transcript([Message.model_validate(turn) for turn in given]) if isinstance(given, list | tuple) else given

    @cached_property
    def id(self) -> str:
        """Content hash of the pair; a pair and its swap have different ids."""
        reference = () if self.reference is None else (self.reference,)
        return digest(*self._asked, self.response_a, self.response_b, *reference)

    @cached_property
    def instruction_id(self) -> str:
        """Content hash of the instruction alone: what plans that saw no response belong to."""
        return digest(*self._asked)

    @property
    def question(self) -> str:
        """Instruction and input as one text, for prompts that have one place for both."""
        return self.instruction if self.input is None else f"{self.instruction}\n\n{self.input}"

    @property
    def _asked(self) -> tuple[str, ...]:
        # A mark that keeps (instruction, input, a, b) apart from (instruction, a, b, reference).
        return (self.instruction,) if self.input is None else ("input", self.instruction, self.input)

    def swapped(self) -> Pair:
        """The pair with its responses exchanged. Swapping twice is a no-op."""
        # Not `model_copy`, which would carry the cached ids along.
        return Pair(
            instruction=self.instruction, response_a=self.response_b, response_b=self.response_a, input=self.input,
            reference=self.reference,
        )  # fmt: skip

    def shown(self, order: Order) -> Pair:
        """The pair as a prompt in `order` shows it."""
        return self if order == "ab" else self.swapped()


class LabeledPair(Record):
    """A pair and the answer. Only `selftrain/pairs`, `rewards` and `eval` ever hold one."""

    pair: Pair
    better: Label
    source: str
    """Where it came from: `builtin`, `jsonl`, a benchmark's name."""
    kind: str
    """Category for break-downs, e.g. `keyword` or `gsm8k`."""
    group: str = ""
    """Pairs that share a prompt or base text share a group; intervals are clustered by it. Empty: the pair itself."""
    notes: dict[str, str] = Field(default_factory=dict)

    @property
    def cluster(self) -> str:
        return self.group or self.pair.id

    def gold(self, order: Order) -> Label:
        """The right verdict for a prompt that shows the pair in `order`."""
        gold: Any = self.better if order == "ab" else flip(self.better)
        return gold  # type: ignore[no-any-return]


class Letter(Record):
    """A place in a completion where the model wrote the bare token `A` or `B`."""

    offset: int
    """Character offset of the letter in `Completion.text`."""
    logp_a: float
    logp_b: float
    """Natural-log probabilities of the tokens `A` and `B` at that place, under the unmasked, temperature-1 distribution."""


class Completion(Record):
    """One sampled continuation, without the prefix it continued."""

    text: str
    finish_reason: FinishReason
    stop: str | None = None
    """The stop string that ended it; None where the model ended its turn itself, ran out, or the engine does not tell."""
    tokens: Annotated[int, Field(ge=0)]
    letters: tuple[Letter, ...] = ()
    """Filled only where the request asked for them (`Request.letters`)."""


class Plan(Record):
    """An evaluation plan.

    Plans of the first iteration saw the instruction alone: `pair_id` and `order` are None. A trained judge's plans were
    written with the pair in view and know which, and in which order.
    """

    instruction_id: str
    pair_id: str | None
    order: Order | None
    sample: Annotated[int, Field(ge=0)]
    """Index of the draw; part of the identity, or equal draws would collapse."""
    completion: Completion
    text: str | None
    """The plan itself, tags removed; None where the completion was cut off before its end tag."""

    @cached_property
    def id(self) -> str:
        return digest(self.instruction_id, self.pair_id or "", self.order or "", str(self.sample), self.completion.text)


class Chain(Record):
    """One plan executed once: the whole thought of a judge on a pair in one order."""

    pair_id: str
    order: Order
    plan_id: str
    plan: str | None
    """Text of the plan followed; None in a plan-less arm."""
    sample: Annotated[int, Field(ge=0)]
    completion: Completion
    execution: str
    """Execution text: tags and final verdict removed."""
    verdict: Verdict
    """In the naming of the prompt, that is of `pair.shown(order)`."""
    p_a: Annotated[float, Field(ge=0, le=1)] | None
    """P(A) / (P(A) + P(B)) where the verdict was first named; None where the engine gave no probabilities."""
    forced: bool = False
    """True where the verdict was read from the probabilities after closing tags that we appended."""
    cut_off: bool = False
    """True where the text ran out of tokens before its closing verdict."""
    disagrees: bool = False
    """True where the execution named one verdict and `[Final Verdict]` another; such a chain
    has `verdict = "none"` and never trains."""
    scores: tuple[float, ...] | None = None
    """Of the responses in the order shown, where the judge's family grades them."""
    reference: str | None = None
    """An answer of its own that the judge wrote beside its reasons, where its family does."""
    p_tie: float | None = None
    """P(tie), where the verdict was decided by likelihood or forced, and a tie was possible."""

    @property
    def id(self) -> str:
        return digest(self.pair_id, self.order, self.plan_id, str(self.sample))


class JudgedChain(Record):
    """A chain and what it is worth: the one place where a label meets a judge's text."""

    chain: Chain
    outcome: Outcome
    gold: Label


class OrderJudgment(Record):
    """What the judge said of a pair in one order; `verdict`, `p_a` and `scores` are in the naming of the *unswapped* pair."""

    order: Order
    verdict: Verdict
    p_a: float | None
    plan: str | None
    execution: str
    forced: bool
    cut_off: bool
    tokens: int
    scores: tuple[float, ...] | None = None
    """Of `response_a` and `response_b`, where the judge's family grades them."""
    reference: str | None = None
    """The answer of its own that the judge wrote, where its family does."""
    p_tie: float | None = None
    """P(tie), where the verdict was decided by likelihood or forced, and a tie was possible."""


class Judgment(Record):
    """A judge's answer on a pair, both orders merged by the judge's rule."""

    verdict: Verdict
    p_a: float | None
    """Mean over the orders of P(`response_a` is better)."""
    plan: str | None
    """Plan and execution of the first order; those of every order are in `orders`."""
    execution: str
    consistent: bool
    """True where both orders were asked and named the same response."""
    orders: tuple[OrderJudgment, ...]
