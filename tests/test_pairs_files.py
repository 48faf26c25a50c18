"""Pairs from files: a row is a pair or an error with its line, no prompt is in two splits, no cheap rule finds the better one.

selftrain/pairs/jsonl.py (any preference file), selftrain/pairs/gsm8k.py (right against wrong solutions of real models), and the
dealing out in selftrain/pairs/__init__.py.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import UserError
from planner.records import Label, LabeledPair, Pair
from planner.store import read_jsonl
from selftrain.config import Config
from selftrain.data_config import SourceConfig
from selftrain.pairs import gsm8k, jsonl, prefer_baseline, sources, split_sizes, write_splits, write_streamed
from selftrain.pairs.gsm8k import MODELS

Row = dict[str, Any]


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(i: int = 0, **more: Any) -> Row:
    return {"instruction": f"Do {i}.", "chosen": f"good {i}", "rejected": f"bad {i}"} | more


def chosen_and_rejected(one: LabeledPair) -> tuple[str, str]:
    pair = one.pair
    return (pair.response_a, pair.response_b) if one.better == "A" else (pair.response_b, pair.response_a)


def one_line(raised: pytest.ExceptionInfo[UserError]) -> str:
    text = str(raised.value)
    assert "\n" not in text
    return text


# -- jsonl -------------------------------------------------------------------------------------------------------------


def test_a_row_becomes_a_pair(tmp_path: Path) -> None:
    extra = {"kind": "poem", "id": 7, "score_chosen": 9.5, "score_rejected": 1, "hard": True, "nothing": None, "list": [1]}
    (one,) = jsonl.read(written(tmp_path / "my.jsonl", [row(3, **extra)]))
    assert one.pair.instruction == "Do 3."
    assert chosen_and_rejected(one) == ("good 3", "bad 3")
    assert (one.source, one.kind) == ("jsonl", "poem")
    better, worse = ("a", "b") if one.better == "A" else ("b", "a")
    assert one.notes == {"id": "7", f"score_{better}": "9.5", f"score_{worse}": "1", "hard": "True"}
    (plain,) = jsonl.read(written(tmp_path / "my.jsonl", [row(3)]))
    assert (plain.kind, plain.notes) == ("my", {})


def test_an_input_and_a_reference_are_shown_to_the_judge(tmp_path: Path) -> None:
    path = written(
        tmp_path / "my.jsonl", [row(1, input="on this", reference="R"), row(2, input="", reference=None), row(3, reference=[1])]
    )
    stream = jsonl.read(path)
    first, second = next(stream), next(stream)
    assert (first.pair.input, first.pair.reference, first.notes) == ("on this", "R", {})
    assert (second.pair.input, second.pair.reference) == (None, None)
    with pytest.raises(UserError, match=r"my\.jsonl:3: 'reference' is list, not text"):
        next(stream)


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [{"prompt": "p", "best": "g", "rejected": "b", "instruction": "not this"}])
    (one,) = jsonl.read(path, {"instruction": "prompt", "chosen": "best"})
    assert one.pair.instruction == "p"
    assert chosen_and_rejected(one) == ("g", "b")
    with pytest.raises(UserError) as raised:
        list(jsonl.read(path, {"instruction": "question"}))
    assert one_line(raised) == f"{path}:1: 'question' is missing; each row needs question, chosen, rejected"


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (b"{", ":2 is not JSON ("),
        (b'{"instruction": "i"}}', ":2 is not JSON ("),
        (b"[1]", ":2 is a JSON list, not an object"),
        (b'"text"', ":2 is a JSON str, not an object"),
        (b"null", ":2 is a JSON NoneType, not an object"),
        (b'{"instruction": "\xff", "chosen": "c", "rejected": "r"}', ":2 is not JSON ('utf-8' codec"),
        (b'{"instruction": "i", "chosen": "c"}', ":2: 'rejected' is missing; each row needs instruction, chosen, rejected"),
        (b'{"instruction": "i", "chosen": 3, "rejected": "r"}', ":2: 'chosen' is int, not text"),
        (b'{"instruction": "i", "chosen": null, "rejected": "r"}', ":2: 'chosen' is NoneType, not text"),
        (b'{"instruction": "i", "chosen": ["c"], "rejected": "r"}', ":2: 'chosen' is list, not text"),
        (b'{"instruction": "", "chosen": "c", "rejected": "r"}', ":2: 'instruction' is empty"),
        (b'{"instruction": "i", "chosen": "same", "rejected": "same"}', ":2: 'chosen' and 'rejected' are equal"),
        # Half a surrogate pair: JSON can say it, UTF-8 cannot, so it could be read and never written.
        (b'{"instruction": "\\ud83d", "chosen": "c", "rejected": "r"}', ":2 is not JSON ('utf-8' codec"),
        (b'{"instruction": "i", "chosen": "c", "rejected": "r", "id": "\\udc00"}', ":2 is not JSON ('utf-8' codec"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, bad: bytes, told: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(json.dumps(row()).encode() + b"\n" + bad + b"\n")
    stream = jsonl.read(path)
    assert next(stream).pair.instruction == "Do 0."
    with pytest.raises(UserError) as raised:
        next(stream)
    assert one_line(raised).startswith(f"{path}{told}")


def test_blanks_that_are_no_text_are_refused_as_empty(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [row(chosen=" \n")])
    with pytest.raises(UserError, match="'chosen' is empty"):
        list(jsonl.read(path))


def test_blank_lines_are_passed_over_and_still_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("\n" + json.dumps(row()) + "\n  \n{\n")
    stream = jsonl.read(path)
    next(stream)
    with pytest.raises(UserError, match=r"x\.jsonl:4 is not JSON"):
        next(stream)


def test_any_unicode_and_the_lack_of_a_last_line_end_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    text = "é\u2028\x85\r\n\U0001f98a\x00"
    path.write_text(json.dumps(row(instruction=text), ensure_ascii=False) + "\r\n" + json.dumps(row(1)), encoding="utf-8-sig")
    first, second = jsonl.read(path)
    assert first.pair.instruction == text
    assert second.pair.instruction == "Do 1."
    assert LabeledPair.model_validate_json(first.model_dump_json()) == first


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(UserError) as raised:
        list(jsonl.read(path))
    assert one_line(raised) == f"{path} is empty: it needs one JSON object a line with instruction, chosen, rejected"


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "no.jsonl", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError) as raised:
            list(jsonl.read(path))
        assert one_line(raised) == f"{path} cannot be read ({why}): set path to a JSONL file"


# -- slots -------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=9), st.text(max_size=9), st.text(max_size=9))
def test_the_slot_belongs_to_the_texts_and_not_to_the_better_one(instruction: str, x: str, y: str) -> None:
    if x == y:
        return
    placed = []
    for chosen, rejected in ((x, y), (y, x)):
        notes = {"n_chosen": chosen, "n_rejected": rejected, "o": "o"}
        texts = {"instruction": instruction, "chosen": chosen, "rejected": rejected}
        placed.append(jsonl.place(**texts, source="s", kind="k", notes=notes))
    assert placed[0].pair == placed[1].pair
    assert {one.better for one in placed} == {"A", "B"}
    assert chosen_and_rejected(placed[0]) == (x, y)
    for one in placed:
        assert one.notes == {"n_a": one.pair.response_a, "n_b": one.pair.response_b, "o": "o"}


def test_either_slot_is_as_likely_whatever_the_texts_look_like() -> None:
    """A chosen response that always sorts first, or is always longer, must not find itself in one slot."""
    for chosen, rejected in (("a {}", "b {}"), ("b {}", "a {}"), ("long " * 9 + "{}", "{}")):
        placed = [
            jsonl.place(instruction=str(i), chosen=chosen.format(i), rejected=rejected.format(i), source="s", kind="k", notes={})
            for i in range(1000)
        ]
        assert 440 <= sum(one.better == "A" for one in placed) <= 560


# -- splits ------------------------------------------------------------------------------------------------------------


def pairs(prompts: int, each: int) -> list[LabeledPair]:
    return [
        jsonl.place(instruction=f"Do {i}.", chosen=f"good {i} {j}", rejected=f"bad {i} {j}", source="s", kind="k", notes={})
        for j in range(each)
        for i in range(prompts)
    ]


def deal(folder: Path, every: list[LabeledPair], sizes: dict[str, int], seed: int = 0) -> dict[str, list[LabeledPair]]:
    counts = write_streamed(lambda: iter(every), folder, sizes, Path("my.jsonl"), seed)
    found = {name: list(read_jsonl(folder / f"{name}.jsonl", LabeledPair)) for name in sizes}
    assert counts == {name: len(split) for name, split in found.items()} == sizes
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.jsonl" for name in sizes)
    return found


SIZES = {"known": 7, "validation": 5, "train-1": 20, "train-2": 11}


def test_no_prompt_is_in_two_splits(tmp_path: Path) -> None:
    every = pairs(20, 3)
    found = deal(tmp_path, every, SIZES)
    prompts = {name: {one.pair.instruction for one in split} for name, split in found.items()}
    for a in prompts:
        for b in prompts:
            assert a == b or not prompts[a] & prompts[b]
    dealt = [one for split in found.values() for one in split]
    assert len({one.pair.id for one in dealt}) == len(dealt)
    places = {one.pair.id: i for i, one in enumerate(every)}
    for split in found.values():
        at = [places[one.pair.id] for one in split]
        assert at == sorted(at), "pairs keep the file's order"


def test_an_instruction_spelt_otherwise_is_in_the_same_split(tmp_path: Path) -> None:
    rows = [row(instruction=text, chosen=f"good {k}") for k in range(20) for text in (f"Name river {k}.", f"name  River {k}")]
    every = list(jsonl.read(written(tmp_path / "my.jsonl", rows)))
    found = deal(tmp_path / "pairs", every, {"known": 20, "train-1": 20})
    known, train = ({one.pair.instruction.split()[2].strip(".") for one in split} for split in found.values())
    assert not known & train


def test_the_deal_depends_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    every = pairs(30, 2)
    first = deal(tmp_path / "1", every, SIZES)
    assert deal(tmp_path / "2", every, SIZES) == first
    other = deal(tmp_path / "3", every, SIZES, seed=1)
    assert {one.pair.id for one in other["known"]} != {one.pair.id for one in first["known"]}
    backwards = deal(tmp_path / "4", every[::-1], SIZES)
    for name in SIZES:
        prompts = [{one.pair.instruction for one in found[name]} for found in (first, backwards)]
        assert prompts[0] == prompts[1], "which prompts are held out must not depend on the file's order"


def test_splits_are_a_mixture_of_the_file(tmp_path: Path) -> None:
    """A file sorted by topic must not have its first topics held out alone."""
    every = pairs(400, 1)
    found = deal(tmp_path, every, {"known": 100, "train-1": 300})
    early = sum(int(one.pair.instruction[3:-1]) < 200 for one in found["known"])
    assert 35 <= early <= 65


@pytest.mark.parametrize("each", [1, 2])
def test_too_few_pairs_are_one_line_with_both_numbers(tmp_path: Path, each: int) -> None:
    every = pairs(42 // each, each)
    with pytest.raises(UserError) as raised:
        write_streamed(lambda: iter(every), tmp_path, SIZES, Path("my.jsonl"), 0)
    text = one_line(raised)
    assert text.startswith(f"my.jsonl gives 42 usable pairs of {42 // each} prompts, and the run asks for 43: lower ")
    assert list(tmp_path.iterdir()) == []


def test_a_pair_that_comes_twice_counts_once(tmp_path: Path) -> None:
    """An engine is asked each thing once; a second request of the same name would stop it."""
    every = pairs(10, 1)
    other = every[3].model_copy(update={"better": "B" if every[3].better == "A" else "A"})
    found = deal(tmp_path, [*every, *every, other], {"known": 3, "train-1": 7})
    dealt = [one for split in found.values() for one in split]
    assert {one.pair.id for one in dealt} == {one.pair.id for one in every}
    assert next(one for one in dealt if one.pair.id == other.pair.id).better == every[3].better, "the first counts"
    with pytest.raises(UserError, match="gives 10 usable pairs of 10 prompts"):
        write_streamed(lambda: iter([*every, *every]), tmp_path, {"known": 11}, Path("my.jsonl"), 0)


def test_what_a_crash_left_half_written_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "known.jsonl.part").write_text("torn\n" * 50)
    deal(tmp_path, pairs(10, 1), {"known": 3})


def test_a_run_s_splits_come_from_its_config(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [{"q": f"Do {i}.", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(30)])
    config = Config.model_validate({
        "name": "x",
        "pairs": {"source": "jsonl", "path": str(path), "columns": {"instruction": "q"}, "validation": 4, "held_out": {"known": 5}},
        "iterations": [{"pairs": 6, "train": ["sft"]}, {"pairs": 7}],
    })  # fmt: skip
    assert split_sizes(config) == {"known": 5, "validation": 4, "train-1": 6, "train-2": 7}
    assert write_splits(config, tmp_path / "pairs") == (split_sizes(config), 0)
    assert len(list(read_jsonl(tmp_path / "pairs" / "train-2.jsonl", LabeledPair))) == 7


@pytest.mark.parametrize("ties", [True, False])
def test_ties_are_no_gold_where_the_judge_has_two_verdicts(tmp_path: Path, ties: bool) -> None:
    path = written(tmp_path / "x.jsonl", [row(i, tie=i % 3 == 0) for i in range(30)])
    config = Config.model_validate({
        "name": "x", "ties": ties,
        "pairs": {"source": "jsonl", "path": str(path), "validation": 4, "held_out": {"known": 6}},
        "iterations": [{"pairs": 10, "train": ["sft"]}],
    })  # fmt: skip
    assert write_splits(config, tmp_path / "pairs").ties == (0 if ties else 10), "counted once, however often the file is read"
    said = {one.better for split in split_sizes(config) for one in read_jsonl(tmp_path / "pairs" / f"{split}.jsonl", LabeledPair)}
    assert said == {"A", "B"} | ({"tie"} if ties else set())
    more = config.model_dump() | {"iterations": [{"pairs": 20, "train": ["sft"]}]}
    if ties:
        assert write_splits(Config.model_validate(more), tmp_path / "more").sizes["train-1"] == 20
    else:
        with pytest.raises(UserError, match="gives 20 usable pairs"):
            write_splits(Config.model_validate(more), tmp_path / "more")


# -- gsm8k_solutions ---------------------------------------------------------------------------------------------------


def problem(i: int, right: dict[str, bool], **more: Any) -> Row:
    solutions = {
        model: {"solution": f"{model} on {i}: <<{i}+1={i + 1}>>{i + 1}\nA: {i}", "is_correct": ok} for model, ok in right.items()
    }
    return {"question": f"Problem {i}?", "ground_truth": f"A: {i}", **solutions} | more


@pytest.fixture(scope="module")
def solutions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the same form, in which two models are far stronger than the others."""
    rng = random.Random(0)
    rates = dict(zip(MODELS, (0.2, 0.4, 0.35, 0.6), strict=True))
    rows = [problem(i, {model: rng.random() < rate for model, rate in rates.items()}) for i in range(300)]
    return written(tmp_path_factory.mktemp("gsm8k") / "solutions.jsonl", rows)


