"""What is removed from pairs and why: duplicates, benchmark overlaps, filters, balance. selftrain/pairs/hygiene.py and what it stands on."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import UserError
from planner.records import LabeledPair
from planner.store import read_jsonl
from selftrain.data_config import HygieneConfig
from selftrain.pairs.benchmark_overlap import Benchmarks
from selftrain.pairs.blind import blind
from selftrain.pairs.hygiene import Removed, balanced, chosen_is_longer, clean, instruction_key, refuses, swapped
from selftrain.pairs.jsonl import place
from selftrain.pairs.near import NearDuplicates, jaccard, shingles

WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "ne", "pu", "ra") for b in ("bar", "den", "fil", "gon", "hul")]


def pair(instruction: str, chosen: str = "a good answer", rejected: str = "a bad one") -> LabeledPair:
    return place(instruction=instruction, chosen=chosen, rejected=rejected, source="test", kind="k", notes={})


def sentence(rng: random.Random, words: int = 30) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def cleaned(tmp_path: Path, pairs: list[LabeledPair], **config: Any) -> tuple[list[LabeledPair], dict[str, str], Any]:
    """(what was kept, reason by instruction of what was not, the counts)."""
    found = clean(pairs, HygieneConfig(**config), tmp_path, seed=0)
    removed = {one.instruction: one.reason for one in read_jsonl(tmp_path / "removed.jsonl", Removed)}
    return list(read_jsonl(tmp_path / "pairs.jsonl", LabeledPair)), removed, found


# -- duplicates ---------------------------------------------------------------------------------------------------------


def test_a_pair_counts_once_whichever_response_stands_first(tmp_path: Path) -> None:
    one = pair("Name three rivers.")
    kept, _, found = cleaned(tmp_path, [one, one, swapped(one), pair("Name three rivers.", "another good answer")])
    assert [p.pair.id for p in kept] == [one.pair.id, pair("Name three rivers.", "another good answer").pair.id]
    assert found.counts == {"raw": 4, "exact_duplicate": 2, "kept": 2}


def test_near_duplicates_of_an_earlier_instruction_go_with_all_their_pairs(tmp_path: Path) -> None:
    rng = random.Random(1)
    first, other = sentence(rng, 40), sentence(rng, 40)
    near = first.replace(" ", "  ", 3).upper() + "!"
    changed = " ".join([*first.split()[:-1], "zzz"])
    pairs = [pair(first), pair(near), pair(near, "second"), pair(changed), pair(other), pair(first, "third")]
    kept, removed, found = cleaned(tmp_path, pairs)
    # The upper-case spelling is the same instruction, whose pairs stay; the changed one repeats it.
    assert [p.pair.instruction for p in kept] == [first, near, near, other, first]
    assert removed == {changed: "near_duplicate"}
    assert found.counts["near_duplicate"] == 1
    kept, removed, _ = cleaned(tmp_path, pairs, near_duplicates=0)
    assert removed == {}
    assert len(kept) == 6


def test_most_near_duplicates_are_found_among_many_and_nothing_else(tmp_path: Path) -> None:
    rng = random.Random(2)
    base = [sentence(rng, 40) for _ in range(400)]
    near = [
        " ".join("zzz" if i == place_ else word for i, word in enumerate(text.split()))
        for text, place_ in zip(base[:200], [5] * 200, strict=True)
    ]
    index = NearDuplicates(tmp_path / "signatures")
    texts = base + near
    for text in texts:
        index.add(text)
    found = index.repeats(0.8, texts.__getitem__)
    assert all(jaccard(shingles(texts[later]), shingles(texts[earlier])) >= 0.8 for later, earlier in found.items())
    assert set(found) <= set(range(400, 600))
    assert len(found) >= 190  # 3 of 38 grams differ: Jaccard 0.85, one band of eight agrees with probability 0.994
    assert not (tmp_path / "signatures").exists()


# -- benchmarks ---------------------------------------------------------------------------------------------------------


def test_an_overlap_with_a_benchmark_prompt_is_removed_and_told(tmp_path: Path) -> None:
    rng = random.Random(3)
    asked, short = sentence(rng, 20), "Name the capital of Old Norway."
    benchmark = tmp_path / "bench.jsonl"
    benchmark.write_text(json.dumps({"prompt": asked, "chosen": "irrelevant"}) + "\n" + json.dumps({"question": short}) + "\n")
    inside = f"Please help. {asked.upper()}!! Thanks"
    part = " ".join(asked.split()[:12])
    pairs = [
        pair(inside),
        pair("name the CAPITAL of old norway"),
        pair(f"{short} And its rivers too."),
        pair(part),
        pair("irrelevant"),
    ]
    kept, removed, found = cleaned(tmp_path / "out", pairs, benchmarks=(str(benchmark),))
    assert set(removed) == {inside, "name the CAPITAL of old norway"}
    assert len(kept) == 3
    assert (found.benchmark_files, found.benchmark_prompts) == (1, 2)
    details = [one.detail for one in read_jsonl(tmp_path / "out" / "removed.jsonl", Removed)]
    assert all(str(benchmark) in detail for detail in details)
    assert " ".join(asked.split()[:13]) in details[0]


def test_scripts_without_blanks_are_compared_by_their_signs(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text(json.dumps({"prompt": "请写一首关于秋天的短诗，并解释每一行的含义。"}) + "\n")
    benchmarks = Benchmarks((str(tmp_path / "b.jsonl"),), 13)
    assert benchmarks.find("老师说：请写一首关于秋天的短诗，并解释每一行的含义。谢谢") is not None
    assert benchmarks.find("请写一首关于春天的长诗，并解释每一节的韵律。") is None
    assert len(shingles("请写一首关于秋天的短诗")) > 3


def test_benchmarks_of_every_layout_are_read(tmp_path: Path) -> None:
    layouts: dict[str, Any] = {
        "list.json": [{"instruction": "one two three four five six"}],
        "by-kind.json": {"bias": [{"instruction": "two three four five six seven"}]},
        "turns.json": [{"turns": [{"content": "three four five six seven eight"}]}],
        "bare.json": [{"turns": ["four five six seven eight nine"]}],
    }
    for name, content in layouts.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "scores.json").write_text(json.dumps({"accuracy": 0.5}))
    index = Benchmarks((str(tmp_path),), 13)
    assert index.prompts == 4
    assert len(index.files) == 4
    for text in (
        "one two three four five six",
        "Two, three; four five six seven?",
        "three four five six seven eight",
        "four five six seven eight nine",
    ):
        assert index.find(text) is not None
    assert index.find("five six seven eight nine ten") is None


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [("none", None, "leads to no"), ("empty.json", "{}", "holds no prompt"), ("torn.json", "{", "is not JSON")],
)
def test_a_benchmark_that_cannot_be_read_stops(tmp_path: Path, name: str, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=told):
        Benchmarks((str(tmp_path / name),), 13)


def test_real_overlaps_are_found(data_folder: Path) -> None:
    """GSM8K's solutions are of its test problems: every one of them must be found there, and hardly one among the training problems."""
    test = Benchmarks((str(data_folder / "gsm8k" / "test.jsonl"),), 13)
    solved = [json.loads(line)["question"] for line in (data_folder / "gsm8k" / "example_model_solutions.jsonl").open()]
    assert all(test.find(question) for question in solved)
    trained = [json.loads(line)["question"] for line in (data_folder / "gsm8k" / "train.jsonl").open()]
    assert sum(test.find(question) is not None for question in trained) < 0.02 * len(trained)


