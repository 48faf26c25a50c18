"""Looking inside: the chains of a run or of an evaluation, filtered, and two executions of one plan with their differences marked.

What comes from a model or a data set leaves here escaped: `Markup` is what is ours, everything else in it is text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup, escape

from eval.collect import Vote, final
from planner.errors import UserError
from planner.execute import ForcedVerdict
from planner.records import ORDERS, Chain, LabeledPair, Outcome
from planner.store import Shards, read_jsonl
from rewards.outcome import judged
from ui.runs import RunFolder

MOST = 200
"""Chains that one look lists; the filters look through all."""
ANY = "any"
_EVALUATIONS = "eval"
"""Where `evalplanner eval` puts its folders, below that of the runs."""


class Entry(NamedTuple):
    labeled: LabeledPair
    chain: Chain
    outcome: Outcome

    @property
    def title(self) -> str:
        """One line that a list shows."""
        said = " ".join(self.labeled.pair.instruction.split())
        short = said[:70] + "…" if len(said) > 71 else said
        forced = ", forced" if self.chain.forced else ""
        return f"{self.outcome.replace('_', ' ')}{forced} · {self.chain.order} · {self.labeled.kind} · {short}"


class Filters(NamedTuple):
    """`any` lets everything through."""

    outcome: str = ANY
    order: str = ANY
    kind: str = ANY


def sources(runs: Path) -> list[str]:
    """What there is to look into below the folder of runs: sampling stages, measured judges, and evaluations."""
    found = []
    for config in sorted(runs.glob("*/config.toml")):
        folder = config.parent
        found += [str(path.parent.relative_to(runs)) for path in sorted(folder.glob("iter-*/*/judged.jsonl"))]
        found += [str(path.relative_to(runs)) for path in sorted(folder.glob("eval/*/*")) if path.is_dir()]
    return found + [str(path.parent.relative_to(runs)) for path in sorted(runs.glob(f"{_EVALUATIONS}/*/judgments"))]


def entries(runs: Path, source: str) -> Iterator[Entry]:
    """Every chain of a source, all of one pair and order one after another.

    Raises:
        UserError: no such source, or a bad line.
    """
    pairs = _pairs(runs, source)
    room, *stage = Path(source).parts
    if room == _EVALUATIONS:
        forced = Shards(runs / source / "forced", ForcedVerdict)
        for vote in Shards(runs / source / "judgments", Vote):
            yield _entry(pairs[vote.chain.pair_id], final(vote, forced))
    elif stage[0] == "eval":
        for chain in Shards(runs / source, Chain):
            yield _entry(pairs[chain.pair_id], chain)
    else:
        for one in RunFolder(runs / room).judged_chains("/".join(stage)):
            yield Entry(pairs[one.chain.pair_id], one.chain, one.outcome)


def _pairs(runs: Path, source: str) -> dict[str, LabeledPair]:
    """The pairs that a source's chains are about, by id."""
    if source not in sources(runs):
        raise UserError(f"there is nothing called {source!r} to look into")
    room, *stage = Path(source).parts
    if room == _EVALUATIONS:
        return {one.pair.id: one for one in read_jsonl(runs / source / "pairs.jsonl", LabeledPair)}
    run = RunFolder(runs / room)
    return run.pairs(stage[2]) if stage[0] == "eval" else run.training_pairs("/".join(stage))


def _entry(labeled: LabeledPair, chain: Chain) -> Entry:
    return Entry(labeled, chain, judged(chain, labeled).outcome)


def kinds(runs: Path, source: str) -> list[str]:
    """Of the pairs that a source's chains are about."""
    return sorted({one.kind for one in _pairs(runs, source).values()})


def look(runs: Path, source: str, filters: Filters) -> list[Entry]:
    """The first `MOST` chains that pass."""

    def passes(one: Entry) -> bool:
        return (
            filters.outcome in (ANY, one.outcome)
            and filters.order in (ANY, one.chain.order)
            and filters.kind in (ANY, one.labeled.kind)
        )

    return list(islice(filter(passes, entries(runs, source)), MOST))


