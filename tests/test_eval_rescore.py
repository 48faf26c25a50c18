"""Published judges' own files, scored: the published numbers come out exactly, and every format's odd ends are read as they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.rescore import main, rescore
from planner.errors import UserError


def put(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in value) if path.suffix == ".jsonl" else json.dumps(value)
    path.write_text(text)
    return path


def two(scores: dict[str, float], *names: str) -> list[float]:
    return [round(scores[name], 2) for name in names]


# -- what is published -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        ("judge_name=arena_hard,judge_model=o1-mini-2024-09-12", [58.44, 62.24, 82.14, 78.57, 65.71]),
        ("judge_name=reward_model,judge_model=Ray2333_GRM-Gemma-2B-rewardmodel-ft", [62.99, 53.06, 64.29, 54.76, 59.43]),
    ],
)
def test_judgebench_as_published(judge: str, expected: list[float], data_folder: Path) -> None:
    path = data_folder / "judgebench" / "outputs" / f"dataset=judgebench,response_model=gpt-4o-2024-05-13,{judge}.jsonl"
    scores = rescore("judgebench", path)
    assert two(scores, "knowledge", "reasoning", "math", "coding", "overall") == expected
    assert scores["position_consistent"] <= scores["overall"]
    assert scores["none"] == 0


def test_pandalm_as_published(data_folder: Path) -> None:
    folder = data_folder / "pandalm"
    scores = rescore("pandalm", folder / "gpt-3.5-turbo-testset-v1.json", data=folder / "testset-v1.json")
    assert two(scores, "accuracy", "precision", "recall", "f1") == [71.07, 58.79, 57.36, 57.55]
    assert two(scores, "label tie", "label 1", "label 2") == [105, 422, 472]
    assert two(scores, "kappa 1-2", "kappa 1-3", "kappa 2-3") == [0.85, 0.88, 0.86]
    assert scores["none"] == pytest.approx(100 * 25 / 999)
    assert scores["strict accuracy"] < scores["accuracy"], "some of the garbage stood for a tie"


def test_pandalm_human_labels_are_its_table_of_wins(data_folder: Path) -> None:
    """The human row of the paper's table: (wins, losses, ties) of the first model."""
    from eval.benchmarks import named

    wins: dict[str, list[int]] = {}
    for one in named("pandalm").load(data_folder / "pandalm"):
        wins.setdefault(one.notes["models"], [0, 0, 0])[["A", "B", "tie"].index(one.better)] += 1
    # The file names Bloom first, the table LLaMA.
    assert wins["bloom-7b_llama-7b"] == [28, 72, 11]
    assert wins["llama-7b_opt-7b"] == [71, 24, 11]
    assert wins["opt-7b_pythia-6.9b"] == [32, 53, 15]


LLMBAR = [
    "Natural/GPT-4/Vanilla_NoRules",
    "Natural/ChatGPT/Vanilla",
    "Adversarial/Neighbor/GPT-4/Vanilla_NoRules",
    "Adversarial/Neighbor/ChatGPT/Vanilla",
]


@pytest.mark.parametrize("judge", LLMBAR)
def test_llmbar_as_its_own_statistics(judge: str, data_folder: Path) -> None:
    folder = data_folder / "llmbar" / "outputs" / judge
    scores = rescore("llmbar", folder / "result.json")
    stated = json.loads((folder / "statistics.json").read_text())

    def share(name: str) -> float:
        hits, _, n = stated[name].partition(" = ")[0].partition(" / ")
        return 100 * int(hits) / int(n)

    assert scores["accuracy_first"] == pytest.approx(share("correct_False"))
    assert scores["accuracy_swapped"] == pytest.approx(share("correct_True"))
    assert scores["position_consistent"] == pytest.approx(share("correct_both"))
    assert scores["agreement"] == pytest.approx(share("equal"))
    assert scores["accuracy"] == pytest.approx(float(stated["correct_average"].rstrip("%")))


