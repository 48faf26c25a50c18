"""The judge as a reward function of TRL 1.16: `GRPOTrainer`, `RLOOTrainer`, AsyncGRPO, OnlineDPO.

    trainer = GRPOTrainer(model, reward_funcs=JudgeReward(scorer), …)
    trl grpo --reward_funcs rewards.adapters.trl.judge_reward …        # configured by the TOML file that EVALPLANNER_REWARD names

AsyncGRPO sends its reward functions to another process, so it takes `judge_reward`, which pickles, and no `JudgeReward`, whose engine does not.

Groups are found by prompt. A call sees the rows of its own process only, and TRL checks that groups are whole over all processes
together, not in each; a torn group would be compared with itself and look fine. So with more than one process the size of a
group must be given, and a torn one is refused with the setting that mends it.

A response without a reward is None, which GRPO leaves out of its group's mean and advantage. OnlineDPO would sum None as 0, so
it needs `unread=0.5`; it cannot leave a pair out, and takes the first completion of two equals.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from threading import Lock
from typing import Any

from planner.errors import UserError
from rewards.chat import Messages, instruction_of, response_of
from rewards.config import load_reward_config, open_scorer
from rewards.contest import Group, GroupScore, Scorer

_log = logging.getLogger(__name__)


class JudgeReward:
    """A reward function. TRL logs it under its `__name__`.

    Args:
        num_generations: responses to a prompt, TRL's setting of the same name. Rows of one prompt are then cut into groups of that size.
        reference_column: the data set's column with a known answer, where there is one.
        unread: what a response without a reward gets.
        one_at_a_time: for engines that must not be called from two threads at once, such as vLLM in this process.
    """

    __name__ = "judge_reward"

    def __init__(
        self, scorer: Scorer, *, num_generations: int | None = None, reference_column: str = "reference",
        unread: float | None = None, one_at_a_time: bool = True,
    ) -> None:  # fmt: skip
        self.scorer, self.num_generations, self.reference_column = scorer, num_generations, reference_column
        self.unread = unread
        self._turn: AbstractContextManager[Any] = Lock() if one_at_a_time else nullcontext()

    def __call__(
        self, prompts: Sequence[str | Messages], completions: Sequence[str | Messages],
        log_metric: Callable[[str, float], None] | None = None, **columns: Any,
    ) -> list[float | None]:  # fmt: skip
        """One reward a row, in the rows' order. TRL passes every other column of the data set, and more, by name.

        Raises:
            UserError: a group that is not whole; a reference that is no text.
        """
        instructions, responses = [*map(instruction_of, prompts)], [*map(response_of, completions)]
        references: Sequence[str | None] = columns.get(self.reference_column) or [None] * len(prompts)
        if not all(one is None or isinstance(one, str) for one in references):
            raise UserError(
                f"the column {self.reference_column!r} holds something other than text: name another, reference_column = …"
            )
        rows_of = self._groups(instructions, references)
        groups = [
            Group(instruction=instructions[r[0]], responses=tuple(responses[i] for i in r), reference=references[r[0]])
            for r in rows_of
        ]
        with self._turn:
            scores = self.scorer.score_groups(groups)
        _report(scores, log_metric)
        rewards: list[float | None] = [self.unread] * len(prompts)
        for rows, score in zip(rows_of, scores, strict=True):
            for row, reward in zip(rows, score.rewards, strict=True):
                rewards[row] = self.unread if reward is None else reward
        return rewards

    def _groups(self, instructions: Sequence[str], references: Sequence[str | None]) -> list[list[int]]:
        """Rows of each group."""
        by_prompt: dict[tuple[str, str | None], list[int]] = defaultdict(list)
        for row, key in enumerate(zip(instructions, references, strict=True)):
            by_prompt[key].append(row)
        size, processes = self.num_generations, int(os.environ.get("WORLD_SIZE", "1"))
        if size is None:
            if processes > 1:
                raise UserError(
                    f"{processes} processes may tear groups apart without a trace: give num_generations, as in the trainer's config"
                )
            return list(by_prompt.values())
        for (instruction, _), rows in by_prompt.items():
            if len(rows) % size:
                raise UserError(
                    f"this process holds {len(rows)} responses to {instruction[:60]!r}, not a multiple of num_generations = {size}: make "
                    f"per_device_train_batch_size × steps_per_generation a multiple of {size}, and per_device_eval_batch_size too, and leave num_generations_eval unset"
                )
        return [rows[at : at + size] for rows in by_prompt.values() for at in range(0, len(rows), size)]


class AsyncJudgeReward(JudgeReward):
    """The same, awaited: other reward functions of the trainer run meanwhile. Not for OnlineDPO, which never awaits."""

    async def __call__(  # type: ignore[override]
        self, prompts: Sequence[str | Messages], completions: Sequence[str | Messages],
        log_metric: Callable[[str, float], None] | None = None, **columns: Any,
    ) -> list[float | None]:  # fmt: skip
        return await asyncio.to_thread(super().__call__, prompts, completions, log_metric, **columns)


class PairwiseJudge:
    """The interface of `trl.experimental.judges.BasePairwiseJudge`, which TRL dropped in 1.1, for callbacks written against it."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def judge(
        self, prompts: Sequence[str | Messages], completions: Sequence[Sequence[str]], shuffle_order: bool = True
    ) -> list[int]:
        """Index of the better completion of each two; -1 where the judge could not say, or not which.

        Args:
            shuffle_order: taken for the interface's sake: both orders are always asked, so there is nothing to shuffle.
        """
        groups = [Group(instruction=instruction_of(p), responses=tuple(c)) for p, c in zip(prompts, completions, strict=True)]
        if any(len(group.responses) != 2 for group in groups):
            raise UserError("a pairwise judge takes two completions a prompt")
        ranks = []
        for score in self.scorer.score_groups(groups):
            first, second = score.rewards
            ranks.append(-1 if first is None or second is None or first == second else int(second > first))
        return ranks


@cache
def _configured() -> JudgeReward:
    config = load_reward_config()
    return JudgeReward(
        open_scorer(config), num_generations=config.num_generations, reference_column=config.reference_column,
        one_at_a_time=config.url is None,
    )  # fmt: skip


_opening = Lock()


def judge_reward(prompts: Sequence[str | Messages], completions: Sequence[str | Messages], **columns: Any) -> list[float | None]:
    """`JudgeReward` by dotted path; the judge is opened at the first call, from the file that `EVALPLANNER_REWARD` names."""
    with _opening:  # AsyncGRPO's first groups come together, and one judge is enough
        reward = _configured()
    return reward(prompts, completions, **columns)


def _report(scores: Sequence[GroupScore], log_metric: Callable[[str, float], None] | None) -> None:
    """Say what the judge did: to the trainer's metrics where it takes some, else only what went wrong, to the log."""
    wanted = sum(score.wanted for score in scores)
    unread = sum(score.cost.unread for score in scores)
    if log_metric is None:
        if unread:
            _log.warning("the judge gave no result for %d of %d that were wanted", unread, wanted)
        return
    if wanted:
        log_metric("judge/unread", unread / wanted)
        log_metric("judge/conflicts", sum(score.cost.conflicts for score in scores) / wanted)
    log_metric("judge/judgments", float(sum(score.cost.judgments for score in scores)))
    log_metric("judge/tokens", float(sum(score.cost.tokens for score in scores)))
