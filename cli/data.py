"""`evalplanner data`: build labelled pairs from prompts or published preferences, and look at them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal import mendable, plain, stdout_kept, visible

if TYPE_CHECKING:
    from planner.records import LabeledPair

app = typer.Typer(
    help=(
        "Build training pairs, and look at them.\n\n"
        "\b\n"
        "Examples:\n"
        "  evalplanner data build configs/data/math.toml name=mine sources.0.path=train.jsonl\n"
        "  evalplanner data inspect data/mine/train-1.jsonl --pairs 3\n\n"
        "Exit status: 0 done, 2 something that you can mend (one line on stderr says what), 130 stopped by Ctrl-C."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def build(
    config: Annotated[Path, typer.Argument(help="A TOML file; configs/data/math.toml is one to start from.", metavar="CONFIG")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Fields to set, dotted, with TOML values.", metavar="KEY=VALUE")
    ] = None,
) -> None:
    """Make labelled pairs: ask the engine where a source needs it, clean, split, and write a data card.

    The same command again goes on where the last one stopped; what the engine has written is not asked for again.

    \b
    Example:
      evalplanner data build configs/data/math.toml name=mine sources.0.path=train.jsonl sources.0.rows=200

    Exit status: 0 done, 2 something that you can mend (one line on stderr says what), 130 stopped by Ctrl-C.
    """
    with mendable():
        from selftrain.config import load_record
        from selftrain.pairs.build import build as run
        from selftrain.pairs.build_config import DataConfig
        from selftrain.pairs.card import facts
        from selftrain.sample import open_engine

        loaded = load_record(config, DataConfig, overrides)
        lines: list[str] = []
        with stdout_kept():
            card = run(loaded, open_engine, lines.append)
        for line in lines:
            typer.echo(visible(line))
        for one in card.sources:
            for fact in facts(one):
                typer.echo(visible(f"{one.source} · {fact}"))


@app.command()
def inspect(
    file: Annotated[
        Path, typer.Argument(help="A file of labelled pairs, or of {instruction, chosen, rejected} rows.", metavar="FILE.jsonl")
    ],
    pairs: Annotated[int, typer.Option(min=0, help="How many pairs to show in full.", metavar="N")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as one JSON object on stdout, without pairs.")] = False,
) -> None:
    """Show a file of pairs: counts, balance, lengths, what a judge blind to the instruction gets, and a few pairs in full.

    \b
    Example:
      evalplanner data inspect data/mine/train-1.jsonl --pairs 3

    Exit status: 0 shown, 2 something that you can mend (one line on stderr says what).
    """
    with mendable():
        import json
        from itertools import islice

        from rich.console import Console
        from rich.panel import Panel
        from rich.table import Table

        from selftrain.pairs.blind import blind
        from selftrain.pairs.hygiene import balanced

        summary = summarize(read(file))
        found = blind(balanced(read(file), 0))  # a file with one label almost only would leave the classifier none to learn from
        if as_json:
            typer.echo(json.dumps({"file": str(file), **summary, "blind": found.model_dump()}))
            return
        table = Table("what", "value", title=plain(str(file)))
        for name, value in told(summary).items():
            table.add_row(plain(name), plain(value))
        if found.classifier is not None and found.classifier_ci95 is not None:
            low, high = found.classifier_ci95
            table.add_row(
                plain("classifier blind to the instruction"),
                plain(f"{found.classifier:.1%} [{low:.1%}, {high:.1%}], n = {found.n:,}"),
            )
        console = Console()
        console.print(table)
        for one in islice(read(file), pairs):
            for title, text in shown(one):
                console.print(Panel(plain(text), title=plain(title), title_align="left"))


def read(file: Path) -> Iterator[LabeledPair]:
    """The pairs of a file, in either form."""
    import json

    from planner.errors import UserError
    from planner.records import LabeledPair
    from planner.store import read_jsonl
    from selftrain.pairs import jsonl

    if not file.is_file():
        raise UserError(f"{file} is not there: give a file of pairs, e.g. data/mine/train-1.jsonl")
    with file.open("rb") as lines:
        start = next((line for line in lines if line.strip()), b"")
    try:
        first = json.loads(start)
    except ValueError:
        first = None
    if isinstance(first, dict) and "pair" in first:
        return read_jsonl(file, LabeledPair, mend="mend or remove the line")
    return jsonl.read(file)  # says what is wrong, if it is neither


def summarize(pairs: Iterator[LabeledPair]) -> dict[str, Any]:
    """Counts of a file, read once."""
    from collections import Counter

    from selftrain.pairs.hygiene import LongerChosen

    better: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    instructions: set[str] = set()
    characters = [0, 0]
    longer = LongerChosen()
    for one in pairs:
        better[one.better] += 1
        kinds[f"{one.source}/{one.kind}"] += 1
        instructions.add(one.pair.instruction_id)
        characters[0] += len(one.pair.question)
        characters[1] += len(one.pair.response_a) + len(one.pair.response_b)
        longer.count(one)
    n = better.total()
    return {
        "pairs": n, "instructions": len(instructions), "better": dict(sorted(better.items())), "kinds": dict(kinds.most_common()),
        "instruction_characters": characters[0] / n, "response_characters": characters[1] / (2 * n), "longer_chosen": longer.rate,
    }  # fmt: skip


def told(summary: dict[str, Any]) -> dict[str, str]:
    """The same for people."""
    rate = summary["longer_chosen"]
    return {
        "pairs": f"{summary['pairs']:,}",
        "instructions": f"{summary['instructions']:,}",
        "better": " · ".join(f"{name} {count:,}" for name, count in summary["better"].items()),
        "source/kind": " · ".join(f"{name} {count:,}" for name, count in list(summary["kinds"].items())[:8]),
        "mean characters": f"instruction {summary['instruction_characters']:,.0f} · response {summary['response_characters']:,.0f}",
        "the longer response is chosen": "unknown" if rate is None else f"{rate:.1%}",
    }


def shown(one: LabeledPair) -> list[tuple[str, str]]:
    """(title, text) of each part of a pair."""
    marks = {side: " (better)" if one.better == side else "" for side in ("A", "B")}
    notes = "".join(f"\n{name}: {value}" for name, value in one.notes.items())
    return [
        (f"{one.source} · {one.kind}", f"{one.pair.question}{notes and chr(10)}{notes}"),
        (f"A{marks['A']}", one.pair.response_a),
        (f"B{marks['B']}", one.pair.response_b),
    ]