def directions(every: list[LabeledPair]) -> Counter[tuple[str, str]]:
    """How often (right model, wrong model) occurs."""
    found: Counter[tuple[str, str]] = Counter()
    for one in every:
        a, b = one.notes["model_a"], one.notes["model_b"]
        found[(a, b) if one.better == "A" else (b, a)] += 1
    return found


def check_balance(every: list[LabeledPair]) -> None:
    found = directions(every)
    assert len(found) == 12, "every two of the four models, both ways"
    for (right, wrong), n in found.items():
        assert found[wrong, right] == n
    assert prefer_baseline(every, "strength") == 0.5, "the stronger model must win exactly half of the time"


@pytest.mark.parametrize("seed", [0, 1])
def test_any_two_models_win_equally_often_against_each_other(solutions: Path, seed: int) -> None:
    every = list(gsm8k.read(solutions, seed))
    assert len(every) > 100
    check_balance(every)
    assert list(gsm8k.read(solutions, seed)) == every
    assert list(gsm8k.read(solutions, seed + 1)) != every


def test_only_the_first_rows_are_read_where_that_is_asked_for(solutions: Path, tmp_path: Path) -> None:
    mine = written(tmp_path / "my.jsonl", [row(k) for k in range(9)])
    counts: Counter[str] = Counter()
    some = [sources.read(SourceConfig(source="jsonl", path=str(mine), rows=n), tmp_path, 0, counts) for n in (4, 90, None)]
    assert [len(list(found)) for found in some] == [4, 9, 9]
    part = list(sources.read(SourceConfig(source="gsm8k_solutions", path=str(solutions), rows=150), tmp_path, 0, counts))
    head = written(tmp_path / "head.jsonl", [json.loads(line) for line in solutions.read_text().splitlines()[:150]])
    assert part == list(gsm8k.read(head, 0))
    check_balance(part)


