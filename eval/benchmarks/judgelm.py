"""JudgeLM's validation set: 5,000 pairs that GPT-4 judged, with and without a reference answer in view (arXiv 2310.17631).

Data: BAAI/JudgeLM-100K's `judgelm_val_5k.jsonl` (samples) with the teacher's judgments beside it, `judgelm_val_5k_gpt4.jsonl`, and for the
set with references `judgelm_val_5k_gpt4_with_reference.jsonl` and `judgelm_val_5k_references.jsonl`; line i of each is sample i. Or one file
whose samples hold the teacher's `text` (and `text_w_reference`, `reference`), as the 100,000 for training do.

Gold is what the teacher's scores say; a sample whose judgment names none is left out, so the set has no fixed size. The authors' scores:
in one order, agreement and macro precision, recall and F1 over three classes; over both orders, consistency and bias. What cannot be
read is a tie of theirs: `none` says how much that was, and `strict agreement` never counts it as right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from eval.benchmarks.base import Benchmark, Percentages, Published, Row, files, fit, labeled, percent, read, values
from eval.judged import Judged, chain_of
from eval.metrics import class_scores
from eval.positions import positions
from planner.errors import UserError
from planner.records import ORDERS, Label, LabeledPair, Order, Pair, Verdict, flip
from planner.styles.judgelm import JudgeLmStyle

CLASSES = ("A", "B", "tie")
WITHOUT, WITH = "without reference", "with reference"
_SAMPLES = "judgelm_val_5k.jsonl"
_JUDGMENTS = {WITHOUT: "judgelm_val_5k_gpt4.jsonl", WITH: "judgelm_val_5k_gpt4_with_reference.jsonl"}
_REFERENCES = "judgelm_val_5k_references.jsonl"
_STYLE = JudgeLmStyle()
_README = "README of github.com/baaivision/JudgeLM"


class Reference(Row):
    text: str | None = None


class SampleRow(Row):
    question_id: int | str
    question_body: str
    answer1_body: str
    answer2_body: str
    text: str | None = None
    text_w_reference: str | None = None
    reference: Reference | str | None = None


class JudgmentRow(Row):
    question_id: int | str | None = None
    text: str


class ReferenceRow(Row):
    question_id: int | str | None = None
    reference: Reference


class OutputRow(SampleRow):
    pred_text: str


class Sample(NamedTuple):
    """A sample as the teacher was asked about it, and what it said."""

    part: str
    name: str
    pair: Pair
    better: Label | None


def load(data: Path | None) -> list[LabeledPair]:
    return [_labeled(one) for one in _samples(data) if one.better is not None]


def _labeled(one: Sample) -> LabeledPair:
    assert one.better is not None, "what the teacher did not judge has no label"
    return labeled(one.pair, one.better, source="judgelm", kind=one.part, notes={"part": one.part, "id": one.name})


def _samples(data: Path | None) -> list[Sample]:
    if data is None:
        raise UserError(
            f"JudgeLM's samples are read from files; give --data the folder of BAAI/JudgeLM-100K, which holds {_SAMPLES}"
        )
    if data.is_file():
        found = [sample for row in read(data, SampleRow) for sample in _judged_in_the_row(row)]
    else:
        found = [sample for path in files(data, _SAMPLES) for sample in _judged_beside(path)]
    if not any(one.better for one in found):
        raise UserError(
            f"{data} holds no judgment of the teacher: a sample's is its text, or line by line in {' or '.join(_JUDGMENTS.values())}"
        )
    return found


def _judged_in_the_row(row: SampleRow) -> Iterator[Sample]:
    reference = row.reference.text if isinstance(row.reference, Reference) else row.reference
    if row.text is not None:
        yield _sample(row, WITHOUT, None, row.text)
    if row.text_w_reference is not None and reference:
        yield _sample(row, WITH, reference, row.text_w_reference)


def _judged_beside(path: Path) -> Iterator[Sample]:
    samples = read(path, SampleRow)
    for part, name in _JUDGMENTS.items():
        judgments = path.with_name(name)
        if judgments.is_file():
            references = (
                _joined(samples, path, path.with_name(_REFERENCES), ReferenceRow) if part == WITH else [None] * len(samples)
            )
            for row, said, given in zip(samples, _joined(samples, path, judgments, JudgmentRow), references, strict=True):
                yield _sample(row, part, given.reference.text if given else None, said.text)


J = TypeVar("J", JudgmentRow, ReferenceRow)


def _joined(samples: Sequence[SampleRow], path: Path, beside: Path, row: type[J]) -> list[J]:
    found = read(beside, row)
    if len(found) != len(samples):
        raise UserError(f"{beside} has {len(found):,} rows and {path} {len(samples):,}: line i of both must be sample i")
    for number, (sample, one) in enumerate(zip(samples, found, strict=True), 1):
        if one.question_id not in (None, sample.question_id):
            raise UserError(f"{beside}: row {number} is of question {one.question_id}, and that of {path} of {sample.question_id}")
    return found


def _sample(row: SampleRow, part: str, reference: str | None, judgment: str) -> Sample:
    verdict = _STYLE.read_chain(judgment).verdict
    pair = Pair(instruction=row.question_body, response_a=row.answer1_body, response_b=row.answer2_body, reference=reference)
    return Sample(part, str(row.question_id), pair, None if verdict == "none" else verdict)


def official(judged: Sequence[Judged], seed: int) -> Percentages:
    """Of each set under its own name where there are both; the positions' scores where both orders were asked."""
    parts = [part for part in _JUDGMENTS if any(one.labeled.notes["part"] == part for one in judged)]
    scores: Percentages = {}
    for part in parts:
        prefix = "" if len(parts) == 1 else f"{part} "
        found = _scores([one for one in judged if one.labeled.notes["part"] == part])
        scores.update({prefix + name: value for name, value in found.items()})
    return scores


