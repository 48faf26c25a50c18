"""The builtin pair source: its labels are true, its splits apart, and nobody can judge it without reading the instruction.

pytest tests/test_pairs_builtin.py -s      prints what the cheap tricks score, kind by kind
"""

from __future__ import annotations

import math
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from planner.errors import UserError
from planner.records import LabeledPair
from planner.store import read_jsonl
from selftrain.config import Config, Iteration, PairsConfig
from selftrain.pairs import topics, write_splits
from selftrain.pairs.builtin import KNOWN_KINDS, SPLITS, UNSEEN_KINDS, Split, _twins, check, generate
from selftrain.pairs.checks import CHECKERS, words
from selftrain.pairs.draw import Base, Draw
from selftrain.pairs.phrases import PHRASES
from selftrain.pairs.wordings import TEMPLATES

ALL_KINDS = KNOWN_KINDS + UNSEEN_KINDS


@cache
def stream(split: Split, kind: str | None, seed: int) -> tuple[list[LabeledPair], Iterator[LabeledPair]]:
    return [], generate(split, seed, [kind] if kind else None)


def taken(split: Split, count: int, kind: str | None = None, seed: int = 0) -> list[LabeledPair]:
    """The first pairs of a stream, each made once for the whole file."""
    pairs, more = stream(split, kind, seed)
    pairs.extend(islice(more, max(0, count - len(pairs))))
    return pairs[:count]


def split_of(kind: str) -> Split:
    return "unseen" if kind in UNSEEN_KINDS else "train"


def chosen_and_rejected(labeled: LabeledPair) -> tuple[str, str]:
    pair = labeled.pair
    return (pair.response_a, pair.response_b) if labeled.better == "A" else (pair.response_b, pair.response_a)


def coin(right: float, n: int) -> bool:
    """Whether `right` of `n` lies in the 95 % interval of a fair coin."""
    return abs(right - n / 2) <= 1.96 * math.sqrt(n) / 2


# What a person would say, so that the checkers are not only right in their own eyes.
TRUTHS = [
    ("letter_case", "upper", "A DOG RAN.", "A dog ran."),
    ("letter_case", "lower", "a dog ran.", "A dog ran."),
    ("letter_case", "title", "A Dog Ran.", "A dog ran."),
    ("keyword", "river", "By the river.", "By the rivers."),
    ("forbidden_word", "river", "By the sea.", "By the River."),
    ("opening", "Dear friend,", "Dear friend, hello.", "Hello, Dear friend,"),
    ("ending", "Thank you.", "Here. Thank you.", "Thank you. Here."),
    ("list_shape", "bullets", "- a\n- b", "1. a\n2. b"),
    ("list_shape", "numbers", "1. a\n2. b", "1. a\n1. b"),
    ("list_shape", "commas", "a, b", "- a, b\n- c"),
    ("item_count", "3", "- a\n- b\n- c", "a, b"),
    ("category", "fruits", "apple, pear", "apple, hammer"),
    ("sentence_count", "2", "It rained. We stayed!", "It rained."),
    ("length", "max 3", "It rained today.", "It did rain today."),
    ("length", "min 4", "It did rain today.", "It rained today."),
    ("json_key", "note", '{"note": 1}', '{"other": "note"}'),
    ("json_key", "note", '{"note": 1}', '{"note": 1'),
    ("data_format", "json", '{"a": 1}', "a,b\n1,2"),
    ("data_format", "xml", "<a><b>c</b></a>", "<a><b>c</a>"),
    ("data_format", "csv", "a,b\n1,2", "a,b\n1"),
    ("language", "french", "Le chat dort dans la cuisine.", "El gato duerme en la cocina."),
    ("language", "italian", "Il re canta nel parco.", "El rey canta en el parque."),
    ("topic", "sea", "The sailor saw the tide.", "The chef saw the oven."),
    ("arithmetic", "12 + 7", "The answer is 19.", "The answer is 24."),
    ("arithmetic", "6 * 7", "42", "12 or 42"),
    ("word_problem", "20 - 5", "Tom has 15 apples.", "Tom has 25 apples."),
    ("end_mark", "stop", "So.", "So..."),
    ("end_mark", "dots", "So...", "So."),
    ("end_mark", "question", "So?", "So!"),
    ("person", "first", "We saw it.", "They saw us."),
    ("person", "third", "She saw it.", "I saw it."),
    ("tense", "past", "He painted it.", "He will paint it."),
    ("tense", "present", "He is painting it.", "He painted it."),
    ("tense", "future", "He will paint it.", "He is painting it."),
    ("subject", "the old farmer", "The old farmer sat.", "The old baker sat."),
    ("copy", "So it is.", "So it is.", "So is it."),
    ("wrapping", "brackets", "[So.]", "[So]."),
    ("tone", "sad", "He sat with tears.", "He sat in a rage."),
    ("numerals", "digits", "After 3 days.", "After three days."),
    ("numerals", "words", "After three days.", "After 3 days."),
    ("first_letter", "K", "Karen sat.", "Carl sat."),
    ("separator", "hyphen", "so-it-is", "so it-is"),
]


