"""The end of a run: `summary.json`, `curves.png`, `report.html`, and the table that a person reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from planner.errors import UserError
from planner.records import LabeledPair
from planner.store import read_jsonl, write_text
from rewards.score import Score
from selftrain.config import Config
from selftrain.measure import score_set
from selftrain.pairs import prefer_baseline

COIN = {"accuracy": 0.5, "position_consistent": 0.25}
"""A judge that tosses for each order."""
_DIE = {"accuracy": 1 / 3, "position_consistent": 1 / 9}


def coin(config: Config) -> dict[str, float]:
    """What drawing the verdicts comes to: two of them, or with ties three."""
    return _DIE if config.ties else COIN


def write_summary(config: Config, folder: Path, checkpoints: list[str], controls: list[str], metrics: list[dict[str, Any]]) -> None:
    """Score every checkpoint on every held-out split, write the files, print the table."""
    splits: list[str] = list(config.pairs.held_out)
    pairs = {split: folder / "pairs" / f"{split}.jsonl" for split in splits}
    scores = {
        (name, split): score_set(config, folder / "eval" / name / split, pairs[split])
        for name in [*checkpoints, *controls]
        for split in splits
    }

    def entries(names: list[str]) -> list[dict[str, Any]]:
        return [{"name": name, "split": split, **scores[name, split].model_dump(mode="json")} for name in names for split in splits]

    baselines = {split: _baselines(pairs[split]) for split in splits}
    stages = [
        {
            "stage": one["stage"],
            "seconds": round(one.get("seconds", 0.0), 1),
            "prompt_tokens": one.get("prompt", 0),
            "cached_tokens": one.get("cached", 0),
            "generated_tokens": one.get("generated", 0),
            "train_tokens": one.get("train_tokens", 0),
        }
        for one in metrics
    ]
    summary = {
        "name": config.name,
        "checkpoints": entries(checkpoints),
        "controls": entries(controls),
        "coin": coin(config),
        "baselines": baselines,
        "contaminated_with": ["gsm8k"] if config.pairs.source == "gsm8k_solutions" else [],
        "stages": stages,
        "seconds": round(sum(one["seconds"] for one in stages), 1),
        "tokens": {
            kind: sum(one[kind] for one in stages)
            for kind in ("prompt_tokens", "cached_tokens", "generated_tokens", "train_tokens")
        },
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    shown = {(n, s): scores[n, s] for n in checkpoints for s in splits}
    draw_curves(folder / "curves.png", shown, checkpoints, splits, coin(config))
    write_report(folder)
    print_table(config, folder, scores, checkpoints, controls, splits, baselines, summary["seconds"])


def write_report(folder: Path) -> None:
    """Write the run's page, by the program that also writes it on request: it stands on rooms that this one does not know.

    Raises:
        UserError: it failed; what it said stands above.
    """
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "ui.report", str(folder)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise UserError(f"{folder}/report.html was not written; mend the cause above and run `evalplanner report {folder}`")


def _baselines(path: Path) -> dict[str, float]:
    """Rules that read no instruction; on honest pairs they stay near one half."""
    every = list(read_jsonl(path, LabeledPair))
    longer = [
        one.better == ("A" if len(one.pair.response_a) > len(one.pair.response_b) else "B")
        for one in every
        if len(one.pair.response_a) != len(one.pair.response_b)
    ]
    found = {"longer": sum(longer) / len(longer)} if longer else {}
    stronger = prefer_baseline(every, "strength")
    if stronger is not None:
        found["stronger_model"] = stronger
    if ties := sum(one.better == "tie" for one in every):
        found["a_tie_always"] = ties / len(every)
    return found


def print_table(
    config: Config,
    folder: Path,
    scores: dict[tuple[str, str], Score],
    checkpoints: list[str],
    controls: list[str],
    splits: list[str],
    baselines: dict[str, dict[str, float]],
    seconds: float,
) -> None:
    """Accuracy and position-consistent accuracy, each with its 95 % interval, of every judge on every split."""
    console = Console(width=None if Console().is_terminal else 188 if config.ties else 152)
    table = Table(title=f"{config.name}: held-out pairs, both orders (95 % intervals, bootstrap by prompt)")
    tied = any(one.ties for one in scores.values())
    for column, justify in (("judge", "left"), ("split", "left"), ("n", "right"), ("accuracy", "left"), ("position-consistent", "left"),
                            *((("on ties", "left"), ("says tie", "right")) if tied else ()),
                            ("unforced", "right"), ("no verdict", "right"), ("supported", "right"),
                            ("prejudged", "right"), ("flip", "right")):  # fmt: skip
        table.add_column(column, justify=justify, no_wrap=True)
    for name in [*checkpoints, *controls]:
        for split in splits:
            one = scores[name, split]
            label = "" if split != splits[0] else f"{name} (control)" if name in controls else name
            table.add_row(
                label, split, str(one.n), _with_interval(one.accuracy, one.ci95["accuracy"]),
                _with_interval(one.position_consistent, one.ci95["position_consistent"]), *(_on_ties(one) if tied else ()),
                f"{1 - one.forced - one.no_verdict - one.cut_off:.0%}", f"{one.no_verdict + one.cut_off:.0%}", f"{one.supported:.0%}",
                f"{one.prejudged:.0%}", f"{one.flip:.0%}",
                end_section=split == splits[-1],
            )  # fmt: skip
    chance = coin(config)
    table.add_row("chance" if config.ties else "coin", "", "", f"{chance['accuracy']:.1%}", f"{chance['position_consistent']:.1%}")
    for split in splits:
        for rule, accuracy in baselines[split].items():
            said = rule.replace("_", " ") + ("" if rule == "a_tie_always" else " wins")
            table.add_row(f"“{said}”", split, "", f"{accuracy:.1%}")
    console.print(table)
    if config.pairs.source == "gsm8k_solutions":
        console.print("Contaminated: trained on solutions of GSM8K test problems; do not report these checkpoints on GSM8K.")
    console.print(f"{seconds / 60:.0f} minutes in all · {folder}/summary.json · {folder}/report.html")


def _on_ties(one: Score) -> tuple[str, str]:
    """Accuracy on the pairs that are ties, with their number, and how often a tie is said of any."""
    if one.ties is None:
        return "", ""
    return f"{_with_interval(one.ties.accuracy, one.ties.ci95['accuracy'])} of {one.ties.n}", f"{one.ties.said:.0%}"


def _with_interval(value: float, ci: tuple[float, float]) -> str:
    return f"{value:.1%} [{ci[0]:.1%}, {ci[1]:.1%}]"


def draw_curves(
    path: Path, scores: dict[tuple[str, str], Score], names: list[str], splits: list[str], chance: dict[str, float]
) -> None:
    """Accuracy and position-consistent accuracy over the checkpoints, with intervals and the coin."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axis, metric in zip(axes, ("accuracy", "position_consistent"), strict=True):
        for shift, split in enumerate(splits):
            values = [getattr(scores[name, split], metric) for name in names]
            bounds = [scores[name, split].ci95[metric] for name in names]
            low = [max(0.0, v - b[0]) for v, b in zip(values, bounds, strict=True)]
            high = [max(0.0, b[1] - v) for v, b in zip(values, bounds, strict=True)]
            # A small shift keeps the splits' error bars apart.
            axis.errorbar(
                [i + 0.06 * shift for i in range(len(names))], values, yerr=[low, high], marker="o", capsize=3, label=split
            )
        axis.axhline(chance[metric], color="grey", linestyle="--", linewidth=1, label="coin")
        axis.set_xticks(range(len(names)), names)
        axis.set_title(metric.replace("_", "-"))
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
    axes[0].legend(loc="upper left")
    figure.savefig(path, dpi=120)
    plt.close(figure)