def contrasts(runs: Path, source: str, filters: Filters) -> list[tuple[Entry, Entry]]:
    """A right and a wrong execution of one plan in one order: the first of each that has both. Filters by order and kind."""

    def both() -> Iterator[tuple[Entry, Entry]]:
        for (_, order), drawn in groupby(entries(runs, source), key=lambda one: (one.chain.pair_id, one.chain.order)):
            by_plan: dict[str, dict[Outcome, Entry]] = {}
            for one in drawn:
                if one.chain.plan_id and filters.order in (ANY, order) and filters.kind in (ANY, one.labeled.kind):
                    by_plan.setdefault(one.chain.plan_id, {}).setdefault(one.outcome, one)
            yield from ((of["right"], of["wrong"]) for of in by_plan.values() if {"right", "wrong"} <= of.keys())

    return list(islice(both(), MOST))


# -- as HTML -----------------------------------------------------------------------------------------------------------


def shown(one: Entry) -> str:
    """A pair and a chain of it."""
    return Markup('<div class="look">{head}{body}</div>').format(head=_pair(one), body=_chain(one, escape(one.chain.execution)))


def side_by_side(right: Entry, wrong: Entry) -> str:
    """Two executions of one plan; words that only one of them has are marked."""
    left, other = _marked(right.chain.execution, wrong.chain.execution)
    return Markup('<div class="look">{head}<div class="two">{left}{other}</div></div>').format(
        head=_pair(right), left=_chain(right, left), other=_chain(wrong, other)
    )


def _pair(one: Entry) -> Markup:
    pair = one.labeled.pair
    return Markup(
        "<p>{kind} · better: response {better}</p>{instruction}<div class='two'>{a}{b}</div>"
    ).format(
        kind=one.labeled.kind, better=one.labeled.better, instruction=_block("Instruction", escape(pair.question)),
        a=_block("Response A", escape(pair.response_a)), b=_block("Response B", escape(pair.response_b)),
    )  # fmt: skip


def _chain(one: Entry, execution: Markup) -> Markup:
    chain = one.chain
    where = "as given" if chain.order == ORDERS[0] else "swapped: here the judge calls response B its A"
    stated = "" if chain.p_a is None else f" · P(A) {chain.p_a:.2f}"
    marks = "".join(f" · {mark}" for mark, holds in (("forced", chain.forced), ("cut off", chain.cut_off)) if holds)
    verdict = f"{one.outcome.replace('_', ' ')} · it said {chain.verdict}{stated}{marks}"
    return Markup("<section><h3>Order: {where}</h3>{plan}{execution}{verdict}</section>").format(
        where=where, plan=_block("Plan", escape(chain.plan or "(no plan)")), execution=_block("Execution", execution),
        verdict=_block("Verdict, in the naming of this order", escape(verdict)),
    )  # fmt: skip


def _block(title: str, text: Markup) -> Markup:
    return Markup("<div><h4>{title}</h4><p class='text'>{text}</p></div>").format(title=title, text=text)


def _marked(one: str, other: str) -> tuple[Markup, Markup]:
    """Both texts with the words that the other lacks in <mark>."""
    a, b = _words(one), _words(other)
    found: tuple[list[Markup], list[Markup]] = ([], [])
    for kind, i, j, k, m in difflib.SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes():
        for words, out in (("".join(a[i:j]), found[0]), ("".join(b[k:m]), found[1])):
            if words:
                out.append(escape(words) if kind == "equal" else Markup("<mark>{}</mark>").format(words))
    return Markup("").join(found[0]), Markup("").join(found[1])


def _words(text: str) -> list[str]:
    """Words, each with the blanks that follow it: joined, they are the text."""
    found: list[str] = []
    for piece in text.split(" "):
        found.append(piece + " ")
    return [*found[:-1], found[-1].removesuffix(" ")]
