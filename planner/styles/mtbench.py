"""Judges that answer in free text whose last `[[…]]` is the verdict.

`MtBenchStyle` is the MT-Bench pairwise judge in the form in which RewardBench asks it (Zheng et al. 2023). Its prompt is word
for word the one that EvalPlanner trains on (`prompts/paper/judge.txt`), so any chat model can be asked as a baseline of a
trained judge. The released Self-Taught Evaluator is asked with it too. `SelfTaughtStyle` is the prompt that its training
judgments were sampled with (errors first, then criteria). `PlainStyle` asks for the verdict and nothing else.
"""

from __future__ import annotations

import re
from typing import Literal

from planner.records import FinishReason, Pair, Record, Verdict
from planner.styles.base import ChainParts, Prompt, asked, pair_fields
from planner.verdict import read_verdict

# The line that only names the verdict is no part of the reasoning; blanks before it are stripped, not matched, which takes long where a
# judge wrote nothing but line ends.
_CLOSING = re.compile(r"(?:final verdict:\s*)?\[\[[^\[\]\n]*\]\]\.?\s*\Z", re.IGNORECASE)


class TaggedStyle(Record):
    """What they share."""

    @property
    def plans(self) -> bool:
        return False

    def read_chain(self, text: str, finish_reason: FinishReason = "stop") -> ChainParts:
        verdict = read_verdict(text)
        return ChainParts(None, _CLOSING.sub("", text).strip(), verdict, closed=verdict != "none" or finish_reason == "stop")

    def write_chain(self, parts: ChainParts) -> str:
        if parts.verdict not in ("A", "B"):
            raise ValueError(f"this style says A or B, not {parts.verdict}")
        return f"{self.forcing_text(None, parts.execution)}{parts.verdict}]]"

    def forcing_text(self, plan: str | None, execution: str) -> str:
        return f"{execution}\n\nFinal verdict: [[".lstrip()

    def verdict_texts(self) -> tuple[str, dict[str, Verdict]]:
        return self.forcing_text(None, ""), {"A": "A", "B": "B"}


class MtBenchStyle(TaggedStyle):
    """Asks for a short explanation and a verdict tag."""

    family: Literal["mtbench"] = "mtbench"

    def judge_prompt(self, pair: Pair) -> Prompt:
        return asked("paper", "judge", pair_fields(pair))


class SelfTaughtStyle(TaggedStyle):
    """Asks for errors, criteria, and a verdict tag (Self-Taught Evaluators, arXiv 2408.02666)."""

    family: Literal["self-taught"] = "self-taught"

    def judge_prompt(self, pair: Pair) -> Prompt:
        return asked("self-taught", "judge", pair_fields(pair))


class PlainStyle(TaggedStyle):
    """Asks for a verdict tag alone."""

    family: Literal["plain"] = "plain"
    ties: bool = False
    """Whether the judge may call it a tie, `[[C]]`."""

    def judge_prompt(self, pair: Pair) -> Prompt:
        return asked("plain", "judge-tie" if self.ties else "judge", pair_fields(pair))

    def write_chain(self, parts: ChainParts) -> str:
        """The verdict; reasons are not asked for, so none are written."""
        if self.ties and parts.verdict == "tie":
            return "[[C]]"
        return super().write_chain(parts)

    def forcing_text(self, plan: str | None, execution: str) -> str:
        return "[["

    def verdict_texts(self) -> tuple[str, dict[str, Verdict]]:
        two: dict[str, Verdict] = {"A": "A", "B": "B"}
        return "[[", two | {"C": "tie"} if self.ties else two