def test_rewardbench_sections_as_published(data_folder: Path) -> None:
    (folder,) = (data_folder / "rewardbench_scores").glob("*/score_result")
    scores = rescore("rewardbench", folder / "each_small_section_score.json")
    stated = json.loads((folder / "main_score.json").read_text())
    for ours, theirs in (("chat", "Chat"), ("chat_hard", "Chat Hard"), ("safety", "Safety"), ("reasoning", "Reasoning"),
                         ("overall", "avg_Result_each_section"), ("micro", "absoluate_Result")):  # fmt: skip
        assert scores[ours] == pytest.approx(100 * stated[theirs], abs=1e-9), ours


# -- JudgeBench --------------------------------------------------------------------------------------------------------


def judgebench_row(label: str, *games: Any) -> dict[str, Any]:
    judgments = [
        game
        if game is None or isinstance(game, dict)
        else {"judgment": {"judge_model": "m", "prompt": "", "response": "r"}, "decision": game}
        for game in games
    ]
    return {"pair_id": "1", "original_id": "1", "source": "mmlu-pro-law", "question": "Q", "response_model": "gpt-4o-2024-05-13",
            "response_A": "a", "response_B": "b", "label": label, "judge_name": "j", "judgments": judgments}  # fmt: skip


NULL_DECISION = {"judgment": {"judge_model": "m", "prompt": "", "response": "?"}, "decision": None}


@pytest.mark.parametrize(
    ("row", "overall", "consistent", "none", "flip"),
    [
        (judgebench_row("A>B", "A>B", "B>A"), 100, 100, 0, 0),  # the second has the responses swapped
        (judgebench_row("B>A", "B>A", "A>B"), 100, 100, 0, 0),
        (judgebench_row("A>B", "A>B", "A>B"), 0, 0, 0, 100),
        (judgebench_row("A>B", "A>B", "A=B"), 100, 0, 0, 0),
        (judgebench_row("A>B", "A>B", None), 100, 0, 50, 0),
        (judgebench_row("A>B", None, NULL_DECISION), 0, 0, 100, 0),
        (judgebench_row("A>B", "A=B", "A=B"), 0, 0, 0, 0),
    ],
)
def test_judgebench_decisions(row: Any, overall: float, consistent: float, none: float, flip: float, tmp_path: Path) -> None:
    scores = rescore("judgebench", put(tmp_path / "out.jsonl", [row]))
    assert two(scores, "overall", "knowledge", "position_consistent", "none", "flip") == [overall, overall, consistent, none, flip]
    assert scores["missing"] == 349, "one pair is no JudgeBench"


def test_a_single_game_with_nulls_is_scored(tmp_path: Path) -> None:
    rows = [judgebench_row("A>B", None), judgebench_row("A>B", "A>B"), judgebench_row("A>B") | {"judgments": None}]
    rows = [row | {"pair_id": str(i)} for i, row in enumerate(rows)]
    scores = rescore("judgebench", put(tmp_path / "out.jsonl", rows))
    assert two(scores, "knowledge", "none") == [33.33, 66.67]
    assert "position_consistent" not in scores


def test_a_third_game_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not fit at judgments"):
        rescore("judgebench", put(tmp_path / "out.jsonl", [judgebench_row("A>B", "A>B", "B>A", "B>A")]))


def test_a_judgebench_file_that_is_two_in_one_is_refused(tmp_path: Path) -> None:
    both, one = judgebench_row("A>B", "A>B", "B>A"), judgebench_row("A>B", "A>B") | {"pair_id": "2"}
    with pytest.raises(UserError, match="1 rows with a pair_id that another row has"):
        rescore("judgebench", put(tmp_path / "out.jsonl", [both, both]))
    with pytest.raises(UserError, match="some pairs in both orders and some in one"):
        rescore("judgebench", put(tmp_path / "out.jsonl", [both, one]))