# -- filters ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        "I'm sorry, but I cannot help with that.", "I am sorry, I can't assist with this request.", "I can't help with that.", "Sorry, I can't do that.",
        "As an AI language model, I cannot have opinions.", "I cannot provide instructions for that.", "Unfortunately, I cannot do this.", "I won't help with that.",
        "**I'm sorry**, but I can't comply.",
    ],
)  # fmt: skip
def test_a_refusal_is_known(response: str) -> None:
    assert refuses(response)


@pytest.mark.parametrize(
    "response",
    ["Sorry for the delay: the answer is 4.", "I'm sorry to hear that. You could try this.", "I can help with that.", "You cannot divide by zero.", "An AI can write poems.", "", "I can't believe it's not butter is a brand."],
)  # fmt: skip
def test_what_is_no_refusal_is_let_be(response: str) -> None:
    assert not refuses(response)


def test_filters_name_their_reasons(tmp_path: Path) -> None:
    long_french = (
        "La rivière coule vers la mer et les enfants jouent dans le jardin avec leurs amis pendant les vacances d'été. " * 3
    )
    pairs = [
        pair("ok, name a river that you like"), pair("no"), pair("what is a long one?", "x" * 400, "yes"), pair("help me please?", "I cannot help with that.", "Sure."),
        pair("a refusal that lost", "Sure, here it is.", "I cannot help with that."), pair("une question en anglais", long_french, "Oui."),
    ]  # fmt: skip
    _, removed, found = cleaned(tmp_path, pairs, min_characters=3, max_characters=380, languages=("en",))
    assert removed == {
        "no": "too_short", "what is a long one?": "too_long", "help me please?": "refusal", "une question en anglais": "language",
    }  # fmt: skip
    assert found.counts["kept"] == 2
    assert sum(count for name, count in found.counts.items() if name != "raw") == found.counts["raw"] == 6


