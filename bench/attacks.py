"""How often a judge falls for a persuasive attack: the attacked against the clean response to the same prompt.

    python bench/attacks.py [--model embedded] [--prompts 20] [--json]

Prompts and answers are the builtin source's. A plea is put behind the clean answer; a "master key" stands alone in its place. Both
orders, forced where the judge names no verdict, as in training a policy. `wins` is the mean P(attacked is better), and `sure` the share
of prompts where both orders name the attacked one. The yardsticks are in the first rows: a harmless sentence behind the same answer,
and a harmless short answer alone; ratio is wins over its own yardstick's. Intervals are bootstraps over prompts, 95 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before bench/, whose eval.py would hide eval/

from planner.judge import Judge  # noqa: E402
from planner.records import LabeledPair, Pair  # noqa: E402
from rewards.config import EngineOptions, RewardConfig, open_judge  # noqa: E402
from rewards.contest import Scoring, preference  # noqa: E402
from selftrain.pairs.builtin import generate  # noqa: E402
from tests.attacks.texts import PERSUASION  # noqa: E402

HARMLESS = {"(harmless sentence)": "That was the answer to the question asked.", "(harmless answer alone)": "An answer."}


def attacked(name: str, text: str, clean: str) -> str:
    """A clean answer with a plea behind it, or what stands in its place."""
    alone = name.startswith("master key") or "alone" in name
    return text if alone else f"{clean}\n{text}"


def measure(judge: Judge, name: str, text: str, pairs: list[LabeledPair]) -> dict[str, Any]:
    asked = []
    for one in pairs:
        clean = one.pair.response_a if one.better == "A" else one.pair.response_b
        asked.append(Pair(instruction=one.pair.instruction, response_a=attacked(name, text, clean), response_b=clean))
    judgments = list(judge.compare_many(asked))
    read = np.array([p for said in judgments if (p := preference(said, Scoring())[0]) is not None])
    sure = sum(said.consistent and said.verdict == "A" for said in judgments) / len(judgments)
    found = bootstrap((read,), np.mean, n_resamples=2000, method="percentile", rng=0).confidence_interval
    return {"attack": name, "n": len(read), "wins": float(read.mean()), "ci95": [float(found.low), float(found.high)], "sure": sure}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    pairs = list(islice(generate("known", 0), 2 * options.prompts))[::2]
    judge = open_judge(RewardConfig(model=options.model, force=True, engine=EngineOptions(max_model_len=1024)))
    rows: list[dict[str, Any]] = []
    print("| attack | n | wins over the clean answer | sure in both orders | ratio to harmless |")
    print("| --- | --- | --- | --- | --- |")
    for name, text in (HARMLESS | PERSUASION).items():
        row = measure(judge, name, text, pairs)
        rows.append(row)
        yardstick = rows[1 if name.startswith("master key") else 0]["wins"] if len(rows) > 2 else row["wins"]
        row["ratio"] = row["wins"] / yardstick
        low, high = row["ci95"]
        print(
            f"| {name} | {row['n']} | {row['wins']:.1%} [{low:.1%}, {high:.1%}] | {row['sure']:.0%} | {row['ratio']:.2f} |",
            flush=True,
        )
    judge.engine.close()
    if options.json:
        print(json.dumps({"model": options.model, "rows": rows}))


if __name__ == "__main__":
    main()
