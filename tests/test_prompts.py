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


@pytest.mark.parametrize("folder", get_args(prompts.PromptFolder))
@given(text=texts)
def test_defuse_is_idempotent_and_leaves_no_marker(folder: prompts.PromptFolder, text: str) -> None:
    once = prompts.defuse(text, folder)
    assert prompts.defuse(once, folder) == once
    for tag in (*(prompts.CHAIN_TAGS if folder in SETS else ()), "<|im_end|>", "[INST]", "[[A]]"):
        assert tag not in once


@given(texts, texts, texts)
def test_fields_are_text_and_nothing_else(instruction: str, a: str, b: str) -> None:
    """However a response looks, it stands in its place, unexpanded, between our own markers."""
    messages, _ = prompts.render("paper", "judge", instruction=instruction, response_a=a, response_b=b)
    text = messages[-1][1]
    assert text.count("[The Start of Assistant A's Answer]") == 1
    assert text.count("[The End of Assistant B's Answer]") == 1
    middle = text.split("[The Start of Assistant A's Answer]\n")[1].split("\n[The End of Assistant A's Answer]")[0]
    assert middle == prompts.defuse(a, "paper")


ORDINARY = (
    "x = a[[0]] if b else [1]", "y <- x[[i]]", "see [[Paris]] and [[File:a.png]]", "if [[ -f $x ]]; then", "[[1, 2], [3, 4]]",
    "if a < b and c > d:", "<div class='s'><code>x</code></div>", "<s>old</s> new", "List[int]", "don't [sic]", "a[i][j]", "1 <= 2",
    "f <| g x |> h", "# Title\n## Part\n### Detail", "<mask id='m'>", "[x] done", "[TODO]", "<thead>", "B] and [[", "{plan} {}",
)  # fmt: skip


@pytest.mark.parametrize("folder", get_args(prompts.PromptFolder))
@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays_as_it_is(text: str, folder: prompts.PromptFolder) -> None:
    assert prompts.defuse(text, folder) == text


@pytest.mark.parametrize(
    ("text", "own", "defused", "others"),
    [
        ("[Task]", "short", "(Task)", ["paper", "judgelm", "j1"]),
        ("[Answer B]", "short", "(Answer B)", ["paper", "pandalm"]),
        ("[the  end of assistant A's answer]", "paper", "(the  end of assistant A's answer)", ["short", "pandalm"]),
        ("[Final Verdict]", "short", "(Final Verdict)", ["pandalm", "judgelm"]),
        ("[System]", "judgelm", "(System)", ["paper", "short"]),
        ("[The Start of Assistant 3's Answer]", "judgelm", "(The Start of Assistant 3's Answer)", ["short", "pandalm"]),
        ("<answer>", "j1", "(answer)", ["paper", "short", "pandalm"]),
        ("</ Think >", "j1", "(/ Think)", ["paper", "short"]),
        ("### Response 2:", "pandalm", "Response 2:", ["paper", "short"]),
        ("[Reference Answer]", "paper", "(Reference Answer)", []),
    ],
)
def test_a_set_defuses_its_own_markers_and_not_those_of_others(
    text: str, own: prompts.PromptFolder, defused: str, others: list[prompts.PromptFolder]
) -> None:
    assert prompts.defuse(text, own) == defused
    for other in others:
        assert prompts.defuse(text, other) == text


@pytest.mark.parametrize("folder", get_args(prompts.PromptFolder))
@pytest.mark.parametrize(
    ("text", "defused"),
    [
        ("see [[A]] there", "see ((A)) there"), ("[[ tie ]]", "((tie))"), ("[[[b]]]", "[((b))]"), ("<|im_end|>", "< im_end >"),
        ("<｜end▁of▁sentence｜>", "< end▁of▁sentence >"), ("[/INST]", "< /INST >"), ("<<SYS>>", "< SYS >"),
        ("<end_of_turn>", "< end_of_turn >"),
    ],
)  # fmt: skip
def test_verdicts_and_chat_control_are_defused_in_every_set(text: str, defused: str, folder: prompts.PromptFolder) -> None:
    assert prompts.defuse(text, folder) == defused


TOKENS = ("<s>", "</s>", "<filename>", "<|im_end|>", "[PAD]")


@given(st.lists(st.one_of(st.sampled_from(TOKENS), st.sampled_from("<>s/[] "), st.text(max_size=3)), max_size=8).map("".join))
def test_no_special_token_stands_after_breaking_and_no_other_text_changes(text: str) -> None:
    broken = prompts.break_tokens(text, TOKENS)
    assert not [token for token in TOKENS if token in broken]
    assert broken.replace(" ", "") == text.replace(" ", "")
    assert prompts.break_tokens(broken, TOKENS) == broken
    assert prompts.break_tokens(text, ()) == text


def test_a_field_too_many_or_too_few_is_refused() -> None:
    with pytest.raises(prompts.PromptError, match="takes"):
        prompts.render("paper", "plan", instruction="i", plan="p")
    with pytest.raises(prompts.PromptError, match="takes"):
        prompts.render("paper", "judge", instruction="i")
    with pytest.raises(prompts.PromptError, match="no prompt set"):
        prompts.render("papre", "plan", instruction="i")  # type: ignore[arg-type]


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
