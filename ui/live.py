"""A run while it trains: its stage, what it has done so far and how fast, its curves, its last chains. As HTML, foreign text escaped."""

from __future__ import annotations

import os
from pathlib import Path

from markupsafe import Markup

from eval.report import Figure
from planner.errors import UserError
from planner.records import Chain
from planner.store import Line
from selftrain.launch import seconds_spent
from selftrain.ledger import tokens_spent
from ui.plots import training_figures
from ui.runs import RunFolder

_LAST = 4
_TAIL = 2**20


def runs_in(runs: Path) -> list[str]:
    """Names of the run folders, the latest touched first."""
    found = [path.parent for path in runs.glob("*/config.toml")]
    return [path.name for path in sorted(found, key=lambda one: -_touched(one))]


def _touched(folder: Path) -> float:
    path = folder / "metrics.jsonl"
    return (path if path.exists() else folder).stat().st_mtime


def status(folder: Path) -> str:
    """Where a run stands, in a few lines.

    Raises:
        UserError: no run folder, or a bad line in it.
    """
    run = RunFolder(folder)
    state = "finished" if run.finished else "going on" if run.running else "stopped and unfinished"
    lines = [f"{run.config.name} is {state}."]
    stage = _under_way(run)
    if stage is not None and not run.finished:
        lines.append(_so_far(run, stage))
    for one in run.stages[-5:]:
        facts = ", ".join(f"{name} {_short(value)}" for name, value in one.items() if name != "stage")
        lines.append(f"done: {one['stage']} · {facts}")
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(line) for line in lines))


def _under_way(run: RunFolder) -> str | None:
    """The stage whose job was written last."""
    jobs = sorted(run.folder.glob("**/.job-0.json"), key=lambda path: path.stat().st_mtime)
    return str(jobs[-1].parent.relative_to(run.folder)) if jobs else None


def _so_far(run: RunFolder, stage: str) -> str:
    folder = run.folder / stage
    tokens, seconds = tokens_spent(folder)["generated"], seconds_spent(folder)
    parts = [f"under way: {stage}"]
    if tokens and seconds:
        parts.append(f"{tokens:,} tokens generated, {tokens / seconds:,.0f} tokens/s")
    if stage.endswith("/train"):
        log = run.training_log(stage.removesuffix("/train"))
        parts += [f"step {log[-1]['step']:,}, loss {log[-1]['loss']:.3f}"] if log else []
    else:
        drawn = sum(_drawn(path) for path in folder.glob("chains/rank-*.jsonl"))
        parts += [f"{drawn:,} chains drawn"] if drawn else []
    return " · ".join(parts)


_counted: dict[Path, tuple[int, int]] = {}
"""Bytes read of a file of chains, and chains in them: the next look, ten seconds later, goes on from there."""


def _drawn(path: Path) -> int:
    """Chains in a file so far."""
    at, count = _counted.get(path, (0, 0))
    if path.stat().st_size < at:  # another file of that name
        at = count = 0
    with path.open("rb") as file:
        file.seek(at)
        for line in file:
            if line.endswith(b"\n"):
                at, count = at + len(line), count + len(_read(path, line).items)
    _counted[path] = (at, count)
    return count


def _newest(folder: Path) -> list[Chain]:
    """The last chains of the file that was written last, out of its last bytes: it may be larger than anybody waits for."""
    files = sorted(folder.glob("rank-*.jsonl"), key=lambda path: path.stat().st_mtime)
    if not files:
        return []
    with files[-1].open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - _TAIL)
        file.seek(start)
        lines = file.read().split(b"\n")[1 if start else 0 : -1]
    return [chain for line in lines[-_LAST:] for chain in _read(files[-1], line).items][-_LAST:]


def _read(path: Path, line: bytes) -> Line[Chain]:
    try:
        return Line[Chain].model_validate_json(line)
    except ValueError:
        raise UserError(f"{path} holds a line that is no line of chains; remove it and run the same command again") from None


def _short(value: object) -> str:
    return f"{value:,.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def curves(folder: Path) -> str:
    """Losses and margins so far."""
    found = training_figures(RunFolder(folder))
    if not found:
        return Markup("<p>No training step yet.</p>")
    return Markup("").join(map(_image, found))


def _image(figure: Figure) -> Markup:
    # Base64 of our own drawing.
    return Markup("<figure><img alt='{title}. {note}' src='data:image/svg+xml;base64,{svg}'><figcaption>{title}</figcaption></figure>").format(
        title=figure.title, note=figure.note, svg=figure.svg
    )  # fmt: skip


def last_chains(folder: Path) -> str:
    """The newest chains of the newest stage that draws any."""
    run = RunFolder(folder)
    if not run.sampling_stages:
        return Markup("<p>No chain yet.</p>")
    stage = run.sampling_stages[-1]
    last = _newest(run.folder / stage / "chains")
    cards = [
        Markup(
            "<h4>{stage}, order {order}, it said {verdict}</h4><p class='text'>{plan}</p><p class='text'>{execution}</p>"
        ).format(
            stage=stage, order=one.order, verdict=one.verdict, plan=one.plan or "(no plan)", execution=one.execution or "(nothing)"
        )
        for one in last
    ]
    return Markup("<div class='look'>{}</div>").format(Markup("").join(cards))
