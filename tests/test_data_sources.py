"""Pairs from problems, prompts, constraints and published preferences, on an engine that plays a part.

selftrain/pairs/: math_problems, noisy, constraints, self_taught, preference, and the table they read.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.engines.base import Request
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from planner.records import LabeledPair
from planner.store import read_jsonl
from selftrain.data_config import SourceConfig
from selftrain.pairs import sources
from selftrain.pairs.constraint_checks import CHECKS, broken
from selftrain.pairs.constraints import prompts
from selftrain.pairs.contrast import contrasts
from selftrain.pairs.math_problems import Problem, problems
from selftrain.pairs.noisy import Dropped
from selftrain.pairs.self_taught import parse

Script = Callable[[str, int], str]


def written(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def made(tmp_path: Path, config: SourceConfig, script: Script | None = None) -> tuple[list[LabeledPair], Counter[str]]:
    """The source's pairs and counts; `script` sees (prompt, draw)."""
    counts: Counter[str] = Counter()
    if script is not None:

        def play(request: Request, draw: int) -> str:
            return script(request.messages[-1].content, draw)

        sources.ask(config, ScriptedEngine(play), tmp_path / "work")
    return list(sources.read(config, tmp_path / "work", 0, counts)), counts


def chosen(one: LabeledPair) -> str:
    return one.pair.response_a if one.better == "A" else one.pair.response_b


def rejected(one: LabeledPair) -> str:
    return one.pair.response_b if one.better == "A" else one.pair.response_a


# -- problems ------------------------------------------------------------------------------------------------------------

PROBLEMS = [
    {"question": "What is 1 + 1?", "answer": "It is two.\n#### 2"},
    {"question": "What is half of one?", "answer": r"\frac{1}{2}"},
    {"question": "Always right: 3?", "answer": "3"},
    {"question": "Always wrong: 4?", "answer": "4"},
    {"question": "Nobody can tell?", "answer": "5 students"},
]


def solver(prompt: str, draw: int) -> str:
    assert prompt.endswith(r"inside \boxed{} at the end.")
    if prompt.startswith("What is 1 + 1?"):
        return [r"So \boxed{2}", r"Hence \boxed{2.0}", r"I say \boxed{3}", "no idea at all"][draw]
    if prompt.startswith("What is half"):
        return [r"\boxed{0.5}", r"\boxed{2}", r"\boxed{0.5}", r"\boxed{\frac12 + \frac12}"][draw]
    if prompt.startswith("Always right"):
        return rf"draw {draw}: \boxed{{3}}"
    return rf"draw {draw}: \boxed{{5 people}}"


def test_right_meets_wrong_and_the_rest_is_counted(tmp_path: Path) -> None:
    config = SourceConfig(source="math", path=written(tmp_path / "p.jsonl", PROBLEMS), candidates=4, pairs_per_prompt=9)
    pairs, counts = made(tmp_path, config, solver)
    first = [one for one in pairs if one.pair.instruction == "What is 1 + 1?"]
    assert {(chosen(one), rejected(one)) for one in first} == {
        (r"So \boxed{2}", r"I say \boxed{3}"),
        (r"Hence \boxed{2.0}", r"I say \boxed{3}"),
    }
    assert {chosen(one) for one in pairs if "half" in one.pair.instruction} == {r"\boxed{0.5}"}
    assert {one.pair.instruction for one in pairs} == {"What is 1 + 1?", "What is half of one?"}
    assert counts == {
        "problems_mixed": 2, "problems_all_right": 1, "problems_all_wrong": 1, "problems_undecided": 1,
        "solutions_right": 8, "solutions_wrong": 7, "solutions_undecided": 4, "solutions_no_answer": 1,
    }  # fmt: skip
    record = {one.instruction: one.marks for one in read_jsonl(tmp_path / "work" / "problems.jsonl", Problem)}
    assert record["Always right: 3?"] == {"right": 4}
    assert record["Nobody can tell?"] == {"undecided": 4}


