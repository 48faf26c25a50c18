"""PandaLM's test set: 999 human-labelled comparisons of five models' answers (arXiv 2306.05087).

Data: a JSON list with three annotators' labels (0 tie, 1, 2); gold is their majority. Published rows count accuracy and macro
precision, recall and F1 over the three classes, in one order, with what could not be parsed as a tie: those are `accuracy`,
`precision`, `recall`, `f1` here, and `none` says how much that was. `strict accuracy` never counts it as right. The paper's
Table 2 is the swap protocol: a tie where both orders say tie or both name the same slot, else what the first order says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from eval.benchmarks.base import Benchmark, Percentages, Published, Row, files, fit, labeled, percent, read, values
from eval.judged import Judged, chain_of
from eval.metrics import class_scores, cohen_kappa
from planner.errors import UserError
from planner.records import Chain, Label, LabeledPair, Order, Pair, Verdict, flip

CLASSES = ("A", "B", "tie")
_NAMES = ("accuracy", "precision", "recall", "f1")
_LABEL: Mapping[int, Label] = {0: "tie", 1: "A", 2: "B"}
_GPT: Mapping[str, Verdict] = {"1": "A", "2": "B", "Tie": "tie", "garbage": "none"}
_SCORES = re.compile(r"<answer>\s*[\d.]+\s*</answer>", re.IGNORECASE)
Vote = Literal[0, 1, 2]
# Six of the released responses are a JSON `true`: a model wrote True, and YAML or the like took it for a boolean.
_Text = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, bool) else value)]


class PairRow(Row):
    idx: int
    cmp_key: str = ""
    motivation_app: str = ""
    instruction: str
    input: str = ""
    response1: _Text
    response2: _Text
    annotator1: Vote | None = None
    annotator2: Vote | None = None
    annotator3: Vote | None = None
    label: Vote | None = None
    """JudgeLRM's copy of the test set names the gold itself."""

    @property
    def votes(self) -> tuple[Vote, ...]:
        return tuple(vote for vote in (self.annotator1, self.annotator2, self.annotator3) if vote is not None)


class GptRow(Row):
    idx: int
    gpt_result: Literal["1", "2", "Tie", "garbage"]
    gpt_reason: str | None = None


class PandaRow(Row):
    idx: int
    pandalm_result: Annotated[int, Field(ge=0, le=2)]
    pandalm_reason: str | None = None


class JudgeLrmRow(PairRow):
    output: str
    result: Vote


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        raise UserError("PandaLM's test set is no hub dataset; give --data its testset-v1.json (github.com/WeOpenML/PandaLM)")
    return [_pair(row, f"{path}[{i}]") for path in files(data, "testset-v1.json") for i, row in enumerate(read(path, PairRow))]


def _pair(row: PairRow, where: str) -> LabeledPair:
    pair = Pair(instruction=row.instruction, input=row.input or None, response_a=row.response1, response_b=row.response2)
    notes = {"part": "all", "id": str(row.idx), "models": row.cmp_key, "votes": "".join(map(str, row.votes))}
    return labeled(pair, _gold(row, where), source="pandalm", kind=row.motivation_app or "all", notes=notes)


def _gold(row: PairRow, where: str) -> Label:
    if row.label is not None:
        return _LABEL[row.label]
    vote, count = Counter(row.votes).most_common(1)[0] if row.votes else (0, 0)
    if count < 2:
        raise UserError(f"{where} has neither a label nor a majority among its annotators {list(row.votes)}; there is no gold")
    return _LABEL[vote]


def official(judged: Sequence[Judged], seed: int) -> Percentages:
    """Percentages; `swapped …` are the paper's swap protocol, where both orders were asked."""
    gold = [one.labeled.better for one in judged]
    first = [one.said("ab") for one in judged]
    scores = {
        **_classification(gold, [_as_tie(verdict) for verdict in first]),
        "none": percent(first.count("none"), len(first)),
        "strict accuracy": percent(sum(one.right("ab") for one in judged), len(judged)),
    }
    if all("ba" in one.chains for one in judged):
        both = _classification(gold, [_swap_rule(one) for one in judged])
        scores.update({f"swapped {name}": value for name, value in both.items()})
    return scores


def _classification(gold: Sequence[str], said: Sequence[str]) -> Percentages:
    """Accuracy and macro averages under the published names; the weighted averages that some tables print beside them."""
    found = class_scores(gold, said, CLASSES)
    scores = {"accuracy": percent(sum(g == s for g, s in zip(gold, said, strict=True)), len(gold))}
    scores.update({name: 100 * value for name, value in found["macro"].model_dump().items()})
    scores.update({f"weighted {name}": 100 * value for name, value in found["weighted"].model_dump().items()})
    return scores


def _as_tie(verdict: Verdict) -> Label:
    return "tie" if verdict == "none" else verdict


def _swap_rule(one: Judged) -> Label:
    """Both tie, or both name the same slot: tie. Otherwise the first order's result (the author, issue 41)."""
    first, second = (_as_tie(one.chains[order].verdict) for order in ("ab", "ba"))
    return "tie" if first == second else first


