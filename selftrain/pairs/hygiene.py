"""What is done to every source's pairs before they are split: filters, duplicates, decontamination, balance.

    clean(pairs, HygieneConfig(), folder, seed)  ->  Cleaned: folder/pairs.jsonl, folder/removed.jsonl, and counts at every step

Streaming, in two passes over a file on disk: the first filters and looks for benchmark overlaps, the second leaves out instructions that repeat an
earlier one. Memory is a few integers a pair and an instruction, not their text.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from planner.records import LabeledPair, Record, digest, flip, uniform
from planner.store import read_jsonl, write_jsonl
from selftrain.data_config import HygieneConfig
from selftrain.pairs.benchmark_overlap import Benchmarks
from selftrain.pairs.languages import language, normal
from selftrain.pairs.near import NearDuplicates

_LANGUAGE_SHOWS = 200
"""Characters from which a text's language is told by itself."""
_REFUSAL = re.compile(
    r"^\W*(?:(?:i'?m|i am)\s+(?:really |very |so |truly |deeply )?(?:sorry|afraid)\b(?=.{0,80}\b(?:can'?t|cannot|unable|not able|won'?t)\b)|sorry,? (?:but )?i (?:can'?t|cannot|am unable|won'?t)|"
    r"i (?:can'?t|cannot|can not|won'?t|will not|am unable to|am not able to) (?:help|assist|provide|comply|fulfil?l|do that|support|engage|create|generate|answer)|"
    r"as an? (?:ai|artificial intelligence|language model)\b.{0,80}\b(?:can'?t|cannot|unable|not able|don'?t|do not)\b|unfortunately,? i (?:can'?t|cannot|am unable))",
    re.IGNORECASE | re.DOTALL,
)


class Removed(Record):
    """A pair that was left out, and why."""

    reason: str
    detail: str = ""
    """What it overlaps with or repeats."""
    source: str
    pair_id: str
    instruction: str


class Cleaned(Record):
    """What became of a source's pairs."""

    counts: dict[str, int]
    """`raw`, then one entry for each reason of removal, then `kept`."""
    longer_chosen_raw: float | None
    """How often the longer response is chosen, over pairs whose lengths differ: as it came, and as it goes."""
    longer_chosen: float | None
    benchmark_files: int
    benchmark_prompts: int