def _scores(judged: Sequence[Judged]) -> Percentages:
    gold, first = [one.labeled.better for one in judged], [one.said("ab") for one in judged]
    said = [_as_tie(verdict) for verdict in first]
    # A class that nobody names is none of theirs.
    found = class_scores(gold, said, [name for name in CLASSES if name in gold or name in said])
    scores = {"agreement": percent(sum(g == s for g, s in zip(gold, said, strict=True)), len(gold))}
    scores.update({name: 100 * value for name, value in found["macro"].model_dump().items()})
    scores.update({f"weighted {name}": 100 * value for name, value in found["weighted"].model_dump().items()})
    scores["none"] = percent(first.count("none"), len(first))
    scores["strict agreement"] = percent(sum(one.right("ab") for one in judged), len(judged))
    if all("ba" in one.chains for one in judged):
        swayed = positions((_as_tie(one.said("ab")), _as_tie(one.said("ba"))) for one in judged)
        scores.update(
            {
                "consistency": 100 * swayed.consistency,
                "bias toward 1": 100 * swayed.bias_first,
                "bias toward 2": 100 * swayed.bias_second,
                "delta bias": 100 * swayed.delta_bias,
                "total bias": 100 * swayed.total_bias,
            }
        )
    return scores


def _as_tie(verdict: Verdict) -> Label:
    return "tie" if verdict == "none" else verdict


Said = dict[Order, tuple[Verdict, str]]
"""A judge's verdict in each order, in the naming of the pair as it stands, and its text."""


def read_outputs(path: Path, swapped: Path | None, data: Path | None) -> list[Judged]:
    """Judgment files (`pred_text`), each row with the answers as they were shown: one file an order, or both orders in one."""
    if data is None:
        raise UserError(f"{path} holds no judgments of the teacher; give --data the samples and judgments that it is held against")
    samples: dict[tuple[str, str], Sample] = {}
    for sample in _samples(data):
        if samples.setdefault((sample.part, sample.name), sample) is not sample:
            raise UserError(f"{data} has two samples of question {sample.name}, so judgments of it cannot be told apart")
    said: dict[tuple[str, str], Said] = defaultdict(dict)
    for where, value in (row for file in (path, swapped) if file is not None for row in values(file)):
        row = fit(value, OutputRow, where)
        # Where JudgeLM showed a reference its output holds the text; else what the sample had, if anything.
        key = (WITH if isinstance(row.reference, str) else WITHOUT, str(row.question_id))
        if key not in samples:
            raise UserError(
                f"{where} judges question {key[1]} {key[0]}, which {data} does not hold; give --data what it was made on"
            )
        order = _order(row, samples[key].pair, said[key], where)
        verdict = _STYLE.read_chain(row.pred_text).verdict
        said[key][order] = (flip(verdict) if order == "ba" else verdict, row.pred_text)
    _check_whole(path, data, samples, said)
    found = [(_labeled(sample), said[key]) for key, sample in samples.items() if sample.better is not None and key in said]
    return [Judged(one, {order: chain_of(one, order, *answer) for order, answer in answers.items()}) for one, answers in found]


def _order(row: OutputRow, pair: Pair, said: Said, where: str) -> Order:
    """The order that a row was shown in, by its answers."""
    fitting = [
        order
        for order in ORDERS
        if (row.question_body, row.answer1_body, row.answer2_body)
        == (pair.instruction, pair.shown(order).response_a, pair.shown(order).response_b)
    ]
    if not fitting:
        raise UserError(f"{where} judges other answers to question {row.question_id}; give --data what it was made on")
    free = [order for order in fitting if order not in said]
    if not free:
        raise UserError(f"{where} judges question {row.question_id} once more in the same order; leave one of the two out")
    return free[0]


def _check_whole(path: Path, data: Path, samples: dict[tuple[str, str], Sample], said: dict[tuple[str, str], Said]) -> None:
    """Refuse judgments of a part of a set, or of some samples in one order and of others in two: no score of theirs is made of such."""
    orders = {"ab"} | {order for answers in said.values() for order in answers}
    for part in {part for part, _ in said}:
        of_part = [key for key in samples if key[0] == part]
        whole = sum(key in said and said[key].keys() == orders for key in of_part)
        if whole < len(of_part):
            raise UserError(
                f"{path} judges {whole:,} of the {len(of_part):,} samples {part} of {data} in {'both orders' if len(orders) > 1 else 'their order'}: "
                "give --swapped the file of the swapped answers, or --data the samples that it was made on"
            )


BENCHMARK = Benchmark(
    name="judgelm",
    title="JudgeLM validation set",
    load=load,
    official=official,
    protocol="agreement with GPT-4 in one order, three classes, macro averages; consistency and bias over both orders; what was not parsed counted as a tie",
    parts={},
    totals=frozenset(),
    read_outputs=read_outputs,
    published=(
        Published("JudgeLM-33B", 89.32, "agreement, with reference", _README),
        Published("JudgeLM-33B", 84.98, "f1, with reference", _README),
        Published("JudgeLM-33B", 92.37, "consistency, with reference", _README),
        Published("JudgeLM-7B", 81.11, "agreement, without reference", _README),
        Published("JudgeLM-7B", 72.21, "f1, without reference", _README),
        Published("JudgeLM-7B", 83.57, "consistency, without reference", _README),
    ),
)