def test_a_solution_loses_its_calculator_and_keeps_its_words(solutions: Path) -> None:
    by_question = {f"Problem {i}?": json.loads(line) for i, line in enumerate(solutions.read_text().splitlines())}
    for one in gsm8k.read(solutions, 0):
        source = by_question[one.pair.instruction]
        number = int(one.pair.instruction.split()[1][:-1])
        for side, response in (("a", one.pair.response_a), ("b", one.pair.response_b)):
            model = one.notes[f"model_{side}"]
            assert response == f"{model} on {number}: {number + 1}\nA: {number}"
            assert source[model]["is_correct"] == (one.better.lower() == side)
        assert (one.kind, one.source) == ("gsm8k", "gsm8k_solutions")
        assert one.cluster == one.group
    groups = {(one.pair.instruction, one.cluster) for one in gsm8k.read(solutions, 0)}
    assert len(groups) == len({instruction for instruction, _ in groups}) == len({cluster for _, cluster in groups})


def test_solutions_that_differ_in_their_calculator_alone_are_no_pair(tmp_path: Path) -> None:
    """Graded differently, they would teach that of two equal responses one is better."""
    rows = []
    for i in range(4):
        right, wrong = MODELS[i % 2], MODELS[1 - i % 2]
        one = problem(i, dict.fromkeys(MODELS, False) | {right: True})
        one[right]["solution"], one[wrong]["solution"] = "It is <<1+1=2>>2.", "It is 2."
        rows.append(one)
    every = list(gsm8k.read(written(tmp_path / "x.jsonl", rows), 0))
    assert all(one.pair.response_a != one.pair.response_b for one in every)
    assert not {tuple(sorted(models)) for models in directions(every)} & {tuple(sorted(MODELS[:2]))}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"question": None}, ": no text in 'question'"),
        ({MODELS[2]: "text"}, f": {MODELS[2]!r} is not {{solution, is_correct}}"),
        ({MODELS[3]: {"solution": "s"}}, f": {MODELS[3]!r} is not {{solution, is_correct}}"),
        ({MODELS[0]: {"solution": "s", "is_correct": "yes"}}, f": {MODELS[0]!r} is not {{solution, is_correct}}"),
        ({MODELS[0]: {"solution": 3, "is_correct": True}}, f": {MODELS[0]!r} is not {{solution, is_correct}}"),
    ],
)
def test_a_file_of_another_form_is_refused_by_its_line(tmp_path: Path, change: Row, told: str) -> None:
    fine = dict.fromkeys(MODELS, True)
    path = written(tmp_path / "x.jsonl", [problem(0, fine), problem(1, fine, **change)])
    with pytest.raises(UserError) as raised:
        list(gsm8k.read(path, 0))
    assert one_line(raised).startswith(f"{path}:2{told}")
    assert "example_model_solutions.jsonl" in one_line(raised)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set path to a JSONL file"):
        list(gsm8k.read(tmp_path / "no.jsonl", 0))


