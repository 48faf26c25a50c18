"""Near-duplicate instructions among millions, in little memory: MinHash signatures on disk, compared only where a band of them agrees.

The signatures are datasketch's, of word 3-grams. They lie in a file that is mapped into memory; bands are sorted one at a time, so nothing
is held but a few arrays of one number an instruction. Candidates that share a band are then compared exactly, by the Jaccard index of
their 3-grams, with the first of their group. `HeldOut` keeps a few instructions in memory and compares with each that shares a band.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import xxhash

from planner.records import digest
from selftrain.pairs.languages import normal, words

PERMUTATIONS, BANDS = 32, 8
"""Four values a band: two instructions that are 80 % alike share one of eight with probability 0.985, 50 % alike with 0.40."""
_BLOCK = 4096
"""Signatures written at a time."""


def shingles(text: str) -> set[int]:
    """Hashes of a text's word 3-grams; of its words where it has fewer than three. 32 bits, as MinHash takes them."""
    found = words(text)
    grams = [" ".join(found[at : at + 3]) for at in range(len(found) - 2)] or [" ".join(found)]
    return {xxhash.xxh32_intdigest(gram.encode()) for gram in grams}


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)


def _signature(grams: set[int]) -> Any:
    """A MinHash of a text's 3-grams."""
    one = _empty().copy()
    one.update_batch(list(grams))
    return one


@cache
def _empty() -> Any:
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=lambda value: value)


class HeldOut:
    """Instructions that may not train: `text in held_out` finds them in any case, spacing and punctuation, and nearly.

    Args:
        threshold: the Jaccard index of 3-grams from which an instruction counts as held out; 0: the same words only.
    """

    def __init__(self, instructions: Iterable[str], threshold: float) -> None:
        from datasketch import MinHashLSH

        self._threshold = threshold
        self._bands = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, PERMUTATIONS // BANDS))
        self._grams: dict[str, set[int]] = {}
        for text in instructions:
            key = digest(normal(text))
            if key not in self._grams:
                self._grams[key] = shingles(text)
                self._bands.insert(key, _signature(self._grams[key]))

    def __contains__(self, text: str) -> bool:
        if digest(normal(text)) in self._grams:
            return True
        if not self._threshold:
            return False
        grams = shingles(text)
        return any(jaccard(grams, self._grams[key]) >= self._threshold for key in self._bands.query(_signature(grams)))


class NearDuplicates:
    """Takes instructions one by one, and says in the end which of them repeat an earlier one.

    Args:
        scratch: a file for the signatures; 128 bytes an instruction.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._file = scratch.open("wb")
        self._block: list[Any] = []
        self.count = 0

    def add(self, text: str) -> None:
        """Take the next instruction; its number is its place in the order of calls."""
        self._block.append(_signature(shingles(text)).hashvalues)
        self.count += 1
        if len(self._block) == _BLOCK:
            self._flush()

    def repeats(self, threshold: float, text: Callable[[int], str]) -> dict[int, int]:
        """Number of each near-duplicate -> number of the earlier instruction that it repeats.

        Args:
            text: reads an instruction again by its number.
        """
        self._flush()
        self._file.close()
        found: dict[int, int] = {}
        if self.count:
            for later, earlier in self._candidates():
                # What an instruction repeats must itself have stayed, or a chain of small changes would take all of it away.
                if (
                    later not in found
                    and earlier not in found
                    and jaccard(shingles(text(later)), shingles(text(earlier))) >= threshold
                ):
                    found[later] = earlier
        self._scratch.unlink()
        return found

    def _candidates(self) -> Iterator[tuple[int, int]]:
        """(later, earlier) of instructions that share a band, the earlier one being the first of its group; by later, ascending, band by band."""
        import numpy as np

        signatures = np.memmap(self._scratch, dtype=np.uint32, mode="r", shape=(self.count, PERMUTATIONS))
        width = PERMUTATIONS // BANDS
        for band in range(BANDS):
            # (instructions,): the band's values as one number each
            keys = np.zeros(self.count, dtype=np.uint64)
            for column in range(band * width, (band + 1) * width):
                keys = keys * np.uint64(0x9E3779B97F4A7C15) + signatures[:, column].astype(np.uint64)
            order = np.argsort(keys, kind="stable")  # equal keys keep the order in which they came
            ordered = keys[order]
            same = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
            starts = np.searchsorted(ordered, ordered[same], side="left")
            yield from zip(order[same].tolist(), order[starts].tolist(), strict=True)

    def _flush(self) -> None:
        import numpy as np

        if self._block:
            self._file.write(np.asarray(self._block, dtype=np.uint32).tobytes())
            self._block = []
