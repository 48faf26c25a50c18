"""What the loop's bookkeeping costs: chains a second and peak memory of every step between sampling and training.

    python bench/store.py [--chains 1000000] [--json]

Synthetic pairs get 40 chains each (5 plans, 8 executions over both orders, texts of about 200 characters), and then go through
the loop's own code, each phase in a fresh process so that its peak memory is its own:

    append   Shard.append of every plan and chain, as several ranks; the making of the text is not counted
    open     Shards over both folders: what a resumed run reads to learn what is owed
    judge    labels join: plans and chains of all ranks → judged.jsonl   (selftrain.judged.judge_chains)
    sft, dpo balanced training rows                                      (selftrain.judged.write_rows)

Measured against the same machine doing the least that such a step can do: Python's own `json` reading one line a chain and
writing it again, unchecked, from one file to another. `ratio` is a phase's rate over that yardstick's, so 1.0 is as fast as
untyped JSON. All phases stream; peak memory (MiB) is expected to grow by an index entry a line, not by the text.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before bench/, whose eval.py would hide eval/

from planner.execute import execution_inputs  # noqa: E402
from planner.records import ORDERS, Chain, Completion, LabeledPair, Letter, Order, Pair, Plan, Verdict  # noqa: E402
from planner.store import Shard, Shards, write_jsonl  # noqa: E402
from selftrain.config import Config  # noqa: E402
from selftrain.judged import Chains, judge_chains, write_rows  # noqa: E402
from selftrain.sample import owned  # noqa: E402

PLANS, EXECUTIONS, RANKS = 5, 8, 4
CHAINS_PER_PAIR = PLANS * EXECUTIONS
PHASES = ("append", "open", "judge", "sft", "dpo")
YARDSTICK_CHAINS = 20_000
CONFIG = Config(name="bench-store", prompts="paper")
_WORDS = "the plan asks whether each answer names a reason and the first does so in two while second gives none but keeps to format".split()  # noqa: SIM905


def text(rng: random.Random, characters: int) -> str:
    words = rng.choices(_WORDS, k=characters // 5)
    return f"{' '.join(words).capitalize()}."


def labeled_pairs(count: int) -> Iterator[LabeledPair]:
    rng = random.Random(0)
    for number in range(count):
        pair = Pair(
            instruction=f"Task {number}: {text(rng, 120)}", response_a=text(rng, rng.randint(100, 700)), response_b=text(rng, 400)
        )
        yield LabeledPair(pair=pair, better=rng.choice(("A", "B")), source="bench", kind="synthetic")


def make_plans(pair: Pair) -> list[Plan]:
    rng = random.Random(pair.instruction_id)
    return [_plan(pair, sample, text(rng, 200)) for sample in range(PLANS)]


def _plan(pair: Pair, sample: int, body: str) -> Plan:
    completion = Completion(text=f"[Start of Evaluation Plan]\n{body}\n", finish_reason="stop", tokens=60)
    return Plan(instruction_id=pair.instruction_id, pair_id=None, order=None, sample=sample, completion=completion, text=body)


def make_chains(rng: random.Random, pair: Pair, order: Order, plan: Plan | None) -> list[Chain]:
    """Half of a plan's executions: 85 % name a verdict, 8 % name none, 5 % are cut off, 2 % contradict themselves."""
    assert plan is not None
    made = []
    for sample in range(EXECUTIONS // 2):
        kind = rng.random()
        verdict: Verdict = rng.choice(("A", "B")) if kind < 0.85 else "none"
        execution = f"{text(rng, 200)} [[{verdict if verdict != 'none' else '?'}]]"
        letter = Letter(offset=len(execution) - 3, logp_a=-rng.random(), logp_b=-1.0)
        cut_off = 0.93 <= kind < 0.98
        completion = Completion(
            text=f"\n{execution}\n",
            finish_reason="length" if cut_off else "stop",
            tokens=64,
            letters=(letter,) if kind < 0.85 else (),
        )
        chain = Chain(
            pair_id=pair.id, order=order, plan_id=plan.id, plan=plan.text, sample=sample, completion=completion, execution=execution,
            verdict=verdict, p_a=rng.random() if kind < 0.85 else None, cut_off=cut_off, disagrees=kind >= 0.98,
        )  # fmt: skip
        made.append(chain)
    return made


# -- phases ----------------------------------------------------------------------------------------------------------


def append(stage: Chains) -> tuple[float, dict[str, Any]]:
    """Returns the seconds inside the store and what was written."""
    seconds = 0.0
    for rank in range(RANKS):
        with Shard[Plan](stage.folder / "plans", rank) as plans, Shard[Chain](stage.folder / "chains", rank) as chains:
            for pair in owned(stage.pairs, rank, RANKS):
                written = make_plans(pair)
                rng = random.Random(pair.id)
                lines = [
                    (item.key, make_chains(rng, pair, order, item.plan))
                    for order in ORDERS
                    for item in execution_inputs(CONFIG.style, pair, order, written)
                ]
                start = time.perf_counter()
                plans.append(pair.instruction_id, written)
                for key, found in lines:
                    chains.append(key, found)
                seconds += time.perf_counter() - start
    return seconds, {}


def work(phase: str, stage: Chains) -> tuple[float, dict[str, Any]]:
    if phase == "append":
        return append(stage)
    start = time.perf_counter()
    counts: dict[str, Any] = {}
    if phase == "open":
        counts["lines"] = len(Shards(stage.folder / "plans", Plan)) + len(Shards(stage.folder / "chains", Chain))
    elif phase == "judge":
        counts.update(judge_chains(CONFIG, stage))
    elif phase == "sft":
        counts["rows"], left_out = write_rows(CONFIG, "sft", stage, stage.folder / "sft.jsonl", special=())
        counts.update(left_out)
    else:
        counts["rows"], left_out = write_rows(CONFIG, "dpo", stage, stage.folder / "dpo.jsonl", special=())
        counts.update(left_out)
    return time.perf_counter() - start, counts


def in_child(phase: str, folder: Path) -> dict[str, Any]:
    """Run one phase in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--phase", phase, "--keep", str(folder)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def yardstick(stage: Chains) -> float:
    """Chains a second that `json` reads and writes again, unchecked."""
    source, target = stage.judged, stage.folder / "yardstick.jsonl"
    count, start = 0, time.perf_counter()
    with source.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8") as copy:
        for line in lines:
            copy.write(json.dumps(json.loads(line)) + "\n")
            count += 1
            if count == YARDSTICK_CHAINS:
                break
    seconds = time.perf_counter() - start
    target.unlink()
    return count / seconds


def disk_bytes(folder: Path) -> dict[str, int]:
    """Bytes by stage folder or file."""
    found: dict[str, int] = {}
    for path in folder.rglob("*.jsonl"):
        name = path.relative_to(folder).parts[0]
        found[name] = found.get(name, 0) + path.stat().st_size
    return dict(sorted(found.items()))


def measure(pairs: int, folder: Path) -> dict[str, Any]:
    stage = stage_in(folder)
    write_jsonl(stage.pairs, labeled_pairs(pairs))
    chains = pairs * CHAINS_PER_PAIR
    figures: dict[str, Any] = {"chains": chains, "pairs": pairs, "phases": {}}
    for phase in PHASES:
        found = in_child(phase, folder)
        found["chains_per_s"] = round(chains / found["seconds"])
        figures["phases"][phase] = found
        print(
            f"{phase:8} {found['chains_per_s']:>9,} chains/s · {found['seconds']:8.1f} s · peak {found['peak_mib']:6.0f} MiB",
            flush=True,
        )
    base = sorted(yardstick(stage) for _ in range(3))[1]
    for found in figures["phases"].values():
        found["ratio"] = round(found["chains_per_s"] / base, 3)
    figures["json_chains_per_s"] = round(base)
    figures["peak_mib"] = max(found["peak_mib"] for found in figures["phases"].values())
    figures["disk_bytes"] = disk_bytes(folder)
    ratios = " · ".join(f"{phase} {found['ratio']:.2f}" for phase, found in figures["phases"].items())
    print(f"json     {base:>9,.0f} chains/s · ratios: {ratios}")
    print(f"peak {figures['peak_mib']:.0f} MiB · on disk {sum(figures['disk_bytes'].values()) / 2**20:,.0f} MiB")
    return figures


def stage_in(folder: Path) -> Chains:
    return Chains(folder, folder / "pairs.jsonl", "bench", True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=1_000_000, help=f"rounded down to whole pairs of {CHAINS_PER_PAIR}")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this new folder and leave it there")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object on the last line")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.phase:
        seconds, counts = work(arguments.phase, stage_in(arguments.keep))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": round(seconds, 3), "peak_mib": round(peak, 1), "counts": counts}))
        return 0
    if arguments.chains < CHAINS_PER_PAIR:
        parser.error(f"--chains must be at least {CHAINS_PER_PAIR}, one pair's")
    if arguments.keep and arguments.keep.exists() and any(os.scandir(arguments.keep)):
        parser.error(f"{arguments.keep} is not empty")
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="bench-store-"))
    try:
        figures = measure(arguments.chains // CHAINS_PER_PAIR, folder)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)
    if arguments.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
