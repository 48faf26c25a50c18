"""Auto-J Eval-P: 1,392 pairs of real queries in 58 scenarios, labelled first, second or tie (arXiv 2310.05470).

Data: JSONL of {scenario, label (0 first, 1 second, 2 tie), prompt, "response 1", "response 2"}. A judge is asked in both orders;
`agreement` is the share of pairs that it gets right in both, `consistency` the share where its orders agree. By group of scenarios
and over all pairs. A missing verdict agrees with nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from eval.benchmarks.base import Benchmark, Percentages, Row, files, labeled, percent, read
from eval.judged import Judged, chain_of
from planner.errors import UserError
from planner.records import Label, LabeledPair, Pair, flip

# The groups of the authors' scorer (github.com/GAIR-NLP/auto-j, codes/leaderboard).
GROUPS: Mapping[str, str] = {
    "Summarization": "post_summarization text_summarization note_summarization",
    "Exam Questions": "math_reasoning solving_exam_question_with_math solving_exam_question_without_math",
    "Code": "code_simplification code_generation explaining_code code_correction_rewriting code_to_code_translation",
    "Rewriting": "text_simplification language_polishing instructional_rewriting text_correction paraphrasing",
    "Creative Writing": "writing_song_lyrics writing_social_media_post writing_blog_post writing_personal_essay creative_writing "
    "writing_advertisement writing_marketing_materials writing_presentation_script counterfactual",
    "Functional Writing": "writing_product_description writing_job_application writing_news_article writing_biography "
    "writing_email writing_legal_document writing_technical_document writing_scientific_paper functional_writing "
    "writing_cooking_recipe",
    "General Communication": "asking_how_to_question open_question analyzing_general explaining_general seeking_advice "
    "recommendation value_judgement verifying_fact chitchat roleplay planning brainstorming",
    "NLP Tasks": "ranking text_to_text_translation data_analysis classification_identification title_generation "
    "question_generation reading_comprehension keywords_extraction information_extraction topic_modeling others",
}
_GROUP_OF = {scenario: group for group, scenarios in GROUPS.items() for scenario in scenarios.split()}
_LABEL: Mapping[int, Label] = {0: "A", 1: "B", 2: "tie"}


class PairRow(Row):
    scenario: str
    label: Literal[0, 1, 2]
    prompt: str
    response_1: str = Field(alias="response 1")
    response_2: str = Field(alias="response 2")


class OutputRow(Row):
    output: Literal[0, 1, 2]


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        raise UserError(
            "Eval-P is read from its repository's file; give --data testdata_pairwise.jsonl (github.com/GAIR-NLP/auto-j)"
        )
    return [
        _pair(row, f"{path}:{i}") for path in files(data, "testdata_pairwise.jsonl") for i, row in enumerate(read(path, PairRow), 1)
    ]


def _pair(row: PairRow, where: str) -> LabeledPair:
    if row.scenario not in _GROUP_OF:
        raise UserError(f"{where} has the scenario {row.scenario!r}, which is in none of Eval-P's eight groups")
    pair = Pair(instruction=row.prompt, response_a=row.response_1, response_b=row.response_2)
    notes = {"part": "all", "scenario": row.scenario}
    return labeled(pair, _LABEL[row.label], source="autoj", kind=_GROUP_OF[row.scenario], notes=notes)


def official(judged: Sequence[Judged], seed: int) -> Percentages:
    scores = dict(_rates("", judged))
    for group in GROUPS:
        found = [one for one in judged if one.labeled.kind == group]
        if found:
            scores.update(_rates(f"{group} ", found))
    return scores


def _rates(prefix: str, judged: Sequence[Judged]) -> Iterable[tuple[str, float]]:
    yield f"{prefix}agreement", percent(sum(one.both_right for one in judged), len(judged))
    agree = sum(one.said("ab") == one.said("ba") != "none" for one in judged)
    yield f"{prefix}consistency", percent(agree, len(judged))


def read_outputs(path: Path, swapped: Path | None, data: Path | None) -> list[Judged]:
    """Two files of {output}: line i is pair i, and in the second file pair i with its responses exchanged."""
    if swapped is None or data is None:
        raise UserError("Eval-P is scored over both orders: give --swapped the exchanged file, and --data testdata_pairwise.jsonl")
    pairs = load(data)
    first, second = read(path, OutputRow), read(swapped, OutputRow)
    if not len(pairs) == len(first) == len(second):
        raise UserError(
            f"{path}, {swapped} and {data} hold {len(first)}, {len(second)} and {len(pairs)} rows; line i must be pair i"
        )
    return [
        Judged(pair, {"ab": chain_of(pair, "ab", _LABEL[one.output]), "ba": chain_of(pair, "ba", flip(_LABEL[other.output]))})
        for pair, one, other in zip(pairs, first, second, strict=True)
    ]


BENCHMARK = Benchmark(
    name="autoj",
    title="Auto-J Eval-P",
    load=load,
    official=official,
    protocol="both orders; agreement: both equal the label; consistency: the orders agree; over all pairs and by group",
    parts={"all": 1392},
    totals=frozenset({"agreement", "consistency"}),
    read_outputs=read_outputs,
)
