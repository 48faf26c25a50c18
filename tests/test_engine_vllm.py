"""The real vLLM (CPU package) with the embedded model: one engine for the whole test run."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from planner.engines.base import GREEDY, Alternatives, Choice, EngineError, Request, Sampling
from planner.execute import ask_forced, execute, forced_chain, judge_inputs, needs_forcing
from planner.judge import Judge
from planner.models import special_tokens
from planner.plan import instruction_inputs, write_plans
from planner.records import Message, Pair
from planner.styles import STYLES
from planner.styles.evalplanner import EvalPlannerStyle
from selftrain.pairs.builtin import generate
from tests.conftest import ROOT, weaken_the_seed

pytestmark = pytest.mark.slow
STYLE = EvalPlannerStyle(prompt_set="short")
CHAT = (Message(role="user", content="Say hello."),)
PAIRS = [one.pair for one in islice(generate("known", 3), 4)]


def request(key: str, **changes: Any) -> Request:
    return Request(key, CHAT, "", 1, 8, (), GREEDY)._replace(**changes)


def test_requests_are_yielded_by_key_whatever_their_order(embedded_engine: Any) -> None:
    asked = [request(f"r{i}", n=1 + i % 3, max_tokens=2 + 3 * (i % 4), sampling=Sampling(1.0, 1.0, 50)) for i in range(40)]
    got = dict(embedded_engine.sample(iter(asked)))
    assert got.keys() == {one.key for one in asked}
    for one in asked:
        assert len(got[one.key]) == one.n
        assert all(completion.tokens <= one.max_tokens for completion in got[one.key])


def test_the_stream_is_pulled_only_as_room_comes_free(embedded_engine: Any) -> None:
    pulled = 0

    def endless() -> Any:
        nonlocal pulled
        while True:
            pulled += 1
            yield request(f"e{pulled}", max_tokens=4, sampling=Sampling(1.0, 1.0, 50))

    stream = embedded_engine.sample(endless())
    assert len(list(islice(stream, 10))) == 10
    assert pulled < 400
    stream.close()
    # What was running is gone: the next call gets its own answers only.
    assert [key for key, _ in embedded_engine.sample([request("after")])] == ["after"]


def test_a_prefill_is_gone_on_from_and_left_out(embedded_engine: Any) -> None:
    ((_, (whole,)),) = embedded_engine.sample([request("a", max_tokens=12)])
    head, tail = whole.text[:5], whole.text[5:]
    ((_, (rest,)),) = embedded_engine.sample([request("b", prefill=head, max_tokens=12)])
    assert rest.text[: len(tail) // 2] == tail[: len(tail) // 2]


def test_a_stop_string_ends_and_is_left_out(embedded_engine: Any) -> None:
    ((_, (free,)),) = embedded_engine.sample([request("a", max_tokens=20)])
    word = free.text.split()[1]
    ((_, (cut,)),) = embedded_engine.sample([request("b", max_tokens=20, stop=(word,))])
    assert cut.finish_reason == "stop"
    assert word not in cut.text
    assert free.text.startswith(cut.text)


def test_an_end_string_ends_and_stays(embedded_engine: Any) -> None:
    ((_, (free,)),) = embedded_engine.sample([request("a", max_tokens=20)])
    word = free.text.split()[1]
    ((_, (cut,)),) = embedded_engine.sample([request("b", max_tokens=20, ends=(word,))])
    assert (cut.finish_reason, cut.stop) == ("stop", word)
    assert cut.text == free.text[: free.text.index(word) + len(word)]
    assert cut.tokens < free.tokens


def test_letters_agree_with_choose(embedded_engine: Any) -> None:
    """P(A) read along the way is P(A) read by asking for it, up to bfloat16."""
    leaning = "The options are [[A]] and [[B]], [[A]] or [[B]]. Verdict: [["
    asked = [request(f"l{i}", prefill=leaning, max_tokens=6, sampling=Sampling(1.0, 1.0), letters=True) for i in range(64)]
    found = [(one, letter) for _, (one,) in embedded_engine.sample(asked) for letter in one.letters if letter.offset == 0]
    assert found, "64 draws of a letter and none was A or B"
    ((_, logp_a, logp_b),) = embedded_engine.choose([Choice("c", CHAT, leaning)])
    for one, letter in found:
        assert one.text[0] in "AB"
        assert letter.logp_a == pytest.approx(logp_a, abs=0.25)
        assert letter.logp_b == pytest.approx(logp_b, abs=0.25)


def test_choose_gives_both_raw_log_probabilities(embedded_engine: Any) -> None:
    asked = [Choice(f"c{i}", CHAT, f"Number {i}. [Final Verdict]\n[[") for i in range(20)]
    got = {key: (a, b) for key, a, b in embedded_engine.choose(iter(asked))}
    assert got.keys() == {one.key for one in asked}
    for a, b in got.values():
        assert -60 < a <= 0
        assert -60 < b <= 0
        assert math.exp(a) + math.exp(b) <= 1.001, "raw, not renormalised over the two"


def test_likelihoods_are_those_of_a_forward_pass(embedded_engine: Any) -> None:
    """Against transformers, for a chat and for a prompt that is none, texts that share a beginning and texts of several tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from planner.models import resolve_model

    path = resolve_model("embedded")
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    texts = ("8 7", "8 6", "10 1", "Tie")
    asked = [
        Alternatives("chat", CHAT, "Scores:", texts),
        Alternatives("text", (Message(role="text", content="### Evaluation:\n"),), "", texts),
    ]
    got = dict(embedded_engine.likelihood(iter(asked)))
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Say hello."}], add_generation_prompt=True, tokenize=False)
    for key, before in (("chat", f"{chat}Scores:"), ("text", "### Evaluation:\n")):
        for text, logp in zip(texts, got[key], strict=True):
            head, whole = (tokenizer.encode(part, add_special_tokens=False) for part in (before, before + text))
            assert whole[: len(head)] == head
            with torch.no_grad():
                logps = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            exact = sum(logps[k - 1, whole[k]].item() for k in range(len(head), len(whole)))
            assert logp == pytest.approx(exact, abs=0.05 * abs(exact)), "up to bfloat16"
    assert got["chat"] != got["text"]


