"""Choose one of many by matches: blocks, a champion of each that every next one challenges, then a final (PandaLM, section 4).

A challenger takes the title by winning more questions than it loses. n candidates in blocks take n - blocks matches, and the final
blocks - 1: 79 for PandaLM's 80 settings in 4 blocks of 20, and one more against the default setting makes its 80; in both orders and
for five base models that is the 800 comparisons of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from compare.standings import Triple

FINAL = "final"


class Round(NamedTuple):
    """One match of the bracket. `result` is the champion's."""

    block: str
    champion: str
    challenger: str
    result: Triple
    winner: str


Meet = Callable[[str, str], Triple]
"""(champion, challenger) -> the champion's wins, losses and ties."""


def play_bracket(names: Sequence[str], block: int, meet: Meet) -> list[Round]:
    """Play the whole bracket; the last round's winner is the choice.

    Raises:
        ValueError: fewer than two names, or a block of fewer than two.
    """
    if len(names) < 2 or block < 2:
        raise ValueError(f"a bracket takes two names and blocks of two at least, not {len(names)} in blocks of {block}")
    rounds: list[Round] = []
    winners = []
    for number, start in enumerate(range(0, len(names), block), 1):
        winners.append(_reign(names[start : start + block], f"block {number}", meet, rounds))
    _reign(winners, FINAL, meet, rounds)
    return rounds


def _reign(names: Sequence[str], block: str, meet: Meet, rounds: list[Round]) -> str:
    champion = names[0]
    for challenger in names[1:]:
        result = meet(champion, challenger)
        winner = challenger if result.losses > result.wins else champion
        rounds.append(Round(block, champion, challenger, result, winner))
        champion = winner
    return champion
