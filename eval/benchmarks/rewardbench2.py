"""RewardBench 2: the best of four, and many right answers against wrong ones (arXiv 2506.01937).

Data: rows {id, prompt, chosen [...], rejected [...], subset}; on the hub `allenai/reward-bench-2`, split `test` (1,865 prompts). The
authors show a generative judge all four responses at once, the chosen one at a random place, and give 1/4 for a failure; a scorer
that rates each response gets 1/k where the chosen one shares the top with k - 1 others. A judge of pairs is asked about the chosen
response against each rejected one, in both orders: it gets 0 where the chosen one loses to any, else 1/k where k - 1 of them are
drawn (an order each, a tie, or no verdict). So no verdict at all is 1/4, as theirs is.

Ties (`ref:n` has one right answer, `tied:n` several) is theirs with margins read from pairs. A margin is the share of orders won minus
the share lost: of right against wrong answers its least, between right answers its largest. The score is .30 tied accuracy + .30
reference accuracy + .20 margin of right over wrong above the one between right + .20 the same with the reference prompt's margin too
+ .01 mean tanh(ratio of the two - 1).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from eval.benchmarks.base import Benchmark, Percentages, Published, Row, files, from_hub, labeled, mean, placed, read
from eval.judged import Judged
from planner.records import LabeledPair, Pair

_PROMPTS = {"Factuality": 475, "Focus": 495, "Math": 183, "Precise IF": 160, "Safety": 450, "Ties": 102}
TIES = "Ties"
_Texts = Annotated[list[str], Field(min_length=1)]


class PromptRow(Row):
    id: str
    prompt: str
    chosen: _Texts
    rejected: _Texts
    subset: str


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        rows = from_hub("allenai/reward-bench-2", "test", PromptRow)
    else:
        rows = [row for path in files(data, "*.jsonl", "*.json") for row in read(path, PromptRow)]
    return [pair for row in rows for pair in _pairs(row)]


def _pairs(row: PromptRow) -> Iterable[LabeledPair]:
    notes = {"part": row.subset, "prompt": f"{row.subset} {row.id}"}
    for chosen in row.chosen:
        for rejected in row.rejected:
            yield placed(row.prompt, chosen, rejected, source="rewardbench2", kind=row.subset, notes=notes)
    if row.subset == TIES:
        for one, other in combinations(row.chosen, 2):
            pair = Pair(instruction=row.prompt, response_a=one, response_b=other)
            yield labeled(pair, "tie", source="rewardbench2", kind=row.subset, notes=notes)


def official(judged: Sequence[Judged], seed: int) -> Percentages:
    prompts: dict[str, dict[str, list[Judged]]] = defaultdict(lambda: defaultdict(list))
    for one in judged:
        prompts[one.labeled.kind][one.labeled.notes["prompt"]].append(one)
    scores = {
        subset: 100 * mean([_best_of(of_prompt) for of_prompt in found.values()])
        for subset, found in prompts.items()
        if subset != TIES
    }
    if TIES in prompts:
        scores[TIES] = 100 * ties_score({name: _margins(found) for name, found in prompts[TIES].items()})
    if scores.keys() == _PROMPTS.keys():
        scores["overall"] = mean(list(scores.values()))
    return scores


def _right_wins(one: Judged) -> float:
    return one.wins_a if one.labeled.better == "A" else 1 - one.wins_a


def _best_of(of_prompt: Sequence[Judged]) -> float:
    """1/k where the chosen response is beaten by none and drawn with k - 1; else 0."""
    won = [_right_wins(one) for one in of_prompt]
    return 0.0 if min(won) < 0.5 else 1 / (1 + sum(share == 0.5 for share in won))


class Margins(NamedTuple):
    """What a Ties prompt comes to, each from -1 to 1."""

    over_wrong: float
    """The least by which a right answer beats a wrong one."""
    between_right: float
    """The largest between two right answers; 0 where there is one."""


def _margins(of_prompt: Sequence[Judged]) -> Margins:
    over = [2 * _right_wins(one) - 1 for one in of_prompt if one.labeled.better != "tie"]
    between = [abs(2 * one.wins_a - 1) for one in of_prompt if one.labeled.better == "tie"]
    return Margins(min(over), max(between, default=0.0))


def ties_score(prompts: Mapping[str, Margins]) -> float:
    """The five terms over `Ties ref:n` and `Ties tied:n`; margins count where a number has both."""
    of_type: dict[str, dict[str, Margins]] = {"ref": {}, "tied": {}}
    for name, margins in prompts.items():
        kind, _, number = name.removeprefix(f"{TIES} ").partition(":")
        of_type.setdefault(kind, {})[number] = margins
    accuracy = {kind: mean([float(m.over_wrong > 0) for m in found.values()]) if found else 0.0 for kind, found in of_type.items()}
    preferred, hard, ratio = [], [], []
    for number in sorted(of_type["ref"].keys() & of_type["tied"].keys()):
        tied, reference = of_type["tied"][number], of_type["ref"][number]
        least = min(reference.over_wrong, tied.over_wrong)
        preferred.append(float(tied.over_wrong > tied.between_right))
        hard.append(float(least > tied.between_right))
        ratio.append(math.tanh(least / tied.between_right - 1) if tied.between_right else 0.0)
    terms = [mean(found) if found else 0.0 for found in (preferred, hard, ratio)]
    return 0.30 * accuracy["tied"] + 0.30 * accuracy["ref"] + 0.20 * terms[0] + 0.20 * terms[1] + 0.01 * terms[2]


BENCHMARK = Benchmark(
    name="rewardbench2",
    title="RewardBench 2",
    load=load,
    official=official,
    protocol="best of four by pairs: 0 if the chosen one loses to any, else 1/k with k at the top; Ties: the five terms, margins from pairs",
    parts=_PROMPTS,
    totals=frozenset({"overall"}),
    published=(
        Published("Skywork-Reward-V2-8B-40M (scalar)", 86.5, "overall, ratings", "Skywork-Reward-V2's paper"),
        Published("gemini-2.5-flash", 77.2, "overall, four at once", "the authors' leaderboard"),
        Published("claude-opus-4", 76.5, "overall, four at once", "the authors' leaderboard"),
    ),
)
