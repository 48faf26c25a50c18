"""The builtin pair source: endless, seeded, mechanically checked preference pairs, small enough for a 135M judge.

    generate("train", seed=0)  ->  LabeledPair, LabeledPair, ...
    python -m selftrain.pairs.builtin known 840 fresh.jsonl --seed 77     # which `evalplanner eval pairs` reads

Counterbalanced: two responses are written so that one meets requirement X and breaks Y, the other meets Y and breaks X. They
become twins, one pair asking for X and one asking for Y, with the responses in the same slots and opposite labels. So a judge
that does not read the instruction is right on exactly one of every two, whatever it looks at, and labels are balanced to the
pair. Every claim is checked when it is made (`check`), and again by whoever likes: `notes` has the requirement.

With a share of ties, some bases are asked for a third requirement, which their responses both break (or both meet: a word that
neither has), and for "x or y", which both meet; and half of the other bases for "x or z" and "y or z", so that an "or" says no
more of the label than the responses do. Still a judge blind to the instruction, or to the responses, gains nothing.

Splits share no base text, hence no response and no instruction. `train`, `validation` and `known` share kinds and wordings;
`wording` asks for known kinds in words nobody trained on; `unseen` has kinds of its own. Twins never part, and any even prefix
has both.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from itertools import count, cycle, islice
from pathlib import Path
from typing import Literal

from planner.errors import Arguments
from planner.records import Label, LabeledPair, Pair, digest
from planner.store import write_jsonl
from selftrain.pairs.checks import check
from selftrain.pairs.draw import SPLITS, Base, Draw, Split
from selftrain.pairs.kinds import KNOWN, UNSEEN
from selftrain.pairs.phrases import PHRASES, Worded
from selftrain.pairs.wordings import TEMPLATES

__all__ = ["KNOWN_KINDS", "SPLITS", "UNSEEN_KINDS", "Split", "check", "generate", "meets"]

KNOWN_KINDS: tuple[str, ...] = tuple(KNOWN)
UNSEEN_KINDS: tuple[str, ...] = tuple(UNSEEN)

Asked = tuple[str, ...]
"""The requirements of one instruction: one, or two with an "or" between them."""
OR = " ∨ "
"""Between them in `notes`."""
_FORBIDS = frozenset({"forbidden_word"})
"""Kinds whose requirement is what must not be: with "or", neither may be."""
_NO_OR = frozenset({"arithmetic", "word_problem", "copy"})
"""Kinds whose instruction cannot ask for one of two things."""
_NO_THIRD = frozenset({"numerals"})
"""Kinds with two requirements in all, which hence have no ties."""
_PATIENCE = 500
"""Draws of nothing new in a row after which a kind's material counts as used up and is given again."""


def generate(split: Split, seed: int, kinds: Sequence[str] | None = None, ties: float = 0.0) -> Iterator[LabeledPair]:
    """Pairs of one split without end, kind after kind; the same for the same arguments, on every machine.

    `kinds`: some of the split's kinds; None for all. `ties`: share of pairs that are ties, in every kind but those of two requirements.
    No base comes twice until a kind has used up its material. A kind's bases do not depend on which other kinds were asked for.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {', '.join(SPLITS)}")
    table = UNSEEN if split == "unseen" else KNOWN
    chosen = tuple(dict.fromkeys(table if kinds is None else kinds))
    wrong = [kind for kind in chosen if kind not in table]
    if wrong or not chosen:
        named = f"no kind {wrong[0]!r}" if wrong else "no kinds"
        raise ValueError(f"{named} in split {split!r}; choose from {', '.join(table)}")
    return _round_robin([_bases(split, seed, kind, ties) for kind in chosen])


def _round_robin(streams: list[Iterator[tuple[LabeledPair, LabeledPair]]]) -> Iterator[LabeledPair]:
    for stream in cycle(streams):
        yield from next(stream)


def _bases(split: Split, seed: int, kind: str, ties: float) -> Iterator[tuple[LabeledPair, LabeledPair]]:
    """The twins of one kind, base after base."""
    rng = random.Random(f"{split} {seed} {kind}")
    draw, write = Draw(split, rng), {**KNOWN, **UNSEEN}[kind]
    given: set[str] = set()
    # Where a kind begins in its round of ties and others: spread out, so that the first base of each kind has the share as well.
    phase = [*KNOWN, *UNSEEN].index(kind) * 0.618 % 1
    for place in count():
        tie = int((place + 1) * ties + phase) > int(place * ties + phase)
        for _ in range(_PATIENCE):
            base = write(draw)
            asks = _plain(base) if not ties or kind in _NO_THIRD else _asks(kind, base, draw, tie=tie)
            twins = _twins(kind, base, draw, asks)
            # Two bases can share a pair: 9 + 9 against 20, whether the 20 stood for 15 + 5 or for 12 + 8.
            keys = {twins[0].group, *(twin.pair.id for twin in twins)}
            if given.isdisjoint(keys):
                break
        else:
            given.clear()
        given |= keys
        yield twins


def _plain(base: Base) -> tuple[Asked, Asked]:
    return (base.x,), (base.y,)


def _asks(kind: str, base: Base, draw: Draw, *, tie: bool) -> tuple[Asked, Asked]:
    """What a base's twins ask for where there are ties: each one requirement, or either of two."""
    either = kind not in _NO_OR
    if not tie and not (either and draw.rng.random() < 0.5):
        return _plain(base)
    for _ in range(_PATIENCE):
        z, other = _third(kind, base, draw), _third(kind, base, draw)
        if not tie:
            asks: tuple[Asked, Asked] = draw.two((base.x, z)), draw.two((base.y, z))
        else:
            asks = (draw.two((base.x, base.y)) if either else (other,)), (z,)
        labels = [_better(kind, one, base) for one in asks]
        if asks[0] != asks[1] and labels == (["tie", "tie"] if tie else ["first", "second"]):
            return asks
    raise AssertionError(f"{kind}: no third requirement makes {base.first!r} and {base.second!r} a tie; name it in _NO_THIRD")


