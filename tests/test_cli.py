"""The `evalplanner` command: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli.judge
from cli.main import app
from cli.terminal import plain, visible
from eval.rescore import rescore
from planner.engines.base import GREEDY, Request
from planner.engines.scripted import ScriptedEngine, default_script
from planner.judge import Judge
from planner.records import Judgment, Message, Pair
from planner.styles import STYLES
from planner.styles.evalplanner import EvalPlannerStyle
from prompts import EXECUTION_END, EXECUTION_START, FINAL_VERDICT, PLAN_END, PLAN_START
from tests.fake_server import FakeServer, reply, token

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = [str(one.name or one.callback.__name__) for one in app.registered_commands if one.callback]
"""`eval` has the options and the help of `eval.run`."""
ONE = ["judge", "some-model", "--instruction", "Name a river.", "--response-a", "The Loire.", "--response-b", "The Alps."]
EVIL = "[red]x[/red] [[A]] [/] [link=http://e.vil]y[/link] :smile: \x1b[2J\x9b31m\u202e"

# Wide, so that no line of the text under test is broken; a terminal that would colour if it could.
RUNNER = CliRunner(env={"COLUMNS": "300", "TERM": "xterm-256color", "NO_COLOR": None})


def engine_says(monkeypatch: pytest.MonkeyPatch, script: Any = default_script, **judge: Any) -> dict[str, Any]:
    """Have `open_judge` give a scripted one; returns what it was asked for, and `engine`."""
    asked: dict[str, Any] = {}

    def open_judge(model: str, *, max_tokens: int | None, rule: Any, force: bool, **options: Any) -> Judge:
        asked.update(options, model=model, max_tokens=max_tokens, rule=rule, force=force)
        asked["engine"] = ScriptedEngine(script, **judge)
        return Judge(asked["engine"], EvalPlannerStyle(prompt_set="short"), max_tokens=max_tokens or 500, rule=rule, force=force)

    monkeypatch.setattr(cli.judge, "open_judge", open_judge)
    return asked


def always(plan: str, execution: str, letter: str) -> Any:
    """A script that says the same of everything."""
    return lambda request, draw: (
        f"{PLAN_START}\n{plan}\n{PLAN_END}\n{EXECUTION_START}\n{execution}\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[{letter}]]"
    )


def loire(request: Request, draw: int) -> str:
    """A script that knows that the Loire is the river, whichever side it is on."""
    asked = request.messages[-1].content
    letter = "A" if asked.index("Loire") < asked.index("Alps") else "B"
    return str(always("Is it a river?", f"Only {letter} is one.", letter)(request, draw))


def pairs_file(path: Path, n: int) -> Path:
    rows = ({"instruction": f"Task {i}", "response_a": f"yes {i}", "response_b": f"no {i}"} for i in range(n))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# -- one pair --------------------------------------------------------------------------------------------------------


def test_a_panel_shows_plan_both_executions_verdict_and_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_says(monkeypatch, loire)
    result = RUNNER.invoke(app, ONE)
    assert result.exit_code == 0, result.output
    for part in ("Is it a river?", "Only A is one.", "Only B is one.", "A is better", "P(A) 0.80", "both orders agree"):
        assert part in result.stdout
    assert result.stdout.count("→ A is better") == 2  # the swapped order is told in the pair's own naming


def test_a_judge_that_follows_the_position_is_said_to_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_says(monkeypatch, always("p", "e", "A"))
    result = RUNNER.invoke(app, ONE)
    assert "orders disagree" in result.stdout
    assert "no verdict" in result.stdout


def test_json_is_the_judgment_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_says(monkeypatch, loire)
    result = RUNNER.invoke(app, [*ONE, "--json"])
    (line,) = result.stdout.splitlines()
    judgment = Judgment.model_validate_json(line)
    assert (judgment.verdict, judgment.consistent, len(judgment.orders)) == ("A", True, 2)
    assert line.isascii()


def test_options_reach_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = engine_says(monkeypatch, loire)
    options = ["--rule", "first", "--force", "--server", "http://x/v1", "--style", "pandalm", "--max-tokens", "77", "--json"]
    result = RUNNER.invoke(app, [*ONE, *options])
    del asked["engine"]
    assert asked == {
        "model": "some-model", "server": "http://x/v1", "style": "pandalm", "rule": "first", "force": True, "max_tokens": 77,
        "decide": "text",
    }  # fmt: skip
    assert len(json.loads(result.stdout)["orders"]) == 1


def test_force_marks_a_verdict_that_was_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_says(monkeypatch, lambda request, draw: "I cannot say.")
    assert "no verdict" in RUNNER.invoke(app, ONE).stdout
    assert "forced" in RUNNER.invoke(app, [*ONE, "--force"]).stdout


@pytest.mark.parametrize("fails", [False, True])
def test_the_engine_is_closed(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    asked = engine_says(monkeypatch, loire, max_model_len=1 if fails else 4096)
    closed = []
    monkeypatch.setattr(ScriptedEngine, "close", lambda self: closed.append(self))
    assert RUNNER.invoke(app, ONE).exit_code == (2 if fails else 0)
    assert closed == [asked["engine"]]


def test_texts_come_from_files_and_stdin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []
    engine_says(monkeypatch, lambda request, draw: seen.append(request.messages[-1].content) or loire(request, draw))
    (tmp_path / "a.txt").write_text("The Loire,\nof course.\n\n", encoding="utf-8")
    arguments = ["judge", "m", "-i", "Name a river.", "-a", f"@{tmp_path / 'a.txt'}", "-b", "-", "--rule", "first"]
    assert RUNNER.invoke(app, arguments, input="Alps, ça va?\n").exit_code == 0
    assert "The Loire,\nof course.\n" in seen[0]
    assert "Alps, ça va?" in seen[0]


def test_pandalm_s_and_judgelm_s_own_files_are_judged(tmp_path: Path) -> None:
    tuples = [
        {"idx": 0, "motivation_app": "x", "instruction": "i", "input": "in", "response1": "a", "response2": True, "annotator1": 1}
    ]
    (tmp_path / "p.json").write_text(json.dumps(tuples))
    assert list(cli.judge.read_pairs(tmp_path / "p.json")) == [
        (1, Pair(instruction="i", input="in", response_a="a", response_b="True"))
    ]
    sample = {"question_id": 3, "question_body": "q", "answer1_body": "x", "answer2_body": "y", "score": [{}, {}]}
    ours = {"instruction": 'says "answer1_body"', "response_a": "a", "response_b": "b"}
    rows = [sample, ours, sample | {"reference": {"text": "r"}}]
    (tmp_path / "j.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    pair = Pair(instruction="q", response_a="x", response_b="y")
    assert list(cli.judge.read_pairs(tmp_path / "j.jsonl")) == [
        (1, pair),
        (3, Pair(**ours)),
        (5, Pair(**pair.model_dump() | {"reference": "r"})),
    ]
    (tmp_path / "bad.json").write_text('[{"instruction": "i", "response1": "a"}]')
    (tmp_path / "bad.jsonl").write_text('{"answer1_body": "x", "answer2_body": "y"}')
    for name, told in (("bad.json", "response1 and response2 must be texts"), ("bad.jsonl", ":1: 'question_body' is missing")):
        result = RUNNER.invoke(app, ["judge", "m", "--file", str(tmp_path / name)])
        assert (result.exit_code, told in result.stderr) == (2, True), result.stderr


def others_files(tmp_path: Path) -> tuple[str, str]:
    """PandaLM's list and JudgeLM's samples: the second pair has no better answer that the judge of these tests could name."""
    texts = [("The Loire.", "The Alps."), ("?", "!")]
    tuples = [{"idx": 7 + i, "instruction": "Name a river.", "response1": a, "response2": b} for i, (a, b) in enumerate(texts)]
    samples = [
        {"question_id": f"q{i}", "question_body": "Name a river.", "answer1_body": a, "answer2_body": b, "text": "9 1"}
        for i, (a, b) in enumerate(texts)
    ]
    (tmp_path / "p.json").write_text(json.dumps(tuples))
    (tmp_path / "j.jsonl").write_text("".join(json.dumps(one) + "\n" for one in samples))
    return str(tmp_path / "p.json"), str(tmp_path / "j.jsonl")


def says_in_style(monkeypatch: pytest.MonkeyPatch, style: str, good: str, bad: str) -> None:
    """Have an engine that says `good` where the Loire comes first and `bad` where it comes second, and of other pairs that it cannot say."""

    def script(request: Request, draw: int) -> str:
        asked = request.messages[-1].content
        return "I cannot say." if "Loire" not in asked else good if asked.index("Loire") < asked.index("Alps") else bad

    def open_judge(model: str, *, rule: Any, **options: Any) -> Judge:
        return Judge(ScriptedEngine(script), STYLES[style], max_tokens=50, rule=rule)

    monkeypatch.setattr(cli.judge, "open_judge", open_judge)


def test_judgments_are_written_in_pandalm_s_form(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, _ = others_files(tmp_path)
    says_in_style(monkeypatch, "pandalm", "1\n\n### Reason: A river.\n\n### Reference: The Oder ✓.\n", "2\n\n### Reason: b\n")
    options = ["--style", "pandalm", "--rule", "pandalm", "--file", file, "--as", "pandalm"]
    result = RUNNER.invoke(app, ["judge", "m", *options])
    assert result.exit_code == 0, result.output
    expected = [{"idx": 7, "pandalm_result": 1, "pandalm_reason": "A river.", "pandalm_reference": "The Oder ✓."}]
    assert json.loads(result.stdout) == expected
    assert result.stdout.isascii()
    assert "would call what has no verdict a tie: idx 8\n" in result.stderr
    says_in_style(monkeypatch, "pandalm", "?", "?")
    assert json.loads(RUNNER.invoke(app, ["judge", "m", *options]).stdout) == []


def test_judgments_are_written_in_judgelm_s_form(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, file = others_files(tmp_path)
    says_in_style(monkeypatch, "judgelm", "9 2\nA river.", "1 8\nLater.")
    for rule, orders in (("strict", ("ab", "ba")), ("first", ("ab",))):
        result = RUNNER.invoke(
            app, ["judge", "some/judge", "--style", "judgelm", "--rule", rule, "--file", file, "--as", "judgelm"]
        )
        assert result.exit_code == 0, result.output
        found = [json.loads(line) for line in result.stdout.splitlines()]
        shown = [(one["question_id"], one["answer1_body"], one["pred_text"], one["pred_model_id"]) for one in found]
        said = {
            ("q0", "ab"): ("The Loire.", "9 2\nA river."), ("q0", "ba"): ("The Alps.", "1 8\nLater."),
            ("q1", "ab"): ("?", "I cannot say."), ("q1", "ba"): ("!", "I cannot say."),
        }  # fmt: skip
        assert shown == [(name, *said[name, order], "some/judge") for name in ("q0", "q1") for order in orders]
        (tmp_path / "judgments.jsonl").write_text(result.stdout)
        scores = rescore("judgelm", tmp_path / "judgments.jsonl", data=Path(file))
        assert (scores["agreement"], scores.get("consistency")) == (50, 100 if rule == "strict" else None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--file", "{p}", "--as", "pandalm", "--json"], "--as is a form for the judgments of a --file, in place of --json"),
        ([*ONE[2:], "--as", "pandalm"], "--as is a form for the judgments of a --file"),
        (["--file", "{j}", "--as", "pandalm"], "--as pandalm is for judgments on PandaLM's .json list"),
        (
            ["--file", "{none}", "--as", "judgelm", "--style", "judgelm"],
            "none.jsonl cannot be read: No such file or directory; give --file",
        ),
        (["--file", "{bad}", "--as", "pandalm"], "bad.json[0]: 'idx' is missing"),
        (["--file", "{p}", "--as", "judgelm", "--style", "judgelm"], "--as judgelm for those on JudgeLM's samples"),
        (["--file", "{own}", "--as", "judgelm", "--style", "judgelm"], "own.jsonl:1: 'question_id' is missing"),
        (["--file", "{odd}", "--as", "judgelm", "--style", "judgelm"], "odd.jsonl:1: 'question_id' is list, not int or str"),
        (["--file", "{j}", "--as", "judgelm", "--style", "pandalm"], "--as judgelm is for judgments with JudgeLM's scores"),
        (["--file", "{j}", "--as", "judgelm", "--style", "judgelm", "--decide", "likelihood"], "leave out --decide likelihood"),
        (["--file", "{j}", "--as", "judgelm", "--style", "judge"], "no style 'judge'"),
    ],
)
def test_what_a_form_has_no_room_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], message: str
) -> None:
    asked = engine_says(monkeypatch)
    (tmp_path / "bad.json").write_text('[{"instruction": "i", "response1": "a", "response2": "b"}]')
    (tmp_path / "odd.jsonl").write_text('{"question_id": [], "question_body": "q", "answer1_body": "a", "answer2_body": "b"}')
    files = {"bad": tmp_path / "bad.json", "odd": tmp_path / "odd.jsonl", "own": pairs_file(tmp_path / "own.jsonl", 1)}
    files |= {"none": tmp_path / "none.jsonl"} | dict(zip("pj", map(Path, others_files(tmp_path)), strict=True))
    result = RUNNER.invoke(app, ["judge", "m", *(option.format(**files) for option in options)])
    assert (result.exit_code, result.stdout, asked, message in result.stderr) == (2, "", {}, True), result.stderr
    assert len(result.stderr.splitlines()) == 1


# -- untrusted text --------------------------------------------------------------------------------------------------


def test_markup_in_a_models_text_is_printed_and_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_says(monkeypatch, always(f"plan {EVIL}", f"execution {EVIL}", "A"))
    result = RUNNER.invoke(app, ONE)
    assert result.exit_code == 0, result.output
    shown = r"[red]x[/red] [[A]] [/] [link=http://e.vil]y[/link] :smile: \x1b[2J\x9b31m\u202e"
    for part in ("plan", "execution"):
        assert f"{part} {shown}" in result.stdout
    assert not {"\x1b", "\x9b", "\u202e"} & set(result.stdout)


def test_markup_in_a_files_row_is_printed_and_not_obeyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine_says(monkeypatch, always("p", "e", "A"))
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"instruction": "[red]x[/red] \x1b[2J", "response_a": "[[A]]", "response_b": "[/]"}) + "\n")
    result = RUNNER.invoke(app, ["judge", "m", "--file", str(file)])
    assert result.exit_code == 0, result.output
    assert r"[red]x[/red] \x1b[2J" in result.stdout
    assert "\x1b" not in result.stdout


def test_markup_in_an_error_is_printed_and_not_obeyed(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["judge", str(tmp_path / "[red]x[/red]\x1b[2J\nsecond"), *ONE[2:]])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert r"[red]x[/red]\x1b[2J second" in line


def test_visible_keeps_what_is_text() -> None:
    assert visible("é\t漢\n[[A]] 🙂") == "é\t漢\n[[A]] 🙂"
    assert visible("a\r\nb\rc\ud800\x07") == "a\nb\\x0dc\\ud800\\x07".replace("\\x0d", "\\r")
    assert plain("[bold]x[/bold]", "bold").plain == "[bold]x[/bold]"


# -- many pairs ------------------------------------------------------------------------------------------------------


def test_a_file_is_judged_in_its_order_block_by_block(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli.judge, "_BLOCK", 3)

    def number(request: Request, draw: int) -> str:
        found = next(word for word in request.messages[-1].content.split() if word.isdigit())
        return str(always("p", found, "A")(request, draw))

    engine_says(monkeypatch, number)
    file = pairs_file(tmp_path / "pairs.jsonl", 8)
    result = RUNNER.invoke(app, ["judge", "m", "--file", str(file), "--json"])
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["execution"] for line in result.stdout.splitlines()] == [str(i) for i in range(8)]


def test_a_table_names_each_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine_says(monkeypatch)
    file = pairs_file(tmp_path / "pairs.jsonl", 3)
    file.write_text(file.read_text().replace("\n", "\n\n"))  # blank lines are no rows, but count as lines
    result = RUNNER.invoke(app, ["judge", "m", "--file", str(file)])
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in result.stdout.splitlines() if "Task" in line]
    assert rows == [["1", "Task 0"], ["3", "Task 1"], ["5", "Task 2"]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is not JSON"),
        ('{"instruction": "i", "response_a": "a"}', "does not fit at response_b"),
        ('{"instruction": "i", "response_a": "a", "response_b": 3}', "does not fit at response_b"),
        ('{"instruction": "i", "response_a": "a", "response_b": "b", "better": "A"}', "does not fit at better"),
    ],
)
def test_a_bad_row_stops_before_a_model_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, says: str) -> None:
    asked = engine_says(monkeypatch)
    file = pairs_file(tmp_path / "pairs.jsonl", 2)
    file.write_text(file.read_text() + line + "\n")
    result = RUNNER.invoke(app, ["judge", "m", "--file", str(file), "--json"])
    assert (result.exit_code, result.stdout, asked) == (2, "", {})
    (error,) = result.stderr.splitlines()
    assert f"{file}:3 {says}" in error


def test_a_row_that_does_not_fit_the_context_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine_says(monkeypatch, max_model_len=1000)
    file = pairs_file(tmp_path / "pairs.jsonl", 2)
    row = {"instruction": "long", "response_a": "word " * 1000, "response_b": "b"}
    file.write_text(file.read_text() + json.dumps(row) + "\n")
    result = RUNNER.invoke(app, ["judge", "m", "--file", str(file), "--json"])
    assert result.exit_code == 2
    assert f"{file}:3 and 500 tokens of answer do not fit" in result.stderr


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["judge", "m"], "all three"),
        (["judge", "m", "-i", "x", "-a", "y"], "all three"),
        ([*ONE, "--file", "x.jsonl"], "leave out"),
        (
            ["judge", "m", "--file", "/nowhere/x.jsonl"],
            "/nowhere/x.jsonl cannot be read: No such file or directory; give --file a file of pairs",
        ),
        (["judge", "m", "-i", "@/nowhere/x", "-a", "a", "-b", "b"], "/nowhere/x cannot be read"),
        (["judge", "m", "-i", "-", "-a", "-", "-b", "b"], "stdin can be read once"),
        (["judge", "/nowhere/m", *ONE[2:]], "no model at /nowhere/m"),
        (["judge", "/nowhere/m", *ONE[2:], "--style", "evalplanner-short"], "no model at /nowhere/m"),
        (["judge", str(ROOT), *ONE[2:]], "add --style"),
        (["judge", "embedded", *ONE[2:]], "add --style"),
        (["judge", "org/model", *ONE[2:]], "add --style"),
        ([*ONE, "--server", "http://127.0.0.1:9/v1"], "add --style"),
        (["train", "/nowhere/c.toml"], "/nowhere/c.toml does not exist"),
        (["train", "configs/demo.toml", "sampling.plans=no"], "sampling.plans"),
    ],
)
def test_what_can_be_mended_is_one_line_and_status_2(arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = RUNNER.invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nosuch"], "no such command 'nosuch'; see evalplanner --help"),
        (["jugde"], "no such command 'jugde'. Did you mean 'judge', 'grade'?; see evalplanner --help"),
        (["--nosuch"], "no such option: --nosuch; see evalplanner --help"),
        (["judge"], "missing argument 'MODEL'; see evalplanner judge --help"),
        (["train", "--jsn"], "no such option: --jsn (Possible options: --json); see evalplanner train --help"),
        (["data", "build"], "missing argument 'CONFIG'; see evalplanner data build --help"),
        (["data", "nosuch"], "no such command 'nosuch'; see evalplanner data --help"),
        (["ui", "--port", "70000"], "invalid value for '--port': Input should be less than or equal to 65535; see evalplanner ui --help"),
        (["models", "--runs"], "option '--runs' requires an argument; see --help"),
        (["models", "--\x1b[2J\nx"], "no such option: --\\x1b[2J\\x0ax; see evalplanner models --help"),
        (["eval"], "the following arguments are required: benchmark, --judge; see evalplanner eval --help"),
        (["eval", "pairs", "--judge", "x", "--limit", "0"], "argument --limit: '0' is no number from 1; see evalplanner eval --help"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_line_that_names_the_help_page(arguments: list[str], says: str) -> None:
    result = RUNNER.invoke(app, arguments, prog_name="evalplanner")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"error: {says}\n")


@pytest.mark.parametrize("group", [[], ["data"]], ids=["evalplanner", "data"])
def test_a_group_of_commands_by_itself_shows_its_help(group: list[str]) -> None:
    assert "Commands:" in RUNNER.invoke(app, group).output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not there: give a file of pairs, e.g. data/mine/train-1.jsonl"),
        ("", " is empty: it needs one JSON object a line with instruction, chosen, rejected"),
        (
            "{",
            ":1 is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); mend or remove the line",
        ),
        ('{"pair": {}}\n', ":1 does not fit at pair.instruction (Field required); mend or remove the line"),
        ('{"instruction": "i", "chosen": "c"}\n', ":1: 'rejected' is missing; each row needs instruction, chosen, rejected"),
    ],
)
def test_a_file_of_pairs_that_is_wanting_is_said_of_itself_and_of_no_run(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "f.jsonl"
    if content is not None:
        file.write_text(content)
    result = RUNNER.invoke(app, ["data", "inspect", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: {file}{' ' * (content is None)}{says}\n"


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    result = RUNNER.invoke(app, ["judge", "m", "-i", f"@{tmp_path / 'latin'}", "-a", "a", "-b", "b"])
    assert result.exit_code == 2
    assert "latin is not UTF-8" in result.stderr


def test_train_is_one_call_into_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from selftrain import run

    called = []
    monkeypatch.setattr(run, "main", lambda arguments: called.append(arguments) or 2)
    assert RUNNER.invoke(app, ["train", "c.toml", "seed=3", "sampling.plans=2"]).exit_code == 2
    assert called == [["c.toml", "seed=3", "sampling.plans=2"]]


def test_train_s_table_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from selftrain import run

    overrides = [f'out="{tmp_path}"', "name=mine"]

    def main(arguments: list[str]) -> int:
        print("a table")
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "summary.json").write_text('{\n  "name": "mine"\n}\n')
        return 0

    monkeypatch.setattr(run, "main", main)
    monkeypatch.chdir(ROOT)
    done = RUNNER.invoke(app, ["train", "configs/demo.toml", *overrides, "--json"])
    assert (done.exit_code, done.stdout) == (0, '{"name": "mine"}\n')
    monkeypatch.setattr(run, "main", lambda arguments: 2)
    assert RUNNER.invoke(app, ["train", "configs/demo.toml", "--json"]).exit_code == 2


@pytest.mark.parametrize(
    "command", [[], *([name] for name in COMMANDS), ["data"], ["data", "build"], ["data", "inspect"]], ids=" ".join
)
def test_help_has_a_worked_example_and_the_exit_status(command: list[str]) -> None:
    result = RUNNER.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "  evalplanner " in result.stdout
    assert "Exit status" in result.stdout


@pytest.mark.parametrize("command", [*([name] for name in COMMANDS), ["data", "build"], ["data", "inspect"]], ids=" ".join)
def test_whatever_prints_a_table_takes_json(command: list[str]) -> None:
    """What each prints else: the path of a page or a judge, lines of a build; `serve` and `ui` print an address."""
    no_table = (["serve"], ["ui"], ["report"], ["distil"], ["data", "build"])
    assert ("--json" in RUNNER.invoke(app, [*command, "--help"]).stdout) == (command not in no_table)


def test_files_of_ours_that_a_help_page_names_are_there() -> None:
    found = 0
    for command in ([], *([name] for name in COMMANDS), ["data", "build"], ["data", "inspect"]):
        for word in re.findall(r"configs/[\w./-]+\.toml", RUNNER.invoke(app, [*command, "--help"]).stdout):
            found += 1
            assert (ROOT / word).is_file(), f"{command}: {word}"
    assert found > 3


# -- a served model --------------------------------------------------------------------------------------------------


def test_a_served_model_is_asked_with_the_prompts_named() -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        said = loire(Request("", (Message(role="user", content=body["messages"][-1]["content"]),), "", 1, 1, (), GREEDY), 0)
        return reply(said, logprobs=[token(said[:-3]), token(said[-3], -0.1, {"A": -0.1, "B": -2.4}), token("]]")])

    with FakeServer(answer, owner="someone", max_model_len=None) as server:
        options = ["--server", server.url, "--style", "evalplanner-short", "--json", "--rule", "first"]
        done = RUNNER.invoke(app, ["judge", "m", *ONE[2:], *options])
        assert done.exit_code == 0, done.output
        assert Judgment.model_validate_json(done.stdout).verdict == "A"
        other = RUNNER.invoke(app, ["judge", "other", *ONE[2:], *options])
    assert other.exit_code == 2
    assert "serves m" in other.stderr


# -- as a process ----------------------------------------------------------------------------------------------------


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60
    )


def test_help_comes_at_once() -> None:
    def seconds() -> float:
        """Of processor time: what else the machine does must not decide."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run_cli("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 1.0


@pytest.mark.parametrize(
    ("typed", "offered"), [("evalplanner se", ["serve"]), ("evalplanner serve --co", ["--cohort", "--config"])]
)
def test_a_shell_completes_commands_and_options(typed: str, offered: list[str]) -> None:
    words = typed.split()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_EVALPLANNER_COMPLETE": "complete_bash", "COMP_WORDS": typed}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main"], capture_output=True, text=True, cwd=ROOT, timeout=60,
        env=environment | {"COMP_CWORD": str(len(words) - 1)},
    )  # fmt: skip
    assert sorted(done.stdout.split()) == offered


def test_a_missing_model_is_one_line_and_status_2() -> None:
    done = run_cli("judge", "/nowhere/m", *ONE[2:])
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no model at /nowhere/m")


def test_what_libraries_print_does_not_reach_stdout() -> None:
    script = (
        "import os, sys\n"
        "from cli.terminal import stdout_kept\n"
        "print('before')\n"
        "with stdout_kept():\n"
        "    print('python')\n"
        "    os.write(1, b'native\\n')\n"
        "print('after')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout == "before\nafter\n"
    assert "native" in done.stderr
    assert "python" in done.stderr
