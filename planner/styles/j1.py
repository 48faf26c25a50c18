"""J1-type judges (arXiv 2505.10320): sections in tags, and the verdict or score in the last of them.

    <plan> … </plan> <execution> … </execution> <answer> [[A]] </answer>
    <think> … </think> <answer> [[A]] </answer>
    <think> … </think> <score> 7.5 </score>

Only the last `<answer>` (or `<score>`) counts, and it must be closed.
"""

from __future__ import annotations

import re
from typing import Literal

from planner.records import FinishReason, Pair, Record, Verdict
from planner.styles.base import ChainParts, Prompt, asked, pair_fields
from planner.verdict import read_verdict

_BARE: dict[str, Verdict] = {"A": "A", "B": "B"}
_OPENING = re.compile(r"<(?:plan|think|execution)>")


class J1Style(Record):
    """Compares two responses, with a plan and its execution, or with free thought."""

    family: Literal["j1"] = "j1"
    form: Literal["plan", "think"] = "think"

    @property
    def plans(self) -> bool:
        return self.form == "plan"

    def judge_prompt(self, pair: Pair) -> Prompt:
        return asked("j1", self.form, pair_fields(pair))

    def read_chain(self, text: str, finish_reason: FinishReason = "stop") -> ChainParts:
        answer = last_section(text, "answer")
        verdict: Verdict = "none"
        if answer is not None:
            verdict = read_verdict(answer) if "[[" in answer else _BARE.get(answer, "none")
        plan = last_section(text, "plan") if self.plans else None
        execution = last_section(text, "execution" if self.plans else "think")
        if execution is None:
            # Chat templates may open the section themselves, and so hide its tag.
            before = text.rpartition("<answer>")[0] or text
            execution = _OPENING.split(before)[-1].replace("</think>", "").strip()
        said = read_verdict(execution)
        disagrees = "none" not in (said, verdict) and said != verdict
        closed = verdict != "none" or finish_reason == "stop"
        return ChainParts(plan, execution, "none" if disagrees else verdict, closed, disagrees)

    def write_chain(self, parts: ChainParts) -> str:
        if parts.verdict not in ("A", "B"):
            raise ValueError(f"this style says A or B, not {parts.verdict}")
        return f"{self.forcing_text(parts.plan if self.plans else None, parts.execution)}{parts.verdict}]] </answer>"

    def forcing_text(self, plan: str | None, execution: str) -> str:
        section = "execution" if self.plans else "think"
        planned = f"<plan>\n{plan}\n</plan>\n" if plan is not None else ""
        return f"{planned}<{section}>\n{execution}\n</{section}>\n<answer> [["

    def verdict_texts(self) -> tuple[str, dict[str, Verdict]]:
        return "<answer> [[", {"A": "A", "B": "B"}


class J1ScoreStyle(Record):
    """Grades one response from 0 to 10."""

    family: Literal["j1-score"] = "j1-score"

    @property
    def bounds(self) -> tuple[float, float]:
        return (0.0, 10.0)

    def score_prompt(self, instruction: str, response: str, reference: str | None = None) -> Prompt:
        fields = {"instruction": instruction, "response": response}
        return asked("j1", "score", fields if reference is None else fields | {"reference": reference})

    def read_score(self, text: str, finish_reason: FinishReason = "stop") -> float | None:
        said = last_section(text, "score")
        found = re.fullmatch(r"(\d{1,2}(?:\.\d+)?)(?:\s*/\s*10)?", said or "")
        score = float(found[1]) if found else None
        return score if score is not None and score <= self.bounds[1] else None


def last_section(text: str, tag: str) -> str | None:
    """The content of the last `<tag>`, stripped; None where there is none or it is not closed."""
    _, opened, rest = text.rpartition(f"<{tag}>")
    inside, closed, _ = rest.partition(f"</{tag}>")
    return inside.strip() if opened and closed else None