def test_a_judge_that_wrote_nothing_has_no_verdict(tmp_path: Path) -> None:
    silent = {"judgment": {"judge_model": "m", "prompt": "", "response": None}, "decision": None}
    assert rescore("judgebench", put(tmp_path / "out.jsonl", [judgebench_row("A>B", silent, silent)]))["none"] == 100
    row = llmbar_row(1, None, None)
    row["results"][-1]["swap = True"]["completion"] = None
    assert rescore("llmbar", put(tmp_path / "result.json", [row]))["none"] == 100


def test_pairs_that_a_file_repeats_are_held_against_the_benchmark_s_own(tmp_path: Path) -> None:
    row = judgebench_row("A>B", "A>B", "B>A")
    out, data = put(tmp_path / "out.jsonl", [row]), put(tmp_path / "data.jsonl", [row])
    assert rescore("judgebench", out, data=data) == rescore("judgebench", out)
    for changed in ({"label": "B>A"}, {"response_A": "another"}):
        with pytest.raises(UserError, match="judges 1 pairs that"):
            rescore("judgebench", out, data=put(tmp_path / "data.jsonl", [row | changed]))
    with pytest.raises(UserError, match="no file or folder"):
        rescore("judgebench", out, data=tmp_path / "nowhere")
    with pytest.raises(UserError, match="leave out --swapped"):
        rescore("judgebench", out, swapped=out)
    twice = put(tmp_path / "result.json", [llmbar_row(1, "1", "1")] * 2)
    with pytest.raises(UserError, match=r"judges 1 pairs that .* holds less often"):
        rescore("llmbar", twice, data=put(tmp_path / "dataset.json", [llmbar_row(1, "1", "1")]))


def test_the_released_outputs_are_of_the_released_pairs(data_folder: Path) -> None:
    for path in (data_folder / "judgebench" / "outputs").glob("*.jsonl"):
        assert "missing" not in rescore("judgebench", path, data=data_folder / "judgebench")
    for path in (data_folder / "llmbar" / "outputs").rglob("result.json"):
        assert "missing" not in rescore("llmbar", path, data=data_folder / "llmbar")


# -- PandaLM and JudgeLRM ----------------------------------------------------------------------------------------------


def gold_file(path: Path) -> Path:
    rows = [{"idx": i, "motivation_app": "x", "cmp_key": "m_n", "instruction": f"T{i}", "input": "", "response1": "a", "response2": "b",
             "annotator1": gold, "annotator2": gold, "annotator3": 1} for i, gold in enumerate([0, 1, 2, 2])]  # fmt: skip
    return put(path, rows)


def panda(path: Path, *results: int) -> Path:
    return put(
        path,
        [{"idx": i, "pandalm_result": result, "pandalm_reason": "r", "pandalm_reference": "s"} for i, result in enumerate(results)],
    )


def test_pandalm_verdict_files(tmp_path: Path) -> None:
    data = gold_file(tmp_path / "testset-v1.json")
    scores = rescore("pandalm", panda(tmp_path / "p.json", 0, 1, 2, 1), data=data)
    assert two(scores, "accuracy", "recall", "none", "n") == [75, round(100 * (1 + 1 + 0.5) / 3, 2), 0, 4]


def test_the_swap_rule_of_pandalms_author(tmp_path: Path) -> None:
    """(first, second as shown): both tie → tie; the same label → tie; else the first: (1, tie) → 1, (tie, 1) → tie."""
    data = gold_file(tmp_path / "testset-v1.json")
    first, second = panda(tmp_path / "1.json", 0, 1, 2, 2), panda(tmp_path / "2.json", 1, 0, 2, 1)
    scores = rescore("pandalm", first, swapped=second, data=data)
    # golds tie, 1, 2, 2: tie (first), 1 (first), tie (the same slot twice), 2
    assert scores["swapped accuracy"] == pytest.approx(75)
    assert scores["flip"] == 25, "the third names another response when the responses change places"
    assert scores["position_consistent"] == 25


