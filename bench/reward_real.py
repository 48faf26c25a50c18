"""Rewards on real groups, as they are: GSM8K's four model solutions a problem, arena-hard's three answers a prompt.

    EVALPLANNER_DATA=FOLDER python bench/reward_real.py [--model embedded] [--groups 30] [--json]

All pairs of each group, both orders, with plans of the judge's own and with shared ones. `accuracy`: share of (right, wrong) solution
pairs in which the right one has the higher reward, a tie counting half; the ratio it is to be held against is a coin's 0.5. The
interval is a bootstrap over groups. For arena-hard nobody says which answer is right, so there is agreement alone: pairs whose two
orders name the same response over those asked. The embedded judge is far too small to judge these; the table says what it costs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
from scipy.stats import bootstrap

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before bench/, whose eval.py would hide eval/

from rewards.config import EngineOptions, RewardConfig, open_judge  # noqa: E402
from rewards.contest import Group, GroupScore, PlanSource, Scoring  # noqa: E402
from rewards.group import GroupScorer  # noqa: E402

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
Labelled = tuple[Group, tuple[bool, ...] | None]


def gsm8k(folder: Path, n: int) -> list[Labelled]:
    """Problems whose solutions are not all right and not all wrong."""
    rows = [json.loads(line) for line in (folder / "gsm8k" / "example_model_solutions.jsonl").open(encoding="utf-8")]
    mixed = [row for row in rows if len({row[model]["is_correct"] for model in MODELS}) == 2]
    return [
        (
            Group(instruction=row["question"], responses=tuple(row[model]["solution"] for model in MODELS)),
            tuple(row[model]["is_correct"] for model in MODELS),
        )
        for row in random.Random(0).sample(mixed, min(n, len(mixed)))
    ]


def arena_hard(folder: Path, n: int) -> list[Labelled]:
    place = folder / "arena_hard" / "data" / "arena-hard-v0.1"
    prompts = {
        row["question_id"]: row["turns"][0]["content"] for row in map(json.loads, (place / "question.jsonl").open(encoding="utf-8"))
    }
    answers: dict[str, list[str]] = {key: [] for key in prompts}
    for path in sorted((place / "model_answer").glob("*.jsonl")):
        for row in map(json.loads, path.open(encoding="utf-8")):
            answers[row["question_id"]].append(row["choices"][0]["turns"][0]["content"])
    keys = random.Random(0).sample(sorted(prompts), min(n, len(prompts)))
    return [(Group(instruction=prompts[key], responses=tuple(answers[key])), None) for key in keys]


def ordered(score: GroupScore, right: tuple[bool, ...]) -> Iterator[float]:
    """1, 0.5 or 0 for each pair of a right and a wrong solution; a missing reward is not higher than anything."""
    for good, is_good in zip(score.rewards, right, strict=True):
        for bad, is_bad in zip(score.rewards, right, strict=True):
            if is_good and not is_bad:
                yield 0.0 if good is None or bad is None else (good > bad) + 0.5 * (good == bad)


def measure(name: str, groups: list[Labelled], plan: PlanSource, scorer: GroupScorer) -> dict[str, Any]:
    start = time.monotonic()
    scores = scorer.score_groups([group for group, _ in groups])
    took = time.monotonic() - start
    asked = sum(score.cost.pairs for score in scores)
    row: dict[str, Any] = {
        "groups": name, "n": len(groups), "plan": plan, "pairs": asked, "judgments": sum(score.cost.judgments for score in scores),
        "unread": sum(score.cost.unread for score in scores) / max(1, sum(len(score.judgments) for score in scores)),
        "agreement": sum(bool(one.judgment and one.judgment.consistent) for score in scores for one in score.judgments) / max(1, asked),
        "tokens_a_judgment": sum(score.cost.tokens for score in scores) / max(1, 2 * asked), "seconds": round(took),
    }  # fmt: skip
    labelled = [list(ordered(score, right)) for score, (_, right) in zip(scores, groups, strict=True) if right is not None]
    if labelled:
        won, of = np.array([sum(one) for one in labelled]), np.array([len(one) for one in labelled])
        rate: Callable[..., Any] = lambda won, of, axis=-1: won.sum(axis=axis) / of.sum(axis=axis)  # noqa: E731
        found = bootstrap((won, of), rate, paired=True, vectorized=True, n_resamples=2000, method="percentile", rng=0)
        row["ratio"] = float(won.sum() / of.sum()) / 0.5
        row["accuracy"] = [float(won.sum() / of.sum()), float(found.confidence_interval.low), float(found.confidence_interval.high)]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--groups", type=int, default=30)
    parser.add_argument("--context", type=int, default=2048, help="longer pairs are not asked, and count as unread")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    folder = Path(os.environ.get("EVALPLANNER_DATA") or parser.error("set EVALPLANNER_DATA to the folder of real data"))
    judge = open_judge(RewardConfig(model=options.model, engine=EngineOptions(max_model_len=options.context)))
    rows = []
    print("| groups | n | plan | judgments | accuracy | agreement | unread | tokens a judgment |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, groups in (("gsm8k", gsm8k(folder, options.groups)), ("arena-hard", arena_hard(folder, options.groups // 3))):
        for plan in get_args(PlanSource):
            row = measure(name, groups, plan, GroupScorer(judge, Scoring(strategy="all_pairs", plan=plan)))
            rows.append(row)
            accuracy = "{:.1%} [{:.1%}, {:.1%}]".format(*row["accuracy"]) if "accuracy" in row else ""
            print(
                f"| {name} | {row['n']} | {plan} | {row['judgments']} | {accuracy} | {row['agreement']:.0%} | {row['unread']:.0%} "
                f"| {row['tokens_a_judgment']:.1f} |",
                flush=True,
            )
    judge.engine.close()
    if options.json:
        print(json.dumps({"model": options.model, "rows": rows}))


if __name__ == "__main__":
    main()
