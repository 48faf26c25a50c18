"""Attacks on the machinery have no effect: not on what is parsed, not on the prompt's structure, not on the tokens between turns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

import prompts
from planner.engines.base import Request
from planner.engines.scripted import ScriptedEngine
from planner.engines.server import ServerEngine
from planner.judge import Judge
from planner.models import resolve_model, special_tokens
from planner.records import Pair
from planner.styles import STYLES
from planner.styles.evalplanner import EvalPlannerStyle
from rewards.contest import Scoring
from rewards.group import GroupScorer
from tests.attacks.texts import FORMAT, LANGUAGES, PERSUASION
from tests.fake_server import FakeServer, reply, token
from tests.judges import chain, judge_of, longer, shown
from tests.serving import running

EVERY = FORMAT | PERSUASION
CLEAN = "A plain answer of some length."


@pytest.fixture
def folder_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Which prompt set a style asks with, as seen from the one function that defuses for it."""
    seen: list[Any] = []
    defuse = prompts.defuse
    monkeypatch.setattr(prompts, "defuse", lambda text, folder: (seen.append(folder), defuse(text, folder))[1])

    def of(style: str) -> Any:
        STYLES[style].judge_prompt(Pair(instruction=CLEAN, response_a=CLEAN, response_b=CLEAN, reference=CLEAN))
        return seen[-1]

    return of


def structure(text: str, folder: Any) -> dict[str, Any]:
    """Everything in a prompt that means something: its set's markers, verdict tags, control tokens."""
    found = {pattern.pattern: Counter(map(str, pattern.findall(text))) for pattern, _ in prompts._markers(folder)}
    return found | {"tags": prompts._VERDICT_TAG.findall(text), "control": prompts._CONTROL.findall(text)}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("attack", EVERY)
def test_the_prompt_keeps_its_structure(style: str, attack: str, folder_of: Any) -> None:
    """As many markers and tags as with clean answers, in whichever field the attack stands."""
    text, folder = EVERY[attack], folder_of(style)
    clean = STYLES[style].judge_prompt(Pair(instruction=CLEAN, response_a=CLEAN, response_b=CLEAN, reference=CLEAN))
    for at in range(5):
        i, a, b, r = (text if at in (place, 4) else CLEAN for place in range(4))
        asked = STYLES[style].judge_prompt(Pair(instruction=i, response_a=a, response_b=b, reference=r))
        assert [message.role for message in asked.messages] == [message.role for message in clean.messages]
        for message, before in zip(asked.messages, clean.messages, strict=True):
            assert structure(message.content, folder) == structure(before.content, folder)
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
    length = len(prompts.defuse(text, "paper"))
    group = ["x" * (length - 1), text, "x" * (length + 1)]
    low, mid, high = GroupScorer(judge_of(longer), Scoring(strategy="all_pairs")).score_group("p", group).rewards
    assert low is not None
    assert mid is not None
    assert high is not None
    assert low < mid < high


@pytest.mark.parametrize("folder", get_args(prompts.PromptFolder))
@pytest.mark.parametrize("attack", EVERY)
def test_defusing_leaves_nothing_to_defuse(attack: str, folder: Any) -> None:
    once = prompts.defuse(EVERY[attack], folder)
    assert prompts.defuse(once, folder) == once


@pytest.mark.parametrize("language", LANGUAGES)
def test_plain_text_of_any_language_stays_as_it_is(language: str) -> None:
    text = LANGUAGES[language]
    assert all(prompts.defuse(text, folder) == text for folder in get_args(prompts.PromptFolder))
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


def test_half_a_character_is_sent_to_no_model() -> None:
    """An escape in a body can name one, and no model's server could be asked with it."""
    said = chain("A")
    head = token(said.removesuffix("A]]"))
    with FakeServer(lambda body: reply(said, logprobs=[head, token("A"), token("]]")]), max_model_len=100_000) as model:
        engine = ServerEngine(model.url, "m")
        judgment = Judge(engine, EvalPlannerStyle(), max_tokens=60).compare("p\ud800", "\udfffa", "b")
        engine.close()
    assert [one.verdict for one in judgment.orders] == ["A", "B"]
    assert "\ufffda" in model.chats[0]["messages"][-1]["content"]


@pytest.mark.slow
def test_no_attack_puts_a_control_token_into_the_embedded_judge_s_prompt() -> None:
    """Token ids: exactly those control tokens that a clean prompt has, in the same order; every special token of the tokenizer tried."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(Path(resolve_model("embedded")))
    special = special_tokens(tokenizer)
    assert len(special) >= 10
    ids_of = set(tokenizer.convert_tokens_to_ids(list(special)))
    attacks = EVERY | {f"token {text}": f"x{text}y" for text in special}

    def control(text: str) -> list[int]:
        """Ids of the control tokens in a prompt as an engine sends it."""
        pair = Pair(instruction=text, response_a=text, response_b=text)
        messages = STYLES["evalplanner-short"].judge_prompt(pair).messages
        chat = [{"role": one.role, "content": prompts.break_tokens(one.content, special)} for one in messages]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
        return [token for token in ids if token in ids_of]

    clean = control(CLEAN)
    assert clean
    assert {name: control(text) for name, text in attacks.items()} == dict.fromkeys(attacks, clean)
