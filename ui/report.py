"""The report of a run: `runs/<name>/report.html`, one file that needs no network, on eval's page.

    python -m ui.report runs/demo          # what `evalplanner report runs/demo` and the end of every run call

A run that is still going on is shown as far as it has come.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from eval.judged import Judged
from eval.metrics import by_kind
from eval.pages import order_shown, share
from eval.report import JudgmentShown, OrderShown, Page, Section, Table, Text, render
from planner.errors import UserError
from planner.records import Chain, JudgedChain, LabeledPair
from planner.store import write_text
from rewards.outcome import outcome
from rewards.score import Score, score
from selftrain.summary import coin
from ui.plots import accuracy_figures, length_figures, training_figures
from ui.runs import SEED, RunFolder

_SHOWN = 400
"""Pairs in the page's browser: enough to read, and a page that a phone opens."""


def write_report(folder: Path) -> Path:
    """Write the report of a run into its folder.

    Raises:
        UserError: no run folder, or a bad line in one of its files.
    """
    path = folder / "report.html"
    write_text(path, render(page_of(RunFolder(folder))))
    return path


def page_of(run: RunFolder) -> Page:
    scores = {
        (name, split): score(judged, seed=run.config.seed)
        for name, splits in run.measured.items()
        for split, judged in splits.items()
    }
    sections: list[Section | None] = [
        checkpoint_table(run, scores) if scores else None,
        tie_table(scores),
        *accuracy_figures(run, scores),
        kind_table(run),
        outcome_table(run),
        diversity_table(run),
        *length_figures(run),
        *training_figures(run),
        ledger_table(run),
        attempt_table(run),
        Text(title="Configuration", note="As resolved before the first token: the TOML file of this run.", text=run.config_text),
    ]
    examples, note = _examples(run)
    return Page(
        title=f"Run {run.config.name}",
        lead=(f"Seed model {run.config.model}; prompts {run.config.prompts}; pairs from {run.config.pairs.source}.", *_state(run)),
        warnings=_warnings(run),
        sections=tuple(one for one in sections if one is not None and getattr(one, "rows", True)),
        browser_note=note,
        judgments=tuple(examples),
        footer=f"evalplanner report {run.folder}",
    )


def _state(run: RunFolder) -> list[str]:
    if run.finished:
        return ["The run is finished."]
    last = run.stages[-1]["stage"] if run.stages else "none yet"
    return [f"The run is {'going on' if run.running else 'stopped and unfinished'}; last finished stage: {last}."]


def _warnings(run: RunFolder) -> tuple[str, ...]:
    if run.config.pairs.source != "gsm8k_solutions":
        return ()
    return ("Contaminated: trained on solutions of GSM8K test problems; do not report these checkpoints on GSM8K.",)


# -- tables ------------------------------------------------------------------------------------------------------------


def checkpoint_table(run: RunFolder, scores: dict[tuple[str, str], Score]) -> Table:
    """Every judge on every held-out split, with intervals, beside a coin."""
    rows: list[tuple[str, ...]] = [
        (
            f"{name} (control)" if name in run.controls else name, split, f"{one.n:,}",
            share(one.accuracy, one.ci95["accuracy"]), share(one.accuracy_free, one.ci95["accuracy_free"]),
            share(one.position_consistent, one.ci95["position_consistent"]), share(one.flip), share(one.first_position),
            share(one.forced), share(one.no_verdict), share(one.cut_off), f"{one.tokens:,.0f}",
        )
        for (name, split), one in scores.items()
    ]  # fmt: skip
    chance = coin(run.config)
    named = "chance" if run.config.ties else "coin"
    rows.append((named, "", "", share(chance["accuracy"]), "", share(chance["position_consistent"]), *[""] * 6))
    return Table(
        title="Checkpoints on held-out pairs",
        note="Every pair is judged in both orders. Position-consistent: right in both. Unforced: a verdict read from the probabilities, "
        "because the text named none, counts as not right. 95 % intervals by bootstrap over prompts.",
        columns=("judge", "split", "n (pairs)", "accuracy", "accuracy, unforced", "position-consistent", "orders flip",
                 "verdicts for first shown", "forced", "no verdict", "cut off", "tokens a judgment"),
        rows=tuple(rows),
    )  # fmt: skip


