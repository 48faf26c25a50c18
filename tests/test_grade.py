"""Grading, planner/grade.py and `evalplanner grade`: scores in the order asked, against a reference, and none where nothing can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli.grade
from cli.main import app
from planner.engines.base import EngineError, Request
from planner.engines.scripted import ScriptedEngine
from planner.grade import Grader, Several, Single
from planner.judge import JudgeCard, write_card
from planner.styles import SCORING, STYLES
from prompts import PromptError

RUNNER = CliRunner(env={"COLUMNS": "300"})


def j1(request: Request, draw: int) -> str:
    return f"<think>words</think> <score>{request.messages[-1].content.count('wx ')}</score>"


def test_grades_come_in_the_order_asked() -> None:
    grader = Grader(ScriptedEngine(j1), SCORING["j1-score"])
    found = list(grader.grade_many(Single(instruction="Q", response="wx " * n) for n in (3, 1, 2)))
    assert [one.score for one in found] == [3, 1, 2]
    assert grader.grade("Q", "wx ").score == 1


def test_judgelm_grades_against_a_reference() -> None:
    seen: list[Request] = []

    def script(request: Request, draw: int) -> str:
        seen.append(request)
        return " 7\nclose to it"

    grader = Grader(ScriptedEngine(script), SCORING["judgelm"])
    assert grader.grade("Q", "y", "R").score == 7
    assert (seen[0].prefill, seen[0].messages[0].role) == ("10", "text")
    with pytest.raises(PromptError, match="reference"):
        grader.grade("Q", "y")


def test_what_cannot_be_read_or_was_cut_off_has_no_score() -> None:
    assert Grader(ScriptedEngine(lambda r, d: "good"), SCORING["j1-score"]).grade("Q", "y").score is None
    cut = Grader(ScriptedEngine(lambda r, d: "<think> a b c d </think> <score>7</score>"), SCORING["j1-score"], max_tokens=3)
    assert (cut.grade("Q", "y").score, cut.grade("Q", "y").cut_off) == (None, True)


def test_several_responses_at_once() -> None:
    grader = Grader(ScriptedEngine(lambda r, d: "8 7, 9/10\nbecause"), SCORING["judgelm"])
    assert grader.grade_together("Q", ("x", "y", "z")).scores == (8, 7, 9)
    assert grader.grade_together("Q", ("x", "y")).scores is None, "three scores for two responses"
    asked = [Several(instruction="Q", responses=("x",) * n) for n in (2, 3)] + [
        Single(instruction="Q", response="y", reference="R")
    ]
    assert [one.scores for one in grader.grade_many(asked)] == [None, (8, 7, 9), None]
    for n in (1, 11):
        with pytest.raises(PromptError, match=f"two to ten responses at once, not {n}"):
            grader.grade_together("Q", ("x",) * n)
    with pytest.raises(PromptError, match="judgelm"):
        Grader(ScriptedEngine(), SCORING["j1-score"]).grade_together("Q", ("x", "y"))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(EngineError, match="do not fit"):
        Grader(ScriptedEngine(max_model_len=300), SCORING["j1-score"], max_tokens=200).grade("Q", "w " * 99)


# -- the command -------------------------------------------------------------------------------------------------------


def counts(request: Request, draw: int) -> str:
    """As JudgeLM answers: each answer shown gets its number, a single one 7."""
    n = request.messages[-1].content.count("[The Start of Assistant")
    return " 7\nclose" if request.prefill else " ".join(str(k) for k in range(1, n + 1)) + "\nThe last is best."


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model's folder, opened as a scripted engine whose requests are noted in `seen`."""
    SEEN.clear()

    def script(request: Request, draw: int) -> str:
        SEEN.append(request)
        return counts(request, draw)

    monkeypatch.setattr(cli.grade, "open_engine", lambda model, server: ScriptedEngine(script))
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


SEEN: list[Request] = []
ROWS = [
    {"instruction": "Which of these?", "responses": ["x", "y", "z"]},
    {"instruction": "How high is the tower on the picture?", "response": "[red]30 m", "reference": "About 30 metres."},
    {"instruction": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}, {"role": "user", "content": "A river?"}],
     "responses": ["Loire", "Alps"], "reference": "Loire"},
    {"question_id": 4, "question_body": "Q", "answer1_body": "x", "answer2_body": "y", "answer3_body": "z", "answer5_body": "no"},
]  # fmt: skip


def rows_file(path: Path, *rows: Any) -> str:
    path.write_text("\n\n".join(map(json.dumps, rows)))
    return str(path)


def test_every_form_of_row_is_graded_in_its_order(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.grade, "_BLOCK", 3)
    file = rows_file(tmp_path / "rows.jsonl", *ROWS)
    result = RUNNER.invoke(app, ["grade", str(model), file, "--style", "judgelm", "--json"])
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["scores"] for one in found] == [[1, 2, 3], [7], [1, 2], [1, 2, 3]]
    assert found[1] == {"scores": [7.0], "text": " 7\nclose", "cut_off": False, "tokens": 2}
    asked = [request.messages[-1].content for request in SEEN]
    assert "the scores for Assistant 1, 2 and 3, respectively" in asked[0]
    assert SEEN[1].prefill == "10"
    assert "[The Start of Assistant 1's Answer]\nAbout 30 metres.\n" in asked[1], "the reference stands in the first place"
    assert "[Question]\nUser: Hi\n\nAssistant: Ho\n\nUser: A river?\n\n[Reference Answer]\nLoire\n" in asked[2]