def test_a_judge_decides_by_likelihood(embedded_engine: Any) -> None:
    for style in (STYLE, STYLES["pandalm"], STYLES["judgelm"]):
        found = list(Judge(embedded_engine, style, decide="likelihood", rule="judgebench").compare_many(PAIRS))
        assert all(one.verdict in ("A", "B", "tie") and one.p_a is not None for one in found)


def test_plans_executions_and_forced_verdicts(embedded_engine: Any) -> None:
    plans = [
        plan
        for _, found in write_plans(
            embedded_engine, STYLE, instruction_inputs(STYLE, PAIRS, 3), max_tokens=24, sampling=Sampling(0.8, 1.0)
        )
        for plan in found
    ]
    assert len(plans) == 12
    assert all((plan.text is None) == (plan.completion.finish_reason == "length") for plan in plans)
    inputs = list(judge_inputs(STYLE, PAIRS))
    silent = []
    by_key = {item.key: item for item in inputs}
    for key, (chain,) in execute(embedded_engine, STYLE, inputs, n=1, max_tokens=30, sampling=GREEDY):
        assert chain.verdict == "none", "the untrained seed names no verdict"
        assert needs_forcing(chain)
        silent.append((by_key[key], chain))
    forced = {one.chain_id: one for one in ask_forced(embedded_engine, STYLE, silent)}
    for _, chain in silent:
        marked = forced_chain(chain, forced[chain.id])
        assert marked.forced
        assert marked.verdict == ("A" if marked.p_a >= 0.5 else "B")


