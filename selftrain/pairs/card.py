"""The data card of a build: what went in, what was left out and why, what a blind judge gets, and a few pairs to look at."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

from planner.records import LabeledPair, Record
from planner.store import read_jsonl, read_record, write_text
from selftrain.data_config import HygieneConfig, SourceConfig
from selftrain.markers import once
from selftrain.pairs import sources
from selftrain.pairs.blind import Blind, blind
from selftrain.pairs.hygiene import Cleaned, balanced, clean

CLEANED = ".cleaned"
"""Marker, in a source's folder, of its cleaned pairs and its card."""


class SourceCard(Record):
    """One source of a build."""

    source: str
    path: str
    licence: str
    made: dict[str, int]
    """Rows, prompts and responses before there were pairs."""
    hygiene: Cleaned
    blind: Blind
    examples: tuple[LabeledPair, ...]


class Card(Record):
    """A whole build."""

    name: str
    seed: int
    model: str
    splits: dict[str, int]
    sources: tuple[SourceCard, ...]
    repeats: int = 0
    """Instructions of a source that nearly repeat one of an earlier source, and are in no split."""


def clean_source(config: SourceConfig, hygiene: HygieneConfig, folder: Path, seed: int) -> Path:
    """The file of a source's cleaned pairs in `folder`; `source.json` beside it is its card. Done once.

    Raises:
        UserError: a bad row, a benchmark that is not there, or a file that is not as it was left.
    """
    kept = folder / "clean" / "pairs.jsonl"

    def work() -> None:
        made: Counter[str] = Counter()
        found = clean(sources.read(config, folder, seed, made), hygiene, folder / "clean", seed)
        one = SourceCard(
            source=config.source, path=config.path or "", licence=config.licence or "not stated", made=dict(made), hygiene=found,
            blind=blind(balanced(read_jsonl(kept, LabeledPair), seed), seed), examples=tuple(islice(read_jsonl(kept, LabeledPair), 3)),
        )  # fmt: skip
        write_text(folder / "source.json", one.model_dump_json(indent=2))

    once(folder / CLEANED, work, ("clean/*.jsonl", "source.json"))
    return kept


def read_card(folder: Path) -> SourceCard:
    return read_record(folder / "source.json", SourceCard)


def markdown(card: Card) -> str:
    """The card as a README."""
    lines = [
        f"# {card.name}",
        "",
        "Preference pairs, one JSON record a line; no instruction is in two splits.",
        "",
        "| split | pairs |",
        "| --- | --- |",
    ]
    lines += [f"| {split} | {count:,} |" for split, count in card.splits.items()]
    lines += (
        ["", f"{card.repeats:,} instructions nearly repeat one of an earlier source, and are in no split."] if card.repeats else []
    )
    for number, one in enumerate(card.sources, 1):
        lines += [
            "",
            f"## {number}. {one.source}: {one.path}",
            "",
            f"Licence as stated: {one.licence}.",
            "",
            "| step | count |",
            "| --- | --- |",
        ]
        lines += [f"| {name.replace('_', ' ')} | {count:,} |" for name, count in (*one.made.items(), *one.hygiene.counts.items())]
        lines += ["", *(f"- {line}" for line in facts(one))]
        for example in one.examples:
            lines += ["", "### An example", "", *_quoted("Instruction", example.pair.question)]
            chosen, rejected = (
                (example.pair.response_a, example.pair.response_b)
                if example.better == "A"
                else (example.pair.response_b, example.pair.response_a)
            )
            lines += [*_quoted("Chosen", chosen), *_quoted("Rejected", rejected)]
    return "\n".join(lines) + "\n"


def facts(one: SourceCard) -> list[str]:
    """What there is to know about a source's pairs, a line each."""
    blind = one.blind
    judged = "too few prompts to train one" if blind.classifier is None or blind.classifier_ci95 is None else (
        f"{blind.classifier:.1%} [{blind.classifier_ci95[0]:.1%}, {blind.classifier_ci95[1]:.1%}]"
    )  # fmt: skip
    return [
        f"a classifier blind to the instruction: {judged} (n = {blind.n:,}; a coin: 50 %)",
        f"the longer response is chosen: {_share(one.hygiene.longer_chosen_raw)} as it came, {_share(one.hygiene.longer_chosen)} as it goes",
        f"held against {one.hygiene.benchmark_prompts:,} prompts of {one.hygiene.benchmark_files} benchmark files",
    ]


def _share(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:.1%}"


def _quoted(title: str, text: str) -> list[str]:
    """Indented, so that no markup in it is markup."""
    shown = text if len(text) <= 1500 else f"{text[:1500]} …"
    return [f"{title}:", "", *(f"    {line}" for line in shown.splitlines()), ""]
