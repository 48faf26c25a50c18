"""A million raw rows through hygiene: rows a second, peak memory, and how both grow from ten thousand on.

    python bench/data.py [--rows 1000000] [--json]

Synthetic preference rows (an instruction of 30 words or so, two responses of 20 to 60) are written to a file; one in twenty repeats an
earlier row, one in twenty repeats an earlier instruction with a few words changed, one in fifty declines to answer, one in a hundred contains a
prompt of the benchmark file. They are then read as `source = "preference"` and cleaned with the default hygiene (near-duplicates at 0.8,
13-grams against that file), each size in a fresh process so that its peak is its own. A language filter is not on.

Measured against the least that such a step can do on the same machine: Python's `json` reading each row and writing it again, unchecked.
`ratio` is that yardstick's time over ours.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before bench/, whose eval.py would hide eval/

from selftrain.data_config import HygieneConfig, SourceConfig  # noqa: E402
from selftrain.pairs import preference  # noqa: E402
from selftrain.pairs.hygiene import clean  # noqa: E402

WORDS = [
    f"{a}{b}{c}"
    for a in ("ka", "lo", "mi", "ne", "pu", "ra", "si", "to")
    for b in ("bar", "den", "fil", "gon", "hul", "jem")
    for c in ("a", "e", "o", "us", "in")
]
KEPT_ROWS = 1000
"""Recent rows that repetitions are drawn from."""


def rows(count: int) -> Iterator[dict[str, str]]:
    rng = random.Random(0)
    recent: list[dict[str, str]] = []
    for _ in range(count):
        kind = rng.random()
        if kind < 0.05 and recent:
            row = rng.choice(recent)
        else:
            row = {"prompt": _text(rng, 20, 40), "chosen": _text(rng, 20, 60), "rejected": _text(rng, 20, 60)}
            if kind < 0.10 and recent:
                words = rng.choice(recent)["prompt"].split()
                words[rng.randrange(len(words))] = rng.choice(WORDS)
                row["prompt"] = " ".join(words)
            elif kind < 0.12:
                row["chosen"] = f"I'm sorry, but I cannot help with that. {row['chosen']}"
            elif kind < 0.13:
                row["prompt"] += " " + _benchmark_prompt(rng.randrange(500))
        if len(recent) < KEPT_ROWS:
            recent.append(row)
        else:
            recent[rng.randrange(KEPT_ROWS)] = row
        yield row


def _text(rng: random.Random, low: int, high: int) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))


def _benchmark_prompt(number: int) -> str:
    return _text(random.Random(f"benchmark {number}"), 20, 30)


def work(folder: Path, raw: Path, benchmark: Path) -> dict[str, Any]:
    """Clean one file; run in a process of its own."""
    config = SourceConfig(source="preference", path=str(raw))
    start = time.perf_counter()
    found = clean(preference.read(config, folder, 0, Counter()), HygieneConfig(benchmarks=(str(benchmark),)), folder, seed=0)
    return {
        "seconds": time.perf_counter() - start,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "counts": found.counts,
    }


def yardstick(raw: Path, copy: Path) -> float:
    start = time.perf_counter()
    with raw.open(encoding="utf-8") as lines, copy.open("w", encoding="utf-8") as out:
        for line in lines:
            out.write(json.dumps(json.loads(line)) + "\n")
    copy.unlink()
    return time.perf_counter() - start


def measure(most: int, folder: Path) -> dict[str, Any]:
    benchmark = folder / "benchmark.jsonl"
    benchmark.write_text("".join(json.dumps({"prompt": _benchmark_prompt(number)}) + "\n" for number in range(500)))
    sizes = sorted({most, *(10**power for power in range(4, 7) if 10**power < most)})
    found: dict[str, Any] = {"sizes": {}}
    for size in sizes:
        raw = folder / f"raw-{size}.jsonl"
        with raw.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows(size))
        done = subprocess.run(
            [sys.executable, __file__, "--work", str(raw), str(benchmark)], stdout=subprocess.PIPE, text=True, check=True
        )
        figures = json.loads(done.stdout.splitlines()[-1])
        figures["json_seconds"] = yardstick(raw, folder / "copy.jsonl")
        figures["ratio"] = figures["json_seconds"] / figures["seconds"]
        found["sizes"][size] = figures
        raw.unlink()
        counts = " · ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in figures["counts"].items())
        print(
            f"{size:>9,} rows · {figures['seconds']:7.1f} s · {size / figures['seconds']:7,.0f} rows/s · peak {figures['peak_mib']:5,.0f} MiB · "
            f"ratio to json {figures['ratio']:.3f}\n          {counts}",
            flush=True,
        )
    if len(sizes) > 1:
        small, large = (found["sizes"][size] for size in (sizes[0], sizes[-1]))
        growth = math.log(large["seconds"] / small["seconds"]) / math.log(sizes[-1] / sizes[0])
        added = (large["peak_mib"] - small["peak_mib"]) * 2**20 / (sizes[-1] - sizes[0])
        found |= {"time_exponent": growth, "bytes_per_row": added}
        print(f"time grows as rows^{growth:.2f}; memory by {added:,.0f} bytes a row")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object on the last line")
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-data-"))
    try:
        if asked.work:
            print(json.dumps(work(folder, *asked.work)))
            return 0
        if asked.rows < 100:
            parser.error("--rows must be at least 100")
        figures = measure(asked.rows, folder)
    finally:
        shutil.rmtree(folder)
    if asked.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
