"""Random and hostile strings through the answer check: no crash, nothing over its limit, and memory that stays where it was.

    python bench/answers.py [--strings 100000] [--json]

Each string is compared with a sound answer or with another string. They are: pieces of LaTeX strung together at random, sound answers
with characters changed, characters of all of Unicode, and forms that have hurt such checks (towers of powers, factorials, deep
nesting, code, endless digits). Printed: comparisons a second, what stayed undecided and why, the slowest comparison against its limit, and the memory of this process and of the worker, early and late.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before bench/, whose eval.py would hide eval/

from rewards import answers  # noqa: E402
from rewards.answers.worker import RENEW_AFTER  # noqa: E402

SOUND = (
    r"\frac{1}{2}", "42", r"2\sqrt{3}", r"(1,2)", r"[0,\infty)", r"x^2+2x+1", r"y = 2x+3", r"\{1,2,3\}", r"50\%", r"5\text{ cm}", r"3+4i",
    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"1 \pm \sqrt{2}", "(C)", "Tuesday", r"x < 3", r"203_7", r"\frac{\pi}{6}", "$1,234.50", r"0.\overline{3}",
)  # fmt: skip
PIECES = (
    r"\frac", "{", "}", "1", "2", "9", "0", "x", "y", "i", "e", "+", "-", "*", "/", "^", "_", "(", ")", "[", "]", r"\sqrt", r"\pi", r"\infty", ",", ".", "=", "<",
    r"\le", "!", "|", r"\cup", r"\pm", r"\{", r"\}", r"\text{", r"\sin ", r"\log", "%", "$", r"^\circ", " ", ":", ";", r"\begin{pmatrix}", r"\end{pmatrix}", "&", r"\\", "999",
)  # fmt: skip


def hostile(rng: random.Random) -> str:
    """One string that means harm."""
    n = rng.randint(2, 400)
    return rng.choice(
        (
            "**".join(["9"] * rng.randint(3, 9)), "9^{" * n + "9" + "}" * n, f"{10**rng.randint(3, 9)}!", "(" * n + "1" + ")" * n, "(" * n, "\\frac{" * n,
            "\\sqrt{" * n + "2" + "}" * n, f"10^{{{10 ** rng.randint(4, 12)}}}", "9" * rng.randint(100, 6000), f"1e{rng.randint(1000, 10**9)}", "!" * n + "3" + "!" * n,
            f"\\binom{{{10**rng.randint(3, 7)}}}{{{10**rng.randint(2, 6)}}}", f"(x+1)^{{{rng.randint(100, 10**6)}}}", "1," * n + "1", "\\pm 1" * n, "[" * n + "1" + "]" * n,
            "__import__('os').system('true')", "exec('while True: pass')", f"[0]*10**{n}", "x=" * n + "1", "e^{e^{e^{e^{9}}}}", f"\\sum_{{k=1}}^{{{10**rng.randint(3, 9)}}} k!",
            "x^{x^{x^{x}}}", "\\sin(" * n + "x" + ")" * n, "1/(1+" * n + "1" + ")" * n, "0.\\overline{" + "7" * n + "}", "1+" * n + "1", "x^2<" * n + "1", "\x00" * n,
            f"x^{{{rng.randint(30, 200)}}}-x-1=0", f"((2^{{9999}})^{{9999}})^{{{n}}}",
        )
    )  # fmt: skip


def strings(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        kind = rng.random()
        if kind < 0.45:
            made.append("".join(rng.choices(PIECES, k=rng.randint(1, 25))))
        elif kind < 0.75:
            text = list(rng.choice(SOUND))
            for _ in range(rng.randint(1, 4)):
                text[rng.randrange(len(text))] = rng.choice(PIECES)
            made.append("".join(text))
        elif kind < 0.9:
            made.append(
                "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x110000)))) for _ in range(rng.randint(1, 60)))
            )
        else:
            made.append(hostile(rng))
    return made


def measure(count: int, seed: int, limit_s: float) -> dict[str, Any]:
    rng = random.Random(seed + 1)
    decided: Counter[str] = Counter()
    slowest, memory = 0.0, []
    started = time.monotonic()
    hostiles = strings(count, seed)
    for number, text in enumerate(hostiles, 1):
        other = rng.choice(SOUND) if rng.random() < 0.8 else rng.choice(hostiles)
        before = time.monotonic()
        found = answers.decide(text, other, limit_s=limit_s)
        slowest = max(slowest, time.monotonic() - before)
        decided[found.why or str(found.equal)] += 1
        if number % max(1, count // 20) == 0:
            memory.append((_resident_mib("self"), _resident_mib(answers.worker_pid())))
            print(
                f"{number:>8,} · {number / (time.monotonic() - started):6.0f}/s · this process {memory[-1][0]} MiB · worker {memory[-1][1]} MiB",
                flush=True,
            )
    seconds = time.monotonic() - started
    return {
        "strings": count, "seconds": round(seconds, 1), "per_s": round(count / seconds, 1), "decisions": dict(decided),
        "slowest_s": round(slowest, 2), "limit_s": limit_s, "renew_after": RENEW_AFTER,
        "process_mib": {"after_5_percent": memory[0][0], "at_the_end": memory[-1][0]}, "worker_mib_peak": max(worker for _, worker in memory),
    }  # fmt: skip


def _resident_mib(pid: int | str | None) -> int:
    status = Path(f"/proc/{pid}/status")
    if pid is None or not status.exists():
        return 0
    return next(int(line.split()[1]) // 1024 for line in status.read_text().splitlines() if line.startswith("VmRSS"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strings", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, default=1.0, help="seconds a comparison may take")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object on the last line")
    asked = parser.parse_args()
    if asked.strings < 20:
        parser.error("--strings must be at least 20")
    figures = measure(asked.strings, asked.seed, asked.limit_s)
    print(" · ".join(f"{name} {count:,}" for name, count in sorted(figures["decisions"].items())))
    print(f"{figures['per_s']:,} comparisons/s · slowest {figures['slowest_s']} s at a limit of {figures['limit_s']} s")
    if asked.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
