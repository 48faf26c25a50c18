"""MT-Bench human judgments: the 200 pairs with a majority that LLMBar's authors sampled (arXiv 2306.05685, 2310.07641).

Data: `MT-Bench/dataset.json` in LLMBar's format; its FairEval and LLMEval^2 folders are read as well, each a part of its own. Plain
accuracy over labelled pairs; ties are not in the sample. Judges' `result.json` files are rescored as LLMBar's.
"""

from __future__ import annotations

from pathlib import Path

from eval.benchmarks.base import Benchmark, files, plain_accuracy, read
from eval.benchmarks.llmbar import PairRow, pair_of
from planner.errors import UserError
from planner.records import LabeledPair


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        raise UserError(
            "the sample is read from LLMBar's repository; give --data its Dataset/Processed folder, or one dataset.json in it"
        )
    return [pair_of(row, path, "mtbench") for path in files(data, "dataset.json") for row in read(path, PairRow)]


BENCHMARK = Benchmark(
    name="mtbench",
    title="MT-Bench human (majority sample)",
    load=load,
    official=plain_accuracy,
    protocol="accuracy over labelled pairs, both orders",
    parts={"MT-Bench": 200, "FairEval": 66, "LLMEval^2": 200},
    totals=frozenset({"accuracy"}),
    separate=True,
)
