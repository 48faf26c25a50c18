"""What each choice of the recipe is worth: one run a cell, each differing from the base in that choice alone, and one table.

    python bench/ablate.py configs/cpu.toml [--only pairing,nll] [--minutes 20] [--json] [key=value …]

Cells run one after the other, unattended; the same command goes on where it stopped, within a cell too, because a cell is a run of its own in
`runs/<name>-ablate-<cell>`. One that takes longer than `--minutes` in an attempt is stopped, told of, and gone on with next time. Overrides
hold for every cell. A choice that the config contradicts, or that changes nothing in it, is listed with the reason and not run. The table has accuracy and position-consistent accuracy of each cell's last checkpoint on `known` pairs, with 95 %
intervals, and says *higher* or *lower* than the base only where the intervals do not overlap; else it says *can't tell*. All cells are
measured on the same pairs, so the last column, the difference pair by pair, tells more apart. One seed says nothing about another: add
`seed=3` and `name=…` for a second opinion.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before bench/, whose eval.py would hide eval/

from eval.judged import Judged  # noqa: E402
from eval.metrics import Comparison, compare  # noqa: E402
from planner.errors import UserError  # noqa: E402
from planner.models import ModelError, resolve_model  # noqa: E402
from planner.store import write_text  # noqa: E402
from selftrain.checkpoints import is_judge  # noqa: E402
from selftrain.config import Config, load_config  # noqa: E402
from selftrain.launch import die_with_parent  # noqa: E402
from selftrain.measure import judged_set  # noqa: E402
from selftrain.stamp import check_recipe  # noqa: E402


class Cell(NamedTuple):
    """One run: the question it answers, its answer, and the overrides that make it."""

    question: str
    answer: str
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.question}-{self.answer}".replace("_", "-")


BASE = Cell("base", "as-configured", ())


class Result(NamedTuple):
    """Of a finished cell: its last checkpoint on `known`."""

    n: int
    accuracy: float
    consistent: float
    ci95: dict[str, tuple[float, float]]
    judged: tuple[Judged, ...]


def cells(config: Config) -> list[Cell]:
    """The base and every cell that differs from it."""
    choices: dict[str, dict[str, tuple[str, ...]]] = {
        "pairing": {kind: (f"rows.pairing={kind}",) for kind in ("same_plan", "cross_plan", "mixed")},
        "nll": {f"{weight:g}": (f"dpo.sft_weight={weight:g}",) for weight in (0.0, 1.0)},
        "plan_kind": {kind: (f"plan_kind={kind}",) for kind in ("unconstrained", "criteria", "questions", "none")},
        "dpo_iterations": {"1": (f"iterations={_inline(_up_to_first_dpo(config))}",)},
        "train_forced": {"no": ("rows.train_forced=false",)} if config.rows.train_forced else {"yes": ("rows.train_forced=true",)},
        "plans": {"shared": ("sampling.reuse_plans=true",), "own": ("sampling.reuse_plans=false",)},
    }
    return [BASE] + [Cell(question, answer, overrides) for question, of in choices.items() for answer, overrides in of.items()]


def _up_to_first_dpo(config: Config) -> list[Any]:
    """The iterations through the first that trains by DPO; all, where none does."""
    last = next((k for k, one in enumerate(config.iterations, 1) if "dpo" in one.train), len(config.iterations))
    return [one.model_dump(mode="json") for one in config.iterations[:last]]


def _inline(value: Any) -> str:
    """A value as TOML writes it in one line: as JSON does, but for tables."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(one)}" for key, one in value.items() if one is not None) + "}"
    return json.dumps(value)