def clean(pairs: Iterable[LabeledPair], config: HygieneConfig, folder: Path, seed: int) -> Cleaned:
    """Write `pairs.jsonl` and `removed.jsonl`, in the order in which the pairs came.

    Raises:
        UserError: a benchmark that is not there, or a full disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pass_ = _Pass(config, folder)
    filtered = folder / "filtered.jsonl"
    write_jsonl(filtered, pass_.filter(pairs))
    repeats = pass_.repeats(filtered)
    surplus = _surplus(filtered, repeats, pass_, seed) if config.balance_length else frozenset()
    write_jsonl(folder / "pairs.jsonl", pass_.keep(filtered, repeats, surplus))
    write_jsonl(folder / "removed.jsonl", pass_.removed(filtered, repeats, surplus))
    filtered.unlink()
    (folder / "removed-1.jsonl").unlink()
    return Cleaned(
        counts={name: pass_.counts[name] for name in ("raw", *sorted(pass_.counts.keys() - {"raw", "kept"}), "kept")},
        longer_chosen_raw=pass_.before.rate, longer_chosen=pass_.after.rate,
        benchmark_files=len(pass_.benchmarks.files), benchmark_prompts=pass_.benchmarks.prompts,
    )  # fmt: skip


def refuses(response: str) -> bool:
    """Whether a response begins by declining to answer."""
    return _REFUSAL.match(response[:300]) is not None


class LongerChosen:
    """How often the longer response is the chosen one."""

    def __init__(self) -> None:
        self._longer = self._differ = 0

    def count(self, one: LabeledPair) -> None:
        longer = chosen_is_longer(one)
        self._differ += longer is not None
        self._longer += bool(longer)

    @property
    def rate(self) -> float | None:
        return self._longer / self._differ if self._differ else None


def chosen_is_longer(one: LabeledPair) -> bool | None:
    """None where the responses are as long as each other, or neither is chosen."""
    a, b = len(one.pair.response_a), len(one.pair.response_b)
    return None if a == b or one.better == "tie" else (a > b) == (one.better == "A")


class _Pass:
    """The counts and indexes that the passes over one source share."""

    def __init__(self, config: HygieneConfig, folder: Path) -> None:
        self.config, self._folder = config, folder
        self.benchmarks = Benchmarks(config.benchmarks, config.ngram)
        self.counts: Counter[str] = Counter(raw=0, kept=0)
        self.before, self.after = LongerChosen(), LongerChosen()
        self._near = NearDuplicates(folder / "signatures.bin") if config.near_duplicates else None
        self._numbers: dict[int, int] = {}  # an instruction's hash -> its number, in the order of their first pairs
        self.number_of_line = array("I")  # instruction of each line of filtered.jsonl
        self._offsets = array("Q")  # an instruction's number -> where its first pair stands in filtered.jsonl

    def filter(self, pairs: Iterable[LabeledPair]) -> Iterator[LabeledPair]:
        """First pass: what a pair's own text decides, and exact duplicates."""
        seen: set[int] = set()
        offset = 0
        verdicts: dict[int, tuple[str, str]] = {}  # of instructions that were found wanting
        with (self._folder / "removed-1.jsonl").open("w", encoding="utf-8") as removed:
            for one in pairs:
                self.counts["raw"] += 1
                self.before.count(one)
                key = instruction_key(one)
                reason, detail = self._fault(one, key, seen, verdicts)
                if reason:
                    self.counts[reason] += 1
                    removed.write(_removed(one, reason, detail).model_dump_json() + "\n")
                    continue
                if key not in self._numbers:
                    self._numbers[key] = len(self._numbers)
                    self._offsets.append(offset)
                    if self._near:
                        self._near.add(one.pair.question)
                self.number_of_line.append(self._numbers[key])
                offset += len(one.model_dump_json().encode()) + 1
                yield one

    def _fault(self, one: LabeledPair, instruction: int, seen: set[int], verdicts: dict[int, tuple[str, str]]) -> tuple[str, str]:
        pair, config = one.pair, self.config
        identity = int(unordered_id(one), 16)
        if identity in seen:
            return "exact_duplicate", ""
        seen.add(identity)
        lengths = [len(text.strip()) for text in (pair.instruction, pair.response_a, pair.response_b)]
        if min(lengths) < config.min_characters:
            return "too_short", ""
        if max(lengths) > config.max_characters:
            return "too_long", ""
        if config.drop_refusals and one.better != "tie" and refuses(pair.response_a if one.better == "A" else pair.response_b):
            return "refusal", ""
        if instruction in self._numbers:
            return "", ""  # its instruction has passed already
        if instruction not in verdicts:
            found = self._instruction_fault(one)
            if found[0]:
                verdicts[instruction] = found
            return found
        return verdicts[instruction]

    def _instruction_fault(self, one: LabeledPair) -> tuple[str, str]:
        overlap = self.benchmarks.find(one.pair.question)
        if overlap is not None:
            return "benchmark_overlap", f"{overlap.benchmark}: {overlap.words}"
        if self.config.languages:
            texts = (one.pair.question, one.pair.response_a, one.pair.response_b)
            # A few words may be of any language: short texts count together only.
            long = [text for text in texts if len(text) >= _LANGUAGE_SHOWS]
            wrong = [found for text in ("\n".join(texts), *long) if (found := language(text)) not in self.config.languages]
            if wrong:
                return "language", wrong[0]
        return "", ""

    def repeats(self, filtered: Path) -> dict[int, int]:
        """Numbers of instructions that repeat an earlier one."""
        if self._near is None:
            return {}
        with filtered.open("rb") as lines:

            def text(number: int) -> str:
                lines.seek(self._offsets[number])
                return LabeledPair.model_validate_json(lines.readline()).pair.question

            return self._near.repeats(self.config.near_duplicates, text)

    def keep(self, filtered: Path, repeats: dict[int, int], surplus: frozenset[int]) -> Iterator[LabeledPair]:
        for line, one in enumerate(read_jsonl(filtered, LabeledPair)):
            if self.number_of_line[line] not in repeats and line not in surplus:
                self.counts["kept"] += 1
                self.after.count(one)
                yield one

    def removed(self, filtered: Path, repeats: dict[int, int], surplus: frozenset[int]) -> Iterator[Removed]:
        yield from read_jsonl(self._folder / "removed-1.jsonl", Removed)
        for line, one in enumerate(read_jsonl(filtered, LabeledPair)):
            number = self.number_of_line[line]
            if number in repeats:
                self.counts["near_duplicate"] += 1
                yield _removed(one, "near_duplicate", f"instruction number {repeats[number] + 1}")
            elif line in surplus:
                self.counts["length_balance"] += 1
                yield _removed(one, "length_balance", "")


def _surplus(filtered: Path, repeats: dict[int, int], pass_: _Pass, seed: int) -> frozenset[int]:
    """Lines to leave out so that the longer response is chosen as often as not."""
    sides: dict[bool, list[tuple[str, int]]] = {True: [], False: []}
    for line, one in enumerate(read_jsonl(filtered, LabeledPair)):
        longer = chosen_is_longer(one)
        if longer is not None and pass_.number_of_line[line] not in repeats:
            sides[longer].append((digest("length", str(seed), one.pair.id), line))
    many, few = sorted(sides.values(), key=len, reverse=True)
    return frozenset(line for _, line in sorted(many)[len(few) :])


def _removed(one: LabeledPair, reason: str, detail: str) -> Removed:
    return Removed(reason=reason, detail=detail, source=one.source, pair_id=one.pair.id, instruction=one.pair.instruction[:300])


def instruction_key(one: LabeledPair) -> int:
    """One number for an instruction, whatever its case, spacing and punctuation."""
    return int(digest(normal(one.pair.question)), 16)


def unordered_id(one: LabeledPair) -> str:
    """A pair's identity whichever response stands first."""
    return digest(one.pair.question, *sorted((one.pair.response_a, one.pair.response_b)))


def balanced(pairs: Iterable[LabeledPair], seed: int) -> Iterator[LabeledPair]:
    """The pairs with the better response as A in every other one of them: of two neighbours, a hash says which."""
    first: Any = None
    for number, one in enumerate(pairs):
        if number % 2 == 0:
            first = "A" if uniform("slot", str(seed), one.pair.id) < 0.5 else "B"
        wanted = first if number % 2 == 0 else flip(first)
        yield one if one.better in (wanted, "tie") else swapped(one)


def swapped(one: LabeledPair) -> LabeledPair:
    """The same judgment of the swapped pair; notes of one response (`*_a`, `*_b`) follow it."""
    renamed = {
        f"{key[:-1]}{'b' if key.endswith('_a') else 'a'}" if key.endswith(("_a", "_b")) else key: value
        for key, value in one.notes.items()
    }
    return one.model_copy(update={"pair": one.pair.swapped(), "better": flip(one.better), "notes": renamed})
