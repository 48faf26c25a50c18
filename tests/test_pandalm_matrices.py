"""The released PandaLM human labels, counted by `compare.standings`, are the published wins, losses and ties (its Table 1)."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

from compare.standings import Game, Triple, cycle, edges, standings, triples
from planner.records import Verdict
from selftrain.distil.files import read_pandalm

MODELS = {"LLaMA": "llama-7b", "Bloom": "bloom-7b", "Cerebras": "cerebras-gpt-6.7B", "OPT": "opt-7b", "Pythia": "pythia-6.9b"}
HUMAN = (
    (72, 28, 11), (80, 24, 6), (71, 24, 11), (58, 27, 9), (59, 30, 11), (43, 35, 11), (47, 49, 11), (33, 49, 9), (27, 53, 11), (32, 53, 15),
)  # fmt: skip
GPT_SWAPPED = (
    (59, 19, 33), (71, 13, 26), (58, 17, 31), (49, 16, 29), (40, 19, 41), (36, 30, 23), (33, 34, 40), (24, 38, 29), (22, 43, 26), (30, 30, 40),
)  # fmt: skip
PAIRS = list(combinations(MODELS.values(), 2))


def games(folder: Path, verdicts: dict[int, Verdict]) -> list[Game]:
    rows = json.loads((folder / "testset-v1.json").read_text())
    return [Game(row["idx"], *row["cmp_key"].split("_"), verdicts[row["idx"]]) for row in rows]


def human(folder: Path) -> dict[int, Verdict]:
    rows = json.loads((folder / "testset-v1.json").read_text())
    said: dict[int, Verdict] = {0: "tie", 1: "A", 2: "B"}
    votes = {row["idx"]: Counter(row[f"annotator{k}"] for k in (1, 2, 3)).most_common(1)[0][0] for row in rows}
    return {idx: said[vote] for idx, vote in votes.items()}


def test_human_labels_are_the_published_matrix(data_folder: Path) -> None:
    played = games(data_folder / "pandalm", human(data_folder / "pandalm"))
    found = triples(list(MODELS.values()), played)
    assert [found[pair] for pair in PAIRS] == [Triple(*published) for published in HUMAN]
    # The order of the paper's graph, with LLaMA first and Cerebras last.
    assert [one.name for one in standings(list(MODELS.values()), played)] == [
        MODELS[name] for name in ("LLaMA", "Pythia", "Bloom", "OPT", "Cerebras")
    ]  # fmt: skip
    links = edges(found)
    assert {(one.better, one.worse) for one in links if one.similar} == {(MODELS["Pythia"], MODELS["Bloom"])}
    assert cycle(links) is None


def test_gpt_s_released_verdicts_and_its_published_matrix(data_folder: Path) -> None:
    """The published triples are of both orders, conflicts a tie; the released file holds one order. So nothing more can be asked
    than that the second order only ever took wins away, and that the numbers of questions agree."""
    folder = data_folder / "pandalm"
    found = read_pandalm(folder / "testset-v1.json", folder / "gpt-3.5-turbo-testset-v1.json")
    rows = json.loads((folder / "testset-v1.json").read_text())
    verdicts = {row["idx"]: one.opinion.verdict for row, one in zip(rows, found, strict=True)}
    one_order = triples(list(MODELS.values()), games(folder, verdicts))
    assert sum(triple.none for triple in one_order.values()) == 2 * 25, "garbage is no tie"
    for pair, published in zip(PAIRS, GPT_SWAPPED, strict=True):
        assert one_order[pair].wins >= published[0]
        assert one_order[pair].losses >= published[1]
        assert sum(one_order[pair]) == sum(published)
