"""Reading verdicts and chains: the last tag counts, nothing unreadable becomes a tie, and P(A) is read where it was first named."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.records import Completion, Letter
from planner.styles.evalplanner import EvalPlannerStyle
from planner.verdict import p_a_first_named, p_a_from_logps, read_verdict, trim_to_sentence
from prompts import EXECUTION_END, EXECUTION_START, FINAL_VERDICT, PLAN_END, PLAN_START

STYLE = EvalPlannerStyle(prompt_set="paper")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("[[A]]", "A"),
        ("so [[B]].", "B"),
        ("first [[A]], no: [[B]]", "B"),
        ("[[A]] or [[B]]? I say [[A]]", "A"),
        ("[[ a ]]", "A"),
        ("[[C]]", "tie"),
        ("[[Tie]]", "tie"),
        ("[[A]] … [[maybe]]", "none"),  # the last tag of any content counts, and this one cannot be read
        ("[[A]] [[]]", "none"),
        ("A", "none"),
        ("[A]", "none"),
        ("[[A", "none"),
        ("", "none"),
        ("[[A/B]]", "none"),
        ("[[A\n]]", "A"),
        ("a[[0] is wrong, so [[A]]", "A"),  # an opening that never closes hides nothing
        ("[[[B]]]", "B"),
        ("[[A]], or is it [[B] or [A]]", "none"),
    ],
)
def test_the_last_tag_of_any_content_counts(text: str, verdict: str) -> None:
    assert read_verdict(text) == verdict


def completion(text: str, finish: str = "stop", stop: str | None = PLAN_END) -> Completion:
    return Completion(text=text, finish_reason=finish, tokens=9, stop=stop if finish == "stop" else None)  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", ["1. Check the sum.\n2. Check the form.", None])
@pytest.mark.parametrize("verdict", ["A", "B"])
def test_a_written_chain_reads_back_as_its_parts(plan: str | None, verdict: str) -> None:
    text = STYLE.chain_text(plan, "Step 1: A adds up.", verdict)  # type: ignore[arg-type]
    parts = STYLE.read_chain(text)
    assert (parts.plan, parts.execution, parts.verdict) == (plan, "Step 1: A adds up.", verdict)
    assert parts.closed
    assert not parts.disagrees
    assert text.startswith(STYLE.forcing_text(plan, "Step 1: A adds up."))
    assert text.endswith(f"{FINAL_VERDICT}\n[[{verdict}]]")


def test_a_chain_s_verdict_is_the_one_after_the_final_tag() -> None:
    parts = STYLE.read_chain(f"{EXECUTION_START}\nfine, [[B]]\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[B]]")
    assert parts.verdict == "B"
    parts = STYLE.read_chain("The better one is [[A]].")
    assert parts.verdict == "none", "a verdict outside [Final Verdict] is none in a judge's chain"


def test_a_plan_may_speak_of_the_final_verdict() -> None:
    head = f"{PLAN_START}\nEnd with {FINAL_VERDICT}.\n{PLAN_END}\n{EXECUTION_START}\nfor now [[A]] but"
    parts = STYLE.read_chain(head, "length")
    assert (parts.verdict, parts.closed) == ("none", False)
    parts = STYLE.read_chain(f"{head} no.\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[A]]")
    assert (parts.verdict, parts.plan) == ("A", f"End with {FINAL_VERDICT}.")


def test_reading_is_linear() -> None:
    import time

    started = time.process_time()
    read_verdict("[" * 200_000)
    read_verdict("[[ " * 60_000 + "]]")
    assert time.process_time() - started < 2


def test_a_chain_that_says_both_says_neither() -> None:
    parts = STYLE.read_chain(f"{EXECUTION_START}\nso [[A]]\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[B]]")
    assert parts.disagrees
    assert parts.verdict == "none"


def test_what_ran_out_is_cut_off_and_what_ended_is_not() -> None:
    unfinished = f"{PLAN_START}\np\n{PLAN_END}\n{EXECUTION_START}\nwords and"
    assert not STYLE.read_chain(unfinished, "length").closed
    assert STYLE.read_chain(unfinished, "stop").closed
    whole = STYLE.chain_text("p", "e", "A")
    assert STYLE.read_chain(whole + " and then it rambled on", "length").closed
    assert STYLE.read_execution("", completion("I prefer [[A]] because it", "length")).verdict == "none"
    assert STYLE.read_execution("", completion("I prefer [[A]]")).verdict == "A"


def test_a_plan_without_its_end_tag_is_no_plan() -> None:
    assert STYLE.read_plan("", completion(f"{PLAN_START}\nstep one\n")) == "step one"
    assert STYLE.read_plan("", completion(f"{PLAN_START}\nstep one", "length")) is None
    assert STYLE.read_plan("", completion(f"{PLAN_START}\n1. Check the sum\n2. Che", stop=None)) is None, (
        "ended without its end tag"
    )
    assert STYLE.read_plan("", completion("no tags at all")) is None
    assert STYLE.read_plan("", completion(f"{PLAN_START}\n  \n")) is None
    assert STYLE.read_plan("", completion(f"{PLAN_START}\na\n{EXECUTION_START}\nb")) is None
    short = EvalPlannerStyle(prompt_set="short")
    prompt = short.plan_prompt("i")
    assert short.read_plan(prompt.prefill, completion(" rhyme.", stop=None)) == "The task asks to rhyme.", "one line is one plan"


def test_p_a_is_read_where_the_verdict_is_first_named() -> None:
    text = "A is fine. So [[B]]\n[End of Plan Execution]\n[Final Verdict]\n[[B]]"
    first, last = text.index("[[B]]") + 2, text.rindex("[[B]]") + 2
    letters = (
        Letter(offset=0, logp_a=math.log(0.9), logp_b=math.log(0.05)),
        Letter(offset=first, logp_a=math.log(0.3), logp_b=math.log(0.6)),
        Letter(offset=last, logp_a=math.log(0.001), logp_b=math.log(0.99)),
    )
    assert p_a_first_named(text, letters) == pytest.approx(1 / 3)
    assert p_a_first_named(text, letters[2:]) is None, "a later naming must not stand in for the first"
    assert p_a_first_named("no verdict", letters) is None


@given(st.floats(-50, 0), st.floats(-50, 0))
def test_p_a_is_a_probability_and_symmetric(a: float, b: float) -> None:
    p = p_a_from_logps(a, b)
    assert 0 <= p <= 1
    assert p + p_a_from_logps(b, a) == pytest.approx(1)


def test_p_a_of_impossible_letters() -> None:
    assert p_a_from_logps(-math.inf, -math.inf) == 0.5
    assert p_a_from_logps(0.0, -math.inf) == 1.0
    assert p_a_from_logps(-math.inf, 0.0) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("text", "trimmed"),
    [
        ("One. Two. And thr", "One. Two."),
        ("One. Two.", "One. Two."),
        ("nothing whole", ""),
        ("pi is 3.14 and so", ""),
        ("Really? Yes! Bec", "Really? Yes!"),
        ("- item one\n- item tw", "- item one"),
        ('He said "no." Then', 'He said "no."'),
        ("", ""),
    ],
)
def test_trimming_keeps_whole_sentences(text: str, trimmed: str) -> None:
    assert trim_to_sentence(text) == trimmed
