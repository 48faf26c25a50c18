"""The judge as an environment of NeMo-RL: one step, a reward from comparing the responses to each prompt of the batch.

    from rewards.adapters.nemo import register
    register("evalplanner")              # before NeMo-RL's own script makes its environments

`env.evalplanner` in NeMo-RL's config holds the keys of `rewards/config.py`; set `url` to a judge that is served already. NeMo-Gym's `/compare` and
`/verify` are routes of `evalplanner serve`. Where `metrics["judge/unread"]` is not 0, as many rewards are the neutral 0.5.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import ray
import torch
from nemo_rl.distributed.ray_actor_environment_registry import ACTOR_ENVIRONMENT_REGISTRY
from nemo_rl.distributed.virtual_cluster import PY_EXECUTABLES
from nemo_rl.environments.interfaces import EnvironmentInterface, EnvironmentReturn
from nemo_rl.environments.utils import register_env
from pydantic import ValidationError

from planner.errors import UserError
from rewards.chat import Messages, content, instruction_of
from rewards.config import RewardConfig, open_scorer
from rewards.contest import Group
from rewards.wire import NEUTRAL

if TYPE_CHECKING:
    from rewards.contest import Scorer


class JudgeEnvironment(EnvironmentInterface):  # type: ignore[misc]
    """Rewards in [0, 1] by prompt. Made by NeMo-RL inside a process of its own.

    Raises:
        UserError: a key that `rewards/config.py` does not know, or a judge that cannot be opened.
    """

    def __init__(self, cfg: dict[str, Any]) -> None:
        try:
            config = RewardConfig.model_validate(dict(cfg))
        except ValidationError as error:
            raise UserError(
                f"env.evalplanner: {'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"
            ) from None
        self._scorer: Scorer = open_scorer(config)
        self._unread = self._scored = 0

    def step(self, message_log_batch: list[Messages], metadata: list[Any]) -> EnvironmentReturn:
        """Score a batch: the last assistant message of each log, against those of the other logs with the same conversation before it."""
        asked = [instruction_of([_plain(one) for one in log[:-1]]) for log in message_log_batch]
        said = [content(log[-1]) for log in message_log_batch]
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row, instruction in enumerate(asked):
            rows_of[instruction].append(row)
        groups = [
            Group(instruction=instruction, responses=tuple(said[row] for row in rows)) for instruction, rows in rows_of.items()
        ]
        rewards = torch.full((len(said),), NEUTRAL)
        for rows, score in zip(rows_of.values(), self._scorer.score_groups(groups), strict=True):
            for row, reward in zip(rows, score.rewards, strict=True):
                self._scored += 1
                if reward is None:
                    self._unread += 1
                else:
                    rewards[row] = reward
        return EnvironmentReturn(
            observations=[{"role": "environment", "content": ""} for _ in said],
            metadata=metadata,
            next_stop_strings=[None] * len(said),
            rewards=rewards,
            terminateds=torch.ones(len(said), dtype=torch.bool),
            answers=said,
        )

    def global_post_process_and_metrics(self, batch: Any) -> tuple[Any, dict[str, float]]:
        """The batch as it is, and the share of responses without a reward since the last call."""
        share = self._unread / self._scored if self._scored else 0.0
        self._unread = self._scored = 0
        return batch, {"judge/unread": share}


JudgeActor = ray.remote(JudgeEnvironment)
"""What NeMo-RL makes an environment of: it asks every class for `.options(…).remote(config)`."""


def register(name: str) -> None:
    """Make the judge known to NeMo-RL as an environment, in the Python that the trainer itself runs in."""
    actor = f"{__name__}.JudgeActor"
    ACTOR_ENVIRONMENT_REGISTRY[actor] = PY_EXECUTABLES.SYSTEM
    register_env(name, actor)


def _plain(message: Any) -> dict[str, Any]:
    """Role and text alone: NeMo-RL's messages carry token tensors as well."""
    return {"role": message["role"], "content": message["content"]}
