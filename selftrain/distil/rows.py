"""SFT rows from judgments: the student is asked in its style's words and answers in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from planner.records import Message, Pair, Record
from planner.styles.base import ChainParts, Style
from selftrain.distil import Opinion

Keep = Literal["all", "verdict_only", "no_reason", "no_reference"]
"""PandaLM's ablation: without reason and reference, its accuracy fell from 59 to 47 %."""


class ChatRow(Record):
    """TRL's conversational form."""

    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]


class TextRow(Record):
    """TRL's plain form, for styles whose prompt is no chat."""

    prompt: str
    completion: str


def rows(
    taught: Iterable[tuple[Pair, Opinion]], style: Style, *, keep: Keep = "all", counts: Counter[str]
) -> Iterator[ChatRow | TextRow]:
    """Rows in a style's words. What the style cannot say (a tie, scores that are not there) is left out and counted."""
    for pair, opinion in taught:
        parts = ChainParts(
            plan=None,
            execution="" if keep in ("verdict_only", "no_reason") else opinion.reason,
            verdict=opinion.verdict,
            closed=True,
            scores=opinion.scores,
            reference=None if keep in ("verdict_only", "no_reference") else opinion.reference,
        )
        try:
            answer = style.write_chain(parts)
        except ValueError:
            counts["not_in_this_style"] += 1
            continue
        prompt = style.judge_prompt(pair)
        answer = answer.removeprefix(prompt.prefill)
        counts["rows"] += 1
        if prompt.messages[0].role == "text":
            yield TextRow(prompt=prompt.messages[0].content + prompt.prefill, completion=answer)
        else:
            yield ChatRow(prompt=prompt.messages, completion=(Message(role="assistant", content=prompt.prefill + answer),))
