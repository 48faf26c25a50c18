"""Load the server with the embedded judge from many clients on loopback, and fail if an answer is lost, doubled or wrong.

    python tools/soak.py [--clients 64] [--seconds 300] [--json]        # `make soak`; needs the CPU or GPU extra

Half of the clients ask `/verify` (NeMo-Gym's rollouts, whose answers carry the request back, in cohorts of four), half `/compare`. Each
answer is checked against its own request. Three acts:

1. load: no status but 200; latencies, judgments a second, memory of the server and of its model's process over time.
2. the model's process is killed under load: statuses 503 and nothing else for a while, then 200 again.
3. SIGTERM under load: every request that the server logged as answered arrived at its client, and the process ends with status 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
import psutil

ROOT = Path(__file__).resolve().parent.parent
KEY = "soak"
COHORT = 4
CONFIG = f"""
max_tokens = 16
[engine]
max_model_len = 1024
kv_cache_gb = 1
[http]
cohort = {COHORT}
wait_s = 60.0
"""


@dataclass
class Tally:
    """What the clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    """Requests whose connection ended without an answer."""


async def rollout(client: httpx.AsyncClient, tally: Tally, number: int, turn: int) -> None:
    """One `/verify`: four clients share a prompt, and each knows its answer by what it carries."""
    mark = f"{number}-{turn}"
    asked = {"input": [{"role": "user", "content": f"Name river {number // COHORT} of round {turn}."}]}
    said = {"output": [{"type": "message", "content": [{"type": "output_text", "text": f"River {mark}."}]}]}
    body = {"responses_create_params": asked, "response": said, "_ng_task_index": turn, "_ng_rollout_index": number, "mark": mark}
    answer = await post(client, tally, "/verify", body)
    if answer is not None and (answer.get("mark") != mark or answer.get("response") != said or not 0 <= answer["reward"] <= 1):
        tally.wrong.append(f"/verify {mark}: {answer}")


async def comparison(client: httpx.AsyncClient, tally: Tally, number: int, turn: int) -> None:
    """One `/compare` of two or three responses, known by their number."""
    responses = [f"River {number}-{turn}-{k}." for k in range(2 + (number + turn) % 2)]
    answer = await post(client, tally, "/compare", {"instruction": f"Name a river, {number}-{turn}.", "responses": responses})
    if answer is not None and (
        len(answer["rewards"]) != len(responses) or answer["cost"]["judgments"] != 2 * answer["cost"]["pairs"]
    ):
        tally.wrong.append(f"/compare {number}-{turn}: {answer}")


async def post(client: httpx.AsyncClient, tally: Tally, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    start = time.monotonic()
    try:
        reply = await client.post(path, json=body)
    except httpx.TransportError:
        tally.lost += 1
        await asyncio.sleep(0.2)
        return None
    tally.statuses[reply.status_code] += 1
    if reply.status_code != 200:
        await asyncio.sleep(0.5)
        return None
    tally.seconds.append(time.monotonic() - start)
    answer: dict[str, Any] = reply.json()
    return answer


async def load(url: str, clients: int, tally: Tally, stop: asyncio.Event) -> None:
    """Clients that ask one request after another until told to stop."""

    async def one(number: int, client: httpx.AsyncClient) -> None:
        turn = 0
        while not stop.is_set():
            await (rollout if number < clients // 2 // COHORT * COHORT else comparison)(client, tally, number, turn)
            turn += 1

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=200, limits=limits) as client:
        await asyncio.gather(*(one(number, client) for number in range(clients)))


def memory_mib(pid: int) -> tuple[float, float]:
    """(the server's own, its model's processes') resident memory."""
    process = psutil.Process(pid)
    children = sum(child.memory_info().rss for child in process.children(recursive=True))
    return process.memory_info().rss / 2**20, children / 2**20


def percentiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(seconds, q)), 3) for q in (50, 95, 99)} if seconds else {}


async def metric(url: str, name: str) -> float:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics", headers={"Authorization": f"Bearer {KEY}"}, timeout=60)).text
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} ")))


async def until_ready(url: str, server: subprocess.Popen[bytes], limit_s: float) -> None:
    until = time.monotonic() + limit_s
    async with httpx.AsyncClient() as client:
        while time.monotonic() < until and server.poll() is None:
            try:
                if (await client.get(f"{url}/ready", timeout=5)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.5)
    raise SystemExit("the server does not get ready; its log is above")


