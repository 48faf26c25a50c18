"""The judge as verl's reward function (0.9): `reward.custom_reward_function.path=rewards/adapters/verl.py`, `name=compute_score`.

verl calls with one response at a time. Two ways to a comparison:

- `evalplanner serve` (`EVALPLANNER_URL`, or `reward.custom_reward_function.reward_kwargs.url`): its cohort buffer makes groups of the rollouts.
- a judge that verl itself serves as its reward model (`reward.reward_model.enable=True`): verl passes the address of its router,
  and each response is compared with a baseline. `reward_kwargs` then needs `model`, the served name, and `style`.

`extra_info["instruction"]` is what was asked, and a baseline or known answer is `extra_info["baseline"]` or else a text in `ground_truth`.
Every key of the result is always there; where `invalid` is 1 there was no reward, and `score` holds the neutral 0.5.
"""

from __future__ import annotations

import asyncio
from functools import cache
from threading import Lock
from typing import Any

from planner.errors import UserError
from rewards.adapters.client import await_rewards
from rewards.chat import Messages, instruction_of
from rewards.config import RewardConfig, judge_for
from rewards.contest import Scoring
from rewards.group import GroupScorer
from rewards.wire import NEUTRAL


async def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None,
    reward_router_address: str | None = None, reward_model_tokenizer: Any = None, *, url: str | None = None, key: str | None = None,
    model: str | None = None, style: str | None = None,
) -> dict[str, float]:  # fmt: skip
    """verl's contract: one response in, `{"score": …}` out, always with the same keys.

    Raises:
        UserError: nothing says what was asked, or how the judge is reached.
    """
    instruction = _instruction(extra_info or {})
    baseline = (extra_info or {}).get("baseline", ground_truth)
    reference = baseline if isinstance(baseline, str) and baseline else None
    if reward_router_address is not None and url is None:
        score = await asyncio.to_thread(_by_router, reward_router_address, model, style, instruction, solution_str, reference)
        return {"score": NEUTRAL if score is None else score, "invalid": float(score is None), "cohort": 1.0}
    # What the server cuts off again: it takes the whole text. Not in a thread: a cohort larger than the pool would wait for itself.
    said = await await_rewards([f"{instruction}\n{solution_str}"], [f"{instruction}\n"], [reference], url=url, key=key)
    return {"score": said.rewards[0], "invalid": said.extra_logs["invalid"][0], "cohort": said.extra_logs["cohort"][0]}


def _instruction(extra_info: dict[str, Any]) -> str:
    for name in ("instruction", "question", "prompt", "raw_prompt"):
        asked: str | Messages | None = extra_info.get(name)
        if asked is not None:
            return instruction_of(asked)
    raise UserError('verl\'s rows must carry what was asked in extra_info["instruction"]')


def _by_router(
    address: str, model: str | None, style: str | None, instruction: str, response: str, reference: str | None
) -> float | None:
    if model is None:
        raise UserError("reward_kwargs needs model, the name under which verl serves the judge, and style")
    if reference is None:
        raise UserError('without a server there are no groups: give a baseline answer in extra_info["baseline"]')
    with _opening:
        scorer = _scorer(address, model, style)
    return scorer.score_group(instruction, [response], reference).rewards[0]


_opening = Lock()


@cache
def _scorer(address: str, model: str, style: str | None) -> GroupScorer:
    from planner.engines.server import ServerEngine

    engine = ServerEngine(f"http://{address}/v1", model)
    return GroupScorer(judge_for(RewardConfig(model=model, style=style), engine), Scoring(strategy="pivot"))