def test_judgelrm_files_hold_their_own_pairs(tmp_path: Path) -> None:
    base = {"motivation_app": "x", "cmp_key": "m_n", "instruction": "T", "input": "", "response1": "a", "response2": "b"}
    rows = [
        {**base, "idx": 0, "label": 1, "output": "<think>…</think><answer>8</answer><answer>7</answer>", "result": 1},
        {**base, "idx": 1, "label": 0, "output": "<answer>7</answer><answer>7</answer>", "result": 0},
        {**base, "idx": 2, "label": 0, "output": "no scores at all", "result": 0},
    ]
    scores = rescore("pandalm", put(tmp_path / "lrm.json", rows))
    assert two(scores, "accuracy", "strict accuracy", "none") == [100, 66.67, 33.33]
    assert two(scores, "label tie", "label 1", "label 2") == [2, 1, 0]


def test_a_swapped_file_of_the_same_or_of_other_pairs_is_refused(tmp_path: Path) -> None:
    base = {"idx": 0, "instruction": "T", "response1": "a", "response2": "b", "label": 1}
    first = put(tmp_path / "1.json", [base | {"output": "<answer>8</answer><answer>7</answer>", "result": 1}])
    said = {"output": "<answer>7</answer><answer>8</answer>", "result": 2}
    for shown in ({}, {"response1": "b", "response2": "a"}):
        assert rescore("pandalm", first, swapped=put(tmp_path / "2.json", [base | said | shown]))["position_consistent"] == 100
    with pytest.raises(UserError, match="judges another pair under idx 0"):
        rescore("pandalm", first, swapped=put(tmp_path / "2.json", [base | said | {"response1": "c"}]))
    with pytest.raises(UserError, match="is the file of the first order itself"):
        rescore("pandalm", first, swapped=first)


def test_pandalm_needs_pairs_that_fit(tmp_path: Path) -> None:
    data, out = gold_file(tmp_path / "testset-v1.json"), panda(tmp_path / "p.json", 0, 1, 2)
    assert rescore("pandalm", out, data=data)["missing"] == 999 - 3
    with pytest.raises(UserError, match="judges 1 pairs that"):
        rescore("pandalm", panda(tmp_path / "five.json", 0, 1, 2, 1, 1), data=data)
    with pytest.raises(UserError, match="idx that another row has"):
        rescore("pandalm", put(tmp_path / "twice.json", json.loads(out.read_text()) * 2), data=data)
    with pytest.raises(UserError, match="give --data"):
        rescore("pandalm", out)
    with pytest.raises(UserError, match="nor a majority"):
        rescore(
            "pandalm", out, data=put(tmp_path / "no.json", [{**json.loads(data.read_text())[0], "annotator1": 2, "annotator2": 0}])
        )
    rows = json.loads(gold_file(tmp_path / "testset-v1.json").read_text())
    with pytest.raises(UserError, match="1 rows with an idx that another row has, so verdicts cannot be told apart"):
        rescore("pandalm", out, data=put(tmp_path / "again.json", [*rows, rows[0] | {"response1": "c"}]))
    with pytest.raises(UserError, match="judge different pairs"):
        rescore("pandalm", panda(tmp_path / "q.json", 0, 1, 2, 1), swapped=out, data=data)


# -- LLMBar, Auto-J, RewardBench, AlpacaEval ---------------------------------------------------------------------------


def llmbar_row(label: int, first: str | None, swapped: str | None) -> dict[str, Any]:
    said = {
        "swap = False": {"completion": ["x", "stop"], "winner": first},
        "swap = True": {"completion": ["x", "stop"], "winner": swapped},
    }
    return {"input": "T", "output_1": "a", "output_2": "b", "label": label, "results": [{"older": 1}, said]}


def test_llmbar_winners_are_in_the_unswapped_naming_and_two_missing_ones_agree(tmp_path: Path) -> None:
    rows = [llmbar_row(1, "1", "1"), llmbar_row(2, "1", "2"), llmbar_row(1, None, None), llmbar_row(1, "1", None)]
    scores = rescore("llmbar", put(tmp_path / "result.json", rows))
    assert two(scores, "accuracy_first", "accuracy_swapped", "accuracy", "agreement") == [50, 50, 50, 50]
    assert two(scores, "none", "flip", "position_consistent") == [37.5, 25, 25]
    assert "missing" not in scores, "nothing says which subset this is"