def tie_table(scores: dict[tuple[str, str], Score]) -> Table:
    """Where pairs are labelled ties: how often one is said, and which label got which verdict."""
    rows = []
    for (name, split), one in scores.items():
        if one.ties is not None:
            cells = (" / ".join(f"{found[said]:,}" for said in ("A", "B", "tie", "none")) for found in one.ties.confusion.values())
            rows.append((
                name, split, f"{one.ties.n:,} of {one.n:,}", share(one.ties.accuracy, one.ties.ci95["accuracy"]),
                share(one.ties.said, one.ties.ci95["said"]), *cells,
            ))  # fmt: skip
    return Table(
        title="Ties on held-out pairs",
        note="Accuracy on the pairs labelled a tie, and how often a tie was said of any pair, each with its 95 % interval. Then, for each "
        "label, how many judgments said A / B / tie / nothing, in the naming of the prompt.",
        columns=("judge", "split", "ties (pairs)", "right on ties", "ties said", "labelled A", "labelled B", "labelled tie"),
        rows=tuple(rows),
    )


def kind_table(run: RunFolder) -> Table:
    """The seed and the last checkpoint, by kind of instruction."""
    rows = []
    for name in dict.fromkeys((run.checkpoints[0], run.checkpoints[-1])):
        judged = [one for found in run.measured.get(name, {}).values() for one in found]
        for kind, found in by_kind(judged, seed=run.config.seed).items() if judged else ():
            one = found.score
            named = 1 - one.no_verdict - one.cut_off
            rows.append((
                kind, name, f"{one.n:,}", share(one.accuracy), share(named - one.accuracy), share(one.no_verdict),
                share(one.cut_off), share(one.flip), share(one.position_consistent, one.ci95["position_consistent"]),
            ))  # fmt: skip
    return Table(
        title="Outcomes and order flips by kind of instruction",
        note="Seed and last checkpoint on all held-out pairs. Right, wrong, no verdict and cut off are shares of the judgments, two a pair; "
        "flips and position-consistent are shares of the pairs.",
        columns=("kind", "judge", "n (pairs)", "right", "wrong", "no verdict", "cut off", "orders flip", "position-consistent"),
        rows=tuple(sorted(rows, key=lambda row: (row[0], row[1] != SEED))),
    )


def outcome_table(run: RunFolder) -> Table:
    by_name = {one["stage"]: one for one in run.stages}
    rows = []
    for stage in run.sampling_stages:
        found, made = by_name.get(f"{stage}/sample"), by_name.get(f"{stage}/rows", {})
        if found:
            shares = (share(found[name] / found["chains"]) for name in ("right", "wrong", "no_verdict", "cut_off", "forced"))
            left_out = ", ".join(
                f"{name.replace('_', ' ')} {n:,}" for name, n in made.items() if name not in ("stage", "rows", "seconds") and n
            )
            rows.append((stage, f"{found['chains']:,}", *shares, f"{made.get('rows', 0):,}", left_out or "–"))
    return Table(
        title="Chains drawn for training",
        note="Outcomes are shares of a stage's chains; right, wrong, no verdict and cut off add up to all of them.",
        columns=("stage", "n (chains)", "right", "wrong", "no verdict", "cut off", "forced", "training rows", "left out"),
        rows=tuple(rows),
    )


def diversity_table(run: RunFolder) -> Table:
    rows = []
    for stage in run.sampling_stages:
        found = run.diversity(stage)
        if found:
            overlap = "–" if found.overlap is None else f"{found.overlap:.2f}"
            rows.append((stage, f"{found.prompts:,}", f"{found.plans:,}", f"{found.cut_off:,}", share(found.distinct), overlap))
    return Table(
        title="Plan diversity",
        note="Among the plans drawn from one prompt. Distinct: different texts / plans. Word overlap: words that two plans share / "
        "words of both; 1 is the same words. Means over prompts.",
        columns=("stage", "n (prompts)", "n (plans)", "plans cut off", "distinct", "word overlap"),
        rows=tuple(rows),
    )


