"""`evalplanner data build`: from prompts or published preferences to labelled, cleaned, split pairs, and a card that says how.

    <out>/<name>/stamp.json, splits.json     what the build was started with, and dealt by; another recipe is refused
      source-1/                              what the engine wrote, problems and drops for the record
        clean/pairs.jsonl, removed.jsonl     what hygiene kept, and every pair that it left out with its reason
        source.json                          its card
      .asked, .cleaned                     markers: the engine is through with the source, the source is done
      <split>.jsonl                          LabeledPair a line, better response as A in every other one
      card.json, README.md                   the data card

Each step is skipped once its marker is there, and what it left is held against the marker by size; asked prompts are never asked again. A split takes from each source by its weight, and no instruction
is in two splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from planner.engines.base import Engine
from planner.lock import lock_run
from planner.models import model_digest, resolve_model
from planner.records import digest
from planner.store import make_folder, write_text
from prompts import text_digest
from selftrain.config import EngineConfig
from selftrain.data_config import ENGINE_SOURCES
from selftrain.markers import check_marker, write_marker
from selftrain.pairs import sources
from selftrain.pairs.build_config import DataConfig
from selftrain.pairs.card import CLEANED, Card, clean_source, markdown, read_card
from selftrain.pairs.deal import deal, repeats_across, write_splits
from selftrain.stamp import hold_against

ASKED = ".asked"
"""Marker, in a source's folder, of what the engine wrote for it."""
Open = Callable[[EngineConfig, str, int], Engine]


def build(config: DataConfig, open_engine: Open, say: Callable[[str], None] = print) -> Card:
    """Do what is still owed of a build. One engine, opened only where a source needs it, closed before anything is compared.

    Raises:
        UserError: another recipe in the same folder, a bad row, too few pairs for the splits, a file that is not as its step left it,
            or another process is at the same build.
    """
    make_folder(config.folder)
    with lock_run(config.folder):
        return _build(config, open_engine, say)


def _build(config: DataConfig, open_engine: Open, say: Callable[[str], None]) -> Card:
    _check_stamp(config)
    folders = [config.folder / f"source-{number}" for number in range(1, len(config.sources) + 1)]
    _ask(config, folders, open_engine)
    files, cards = [], []
    for source, folder in zip(config.sources, folders, strict=True):
        files.append(clean_source(source, config.hygiene, folder, config.seed))
        cards.append(read_card(folder))
        counts = (*cards[-1].made.items(), *cards[-1].hygiene.counts.items())
        said = " · ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts)
        say(f"{source.source} · {said}")
    repeats = repeats_across(config, files)
    places = deal(config, files, repeats)
    hold_against(config.folder / "splits.json", config.dealt())
    written = write_splits(config, files, places)
    card = Card(name=config.name, seed=config.seed, model=config.model, splits=written, sources=tuple(cards), repeats=len(repeats))
    write_text(config.folder / "README.md", markdown(card))
    write_text(config.folder / "card.json", card.model_dump_json(indent=2))
    say(f"{config.folder} · {' · '.join(f'{name} {count:,}' for name, count in written.items())}")
    return card


def _ask(config: DataConfig, folders: list[Path], open_engine: Open) -> None:
    owed = []
    for source, folder in zip(config.sources, folders, strict=True):
        # What a source was cleaned from is not read again.
        if source.source in ENGINE_SOURCES and not (folder / CLEANED).exists():
            if (folder / ASKED).exists():
                check_marker(folder / ASKED, sources.asked_rounds(source, folder))
            else:
                owed.append((source, folder))
    if not owed:
        return
    for source, _ in owed:
        sources.check(source)
    engine = open_engine(config.engine, config.model, config.seed)
    try:
        for source, folder in owed:
            sources.ask(source, engine, folder)
            write_marker(folder / ASKED, sources.asked_files(source))
    finally:
        engine.close()


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
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        return digest(*(part for file in files for part in (str(file.relative_to(path)), file_digest(file))))
    if not path.is_file():
        return "hub"
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
