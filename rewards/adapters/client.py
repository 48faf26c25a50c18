"""A client of the server's `/get_reward`, for trainers that load a function. It answers in time whatever happens.

`EVALPLANNER_URL` is the server's address, `EVALPLANNER_API_KEY` its key. A server that is busy, broken or starting its model anew (408, 429,
5xx, no connection) is asked again until `GIVE_UP_S`; a request that is wrong (any other status) will not get right by itself and raises.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
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
    """`await_rewards` for a thread without an event loop."""
    return asyncio.run(await_rewards(queries, prompts, labels, url=url, key=key))


async def await_rewards(
    queries: list[str], prompts: list[str], labels: list[str | None], *, url: str | None = None, key: str | None = None
) -> Rewards:
    """Rewards of whole texts; neutral and flagged where the server did not answer in time.

    Raises:
        UserError: no URL or none of HTTP, or a request that the server refuses.
    """
    url, key = url or os.environ.get(URL), key or os.environ.get(KEY)
    if not url or not url.startswith(("http://", "https://")):
        raise UserError(f"set {URL} to the address of `evalplanner serve`, e.g. http://127.0.0.1:8100")
    shown = re.sub("//[^/@]*@", "//", url)  # the key may be in it
    body = {"query": queries, "prompts": prompts, "labels": labels}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    until = time.monotonic() + GIVE_UP_S
    # The limit of the whole wait is below; httpx's own are of each part of a request.
    async with httpx.AsyncClient(headers=headers, timeout=None) as client:
        while (left := until - time.monotonic()) > 0:
            pause_s = 1.0
            try:
                async with asyncio.timeout(left):
                    reply = await client.post(f"{url.rstrip('/')}/get_reward", json=body)
            except (httpx.TransportError, TimeoutError) as error:
                _log.info("%s does not answer (%s)", shown, type(error).__name__)
            else:
                if reply.status_code == 200:
                    return Rewards.model_validate_json(reply.content)
                if reply.status_code not in (408, 429) and reply.status_code < 500:
                    raise UserError(f"{shown}/get_reward refuses with status {reply.status_code}: {reply.text[:200]}")
                said = reply.headers.get("Retry-After", "")  # of a proxy on the way it may be a date
                pause_s = float(said) if said.isdigit() else pause_s
            await asyncio.sleep(max(0.0, min(pause_s, until - time.monotonic())))
    _log.warning("%s gave no reward within %.0f s; %d responses get the neutral one", shown, GIVE_UP_S, len(queries))
    n = len(queries)
    return Rewards(rewards=[NEUTRAL] * n, scores=[NEUTRAL] * n, extra_logs={"invalid": [1.0] * n, "cohort": [0.0] * n})
