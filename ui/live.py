"""A run while it trains: its stage, what it has done so far and how fast, its curves, its last chains. As HTML, foreign text escaped."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

from markupsafe import Markup

from eval.report import Figure
from planner.records import Chain
from planner.store import Shards
from selftrain.launch import seconds_spent
from selftrain.ledger import tokens_spent
from ui.plots import training_figures
from ui.runs import RunFolder

_LAST = 4


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
        drawn = sum(len(one["items"]) for path in folder.glob("chains/rank-*.jsonl") for one in _whole_lines(path))
        parts += [f"{drawn:,} chains drawn"] if drawn else []
    return " · ".join(parts)


def _whole_lines(path: Path) -> list[dict[str, list[object]]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


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
    last = deque(Shards(run.folder / stage / "chains", Chain), maxlen=_LAST)
    cards = [
        Markup(
            "<h4>{stage}, order {order}, it said {verdict}</h4><p class='text'>{plan}</p><p class='text'>{execution}</p>"
        ).format(
            stage=stage, order=one.order, verdict=one.verdict, plan=one.plan or "(no plan)", execution=one.execution or "(nothing)"
        )
        for one in last
    ]
    return Markup("<div class='look'>{}</div>").format(Markup("").join(cards))