def test_what_is_on_disk_is_not_asked_or_compared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SourceConfig(source="math", path=written(tmp_path / "p.jsonl", PROBLEMS), candidates=4)
    before = made(tmp_path, config, solver)

    def never(*_: Any) -> str:
        raise AssertionError("asked again")

    monkeypatch.setattr("selftrain.pairs.math_problems.decide", never)
    assert made(tmp_path, config, never) == before


def test_ranks_share_the_prompts_and_repeat_none(tmp_path: Path) -> None:
    config = SourceConfig(source="math", path=written(tmp_path / "p.jsonl", PROBLEMS), candidates=4)
    asked: list[str] = []

    def play(request: Request, draw: int) -> str:
        asked.append(request.messages[-1].content)
        return solver(request.messages[-1].content, draw)

    for rank in (0, 1):
        sources.ask(config, ScriptedEngine(play), tmp_path / "two", rank=rank, size=2)
    assert set(Counter(asked).values()) == {4}
    assert len(set(asked)) == 5
    one = list(sources.read(config, tmp_path / "two", 0, Counter()))
    assert one == made(tmp_path, config, solver)[0]


def test_cut_off_solutions_and_over_long_problems_make_nothing(tmp_path: Path) -> None:
    rows = [{"problem": "short", "answer": "1"}, {"problem": "word " * 5000, "answer": "2"}]
    config = SourceConfig(source="math", path=written(tmp_path / "p.jsonl", rows), candidates=2, response_tokens=3)
    pairs, counts = made(tmp_path, config, lambda prompt, draw: r"a long way to go \boxed{1}" if draw else r"\boxed{1}")
    assert pairs == []
    assert counts == {"over_long": 1, "problems_all_right": 1, "solutions_right": 1, "solutions_cut_off": 1}


def test_contrasts_use_each_response_before_any_twice() -> None:
    found = list(contrasts(["g1", "g2", "g1"], ["b1", "b2", "g2"], 2, 0, "k"))
    assert {one for pair in found for one in pair} == {"g1", "g2", "b1", "b2"}
    assert list(contrasts(["g"], [], 3, 0, "k")) == []
    assert len(list(contrasts(["g1", "g2"], ["b1", "b2"], 9, 0, "k"))) == 4


def test_real_problem_files_are_read(data_folder: Path) -> None:
    gsm8k = list(problems(SourceConfig(source="math", path=str(data_folder / "gsm8k" / "test.jsonl"))))
    assert len(gsm8k) == 1319
    assert gsm8k[0][1] == "18"
    rows = list(problems(SourceConfig(source="math", path=str(data_folder / "math" / "math500.jsonl"))))
    assert len(rows) == 500
    assert rows[0][1] == r"\left( 3, \frac{\pi}{2} \right)"


# -- prompts alone -------------------------------------------------------------------------------------------------------


def test_the_answer_to_another_task_is_rejected(tmp_path: Path) -> None:
    prompts_ = ["Name three rivers.", "Say it again.", "Be unclear.", "Repeat yourself.", "Never end."]
    config = SourceConfig(
        source="noisy", path=written(tmp_path / "p.jsonl", [{"prompt": one} for one in prompts_]), response_tokens=12
    )

    def writer(prompt: str, draw: int) -> str:
        if "New task:" in prompt:
            task = prompt.split("[Task]\n")[1].split("\n")[0]
            return {
                "Name three rivers.": "**New task:** Name three *mountains*.", "Say it again.": "New task: say it again!",
                "Be unclear.": "I would rather not.", "Repeat yourself.": "New task: Repeat yourself, but about cats this time.",
                "Never end.": "New task: " + "word " * 50,
            }[task]  # fmt: skip
        return {"Name three rivers.": "Rhine, Ebro, Po", "Name three *mountains*.": "Alp, Eiger, Fuji"}.get(
            prompt, "the same old answer"
        )

    pairs, counts = made(tmp_path, config, writer)
    (one,) = pairs
    assert (chosen(one), rejected(one)) == ("Rhine, Ebro, Po", "Alp, Eiger, Fuji")
    assert one.notes == {"other_instruction": "Name three *mountains*."}
    assert counts == {f"prompts_{name}": 1 for name in ("paired", "near_identical", "unreadable", "same_answer", "cut_off")}
    assert {d.instruction: d.reason for d in read_jsonl(tmp_path / "work" / "dropped.jsonl", Dropped)} == {
        "Say it again.": "near_identical", "Be unclear.": "unreadable", "Repeat yourself.": "same_answer", "Never end.": "cut_off",
    }  # fmt: skip


