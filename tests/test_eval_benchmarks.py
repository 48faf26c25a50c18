"""Judges that play a part get, on every benchmark and by every metric, the score that theory says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from eval.benchmarks import BENCHMARKS, named
from eval.benchmarks.followbench import PromptRow, build, rule_for
from eval.benchmarks.rewardbench2 import Margins, ties_score
from eval.benchmarks.rmbench import level
from eval.judged import Judged, chain_of
from eval.metrics import bootstrap_intervals, strict
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from planner.styles.mtbench import MtBenchStyle
from rewards.score import unseen_interval
from selftrain.pairs import builtin
from tests import eval_samples
from tests.eval_samples import always_a, always_b, always_longer, coin, echo, judged_by, knows, load, longer_share, never

Play = Callable[..., tuple[Judged, ...]]
ALL = sorted(BENCHMARKS)
N = 12
PLAIN = ("mtbench", "evalbiasbench", "hhh", "pairs")


def test_every_benchmark_has_a_sample() -> None:
    assert sorted(eval_samples.SAMPLES) == ALL


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """What a judge says of a benchmark's sample; each played once."""

    @cache
    def played(name: str, script: Any, n: int = N) -> tuple[Judged, ...]:
        folder = tmp_path_factory.mktemp(name)
        return tuple(judged_by(script, load(name, folder / "data", n), folder / "run"))

    return played


def official(judged: Sequence[Judged]) -> dict[str, float]:
    """Scores with the totals that a part may not print, so that they can be checked here."""
    return named(judged[0].labeled.source).official(judged, 0)


# name of a score -> what a judge that names nothing gets, and one that always names the first
THEORY: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    # +1 and -1 cancel; 0 and 0 are not above 0
    "judgebench": ({"overall": 0, "math": 0}, {"overall": 0, "math": 0}),
    # nothing read is a tie, of which a third of the labels are; the same slot in both orders is a tie too
    "pandalm": (
        {"accuracy": 100 / 3, "none": 100, "strict accuracy": 0},
        {"accuracy": 100 / 3, "none": 0, "swapped accuracy": 100 / 3},
    ),
    # what is not read is a tie in both orders; who always names the first is never consistent, and always for 1
    "judgelm": (
        {"agreement": 100 / 3, "none": 100, "strict agreement": 0, "consistency": 100, "total bias": 0},
        {"agreement": 100 / 3, "consistency": 0, "bias toward 1": 100, "bias toward 2": 0, "delta bias": 100, "total bias": 100},
    ),
    "llmbar": ({"accuracy": 0, "agreement": 100}, {"accuracy": 50, "agreement": 0}),
    "autoj": ({"agreement": 0, "consistency": 0}, {"agreement": 0, "consistency": 0}),
    "rmbench": ({"overall": 0, "consistent overall": 0, "chat hard": 0}, {"consistent overall": 0}),
    "rewardbench": ({"overall": 50, "chat": 50, "micro": 50}, {}),
    # one against three, each drawn: a quarter, as a failure of theirs; Ties has no half points
    "rewardbench2": ({"Focus": 25, "Ties": 0}, {"Focus": 25, "Ties": 0}),
    "followbench": ({"overall": 0, "level 1": 0}, {"overall": 0, "level 5": 0}),
    **{name: ({"accuracy": 0}, {"accuracy": 50}) for name in PLAIN},
}


@pytest.mark.parametrize("name", ALL)
def test_a_judge_that_never_names_a_verdict(name: str, play: Play) -> None:
    judged = play(name, never)
    scores = official(judged)
    for score, expected in THEORY[name][0].items():
        assert scores[score] == pytest.approx(expected), score
    found = strict(judged)
    assert (found.score.accuracy, found.score.position_consistent, found.score.flip, found.merged) == (0, 0, 0, 0)
    assert (found.score.no_verdict, found.refused, found.longer) == (1, 1, None)


@pytest.mark.parametrize("name", ALL)
def test_a_judge_that_repeats_a_response_is_not_taken_for_what_the_response_says(name: str, play: Play) -> None:
    judged = play(name, echo)
    assert all("[[A]]" in one.labeled.pair.response_a for one in judged), "the responses ask for it"
    assert all("((A))" in chain.completion.text for one in judged for chain in one.chains.values()), "and the judge repeats it"
    assert strict(judged).score.no_verdict == 1
    assert official(judged) == official(play(name, never))


