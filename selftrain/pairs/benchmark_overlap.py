"""Decontamination: which training instructions share words with a benchmark's prompts.

An n-gram of words (13 by default) found in both is an overlap; a benchmark prompt shorter than that must be found whole. Case, punctuation and
layout do not count. Only prompts are indexed, by the names that benchmarks give them, because a shared answer gives nothing away.
Memory is one integer an n-gram of the benchmarks, whatever the size of the training data.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from planner.errors import UserError
from selftrain.pairs.languages import words
from selftrain.pairs.table import open_rows

_PROMPT_KEYS = frozenset(
    {"prompt", "instruction", "input", "question", "problem", "content", "chosen_instruction", "prompt_to_repeat", "text"}
)
_NESTED = frozenset({"turns", "conversation", "messages"})
_FILES = (".jsonl", ".json", ".csv", ".parquet")
_TOO_COMMON = 5
"""A whole prompt must have this many words to count as found: "Continue." is in every data set."""


class Overlap(NamedTuple):
    """Where an instruction was found, and the words that it shares."""

    benchmark: str
    words: str


class Benchmarks:
    """The n-grams of all prompts of some benchmark files.

    Raises:
        UserError: a path that leads to no file, or a file in which no prompt was found.
    """

    def __init__(self, paths: tuple[str, ...], ngram: int) -> None:
        self._ngram = ngram
        self._grams: dict[int, int] = {}
        self._short: dict[int, int] = {}
        self.files: list[Path] = []
        self.prompts = 0
        for path in paths:
            before = self.prompts
            for file in _files(path):
                found = 0
                for prompt in _prompts(file):
                    found += 1
                    self._add(words(prompt), len(self.files))
                self.prompts += found
                # A folder also holds scores and outputs, which have no prompts and are no benchmark.
                self.files += [file] if found else []
            if self.prompts == before:
                keys = ", ".join(sorted(_PROMPT_KEYS))
                raise UserError(f"hygiene.benchmarks: {path} holds no prompt ({keys}); leave it out, or give the file that does")

    def find(self, instruction: str) -> Overlap | None:
        """The first overlap of an instruction; None where there is none."""
        said = words(instruction)
        for gram in _grams(said, self._ngram):
            found = self._grams.get(_hash(gram))
            if found is not None:
                return Overlap(str(self.files[found]), " ".join(gram))
        # A short prompt inside a long instruction is no overlap; as the instruction itself it is.
        short = self._short.get(_hash(said))
        if short is not None:
            return Overlap(str(self.files[short]), " ".join(said))
        return None

    def _add(self, words: list[str], index: int) -> None:
        if len(words) < self._ngram:
            if len(words) >= _TOO_COMMON:
                self._short.setdefault(_hash(words), index)
            return
        for gram in _grams(words, self._ngram):
            self._grams.setdefault(_hash(gram), index)


def _grams(words: list[str], size: int) -> Iterator[list[str]]:
    return (words[at : at + size] for at in range(len(words) - size + 1))


def _hash(words: list[str]) -> int:
    # Differs from process to process; nothing of it is kept.
    return hash(tuple(words))


def _files(path: str) -> list[Path]:
    folder = Path(path)
    found = (
        sorted(folder.rglob("*"))
        if folder.is_dir()
        else [folder]
        if folder.is_file()
        else [Path(one) for one in sorted(glob.glob(path, recursive=True))]
    )
    files = [one for one in found if one.is_file() and one.suffix in _FILES]
    if not files:
        raise UserError(f"hygiene.benchmarks: {path} leads to no {', '.join(_FILES)} file; give one that does, or leave it out")
    return files


def _prompts(file: Path) -> Iterator[str]:
    if file.suffix == ".json":
        try:
            yield from _of({"messages": [json.loads(file.read_bytes())]})
        except ValueError as error:
            raise UserError(f"{file} is not JSON ({error}); leave it out of hygiene.benchmarks, or mend it") from None
        return
    for _, row in open_rows(str(file)):
        yield from _of(row)


def _of(row: dict[str, Any]) -> Iterator[str]:
    for key, value in row.items():
        if isinstance(value, str) and key in _PROMPT_KEYS:
            yield value
        elif isinstance(value, list):
            # Lists of objects are a benchmark's rows, by kind or by subset; bare texts in one are prompts only where it is a conversation.
            for entry in value:
                if isinstance(entry, dict):
                    yield from _of(entry)
                elif isinstance(entry, list):
                    yield from _of({key: entry})
                elif isinstance(entry, str) and key in _NESTED:
                    yield entry