def test_checkers_agree_with_a_person() -> None:
    assert {kind for kind, *_ in TRUTHS} == set(ALL_KINDS) == set(CHECKERS) == set(TEMPLATES)
    for kind, requirement, good, bad in TRUTHS:
        assert check(kind, requirement, good), (kind, requirement, good)
        assert not check(kind, requirement, bad), (kind, requirement, bad)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_label_can_be_verified_again(kind: str) -> None:
    for labeled in taken(split_of(kind), 200, kind):
        good, bad = chosen_and_rejected(labeled)
        requirement, other = labeled.notes["requirement"], labeled.notes["other"]
        assert check(kind, requirement, good)
        assert not check(kind, requirement, bad)
        assert check(kind, other, bad)
        assert not check(kind, other, good)
        assert (labeled.kind, labeled.source) == (kind, "builtin")


@pytest.mark.parametrize("split", SPLITS)
def test_twins_are_counterbalanced_and_never_part(split: Split) -> None:
    pairs = taken(split, 2000)
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        assert first.group == second.group
        assert first.pair.instruction != second.pair.instruction
        assert (first.pair.response_a, first.pair.response_b) == (second.pair.response_a, second.pair.response_b)
        assert {first.better, second.better} == {"A", "B"}
        assert first.notes["requirement"] == second.notes["other"]
    assert set(Counter(labeled.group for labeled in pairs).values()) == {2}
    chosen, rejected = zip(*(chosen_and_rejected(labeled) for labeled in pairs), strict=True)
    assert Counter(chosen) == Counter(rejected)


def test_labels_and_slots_are_balanced_in_every_kind() -> None:
    by_kind: dict[str, list[LabeledPair]] = defaultdict(list)
    for labeled in taken("train", 20_000):
        by_kind[labeled.kind].append(labeled)
    assert set(by_kind) == set(KNOWN_KINDS)
    for kind, pairs in by_kind.items():
        assert abs(sum(labeled.better == "A" for labeled in pairs) / len(pairs) - 0.5) < 0.002, kind
        # Of one twin alone the label must be a coin as well: the loop may sample pairs, not bases.
        firsts = [labeled.better == "A" for labeled in pairs[::2]]
        assert abs(sum(firsts) / len(firsts) - 0.5) < 0.1, kind


def normal(text: str) -> str:
    return " ".join(words(text))


def test_splits_share_no_base_text_no_response_and_no_instruction() -> None:
    bases: dict[Split, set[str]] = {}
    responses: dict[Split, set[str]] = {}
    instructions: dict[Split, set[str]] = {}
    for split in SPLITS:
        pairs = taken(split, 20_000 if split == "train" else 4000)
        bases[split] = {text for labeled in pairs for text in labeled.notes["base"].split(" | ")}
        instructions[split] = {labeled.pair.instruction for labeled in pairs}
        responses[split] = {r for labeled in pairs for r in (labeled.pair.response_a, labeled.pair.response_b)}
    for i, one in enumerate(SPLITS):
        for other in SPLITS[i + 1 :]:
            assert not bases[one] & bases[other], (one, other)
            assert not responses[one] & responses[other], (one, other)
            assert not instructions[one] & instructions[other], (one, other)
    # Nor does a train sentence hide inside another split's response: dressed in capitals, JSON, hyphens or a longer sentence.
    clauses = [text for text in bases["train"] if len(text.split()) > 3 and "," not in text]
    assert len(clauses) > 1000
    for split in SPLITS[1:]:
        everything = " | ".join(normal(response) for response in responses[split])
        assert not [clause for clause in clauses if normal(clause) in everything], split


def test_sums_of_one_split_are_asked_in_no_other() -> None:
    asked = {
        split: {p.notes["requirement"] for kind in ("arithmetic", "word_problem") for p in taken(split, 600, kind)}
        for split in SPLITS[:4]
    }
    assert all(not asked[one] & asked[other] for one in asked for other in asked if one != other)


