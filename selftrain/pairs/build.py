"""`evalplanner data build`: from prompts or published preferences to labelled, cleaned, split pairs, and a card that says how.

    <out>/<name>/stamp.json, splits.json     what the build was started with, and dealt by; another recipe is refused
      source-1/                              what the engine wrote, problems and drops for the record
        clean/pairs.jsonl, removed.jsonl     what hygiene kept, and every pair that it left out with its reason
        source.json                          its card, written last: the source is done
      <split>.jsonl                          LabeledPair a line, better response as A in every other one
      card.json, README.md                   the data card

Each step is skipped once its file is there; asked prompts are never asked again. A split takes from each source by its weight, and no instruction
is in two splits.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt, model_validator

from planner.engines.base import Engine
from planner.errors import UserError
from planner.models import EMBEDDED, model_digest, resolve_model
from planner.records import LabeledPair, Record, digest
from planner.store import read_jsonl, write_jsonl, write_text
from prompts import text_digest
from selftrain.config import EngineConfig, Seed, load_record
from selftrain.data_config import ENGINE_SOURCES, HygieneConfig, Source, SourceConfig
from selftrain.pairs import sources
from selftrain.pairs.card import Card, clean_source, markdown, read_card
from selftrain.pairs.hygiene import balanced, instruction_key
from selftrain.pairs.near import NearDuplicates
from selftrain.stamp import hold_against

Open = Callable[[EngineConfig, str, int], Engine]


class WeightedSource(SourceConfig):
    """One of a build's sources."""

    source: Source
    path: str
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Its share of every split, beside the other sources' (paper: 2,500 + 2,500, that is 1 and 1)."""


class DataConfig(Record):
    """A whole build: one TOML file plus `key=value` overrides, as for a run."""

    name: Annotated[str, Field(pattern=r"^[\w-][\w.-]*$")]
    out: str = "data"
    seed: Seed = 2
    model: str = EMBEDDED
    """Who writes the responses of `math`, `noisy` and `constraints`."""
    engine: EngineConfig = EngineConfig()
    sources: tuple[WeightedSource, ...]
    hygiene: HygieneConfig = HygieneConfig()
    splits: dict[Annotated[str, Field(pattern=r"^[\w-]+$")], PositiveInt]
    """Pairs in each split, in the order in which they are dealt, e.g. { known = 200, validation = 300, train-1 = 5000 }."""

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if not self.sources or not self.splits:
            raise ValueError("a build needs at least one [[sources]] entry and one split in [splits]")
        return self

    @property
    def folder(self) -> Path:
        return Path(self.out) / self.name

    def recipe(self) -> dict[str, Any]:
        """What a resumed build must share with its first attempt; `dealt` besides, once the splits are."""
        fields = self.model_dump(mode="json", exclude={"out", "engine", "splits"})
        for source in fields["sources"]:
            del source["weight"]
        fields["engine"] = {"kind": self.engine.kind, "dtype": self.engine.dtype, "max_model_len": self.engine.max_model_len}
        return fields

    def dealt(self) -> dict[str, Any]:
        """What the splits are made by: as long as there were too few pairs for them, it may still change."""
        return {"splits": self.splits, "weights": [source.weight for source in self.sources]}


def load_data_config(path: str | Path, overrides: list[str] | None = None) -> DataConfig:
    """A build's config, as `load_record` reads it."""
    return load_record(path, DataConfig, overrides)


def build(config: DataConfig, open_engine: Open, say: Callable[[str], None] = print) -> Card:
    """Do what is still owed of a build. One engine, opened only where a source needs it, closed before anything is compared.

    Raises:
        UserError: another recipe in the same folder, a bad row, or too few pairs for the splits.
    """
    _check_stamp(config)
    folders = [config.folder / f"source-{number}" for number in range(1, len(config.sources) + 1)]
    _ask(config, folders, open_engine)
    cards = []
    for source, folder in zip(config.sources, folders, strict=True):
        clean_source(source, config.hygiene, folder, config.seed)
        cards.append(read_card(folder))
        steps = (
            f"{name.replace('_', ' ')} {count:,}" for name, count in (*cards[-1].made.items(), *cards[-1].hygiene.counts.items())
        )
        say(f"{source.source} · {' · '.join(steps)}")
    repeats = repeats_across(config, folders)
    place = deal(config, folders, repeats)
    hold_against(config.folder / "splits.json", config.dealt())
    written = _write_splits(config, folders, place)
    card = Card(name=config.name, seed=config.seed, model=config.model, splits=written, sources=tuple(cards), repeats=len(repeats))
    write_text(config.folder / "README.md", markdown(card))
    write_text(config.folder / "card.json", card.model_dump_json(indent=2))
    say(f"{config.folder} · {' · '.join(f'{name} {count:,}' for name, count in written.items())}")
    return card


def _ask(config: DataConfig, folders: list[Path], open_engine: Open) -> None:
    asked = [
        (source, folder)
        for source, folder in zip(config.sources, folders, strict=True)
        if source.source in ENGINE_SOURCES and not (folder / ".asked").exists()
    ]
    if not asked:
        return
    for source, _ in asked:
        sources.check(source)
    engine = open_engine(config.engine, config.model, config.seed)
    try:
        for source, folder in asked:
            sources.ask(source, engine, folder)
            write_text(folder / ".asked", "")
    finally:
        engine.close()


