"""What a style is: how one family of judges is asked, and how its answer is read. Nothing else in the house knows the family.

A style is a small frozen record. It renders a `Pair` into a `Prompt` and reads a judge's text into `ChainParts`. Readers are
permissive about form (blanks, commas, case) and strict about meaning: what cannot be read is `none`, never a tie, never a
score (blueprint rule 1).

A new style is a class with these members in a file of its own, and a line or two in `planner/styles/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from planner.records import Chain, Completion, FinishReason, Message, Order, Pair, Plan, Verdict
from planner.verdict import p_a_first_named
from prompts import PromptFolder, render


class Prompt(NamedTuple):
    """A rendered prompt and where its answer stops."""

    messages: tuple[Message, ...]
    prefill: str
    stop: tuple[str, ...]
    ends: tuple[str, ...] = ()
    """Where it stops too, with the string kept: a verdict after which nothing counts."""


class ChainParts(NamedTuple):
    """What a judge's text says, in the naming of the prompt."""

    plan: str | None
    execution: str
    """The reasoning: no tags, no final verdict."""
    verdict: Verdict
    closed: bool
    """Whether the verdict was reached, or the judge ended its turn itself."""
    disagrees: bool = False
    """Whether the text names one verdict on its way and another at its end."""
    scores: tuple[float, ...] | None = None
    """Of the responses as shown, where the family grades them."""
    reference: str | None = None
    """An answer of its own that the judge wrote beside its reasons, where the family does."""


class Style(Protocol):
    """Compares two responses."""

    @property
    def plans(self) -> bool:
        """Whether its answers hold a plan."""
        ...

    def judge_prompt(self, pair: Pair) -> Prompt:
        """Ask about a pair, with its reference answer where it has one."""
        ...

    def read_chain(self, text: str, finish_reason: FinishReason = "stop") -> ChainParts:
        """Read an answer, prefill and completion joined."""
        ...

    def write_chain(self, parts: ChainParts) -> str:
        """An answer in the family's form, such as a judge of it is trained to write: `read_chain` reads back the same parts.

        Raises:
            ValueError: the family cannot say it: no verdict, a tie where there are none, scores that are missing.
        """
        ...

    def forcing_text(self, plan: str | None, execution: str) -> str | None:
        """An answer up to the letter A or B of its verdict: what a forced verdict is read after.

        None where the family's verdict is no such letter, so that none can be forced.
        """
        ...

    def verdict_texts(self) -> tuple[str, Mapping[str, Verdict]]:
        """For judging by likelihood, without text: what a bare verdict stands after, and every way to write one.

        Several ways may mean the same, such as all pairs of scores whose first is the higher.
        """
        ...


class ScoringStyle(Protocol):
    """Grades one response by itself."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest score. One outside of them is none."""
        ...

    def score_prompt(self, instruction: str, response: str, reference: str | None = None) -> Prompt: ...

    def read_score(self, text: str, finish_reason: FinishReason = "stop") -> float | None:
        """The score in an answer, prefill and completion joined; None where there is none to read."""
        ...


def asked(
    folder: PromptFolder, name: str, fields: dict[str, str], stop: tuple[str, ...] = (), parts: dict[str, str] | None = None
) -> Prompt:
    """A prompt file, filled, as a `Prompt`."""
    messages, prefill = render(folder, name, parts or {}, **fields)
    return Prompt(tuple(Message(role=role, content=text) for role, text in messages), prefill, stop)


def pair_fields(pair: Pair) -> dict[str, str]:
    """A pair as the fields of a prompt file; `reference` only where the pair has one."""
    fields = {"instruction": pair.question, "response_a": pair.response_a, "response_b": pair.response_b}
    return fields if pair.reference is None else fields | {"reference": pair.reference}


def make_chain(
    parts: ChainParts, *, pair: Pair, order: Order, plan: Plan | None, sample: int, completion: Completion
) -> Chain:  # fmt: skip
    """A `Chain` from what was read of a completion."""
    return Chain(
        pair_id=pair.id, order=order, plan_id=plan.id if plan else "", plan=plan.text if plan else parts.plan, sample=sample,
        completion=completion, execution=parts.execution, verdict=parts.verdict,
        # A prefill is ours and holds no verdict, so the first one named stands in the completion.
        p_a=p_a_first_named(completion.text, completion.letters) if parts.verdict != "none" else None,
        cut_off=not parts.closed, disagrees=parts.disagrees, scores=parts.scores, reference=parts.reference,
    )  # fmt: skip
