"""compare/: answers in, standings out; every number against a count by hand, every stop resumable, every bad file named."""

from __future__ import annotations

import json
import re
import shutil
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from compare.candidates import Question, RespondConfig, read_outputs, read_questions, read_responses, respond
from compare.graph import svg
from compare.run import CompareConfig, compare
from compare.standings import Edge, Game, Summary, Triple, cycle, edges, standings, triples
from planner.engines.base import EngineError, Request
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from planner.judge import Judge
from planner.lock import lock_run
from planner.styles import STYLES

RUNNER = CliRunner()
NAMES = ("good", "fair", "poor")
FILES = ("matches.jsonl", "summary.json", "graph.svg", "report.html")


def longer_wins(request: Request, draw: int) -> str:
    """A PandaLM judge that prefers the longer response, and the first of two equals."""
    text = request.messages[-1].content
    first, second = (text.split(f"### Response {k}:\n")[1].split("\n\n###")[0] for k in (1, 2))
    return f"{1 if len(first) >= len(second) else 2}\n\n### Reason: <b>length</b>\n"


def judge(script: Any = longer_wins, rule: Any = "strict") -> Judge:
    return Judge(ScriptedEngine(script), STYLES["pandalm"], rule=rule, max_tokens=50)


@pytest.fixture
def config(tmp_path: Path) -> CompareConfig:
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps({"instruction": f"Task {k}", "extra": 1}) + "\n" for k in range(6)))
    for size, name in zip((3, 2, 1), NAMES, strict=True):
        # On the last question all are equal.
        (tmp_path / f"{name}.json").write_text(json.dumps(["word " * (size if k < 5 else 1) for k in range(6)]))
    return CompareConfig(
        questions=str(questions), candidates={name: str(tmp_path / f"{name}.json") for name in NAMES}, out=str(tmp_path / "run"),
        judge={"model": "longer"},
    )  # fmt: skip


# -- the whole run -----------------------------------------------------------------------------------------------------


def test_a_comparison_from_files_of_answers(config: CompareConfig) -> None:
    summary = compare(config, judge)
    assert [one.name for one in summary.standings] == list(NAMES)
    assert summary.triples["good"] == {"fair": Triple(5, 0, 1), "poor": Triple(5, 0, 1)}
    assert summary.triples["poor"]["fair"] == Triple(0, 5, 1)
    assert summary.standings[0].elo > 1000 > summary.standings[2].elo
    assert summary.cycle is None
    assert (summary.positions.consistency, summary.positions.bias_first) == pytest.approx((5 / 6, 1 / 6))
    out = Path(config.out)
    matches = [json.loads(line) for line in (out / "matches.jsonl").read_text().splitlines()]
    assert len(matches) == 18
    assert {one["judgment"]["orders"][0]["execution"] for one in matches} == {"<b>length</b>"}, "reasons are kept"
    assert Summary.model_validate_json((out / "summary.json").read_text()) == summary
    assert "good" in (out / "graph.svg").read_text()
    page = (out / "report.html").read_text()
    for text in ("3 candidates on 6 questions", "5 / 0 / 1", "data:image/svg+xml", "good (A)", "orders differ"):
        assert text in page
    assert "<b>length</b>" not in page, "a judge's text is text"


