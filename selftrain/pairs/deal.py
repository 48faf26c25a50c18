"""Dealing a build's cleaned pairs out over its splits: how many each source gives to each, and which instruction goes where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from planner.errors import UserError
from planner.records import LabeledPair, digest
from planner.store import read_jsonl, write_jsonl
from selftrain.pairs.build_config import DataConfig
from selftrain.pairs.hygiene import balanced, instruction_key
from selftrain.pairs.near import NearDuplicates

Place = tuple[int, str]
"""A source, by its place in the config, and a split."""


def shares(config: DataConfig) -> dict[Place, int]:
    """Pairs that each source gives to each split, by its weight; what rounding leaves is given by the first sources."""
    weights = [source.weight for source in config.sources]
    found: dict[Place, int] = {}
    for split, size in config.splits.items():
        whole = [int(size * weight / sum(weights)) for weight in weights]
        left = size - sum(whole)
        found |= {(source, split): pairs + (source < left) for source, pairs in enumerate(whole)}
    return found


def repeats_across(config: DataConfig, files: Sequence[Path]) -> frozenset[int]:
    """Keys of instructions that nearly repeat one of an earlier source: cleaning compares those of one source, and splits are dealt over all.

    Args:
        files: cleaned pairs, a source each.
    """
    if len(files) < 2 or not config.hygiene.near_duplicates:
        return frozenset()
    near = NearDuplicates(config.folder / "signatures.bin")
    keys: dict[int, tuple[Path, int]] = {}  # an instruction's key -> where its first pair stands
    for file in files:
        offset = 0
        with file.open("rb") as lines:
            for line in lines:
                one = LabeledPair.model_validate_json(line)
                if (key := instruction_key(one)) not in keys:
                    keys[key] = (file, offset)
                    near.add(one.pair.question)
                offset += len(line)
    order = list(keys)

    def text(number: int) -> str:
        file, offset = keys[order[number]]
        with file.open("rb") as lines:
            lines.seek(offset)
            return LabeledPair.model_validate_json(lines.readline()).pair.question

    return frozenset(order[later] for later in near.repeats(config.hygiene.near_duplicates, text))


def deal(config: DataConfig, files: Sequence[Path], repeats: frozenset[int]) -> dict[int, Place]:
    """Where each instruction belongs, by its key: shuffled by hash and dealt whole, until every split has its share of every source.

    Args:
        files: cleaned pairs, a source each.
        repeats: instructions that belong nowhere.

    Raises:
        UserError: a source with too few pairs.
    """
    wanted = shares(config)
    places: dict[int, Place] = {}
    for number, (source, file) in enumerate(zip(config.sources, files, strict=True)):
        sizes = Counter(instruction_key(one) for one in read_jsonl(file, LabeledPair))
        # An instruction of an earlier source is not this one's as well.
        free = (key for key in sizes if key not in places and key not in repeats)
        dealt = iter(sorted(free, key=lambda key: digest("deal", str(config.seed), str(key))))
        for split in config.splits:
            have = 0
            while have < wanted[number, split]:
                key = next(dealt, None)
                if key is None:
                    raise UserError(
                        f"source {number + 1} ({source.source}, {source.path}) gives {sum(sizes.values()):,} pairs of {len(sizes):,} instructions, too "
                        f"few for its share of the splits: lower [splits] or its weight, and this build goes on; or draw more (rows, candidates, "
                        "pairs_per_prompt) under another name="
                    )
                places[key] = (number, split)
                have += sizes[key]
    return places


def write_splits(config: DataConfig, files: Sequence[Path], places: dict[int, Place]) -> dict[str, int]:
    """Every split's file, its sources one after the other, gold positions balanced; returns how many pairs each holds."""
    wanted = shares(config)

    def dealt(split: str) -> Iterator[LabeledPair]:
        for number, file in enumerate(files):
            mine = (one for one in read_jsonl(file, LabeledPair) if places.get(instruction_key(one)) == (number, split))
            # The last instruction of a share may hold a pair more than it needs.
            yield from islice(mine, wanted[number, split])

    return {split: write_jsonl(config.folder / f"{split}.jsonl", balanced(dealt(split), config.seed)) for split in config.splits}