def _third(kind: str, base: Base, draw: Draw) -> str:
    """A requirement of another base."""
    while (z := {**KNOWN, **UNSEEN}[kind](draw).x) in (base.x, base.y):
        pass
    return z


def meets(kind: str, asked: Asked, response: str) -> bool:
    """Whether a response meets one of the requirements, or all where they say what must not be."""
    every = all if kind in _FORBIDS else any
    return every(check(kind, one, response) for one in asked)


def _better(kind: str, asked: Asked, base: Base) -> Literal["first", "second", "tie"]:
    first, second = (meets(kind, asked, response) for response in (base.first, base.second))
    return "tie" if first == second else "first" if first else "second"


def _twins(kind: str, base: Base, draw: Draw, asks: tuple[Asked, Asked]) -> tuple[LabeledPair, LabeledPair]:
    """The two labelled pairs of a base."""
    for requirement, good, bad in ((base.x, base.first, base.second), (base.y, base.second, base.first)):
        if not check(kind, requirement, good) or check(kind, requirement, bad):
            raise AssertionError(f"{kind}: {requirement!r} does not tell {good!r} from {bad!r}; mend the kind or its checker")
    group = digest(kind, *sorted((base.x, base.y)), *sorted((base.first, base.second)))
    first_is_a = draw.rng.random() < 0.5
    a, b = (base.first, base.second) if first_is_a else (base.second, base.first)
    # One template for both: the requirement is then the only difference between the twins.
    template = draw.one(_heard(TEMPLATES[kind], draw.split))

    def labeled(asked: Asked, others: Asked) -> LabeledPair:
        fields = base.fields | _said(kind, asked, draw, template)
        better = _better(kind, asked, base)
        label: Label = "tie" if better == "tie" else "A" if (better == "first") == first_is_a else "B"
        return LabeledPair(
            pair=Pair(instruction=template.format_map(fields), response_a=a, response_b=b),
            better=label,
            source="builtin",
            kind=kind,
            group=group,
            notes={"requirement": OR.join(asked), "other": OR.join(others), "base": " | ".join(base.texts), "wording": template},
        )

    return labeled(asks[0], asks[1]), labeled(asks[1], asks[0])


def _heard(worded: Worded, split: Split) -> tuple[str, ...]:
    """The wordings a split may use. No unseen kind was ever trained, so there all of them are new."""
    if split == "unseen":
        return worded.training + worded.held_out
    return worded.held_out if split == "wording" else worded.training


def _said(kind: str, asked: Asked, draw: Draw, template: str) -> dict[str, str]:
    """The template's fields that put what is asked into words."""
    if len(asked) > 1:
        said = [_said(kind, (one,), draw, template)["req"] for one in asked]
        return {"req": ('" or "' if '"{req}"' in template else " or ").join(said)}
    (requirement,) = asked
    phrases = PHRASES.get(kind)
    if phrases is None:
        return {"req": requirement}
    if kind == "word_problem":
        a, key, number = requirement.split()
    else:
        a, (key, _, number) = "", requirement.partition(" ")
    return {"a": a, "req": draw.one(_heard(phrases[key], draw.split)).replace("#", number)}


def main(arguments: Sequence[str]) -> int:
    """Write pairs to a file."""
    parser = Arguments(prog="python -m selftrain.pairs.builtin", description="Write builtin pairs, JSON lines.")
    parser.add_argument("split", choices=SPLITS)
    parser.add_argument("pairs", type=int, help="how many; twins stand together")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="a run's own held-out pairs are of its `seed`")
    asked = parser.parse_args(arguments)
    if asked.pairs < 1:
        parser.error("pairs: at least 1")
    print(f"{write_jsonl(asked.out, islice(generate(asked.split, asked.seed), asked.pairs))} pairs · {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
