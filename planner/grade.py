"""Scores for responses, from a style that grades: one by one, or (JudgeLM) two to ten seen at once.

    Grader(engine, SCORING["j1-score"]).grade("Name a river.", "The Loire.")

A score that cannot be read is None, never a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planner.engines.base import GREEDY, Engine, EngineError, Request, Sampling
from planner.records import Completion, Instruction, Record
from planner.styles.base import Prompt, ScoringStyle
from planner.styles.judgelm import JudgeLmStyle
from prompts import PromptError


class Single(Record):
    """One response to grade."""

    instruction: Instruction
    response: str
    reference: str | None = None


class Several(Record):
    """Two to ten responses to grade at once."""

    instruction: Instruction
    responses: tuple[str, ...]
    reference: str | None = None


class Grade(Record):
    """What a judge gave."""

    scores: tuple[float, ...] | None
    """Of the responses in their order, a single one's alone, within the style's `bounds`; None where the text does not hold them."""
    text: str
    """The judge's answer, as it was written."""
    cut_off: bool
    tokens: int

    @property
    def score(self) -> float | None:
        """Of a single response."""
        return self.scores[0] if self.scores else None


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

    def grade_together(self, instruction: str, responses: tuple[str, ...], reference: str | None = None) -> Grade:
        """Grade two to ten responses seen at once, which JudgeLM alone can do."""
        (grade,) = self.grade_many([Several(instruction=instruction, responses=responses, reference=reference)])
        return grade

    def grade_many(self, asked: Iterable[Single | Several]) -> Iterator[Grade]:
        """Grade responses; the grades come in the order asked, when all are done.

        Raises:
            EngineError: a prompt that does not fit the model's context together with `max_tokens` of answer.
            PromptError: what the style cannot be asked, as in `prompt_of`.
        """
        asked = list(asked)
        prompts = [prompt_of(self.style, one) for one in asked]
        for one, prompt, done in zip(asked, prompts, self._ask(prompts), strict=True):
            scores = _read(self.style, one, prompt.prefill + done.text, done)
            cut_off = scores is None and done.finish_reason == "length"
            yield Grade(scores=scores, text=done.text, cut_off=cut_off, tokens=done.tokens)

    def fits(self, one: Single | Several) -> bool:
        """Whether a prompt and `max_tokens` of answer stay within the model's context."""
        return self._fits(prompt_of(self.style, one))

    def _fits(self, prompt: Prompt) -> bool:
        return self.engine.fits(prompt.messages, prompt.prefill, self.max_tokens)

    def _ask(self, prompts: list[Prompt]) -> list[Completion]:
        for prompt in prompts:
            if not self._fits(prompt):
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


def prompt_of(style: ScoringStyle, one: Single | Several) -> Prompt:
    """What a judge is asked.

    Raises:
        PromptError: no reference where the style needs one, several responses where it grades one, or too many of them.
    """
    if isinstance(one, Single):
        return style.score_prompt(one.instruction, one.response, one.reference)
    if not isinstance(style, JudgeLmStyle):
        raise PromptError("several responses at once are a matter of the style judgelm: give one response a row, or that style")
    return style.list_prompt(one.instruction, one.responses, one.reference)


def _read(style: ScoringStyle, one: Single | Several, text: str, done: Completion) -> tuple[float, ...] | None:
    if isinstance(one, Several):
        assert isinstance(style, JudgeLmStyle), "`prompt_of` asks no other"
        return style.read_scores(text, len(one.responses), done.finish_reason)
    score = style.read_score(text, done.finish_reason)
    return None if score is None else (score,)