def repeats_across(config: DataConfig, folders: list[Path]) -> frozenset[int]:
    """Keys of instructions that nearly repeat one of an earlier source: cleaning compares those of one source, and splits are dealt over all."""
    if len(folders) < 2 or not config.hygiene.near_duplicates:
        return frozenset()
    near = NearDuplicates(config.folder / "signatures.bin")
    keys: dict[int, tuple[int, int]] = {}  # an instruction's key -> its source, and where its first pair stands there
    for number, folder in enumerate(folders):
        offset = 0
        with (folder / "clean" / "pairs.jsonl").open("rb") as lines:
            for line in lines:
                one = LabeledPair.model_validate_json(line)
                if (key := instruction_key(one)) not in keys:
                    keys[key] = (number, offset)
                    near.add(one.pair.question)
                offset += len(line)
    order = list(keys)

    def text(number: int) -> str:
        source, offset = keys[order[number]]
        with (folders[source] / "clean" / "pairs.jsonl").open("rb") as lines:
            lines.seek(offset)
            return LabeledPair.model_validate_json(lines.readline()).pair.question

    return frozenset(order[later] for later in near.repeats(config.hygiene.near_duplicates, text))


def deal(config: DataConfig, folders: list[Path], repeats: frozenset[int] = frozenset()) -> dict[int, tuple[int, str]]:
    """Which source and split each instruction belongs to: a shuffle by hash, dealt whole until every split has its share of every source.
    `repeats` are left out.

    Raises:
        UserError: a source with too few pairs.
    """
    total = sum(source.weight for source in config.sources)
    place: dict[int, tuple[int, str]] = {}
    for number, (source, folder) in enumerate(zip(config.sources, folders, strict=True)):
        sizes = Counter(instruction_key(one) for one in read_jsonl(folder / "clean" / "pairs.jsonl", LabeledPair))
        # An instruction of an earlier source is not this one's as well.
        free = (key for key in sizes if key not in place and key not in repeats)
        dealt = iter(sorted(free, key=lambda key: digest("deal", str(config.seed), str(key))))
        for split, size in config.splits.items():
            share, have = _share(size, source.weight, total, number, config), 0
            while have < share:
                key = next(dealt, None)
                if key is None:
                    raise UserError(
                        f"source {number + 1} ({source.source}, {source.path}) gives {sum(sizes.values()):,} pairs of {len(sizes):,} instructions, too "
                        f"few for its share of the splits: lower [splits] or its weight, and this build goes on; or draw more (rows, candidates, "
                        "pairs_per_prompt) under another name="
                    )
                place[key] = (number, split)
                have += sizes[key]
    return place


def _share(size: int, weight: float, total: float, number: int, config: DataConfig) -> int:
    """A source's pairs in a split; what rounding leaves goes to the first sources."""
    shares = [int(size * source.weight / total) for source in config.sources]
    left = size - sum(shares)
    return shares[number] + (number < left)


def _write_splits(config: DataConfig, folders: list[Path], place: dict[int, tuple[int, str]]) -> dict[str, int]:
    """Every split's file, its sources one after the other, gold positions balanced."""
    total = sum(source.weight for source in config.sources)
    written = dict.fromkeys(config.splits, 0)
    for split, size in config.splits.items():

        def pairs(split: str = split, size: int = size) -> Iterator[LabeledPair]:
            for number, (source, folder) in enumerate(zip(config.sources, folders, strict=True)):
                mine = (
                    one
                    for one in read_jsonl(folder / "clean" / "pairs.jsonl", LabeledPair)
                    if place.get(instruction_key(one)) == (number, split)
                )
                # The last instruction of a share may hold a pair more than it needs.
                yield from islice(mine, _share(size, source.weight, total, number, config))

        written[split] = write_jsonl(config.folder / f"{split}.jsonl", balanced(pairs(), config.seed))
    return written


def _check_stamp(config: DataConfig) -> None:
    """Write the stamp of a new build, or hold this attempt against the old one."""
    needs_model = any(source.source in ENGINE_SOURCES for source in config.sources) and config.engine.kind == "vllm"
    recipe = {
        **config.recipe(),
        "prompt_text": text_digest("data"),
        "model_files": model_digest(resolve_model(config.model)) if needs_model else None,
        "files": {path: file_digest(Path(path)) for path in _paths(config)},
    }
    hold_against(config.folder / "stamp.json", recipe)
    if (config.folder / "splits.json").exists():
        hold_against(config.folder / "splits.json", config.dealt())


def _paths(config: DataConfig) -> list[str]:
    """Everything that a build reads: sources, the conversations of some, benchmarks."""
    read = [path for source in config.sources for path in (source.path, source.prompts) if path is not None]
    return list(dict.fromkeys([*read, *config.hygiene.benchmarks]))


def file_digest(path: Path) -> str:
    """Of a file's bytes, or of those of every file in a folder; nothing for a hub id or a glob."""
    if path.is_dir():
        return digest(
            *(
                part
                for file in sorted(path.rglob("*"))
                if file.is_file()
                for part in (str(file.relative_to(path)), file_digest(file))
            )
        )
    if not path.is_file():
        return "hub"
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