def idle(question: str, config: Config) -> str | None:
    """Why a choice can change nothing in runs of this config; None where it may.

    Raises:
        UserError: the seed is a judge that is asked otherwise.
    """
    from_judge = is_judge(config, config.model)
    by_dpo = [(k, one) for k, one in enumerate(config.iterations) if "dpo" in one.train]
    by_judge = any(
        one.resample_before_dpo or ((k or from_judge) and not one.judged and one.train != ("grpo",))
        for k, one in enumerate(config.iterations)
    )
    if question in ("pairing", "nll") and not by_dpo:
        return "no iteration trains by DPO"
    if question == "pairing":
        if not config.style.plans or config.sampling.plans == 1:
            return "no two chains of a pair in one order differ in their plan: set sampling.plans to 2 or more"
        if config.execution_form == "findings" and not any(k or from_judge or one.resample_before_dpo for k, one in by_dpo):
            return "all of DPO's chains are the seed's, whose verdicts are all forced: each makes a row of its own"
    if question == "plan_kind" and from_judge:
        return "the seed is a judge, which is never asked for a plan"
    if question == "plans":
        if not config.style.plans:
            return 'plan_kind = "none": there are no plans to share'
        if not by_judge:
            return "no trained judge's chains are drawn, and the seed's plans serve both orders anyway"
    if question == "train_forced" and not config.sampling.force_verdict:
        return "sampling.force_verdict = false: no verdict is forced"
    return None


def plan(path: str, overrides: list[str], only: set[str]) -> list[tuple[Cell, Config | str]]:
    """Each wanted cell with its config, or with why it cannot be or would show nothing; what equals the base is left out.

    Raises:
        UserError: the base itself is refused or is not measured on `known`, or `only` names no question.
    """
    base = load_config(path, overrides)
    is_judge(base, base.model)  # one that is asked otherwise is refused
    if not base.pairs.held_out.get("known"):
        raise UserError("cells are held against each other on `known`: set pairs.held_out.known")
    if unknown := only - {cell.question for cell in cells(base)}:
        raise UserError(
            f"--only {', '.join(sorted(unknown))}: there is {', '.join(dict.fromkeys(c.question for c in cells(base)))}"
        )
    planned: list[tuple[Cell, Config | str]] = []
    for cell in cells(base):
        if only and cell.question not in only and cell is not BASE:
            continue
        try:
            config = load_config(path, [*overrides, *cell.overrides, f"name={base.name}-ablate-{cell.name}"])
            why = idle(cell.question, config)
        except UserError as error:
            planned.append((cell, str(error)))
            continue
        if cell is BASE or config.recipe() | {"name": ""} != base.recipe() | {"name": ""}:
            planned.append((cell, why or config))
    return planned


def run(path: str, overrides: list[str], cell: Cell, config: Config, minutes: float) -> Result | str:
    """Run a cell to its end, or as far as it comes; a finished one is only read.

    Raises:
        UserError: it is finished, and was run by another recipe.
    """
    summary = config.run_folder / "summary.json"
    if summary.exists():
        check_recipe(config, config.run_folder, resolve_model(config.model))
    else:
        print(f"== {cell.name}", flush=True)
        command = [sys.executable, str(ROOT / "selftrain" / "run.py"), path, *overrides, *cell.overrides, f"name={config.name}"]
        try:
            # A driver that is killed must not leave a run that holds its folder.
            code = subprocess.run(command, timeout=minutes * 60, check=False, preexec_fn=die_with_parent).returncode
        except subprocess.TimeoutExpired:
            return f"not finished in {minutes:g} minutes; run the same command again"
        if code:
            return f"failed with exit status {code}; its own line is above"
    return read_result(config)


def read_result(config: Config) -> Result:
    """Of a finished run.

    Raises:
        UserError: it has lost judgments.
    """
    run = config.run_folder
    found = json.loads((run / "summary.json").read_text())["checkpoints"]
    last = [one for one in found if one["split"] == "known"][-1]
    asked = judged_set(config, run / "eval" / last["name"] / "known", run / "pairs" / "known.jsonl")
    judged = tuple(Judged(labeled, chains) for labeled, chains in asked)
    return Result(last["n"], last["accuracy"], last["position_consistent"], last["ci95"], judged)


