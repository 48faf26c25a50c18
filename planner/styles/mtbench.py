"""The MT-Bench pairwise judge, in the form in which RewardBench asks it (Zheng et al. 2023): reasons, then `[[A]]` or `[[B]]`.

The prompt is word for word the one that EvalPlanner trains on (`prompts/paper/judge.txt`), so any chat model can be asked as a
baseline of a trained judge; only the reading differs. No plan is expected, and the last tag of the answer is its verdict.
"""

from __future__ import annotations

from typing import Literal

from planner.records import FinishReason, Pair, Record
from planner.styles.base import ChainParts, Prompt, asked, pair_fields
from planner.verdict import read_verdict


class MtBenchStyle(Record):
    """Asks for a short explanation and a verdict tag."""

    family: Literal["mtbench"] = "mtbench"

    @property
    def plans(self) -> bool:
        return False

    def judge_prompt(self, pair: Pair) -> Prompt:
        return asked("paper", "judge", pair_fields(pair))

    def read_chain(self, text: str, finish_reason: FinishReason = "stop") -> ChainParts:
        return read_tagged(text, finish_reason)

    def forcing_text(self, plan: str | None, execution: str) -> str:
        return force_tag(execution)


def read_tagged(text: str, finish_reason: FinishReason) -> ChainParts:
    """Read free text whose last `[[…]]` is the verdict."""
    verdict = read_verdict(text)
    return ChainParts(None, text.strip(), verdict, closed=verdict != "none" or finish_reason == "stop")


def force_tag(execution: str) -> str:
    """Free text up to the letter of its verdict."""
    return f"{execution}\n\nFinal verdict: [[".lstrip()
