"""A client of the server's `/get_reward`, for trainers that load a function. It answers in time whatever happens.

`EVALPLANNER_URL` is the server's address, `EVALPLANNER_API_KEY` its key. A server that is busy or starting its model anew (429, 503, no
connection) is asked again until `GIVE_UP_S`; a request that is wrong (any other status) will not get right by itself and raises.
"""

from __future__ import annotations

import logging
import os
import time

import httpx

from planner.errors import UserError
from rewards.wire import NEUTRAL, Rewards

URL, KEY = "EVALPLANNER_URL", "EVALPLANNER_API_KEY"
GIVE_UP_S = 170.0
"""OpenRLHF's own limit for a remote reward is 180 s."""
_log = logging.getLogger(__name__)


def ask(
    queries: list[str], prompts: list[str], labels: list[str | None], *, url: str | None = None, key: str | None = None
) -> Rewards:
    """Rewards of whole texts; neutral and flagged where the server did not answer in time.

    Raises:
        UserError: no URL, or a request that the server refuses.
    """
    url, key = url or os.environ.get(URL), key or os.environ.get(KEY)
    if not url:
        raise UserError(f"set {URL} to the address of `evalplanner serve`, e.g. http://127.0.0.1:8100")
    body = {"query": queries, "prompts": prompts, "labels": labels}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    until = time.monotonic() + GIVE_UP_S
    while (left := until - time.monotonic()) > 0:
        pause_s = 1.0
        try:
            reply = httpx.post(f"{url.rstrip('/')}/get_reward", json=body, headers=headers, timeout=left)
        except httpx.TransportError as error:
            _log.info("%s does not answer (%s)", url, type(error).__name__)
        else:
            if reply.status_code == 200:
                return Rewards.model_validate_json(reply.content)
            if reply.status_code not in (429, 503):
                raise UserError(f"{url}/get_reward refuses with status {reply.status_code}: {reply.text[:200]}")
            pause_s = float(reply.headers.get("Retry-After", pause_s))
        time.sleep(max(0.0, min(pause_s, until - time.monotonic())))
    _log.warning("%s gave no reward within %.0f s; %d responses get the neutral one", url, GIVE_UP_S, len(queries))
    n = len(queries)
    return Rewards(rewards=[NEUTRAL] * n, scores=[NEUTRAL] * n, extra_logs={"invalid": [1.0] * n, "cohort": [0.0] * n})
