"""A report for people: the tables, figures and single judgments of `eval.summary.Report`, for the page, the terminal and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eval.judged import Judged
from eval.report import Figure, JudgmentShown, OrderShown, Page, Table, draw
from eval.summary import Report
from planner.records import Chain, Order, Verdict, flip
from rewards.score import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BROWSER_MOST = 1000
"""Judgments in the page's browser: a page with all texts of a large benchmark would not open."""


def share(value: float | None, ci: Interval | None = None) -> str:
    """A share as a percentage, with its interval."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" + (f" [{100 * ci[0]:.1f}, {100 * ci[1]:.1f}]" if ci else "")


def summary_table(report: Report) -> Table:
    """Every score of this judge, each under the name of its protocol."""
    found, rows = report.strict, []
    protocol = "official protocol, this part" if report.missing else "official"
    for name, value in report.official.items():
        ci = report.official_ci95.get(name)
        rows.append((f"{protocol}: {name}", f"{value:.2f}" + (f" [{ci[0]:.1f}, {ci[1]:.1f}]" if ci else "")))
    score = found.score
    rows += [
        ("position-consistent accuracy", share(score.position_consistent, score.ci95["position_consistent"])),
        ("accuracy, both orders", share(score.accuracy, score.ci95["accuracy"])),
        ("accuracy, forced verdicts not right", share(score.accuracy_free, score.ci95["accuracy_free"])),
        ("accuracy, orders merged by mean P(A)", share(found.merged, found.merged_ci95)),
        ("flips: pairs whose orders disagree", share(score.flip)),
        ("verdicts for the response shown first", share(found.score.first_position)),
        ("verdicts for the longer response", f"{share(found.longer)} (of the labels: {share(found.longer_gold)})"),
        ("no verdict", share(score.no_verdict)),
        ("cut off", share(score.cut_off)),
        ("forced", share(score.forced)),
        ("refused", share(found.refused)),
        ("too long for the context, not asked", f"{report.over_long} pairs"),
        ("tokens a judgment", f"{score.tokens:,.0f}"),
    ]
    return Table(
        title="Scores",
        note=f"Official protocol: {report.protocol}. All others are ours: both orders, an unread verdict never right; "
        "95 % intervals by bootstrap over prompts.",
        columns=("score", "value"),
        rows=tuple(rows),
    )


def category_table(report: Report) -> Table:
    """Every rate of the summary, by category."""
    columns = ("category", "pairs", "position-consistent", "accuracy", "flips", "first shown", "longer", "no verdict", "cut off", "forced",
               "refused")  # fmt: skip
    rows = []
    for kind, one in report.categories.items():
        score = one.score
        rates = (score.flip, score.first_position, one.longer, score.no_verdict, score.cut_off, score.forced, one.refused)
        rows.append(
            (kind, f"{score.n:,}", share(score.position_consistent, score.ci95["position_consistent"]),
             share(score.accuracy, score.ci95["accuracy"]), *map(share, rates))
        )  # fmt: skip
    return Table(title="By category", columns=columns, rows=tuple(rows))


def published_table(report: Report) -> Table:
    """Published judges, and this one beside them where it has the score that they have."""
    rows = [(one.judge, f"{one.score:.1f}", one.what, one.source) for one in report.published]
    for name in ("overall", "consistent overall", "accuracy"):
        if name in report.official and not report.missing:
            rows.append((f"{report.judge} (this run)", f"{report.official[name]:.1f}", name, "this report"))
    consistent = f"position-consistent, {report.n:,} pairs" + (" of a part: compares with none of these" if report.missing else "")
    rows.append((f"{report.judge} (this run)", f"{100 * report.strict.score.position_consistent:.1f}", consistent, "this report"))
    return Table(
        title="Published judges",
        note="Protocols differ: compare only what counts the same.",
        columns=("judge", "score", "which", "source"),
        rows=tuple(rows),
    )


def comparison_table(report: Report) -> Table:
    rows = tuple(
        (other, one.outlook, f"{100 * one.difference:+.1f} [{100 * one.ci95[0]:.1f}, {100 * one.ci95[1]:.1f}]", share(one.ours), share(one.theirs),
         f"{one.only_ours} / {one.only_theirs}", f"{one.p:.3f}", share(one.changed))
        for other, one in report.against.items()
    )  # fmt: skip
    return Table(
        title="Against other judges",
        note="By pairs right in both orders. “better” and “worse” only where the exact McNemar test over prompts (p < 0.05) and the "
        "interval of the difference both say so.",
        columns=("judge", "this one is", "difference", "this", "other", "prompts won / lost", "p", "verdicts that differ"),
        rows=rows,
    )


def figures(report: Report) -> list[Figure]:
    found = []
    if report.calibration is not None:
        measured = report.calibration

        def reliability(axes: Axes) -> None:
            axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
            axes.plot([b.mean_p for b in measured.bins], [b.share_a for b in measured.bins], marker="o")
            for one in measured.bins:
                axes.annotate(f"n={one.n}", (one.mean_p, one.share_a), textcoords="offset points", xytext=(5, -11), fontsize=8)
            axes.set(xlabel="P(A), mean of a tenth", ylabel="how often A is better", xlim=(0, 1), ylim=(0, 1))

        def covered(axes: Axes) -> None:
            axes.plot([c.coverage for c in measured.coverage], [c.accuracy for c in measured.coverage], marker="o")
            axes.axhline(0.5, linestyle="--", color="grey", linewidth=1)
            axes.set(
                xlabel="share of pairs judged, the surest first", ylabel="accuracy, orders merged", xlim=(0, 1.02), ylim=(0, 1.02)
            )

        note = f"{measured.n:,} judgments with P(A): ECE {measured.ece:.3f}, Brier score {measured.brier:.3f} (a coin's is 0.250)."
        found += [draw("Reliability", note, reliability), draw("Accuracy by coverage", "", covered)]
    if report.votes:

        def scaling(axes: Axes) -> None:
            for rule in ("majority", "mean_p"):
                points = [point for point in report.votes if point.rule == rule]
                axes.plot(
                    [p.tokens for p in points], [p.position_consistent for p in points], marker="o", label=rule.replace("_", " ")
                )
                for point in points:
                    axes.annotate(
                        f"k={point.votes}",
                        (point.tokens, point.position_consistent),
                        textcoords="offset points",
                        xytext=(4, 4),
                        fontsize=8,
                    )
            axes.set(xlabel="tokens generated a pair", ylabel="position-consistent accuracy", xscale="log", ylim=(0, 1))
            axes.legend()

        found.append(draw("Test-time scaling", "k votes in each order.", scaling))
    return found


def page_of(report: Report, judged: Sequence[Judged]) -> Page:
    """The report as a page, with a browser of its judgments."""
    shown = sorted((_shown(one) for one in judged), key=lambda one: ("right" in one.flags, "no verdict" not in one.flags))
    sections: list[Table | Figure] = [summary_table(report)]
    if report.against:
        sections.append(comparison_table(report))
    sections += [published_table(report), category_table(report), *figures(report)]
    warnings = []
    if report.missing:
        parts = ", ".join(f"{part} {found:,} of {whole:,}" for part, (found, whole) in report.missing.items())
        warnings.append(
            f"Only part of the benchmark was judged ({parts}): there is no official total, and no published number compares."
        )
    if report.strict.score.forced:
        warnings.append(
            f"{share(report.strict.score.forced)} of the verdicts were read from the probabilities, because the text named none."
        )
    more = f"; {len(shown) - _BROWSER_MOST:,} more are in the run's judgments" if len(shown) > _BROWSER_MOST else ""
    return Page(
        title=report.title,
        lead=(f"{report.n:,} pairs, each judged in both orders; asked in the style {report.style}.",),
        warnings=tuple(warnings),
        sections=tuple(sections),
        browser_note=f"{min(len(shown), _BROWSER_MOST):,} pairs, wrong ones first{more}. Verdicts and P(A) are in the naming of the pair as it stands; the better response is framed.",
        judgments=tuple(shown[:_BROWSER_MOST]),
        footer=f"evalplanner eval · {', '.join(f'{key} {value}' for key, value in report.recipe.items())}",
    )


_SAYS: Mapping[Verdict, str] = {"A": "A is better", "B": "B is better", "tie": "tie", "none": "no verdict"}


def _shown(one: Judged) -> JudgmentShown:
    pair = one.labeled.pair
    said = {one.said(order) for order in one.chains}
    flags = ["right" if one.both_right else "wrong"]
    flags += ["flipped"] if said >= {"A", "B"} else []
    flags += ["no verdict"] if "none" in said else []
    flags += ["forced"] if any(chain.forced for chain in one.chains.values()) else []
    return JudgmentShown(
        flags=tuple(flags),
        kind=one.labeled.kind,
        gold=one.labeled.better,
        instruction=pair.question,
        response_a=pair.response_a,
        response_b=pair.response_b,
        orders=tuple(order_shown(order, chain, one.p_a(order)) for order, chain in one.chains.items()),
    )


def order_shown(order: Order, chain: Chain, p_a: float | None) -> OrderShown:
    """A chain for the page's browser. `p_a`: that `response_a` is better, whatever the order shown."""
    verdict = flip(chain.verdict) if order == "ba" else chain.verdict
    marks = [
        name
        for name, holds in (("forced", chain.forced), ("cut off", chain.cut_off), ("contradicts itself", chain.disagrees))
        if holds
    ]
    stated = [f"P(A) {p_a:.2f}"] if p_a is not None else []
    return OrderShown(
        title="As given" if order == "ab" else "Swapped: here the judge calls response B its A",
        plan=chain.plan or "",
        execution=chain.execution,
        verdict=" · ".join([_SAYS[verdict], *stated, *marks]),
        text=chain.completion.text,
    )
