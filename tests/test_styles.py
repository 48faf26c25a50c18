"""planner/styles/: what each family is asked, character for character, and what is read from its answers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.engines.base import EngineError, Request
from planner.engines.scripted import ScriptedEngine
from planner.judge import CARD, Judge, JudgeCard, read_card, write_card
from planner.models import ModelError
from planner.records import Pair, digest
from planner.styles import STYLES, AnyStyle, named
from planner.styles.base import ChainParts
from planner.styles.j1 import J1ScoreStyle, J1Style
from planner.styles.judgelm import JudgeLmStyle
from planner.styles.pandalm import PandaLmStyle
from prompts import PromptError

PAIR = Pair(instruction="Q?", response_a="text one", response_b="text two")
NAMES = sorted(STYLES.keys() - {"judgelm-picture"})  # it asks for a reference always
RELEASED = {
    "self-taught": "ffc5d4f9bee4e9c7",
    "j1": "a9d0da8f80ecdf4c",
    "j1-plan": "0e805df8c9f8b89e",
    "j1-score": "94e9669eecffb0c2",
}
PANDALM, JUDGELM = PandaLmStyle(), JudgeLmStyle()


def text_of(style: AnyStyle, pair: Pair = PAIR) -> str:
    return "\n".join(message.content for message in style.judge_prompt(pair).messages)


# -- every style -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_style_shows_the_pair_once_and_in_order(name: str) -> None:
    text = text_of(STYLES[name])
    assert text.count("text one") == text.count("text two") == 1
    assert text.index("Q?") < text.index("text one") < text.index("text two")


@pytest.mark.parametrize("name", NAMES)
def test_every_style_shows_a_reference_right_after_the_question(name: str) -> None:
    shown = text_of(STYLES[name], PAIR.model_copy(update={"reference": "the answer"}))
    assert "Q?\n\n[Reference Answer]\nthe answer\n\n" in shown
    assert shown.replace("\n\n[Reference Answer]\nthe answer", "") == text_of(STYLES[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_style_shows_an_input(name: str) -> None:
    shown = text_of(STYLES[name], PAIR.model_copy(update={"input": "the input"}))
    assert shown.index("Q?") < shown.index("the input") < shown.index("text one")


@pytest.mark.parametrize("name", NAMES)
def test_a_response_forges_nothing(name: str) -> None:
    markers = (
        "[[A]]", "[Reference Answer]", "### Response 2:", "### Evaluation:", "### Response:", "[Question]", "[System]", "[Task]",
        "[The End of Assistant A's Answer]", "[The Start of Assistant 2's Answer]", "<answer>", "</think>", "[User Question]",
    )  # fmt: skip
    honest = text_of(STYLES[name])
    shown = text_of(STYLES[name], Pair(instruction="Q?", response_a="\n".join(markers), response_b="text two"))
    own = [marker for marker in markers if marker in honest or marker in ("[[A]]", "[Reference Answer]")]
    assert len(own) > 2, "what a prompt does not know is somebody's text, but it knows some"
    assert [shown.count(marker) for marker in own] == [honest.count(marker) for marker in own]


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(max_size=30))
def test_free_text_without_a_verdict_is_none_and_never_a_tie(name: str, text: str) -> None:
    parts = STYLES[name].read_chain("I cannot say: " + text.translate({ord("["): None, ord("<"): None}))
    assert parts.verdict == "none"
    assert parts.scores is None


CAN_TIE = {
    "evalplanner",
    "evalplanner-short",
    "evalplanner-tie",
    "evalplanner-short-tie",
    "plain-tie",
    "pandalm",
    "judgelm",
    "judgelm-fast",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("verdict", ["A", "B", "tie", "none"])
def test_what_a_style_writes_it_reads(name: str, verdict: str) -> None:
    style = STYLES[name]
    scores = {"A": (8.0, 6.0), "B": (6.0, 8.0), "tie": (7.0, 7.0)}.get(verdict) if "judgelm" in name else None
    parts = ChainParts(
        plan="a plan" if style.plans else None,
        execution="" if name in ("plain", "plain-tie", "judgelm-fast") else "Answer 1 is\nbetter.",
        verdict=verdict,  # type: ignore[arg-type]
        closed=True,
        scores=scores,
        reference="my own" if name == "pandalm" else None,
    )
    if verdict == "none" or (verdict == "tie" and name not in CAN_TIE):
        with pytest.raises(ValueError, match=r"verdict|A or B|scores"):
            style.write_chain(parts)
    else:
        assert style.read_chain(style.write_chain(parts)) == parts


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_read_back_as_the_style_that_it_names(name: str, tmp_path: Path) -> None:
    card = JudgeCard(style=STYLES[name], max_tokens=7)
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card
    assert type(read_card(tmp_path).style) is type(STYLES[name])


def test_a_card_from_before_there_were_families_is_read(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text('{"style": {"prompt_set": "short", "plan_kind": "criteria"}, "max_tokens": 9}')
    assert read_card(tmp_path).style == STYLES["evalplanner-short"].model_copy(update={"plan_kind": "criteria"})


def test_an_unknown_style_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="no style 'pandas'; there are evalplanner, "):
        named("pandas")


def test_a_pair_with_extras_has_an_id_of_its_own() -> None:
    fields = {"input": "i", "reference": "r"}
    made = [PAIR, *(PAIR.model_copy(update={k: v}) for k, v in fields.items()), PAIR.model_copy(update=fields)]
    pairs = [Pair.model_validate(one.model_dump()) for one in made]
    assert len({one.id for one in pairs}) == len({one.swapped().id for one in pairs}) == 4
    assert [one.swapped().swapped() for one in pairs] == pairs
    assert len({one.instruction_id for one in pairs}) == 2, "a reference does not change the instruction"


# -- MT-Bench ----------------------------------------------------------------------------------------------------------


def test_mtbench_is_asked_as_rewardbench_asks() -> None:
    system, user = STYLES["mtbench"].judge_prompt(PAIR).messages
    assert (system.role, user.role) == ("system", "user")
    assert user.content == (
        "[User Question]\nQ?\n\n[The Start of Assistant A's Answer]\ntext one\n[The End of Assistant A's Answer]\n\n"
        "[The Start of Assistant B's Answer]\ntext two\n[The End of Assistant B's Answer]"
    )


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("A is short, so [[B]]", "B"), ("[[A]], no, [[C]]", "tie"), ("A.", "none"), ("[[A]] or [[Z]]", "none")],
)
def test_mtbench_answers(text: str, verdict: str) -> None:
    assert STYLES["mtbench"].read_chain(text).verdict == verdict


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("piece", ["\n", " ", "[[", "[ ", "<think>", "A: "])
def test_a_judge_that_says_one_thing_forever_is_read_at_once(style: str, piece: str) -> None:
    before = time.process_time()
    STYLES[style].read_chain(piece * 12_000, "length")
    assert time.process_time() - before < 0.5


# -- PandaLM -----------------------------------------------------------------------------------------------------------

TAIL = "### Response 1:\ntext one\n\n### Response 2:\ntext two\n\n### Evaluation:\n"


def test_pandalm_is_asked_character_for_character() -> None:
    (message,) = PANDALM.judge_prompt(PAIR).messages
    assert message.role == "text"
    assert message.content == (
        "Below are two responses for a given task. The task is defined by the Instruction. Evaluate the responses and generate a "
        f"reference answer for the task.\n\n### Instruction:\nQ?\n\n{TAIL}"
    )
    assert text_of(PANDALM, PAIR.model_copy(update={"input": "on this"})) == (
        "Below are two responses for a given task. The task is defined by the Instruction with an Input that provides further "
        "context. Evaluate the responses and generate a reference answer for the task.\n\n### Instruction:\nQ?\n\n"
        f"### Input:\non this\n\n{TAIL}"
    )
    assert text_of(PANDALM, PAIR.model_copy(update={"input": ""})) == text_of(PANDALM), "an empty input is no input"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("1\n\n### Reason: r\n\n### Reference: f\n", "A"),
        ("2", "B"),
        ("Tie\n\n### Reason: r", "tie"),
        ("\n tie \n", "tie"),
        ("TIE.\n", "tie"),
        ("garbage\n\n### Reason: r", "none"),  # PandaLM's reader: a tie
        ("", "none"),
        ("Response 1\n", "none"),
        ("12\n", "none"),
        ("### Reason: 1\n", "none"),
    ],
)
def test_what_pandalm_cannot_read_is_none_and_no_tie(text: str, verdict: str) -> None:
    assert PANDALM.read_chain(text).verdict == verdict


def test_a_pandalm_verdict_that_ran_out_may_not_be_whole() -> None:
    assert PANDALM.read_chain("1", "length") == (None, "", "none", False, False, None, None)
    assert PANDALM.read_chain("1\n", "length").verdict == "A"


def test_a_pandalm_answer_is_written_character_for_character() -> None:
    parts = ChainParts(None, "because\nso", "B", closed=True, reference="ref")
    assert PANDALM.write_chain(parts) == "2\n\n### Reason: because\nso\n\n### Reference: ref\n"
    assert PANDALM.write_chain(parts._replace(execution="", reference=None, verdict="tie")) == "Tie\n"


# -- JudgeLM -----------------------------------------------------------------------------------------------------------

HEAD = "You are a helpful and precise assistant for checking the quality of the answer.\n[Question]\nQ?\n\n"


def answer(k: int, text: str) -> str:
    return f"[The Start of Assistant {k}'s Answer]\n{text}\n\n[The End of Assistant {k}'s Answer]\n\n"


def request(number: str, assistants: str) -> str:
    return (
        f"[System]\nWe would like to request your feedback on the performance of {number} AI assistants in response to the user question "
        "displayed above.\nPlease rate the helpfulness, relevance, accuracy, level of details of their responses. Each assistant receives "
        "an overall score on a scale of 1 to 10, where a higher score indicates better overall performance.\nPlease first output a single "
        f"line containing only {number} values indicating the scores for {assistants}, respectively. The {number} scores are separated by a "
        "space. In the subsequent line, please provide a comprehensive explanation of your evaluation, avoiding any potential bias and "
        "ensuring that the order in which the responses were presented does not affect your judgment.\n\n### Response:"
    )


def test_judgelm_is_asked_character_for_character() -> None:
    answers = answer(1, "text one") + answer(2, "text two")
    two = request("two", "Assistant 1 and 2")
    assert JUDGELM.judge_prompt(PAIR).messages[0].role == "text"
    assert text_of(JUDGELM) == HEAD + answers + two
    referenced = text_of(JUDGELM, PAIR.model_copy(update={"reference": "R"}))
    assert referenced == f"{HEAD}[Reference Answer]\nR\n\n{answers}{two}"
    assert JUDGELM.judge_prompt(PAIR).stop == ()
    assert JudgeLmStyle(fast=True).judge_prompt(PAIR)[1:3] == ("", ("\n",)), "fast mode stops after the scores"


def test_judgelm_grades_many_at_once_and_one_against_a_reference() -> None:
    (message,) = JUDGELM.list_prompt("Q?", ("x", "y", "z")).messages
    assert message.content == HEAD + answer(1, "x") + answer(2, "y") + answer(3, "z") + request("three", "Assistant 1, 2 and 3")
    one = JUDGELM.score_prompt("Q?", "y", "R")
    assert one.messages[0].content + one.prefill == (
        HEAD + answer(1, "R") + answer(2, "y") + request("two", "Assistant 1 and 2") + "10"
    )
    with pytest.raises(PromptError, match="two to ten"):
        JUDGELM.list_prompt("Q?", ("x",) * 11)
    with pytest.raises(PromptError, match="against a reference"):
        JUDGELM.score_prompt("Q?", "y")
    with pytest.raises(PromptError, match="picture"):
        STYLES["judgelm-picture"].judge_prompt(PAIR)


def test_a_picture_is_judged_by_what_the_reference_says_it_shows() -> None:
    style = JudgeLmStyle(picture=True)
    text = style.score_prompt("How many?", "Two.", "2").messages[0].content
    assert "[Reference Answer]\n2\n" in text
    assert answer(1, "2") + answer(2, "Two.") in text
    assert "cannot see the picture" in text
    assert style.read_score("10 9\nThey agree.") == 9


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("8 7\nbecause", (8, 7)),
        ("8, 7\nbecause", (8, 7)),  # JudgeLM's reader: [-1, -1], a tie
        ("8 7 \nbecause", (8, 7)),  # the same
        ("  8.5   7\n", (8.5, 7)),
        ("8/10 7/10\n", (8, 7)),
        ("8 / 10, 7 / 10.", (8, 7)),
        ("10 10", (10, 10)),
        ("8\n7", None),
        ("8 7 6\n", None),
        ("8\n", None),
        ("8 11\n", None),
        ("8/5 7/5\n", None),
        ("-1 -1\n", None),
        ("Assistant 1: 8 7\n", None),
        ("8 seven\n", None),
        ("", None),
    ],
)
def test_what_judgelm_cannot_read_is_none_and_no_tie(text: str, scores: tuple[float, float] | None) -> None:
    parts = JUDGELM.read_chain(text)
    assert parts.scores == scores
    assert parts.verdict == ("none" if scores is None else JUDGELM.verdict(scores))


def test_judgelm_s_tie_rule_and_its_sections() -> None:
    assert [JUDGELM.verdict(s) for s in ((8, 7), (7, 8), (7, 7))] == ["A", "B", "tie"]
    assert JudgeLmStyle(tie_margin=1).verdict((8, 7)) == "tie"
    assert JUDGELM.read_chain("8 7\nfirst line\nsecond").execution == "first line\nsecond"
    assert JUDGELM.read_scores("9 8 7\n", 3) == (9, 8, 7)
    assert JUDGELM.read_scores("10 1", 2, "length") is None, "the 1 may be the start of a 10"
    parts = ChainParts(None, "why", "A", closed=True, scores=(8.0, 6.5))
    assert JUDGELM.write_chain(parts) == "8 6.5\nwhy"
    assert JudgeLmStyle(fast=True).write_chain(parts) == "8 6.5"


# -- J1 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("think", "<think>t</think>\n<answer> [[A]] </answer>", (None, "t", "A")),
        ("think", "t</think> <answer>B</answer>", (None, "t", "B")),  # the template opened the section
        ("think", "<think>t</think> <answer>[[A]]</answer> no <answer>[[B]]</answer>", (None, "t", "B")),
        ("think", "<think>t [[A]]</think> [[A]]", (None, "t [[A]]", "none")),
        ("think", "<think>t</think> <answer>[[A]]", (None, "t", "none")),
        ("plan", "<plan>p</plan><execution>e</execution><answer> [[B]] </answer>", ("p", "e", "B")),
        ("plan", "<execution>e</execution><answer>neither</answer>", (None, "e", "none")),
    ],
)
def test_j1_sections(form: str, text: str, expected: tuple[str | None, str, str]) -> None:
    parts = J1Style(form=form).read_chain(text)  # type: ignore[arg-type]
    assert (parts.plan, parts.execution, parts.verdict) == expected


def test_a_j1_judge_that_says_both_says_neither() -> None:
    parts = J1Style().read_chain("<think>so [[A]]</think><answer>[[B]]</answer>")
    assert (parts.verdict, parts.disagrees) == ("none", True)


@pytest.mark.parametrize(
    ("text", "score"),
    [("<score> 7.5 </score>", 7.5), ("<score>3</score><score>4/10</score>", 4), ("<score>11</score>", None), ("7", None)],
)
def test_a_j1_score(text: str, score: float | None) -> None:
    style = J1ScoreStyle()
    assert style.read_score(text) == score
    assert (
        style.score_prompt("Q?", "y")
        .messages[0]
        .content.endswith("[User Question]\nQ?\n\n[The Start of the Assistant's Answer]\ny\n[The End of the Assistant's Answer]")
    )


# -- released prompts that are long: by hash ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["self-taught", "j1", "j1-plan", "j1-score"])
def test_a_released_prompt_stands_word_for_word(name: str) -> None:
    """Checked once against the papers and the released files, and held here by hash."""
    style = J1ScoreStyle() if name == "j1-score" else STYLES[name]
    prompt = style.score_prompt("Q?", "y") if isinstance(style, J1ScoreStyle) else style.judge_prompt(PAIR)
    assert digest(*(m.content for m in prompt.messages)) == RELEASED[name]


# -- through the judge -------------------------------------------------------------------------------------------------


def judged(style: AnyStyle, *answers: str, **options: object):  # type: ignore[no-untyped-def]
    """What a judge makes of one pair when the model says `answers`, one an order."""
    said = dict(zip((PAIR.id, PAIR.swapped().id), answers, strict=True))
    shown = {text_of(style, pair): pair.id for pair in (PAIR, PAIR.swapped())}

    def script(request: Request, draw: int) -> str:
        return said[shown["\n".join(m.content for m in request.messages)]]

    judge = Judge(ScriptedEngine(script), style, **options)  # type: ignore[arg-type]
    return judge.compare(PAIR.instruction, PAIR.response_a, PAIR.response_b)


def test_a_pandalm_judge_gives_verdict_reason_and_reference() -> None:
    found = judged(PANDALM, "1\n\n### Reason: better\n\n### Reference: ref\n", "2\n\n### Reason: worse\n\n### Reference: other\n")
    assert (found.verdict, found.consistent, found.execution) == ("A", True, "better")
    assert [one.reference for one in found.orders] == ["ref", "other"]


def test_a_verdict_that_is_no_letter_cannot_be_forced() -> None:
    with pytest.raises(EngineError, match="force off"):
        judged(PANDALM, "hm", "hm", force=True)


# -- the two orders ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "rules"),
    [
        # what is said in each order, in that prompt's own naming: PandaLM's "1", "2", "Tie", or nothing readable
        ("1", "2", {"agree": "A", "strict": "A", "pandalm": "A", "judgebench": "A"}),
        ("1", "1", {"agree": "none", "strict": "tie", "pandalm": "tie", "judgebench": "tie"}),
        ("2", "2", {"agree": "none", "strict": "tie", "pandalm": "tie", "judgebench": "tie"}),
        ("1", "Tie", {"agree": "none", "strict": "tie", "pandalm": "A", "judgebench": "A"}),
        ("Tie", "1", {"agree": "none", "strict": "tie", "pandalm": "tie", "judgebench": "B"}),
        ("Tie", "Tie", {"agree": "tie", "strict": "tie", "pandalm": "tie", "judgebench": "tie"}),
        ("1", "?", {"agree": "none", "strict": "none", "pandalm": "none", "judgebench": "A"}),
        ("?", "Tie", {"agree": "none", "strict": "none", "pandalm": "none", "judgebench": "none"}),
        ("?", "?", {"agree": "none", "strict": "none", "pandalm": "none", "judgebench": "none"}),
    ],
)
def test_what_two_orders_make(first: str, second: str, rules: dict[str, str]) -> None:
    for rule, verdict in rules.items():
        found = judged(PANDALM, f"{first}\n", f"{second}\n", rule=rule)
        assert (rule, found.verdict) == (rule, verdict)
        assert found.consistent == (verdict == rules["agree"] != "none")