def test_wordings_are_many_and_held_out_ones_never_train() -> None:
    training = {template for worded in TEMPLATES.values() for template in worded.training}
    for kind, worded in TEMPLATES.items():
        assert len(set(worded.training)) >= 5, kind
        assert len(set(worded.held_out)) >= 3, kind
        assert not training & set(worded.held_out), kind
        # What keeps instructions apart: each names what its split owns.
        for template in worded.training + worded.held_out:
            assert re.search(r"{(about|fact|asker|a)}", template) or kind in ("arithmetic", "subject", "copy"), template
            assert "{req}" in template
    for kind in KNOWN_KINDS:
        for split, expected in zip(SPLITS, ("training", "training", "training", "held_out"), strict=False):
            heard = {labeled.notes["wording"] for labeled in taken(split, 200, kind)}
            assert heard == set(getattr(TEMPLATES[kind], expected)), (kind, split)
    for labeled in (*taken("train", 4000), *taken("wording", 4000), *taken("unseen", 4000)):
        assert not re.search(r"[{}#]", labeled.pair.instruction), labeled.pair.instruction
    # A phrase without a held-out form is a name ("French"); every other one is said anew.
    for kind, phrases in PHRASES.items():
        for value, worded in phrases.items():
            assert kind == "language" or not set(worded.training) & set(worded.held_out), (kind, value)


def test_unseen_kinds_are_in_no_other_split() -> None:
    assert len(KNOWN_KINDS) >= 12
    assert len(UNSEEN_KINDS) >= 3
    assert not set(KNOWN_KINDS) & set(UNSEEN_KINDS)
    for split in SPLITS:
        assert {p.kind for p in taken(split, 200)} == set(UNSEEN_KINDS if split == "unseen" else KNOWN_KINDS)


