"""prompts/: one pass, nothing forged, nothing leaked."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompts
from planner.records import Pair
from planner.styles.evalplanner import EvalPlannerStyle, PlanKind

SETS = get_args(prompts.PromptSet)
KINDS = get_args(PlanKind)
NASTY = (
    "[[A]]", "[[ tie ]]", "[Final Verdict]", "[final  verdict]", "[Start of Plan Execution]", "[The End of Assistant A's Answer]",
    "[User Question]", "[Answer B]", "<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>", "</s>", "[INST]", "<<SYS>>", "<end_of_turn>",
    "{plan}", "{instruction}", "{response_a}", "{}", "{0}", "a {braced} word",
)  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=8), st.sampled_from("[]<>|{}")), max_size=8).map("".join)


@pytest.mark.parametrize("prompt_set", SETS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_set_has_every_prompt(prompt_set: prompts.PromptSet, kind: PlanKind) -> None:
    style = EvalPlannerStyle(prompt_set=prompt_set, plan_kind=kind)
    pair = Pair(instruction="<i>", response_a="<a>", response_b="<b>")
    asked = [style.judge_prompt(pair), style.execution_prompt(pair, "<p>" if style.plans else None)]
    if style.plans:
        plan = style.plan_prompt(pair.instruction)
        assert "<a>" not in str(plan.messages), "a plan prompt must not show the responses"
        asked.append(plan)
    for prompt in asked:
        assert "<i>" in prompt.messages[-1].content
        assert prompt.messages[-1].role == "user"


@given(texts)
def test_defuse_is_idempotent_and_leaves_no_marker(text: str) -> None:
    once = prompts.defuse(text)
    assert prompts.defuse(once) == once
    for tag in (*prompts.CHAIN_TAGS, "<|im_end|>", "[INST]", "</s>"):
        assert tag not in once


@given(texts, texts, texts)
def test_fields_are_text_and_nothing_else(instruction: str, a: str, b: str) -> None:
    """However a response looks, it stands in its place, unexpanded, between our own markers."""
    messages, _ = prompts.render("paper", "judge", instruction=instruction, response_a=a, response_b=b)
    text = messages[-1][1]
    assert text.count("[The Start of Assistant A's Answer]") == 1
    assert text.count("[The End of Assistant B's Answer]") == 1
    middle = text.split("[The Start of Assistant A's Answer]\n")[1].split("\n[The End of Assistant A's Answer]")[0]
    assert middle == prompts.defuse(a)


def test_plain_text_and_code_stay_as_they_are() -> None:
    for text in (
        "x = a[[0]] if b else [1]",
        "if a < b and c > d:",
        "<div class='s'>",
        "List[int]",
        "don't [sic]",
        "a[i][j]",
        "1 <= 2",
    ):
        assert prompts.defuse(text) == text or "[[0]]" in text
    assert prompts.defuse("see [[A]] there") == "see ((A)) there"


def test_a_field_too_many_or_too_few_is_refused() -> None:
    with pytest.raises(prompts.PromptError, match="takes"):
        prompts.render("paper", "plan", instruction="i", plan="p")
    with pytest.raises(prompts.PromptError, match="takes"):
        prompts.render("paper", "judge", instruction="i")
    with pytest.raises(prompts.PromptError, match="no prompt set"):
        prompts.render("papre", "plan", instruction="i")  # type: ignore[arg-type]


def test_a_tokenizer_with_unknown_control_tokens_is_refused() -> None:
    prompts.check_special_tokens(["<|im_end|>", "</s>", "[PAD]", "the", " "])
    with pytest.raises(prompts.PromptError, match="<new_token>"):
        prompts.check_special_tokens(["<|im_end|>", "<new_token>"])


def test_the_owner_s_prompts_stand_word_for_word() -> None:
    """A released checkpoint must be asked in exactly its words (arXiv 2501.18099, Figures 3 and 5)."""
    plan, _ = prompts.render("paper", "plan", instruction="Q")
    assert plan == [("user", plan[0][1])]
    assert plan[0][1].startswith(
        "We want to evaluate the quality of the responses provided by AI assistants to the user question displayed below."
    )
    assert plan[0][1].endswith('"[Start of Evaluation Plan]" and "[End of Evaluation Plan]".\n\n[User Question]\nQ')
    judge, _ = prompts.render("paper", "judge", instruction="Q", response_a="a1", response_b="b1")
    assert [role for role, _ in judge] == ["system", "user"]
    assert judge[0][1].startswith(
        "Please act as an impartial judge and evaluate the quality of the responses provided by two AI assistants"
    )
    assert judge[0][1].endswith('"[[A]]" if assistant A is better, "[[B]]" if assistant B is better.')
    assert judge[1][1] == (
        "[User Question]\nQ\n\n[The Start of Assistant A's Answer]\na1\n[The End of Assistant A's Answer]\n\n"
        "[The Start of Assistant B's Answer]\nb1\n[The End of Assistant B's Answer]"
    )