def test_a_stopped_comparison_goes_on_and_ends_the_same(config: CompareConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compare.matches._BLOCK", 4)
    asked: list[Request] = []

    def failing(request: Request, draw: int) -> str:
        if len(asked) == 10:
            raise EngineError("gone")
        asked.append(request)
        return longer_wins(request, draw)

    with pytest.raises(EngineError):
        compare(config, lambda: judge(failing))
    before = len(asked)
    counted: list[Request] = []

    def counting(request: Request, draw: int) -> str:
        counted.append(request)
        return longer_wins(request, draw)

    compare(config, lambda: judge(counting))
    assert before == 10, "it failed in its second block of four matches, after eight judgments of the first"
    asked.clear()
    again = {name: (Path(config.out) / name).read_bytes() for name in FILES}
    straight = config.model_copy(update={"out": config.out + "-straight"})
    gone_on, counted = len(counted), []
    compare(straight, lambda: judge(counting))
    assert gone_on == len(counted) - 8, "what was finished is not asked again"
    for name, content in again.items():
        assert (Path(straight.out) / name).read_bytes() == content

    def never() -> Judge:
        raise AssertionError("all is judged, so no judge need be opened")

    compare(config, never)


def test_another_comparison_in_the_same_folder_is_refused(config: CompareConfig) -> None:
    compare(config, judge)
    with pytest.raises(UserError, match=r"begun with another judge\.model \(was 'longer', now 'other'\)"):
        compare(config.model_copy(update={"judge": {"model": "other"}}), judge)
    Path(config.candidates["fair"]).write_text(json.dumps(["x"] * 6))
    with pytest.raises(UserError, match=r"another candidates\.fair"):
        compare(config, judge)


def test_other_weights_in_the_same_place_are_another_candidate(
    config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compare.run._answer", lambda *_: ["word"] * 6)
    model = model_folder(tmp_path / "model", b"one")
    against = config.model_copy(update={"candidates": {"model": str(model), "good": config.candidates["good"]}})
    compare(against, judge)
    compare(against, judge)
    model_folder(model, b"two")
    with pytest.raises(UserError, match=r"another candidates\.model"):
        compare(against, judge)


def model_folder(path: Path, weights: bytes) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


def test_a_comparison_that_is_going_on_is_left_alone(config: CompareConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.lock._PATIENCE_S", 0.0)
    first = compare(config, judge)
    with lock_run(Path(config.out)), pytest.raises(UserError, match=f"{config.out} is in use by another process"):
        compare(config, judge)
    assert compare(config, judge) == first


def test_answers_that_were_lost_are_made_anew_as_advised(
    config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(kind: str, job: Any, file: Path) -> None:
        engine = ScriptedEngine(lambda request, draw: "word")
        respond(engine, read_questions(Path(job.questions)), Path(job.folder), job.respond)

    monkeypatch.setattr("compare.run.run_child", answered)
    model = model_folder(tmp_path / "model", b"one")
    against = config.model_copy(update={"candidates": {"model": str(model), "good": config.candidates["good"]}})
    first = compare(against, judge)
    folder = Path(config.out) / "responses" / "model"
    lines = (folder / "rank-0.jsonl").read_text().splitlines(keepends=True)
    (folder / "rank-0.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match=f"{folder} lacks answers; delete it"):
        compare(against, judge)
    shutil.rmtree(folder)
    assert compare(against, judge) == first


def test_a_judge_that_is_not_there_or_was_made_anew_is_said_before_anything_is_asked(
    config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compare.run._answer", lambda *_: pytest.fail("a candidate was asked"))
    given = [config.questions, *(f"{name}={path}" for name, path in config.candidates.items()), "--out", config.out]
    asks_a_model = [config.questions, "a=org/a", "b=org/b", "--out", config.out]
    missing = RUNNER.invoke(app, ["compare", *asks_a_model, "--judge", "/no/judge", "--style", "pandalm"])
    assert (missing.exit_code, "no model at /no/judge" in missing.stderr) == (2, True)
    monkeypatch.setattr("cli.compare.open_judge", lambda model, **_: judge())
    model = model_folder(tmp_path / "judge", b"one")
    assert RUNNER.invoke(app, ["compare", *given, "--judge", str(model), "--style", "pandalm"]).exit_code == 0
    model_folder(model, b"two")
    anew = RUNNER.invoke(app, ["compare", *given, "--judge", str(model), "--style", "pandalm"])
    assert (anew.exit_code, "another judge.weights" in anew.stderr) == (2, True)


def test_what_does_not_fit_the_judge_is_no_verdict(config: CompareConfig) -> None:
    Path(config.candidates["poor"]).write_text(json.dumps(["word " * 5000, *["word"] * 5]))
    summary = compare(config, judge)
    assert summary.triples["poor"]["good"].none == summary.triples["poor"]["fair"].none == 1
    assert sum(sum(t) for row in summary.triples.values() for t in row.values()) == 2 * 18, "every match is counted"


def test_an_unread_verdict_is_counted_and_no_tie(config: CompareConfig) -> None:
    summary = compare(config, lambda: judge(lambda request, draw: "maybe\n"))
    assert set(map(tuple, (t for row in summary.triples.values() for t in row.values()))) == {(0, 0, 0, 6)}
    assert summary.positions.unread == 1
    assert {round(one.elo) for one in summary.standings} == {1000}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": {"good": "x.json"}}, "two candidates or more"),
        ({"candidates": {"../x": "x.json", "b": "y.json"}}, "cannot be a candidate's name"),
        ({"questions": "nowhere.jsonl"}, r"nowhere\.jsonl cannot be read: No such file"),
    ],
)
def test_what_cannot_be_compared_is_said(config: CompareConfig, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare(config.model_copy(update=change), judge)


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_line_separator_inside_a_row_does_not_end_it(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"instruction": "one\u2028two"}\n', encoding="utf-8")
    assert [one.instruction for one in read_questions(tmp_path / "q.jsonl")] == ["one\u2028two"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("q.jsonl", "", "holds no questions"),
        ("q.jsonl", '{"instruction": "a"}\n{"prompt": "b"}\n', r"q\.jsonl:2 does not fit at instruction"),
        ("q.jsonl", '{"instruction": "a"}\n{"instr', r"q\.jsonl:2 is not JSON"),
        ("q.json", '{"instruction": "a"}', "no JSON list"),
        ("q.json", '[{"instruction": 3}]', r"q\.json\[0\] does not fit at instruction"),
        ("q.json", '[{"instruction": []}]', r"q\.json\[0\] does not fit at the row .*ends with the user's"),
        (
            "q.json",
            '[{"instruction": [{"role": "text", "content": "x"}]}]',
            r"q\.json\[0\] .*messages of system, user and assistant",
        ),
        ("q.json", '[{"instruction": [{"role": "assistant", "content": "x"}]}]', r"q\.json\[0\] .*ends with the user's"),
    ],
)
def test_bad_questions_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_questions(tmp_path / name)


def test_answers_come_in_three_forms_and_one_number(tmp_path: Path) -> None:
    questions = [Question(instruction=str(k)) for k in range(2)]
    for name, text in (
        ("a.json", '["x", "y"]'),
        ("b.json", '[{"output": "x"}, {"response": "y", "output": "z"}]'),
        ("c.jsonl", '"x"\n{"response": "y"}\n'),
    ):
        (tmp_path / name).write_text(text)
        assert read_outputs(tmp_path / name, questions) == ["x", "y"]
    (tmp_path / "d.json").write_text('["x"]')
    with pytest.raises(UserError, match="1 answers to 2 questions"):
        read_outputs(tmp_path / "d.json", questions)
    (tmp_path / "e.json").write_text('["x", {"text": "y"}]')
    with pytest.raises(UserError, match=r"e\.json\[1\] does not fit at response"):
        read_outputs(tmp_path / "e.json", questions)


def test_models_answer_in_batches_and_go_on(tmp_path: Path) -> None:
    questions = [
        Question(instruction="A river?"),
        Question(instruction="A town?", input="in Italy"),
        Question(instruction="x " * 9000),
    ]
    seen: list[Request] = []

    def script(request: Request, draw: int) -> str:
        seen.append(request)
        return f"answer to {request.messages[0].content}"

    respond(ScriptedEngine(script), questions[:1], tmp_path, RespondConfig())
    with pytest.raises(UserError, match="lacks answers"):
        read_responses(tmp_path, questions)
    respond(ScriptedEngine(script), questions, tmp_path, RespondConfig())
    assert len(seen) == 2, "the first was there, the last does not fit"
    assert read_responses(tmp_path, questions) == ["answer to A river?", "answer to A town?\n\nin Italy", ""]
    assert {one.messages[0].role for one in seen} == {"user"}
    respond(ScriptedEngine(script), questions, tmp_path / "text", RespondConfig(ask="text"))
    assert seen[-1].messages[0].role == "text"


def test_a_conversation_is_judged_as_its_transcript_and_asked_as_its_turns(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "A river?"}]
    rows = [
        {"instruction": turns},
        {"instruction": turns, "input": "in Italy"},
        {"instruction": "A town?", "turns": [{"content": "theirs"}]},
    ]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    chat, placed, plain = read_questions(tmp_path / "q.json")
    assert chat.pair("x", "y").instruction == "User: Hi\n\nAssistant: Hello\n\nUser: A river?"
    seen: list[Request] = []

    def script(request: Request, draw: int) -> str:
        seen.append(request)
        return "Po"

    respond(ScriptedEngine(script), [chat, placed, plain], tmp_path / "answers", RespondConfig())
    assert [[(m.role, m.content) for m in one.messages] for one in seen] == [
        [("user", "Hi"), ("assistant", "Hello"), ("user", "A river?")],
        [("user", "Hi"), ("assistant", "Hello"), ("user", "A river?\n\nin Italy")],
        [("user", "A town?")],
    ]


# -- numbers -----------------------------------------------------------------------------------------------------------

games = st.lists(
    st.builds(Game, st.integers(0, 3), st.sampled_from("ab"), st.sampled_from("cd"), st.sampled_from(["A", "B", "tie", "none"])),
    min_size=1,
)


@given(games)
def test_triples_are_the_same_seen_from_the_other_side(played: list[Game]) -> None:
    found = triples("abcd", played)
    for (one, other), triple in found.items():
        assert found[other, one] == Triple(triple.losses, triple.wins, triple.ties, triple.none)
    assert sum(map(sum, found.values())) == 2 * len(played)


def test_the_stronger_stands_higher_and_intervals_hold_the_estimate() -> None:
    rng = np.random.default_rng(0)
    strength = dict(zip("abcd", (1.5, 0.5, -0.5, -1.5), strict=True))
    played = [
        Game(q, one, other, "A" if rng.random() < 1 / (1 + np.exp(strength[other] - strength[one])) else "B")
        for q in range(150)
        for one, other in combinations("abcd", 2)
    ]
    found = standings("dbca", played)
    assert [one.name for one in found] == list("abcd")
    for one in found:
        assert one.elo_ci95[0] < one.elo < one.elo_ci95[1]
        assert one.strength == pytest.approx(strength[one.name], abs=0.35)
        assert one.wins + one.losses + one.ties + one.none == 450


def test_edges_point_from_the_better_and_small_gaps_are_similar() -> None:
    results = triples(
        "abc", [Game(k, "a", "b", "A") for k in range(6)] + [Game(k, "c", "a", "A") for k in range(4)] + [Game(0, "b", "c", "tie")]
    )
    assert sorted(edges(results, threshold=5)) == [Edge("a", "b", 6, False), Edge("b", "c", 0, True), Edge("c", "a", 4, True)]


def test_a_cycle_is_found_and_named() -> None:
    found = [Edge("a", "b", 9, False), Edge("b", "c", 9, False), Edge("c", "a", 9, False)]
    ring = cycle(found)
    assert ring is not None
    assert ring[0] == ring[-1]
    assert {(one, other) for one, other in pairwise(ring)} == {("a", "b"), ("b", "c"), ("c", "a")}
    assert cycle([*found[:2], Edge("c", "a", 1, True)]) is None


def test_the_graph_draws_every_edge_and_no_formula() -> None:
    names = ["a<b>", "$x$", "c"]
    text = svg(names, [Edge("a<b>", "$x$", 7, False), Edge("$x$", "c", 2, True)])
    assert text == svg(names, [Edge("a<b>", "$x$", 7, False), Edge("$x$", "c", 2, True)])
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    assert sorted(shown) == sorted(["7", "2", "a&lt;b&gt;", "$x$", "c"])
    assert text.count("stroke-dasharray") >= 1


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command(config: CompareConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def open_judge(model: str, **options: Any) -> Judge:
        asked.update(options, model=model)
        return judge(rule=options["rule"])

    monkeypatch.setattr("cli.compare.open_judge", open_judge)
    given = [f"{name}={path}" for name, path in config.candidates.items()]
    options = ["--judge", "org/j", "--style", "pandalm", "--rule", "pandalm", "--out", config.out]
    result = RUNNER.invoke(app, ["compare", config.questions, *given, *options])
    assert result.exit_code == 0, result.output
    assert asked["rule"] == "pandalm"
    assert re.search(r"good\b.*\b10\b.*\b0\b.*\b2\b", result.stdout)
    result = RUNNER.invoke(app, ["compare", config.questions, *given, *options, "--json"])
    assert Summary.model_validate_json(result.stdout).questions == 6
    for bad, message in ((["good"], "not NAME=PATH"), ([given[0], given[0]], "name of its own"), ([given[0]], "two candidates")):
        result = RUNNER.invoke(app, ["compare", config.questions, *bad, *options])
        assert (result.exit_code, message in result.stderr) == (2, True)
    result = RUNNER.invoke(app, ["compare", config.questions, *given, "--judge", "org/j", "--style", "panda", "--out", config.out])
    assert (result.exit_code, "no style 'panda'" in result.stderr) == (2, True)