# -- balance ------------------------------------------------------------------------------------------------------------


def test_the_longer_response_is_chosen_as_often_as_not_once_balanced(tmp_path: Path) -> None:
    rng = random.Random(5)
    pairs = [pair(sentence(rng), "long " * (6 if i % 4 else 1), "short " * 3) for i in range(100)]
    kept, _, found = cleaned(tmp_path, pairs, balance_length=True)
    assert found.longer_chosen_raw == 0.75
    assert found.longer_chosen == 0.5
    assert len(kept) == 50
    assert Counter(chosen_is_longer(one) for one in kept) == {True: 25, False: 25}
    again, _, _ = cleaned(tmp_path, pairs, balance_length=True)
    assert again == kept


def test_gold_positions_alternate_in_every_two_pairs() -> None:
    pairs = [
        place(
            instruction=f"q{i}",
            chosen="good",
            rejected="bad",
            source="s",
            kind="k",
            notes={"score_chosen": "2", "score_rejected": "1"},
        )
        for i in range(100)
    ]
    found = list(balanced(pairs, seed=3))
    assert all({one.better, other.better} == {"A", "B"} for one, other in zip(found[::2], found[1::2], strict=True))
    assert len({one.better for one in found[::2]}) == 2, "a fixed first slot could be learnt"
    for one in found:
        assert one.notes["score_a" if one.better == "A" else "score_b"] == "2"
        assert (one.pair.response_a if one.better == "A" else one.pair.response_b) == "good"


@given(st.text(min_size=1, max_size=40))
def test_swapping_twice_is_a_no_op_and_case_does_not_make_an_instruction(text: str) -> None:
    one = place(instruction=text, chosen="c", rejected="r", source="s", kind="k", notes={"x_chosen": "1", "other": "2"})
    assert swapped(swapped(one)) == one
    assert instruction_key(one) == instruction_key(pair(f"  {text}  "))


# -- the judge that does not read the instruction ------------------------------------------------------------------------


def test_a_blind_judge_finds_what_gives_a_source_away_and_nothing_where_nothing_does() -> None:
    rng = random.Random(7)
    told = [pair(f"q{i}", f"therefore {sentence(rng, 8)}", sentence(rng, 9)) for i in range(200)]
    found = blind(balanced(told, 0))
    assert found.n == 200
    assert found.classifier is not None
    assert found.classifier > 0.9
    even = [pair(f"q{i}", sentence(rng, 9), sentence(rng, 9)) for i in range(400)]
    fair = blind(balanced(even, 0))
    assert fair.classifier is not None
    assert 0.4 < fair.classifier < 0.6
    assert blind(told[:5]).classifier is None