def test_a_part_of_an_llmbar_subset_is_called_one(tmp_path: Path) -> None:
    """A judge's file lies in folders of its own below the subset's."""
    path = put(tmp_path / "Adversarial" / "Neighbor" / "GPT-4" / "Vanilla" / "result.json", [llmbar_row(1, "1", "1")])
    assert rescore("llmbar", path)["missing"] == 133


def judgelm_files(tmp_path: Path) -> tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]:
    """Four samples with the teacher's verdicts 1, 2, 1, tie and one that cannot be read; a judge's outputs in both orders."""
    samples = [
        {"question_id": i, "question_body": f"Q{i}", "answer1_body": f"x{i}", "answer2_body": f"y{i}", "text": text}
        for i, text in enumerate(("9 1", "1 9", "8 7\nw", "5 5", "none"))
    ]
    data = put(tmp_path / "samples.jsonl", samples)
    first = [
        one | {"pred_text": text, "reference": {}} for one, text in zip(samples, ("9 1", "2 3", "?", "6 5", "1 1"), strict=True)
    ]
    exchanged = [
        one | {"answer1_body": one["answer2_body"], "answer2_body": one["answer1_body"], "pred_text": text, "pred_model_id": "m"}
        for one, text in zip(samples, ("1 9\nw", "2 3", "4 4", "5 6", "9 9"), strict=True)
    ]
    return data, first, exchanged


def test_judgelm_judgments_by_hand(tmp_path: Path) -> None:
    """Against eval_model_judgement.py's definitions: sample 4 has no gold, what is unread is a tie."""
    data, first, exchanged = judgelm_files(tmp_path)
    scores = rescore("judgelm", put(tmp_path / "1.jsonl", first), swapped=put(tmp_path / "2.jsonl", exchanged), data=data)
    # Said 1, 2, tie (unread), 1 of gold 1, 2, 1, tie; swapped, in the naming of the pair: 1, 1, tie, 1.
    assert two(scores, "n", "agreement", "none", "strict agreement", "consistency") == [4, 50, 12.5, 50, 75]
    assert two(scores, "precision", "recall", "f1") == [50, 50, 50]
    assert two(scores, "weighted precision", "weighted recall", "weighted f1") == [50, 50, 50]
    # Sample 1: the second in both orders.
    assert two(scores, "bias toward 1", "bias toward 2", "delta bias", "total bias") == [0, 25, 25, 25]
    together = put(tmp_path / "both.jsonl", [row for rows in zip(exchanged, first, strict=True) for row in rows])
    assert rescore("judgelm", together, data=data) == scores
    alone = rescore("judgelm", tmp_path / "1.jsonl", data=data)
    assert two(alone, "agreement", "none") == [50, 25]
    assert "consistency" not in alone


def test_equal_answers_are_in_either_order(tmp_path: Path) -> None:
    same = {"question_id": "q", "question_body": "Q", "answer1_body": "x", "answer2_body": "x", "text": "5 5"}
    data = put(tmp_path / "samples.jsonl", [same])
    said = put(tmp_path / "both.jsonl", [same | {"pred_text": "9 1"}, same | {"pred_text": "8 2"}])
    assert rescore("judgelm", said, data=data)["bias toward 1"] == 100