def verdict(base: Result, other: Result) -> str:
    """Against the base, by position-consistent accuracy: higher, lower, or can't tell where the intervals overlap."""
    (low, high), (base_low, base_high) = other.ci95["position_consistent"], base.ci95["position_consistent"]
    return "higher" if low > base_high else "lower" if high < base_low else "can't tell"


def table(results: list[tuple[Cell, Result | str]]) -> str:
    """Markdown."""
    lines = [
        "| choice | | n | accuracy | position-consistent | against the base | pair by pair, points |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (cell, found), paired in zip(results, paired_with_base(results), strict=True):
        if isinstance(found, str):
            lines.append(f"| {cell.question} | {cell.answer} | | | | {found} | |")
            continue
        rates = " | ".join(
            f"{value:.1%} [{found.ci95[name][0]:.1%}, {found.ci95[name][1]:.1%}]"
            for name, value in (("accuracy", found.accuracy), ("position_consistent", found.consistent))
        )
        against = difference = ""
        if paired is not None:
            against, by_pairs = paired
            points, low, high = (100 * value for value in (by_pairs.difference, *by_pairs.ci95))
            difference = f"{points:+.1f} [{low:+.1f}, {high:+.1f}], p = {by_pairs.p:.2g}: {by_pairs.outlook}"
        lines.append(f"| {cell.question} | {cell.answer} | {found.n} | {rates} | {against} | {difference} |")
    return "\n".join(lines) + "\n"


def paired_with_base(results: list[tuple[Cell, Result | str]]) -> list[tuple[str, Comparison] | None]:
    """Each cell's result against the base's, by intervals and pair by pair; None for the base, and where either has none."""
    base = next((found for cell, found in results if cell is BASE and isinstance(found, Result)), None)
    return [
        None
        if cell is BASE or base is None or isinstance(found, str)
        else (verdict(base, found), compare(found.judged, base.judged))
        for cell, found in results
    ]


def entries(results: list[tuple[Cell, Result | str]]) -> list[dict[str, Any]]:
    """The table for a program; a cell that has no result says why in `why`."""
    listed: list[dict[str, Any]] = []
    for (cell, one), paired in zip(results, paired_with_base(results), strict=True):
        named = {"question": cell.question, "answer": cell.answer}
        if isinstance(one, str):
            listed.append({**named, "why": one})
            continue
        scores = {"n": one.n, "accuracy": one.accuracy, "position_consistent": one.consistent, "ci95": one.ci95}
        against, by_pairs = (None, None) if paired is None else (paired[0], paired[1].model_dump(mode="json"))
        listed.append({**named, **scores, "against_base": against, "pair_by_pair": by_pairs})
    return listed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", help="key=value, for every cell")
    parser.add_argument("--only", default="", help="questions, joined by commas; the base runs anyway")
    parser.add_argument("--minutes", type=float, default=20.0, help="a cell may take in one attempt")
    parser.add_argument("--json", action="store_true", help="the table as one JSON object on the last line")
    asked = parser.parse_intermixed_args()  # options may stand between the config and its overrides
    try:
        return ablate(asked)
    except (ModelError, UserError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def ablate(asked: argparse.Namespace) -> int:
    planned = plan(asked.config, asked.overrides, set(filter(None, asked.only.split(","))))
    results: list[tuple[Cell, Result | str]] = []
    out = Path(planned[0][1].run_folder) / "ablations.md" if isinstance(planned[0][1], Config) else None
    for cell, config in planned:
        results.append(
            (cell, run(asked.config, asked.overrides, cell, config, asked.minutes) if isinstance(config, Config) else config)
        )
        if out is not None:
            write_text(out, table(results))
    print(table(results))
    if asked.json:
        print(json.dumps({"cells": entries(results)}))
    return (
        0
        if all(
            isinstance(found, Result) or isinstance(config, str) for (_, found), (_, config) in zip(results, planned, strict=True)
        )
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
