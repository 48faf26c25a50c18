"""The judge as OpenRLHF's remote reward: `--reward.remote_url path/to/rewards/adapters/openrlhf.py` (`--remote_rm_url` up to 0.10.1).

OpenRLHF 0.11 calls with one response at a time, so the group is made by the server's cohort buffer, and this file is a client
of `evalplanner serve`: `EVALPLANNER_URL` and `EVALPLANNER_API_KEY` say where and with what key. The server's `/get_reward` can be named as the URL
as well; this file also waits out a restart of the judge's model, which OpenRLHF's own five quick tries do not survive. It is called in threads, of
which there are few (docs/trainers/openrlhf.md): with many responses in flight and a cohort, name the URL.

OpenRLHF stops at a reward it does not get, so this never raises for want of one: it gives the neutral 0.5 and `extra_logs["invalid"]` = 1.
"""

from __future__ import annotations

from typing import Any

from rewards.adapters.client import ask


def reward_func(queries: list[str], prompts: list[str], labels: list[str], **_: Any) -> dict[str, Any]:
    """OpenRLHF's contract: `{"rewards": Tensor(n), "scores": Tensor(n) in 0–1, "extra_logs": {name: Tensor(n)}}`."""
    import torch

    said = ask(list(queries), list(prompts), [label if isinstance(label, str) else None for label in labels])
    logs = {name: torch.tensor(values) for name, values in said.extra_logs.items()}
    return {"rewards": torch.tensor(said.rewards), "scores": torch.tensor(said.scores), "extra_logs": logs}