def test_judgelm_judgments_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    data, first, exchanged = judgelm_files(tmp_path)
    for rows, message in (
        (first[:3], r"judges 3 of the 5 samples without reference of .* in their order: give --swapped"),
        (exchanged, r"judges 0 of the 5 samples without reference of .* in both orders"),
        (first + exchanged[:2], r"judges 2 of the 5 samples .* in both orders"),
        ([*first, first[0]], r":6 judges question 0 once more in the same order"),
        ([first[0] | {"answer1_body": "z"}], r":1 judges other answers to question 0"),
        ([first[0] | {"question_id": 9}], r":1 judges question 9 without reference, which .* does not hold"),
        ([first[0] | {"reference": "R"}], r":1 judges question 0 with reference, which .* does not hold"),
        ([{"question_id": 0}], r"1\.jsonl:1 does not fit at question_body"),
    ):
        with pytest.raises(UserError, match=message):
            rescore("judgelm", put(tmp_path / "1.jsonl", rows), data=data)
    with pytest.raises(UserError, match="give --data"):
        rescore("judgelm", tmp_path / "1.jsonl")
    put(data, [{**json.loads(line), "question_id": 1} for line in data.read_text().splitlines()])
    with pytest.raises(UserError, match="two samples of question 1"):
        rescore("judgelm", put(tmp_path / "1.jsonl", first), data=data)


def test_autoj_pairs_of_files(tmp_path: Path) -> None:
    data = put(tmp_path / "testdata_pairwise.jsonl", [
        {"scenario": "code_generation", "label": label, "prompt": f"T{i}", "response 1": "a", "response 2": "b"} for i, label in enumerate([0, 1, 2, 0])
    ])  # fmt: skip
    first = put(tmp_path / "first.jsonl", [{"output": out} for out in (0, 1, 2, 0)])
    exchanged = put(tmp_path / "exchanged.jsonl", [{"output": out} for out in (1, 0, 2, 0)])  # the last flips
    scores = rescore("autoj", first, swapped=exchanged, data=data)
    assert two(scores, "Code agreement", "Code consistency", "flip", "position_consistent") == [75, 75, 25, 75]
    with pytest.raises(UserError, match="--swapped"):
        rescore("autoj", first, data=data)
    with pytest.raises(UserError, match="line i must be pair i"):
        rescore("autoj", first, swapped=put(tmp_path / "short.jsonl", [{"output": 0}]), data=data)


def test_rewardbench_needs_every_subset(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no accuracy for alpacaeval-easy"):
        rescore("rewardbench", put(tmp_path / "s.json", {"model": "m"}))
    with pytest.raises(UserError, match="leave out"):
        rescore("rewardbench", tmp_path / "s.json", data=tmp_path)


def test_alpacaeval_win_rate(tmp_path: Path) -> None:
    rows = [{"instruction": "T", "output_1": "a", "output_2": "b", "preference": p} for p in (1, 2, 2, 1.5, 0, None)]
    scores = rescore("alpacaeval", put(tmp_path / "annotations.json", rows))
    assert two(scores, "win_rate", "draws", "none", "n") == [60, 40, 16.67, 6]
    # sd with ddof 1 of (0, 1, 1, .5, .5) is 0.4183, over the root of 5
    assert scores["standard_error"] == pytest.approx(18.708, abs=1e-3)
    with pytest.raises(UserError, match="neither from 1 to 2"):
        rescore("alpacaeval", put(tmp_path / "bad.json", [{"preference": 3}]))
    with pytest.raises(UserError, match="only nulls"):
        rescore("alpacaeval", put(tmp_path / "nulls.json", [{"preference": None}]))


# -- the command -------------------------------------------------------------------------------------------------------


def test_json_is_one_object_of_percentages_and_the_table_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = put(tmp_path / "result.json", [llmbar_row(1, "1", "2"), llmbar_row(2, "2", "2"), llmbar_row(1, "1", "1")])
    assert main(["llmbar", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() >= {"accuracy_first", "accuracy_swapped", "accuracy", "agreement"}
    assert found["accuracy_swapped"] == 66.67
    assert main(["llmbar", str(out)]) == 0
    assert "66.67" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [None, "", "{", '[{"input": 1}]', '[{"input": "T", "output_1": "a", "output_2": "b", "label": 1, "results": []}]', "\x00"],
)
def test_what_cannot_be_read_is_one_line_and_status_2(text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "result.json"
    if text is not None:
        path.write_text(text)
    assert main(["llmbar", str(path), "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "result.json" in said.err
    assert said.err.count("\n") == 1
