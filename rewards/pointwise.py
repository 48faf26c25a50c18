"""N responses to one prompt -> N rewards, by a judge that grades one response at a time (a `ScoringStyle`).

The counterpart of `rewards.group` for such judges: one judgment a response and vote, no pairs and no orders, so nothing is
relative to the group. A grade becomes a reward in [0, 1] by the bounds of its style; several votes are averaged. A grade that cannot
be read, is out of bounds or does not fit the context is no reward. A blank response gets the lowest unseen, as in `rewards.contest`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from planner.engines.base import GREEDY, Engine, Request, Sampling
from planner.records import Completion, digest
from planner.styles.base import ScoringStyle
from rewards.contest import Cost, Group, GroupScore, blank, while_wanted


class PointwiseScorer:
    """Grades groups; may stand wherever a `GroupScorer` may.

    Raises:
        ValueError: several votes of a greedy judge, which would all be the same.
    """

    def __init__(
        self, engine: Engine, style: ScoringStyle, *, max_tokens: int = 2048, sampling: Sampling = GREEDY, votes: int = 1
    ) -> None:
        if votes > 1 and sampling.temperature == 0:
            raise ValueError("votes of a greedy judge are all the same: give it a sampling temperature, or take one vote")
        self.engine, self.style, self.max_tokens, self.sampling, self.votes = engine, style, max_tokens, sampling, votes

    def score_group(self, instruction: str, responses: Sequence[str], reference: str | None = None) -> GroupScore:
        """Grade one group. Many at once are much faster through `score_groups`."""
        return self.score_groups([Group(instruction=instruction, responses=tuple(responses), reference=reference)])[0]

    def score_groups(self, groups: Iterable[Group], *, abandoned: Callable[[], bool] = lambda: False) -> list[GroupScore]:
        """Grade groups together; equal responses to one instruction are graded once. Else as `rewards.contest.Scorer`."""
        groups = list(groups)
        requests: dict[str, Request] = {}
        for group in groups:
            for response in group.responses:
                if not blank(response):
                    prompt = self.style.score_prompt(group.instruction, response, group.reference)
                    if self.engine.fits(prompt.messages, prompt.prefill, self.max_tokens):
                        key = _key(group, response)
                        requests[key] = Request(
                            key, prompt.messages, prompt.prefill, self.votes, self.max_tokens, prompt.stop, self.sampling
                        )
        rewards: dict[str, float | None] = {}
        tokens: dict[str, int] = {}
        for key, drawn in while_wanted(self.engine.sample(requests.values()), abandoned):
            rewards[key] = self._reward(requests[key].prefill, drawn)
            tokens[key] = sum(one.tokens for one in drawn)
        return [self._score(group, rewards, tokens) for group in groups]

    def _reward(self, prefill: str, drawn: Iterable[Completion]) -> float | None:
        low, high = self.style.bounds
        read = (self.style.read_score(prefill + one.text, one.finish_reason) for one in drawn)
        grades = [grade for grade in read if grade is not None and low <= grade <= high]
        return (sum(grades) / len(grades) - low) / (high - low) if grades else None

    def _score(self, group: Group, rewards: dict[str, float | None], tokens: dict[str, int]) -> GroupScore:
        found = tuple(0.0 if blank(response) else rewards.get(_key(group, response)) for response in group.responses)
        asked = {_key(group, response) for response in group.responses} & tokens.keys()
        return GroupScore(
            rewards=found,
            judgments=(),
            cost=Cost(
                pairs=0, judgments=self.votes * len(asked), tokens=sum(tokens[key] for key in asked), conflicts=0,
                unread=sum(reward is None for reward in found),
            ),
        )  # fmt: skip


def _key(group: Group, response: str) -> str:
    return digest(group.instruction, response, *(() if group.reference is None else (group.reference,)))