def ledger_table(run: RunFolder) -> Table:
    """Seconds and tokens a stage, and their sums."""
    counted = [
        (one["stage"], *(float(one.get(key, 0)) for key in ("seconds", "prompt", "cached", "generated", "train_tokens")))
        for one in run.stages
    ]
    sums = ("all", *(sum(row[i] for row in counted) for i in range(1, 6)))

    def cells(row: Any) -> tuple[str, ...]:
        stage, seconds, *tokens = row
        made = tokens[2] + tokens[3]
        return (stage, f"{seconds:,.1f}", *(f"{n:,.0f}" for n in tokens), f"{made / seconds:,.0f}" if made and seconds else "–")

    return Table(
        title="Time and tokens",
        note="Wall-clock seconds of each finished stage, starting its processes included. Tokens read by the engine, of which the prefix "
        "cache served some; tokens generated; tokens trained on. The rate is generated and trained tokens a second.",
        columns=("stage", "seconds", "prompt tokens", "of these cached", "generated", "trained on", "tokens/s"),
        rows=tuple(map(cells, [*counted, sums])) if counted else (),
    )


def attempt_table(run: RunFolder) -> Table:
    rows = tuple(
        (one["time"], str(one["processes"]), one["commit"] or "not from a checkout",
         ", ".join(f"{name} {version}" for name, version in one["versions"].items()))
        for one in run.attempts
    )  # fmt: skip
    return Table(title="Attempts", columns=("started", "processes", "commit", "versions"), rows=rows)


# -- examples ----------------------------------------------------------------------------------------------------------


def _examples(run: RunFolder) -> tuple[Sequence[JudgmentShown], str]:
    """Held-out pairs judged by the seed and by the last checkpoint; before these are measured, chains of the last stage."""
    first, last = run.measured.get(SEED, {}), run.measured.get(run.checkpoints[-1], {})
    if run.checkpoints[-1] != SEED and first and last:
        both = [(a, b) for split in first.keys() & last.keys() for a, b in zip(first[split], last[split], strict=True)]
        both.sort(key=lambda two: two[0].both_right == two[1].both_right)  # what changed first
        note = (
            f"{min(len(both), _SHOWN):,} of {len(both):,} held-out pairs, those that changed first: the seed's chains, then "
            f"{run.checkpoints[-1]}'s. Verdicts are in the naming of the pair as it stands; the better response is framed."
        )
        return [_before_and_after(*two, run.checkpoints[-1]) for two in both[:_SHOWN]], note
    for stage in reversed(run.sampling_stages):
        chains = list(islice(run.judged_chains(stage), _SHOWN))
        if chains:
            note = f"The first {len(chains):,} chains of {stage}. Nothing is measured on held-out pairs yet."
            return list(_drawn(chains, run.training_pairs(stage))), note
    return [], ""


def _before_and_after(before: Judged, after: Judged, name: str) -> JudgmentShown:
    flags = [f"{SEED} {_right(before)}", f"{name} {_right(after)}"]
    flags += ["changed"] if before.both_right != after.both_right else []
    labeled = before.labeled
    return JudgmentShown(
        flags=tuple(flags), kind=labeled.kind, gold=labeled.better, instruction=labeled.pair.question,
        response_a=labeled.pair.response_a, response_b=labeled.pair.response_b,
        orders=tuple(
            _named(who, order_shown(order, chain, one.p_a(order)), chain, labeled)
            for who, one in ((SEED, before), (name, after))
            for order, chain in one.chains.items()
        ),
    )  # fmt: skip


def _right(one: Judged) -> str:
    return "right" if one.both_right else "wrong"


def _named(who: str, shown: OrderShown, chain: Chain, labeled: LabeledPair) -> OrderShown:
    found = outcome(chain, labeled.gold(chain.order)).replace("_", " ")
    return shown.model_copy(update={"title": f"{who} · {shown.title}", "verdict": f"{shown.verdict} · {found}"})


def _drawn(chains: Iterable[JudgedChain], pairs: dict[str, LabeledPair]) -> Iterable[JudgmentShown]:
    for one in chains:
        labeled = pairs[one.chain.pair_id]
        p_a = one.chain.p_a if one.chain.order == "ab" or one.chain.p_a is None else 1 - one.chain.p_a
        yield JudgmentShown(
            flags=(one.outcome.replace("_", " "), *(["forced"] if one.chain.forced else [])),
            kind=labeled.kind, gold=labeled.better, instruction=labeled.pair.question,
            response_a=labeled.pair.response_a, response_b=labeled.pair.response_b,
            orders=(order_shown(one.chain.order, one.chain, p_a),),
        )  # fmt: skip


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__)
        return 2
    try:
        print(write_report(Path(arguments[0])))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