def test_the_real_file_is_balanced_and_big_enough(data_folder: Path, tmp_path: Path) -> None:
    path = data_folder / "gsm8k/example_model_solutions.jsonl"
    every = list(gsm8k.read(path, 2))
    assert len(every) > 500
    check_balance(every)
    assert 0.45 < sum(one.better == "A" for one in every) / len(every) < 0.55
    longer = [
        (len(one.pair.response_a) > len(one.pair.response_b)) == (one.better == "A")
        for one in every
        if len(one.pair.response_a) != len(one.pair.response_b)
    ]
    assert 0.4 < sum(longer) / len(longer) < 0.6, "length alone must not tell"
    assert "<<" not in "".join(one.pair.response_a + one.pair.response_b for one in every)
    config = Config.model_validate({
        "name": "x",
        "pairs": {"source": "gsm8k_solutions", "path": str(path), "validation": 100, "held_out": {"known": 200}},
        "iterations": [{"pairs": 300, "train": ["sft"]}, {"pairs": 300}],
    })  # fmt: skip
    sizes = write_splits(config, tmp_path).sizes
    split = {name: list(read_jsonl(tmp_path / f"{name}.jsonl", LabeledPair)) for name in sizes}
    dealt = [one for found in split.values() for one in found]
    assert len({one.pair.id for one in dealt}) == len(dealt) == 900, "two models wrote the same solution now and then"
    assert sum(len({one.pair.instruction for one in found}) for found in split.values()) == len(
        {one.pair.instruction for one in dealt}
    )


# -- the baseline ------------------------------------------------------------------------------------------------------


def noted(better: Label, **notes: str) -> LabeledPair:
    pair = Pair(instruction="i", response_a="a", response_b="b")
    return LabeledPair(pair=pair, better=better, source="s", kind="k", notes=notes)


def test_a_baseline_is_right_where_its_note_is_higher() -> None:
    def every() -> Iterator[LabeledPair]:
        yield noted("A", s_a="0.9", s_b="0.10")
        yield noted("B", s_a="9", s_b="10")  # as numbers, not as texts
        yield noted("A", s_a="1", s_b="2")
        yield noted("A", s_a="1", s_b="1.0")  # a draw says nothing
        yield noted("B", s_a="1")
        yield noted("B", other_a="1", other_b="2")

    assert prefer_baseline(every(), "s") == 2 / 3
    assert prefer_baseline([noted("A")], "s") is None