def test_a_picture_s_question_is_judged_by_its_reference(model: Path, tmp_path: Path) -> None:
    file = rows_file(tmp_path / "rows.jsonl", ROWS[1])
    result = RUNNER.invoke(app, ["grade", str(model), file, "--style", "judgelm-picture", "--json"])
    assert json.loads(result.stdout)["scores"] == [7], result.output
    assert "about a picture" in SEEN[0].messages[-1].content
    assert "[Reference Answer]\nAbout 30 metres.\n" in SEEN[0].messages[-1].content


def test_a_table_names_each_line(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = rows_file(tmp_path / "rows.jsonl", *ROWS[:2], ROWS[1] | {"instruction": "[red]bad\x1b[2J"})
    result = RUNNER.invoke(app, ["grade", str(model), file, "--style", "judgelm"])
    rows = [[cell.strip() for cell in line.split("│")[1:4]] for line in result.stdout.splitlines()]
    shown = [
        ["1", "Which of these?", "1  2  3"],
        ["3", "How high is the tower on the picture?", "7"],
        ["5", r"[red]bad\x1b[2J", "7"],
    ]
    assert [row for row in rows if row and row[0].isdigit()] == shown
    monkeypatch.setattr(cli.grade, "open_engine", lambda model, server: ScriptedEngine(lambda request, draw: "good " * 9))
    for tokens, told in (("20", "none"), ("4", "cut off")):
        result = RUNNER.invoke(app, ["grade", str(model), file, "--style", "judgelm", "--max-tokens", tokens])
        assert result.stdout.count(told) == 3


def test_a_checkpoint_s_card_names_the_style(model: Path, tmp_path: Path) -> None:
    write_card(model, JudgeCard(style=STYLES["judgelm-fast"], max_tokens=9))
    file = rows_file(tmp_path / "rows.jsonl", ROWS[0])
    result = RUNNER.invoke(app, ["grade", str(model), file, "--json"])
    assert json.loads(result.stdout)["text"] == "1 2 3", result.output
    assert (SEEN[0].max_tokens, SEEN[0].stop) == (9, ("\n",))


GRADED = ["--style", "judgelm"]


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"instruction": "Q", "responses": ["x"]}, GRADED, "rows.jsonl:1: JudgeLM grades two to ten responses at once, not 1"),
        ({"instruction": "Q", "responses": ["x"] * 11}, GRADED, "two to ten responses at once, not 11"),
        ({"instruction": "Q", "response": "x"}, GRADED, "rows.jsonl:1: JudgeLM grades one response against a reference answer only"),
        ({"instruction": "Q", "responses": ["x", "y"]}, ["--style", "judgelm-picture"], "a picture is judged against a reference"),
        ({"instruction": "Q", "responses": ["x", "y"]}, ["--style", "j1-score"], "several responses at once are a matter of the style"),
        ({"instruction": "Q", "responses": ["x", 2]}, GRADED, "rows.jsonl:1 does not fit at responses.1 ("),
        ({"instruction": [{"role": "x"}], "response": "y"}, GRADED, "rows.jsonl:1 does not fit at instruction"),
        ({"instruction": "Q"}, GRADED, "rows.jsonl:1 does not fit at response ("),
        ({"instruction": "Q", "response": "x", "responses": []}, GRADED, "rows.jsonl:1 does not fit at response ("),
        ({"answer1_body": "x", "answer2_body": "y"}, GRADED, "rows.jsonl:1: 'question_body' is missing"),
        ({"question_body": "Q", "answer1_body": "x", "answer2_body": 2}, GRADED, "rows.jsonl:1: 'answer2_body' is int, not str"),
        ([1], GRADED, "rows.jsonl:1 is no JSON object"),
        (ROWS[1], ["--style", "mtbench"], "no style 'mtbench' grades; there are judgelm, judgelm-fast, judgelm-picture, j1-score"),
        (ROWS[1], [], "grades: add --style, one of judgelm, "),
        (ROWS[1] | {"response": "w " * 5000}, GRADED, "rows.jsonl:1 and 2048 tokens of answer do not fit the model's context"),
    ],
)  # fmt: skip
def test_what_cannot_be_graded_is_one_line(model: Path, tmp_path: Path, row: Any, options: list[str], message: str) -> None:
    result = RUNNER.invoke(app, ["grade", str(model), rows_file(tmp_path / "rows.jsonl", row), *options])
    assert (result.exit_code, result.stdout, message in result.stderr) == (2, "", True), result.stderr
    assert not SEEN
    assert len([line for line in result.stderr.splitlines() if "rows:" not in line]) == 1


def test_other_bad_inputs_are_one_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.jsonl").write_text('{"instruction": ')
    (tmp_path / "empty.jsonl").write_text("\n")
    write_card(model, JudgeCard(style=STYLES["plain"], max_tokens=9))
    for arguments, message in (
        ([str(model), str(tmp_path / "torn.jsonl"), *GRADED], "torn.jsonl:1 is not JSON"),
        ([str(model), str(tmp_path / "none.jsonl"), *GRADED], "none.jsonl cannot be read: No such file or directory"),
        ([str(model), str(tmp_path / "empty.jsonl"), *GRADED], "empty.jsonl holds no rows; a row is"),
        ([str(model), str(tmp_path / "empty.jsonl")], "was trained to compare two responses: ask it with `evalplanner judge`"),
        ([str(tmp_path / "no-model"), str(tmp_path / "empty.jsonl"), *GRADED], "no-model"),
        (["served", str(tmp_path / "empty.jsonl"), "--server", "http://x/v1"], "nothing says how served grades"),
    ):
        result = RUNNER.invoke(app, ["grade", *arguments])
        assert (result.exit_code, result.stdout, message in result.stderr) == (2, "", True), result.stderr
        assert len(result.stderr.splitlines()) == 1
