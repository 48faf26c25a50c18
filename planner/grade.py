"""Scores for responses one by one, from a style that grades: a judge without a second response.

    Grader(engine, SCORING["j1-score"]).grade("Name a river.", "The Loire.")

A score that cannot be read is None, never a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planner.engines.base import GREEDY, Engine, EngineError, Request, Sampling
from planner.records import Completion, Record
from planner.styles.base import Prompt, ScoringStyle
from planner.styles.judgelm import JudgeLmStyle


class Single(Record):
    """One response to grade."""

    instruction: str
    response: str
    reference: str | None = None


class Grade(Record):
    """What a judge gave one response."""

    score: float | None
    """Within the style's `bounds`; None where the text holds none."""
    text: str
    """The judge's answer, as it was written."""
    cut_off: bool
    tokens: int


class Grader:
    """Grades responses. The engine is the caller's to close.

    Args:
        max_tokens: of one answer.
    """

    def __init__(self, engine: Engine, style: ScoringStyle, *, max_tokens: int = 2048, sampling: Sampling = GREEDY) -> None:
        self.engine, self.style, self.max_tokens, self.sampling = engine, style, max_tokens, sampling

    def grade(self, instruction: str, response: str, reference: str | None = None) -> Grade:
        """Grade one response. Many at once are much faster through `grade_many`."""
        (grade,) = self.grade_many([Single(instruction=instruction, response=response, reference=reference)])
        return grade

    def grade_many(self, singles: Iterable[Single]) -> Iterator[Grade]:
        """Grade responses; the grades come in the responses' order, when all are done.

        Raises:
            EngineError: a response that does not fit the model's context together with `max_tokens` of answer.
            PromptError: a response without the reference that the style needs.
        """
        prompts = [self.style.score_prompt(one.instruction, one.response, one.reference) for one in singles]
        for prompt, done in zip(prompts, self._ask(prompts), strict=True):
            score = self.style.read_score(prompt.prefill + done.text, done.finish_reason)
            cut_off = score is None and done.finish_reason == "length"
            yield Grade(score=score, text=done.text, cut_off=cut_off, tokens=done.tokens)

    def grade_together(
        self, instruction: str, responses: tuple[str, ...], reference: str | None = None
    ) -> tuple[float, ...] | None:
        """Scores of two to ten responses seen at once, which JudgeLM alone can do; None where they cannot be read.

        Raises:
            EngineError: another style, or a prompt that does not fit.
        """
        if not isinstance(self.style, JudgeLmStyle):
            raise EngineError("several responses at once are a matter of the style judgelm")
        prompt = self.style.list_prompt(instruction, responses, reference)
        (done,) = self._ask([prompt])
        return self.style.read_scores(done.text, len(responses), done.finish_reason)

    def _ask(self, prompts: list[Prompt]) -> list[Completion]:
        for prompt in prompts:
            if not self.engine.fits(prompt.messages, prompt.prefill, self.max_tokens):
                raise EngineError(
                    f"a prompt that ends in {prompt.messages[-1].content[-60:]!r} and {self.max_tokens} tokens of answer do not fit the "
                    "model's context: shorten it, lower max_tokens, or raise max_model_len"
                )
        requests = (
            Request(str(k), prompt.messages, prompt.prefill, 1, self.max_tokens, prompt.stop, self.sampling)
            for k, prompt in enumerate(prompts)
        )
        done = {key: completion for key, (completion,) in self.engine.sample(requests)}
        return [done[str(k)] for k in range(len(prompts))]
