"""One evaluation in one folder: what is asked, what was said, and the reports made of it.

A folder belongs to one recipe: the same one goes on where it stopped, another is refused and the setting that differs is named.
One process at a time is at it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.benchmarks import named
from eval.collect import Votes, collect, read_ballots
from eval.judged import Judged
from eval.judges import Opened
from eval.pages import page_of, summary_table
from eval.report import markdown, markdown_text, render
from eval.summary import Report, summarise
from planner.errors import UserError
from planner.execute import judge_inputs
from planner.lock import lock_run
from planner.progress import progress_bar
from planner.records import LabeledPair, digest
from planner.store import make_folder, read_jsonl, write_jsonl, write_text
from planner.styles import STYLES

_RECIPE = "recipe.json"


def evaluate(
    benchmark: str,
    pairs: Sequence[LabeledPair],
    opened: Opened,
    out: Path,
    *,
    votes: Votes,
    seed: int = 0,
    others: dict[str, Sequence[Judged]] | None = None,
) -> Report:
    """Judge `pairs` in both orders, keep what is said in `out`, and write the reports there.

    Raises:
        UserError: `out` belongs to another run; the setting that differs is named. Or another process is at it.
        EngineError: a call failed; what is finished is kept, and the next attempt goes on.
    """
    _refuse_foreign(out)
    make_folder(out)
    with lock_run(out):
        return _evaluate(benchmark, pairs, opened, out, votes, seed, others or {})


def _evaluate(
    benchmark: str,
    pairs: Sequence[LabeledPair],
    opened: Opened,
    out: Path,
    votes: Votes,
    seed: int,
    others: dict[str, Sequence[Judged]],
) -> Report:
    recipe = _recipe(benchmark, pairs, opened, votes, seed)
    _hold_against(recipe, out)
    if not (out / "pairs.jsonl").is_file():
        write_jsonl(out / "pairs.jsonl", pairs)
    unique = {one.pair.id: one.pair for one in pairs}
    with progress_bar(benchmark, 2 * len(unique), "judgment") as bar:
        start, made = time.perf_counter(), [0]

        def watch(judgments: int, tokens: int) -> None:
            made[0] += tokens
            bar.update(judgments)
            bar.set_postfix_str(f"{made[0] / (time.perf_counter() - start):,.0f} tok/s", refresh=False)

        collect(opened.judge, unique.values(), out, votes, watch)
    ballots, over_long = read_ballots(out, pairs)
    report = summarise(
        named(benchmark), ballots, judge=opened.name, style=_style_name(opened), over_long=len(over_long), recipe=recipe, others=others, seed=seed
    )  # fmt: skip
    write_text(out / "report.json", report.model_dump_json(indent=2) + "\n")
    write_text(out / "report.md", f"# {markdown_text(report.title)}\n\n{markdown(summary_table(report))}")
    write_text(out / "report.html", render(page_of(report, [one.elected() for one in ballots])))
    return report


def _recipe(benchmark: str, pairs: Sequence[LabeledPair], opened: Opened, votes: Votes, seed: int) -> dict[str, Any]:
    """All that decides what is asked and how; a run is resumed under the same only."""
    judge = opened.judge
    # One rendered prompt stands for the text of all: a changed prompt file must not go on in an old folder.
    (prompt,) = judge_inputs(judge.style, [pairs[0].pair], ["ab"])
    return {
        "benchmark": benchmark,
        "pairs": len(pairs),
        "pairs_digest": digest(*(f"{one.pair.id} {one.better} {one.kind}" for one in pairs)),
        "judge": opened.name,
        "model": opened.digest,
        "style": _style_name(opened),
        "prompt": digest(*(message.content for message in prompt.prompt.messages), prompt.prompt.prefill),
        "max_tokens": judge.max_tokens,
        "max_model_len": opened.max_model_len,  # decides which pairs are too long
        "votes": f"{votes.plans}x{votes.executions}",
        "sampling": list(judge.sampling),
        "force": judge.force,
        "seed": seed,
    }


def _style_name(opened: Opened) -> str:
    style = opened.judge.style
    return next((name for name, one in STYLES.items() if one == style), str(style))


def _refuse_foreign(out: Path) -> None:
    """What a run that stopped before its recipe was written leaves is no other's: its lock, and a recipe that a full disk cut short."""
    found = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if found - {".lock-0", f"{_RECIPE}.part"} and _RECIPE not in found:
        raise UserError(f"{out} is not empty and no run of this command; choose another --out")


def _hold_against(recipe: dict[str, Any], out: Path) -> None:
    path = out / _RECIPE
    if not path.exists():
        write_text(path, json.dumps(recipe, indent=2) + "\n")
        return
    try:
        old = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); choose another --out, or delete the folder") from None
    if not isinstance(old, dict):
        raise UserError(f"{path} is no recipe of this command; choose another --out, or delete the folder")
    for name, value in recipe.items():
        if old.get(name) != value:
            raise UserError(
                f"{out} was started with {name} = {old.get(name)!r}, now it is {value!r}; undo that, or choose another --out"
            )


def limited(pairs: Sequence[LabeledPair], limit: int, seed: int) -> list[LabeledPair]:
    """At most `limit` pairs, all of a prompt's or none, drawn by the seed and kept in the benchmark's order.

    Raises:
        UserError: a single prompt has more pairs than that.
    """
    prompts: dict[str, int] = {}
    for one in pairs:
        prompts[one.cluster] = prompts.get(one.cluster, 0) + 1
    kept, room = set(), limit
    for prompt in sorted(prompts, key=lambda name: digest("limit", str(seed), name)):
        if prompts[prompt] <= room:
            kept.add(prompt)
            room -= prompts[prompt]
    if not kept:
        raise UserError(f"--limit {limit} is less than the {min(prompts.values())} pairs of one prompt, which stay together")
    return [one for one in pairs if one.cluster in kept]


def others_of(folders: Sequence[Path], pairs: Sequence[LabeledPair]) -> dict[str, Sequence[Judged]]:
    """What the judges of other runs said of the same pairs, by the runs' folder names.

    Raises:
        UserError: no run there, or one of other pairs.
    """
    found: dict[str, Sequence[Judged]] = {}
    for folder in folders:
        if not (folder / "pairs.jsonl").is_file():
            raise UserError(f"{folder} holds no run; give --against the --out folder of one")
        if list(read_jsonl(folder / "pairs.jsonl", LabeledPair)) != list(pairs):
            raise UserError(f"{folder} judged other pairs: compare runs of one benchmark with the same --data, --limit and --seed")
        ballots, _ = read_ballots(folder, pairs)
        found[str(folder)] = [one.elected() for one in ballots]
    return found
