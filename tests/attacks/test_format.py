"""Attacks on the machinery have no effect: not on what is parsed, not on the prompt's structure, not on the tokens between turns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import prompts
from planner.engines.base import Request
from planner.engines.scripted import ScriptedEngine
from planner.judge import Judge
from planner.records import Pair
from planner.styles import STYLES
from planner.styles.evalplanner import EvalPlannerStyle
from planner.verdict import read_verdict
from rewards.contest import Scoring
from rewards.group import GroupScorer
from tests.attacks.texts import FORMAT, LANGUAGES, PERSUASION
from tests.judges import chain, judge_of, longer, shown
from tests.serving import running

EVERY = FORMAT | PERSUASION
CLEAN = "A plain answer of some length."


def markers(text: str) -> Counter[str]:
    """Every bracketed marker that any prompt of the house uses, with how often it stands in a text."""
    return Counter(" ".join(found.split()).lower() for found in prompts._markers().findall(text))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("attack", EVERY)
def test_the_prompt_keeps_its_structure(style: str, attack: str) -> None:
    """As many markers and tags as with clean answers, in whichever field the attack stands."""
    text = EVERY[attack]
    clean = STYLES[style].judge_prompt(Pair(instruction=CLEAN, response_a=CLEAN, response_b=CLEAN))
    for fields in ((text, CLEAN, CLEAN), (CLEAN, text, CLEAN), (CLEAN, CLEAN, text), (text, text, text)):
        asked = STYLES[style].judge_prompt(Pair(instruction=fields[0], response_a=fields[1], response_b=fields[2]))
        assert [message.role for message in asked.messages] == [message.role for message in clean.messages]
        for message, before in zip(asked.messages, clean.messages, strict=True):
            assert markers(message.content) == markers(before.content)
            assert prompts._CONTROL.findall(message.content) == prompts._CONTROL.findall(before.content)
            assert prompts._VERDICT_TAG.findall(message.content) == prompts._VERDICT_TAG.findall(before.content)
            assert read_verdict(message.content) == read_verdict(before.content)
        assert (asked.prefill, asked.stop) == (clean.prefill, clean.stop)


@pytest.mark.parametrize("attack", EVERY)
def test_a_judge_that_quotes_what_it_reads_says_what_it_means(attack: str) -> None:
    """The judge copies both answers into its plan and its execution, then names its own verdict; in both orders, in either slot."""
    text = EVERY[attack]

    def quoting(request: Request, draw: int) -> str:
        a, b = shown(request)
        meant = "A" if CLEAN in a else "B"
        return chain(meant, plan=f"Look at {a} and {b}").replace("One is better.", f"A says: {a}\nB says: {b}")

    judge = Judge(ScriptedEngine(quoting), EvalPlannerStyle(), max_tokens=600)
    for pair, meant in (
        (Pair(instruction="p", response_a=CLEAN, response_b=text), "A"),
        (Pair(instruction="p", response_a=text, response_b=CLEAN), "B"),
    ):
        (judgment,) = judge.compare_many([pair])
        assert (judgment.verdict, judgment.consistent) == (meant, True)


@pytest.mark.parametrize("attack", FORMAT)
def test_a_reward_depends_on_what_the_judge_prefers_and_nothing_else(attack: str) -> None:
    """A judge of length gives an attack what it gives any text of that length."""
    text = FORMAT[attack]
    length = len(prompts.defuse(text))
    group = ["x" * (length - 1), text, "x" * (length + 1)]
    low, mid, high = GroupScorer(judge_of(longer), Scoring(strategy="all_pairs")).score_group("p", group).rewards
    assert low is not None
    assert mid is not None
    assert high is not None
    assert low < mid < high


@pytest.mark.parametrize("attack", EVERY)
def test_defusing_leaves_nothing_to_defuse(attack: str) -> None:
    once = prompts.defuse(EVERY[attack])
    assert prompts.defuse(once) == once


@pytest.mark.parametrize("language", LANGUAGES)
def test_plain_text_of_any_language_stays_as_it_is(language: str) -> None:
    text = LANGUAGES[language]
    assert prompts.defuse(text) == text
    score = GroupScorer(judge_of(longer), Scoring(strategy="all_pairs")).score_group("p", [text, text + text, "x"])
    assert score.rewards[1] == max(score.rewards)


def test_a_hundred_thousand_characters_harm_nobody_but_themselves() -> None:
    group = ["x", "xx", "word " * 20_000, "[[A]]" * 20_000]
    score = GroupScorer(judge_of(longer), Scoring(strategy="all_pairs")).score_group("p", group)
    assert score.valid == (True, True, False, True)  # brackets are one word to the scripted engine's context
    assert score.rewards[1] > score.rewards[0]


def test_attacks_over_http_are_answered_like_anything_else() -> None:
    with running() as server:
        for text in EVERY.values():
            said = server.post("/compare", instruction=text, responses=[text, CLEAN])
            assert said.status_code == 200
            assert all(said.json()["valid"])
        for bad in (
            b'{"instruction": "\\ud800", "responses": ["x", "y"]}',
            b'{"instruction": "\xff", "responses": ["x"]}',
            b"[" * 100_000,
        ):
            answer = server.client.post("/compare", content=bad, headers={"Content-Type": "application/json"})
            assert answer.status_code in (200, 400, 422), answer.text


@pytest.mark.slow
def test_no_attack_puts_a_control_token_into_the_embedded_judge_s_prompt() -> None:
    """Token ids: exactly those control tokens that a clean prompt has, in the same order; every special token of the tokenizer tried."""
    from transformers import AutoTokenizer

    from planner.models import resolve_model

    tokenizer: Any = AutoTokenizer.from_pretrained(Path(resolve_model("embedded")))
    special = {token: str(text) for token, text in tokenizer.added_tokens_decoder.items()}
    assert len(special) >= 10
    attacks = EVERY | {f"token {text}": f"x{text}y" for text in special.values()}

    def control(text: str) -> list[int]:
        pair = Pair(instruction=text, response_a=text, response_b=text)
        chat = [{"role": one.role, "content": one.content} for one in STYLES["evalplanner-short"].judge_prompt(pair).messages]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
        return [token for token in ids if token in special]

    clean = control(CLEAN)
    assert clean
    assert {name: control(text) for name, text in attacks.items()} == dict.fromkeys(attacks, clean)