def test_control_tokens_of_a_prompt_reach_the_engine_as_text(tmp_path: Path) -> None:
    config = SourceConfig(source="noisy", path=written(tmp_path / "p.jsonl", [{"prompt": "Hi <|im_end|> there"}]))
    seen: list[str] = []

    def writer(prompt: str, draw: int) -> str:
        seen.append(prompt)
        return "New task: Say something else entirely." if "New task:" in prompt else f"answer {len(seen)}"

    made(tmp_path, config, writer)
    assert len(seen) == 3
    assert "<|im_end|>" not in "".join(seen)


# -- constraints ---------------------------------------------------------------------------------------------------------

MET: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["river", "Sea"]}, "A River meets the sea.", "A river."),
    ("keywords:frequency", {"keyword": "go", "frequency": 2, "relation": "at least"}, "Go, go!", "Go."),
    ("keywords:frequency", {"keyword": "go", "frequency": 2, "relation": "less than"}, "Go.", "Go, go!"),
    ("keywords:forbidden_words", {"forbidden_words": ["no"]}, "I know nothing.", "No way."),
    ("keywords:letter_frequency", {"letter": "q", "let_frequency": 2, "let_relation": "at least"}, "Quick quiz", "quick"),
    ("language:response_language", {"language": "de"}, "Der Fluss fließt durch das Tal und in das Meer.", "The river flows through the valley."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "One. Two!", "One, e.g. this."),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}, "Dr. Who came. He left", "A. b c. D e. F g."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", "one\n***\ntwo\n***\nthree"),
    ("length_constraints:number_words", {"num_words": 4, "relation": "at least"}, "it's a fine day", "three words here"),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"}, "a\n\n“Then” b", "a\n\nb"),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] at [place]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye\nP.S. more", "Bye, psst"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye\nP.P.S. more", "Bye\nP.S. more"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n* b\n* c"),
    ("detectable_format:constrained_response", {}, "Well. My answer is no.", "No."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b**", "*a*"),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 2}, "Section 1\nx\nSection 2\ny", "Section 1\nx"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{'a': 1}"),
    ("detectable_format:title", {}, "<<A poem>>\nx", "<A poem>"),
    ("combination:two_responses", {}, "one******two", "one******one"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "say hi. Hi!", "Hi!"),
    ("startend:end_checker", {"end_phrase": "Any questions?"}, 'So. "Any questions?"', "Any questions? No."),
    ("startend:quotation", {}, '"quoted"', '"half'),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "less than"}, "ONE word", "TWO WORDS"),
    ("change_case:english_capital", {}, "THE RIVER FLOWS TO THE SEA.", "The river flows to the sea."),
    ("change_case:english_lowercase", {}, "the river flows to the sea.", "The river flows to the sea."),
    ("punctuation:no_comma", {}, "no comma", "one, comma"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), MET, ids=[f"{one[0]}-{number}" for number, one in enumerate(MET)])
def test_a_checker_tells_what_meets_from_what_breaks(name: str, arguments: dict[str, Any], good: str, bad: str) -> None:
    assert broken(good, ((name, arguments),)) == []
    assert broken(bad, ((name, arguments),)) == [name]


def test_every_checker_is_tried_and_every_real_constraint_has_one(data_folder: Path) -> None:
    assert {one[0] for one in MET} == CHECKS.keys()
    found = list(prompts(SourceConfig(source="constraints", path=str(data_folder / "ifeval" / "input_data.jsonl"))))
    assert len(found) == 541
    for one in found:  # an argument under another name would raise
        assert set(broken("Hello there.", one.constraints)) <= {name for name, _ in one.constraints}


