"""JudgeLM (arXiv 2310.17631): one line of scores from 1 to 10, then an explanation, from a model that knows no chat template.

    8 6
    Assistant 1 …

Three ways to ask: a pair; one answer, against a reference that takes the first place and is given its 10 beforehand; several
answers at once. JudgeLM's own reader takes exactly two numbers and one blank, and calls the rest a tie; here "8, 7", "8/10 7/10"
and further blanks are read, and what is no list of scores is none.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Literal

from planner.records import FinishReason, Pair, Record, Verdict
from planner.styles.base import ChainParts, Prompt, asked
from prompts import PromptError, template

_NUMBER = r"(\d{1,2}(?:\.\d+)?)(?:\s*/\s*10)?"
_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class JudgeLmStyle(Record):
    """Asks JudgeLM-7B, 13B, 33B and judges trained in their form."""

    family: Literal["judgelm"] = "judgelm"
    fast: bool = False
    """Stop after the scores."""
    picture: bool = False
    """The question is about a picture that the judge does not see: rate agreement with the reference. The wording is ours;
    JudgeLM's own for MM-Vet is in none of its documents."""
    tie_margin: float = 0.0
    """Scores no further apart than this are a tie."""

    @property
    def plans(self) -> bool:
        return False

    # -- asking ------------------------------------------------------------------------------------------------------

    def judge_prompt(self, pair: Pair) -> Prompt:
        return self.list_prompt(pair.question, (pair.response_a, pair.response_b), pair.reference)

    def list_prompt(self, instruction: str, responses: tuple[str, ...], reference: str | None = None) -> Prompt:
        """Grade two to ten responses in one go.

        Raises:
            PromptError: another number of responses, or a picture without a reference.
        """
        n = len(responses)
        if not 2 <= n <= 10:
            raise PromptError(f"JudgeLM grades two to ten responses at once, not {n}")
        if self.picture and reference is None:
            raise PromptError("a picture is judged against a reference answer: give one")
        ((_, block),) = template("judgelm", "answer")
        parts = {
            "answers": "".join(block.replace("{k}", str(k)).replace("{response}", f"{{response_{k}}}") for k in range(1, n + 1)),
            "number": _WORDS[n - 2],
            "assistants": f"Assistant {', '.join(str(k) for k in range(1, n))} and {n}",
        }
        fields = {"instruction": instruction} | {f"response_{k}": text for k, text in enumerate(responses, 1)}
        if reference is not None:
            fields["reference"] = reference
        return asked("judgelm", "picture" if self.picture else "judge", fields, ("\n",) if self.fast else (), parts)

    def score_prompt(self, instruction: str, response: str, reference: str | None = None) -> Prompt:
        """Grade one response against a reference: that stands first, and its 10 is already written.

        Raises:
            PromptError: no reference.
        """
        if reference is None:
            raise PromptError("JudgeLM grades one response against a reference answer only: give one")
        shown = reference if self.picture else None
        return self.list_prompt(instruction, (reference, response), shown)._replace(prefill="10")

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def bounds(self) -> tuple[float, float]:
        """The prompt says 1; judges trained on the same data also say 0."""
        return (0.0, 10.0)

    def read_chain(self, text: str, finish_reason: FinishReason = "stop") -> ChainParts:
        scores = self.read_scores(text, 2, finish_reason)
        explanation = text.strip().partition("\n")[2].strip() if scores else text.strip()
        return ChainParts(
            plan=None,
            execution=explanation,
            verdict=self.verdict(scores) if scores else "none",
            closed=scores is not None or finish_reason == "stop",
            scores=scores,
        )

    def read_score(self, text: str, finish_reason: FinishReason = "stop") -> float | None:
        scores = self.read_scores(text, 2, finish_reason)
        return scores[1] if scores else None

    def read_scores(self, text: str, n: int, finish_reason: FinishReason = "stop") -> tuple[float, ...] | None:
        """The `n` scores in the first line; None where it is anything else, or may not be whole."""
        line, ended, _ = text.lstrip().partition("\n")
        if not ended and finish_reason == "length":
            return None
        found = re.fullmatch(r"[\s,;|]+".join([_NUMBER] * n) + r"[.\s]*", line)
        scores = tuple(map(float, found.groups())) if found else ()
        low, high = self.bounds
        return scores if found and all(low <= score <= high for score in scores) else None

    def verdict(self, scores: tuple[float, ...]) -> Verdict:
        first, second = scores
        if abs(first - second) <= self.tie_margin:
            return "tie"
        return "A" if first > second else "B"

    def forcing_text(self, plan: str | None, execution: str) -> None:
        return None

    def verdict_texts(self) -> tuple[str, dict[str, Verdict]]:
        """All hundred pairs of whole scores, each with the end of its line: `8 1` alone is also how `8 10` begins."""
        return "", {f"{a} {b}\n": self.verdict((a, b)) for a, b in product(range(1, 11), repeat=2)}

    def write_chain(self, parts: ChainParts) -> str:
        if parts.scores is None or len(parts.scores) != 2:
            raise ValueError("JudgeLM writes two scores, and there are none")
        return f"{parts.scores[0]:g} {parts.scores[1]:g}\n{'' if self.fast else parts.execution}".rstrip()