@pytest.mark.parametrize("name", ALL)
def test_a_judge_that_always_names_the_first(name: str, play: Play) -> None:
    judged = play(name, always_a)
    scores = official(judged)
    for score, expected in THEORY[name][1].items():
        assert scores[score] == pytest.approx(expected), score
    found = strict(judged)
    assert (found.score.position_consistent, found.score.flip, found.score.first_position) == (0, 1, 1)
    ties = sum(one.labeled.better == "tie" for one in judged)
    assert found.score.accuracy == pytest.approx(0.5 * (1 - ties / found.score.n))


@pytest.mark.parametrize("name", ["rewardbench", "rmbench"])
def test_what_is_asked_in_one_drawn_order_favours_no_side(name: str, play: Play) -> None:
    """Of always A and always B, exactly one is right in the order that was drawn."""
    one, other = official(play(name, always_a)), official(play(name, always_b))
    drawn = [score for score in one if not score.startswith("consistent")]
    assert len(drawn) > 3
    for score in drawn:
        assert one[score] + other[score] == pytest.approx(100), score
    assert 10 < one["overall"] < 90, "the draw must not always fall on one order"


@pytest.mark.parametrize("name", ALL)
def test_a_judge_that_is_always_right_gets_all(name: str, play: Play) -> None:
    scores = official(play(name, knows))
    if name in ("pandalm", "autoj", "judgelm"):  # it never says tie, which a third of the labels are
        assert scores["accuracy" if name == "pandalm" else "agreement"] == pytest.approx(200 / 3)
    else:
        # Of two right answers in Ties it names the first in each order, so neither wins: all five terms, the last of them on top of 100.
        assert scores == pytest.approx({score: 101 if score == "Ties" else 100 for score in scores})


@pytest.mark.parametrize("name", sorted(set(ALL) - {"pandalm", "autoj", "judgelm", "rewardbench2", "rmbench"}))
def test_a_judge_that_names_the_longer(name: str, play: Play) -> None:
    judged = play(name, always_longer)
    share = longer_share(len(judged))
    found = strict(judged)
    assert found.longer == 1
    assert found.score.flip == 0
    assert found.score.accuracy == found.score.position_consistent == found.longer_gold == pytest.approx(share)
    overall = "overall" if name in ("rewardbench", "judgebench", "followbench") else "accuracy"
    assert official(judged)[overall] == pytest.approx(100 * share)


def test_length_on_the_style_matrix(play: Play) -> None:
    """The longer style wins: all of easy, none of hard, and on the diagonal what the texts themselves decide."""
    scores = official(play("rmbench", always_longer))
    assert (scores["chat easy"], scores["chat hard"]) == (100, 0)
    assert scores["chat normal"] == pytest.approx(100 * longer_share(N))
    assert scores["chat"] == pytest.approx((100 + scores["chat normal"]) / 3)


def test_length_against_three(play: Play) -> None:
    """All of the rejected are shorter, or all are longer."""
    assert official(play("rewardbench2", always_longer))["Focus"] == pytest.approx(100 * longer_share(N))


@pytest.mark.parametrize(("name", "score"), [("autoj", "agreement"), ("judgelm", "agreement"), ("pandalm", "accuracy")])
def test_length_where_ties_are_labels(name: str, score: str, play: Play) -> None:
    judged = play(name, always_longer)
    pairs = [one.labeled for one in judged]
    hits = sum((len(one.pair.response_a) > len(one.pair.response_b)) == (one.better == "A") for one in pairs if one.better != "tie")
    assert official(judged)[score] == pytest.approx(100 * hits / len(pairs))
    assert strict(judged).longer == 1