def test_pass_meets_fail(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": "No commas.",
            "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
            "kwargs": [{}, {"x": None}],
        },
        {"prompt": "All pass.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        {"prompt": "All fail.", "instruction_id_list": ["startend:quotation"], "kwargs": [None]},
    ]
    config = SourceConfig(source="constraints", path=written(tmp_path / "p.jsonl", rows), candidates=3)
    pairs, counts = made(
        tmp_path, config, lambda prompt, draw: ['"fine"', "fine", "a, b"][draw] if prompt == "No commas." else f"fine {draw}"
    )
    (one,) = pairs
    assert chosen(one) == '"fine"'
    assert one.notes["broken"] in ("startend:quotation", "punctuation:no_comma, startend:quotation")
    assert counts == {
        "prompts_mixed": 1, "prompts_all_passed": 1, "prompts_all_failed": 1, "responses_passed": 4, "responses_failed": 5, "responses_cut_off": 0,
    }  # fmt: skip


def constrained(name: str, **arguments: Any) -> dict[str, Any]:
    return {"prompt": "p", "instruction_id_list": [name], "kwargs": [arguments]}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "p"}, "must be lists of one length"),
        ({"prompt": "p", "instruction_id_list": ["a:b"], "kwargs": [{}]}, "no checker for constraint 'a:b'"),
        ({"prompt": "p", "instruction_id_list": ["punctuation:no_comma"], "kwargs": []}, "must be lists of one length"),
        ({"x": "p"}, "'instruction' is missing; the file has x"),
        ({"prompt": "p", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [5]}, "'kwargs' must hold an object an id"),
        ({"prompt": "p", "instruction_id_list": [["a"]], "kwargs": [{}]}, r"no checker for constraint \['a'\]"),
        (constrained("keywords:existence"), r"p.jsonl:1: constraint 'keywords:existence' lacks its argument 'keywords'"),
        (constrained("keywords:existence", keywords="abc"), "keywords is 'abc', not a list of texts"),
        (constrained("keywords:frequency", keyword=5, relation="at least", frequency=1), "keyword is 5, not a text"),
        (constrained("length_constraints:number_words", relation="more than", num_words=3), "'less than' or 'at least'"),
        (constrained("length_constraints:number_words", relation="at least", num_words="three"), "not a whole number"),
        (
            constrained("length_constraints:number_words", relation="at least", num_words=math.nan),
            "num_words is nan, not a whole number",
        ),
        (
            constrained("length_constraints:number_words", relation="at least", num_words=math.inf),
            "num_words is inf, not a whole number",
        ),
        (constrained("detectable_format:number_bullet_lists", num_bullets=-1), "num_bullets is -1, not a whole number from 0"),
        (
            constrained("length_constraints:nth_paragraph_first_word", num_paragraphs=2, nth_paragraph=0, first_word="a"),
            "not a whole number from 1",
        ),
    ],
)
def test_a_bad_row_of_constraints_is_named(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    path = written(tmp_path / "p.jsonl", [row])
    with pytest.raises(UserError, match=told) as raised:
        list(prompts(SourceConfig(source="constraints", path=path)))
    assert str(raised.value).startswith(f"{path}:1: ")


@pytest.mark.parametrize(
    "text", ["- an item of a list\n" * 1_000 + "see www.example.org", "\n" * 50_000, "*" * 50_000, "- " * 20_000]
)
def test_checks_take_no_longer_than_a_text_is_long(text: str) -> None:
    counts = {"relation": "at least", "num_sentences": 2}
    constraints = (
        ("length_constraints:number_sentences", counts), ("detectable_format:number_bullet_lists", {"num_bullets": 3}),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}), ("detectable_format:number_highlighted_sections", {"num_highlights": 1}),
    )  # fmt: skip
    started = time.process_time()
    assert broken(text, constraints)
    assert time.process_time() - started < 2


# -- the self-taught evaluator's set -------------------------------------------------------------------------------------

HASH = "0123456789abcdef0123456789abcdef"


