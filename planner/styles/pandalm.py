"""PandaLM (arXiv 2306.05087): a verdict, a reason and a reference answer, from a model that knows no chat template.

    2

    ### Reason: …

    ### Reference: …

The verdict is the first line: `1`, `2` or `Tie`. PandaLM's own reader calls everything else a tie; here it is none. PandaLM
strips special tokens from the responses; here `prompts.defuse` makes them inert, and its headings too.
"""

from __future__ import annotations

import re
from typing import Literal

from planner.records import FinishReason, Pair, Record, Verdict
from planner.styles.base import ChainParts, Prompt, asked, pair_fields

_VERDICT: dict[str, Verdict] = {"1": "A", "2": "B", "tie": "tie"}
_WRITTEN: dict[Verdict, str] = {"A": "1", "B": "2", "tie": "Tie"}
_SECTION = re.compile(r"^[ \t]*###[ \t]*(Reason|Reference)[ \t]*:[ \t]*", re.MULTILINE | re.IGNORECASE)


class PandaLmStyle(Record):
    """Asks PandaLM-7B and judges trained in its form."""

    family: Literal["pandalm"] = "pandalm"

    @property
    def plans(self) -> bool:
        return False

    def judge_prompt(self, pair: Pair) -> Prompt:
        """The released prompt, with or without input. A reference answer is an addition of ours: PandaLM-7B never saw one."""
        fields = pair_fields(pair) | {"instruction": pair.instruction}
        if pair.input:
            return asked("pandalm", "judge-input", fields | {"input": pair.input})
        return asked("pandalm", "judge", fields)

    def read_chain(self, text: str, finish_reason: FinishReason = "stop") -> ChainParts:
        said, *sections = _SECTION.split(text)
        first = said.strip().partition("\n")[0].strip(" \t.*").lower()
        # One word that was cut may be the start of another.
        verdict = _VERDICT.get(first, "none") if "\n" in text.lstrip() or finish_reason == "stop" else "none"
        named = {name.lower(): body.strip() for name, body in zip(sections[::2], sections[1::2], strict=True)}
        return ChainParts(
            plan=None,
            execution=named.get("reason", ""),
            verdict=verdict,
            closed=verdict != "none" or finish_reason == "stop",
            reference=named.get("reference") or None,
        )

    def forcing_text(self, plan: str | None, execution: str) -> None:
        return None

    def verdict_texts(self) -> tuple[str, dict[str, Verdict]]:
        return "", {text: label for label, text in _WRITTEN.items()}

    def write_chain(self, parts: ChainParts) -> str:
        if parts.verdict == "none":
            raise ValueError("an answer without a verdict is none to train on")
        sections = (("Reason", parts.execution), ("Reference", parts.reference))
        return f"{_WRITTEN[parts.verdict]}\n" + "".join(f"\n### {name}: {text}\n" for name, text in sections if text)
