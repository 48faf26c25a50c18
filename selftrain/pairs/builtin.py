"""The builtin pair source: endless, seeded, mechanically checked preference pairs, small enough for a 135M judge.

    generate("train", seed=0)  ->  LabeledPair, LabeledPair, ...

Counterbalanced: two responses are written so that one meets requirement X and breaks Y, the other meets Y and breaks X. They
become twins, one pair asking for X and one asking for Y, with the responses in the same slots and opposite labels. So a judge
that does not read the instruction is right on exactly one of every two, whatever it looks at, and labels are balanced to the
pair. Every claim is checked when it is made (`check`), and again by whoever likes: `notes` has the requirement.

Splits share no base text, hence no response and no instruction. `train`, `validation` and `known` share kinds and wordings;
`wording` asks for known kinds in words nobody trained on; `unseen` has kinds of its own. Twins never part, and any even prefix
has both.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import cycle

from planner.records import Label, LabeledPair, Pair, digest
from selftrain.pairs.checks import check
from selftrain.pairs.draw import SPLITS, Base, Draw, Split
from selftrain.pairs.kinds import KNOWN, UNSEEN
from selftrain.pairs.phrases import PHRASES, Worded
from selftrain.pairs.wordings import TEMPLATES

__all__ = ["KNOWN_KINDS", "SPLITS", "UNSEEN_KINDS", "Split", "check", "generate"]

KNOWN_KINDS: tuple[str, ...] = tuple(KNOWN)
UNSEEN_KINDS: tuple[str, ...] = tuple(UNSEEN)

_PATIENCE = 500
"""Draws of nothing new in a row after which a kind's material counts as used up and is given again."""


def generate(split: Split, seed: int, kinds: Sequence[str] | None = None) -> Iterator[LabeledPair]:
    """Pairs of one split without end, kind after kind; the same for the same arguments, on every machine.

    `kinds`: some of the split's kinds; None for all. No base comes twice until a kind has used up its material. A kind's
    bases do not depend on which other kinds were asked for.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {', '.join(SPLITS)}")
    table = UNSEEN if split == "unseen" else KNOWN
    chosen = tuple(dict.fromkeys(table if kinds is None else kinds))
    wrong = [kind for kind in chosen if kind not in table]
    if wrong or not chosen:
        named = f"no kind {wrong[0]!r}" if wrong else "no kinds"
        raise ValueError(f"{named} in split {split!r}; choose from {', '.join(table)}")
    return _round_robin([_bases(split, seed, kind) for kind in chosen])


def _round_robin(streams: list[Iterator[tuple[LabeledPair, LabeledPair]]]) -> Iterator[LabeledPair]:
    for stream in cycle(streams):
        yield from next(stream)


def _bases(split: Split, seed: int, kind: str) -> Iterator[tuple[LabeledPair, LabeledPair]]:
    """The twins of one kind, base after base."""
    rng = random.Random(f"{split} {seed} {kind}")
    draw, write = Draw(split, rng), {**KNOWN, **UNSEEN}[kind]
    given: set[str] = set()
    while True:
        for _ in range(_PATIENCE):
            twins = _twins(kind, write(draw), draw)
            # Two bases can share a pair: 9 + 9 against 20, whether the 20 stood for 15 + 5 or for 12 + 8.
            keys = {twins[0].group, *(twin.pair.id for twin in twins)}
            if given.isdisjoint(keys):
                break
        else:
            given.clear()
        given |= keys
        yield twins


def _twins(kind: str, base: Base, draw: Draw) -> tuple[LabeledPair, LabeledPair]:
    """The two labelled pairs of a base."""
    for requirement, good, bad in ((base.x, base.first, base.second), (base.y, base.second, base.first)):
        if not check(kind, requirement, good) or check(kind, requirement, bad):
            raise AssertionError(f"{kind}: {requirement!r} does not tell {good!r} from {bad!r}; mend the kind or its checker")
    group = digest(kind, *sorted((base.x, base.y)), *sorted((base.first, base.second)))
    first_is_a = draw.rng.random() < 0.5
    a, b = (base.first, base.second) if first_is_a else (base.second, base.first)
    # One template for both: the requirement is then the only difference between the twins.
    template = draw.one(_heard(TEMPLATES[kind], draw.split))

    def labeled(requirement: str, other: str, better: Label) -> LabeledPair:
        fields = base.fields | _said(kind, requirement, draw)
        return LabeledPair(
            pair=Pair(instruction=template.format_map(fields), response_a=a, response_b=b),
            better=better,
            source="builtin",
            kind=kind,
            group=group,
            notes={"requirement": requirement, "other": other, "base": " | ".join(base.texts), "wording": template},
        )

    return labeled(base.x, base.y, "A" if first_is_a else "B"), labeled(base.y, base.x, "B" if first_is_a else "A")


def _heard(worded: Worded, split: Split) -> tuple[str, ...]:
    """The wordings a split may use. No unseen kind was ever trained, so there all of them are new."""
    if split == "unseen":
        return worded.training + worded.held_out
    return worded.held_out if split == "wording" else worded.training


def _said(kind: str, requirement: str, draw: Draw) -> dict[str, str]:
    """The template's fields that put the requirement into words."""
    phrases = PHRASES.get(kind)
    if phrases is None:
        return {"req": requirement}
    if kind == "word_problem":
        a, key, number = requirement.split()
    else:
        a, (key, _, number) = "", requirement.partition(" ")
    return {"a": a, "req": draw.one(_heard(phrases[key], draw.split)).replace("#", number)}
