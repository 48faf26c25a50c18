"""planner/records.py: identity, immutability, and the swap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.records import Chain, Completion, LabeledPair, Pair, digest, flip

texts = st.text(max_size=20)
pairs = st.builds(Pair, instruction=texts, response_a=texts, response_b=texts)


@given(pairs)
def test_swapping_twice_is_a_no_op(pair: Pair) -> None:
    assert pair.swapped().swapped() == pair
    assert pair.shown("ab") == pair
    assert pair.shown("ba") == pair.swapped()
    assert pair.swapped().instruction_id == pair.instruction_id


@given(pairs, st.sampled_from(["A", "B", "tie"]))
def test_the_gold_verdict_follows_the_response(pair: Pair, better: str) -> None:
    labeled = LabeledPair(pair=pair, better=better, source="s", kind="k")  # type: ignore[arg-type]
    swapped = LabeledPair(pair=pair.swapped(), better=flip(better), source="s", kind="k")  # type: ignore[arg-type]
    assert labeled.gold("ba") == swapped.gold("ab")
    assert flip(flip(better)) == better  # type: ignore[arg-type]


@given(pairs)
def test_records_are_on_disk_as_in_memory(pair: Pair) -> None:
    labeled = LabeledPair(pair=pair, better="A", source="s", kind="k", notes={"a": "b"})
    assert LabeledPair.model_validate_json(labeled.model_dump_json()) == labeled


def test_a_conversation_becomes_its_transcript() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "A river?"}]
    assert Pair(instruction=turns, response_a="a", response_b="b").instruction == "User: Hi\n\nAssistant: Hello.\n\nUser: A river?"  # type: ignore[arg-type]
    assert Pair(instruction=turns[:1], response_a="a", response_b="b").instruction == "Hi"  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Pair(instruction=["Hi"], response_a="a", response_b="b")  # type: ignore[arg-type]


def test_digest_does_not_confuse_its_parts() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") != digest("a", "")


def test_records_refuse_what_they_do_not_know() -> None:
    pair = Pair(instruction="i", response_a="a", response_b="b")
    with pytest.raises(ValidationError):
        pair.instruction = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Pair(instruction="i", response_a="a", response_b="b", label="A")  # type: ignore[call-arg]


def test_equal_draws_keep_their_identity() -> None:
    def chain(sample: int) -> Chain:
        completion = Completion(text="same", finish_reason="stop", tokens=1)
        return Chain(
            pair_id="p",
            order="ab",
            plan_id="z",
            plan="z",
            sample=sample,
            completion=completion,
            execution="e",
            verdict="A",
            p_a=None,
        )

    assert chain(0).id != chain(1).id
