"""LLMBar: which output follows the instruction, natural and adversarial (arXiv 2310.07641).

Data: `<subset>/dataset.json` of its repository, JSON lists of {input, output_1, output_2, label}. Published scores: the mean of the two orders' accuracies, and the share of pairs where both orders name the same winner,
where two missing verdicts count as the same. The adversarial average is the unweighted mean of its subsets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from eval.benchmarks.base import Benchmark, Percentages, Published, Row, files, fit, labeled, mean, percent, read
from eval.judged import Judged, chain_of
from planner.errors import UserError
from planner.records import ORDERS, Chain, LabeledPair, Order, Pair, Verdict

ADVERSARIAL = ("Neighbor", "GPTInst", "GPTOut", "Manual")
PARTS = {"Natural": 100, "Neighbor": 134, "GPTInst": 92, "GPTOut": 47, "Manual": 46}
OTHERS = {"MT-Bench": 200, "FairEval": 66, "LLMEval^2": 200}
"""Human judgments of other sets in the same format, which `mtbench` reads."""
_SUBSETS = PARTS.keys() | OTHERS.keys()
_WINNER: Mapping[str | None, Verdict] = {"1": "A", "2": "B", None: "none"}


class PairRow(Row):
    input: str
    output_1: str
    output_2: str
    label: Literal[1, 2]


class Said(Row):
    completion: list[Any] | None = None
    winner: Literal["1", "2"] | None


class BothOrders(Row):
    first: Said = Field(alias="swap = False")
    swapped: Said = Field(alias="swap = True")


class OutputRow(PairRow):
    results: list[Any]


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        raise UserError(
            "LLMBar is read from its repository's files; give --data its Dataset folder (github.com/princeton-nlp/LLMBar)"
        )
    return [pair_of(row, path, "llmbar") for path in files(data, "dataset.json") for row in read(path, PairRow)]


def pair_of(row: PairRow, path: Path, source: str) -> LabeledPair:
    """A pair of the subset that a folder above the file is named after: a judge's `result.json` lies two below it."""
    pair = Pair(instruction=row.input, response_a=row.output_1, response_b=row.output_2)
    folders = [folder.name for folder in path.resolve().parents]
    subset = next((folder for folder in folders if folder in _SUBSETS), folders[0])
    return labeled(pair, "A" if row.label == 1 else "B", source=source, kind=subset, notes={"part": subset})


def official(judged: Sequence[Judged], seed: int) -> Percentages:
    subsets = sorted({one.labeled.kind for one in judged})
    scores: Percentages = {}
    if len(subsets) == 1:
        scores = accuracies(judged)
    else:
        for subset in subsets:
            of_subset = accuracies([one for one in judged if one.labeled.kind == subset])
            scores.update({f"{subset} {name}": value for name, value in of_subset.items()})
        if set(ADVERSARIAL) <= set(subsets):
            scores["adversarial accuracy"] = mean([scores[f"{subset} accuracy"] for subset in ADVERSARIAL])
            scores["adversarial agreement"] = mean([scores[f"{subset} agreement"] for subset in ADVERSARIAL])
    return scores


def accuracies(judged: Sequence[Judged]) -> Percentages:
    """Accuracy of each order, their mean, and agreement."""
    n = len(judged)
    first = percent(sum(one.right("ab") for one in judged), n)
    swapped = percent(sum(one.right("ba") for one in judged), n)
    return {
        "accuracy_first": first,
        "accuracy_swapped": swapped,
        "accuracy": (first + swapped) / 2,
        "agreement": percent(sum(one.said("ab") == one.said("ba") for one in judged), n),
    }


def read_outputs(path: Path, swapped: Path | None, data: Path | None) -> list[Judged]:
    """A judge's `result.json`: pairs with `results`, whose last entry holds both orders, already in the unswapped naming."""
    judged = []
    for index, row in enumerate(read(path, OutputRow)):
        where = f"{path}[{index}]"
        if not row.results:
            raise UserError(f"{where} has no results; restore the file")
        both = fit(row.results[-1], BothOrders, f"{where}.results[-1]")
        pair = pair_of(row, path, "llmbar")
        chains: dict[Order, Chain] = {
            order: chain_of(pair, order, _WINNER[said.winner], _text(said))
            for order, said in zip(ORDERS, (both.first, both.swapped), strict=True)
        }
        judged.append(Judged(pair, chains))
    return judged


def _text(said: Said) -> str:
    return said.completion[0] if said.completion and isinstance(said.completion[0], str) else ""


BENCHMARK = Benchmark(
    name="llmbar",
    title="LLMBar",
    load=load,
    official=official,
    protocol="mean of the two orders' accuracies; agreement where both orders name the same winner, two missing verdicts too",
    parts=PARTS,
    totals=frozenset(
        {"accuracy_first", "accuracy_swapped", "accuracy", "agreement", "adversarial accuracy", "adversarial agreement"}
    ),
    separate=True,
    read_outputs=read_outputs,
    published=(
        Published("GPT-4, Vanilla_NoRules", 93.5, "Natural, mean of both orders", "the released outputs, recomputed"),
        Published("ChatGPT, Vanilla", 81.5, "Natural, mean of both orders", "the released outputs, recomputed"),
        Published("GPT-4, Vanilla_NoRules", 64.18, "Neighbor, mean of both orders", "the released outputs, recomputed"),
        Published("ChatGPT, Vanilla", 19.40, "Neighbor, mean of both orders", "the released outputs, recomputed"),
    ),
)