async def acts(url: str, server: subprocess.Popen[bytes], options: argparse.Namespace) -> dict[str, Any]:
    """All three acts; what was measured."""
    await until_ready(url, server, 600)
    tally, stop = Tally(), asyncio.Event()
    running = asyncio.create_task(load(url, options.clients, tally, stop))
    memory, start = [], time.monotonic()
    while time.monotonic() - start < options.seconds:
        await asyncio.sleep(min(30.0, options.seconds / 5))
        memory.append([round(value) for value in memory_mib(server.pid)])
        print(f"{time.monotonic() - start:.0f} s: {dict(tally.statuses)}, memory {memory[-1]} MiB", file=sys.stderr, flush=True)
    took = time.monotonic() - start
    judgments = await metric(url, "evalplanner_judgments_total")
    first: dict[str, Any] = {
        "seconds": round(took), "statuses": dict(tally.statuses), "lost": tally.lost, "wrong": len(tally.wrong),
        "latency_s": percentiles(tally.seconds), "judgments_per_s": round(judgments / took, 2), "memory_mib": memory,
    }  # fmt: skip
    # Act 2: whatever listens for the server on its own key is the model's process.
    before = Counter(tally.statuses)
    victim = psutil.Process(server.pid).children()[0]
    victim.kill()
    while not tally.statuses[503] - before[503]:
        await asyncio.sleep(0.05)
    await until_ready(url, server, 600)
    back = tally.statuses[200]
    while tally.statuses[200] < back + 10:
        await asyncio.sleep(0.1)
    second = {"statuses": dict(tally.statuses - before), "lost": tally.lost, "wrong": len(tally.wrong)}
    # Act 3
    lost = tally.lost
    server.send_signal(signal.SIGTERM)
    await asyncio.sleep(2)  # clients go on asking, and are refused
    stop.set()
    await running
    status = await asyncio.to_thread(server.wait, 200)
    return {
        "clients": options.clients, "load": first, "killed": second, "ended": {"exit": status, "refused": tally.lost - lost},
        "answers": dict(tally.statuses), "wrong": tally.wrong[:3],
    }  # fmt: skip


def logged(log: IO[bytes]) -> Counter[int]:
    """Answers by status, as the server's log has them."""
    log.seek(0)
    return Counter(int(found) for found in re.findall(rb"POST /(?:verify|compare) (\d+) ", log.read()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+b") as log:
        (Path(folder) / "reward.toml").write_text(CONFIG)
        command = [sys.executable, "-m", "cli.main", "serve", "--config", f"{folder}/reward.toml", "--port", str(port)]
        environment = os.environ | {"EVALPLANNER_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
        server = subprocess.Popen(command, env=environment, stderr=log, cwd=folder)
        found: dict[str, Any] = {}
        try:
            found = asyncio.run(acts(f"http://127.0.0.1:{port}", server, options))
        finally:
            server.kill()
            if not found:  # an error is on its way out; the server's own words go before it
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace")[-5000:])
        found["logged"] = dict(logged(log))
    first = found["load"]
    print(
        f"load: {first['seconds']} s, {options.clients} clients, {first['statuses']}, {first['lost']} lost, {first['wrong']} wrong"
    )
    print(
        f"      {first['latency_s']} seconds, {first['judgments_per_s']} judgments/s, memory (server, model) MiB {first['memory_mib']}"
    )
    print(f"killed: {found['killed']}")
    print(f"SIGTERM: exit {found['ended']['exit']}; answers received {found['answers']}, logged {found['logged']}")
    if options.json:
        print(json.dumps(found))
    bad = [
        *(["a status other than 200 under load"] if set(first["statuses"]) != {200} else []),
        *(["an answer was lost under load"] if first["lost"] else []),
        *(["a wrong answer"] if found["wrong"] else []),
        *(["another status than 200 and 503 after the kill"] if set(found["killed"]["statuses"]) - {200, 503} else []),
        *(["an answer that the server gave did not arrive"] if found["answers"] != found["logged"] else []),
        *(["the server did not end with status 0"] if found["ended"]["exit"] != 0 else []),
    ]
    print("failed: " + "; ".join(bad) if bad else "nothing lost, nothing doubled, nothing wrong")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
