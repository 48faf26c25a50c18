"""Teaching a judge what another judge said: judgments with their reasons, made ready and made into rows for SFT.

A file of `Taught` is read (`files.py`), filtered and augmented (here), and written out in the words of any style (`rows.py`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from planner.records import Pair, Record, Verdict, digest, flip, uniform

_NAMED = r"(?:[12]|[AB])"
# "Assistant 1", "Responses A and B", "assistants 1, 2": the word, then every label that belongs to it.
_WORDING = re.compile(
    rf"\b((?i:Assistant|Response|Answer)(?i:s)?['’s]*\s+){_NAMED}\b(?:(?:\s*(?:,|and|or|&|/|vs\.?)\s*){_NAMED}\b)*"
)
_TAG = re.compile(r"\[\[([AB])\]\]")
_OTHER = {"1": "2", "2": "1", "A": "B", "B": "A"}
_PLACES = {"first": "second", "First": "Second", "FIRST": "SECOND", "1st": "2nd"}
_PLACES |= {second: first for first, second in _PLACES.items()}
_PLACE = rf"(?:{'|'.join(_PLACES)})"
_PLACE_LIST = rf"\b(?i:the)\s+{_PLACE}(?:\s*(?:,|and|or|&|/|vs\.?)\s*(?:the\s+)?{_PLACE})*"
# "the first response", "the second assistant's answer", "the first and the second answer"; not "the first letter".
_PLACED = rf"{_PLACE_LIST}\s+(?i:(?:AI\s+)?(?:assistant|response|answer)s?)\b"
# "… than the second.", "while the first lacks it": without the noun, where what follows is the end of a clause or looks like a verb.
_PLACED_ALONE = (
    rf"{_PLACE_LIST}(?=\s*(?:[.,;:!?)]|$)|\s+(?:one|can|could|would|may|might|did|had|in|on|by|for|with|to|and|or|but|because|while|which|"
    r"than|although|though|when|where|gave|is|more|less|better|worse|\w+(?<![sui])s|\w+ly|\w+ed)\b)"
)
_NAMES_PLACES, _ANY_PLACE = re.compile(_PLACED), re.compile(rf"{_PLACED}|{_PLACED_ALONE}")


class Opinion(Record):
    """What a teacher said of a pair."""

    verdict: Verdict
    reason: str = ""
    scores: tuple[float, float] | None = None
    """Of `response_a` and `response_b`."""
    reference: str | None = None
    """An answer of its own that the teacher wrote (PandaLM)."""


class Taught(Record):
    """A pair and what a teacher said of it, without and, where it was asked so, with a reference answer in view."""

    pair: Pair
    """Without the reference, which `referenced` is about."""
    opinion: Opinion
    given_reference: str | None = None
    referenced: Opinion | None = None
    """What the teacher said when `given_reference` was shown (JudgeLM-100K has both)."""

    def swapped(self) -> Taught:
        """The same judgment of the swapped pair: bodies, scores, verdict, and the wording inside the reasons. Its own inverse."""
        return Taught(
            pair=self.pair.swapped(),
            opinion=_swap(self.opinion),
            given_reference=self.given_reference,
            referenced=_swap(self.referenced) if self.referenced else None,
        )


def _swap(opinion: Opinion) -> Opinion:
    return Opinion(
        verdict=flip(opinion.verdict),
        reason=swap_wording(opinion.reason),
        scores=opinion.scores and (opinion.scores[1], opinion.scores[0]),
        reference=opinion.reference,
    )


def swap_wording(text: str) -> str:
    """Exchange the two responses' names: "Assistant 1" and "Assistant 2", "Response A" and "Response B", `[[A]]` and `[[B]]`, "the first
    response" and "the second response".

    "The first" and "the second" without a noun are exchanged only in a text that names a response so elsewhere.
    """

    def exchange(match: re.Match[str]) -> str:
        head = match[1]
        tail = re.sub(rf"\b{_NAMED}\b", lambda label: _OTHER[label[0]], match[0][len(head) :])
        return head + tail

    if _NAMES_PLACES.search(text):
        text = _ANY_PLACE.sub(lambda match: re.sub(rf"\b{_PLACE}\b", lambda place: _PLACES[place[0]], match[0]), text)
    return _TAG.sub(lambda match: f"[[{_OTHER[match[1]]}]]", _WORDING.sub(exchange, text))


def consistent(taught: Iterable[Taught], counts: Counter[str]) -> Iterator[Taught]:
    """Leave out judgments without a verdict, and both judgments of a pair that contradict each other under the swap.

    This is how PandaLM made 300,000 tuples out of a million. Holds one verdict a judgment; the rows are read twice.
    """
    kept = list(taught)
    said: dict[str, set[Verdict]] = defaultdict(set)
    for one in kept:
        name, verdict = _unordered(one)
        if verdict != "none":
            said[name].add(verdict)
    for one in kept:
        name, verdict = _unordered(one)
        if verdict == "none":
            counts["no_verdict"] += 1
        elif len(said[name]) > 1:
            counts["contradicts_itself"] += 1
        else:
            yield one


def _unordered(one: Taught) -> tuple[str, Verdict]:
    """A name that a pair shares with its swap, and the verdict in the naming of the one that sorts first."""
    pair = one.pair
    first = (pair.response_a, pair.response_b) <= (pair.response_b, pair.response_a)
    name = digest(pair.question, *sorted((pair.response_a, pair.response_b)))
    return name, one.opinion.verdict if first else flip(one.opinion.verdict)


def augment(
    taught: Iterable[Taught], *, swap_ratio: float, reference_ratio: float, seed: int, counts: Counter[str]
) -> Iterator[tuple[Pair, Opinion]]:
    """JudgeLM's two augmentations, each drawn by hash.

    Args:
        swap_ratio: how many judgments are shown swapped (JudgeLM: 0.5).
        reference_ratio: how many of those that were also made with a reference are shown with it; the others have theirs dropped.
            JudgeLM calls the same number, 0.5, its drop ratio.
    """
    for one in taught:
        draw = (str(seed), one.pair.id)
        if uniform("swap", *draw) < swap_ratio:
            one = one.swapped()
            counts["swapped"] += 1
        if one.referenced is not None and one.given_reference is not None and uniform("reference", *draw) < reference_ratio:
            counts["with_reference"] += 1
            # Not `model_copy`, which would carry the cached ids along.
            yield Pair(**{**one.pair.model_dump(), "reference": one.given_reference}), one.referenced
        else:
            yield one.pair, one.opinion
