"""What a judgment buys: how well each strategy of `rewards/tournament.py` ranks a group, against random pairs of the same number.

    python bench/reward.py [--groups 1000] [--sizes 4,8,16,32,64] [--json]

A scripted judge with Bradley-Terry noise, no model. Each group draws true strengths from N(0, `--spread`²). Asked for a pair in
one order, the judge sees the difference of strengths, plus `--bias` for whoever is shown first, plus logistic noise; so without
bias it names i over j with exactly the Bradley-Terry probability. `hard`: the sign of what it saw. `soft`: its sigmoid, a judge
whose confidence means something. Each pair is asked in both orders, so judgments = 2 × pairs.

tau is Kendall's τ-b between rewards and true strengths, best the share of groups whose first-ranked response is truly the best
(ties count as chance), both means over groups. The yardstick, `random`, plays as many distinct random pairs and is fitted in the same
way, on the same groups. The ratio is gain = tau / random's tau, and the interval is of the paired difference of tau (95 %,
normal over groups). `all_pairs` is its own yardstick: at that number random pairs are all pairs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import kendalltau

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before bench/, whose eval.py would hide eval/

from rewards.tournament import Match, Strategy, against_anchor, fitted, schedule  # noqa: E402

Array = NDArray[np.float64]
Asked = Callable[[list[Match]], dict[Match, float]]


def judge(strengths: Array, bias: float, hard: bool, rng: np.random.Generator) -> Asked:
    """P(first is better) of each match: the mean over the two orders."""

    def ask(matches: list[Match]) -> dict[Match, float]:
        a, b = np.array(matches).T
        seen = strengths[a] - strengths[b] + np.array([[bias], [-bias]]) + rng.logistic(size=(2, len(matches)))
        p = (seen > 0).astype(float) if hard else expit(seen)
        return dict(zip(matches, p.mean(axis=0).tolist(), strict=True))

    return ask


def play(strategy: Strategy, n: int, ask: Asked) -> tuple[list[float], int]:
    """(rewards, pairs asked) of one group."""
    rounds = schedule(strategy, n)
    results: dict[Match, float] = {}
    matches = next(rounds)
    while matches:
        results |= ask(matches)
        try:
            matches = rounds.send(results)
        except StopIteration:
            break
    rewards = against_anchor(n, results) if strategy == "pivot" else fitted(n, results)
    return [0.5 if reward is None else reward for reward in rewards], len(results)


def play_random(n: int, pairs: int, ask: Asked, rng: np.random.Generator) -> list[float]:
    """Rewards from `pairs` distinct random pairs; a response that met nobody is an average one."""
    every = list(combinations(range(n), 2))
    results = ask([every[k] for k in rng.choice(len(every), size=pairs, replace=False)])
    return [0.5 if reward is None else reward for reward in fitted(n, results)]


def quality(strengths: Array, rewards: list[float]) -> tuple[float, float]:
    """(Kendall's tau-b, chance that the first-ranked is the best)."""
    given = np.array(rewards)
    leaders = np.flatnonzero(given == given.max())
    tau = float(kendalltau(strengths, given).statistic) if np.ptp(given) > 0 else 0.0
    return tau, float(np.argmax(strengths) in leaders) / len(leaders)


def measure(n: int, strategy: Strategy, hard: bool, options: argparse.Namespace) -> dict[str, Any]:
    """One row of the table: a strategy and its yardstick on the same groups."""
    ours, theirs, spent = [], [], []
    for group in range(options.groups):
        strengths = np.random.default_rng([options.seed, n, group]).normal(scale=options.spread, size=n)
        # The same group and the same noise for every strategy, as far as they ask the same.
        rng = np.random.default_rng([options.seed, n, group, 1])
        rewards, pairs = play(strategy, n, judge(strengths, options.bias, hard, rng))
        ours.append(quality(strengths, rewards))
        spent.append(2 * pairs)
        if strategy != "all_pairs":
            other = np.random.default_rng([options.seed, n, group, 2])
            theirs.append(quality(strengths, play_random(n, pairs, judge(strengths, options.bias, hard, other), other)))
    own, random = np.array(ours), np.array(theirs or ours)
    gap = own[:, 0] - random[:, 0]
    half = 1.96 * float(gap.std(ddof=1)) / len(gap) ** 0.5 if len(gap) > 1 else float("inf")
    return {
        "size": n, "verdicts": "hard" if hard else "soft", "strategy": strategy, "judgments": float(np.mean(spent)),
        "tau": float(own[:, 0].mean()), "random_tau": float(random[:, 0].mean()), "ratio": float(own[:, 0].mean() / random[:, 0].mean()),
        "gap95": [float(gap.mean()) - half, float(gap.mean()) + half], "best": float(own[:, 1].mean()),
        "random_best": float(random[:, 1].mean()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--sizes", default="4,8,16,32,64")
    parser.add_argument("--spread", type=float, default=1.5, help="standard deviation of true strengths, in logits")
    parser.add_argument("--bias", type=float, default=0.5, help="logits for the response shown first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    if options.groups < 2 or any(not size.isdigit() or int(size) < 2 for size in options.sizes.split(",")):
        parser.error("--groups and every one of --sizes are at least 2")
    rows = []
    print("| G | verdicts | strategy | judgments | tau | random's tau | difference, 95 % | best | random's best |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for n in map(int, options.sizes.split(",")):
        for hard in (True, False):
            for strategy in get_args(Strategy):
                row = measure(n, strategy, hard, options)
                rows.append(row)
                low, high = row["gap95"]
                print(
                    f"| {n} | {row['verdicts']} | {strategy} | {row['judgments']:.0f} | {row['tau']:.3f} | {row['random_tau']:.3f} "
                    f"| {low:+.3f} … {high:+.3f} | {row['best']:.0%} | {row['random_best']:.0%} |",
                    flush=True,
                )
    if options.json:
        print(json.dumps({"groups": options.groups, "spread": options.spread, "bias": options.bias, "rows": rows}))


if __name__ == "__main__":
    main()