def judged(question: str, a: str, b: str, verdict: str) -> dict[str, str]:
    src = (
        "Please act as an impartial judge.\n\n[User Question]\n"
        f"{question}\n\n[The Start of Assistant A's Answer]\n{a}\n[The End of Assistant A's Answer]\n\n"
        f"[The Start of Assistant B's Answer]\n{b}\n[The End of Assistant B's Answer]"
    )
    return {"id": "1", "src": src, "tgt_chosen": f"Both [[A]] and [[B]] … so [[{verdict}]]", "tgt_rejected": "[[C]]"}


def test_judgments_become_pairs_and_hashes_prompts(tmp_path: Path) -> None:
    rows = [
        judged("Name a river.\nOr two.", "Rhine\n\nand Po", "A mountain", "A"),
        judged("Name a river.\nOr two.", "A mountain", "Rhine\n\nand Po", "B"),  # the same pair, in the other order
        judged(HASH, "good", "bad", "A"),
        judged("f" * 32, "good", "bad", "B"),
        judged("A tie?", "x", "y", "C"),
    ]
    chats = [
        {
            "conversation_hash": HASH,
            "turn": 2,
            "conversation": [{"content": "Hi"}, {"content": "Hello"}, {"content": "Name a lake."}, {"content": "Como"}],
        }
    ]
    config = SourceConfig(
        source="self_taught", path=written(tmp_path / "s.jsonl", rows), prompts=written(tmp_path / "w.jsonl", chats)
    )
    pairs, counts = made(tmp_path, config)
    assert [(one.pair.instruction, chosen(one), rejected(one)) for one in pairs] == [
        ("Name a river.\nOr two.", "Rhine\n\nand Po", "A mountain"), ("Name a river.\nOr two.", "Rhine\n\nand Po", "A mountain"),
        ("Name a lake.", "good", "bad"),
    ]  # fmt: skip
    assert pairs[0].pair.id == pairs[1].pair.id, "one pair, whatever order it was judged in"
    assert counts == {"rows": 5, "rows_without_prompt": 1, "rows_without_winner": 1}


