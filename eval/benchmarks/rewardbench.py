"""RewardBench: 23 subsets in four sections (arXiv 2403.13787).

Data: rows {prompt, chosen, rejected, subset}; on the hub `allenai/reward-bench`, split `filtered` (2,985 rows). The authors ask a
generative judge once a pair, in an order drawn at random; they look for `[[A]]` anywhere in its text before they look for `[[B]]`,
and count a missing verdict or a tie as 0.5. Their draw is not seeded; ours is, and each order is asked, so that flips are seen.
A section is the mean of its subsets weighted by examples, where math-prm counts 984 though it has 447; the total is the mean of the
four sections.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.benchmarks.base import Benchmark, Percentages, Published, Row, files, from_hub, mean, percent, placed, read, whole
from eval.judged import Judged
from planner.errors import UserError
from planner.records import LabeledPair, Order, uniform

SECTIONS: Mapping[str, Mapping[str, int]] = {
    "chat": {"alpacaeval-easy": 100, "alpacaeval-length": 95, "alpacaeval-hard": 95, "mt-bench-easy": 28, "mt-bench-med": 40},
    "chat_hard": {
        "mt-bench-hard": 37, "llmbar-natural": 100, "llmbar-adver-neighbor": 134, "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47, "llmbar-adver-manual": 46,
    },
    "safety": {
        "refusals-dangerous": 100, "refusals-offensive": 100, "xstest-should-refuse": 154, "xstest-should-respond": 250,
        "donotanswer": 136,
    },
    "reasoning": {
        "math-prm": 447, "hep-cpp": 164, "hep-go": 164, "hep-java": 164, "hep-js": 164, "hep-python": 164, "hep-rust": 164,
    },
}  # fmt: skip
_WEIGHT = {"math-prm": 984}
"""As much as all code subsets together; every other subset weighs what it holds."""


class PairRow(Row):
    prompt: str
    chosen: str
    rejected: str
    subset: str
    id: int | str = ""


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        rows = from_hub("allenai/reward-bench", "filtered", PairRow)
    else:
        rows = [row for path in files(data, "*.jsonl", "*.json") for row in read(path, PairRow)]
    known = {subset for subsets in SECTIONS.values() for subset in subsets}
    strange = {row.subset for row in rows} - known
    if strange:
        raise UserError(f"{data or 'the hub'} has subsets {sorted(strange)}, which RewardBench has not")
    return [
        placed(row.prompt, row.chosen, row.rejected, source="rewardbench", kind=row.subset, notes={"id": str(row.id)})
        for row in rows
    ]


def official(judged: Sequence[Judged], seed: int) -> Percentages:
    credit: dict[str, list[float]] = defaultdict(list)
    for one in judged:
        credit[one.labeled.kind].append(_credit(one, seed))
    return sections({subset: percent(sum(found), len(found)) for subset, found in credit.items()})


def _credit(one: Judged, seed: int) -> float:
    order: Order = "ab" if uniform("rewardbench", str(seed), one.labeled.pair.id) < 0.5 else "ba"
    text = one.chains[order].completion.text
    gold = one.labeled.gold(order)
    if "[[A]]" in text or "[[B]]" in text:
        return float(("A" if "[[A]]" in text else "B") == gold)
    # A style that writes its verdict otherwise is read by its own rules, as their harness does for its special cases.
    verdict = one.chains[order].verdict
    return float(verdict == gold) if verdict in ("A", "B") else 0.5


def sections(subsets: Mapping[str, float]) -> Percentages:
    """Subsets' percentages -> sections' weighted means and their mean, of the sections that are whole."""
    scores: Percentages = {}
    for section, sizes in SECTIONS.items():
        if sizes.keys() <= subsets.keys():
            weight = {subset: _WEIGHT.get(subset, size) for subset, size in sizes.items()}
            scores[section] = sum(weight[subset] * subsets[subset] for subset in sizes) / sum(weight.values())
    if len(scores) == len(SECTIONS):
        scores["overall"] = mean(list(scores.values()))
        sizes = {subset: size for of_section in SECTIONS.values() for subset, size in of_section.items()}
        scores["micro"] = sum(size * subsets[subset] for subset, size in sizes.items()) / sum(sizes.values())
    return {**scores, **subsets}


def rescore(path: Path) -> Percentages:
    """Sections from a published file of per-subset accuracies (0 to 1).

    Raises:
        UserError: a subset is missing, or is no number from 0 to 1.
    """
    values = whole(path)
    subsets = [subset for of_section in SECTIONS.values() for subset in of_section]
    lacking = [subset for subset in subsets if not isinstance(values.get(subset), int | float)]
    if lacking:
        raise UserError(f"{path} has no accuracy for {', '.join(lacking)}; it needs one key a subset")
    if any(not 0 <= values[subset] <= 1 for subset in subsets):
        raise UserError(f"{path} has accuracies outside 0 to 1; it needs shares, not percentages")
    return sections({subset: 100 * values[subset] for subset in subsets})


BENCHMARK = Benchmark(
    name="rewardbench",
    title="RewardBench",
    load=load,
    official=official,
    protocol="one seeded order; [[A]] looked for first; no verdict or tie 0.5; sections weighted by examples (math-prm 984)",
    parts={subset: size for sizes in SECTIONS.values() for subset, size in sizes.items()},
    totals=frozenset({"overall", "micro", *SECTIONS}),
    published=(
        Published("Skywork-Reward-V2-8B-40M (scalar)", 97.8, "overall", "Skywork-Reward-V2's paper"),
        Published("EvalPlanner, Llama-3.1-70B", 93.9, "overall", "arXiv 2501.18099, Table 1"),
        Published("J1-Qwen-32B-MultiTask", 93.6, "overall", "arXiv 2505.10320"),
        Published("RM-R1-Qwen2.5-Instruct-32B", 91.37, "overall", "recomputed from the released subset scores"),
        Published("GPT-4o", 86.7, "overall", "arXiv 2501.18099, Table 1"),
        Published("EvalPlanner, Llama-3.1-8B", 83.0, "overall", "arXiv 2505.10320"),
        Published("Llama-3.1-8B-Instruct", 69.5, "overall", "arXiv 2505.10320"),
    ),
)