# A coin in each order. What it gets in the mean, as a share; the binomial spread decides how near it must come.
COIN = {
    "judgebench": ("overall", 0.25), "pandalm": ("accuracy", 1 / 3), "judgelm": ("agreement", 1 / 3), "llmbar": ("accuracy", 0.5), "autoj": ("agreement", 1 / 6),
    "rmbench": ("consistent overall", 0.25), "rewardbench": ("overall", 0.5), "followbench": ("overall", 0.25),
    # each of three is won 1/4, drawn 1/2, lost 1/4
    "rewardbench2": ("Focus", 1 / 64 + 3 * (1 / 32) / 2 + 3 * (1 / 16) / 3 + (1 / 8) / 4),
    **dict.fromkeys(PLAIN, ("accuracy", 0.5)),
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_a_coin(name: str, play: Play) -> None:
    score, expected = COIN[name]
    n = 120
    found = official(play(name, coin, 20 if name == "rmbench" else n))[score] / 100
    assert abs(found - expected) < 4 * (expected * (1 - expected) / n) ** 0.5


# -- what is at hand, and what may be said of it -----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(ALL) - {"pairs", "followbench", "judgelm"}))
def test_a_part_prints_no_total(name: str, play: Play) -> None:
    judged = play(name, knows)
    assert named(name).missing([one.labeled for one in judged])
    printed = named(name).scores(judged).keys()
    assert not named(name).totals & printed
    assert not {"overall", "accuracy", "agreement"} & printed, "by what tables call a total, whatever `totals` lists"


def test_sizes_of_the_whole() -> None:
    sizes = {name: sum(named(name).parts.values()) for name in ALL}
    assert sizes["rewardbench"] == 2985
    assert sizes["rewardbench2"] == 1865
    assert sizes["judgebench"] == 350 + 270
    assert sizes["rmbench"] == 1327
    assert sizes["llmbar"] == 419
    assert sizes["hhh"] == 221


def test_no_hub_id_means_a_line_that_says_where_to_get_it() -> None:
    for name in ("pandalm", "judgelm", "llmbar", "autoj", "evalbiasbench", "mtbench", "pairs", "followbench"):
        with pytest.raises(UserError, match="--data"):
            named(name).load(None)


@pytest.mark.parametrize("name", ["rewardbench", "rewardbench2", "judgebench", "rmbench", "hhh"])
def test_a_hub_that_cannot_be_reached_is_one_line(name: str) -> None:
    """The test run is offline (`HF_HUB_OFFLINE`)."""
    with pytest.raises(UserError, match="cannot be loaded from the hub"):
        named(name).load(None)


@pytest.mark.parametrize("texts", [{"response_a": "x", "response_b": "y", "label": "A"}, {"chosen": "x", "rejected": "y"}])
def test_what_a_row_of_ones_own_pairs_says_is_shown_to_the_judge(tmp_path: Path, texts: dict[str, str]) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"instruction": "Sum up.", "input": "A text.", "reference": "A sum.", **texts}))
    (one,) = named("pairs").load(path)
    assert (one.pair.input, one.pair.reference) == ("A text.", "A sum.")
    path.write_text(
        json.dumps({"instruction": "Sum up.", **dict.fromkeys(texts, "x"), **({"label": "A"} if "label" in texts else {})})
    )
    with pytest.raises(UserError, match=r"mine\.jsonl:1: both responses are the same text"):
        named("pairs").load(path)


def test_a_run_s_own_pairs_keep_their_kind_and_their_group(tmp_path: Path) -> None:
    path = tmp_path / "fresh.jsonl"
    assert builtin.main(["known", "4", str(path), "--seed", "77"]) == 0
    found = named("pairs").load(path)
    assert found == list(islice(builtin.generate("known", 77), 4))
    assert found[0].group == found[1].group != found[2].group
    bare = [one.model_dump(mode="json") | {"group": ""} for one in found[:2]]
    path.write_text("".join(json.dumps(row) + "\n" for row in bare))
    assert [one.cluster for one in named("pairs").load(path)] == [one.pair.instruction_id for one in found[:2]]
    path.write_text('{"pair": {"instruction": "Sum up."}}\n')
    with pytest.raises(UserError, match=r"fresh\.jsonl:1 does not fit at pair\.response_a"):
        named("pairs").load(path)


@pytest.mark.parametrize("name", ALL)
def test_bad_files_are_named(name: str, tmp_path: Path) -> None:
    for text in ("", "[]", "{}", '{"a": 1}\n', "[1]", "not json"):
        (tmp_path / "file.jsonl").write_text(text)
        with pytest.raises(UserError, match=r"file\.jsonl"):
            named(name).load(tmp_path / "file.jsonl")
    with pytest.raises(UserError, match="no file or folder"):
        named(name).load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no"):
        named(name).load(tmp_path / "empty")