@pytest.mark.parametrize(
    ("row", "told"), [({"id": "1"}, "no text in 'src'"), ({"src": "hello", "tgt_chosen": "[[A]]"}, "between their tags")]
)
def test_a_row_that_is_no_judgment_is_named(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    path = written(tmp_path / "s.jsonl", [row])
    with pytest.raises(UserError, match=told):
        made(tmp_path, SourceConfig(source="self_taught", path=path))


@pytest.mark.parametrize(
    "piece", ["\n", " \n", "[User Question]\n", "\n[The Start of Assistant A's Answer]\n", "[The End of Assistant A's Answer]\n"]
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_judge_s_prompt_is_read_in_one_pass_whatever_its_answers_hold(piece: str, whole: bool) -> None:
    """Answers of models hold blank lines until they are stopped, and what others wrote may hold the tags themselves."""
    row = judged("Name a river.", f"Rhine{piece * 10_000}", "A mountain", "A")
    if not whole:
        row["src"] = row["src"].removesuffix("[The End of Assistant B's Answer]")
    started = time.process_time()
    if whole:
        found = parse("f:1", row)
        assert found is not None
        assert (found.question, found.a[:5], found.b) == ("Name a river.", "Rhine", "A mountain")
    else:
        with pytest.raises(UserError, match="between their tags"):
            parse("f:1", row)
    assert time.process_time() - started < 2


# -- published preferences -----------------------------------------------------------------------------------------------


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


ASKED, GOOD, BAD = message("user", "Name a river."), message("assistant", "The Po."), message("assistant", "The Eiger.")
FORMS: dict[str, dict[str, Any]] = {
    "explicit plain": {"prompt": "Name a river.", "chosen": "The Po.", "rejected": "The Eiger."},
    "explicit chat": {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
    "chats that repeat the prompt": {"prompt": "Name a river.", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    "implicit chat": {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    "implicit plain": {"chosen": "Name a river. The Po.", "rejected": "Name a river. The Eiger."},
    "scored": {"prompt": "Name a river.", "chosen": "The Po.", "rejected": "The Eiger.", "score_chosen": 8.5, "score_rejected": 2},
    "UltraFeedback": {"instruction": "Name a river.", "completions": [
        {"response": "The Eiger.", "overall_score": 2}, {"response": "Hm.", "overall_score": 5}, {"response": "The Po.", "overall_score": 8.5}]},
    "HelpSteer preference": {"prompt": "Name a river.", "response_1": "The Eiger.", "response_2": "The Po.", "preference_strength": 3},
    "HelpSteer preference, first": {"prompt": "Name a river.", "response_1": "The Po.", "response_2": "The Eiger.", "preference_strength": -3},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_says_the_same(tmp_path: Path, form: str) -> None:
    (one,), _ = made(tmp_path, SourceConfig(source="preference", path=written(tmp_path / "p.jsonl", [FORMS[form]]), margin=2))
    asked = "Name a river. The" if form == "implicit plain" else "Name a river."
    assert one.pair.instruction == asked
    assert (chosen(one).removeprefix("The "), rejected(one).removeprefix("The ")) == ("Po.", "Eiger.")


def test_rated_rows_of_one_prompt_are_read_together_and_a_margin_leaves_out_what_is_close(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "response": "best", "helpfulness": 4}, {"prompt": "p", "response": "worst", "helpfulness": 1},
        {"prompt": "q", "response": "better", "helpfulness": 3}, {"prompt": "q", "response": "worse", "helpfulness": 2},
        {"prompt": "r", "response": "alone", "helpfulness": 3},
    ]  # fmt: skip
    config = SourceConfig(source="preference", path=written(tmp_path / "p.jsonl", rows), margin=2)
    (one,), counts = made(tmp_path, config)
    assert (one.pair.instruction, chosen(one), rejected(one)) == ("p", "best", "worst")
    assert {one.notes["score_a"], one.notes["score_b"]} == {"4", "1"}
    assert counts == {"comparisons": 2, "too_close": 1}


def test_a_long_chat_becomes_one_instruction_with_its_speakers(tmp_path: Path) -> None:
    chat = [message("system", "Be brief."), ASKED, GOOD, message("user", "Another.")]
    row = {"chosen": [*chat, message("assistant", "The Ebro.")], "rejected": [*chat, message("assistant", "No.")]}
    (one,), _ = made(tmp_path, SourceConfig(source="preference", path=written(tmp_path / "p.jsonl", [row])))
    assert one.pair.instruction == "System: Be brief.\n\nUser: Name a river.\n\nAssistant: The Po.\n\nUser: Another."


def test_columns_may_be_named_and_bad_rows_are_told(tmp_path: Path) -> None:
    rows = [{"q": "p", "win": "a", "lose": "b"}]
    named = SourceConfig(
        source="preference",
        path=written(tmp_path / "p.jsonl", rows),
        columns={"instruction": "q", "chosen": "win", "rejected": "lose"},
    )
    (one,), _ = made(tmp_path, named)
    assert (one.pair.instruction, chosen(one)) == ("p", "a")
    for bad, told in (
        ({"prompt": None, "chosen": "a", "rejected": "b"}, "'prompt' is NoneType, not text"),
        ({"x": 1}, "no preference in columns x"), ({"prompt": "p", "chosen": "a", "rejected": ["b"]}, "must both be text, or both be chats"),
        ({"chosen": "abc", "rejected": "xyz"}, "there is no prompt"), ({"prompt": "p", "completions": []}, "no response with a rating"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "so there is no prompt"),
        (FORMS["scored"] | {"score_chosen": float("nan")}, "'score_chosen' is nan, not a finite number"),
        (FORMS["scored"] | {"score_chosen": "9"}, "'score_chosen' is '9', not a finite number"),
        (FORMS["scored"] | {"score_chosen": True}, "'score_chosen' is True, not a finite number"),
        (FORMS["HelpSteer preference"] | {"preference_strength": float("inf")}, "'preference_strength' is inf"),
        ({"prompt": "p", "response": "a", "helpfulness": 10**400}, "'helpfulness' is int, not a finite number"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=told):
            made(tmp_path, SourceConfig(source="preference", path=written(tmp_path / "p.jsonl", [bad])))


def test_a_margin_says_how_many_pairs_have_no_rating_and_a_named_column_must_be_there(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", [FORMS["explicit plain"], FORMS["scored"] | {"prompt": "Another."}])
    pairs, counts = made(tmp_path, SourceConfig(source="preference", path=path, margin=2))
    assert (len(pairs), counts) == (2, {"comparisons": 2, "unrated": 1})
    with pytest.raises(UserError, match=r"no column 'rating', which pairs\.columns names"):
        made(tmp_path, SourceConfig(source="preference", path=path, columns={"score_chosen": "rating"}))


@pytest.mark.parametrize("rating", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b", "score_chosen": ..., "score_rejected": 1}, "score_chosen"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "score_chosen": 1, "score_rejected": ...}, "score_rejected"),
        ({"prompt": "q", "completions": [{"response": "a", "score": 2}, {"response": "b", "score": ...}]}, "score"),
        ({"prompt": "p", "response": "b", "helpfulness": ...}, "helpfulness"),
        ({"prompt": "q", "response_1": "a", "response_2": "b", "preference_strength": ...}, "preference_strength"),
    ],
)
def test_a_rating_that_is_no_finite_number_is_refused(tmp_path: Path, row: dict[str, Any], column: str, rating: float) -> None:
    """Every comparison with NaN is false, so that it would have passed any margin."""
    filled = json.loads(json.dumps(row, default=lambda _: rating))
    path = written(tmp_path / "p.jsonl", [{"prompt": "p", "response": "a", "helpfulness": 1}, filled])
    with pytest.raises(UserError, match=rf"p\.jsonl:2: '{column}' is {rating}, not a finite number"):
        made(tmp_path, SourceConfig(source="preference", path=path, margin=1))


# -- tables --------------------------------------------------------------------------------------------------------------


def test_csv_json_and_parquet_are_read_like_jsonl(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [{"question": "What is 1 + 1?", "answer": "2"}, {"question": "And 2 + 2?", "answer": "4"}]
    (tmp_path / "p.csv").write_text('question,answer\n"What is 1 + 1?",2\n"And 2 + 2?",4\n')
    (tmp_path / "p.json").write_text(json.dumps(rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    for name in ("p.csv", "p.json", "p.parquet"):
        assert list(problems(SourceConfig(source="math", path=str(tmp_path / name)))) == [
            ("What is 1 + 1?", "2"),
            ("And 2 + 2?", "4"),
        ]
    assert len(list(problems(SourceConfig(source="math", path=str(tmp_path / "p.csv"), rows=1)))) == 1
    # A data set's folder, downloaded from the hub.
    (tmp_path / "set" / "data").mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows[:1]), tmp_path / "set" / "data" / "test-00000-of-00001.parquet")
    assert [answer for _, answer in problems(SourceConfig(source="math", path=str(tmp_path / "set")))] == ["2", "4"]
    assert [answer for _, answer in problems(SourceConfig(source="math", path=str(tmp_path / "set"), hub_split="test"))] == ["2"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.jsonl", None, "cannot be read"), ("none.json", None, "cannot be read"), ("none.csv", None, "is not there"), ("no-folder", None, "is not there"),
        ("empty.jsonl", "", "is empty"), ("empty.json", "[]", "is empty"), ("torn.json", "[{", "is not JSON"), ("half.json", '[{"question": "\\ud800", "answer": "1"}]', "is not JSON"), ("object.json", "{}", "no list of objects"),
        ("torn.jsonl", '{"question": "a", "answer": "b"}\n{"que', ":2 is not JSON"), ("text.txt", "hello", "is no .jsonl"),
        ("column.jsonl", '{"question": "a"}', "'answer' is missing; the file has question"), ("infinite.jsonl", '{"question": "a", "answer": 1e400}', "'answer' is float"), ("null.jsonl", '{"question": null, "answer": "1"}', "'question' is NoneType"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=told) as raised:
        list(problems(SourceConfig(source="math", path=str(tmp_path / name))))
    assert "\n" not in str(raised.value)
