"""The figures of a run's report. Each has named axes with units, and says of how many its points are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eval.report import Figure, draw
from rewards.score import Score
from selftrain.summary import coin
from ui.runs import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 30


def accuracy_figures(run: RunFolder, scores: Mapping[tuple[str, str], Score]) -> list[Figure]:
    """Both accuracies over the checkpoints, a line a split, with intervals and the coin."""
    names = [name for name in run.checkpoints if any(key[0] == name for key in scores)]
    splits = list(dict.fromkeys(split for _, split in scores))
    if len(names) < 2:
        return []

    def figure(metric: str, title: str) -> Figure:
        def plot(axes: Axes) -> None:
            for shift, split in enumerate(splits):
                found = [(i, scores[name, split]) for i, name in enumerate(names) if (name, split) in scores]
                values = [100 * getattr(one, metric) for _, one in found]
                bounds = [one.ci95[metric] for _, one in found]
                low = [max(0.0, v - 100 * b[0]) for v, b in zip(values, bounds, strict=True)]
                high = [max(0.0, 100 * b[1] - v) for v, b in zip(values, bounds, strict=True)]
                # A small shift keeps the splits' error bars apart.
                axes.errorbar(
                    [i + 0.06 * shift for i, _ in found], values, yerr=[low, high], marker="o", capsize=3,
                    label=f"{split}, n = {found[0][1].n:,} pairs",
                )  # fmt: skip
            axes.axhline(100 * coin(run.config)[metric], color="grey", linestyle="--", linewidth=1, label="coin")
            axes.set_xticks(range(len(names)), names)
            axes.set(
                xlabel="checkpoint",
                ylabel=f"{title.lower()} (% of {'judgments' if metric == 'accuracy' else 'pairs'})",
                ylim=(0, 100),
            )
            axes.legend()

        return draw(f"{title} over the checkpoints", "Bars are 95 % intervals by bootstrap over prompts.", plot)

    return [figure("accuracy", "Accuracy"), figure("position_consistent", "Position-consistent accuracy")]


def length_figures(run: RunFolder) -> list[Figure]:
    """How long plans, executions and held-out judgments are."""
    drawn = {stage: run.lengths(stage) for stage in run.sampling_stages}
    judgments = {
        name: [chain.completion.tokens for found in splits.values() for one in found for chain in one.chains.values()]
        for name, splits in run.measured.items()
        if name in run.checkpoints
    }
    return [
        *_histogram("Length of plans", {stage: found.plans for stage, found in drawn.items()}, "plans"),
        *_histogram("Length of executions", {stage: found.executions for stage, found in drawn.items()}, "executions"),
        *_histogram("Length of judgments of held-out pairs", judgments, "judgments"),
    ]


def _histogram(title: str, tokens: Mapping[str, Sequence[int]], what: str) -> list[Figure]:
    found = {name: lengths for name, lengths in tokens.items() if lengths}
    if not found:
        return []

    def plot(axes: Axes) -> None:
        top = max(max(lengths) for lengths in found.values())
        bins = [i * max(top, 1) / _BINS for i in range(_BINS + 1)]
        for name, lengths in found.items():
            weights = [100 / len(lengths)] * len(lengths)
            axes.hist(
                lengths, bins=bins, weights=weights, histtype="step", linewidth=1.5, label=f"{name}, n = {len(lengths):,} {what}"
            )
        axes.set(xlabel="length (generated tokens)", ylabel=f"share (% of {what})")
        axes.legend()

    return [draw(title, "", plot)]


def training_figures(run: RunFolder) -> list[Figure]:
    """Losses of SFT and DPO; margins and accuracies of DPO's implicit rewards; what GRPO's chains earned."""
    logs = {stage: run.training_log(stage) for stage in run.trainings}
    rows = {one["stage"].removesuffix("/train"): one.get("rows") for one in run.stages if one["stage"].endswith("/train")}

    def lines(axes: Axes, key: str, of: Mapping[str, list[dict[str, Any]]], scale: float = 1.0) -> None:
        for stage, log in of.items():
            told = f", n = {rows[stage]:,} rows" if rows.get(stage) else f", n = {len(log):,} steps so far"
            points = [(one["step"], scale * one[key]) for one in log if key in one]
            axes.plot([x for x, _ in points], [y for _, y in points], marker=".", label=stage + told)
        axes.legend()

    def figure(
        title: str, note: str, key: str, ylabel: str, of: Mapping[str, list[dict[str, Any]]], scale: float = 1.0
    ) -> list[Figure]:
        shown = {stage: log for stage, log in of.items() if any(key in one for one in log)}
        if not shown:
            return []

        def plot(axes: Axes) -> None:
            lines(axes, key, shown, scale)
            axes.set(xlabel="optimiser step", ylabel=ylabel)

        return [draw(title, note, plot)]

    dpo = {stage: log for stage, log in logs.items() if any("rewards/margins" in one for one in log)}
    grpo = {stage: log for stage, log in logs.items() if any("right_in_both_orders" in one for one in log)}
    sft = {stage: log for stage, log in logs.items() if stage not in dpo and stage not in grpo}
    weight = f"DPO's loss, and {run.config.dpo.sft_weight:g} times the chosen side's negative log-likelihood."
    return [
        *figure("SFT loss", "Mean negative log-likelihood of an answer's token.", "loss", "loss (nats a token)", sft),
        *figure("DPO loss", weight, "loss", "loss (nats)", dpo),
        *figure("DPO margins", f"β = {run.config.dpo.beta:g} times the log-ratio of chosen minus that of rejected, against the reference.",
                "rewards/margins", "margin (nats × β)", dpo),
        *figure("DPO rows told apart", "Rows of a step whose margin is above zero.", "rewards/accuracies", "rows told apart (%)", dpo, 100.0),
        *figure("GRPO reward", f"Mean of a step's chains: {run.config.grpo.verdict_weight:g} where right, "
                f"{run.config.grpo.consistency_weight:g} more where the other order's is too.", "reward", "reward", grpo),
        *figure("GRPO chains right in both orders", "Of a step's chains, each beside one of the other order.", "right_in_both_orders",
                "chains (%)", grpo, 100.0),
    ]  # fmt: skip