def judgelm_folder(folder: Path, **changed: str) -> Path:
    """Three samples, judged with a reference and without; the teacher's third judgment without one cannot be read."""
    texts = {"samples": "", "gpt4": "", "gpt4_with_reference": "", "references": ""}
    for i, (alone, with_it) in enumerate((("8 7\nw", "2 9"), ("5 5", "6 5"), ("good", "1 1"))):
        rows: dict[str, Any] = {
            "samples": {"question_body": f"Q{i}", "answer1_body": f"x{i}", "answer2_body": f"y{i}"},
            "gpt4": {"text": alone, "score": [1, 1]}, "gpt4_with_reference": {"text": with_it}, "references": {"reference": {"text": f"R{i}"}},
        }  # fmt: skip
        texts = {name: text + json.dumps({"question_id": i} | rows[name]) + "\n" for name, text in texts.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (texts | changed).items():
        if text:
            (folder / f"judgelm_val_5k{'' if name == 'samples' else f'_{name}'}.jsonl").write_text(text)
    return folder


def test_judgelm_s_two_sets_are_scored_apart(tmp_path: Path) -> None:
    found = named("judgelm").load(judgelm_folder(tmp_path))
    assert [(one.notes["part"], one.notes["id"], one.better, one.pair.reference) for one in found] == [
        ("without reference", "0", "A", None), ("without reference", "1", "tie", None),
        ("with reference", "0", "B", "R0"), ("with reference", "1", "A", "R1"), ("with reference", "2", "tie", "R2"),
    ]  # fmt: skip
    scores = named("judgelm").scores([Judged(one, {"ab": chain_of(one, "ab", "A")}) for one in found])
    assert (scores["without reference agreement"], scores["with reference agreement"]) == pytest.approx((50, 100 / 3))
    assert not any("consistency" in name for name in scores), "one order shows no position's bias"
    assert scores["without reference recall"] == 50, "a class that nobody names is none"
    row = json.loads((tmp_path / "judgelm_val_5k.jsonl").read_text().splitlines()[0])
    taught = row | {"text": "1 9", "text_w_reference": "9 1", "reference": {"text": "R"}}
    (tmp_path / "train.jsonl").write_text(json.dumps(taught) + "\n" + json.dumps(row | {"text": "9 1", "reference": {}}))
    assert [(one.kind, one.better) for one in named("judgelm").load(tmp_path / "train.jsonl")] == [
        ("without reference", "B"), ("with reference", "A"), ("without reference", "A"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gpt4": '{"text": "1 2"}\n'}, r"_gpt4\.jsonl has 1 rows and .*5k\.jsonl 3: line i of both must be sample i"),
        ({"gpt4": '{"question_id": 0, "text": "1 2"}\n' * 3}, r"_gpt4\.jsonl: row 2 is of question 0, and that of .* of 1"),
        ({"gpt4": '{"score": [1, 2]}\n' * 3}, r"_gpt4\.jsonl:1 does not fit at text"),
        ({"references": ""}, r"_references\.jsonl cannot be read"),
        (
            {"gpt4": '{"text": "?"}\n' * 3, "gpt4_with_reference": ""},
            "holds no judgment of the teacher: a sample's is its text, or",
        ),
        ({"gpt4": "", "gpt4_with_reference": ""}, "holds no judgment of the teacher"),
    ],
)
def test_judgelm_files_that_do_not_fit_each_other_are_refused(tmp_path: Path, changed: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        named("judgelm").load(judgelm_folder(tmp_path, **changed))


def test_a_file_that_does_not_say_which_part_it_is(tmp_path: Path) -> None:
    path = eval_samples.rmbench(tmp_path, 1).rename(tmp_path / "mine.json")
    with pytest.raises(UserError, match="RM-Bench has chat"):
        named("rmbench").load(path)


def test_style_levels(tmp_path: Path) -> None:
    counted = [level(one) for one in load("rmbench", tmp_path, 1)]
    assert {name: counted.count(name) for name in counted} == {"easy": 3, "normal": 3, "hard": 3}
    plainer = next(
        one for one in load("rmbench", tmp_path, 1) if (one.notes["chosen"], one.notes["rejected"]) == ("concise", "markdown")
    )
    assert level(plainer) == "hard"


def test_rewardbench_looks_for_a_before_b(play: Play) -> None:
    def changes_its_mind(request: Any, draw: int) -> str:
        return "[[A]] at first, but no: [[B]]"

    judged = play("rewardbench", changes_its_mind)
    assert official(judged) == official(play("rewardbench", always_a))
    assert strict(judged).score.first_position == 0, "our own reading takes the last"


def test_ties_formula() -> None:
    """Two numbers: one perfect, one whose right answers differ more than they lead."""
    prompts = {
        "Ties ref:1": Margins(1.0, 0.0), "Ties tied:1": Margins(0.5, 0.25),
        "Ties ref:2": Margins(-0.5, 0.0), "Ties tied:2": Margins(0.5, 1.0),
    }  # fmt: skip
    ratio = (math.tanh(0.5 / 0.25 - 1) + math.tanh(-0.5 / 1.0 - 1)) / 2
    assert ties_score(prompts) == pytest.approx(0.3 * 1 + 0.3 * 0.5 + 0.2 * 0.5 + 0.2 * 0.5 + 0.01 * ratio)


@pytest.mark.parametrize(("over", "ratio"), [(0.5, 1.0), (-0.5, -1.0), (0.0, 0.0)])
def test_right_answers_that_do_not_differ_divide_by_zero_as_in_the_authors_code(over: float, ratio: float) -> None:
    """numpy: x / 0 is infinite, its tanh 1; 0 / 0 is not a number, which they replace by 0."""
    found = ties_score({"Ties ref:1": Margins(over, 0.0), "Ties tied:1": Margins(over, 0.0)})
    assert found == pytest.approx((0.3 + 0.3 + 0.2 + 0.2) * (over > 0) + 0.01 * ratio)


def test_prompts_that_rewardbench_2_has_not_are_refused(tmp_path: Path) -> None:
    row = {"id": "1", "prompt": "T", "chosen": ["a"], "rejected": ["b"], "subset": "focus"}
    for changed in ({}, {"subset": "Ties"}):
        (tmp_path / "test.jsonl").write_text(json.dumps(row | changed))
        with pytest.raises(UserError, match=r"test\.jsonl: prompt '1' .* is none of RewardBench 2"):
            named("rewardbench2").load(tmp_path / "test.jsonl")


def test_a_prompt_drawn_twice_is_two_prompts(play: Play) -> None:
    """Of a judge that draws with all, every resample says what the whole says; twelve tied prompts rule out no more than twelve can."""
    judged = play("rewardbench2", always_a)
    official = named("rewardbench2").official
    assert official([*judged, *judged], 0) == pytest.approx(official(judged, 0))
    interval = bootstrap_intervals(judged, lambda drawn: official(drawn, 0), resamples=20)["Focus"]
    assert interval == pytest.approx(unseen_interval(25, N, (0.0, 100.0)))


def test_both_prompts_of_a_number_in_ties_are_drawn_together(tmp_path: Path) -> None:
    groups = {one.notes["prompt"]: one.group for one in load("rewardbench2", tmp_path) if one.kind == "Ties"}
    assert groups["Ties ref:1"] == groups["Ties tied:1"] != groups["Ties ref:2"]


def test_a_right_and_a_missing_verdict_make_a_right_judgebench_pair(tmp_path: Path) -> None:
    (pair, *_) = load("judgebench", tmp_path)
    half = Judged(pair, {"ab": chain_of(pair, "ab", pair.better), "ba": chain_of(pair, "ba", "none")})
    assert named("judgebench").official([half], 0)["overall"] == 100
    assert not half.both_right


# -- the reconstruction ------------------------------------------------------------------------------------------------


def prompt(source: str, target: str, category: str = "content", instruction: str = "Do it.") -> PromptRow:
    return PromptRow(example_id=1, category=category, source=source, level=1, instruction=instruction, target=target)


@pytest.mark.parametrize(
    ("row", "met", "missed"),
    [
        (prompt("text_editing", "apples love eating I"), '"apples love eating I"', "Apples love eating I"),
        (prompt("CONLL2003", "['Bonn', 'BRUSSELS']"), "Bonn.", "Bonn, BRUSSELS"),
        (prompt("WIKIEVENTS", "a died\nb died", instruction="extract 2 events"), "b died\na died", "a died\na died"),
        (prompt("BBH_logical", "(B)"), "Not (A). The answer is (B).", "(B) or (C)"),
        (prompt("BBH_time", "12/29/1937"), "It is 12/29/1937.", "29/12/1937"),
        (prompt("gsm_8k", "$14"), "She earns $10 + $4 = $14", "$14 + $1 = $15"),
        (
            prompt("self_made_space", "14th floor, Apartment 3"),
            "20th, then the 14th floor, in apartment 3",
            "14th floor, Apartment 31",
        ),
        (prompt("self_made_space", "4th floor"), "From the 14th floor to the 4th floor.", "From the 4th floor to the 14th floor."),
        (prompt("aeslc", "{instruction}\n{{'AI assistant': '{answer}'}}", "example"), "{'AI assistant': 'Legal'}", "Legal"),
        (prompt("ag_news", "{instruction}\nBOT: {answer}", "example"), "BOT: Sports", "BOT:"),
    ],
)
def test_constraints_are_checked_by_rules(row: PromptRow, met: str, missed: str) -> None:
    rule = rule_for(row)
    assert rule is not None
    assert rule(row, met)
    assert rule(row, missed) is False


@pytest.mark.parametrize(
    ("row", "response"),
    [
        (prompt("gsm_8k", "$14"), "She earned 14 dollars."),
        (prompt("BBH_logical", "(B)"), "The falcon is the second from the left."),
        (prompt("BBH_time", "12/29/1937"), "December 29, 1937"),
        (prompt("self_made_space", "14th floor"), "Floor 14"),
    ],
)
def test_a_right_answer_in_other_words_is_neither_met_nor_missed(row: PromptRow, response: str) -> None:
    rule = rule_for(row)
    assert rule is not None
    assert rule(row, response) is None
    engine = ScriptedEngine(lambda request, draw: row.target if draw else response)
    assert list(build(engine, [row], responses=4, max_tokens=20, seed=0)) == [], "no pair with a right answer as the worse one"


def test_cents_do_not_make_another_sum() -> None:
    rule = rule_for(prompt("gsm_8k", "$14"))
    assert rule is not None
    assert rule(prompt("gsm_8k", "$14"), "It is $14.00.")
    assert rule(prompt("gsm_8k", "$14"), "It is $14.50.") is False


def test_what_no_rule_can_check_is_left_out() -> None:
    assert rule_for(prompt("quora", "", "style")) is None
    assert rule_for(prompt("limit", "{instruction}\n{answer}", "example")) is None
    assert rule_for(prompt("E2E", "name[x]").model_copy(update={"level": 0})) is None
    assert rule_for(prompt("text_editing", "A letter.", instruction="1. add one sentence about Java")) is None


def test_pairs_are_built_where_a_model_both_meets_and_misses() -> None:
    rows = [prompt("gsm_8k", "$14"), prompt("gsm_8k", "$99").model_copy(update={"example_id": 2})]
    engine = ScriptedEngine(lambda request, draw: f"It is ${14 + draw % 2}")
    (pair,) = build(engine, rows, responses=4, max_tokens=20, seed=0)
    assert (pair.chosen, pair.rejected, pair.level) == ("It is $14", "It is $15", 1)


@pytest.mark.parametrize("wrong", [["--responses", "1"], ["--max-tokens", "0"]])
def test_numbers_that_build_nothing_are_refused_before_a_model_is_opened(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from eval.benchmarks.followbench import main

    assert main(["data", "out.jsonl", *wrong]) == 2
    assert "--responses is 2 or more" in capsys.readouterr().err


def test_the_real_prompts_have_rules(data_folder: Path) -> None:
    from eval.benchmarks.base import files, read

    rows = [row for path in files(data_folder / "followbench", "*_constraints.json") for row in read(path, PromptRow)]
    checkable = [row for row in rows if rule_for(row)]
    assert len(rows) == 944
    assert {row.level for row in checkable} == {1, 2, 3, 4, 5}
    for row in checkable:  # a target meets its own rule
        rule = rule_for(row)
        assert rule is not None
        if row.category == "example" or row.source == "WIKIEVENTS":
            continue
        response = (
            json.loads(row.target.replace("'", '"'))[0] if row.source == "CONLL2003" and '"' not in row.target else row.target
        )
        assert rule(row, response), (row.source, row.target)


@pytest.mark.parametrize(("name", "folder", "n"), [("judgebench", "judgebench", 350), ("pandalm", "pandalm", 999), ("llmbar", "llmbar", 234),
                                                   ("rmbench", "rmbench", 9 * 413)])  # fmt: skip
def test_real_files_load(name: str, folder: str, n: int, data_folder: Path) -> None:
    found = named(name).load(data_folder / folder)
    assert len(found) == n
    assert len({one.kind for one in found}) > 1
    assert MtBenchStyle().judge_prompt(found[0].pair).messages