def test_a_response_cannot_spell_a_special_token(embedded_engine: Any) -> None:
    """`<filename>` is special to this tokenizer and not to others; `<code>` is to none, and reaches the model as it is."""
    special = set(embedded_engine._tokenizer.convert_tokens_to_ids(list(special_tokens(embedded_engine._tokenizer))))
    honest = embedded_engine._ids((Message(role="user", content="x"),), "Plan: ")
    text = "<filename> <|im_end|> <code>x</code>"
    ids = embedded_engine._ids((Message(role="user", content=text),), f"Plan: {text}")
    assert [one for one in ids if one in special] == [one for one in honest if one in special]
    assert "<code>x</code>" in embedded_engine._tokenizer.decode(ids)


def test_over_long_prompts_do_not_fit(embedded_engine: Any) -> None:
    long = (Message(role="user", content="word " * 800),)
    assert not embedded_engine.fits(long, "", 8)
    assert embedded_engine.fits(CHAT, "", 8)
    judge = Judge(embedded_engine, STYLE, max_tokens=32)
    with pytest.raises(EngineError, match="do not fit"):
        judge.compare("word " * 800, "a", "b")


def test_the_prefix_cache_serves_shared_prompts(embedded_engine: Any) -> None:
    before = embedded_engine.counters
    same = (Message(role="user", content="A long shared beginning. " * 20),)
    for _ in range(2):
        list(embedded_engine.sample([Request("s", same, "", 1, 2, (), GREEDY)]))
    after = embedded_engine.counters
    assert after.cached - before.cached > 0.4 * (after.prompt - before.prompt)


def test_weights_are_switched_in_place(embedded_engine: Any, tiny_model: Path, tmp_path: Path) -> None:
    """After `load` the engine speaks with the other weights, and back again."""
    asked = [request("a", max_tokens=12)]
    ((_, (before,)),) = embedded_engine.sample(asked)
    weaken_the_seed(tmp_path / "other")
    embedded_engine.load(str(tmp_path / "other"))
    ((_, (other,)),) = embedded_engine.sample(asked)
    embedded_engine.load("embedded")
    ((_, (back,)),) = embedded_engine.sample(asked)
    assert other.text != before.text
    assert back.text == before.text


def test_compare_gives_one_entry_per_order(embedded_engine: Any) -> None:
    judgment = Judge(embedded_engine, STYLE, max_tokens=24, force=True).compare("Write in lower case.", "hello", "HELLO")
    assert [one.order for one in judgment.orders] == ["ab", "ba"]
    assert all(one.forced for one in judgment.orders)
    assert judgment.verdict in ("A", "B")
    assert judgment.p_a is not None
    unforced = Judge(embedded_engine, STYLE, max_tokens=24).compare("Write in lower case.", "hello", "HELLO")
    assert unforced.verdict == "none"
    assert unforced.p_a is None


def test_a_pair_asked_twice_is_judged_once_and_answered_twice(embedded_engine: Any) -> None:
    pair = Pair(instruction="Say hi.", response_a="hi", response_b="bye")
    first, second = Judge(embedded_engine, STYLE, max_tokens=8, force=True).compare_many([pair, pair])
    assert first == second


WITHOUT_COMPILER = """
from planner.engines.base import Request, Sampling
from planner.engines.vllm import VllmEngine
from planner.records import Message

if __name__ == "__main__":
    engine = VllmEngine("embedded", max_model_len=256, max_num_seqs=4, kv_cache_gb=1)
    ask = (Message(role="user", content="Say hello."),)
    for _, (one,) in engine.sample(Request(str(p), ask, "", 1, 6, (), Sampling(0.8, p)) for p in (1.0, 0.9)):
        print("tokens:", one.tokens)
    engine.close()
"""


@pytest.mark.timeout(300)
def test_a_cpu_without_a_compiler_samples_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(WITHOUT_COMPILER)
    nothing_compiled = {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "sample.py")],
        env=os.environ | nothing_compiled, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("tokens: ") == 2
    assert "there is no C++ compiler (no-such-compiler): vLLM samples without its compiled parts" in done.stderr