def annotators(pairs: Iterable[LabeledPair]) -> Percentages:
    """Counts of the gold labels, and Cohen's kappa (0 to 1) of every two annotators."""
    pairs = list(pairs)
    votes = [tuple(map(int, pair.notes["votes"])) for pair in pairs]
    counts = Counter(pair.better for pair in pairs)
    found: Percentages = {"label tie": counts["tie"], "label 1": counts["A"], "label 2": counts["B"]}
    if votes and all(len(one) == 3 for one in votes):
        for i, j in combinations(range(3), 2):
            found[f"kappa {i + 1}-{j + 1}"] = cohen_kappa([one[i] for one in votes], [one[j] for one in votes])
    return found


def read_outputs(path: Path, swapped: Path | None, data: Path | None) -> list[Judged]:
    """Verdict files of the GPT-3.5, PandaLM and JudgeLRM kinds. Only the last holds its own pairs; the others need the test set."""
    said = _verdicts(path)
    pairs = _by_idx(data) if data is not None else {idx: pair for idx, (_, _, pair) in said.items() if pair is not None}
    if not pairs:
        raise UserError(f"{path} holds verdicts and no pairs; give --data the test set that it was made on, testset-v1.json")
    strange = [idx for idx, (_, _, own) in said.items() if idx not in pairs or (own is not None and own.pair != pairs[idx].pair)]
    if strange:
        raise UserError(
            f"{path} judges {len(strange)} pairs that {data or 'it'} does not hold; give --data the test set that it was made on"
        )
    second = _verdicts(swapped) if swapped else {}
    if swapped and second.keys() != said.keys():
        raise UserError(f"{swapped} and {path} judge different pairs")
    # Whether such a file lays out the responses as they were shown is not known: either is its own pair.
    for idx, (_, _, own) in second.items():
        if own is not None and own.pair not in (pairs[idx].pair, pairs[idx].pair.swapped()):
            raise UserError(
                f"{swapped} judges another pair under idx {idx} than {path}; give --swapped its output for the same pairs"
            )
    judged = []
    for idx, (verdict, text, _) in said.items():
        chains: dict[Order, Chain] = {"ab": chain_of(pairs[idx], "ab", verdict, text)}
        if swapped:
            chains["ba"] = chain_of(pairs[idx], "ba", flip(second[idx][0]), second[idx][1])
        judged.append(Judged(pairs[idx], chains))
    return judged


def _by_idx(data: Path) -> dict[int, LabeledPair]:
    pairs = [one for file in files(data, "testset-v1.json") for one in load(file)]
    found = {int(one.notes["id"]): one for one in pairs}
    if len(found) < len(pairs):
        raise UserError(
            f"{data} has {len(pairs) - len(found)} rows with an idx that another row has, so verdicts cannot be told apart"
        )
    return found


def _verdicts(path: Path) -> dict[int, tuple[Verdict, str, LabeledPair | None]]:
    """idx -> (verdict in the naming that was shown, text, the pair where the row holds it)."""
    found: dict[int, tuple[Verdict, str, LabeledPair | None]] = {}
    rows = list(values(path))
    for where, value in rows:
        keys = value.keys() if isinstance(value, dict) else set()
        if "gpt_result" in keys:
            gpt = fit(value, GptRow, where)
            found[gpt.idx] = (_GPT[gpt.gpt_result], gpt.gpt_reason or "", None)
        elif "pandalm_result" in keys:
            panda = fit(value, PandaRow, where)
            found[panda.idx] = (_LABEL[panda.pandalm_result], panda.pandalm_reason or "", None)
        else:
            lrm = fit(value, JudgeLrmRow, where)
            # Its result is 0 for scores that are equal, and for scores that are not there.
            read_at_all = lrm.result != 0 or len(_SCORES.findall(lrm.output)) >= 2
            gold_there = lrm.label is not None or len(lrm.votes) == 3
            found[lrm.idx] = (_LABEL[lrm.result] if read_at_all else "none", lrm.output, _pair(lrm, where) if gold_there else None)
    if len(rows) != len(found):
        raise UserError(f"{path} has {len(rows) - len(found)} rows with an idx that another row has")
    if not found:
        raise UserError(f"{path} is empty; it needs rows with idx and gpt_result, pandalm_result or result")
    return found


BENCHMARK = Benchmark(
    name="pandalm",
    title="PandaLM test set",
    load=load,
    official=official,
    protocol="one order, three classes, macro averages, what was not parsed counted as a tie; “swapped …”: the paper's swap rule",
    parts={"all": 999},
    totals=frozenset(order + average + name for order, average, name in product(("", "swapped "), ("", "weighted "), _NAMES)),
    read_outputs=read_outputs,
    published=(
        Published("GPT-3.5", 71.07, "accuracy, one order", "the released verdicts, recomputed"),
        Published("PandaLM-7B", 66.77, "accuracy, one order", "README of github.com/WeOpenML/PandaLM, May 2023"),
        Published("GPT-4", 66.47, "accuracy, swap protocol", "arXiv 2306.05087, Table 2"),
        Published("GPT-3.5", 62.96, "accuracy, swap protocol", "arXiv 2306.05087, Table 2"),
        Published("PandaLM-7B", 59.26, "accuracy, swap protocol", "arXiv 2306.05087, Table 2"),
    ),
)
