"""JudgeBench: objectively right against wrong answers to hard questions (arXiv 2410.12784).

Data: JSONL of pairs, one file a response model; on the hub `ScalerLab/JudgeBench` with the splits `gpt` (350 pairs by GPT-4o, the
headline set) and `claude` (270). A judge is asked in both orders; +1 for each right, -1 for each wrong answer, and a pair counts
as right where the sum is above 0, so a right and a missing verdict make a right pair. Position-consistent accuracy is stricter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from eval.benchmarks.base import Benchmark, Percentages, Published, Row, files, from_hub, labeled, percent, read
from eval.judged import Judged, chain_of
from planner.errors import UserError
from planner.records import ORDERS, Chain, Label, LabeledPair, Order, Pair, Verdict, flip

CATEGORIES = {"mmlu-pro": "knowledge", "livebench-reasoning": "reasoning", "livebench-math": "math", "livecodebench": "coding"}
_SETS = {"gpt-4o-2024-05-13": "gpt-4o", "claude-3-5-sonnet-20240620": "claude-3.5-sonnet"}
_DECISION: Mapping[str | None, Verdict] = {"A>B": "A", "B>A": "B", "A=B": "tie", None: "none"}


class PairRow(Row):
    pair_id: str
    source: str
    question: str
    response_model: str
    response_A: str
    response_B: str
    label: Literal["A>B", "B>A"]


class Said(Row):
    response: str | None = None


class Game(Row):
    judgment: Said | None = None
    decision: Literal["A>B", "B>A", "A=B"] | None


class OutputRow(PairRow):
    judgments: Annotated[list[Game | None], Field(max_length=2)] | None


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        return [_pair(row) for split in ("gpt", "claude") for row in from_hub("ScalerLab/JudgeBench", split, PairRow)]
    return [_pair(row) for path in files(data, "dataset=judgebench,response_model=*.jsonl") if "judge_name=" not in path.name
            for row in read(path, PairRow)]  # fmt: skip


def _pair(row: PairRow) -> LabeledPair:
    category = next((name for prefix, name in CATEGORIES.items() if row.source.startswith(prefix)), row.source)
    better: Label = "A" if row.label == "A>B" else "B"
    part = _SETS.get(row.response_model, row.response_model)
    pair = Pair(instruction=row.question, response_a=row.response_A, response_b=row.response_B)
    notes = {"part": part, "id": row.pair_id, "source": row.source}
    return labeled(pair, better, source="judgebench", kind=category, notes=notes)


def official(judged: Sequence[Judged], seed: int) -> Percentages:
    """Percent of pairs whose two orders sum to more than 0; of each set under its own name where there are both."""
    sets = sorted({one.labeled.notes["part"] for one in judged})
    scores: Percentages = {}
    for part in sets:
        prefix = "" if len(sets) == 1 else f"{part} "
        of_set = [one for one in judged if one.labeled.notes["part"] == part]
        for category in (*CATEGORIES.values(), "overall"):
            found = [one for one in of_set if category in ("overall", one.labeled.kind)]
            if found:
                scores[prefix + category] = percent(sum(_sum(one) > 0 for one in found), len(found))
    return scores


def _sum(one: Judged) -> int:
    gold = one.labeled.better
    points = {gold: 1, flip(gold): -1}
    return sum(points.get(one.said(order), 0) for order in one.chains)


def read_outputs(path: Path, swapped: Path | None, data: Path | None) -> list[Judged]:
    """A judge's output file: each row holds its pair, so the benchmark itself is not needed. The second game is flipped back."""
    rows = read(path, OutputRow)
    twice = len(rows) - len({(row.response_model, row.pair_id) for row in rows})
    if twice:
        raise UserError(f"{path} has {twice} rows with a pair_id that another row has; leave one of each")
    games = {len(row.judgments) for row in rows if row.judgments}
    if len(games) > 1:
        raise UserError(f"{path} judges some pairs in both orders and some in one; leave out the rows of one kind")
    return [_judged(row, max(games, default=2)) for row in rows]


def _judged(row: OutputRow, games: int) -> Judged:
    """A pair that was not judged at all is owed as many verdicts as the others have."""
    pair = _pair(row)
    chains: dict[Order, Chain] = {}
    for order, game in zip(ORDERS, row.judgments or [None] * games, strict=False):
        decision = _DECISION[game.decision if game else None]
        text = (game.judgment.response if game and game.judgment else None) or ""
        chains[order] = chain_of(pair, order, decision if order == "ab" else flip(decision), text)
    return Judged(pair, chains)


BENCHMARK = Benchmark(
    name="judgebench",
    title="JudgeBench",
    load=load,
    official=official,
    protocol="both orders; right where right answers outnumber wrong ones (a right and a missing verdict make a right pair)",
    parts={"gpt-4o": 350, "claude-3.5-sonnet": 270},
    totals=frozenset({"overall", "gpt-4o overall", "claude-3.5-sonnet overall"}),
    separate=True,
    read_outputs=read_outputs,
    published=(
        Published("o3-mini-high", 86.2, "GPT-4o pairs, official", "arXiv 2410.12784's leaderboard"),
        Published("o3", 75.7, "GPT-4o pairs, J1's protocol", "arXiv 2505.10320"),
        Published("J1-Qwen-32B-MultiTask", 71.4, "GPT-4o pairs, position-consistent", "arXiv 2505.10320"),
        Published(
            "o1-mini (arena_hard)",
            65.71,
            "GPT-4o pairs, official, recomputed from the released outputs",
            "github.com/ScalerLab/JudgeBench",
        ),
        Published(
            "GRM-Gemma-2B (scalar)",
            59.43,
            "GPT-4o pairs, official, recomputed from the released outputs",
            "github.com/ScalerLab/JudgeBench",
        ),
        Published("EvalPlanner, Llama-3.3-70B", 56.6, "GPT-4o pairs, position-consistent", "arXiv 2501.18099"),
    ),
)