def test_same_seed_same_pairs_in_any_interpreter() -> None:
    assert taken("train", 500) == list(islice(generate("train", 0), 500))
    assert not {p.pair.id for p in taken("train", 500)} & {p.pair.id for p in taken("train", 500, seed=1)}
    code = "\n".join(
        (
            "import sys",
            "from selftrain.pairs.builtin import generate",
            "assert not {'sympy', 'torch', 'sklearn'} & set(sys.modules), 'heavy import'",
            "stream = generate('train', 0)",
            "print(*(next(stream).pair.id for _ in range(100)))",
        )
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [labeled.pair.id for labeled in taken("train", 100)]


def test_a_kind_gives_the_same_bases_alone_and_in_company() -> None:
    alone = taken("known", 40, "tense")
    assert alone == [p for p in taken("known", 20 * 2 * len(KNOWN_KINDS)) if p.kind == "tense"]


def test_no_pair_comes_twice() -> None:
    for split in SPLITS:
        count = 20_000 if split == "train" else 4000
        pairs = taken(split, count)
        assert len({labeled.pair.id for labeled in pairs}) == count, split
        assert len({labeled.group for labeled in pairs}) == count // 2, split


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_one_kind_alone_has_enough_to_give(kind: str) -> None:
    split: Split = "unseen" if kind in UNSEEN_KINDS else "known"
    assert len({labeled.pair.id for labeled in taken(split, 1000, kind)}) == 1000


def builtin_config(**pairs: Any) -> Config:
    return Config(
        name="x",
        pairs=PairsConfig(**{"validation": 2, "held_out": {"known": 42}, **pairs}),
        iterations=(Iteration(pairs=2, train=("sft",)),),
    )


@pytest.mark.parametrize(
    ("held_out", "kinds", "told"),
    [
        ({"wording": 40}, (), "pairs.held_out.wording = 40: .* has 21 kinds: give an even number of 42 or more"),
        ({"known": 43}, (), "pairs.held_out.known = 43"),
        ({"known": 42, "unseen": 8}, (), "pairs.held_out.unseen = 8: .* has 5 kinds: give an even number of 10 or more"),
        ({"known": 2}, ("tense", "topic"), "has 2 kinds: give an even number of 4 or more"),
        ({"unseen": 8}, ("tense",), "has 5 kinds"),
    ],
)
def test_a_held_out_split_that_would_leave_kinds_out_is_refused(
    held_out: Any, kinds: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        write_splits(builtin_config(held_out=held_out, kinds=kinds), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [42, 44, 100])
def test_a_held_out_split_of_any_size_covers_all_kinds_as_evenly_as_it_can(size: int, tmp_path: Path) -> None:
    write_splits(builtin_config(held_out={"wording": size}), tmp_path)
    kinds = Counter(one.kind for one in read_jsonl(tmp_path / "wording.jsonl", LabeledPair))
    assert kinds.keys() == set(KNOWN_KINDS)
    assert set(kinds.values()) <= {2 * (size // 42), 2 * (size // 42) + 2}


def test_kinds_that_are_used_up_are_refused_and_never_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An engine could not be asked the same twice at a time, and a pair judged twice would count twice."""
    again = taken("known", 42) * 2
    monkeypatch.setattr("selftrain.pairs.builtin.generate", lambda *_: iter(again))
    with pytest.raises(UserError, match="the builtin known pairs of these kinds are 42 and no more"):
        write_splits(builtin_config(held_out={"known": 44}), tmp_path)


def test_pairs_are_short() -> None:
    pairs = [p for split in SPLITS for p in taken(split, 4000)]
    lengths = [len(re.findall(r"\w+|[^\w\s]", " ".join(p.pair.model_dump(exclude_none=True).values()))) for p in pairs]
    print(f"\nwords and marks a pair: mean {np.mean(lengths):.0f}, most {max(lengths)}")
    assert max(lengths) <= 100


@pytest.mark.parametrize(
    ("split", "kinds", "message"),
    [
        ("train", ["rhyme"], "no kind 'rhyme' in split 'train'; choose from letter_case, keyword, "),
        ("train", ["tone"], "no kind 'tone' in split 'train'; choose from letter_case, keyword, "),
        ("unseen", ["keyword"], "no kind 'keyword' in split 'unseen'; choose from wrapping, tone, "),
        ("known", [], "no kinds in split 'known'; choose from "),
        ("test", None, "no split 'test'; choose from train, validation, known, wording, unseen"),
    ],
)
def test_what_does_not_exist_is_refused_at_once(split: Split, kinds: list[str] | None, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        generate(split, 0, kinds)
    assert "\n" not in str(caught.value)


def test_a_kind_that_does_not_tell_its_responses_apart_is_stopped() -> None:
    base = Base(x="upper", y="lower", first="LOUD", second="LOUDER", texts=("loud",), fields={"about": "", "fact": ""})
    with pytest.raises(AssertionError, match="letter_case: 'upper' does not tell 'LOUD' from 'LOUDER'"):
        _twins("letter_case", base, Draw("train", random.Random(0)), (("upper",), ("lower",)))


def test_the_sum_checker_runs_no_code() -> None:
    with pytest.raises(ValueError, match="is no sum"):
        check("arithmetic", "__import__('os').getpid() + 1", "1")
    with pytest.raises(ValueError, match="no kind 'rhyme'"):
        check("rhyme", "", "")


def test_banks_do_not_collide() -> None:
    said = (*topics.ADJECTIVES, *topics.NOUNS, *(" ".join(a) for a in topics.ACTIONS), *topics.TIMES, *topics.PLACES)
    common = set(words(" ".join((*said, *topics.EXTRAS, *topics.HEARD, *topics.NEAR))))
    pronouns = words("i we me us my our you your he she they him her them his their will is are am")
    assert not common & {*topics.KEYWORDS, *topics.NUMBER_WORDS, *pronouns}
    for banks in (topics.ADJECTIVES, topics.NOUNS, topics.TIMES, topics.PLACES, topics.KEYWORDS, *topics.CATEGORIES.values()):
        assert len(set(banks)) == len(banks)
    scenes = {t: set(words(" ".join(" ".join(b) for b in banks))) - topics.SMALL_WORDS for t, banks in topics.TOPICS.items()}
    verbs = set(words(" ".join(topics.TOPIC_VERBS)))
    for one, its in scenes.items():
        assert not its & verbs, one
        assert all(not its & scenes[other] for other in scenes if other != one), one


# --- Judges that do not read the instruction ---


def bag(text: str) -> Counter[str]:
    """Words, marks, their neighbours, and the length."""
    tokens = re.findall(r"\w+|[^\w\s]|\n", text)
    counts = Counter(tokens) + Counter(f"{one} {after}" for one, after in pairwise(tokens))
    return counts + Counter({"#letters": len(text), "#words": len(tokens), text[0]: 1, text[-1]: 1})


def side_by_side(labeled: LabeledPair) -> dict[str, int]:
    a, b = bag(labeled.pair.response_a), bag(labeled.pair.response_b)
    return {**{f"A {word}": n for word, n in a.items()}, **{f"B {word}": n for word, n in b.items()}}


def difference(labeled: LabeledPair) -> dict[str, int]:
    counts = bag(labeled.pair.response_a)
    counts.subtract(bag(labeled.pair.response_b))
    return dict(counts)


VIEWS: list[Callable[[LabeledPair], dict[str, int]]] = [side_by_side, difference]


def blind_verdicts(
    view: Callable[[LabeledPair], dict[str, int]], train: Sequence[LabeledPair], test: Sequence[LabeledPair]
) -> list[bool]:
    """Right or wrong, pair by pair, of a logistic regression that sees the responses alone."""
    model = make_pipeline(DictVectorizer(), MaxAbsScaler(), LogisticRegression(C=0.1, tol=0.01, max_iter=1000))
    model.fit([view(p) for p in train], [p.better for p in train])
    return [bool(said == p.better) for said, p in zip(model.predict([view(p) for p in test]), test, strict=True)]


def one_of_each(pairs: list[LabeledPair], seed: int) -> list[LabeledPair]:
    rng = random.Random(seed)
    return [pairs[i + rng.randrange(2)] for i in range(0, len(pairs), 2)]


@pytest.mark.parametrize("view", VIEWS)
def test_a_blind_classifier_is_a_coin(view: Callable[[LabeledPair], dict[str, int]]) -> None:
    test = taken("known", 2000)
    right = blind_verdicts(view, taken("train", 4000), test)
    print(f"\nblind classifier ({view.__name__}), twins together: {np.mean(right):.4f} of {len(test)}")
    for kind in KNOWN_KINDS:
        its = [r for r, p in zip(right, test, strict=True) if p.kind == kind]
        print(f"  {kind:16} {np.mean(its):.3f}  ({len(its)})")
    assert coin(sum(right), len(test))
    # Stronger than a coin: the slots are the same and the labels opposite, so a blind judge is right on one twin exactly.
    assert all(one != other for one, other in zip(right[::2], right[1::2], strict=True))


@pytest.mark.parametrize("view", VIEWS)
def test_a_blind_classifier_is_a_coin_where_twins_were_parted(view: Callable[[LabeledPair], dict[str, int]]) -> None:
    """Were there a clue in the responses, one twin of each base would be enough to learn it, and to show it."""
    train, test = one_of_each(taken("train", 8000), seed=1), one_of_each(taken("known", 4000), seed=2)
    right = blind_verdicts(view, train, test)
    print(f"\nblind classifier ({view.__name__}), one twin of each base: {np.mean(right):.4f} of {len(test)}")
    for kind in KNOWN_KINDS:
        its = [r for r, p in zip(right, test, strict=True) if p.kind == kind]
        print(f"  {kind:16} {np.mean(its):.3f}  ({len(its)})")
    assert coin(sum(right), len(test))


@pytest.mark.parametrize("view", VIEWS)
def test_a_planted_clue_would_be_found(view: Callable[[LabeledPair], dict[str, int]]) -> None:
    """The same classifier on one side of each base: it must see the clue that counterbalancing takes away."""
    train, test = (
        [p for p in taken(split, 2000, "sentence_count") if p.notes["requirement"] < p.notes["other"]]
        for split in ("train", "known")
    )
    assert np.mean(blind_verdicts(view, train, test)) > 0.9


def test_cheap_tricks_do_not_win_everywhere() -> None:
    """For information: what two instruction-reading tricks and the checker score. Ties count half."""
    scores: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for labeled in (*taken("known", 4000), *taken("unseen", 1000)):
        asked = set(words(labeled.pair.instruction))
        good, bad = chosen_and_rejected(labeled)
        shared = [len(asked & set(words(text))) for text in (good, bad)]
        trick = 0.5 if shared[0] == shared[1] else float(shared[0] > shared[1])
        longer = 0.5 if len(good) == len(bad) else float(len(good) > len(bad))
        requirement = labeled.notes["requirement"]
        oracle = float(check(labeled.kind, requirement, good) and not check(labeled.kind, requirement, bad))
        scores[labeled.kind].append((trick, longer, oracle))
    means = {kind: np.mean(rows, axis=0) for kind, rows in scores.items()}
    print("\nkind             shares more words   longer   checker")
    for kind, (trick, longer, oracle) in means.items():
        print(f"{kind:16} {trick:17.2f} {longer:8.2f} {oracle:9.2f}")
    overall = np.mean([row for rows in scores.values() for row in rows], axis=0)
    print(f"{'all':16} {overall[0]:17.2f} {overall[1]:8.2f} {overall[2]:9.2f}")
    assert overall[1] == 0.5
    assert overall[2] == 1.0
    assert overall[0] < 0.75
    assert sum(trick < 0.9 for trick, _, _ in means.values()) > len(means) // 2
