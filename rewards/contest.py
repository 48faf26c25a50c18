"""One group of responses in play: who they are, who meets whom next, what is known so far, and what it comes to.

A reward is in [0, 1] and relative to the group: the chance to beat an average player of it, or to beat the reference under
`pivot`. What the judge did not say is never a reward: it is None, and `valid` False. Settled without asking:

- Equal responses are one player, and get one reward. Where all are equal, each gets 0.5.
- A blank response (nothing in it can be seen) loses to every other. A judge that likes silence must not teach it.
- A pair longer than the judge's context is not asked and gives no result; a response with no other pair has no reward.
- A group of one is compared with the reference, whatever the strategy. Without one there is nothing to compare: None. A blank reference
  is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Literal, NamedTuple, Protocol, TypeVar
from unicodedata import category

from pydantic import ConfigDict, Field, PositiveInt, field_validator, model_validator

from planner.records import ORDERS, Judgment, OrderJudgment, Pair, Record, digest
from rewards.tournament import Match, Schedule, Strategy, against_anchor, fitted, schedule, win_rates

T = TypeVar("T")
REFERENCE = -1
"""The reference answer's place where responses are named by their index."""

Way = Literal[Strategy, "pointwise"]
"""A strategy of comparing, or `pointwise`: no comparing, a judge that grades one response at a time (`rewards/pointwise.py`)."""
PlanSource = Literal["own", "shared"]
Why = Literal["judged", "identical", "blank", "over_long", "no_plan", "no_verdict", "conflict"]
"""How a comparison came to its result (the first three), or why it has none."""


class Scoring(Record):
    """How a group is scored."""

    model_config = ConfigDict(allow_inf_nan=False)

    strategy: Way = "circular"
    rating: Literal["bradley_terry", "win_rate"] = "bradley_terry"
    """What results make together. `win_rate` is for `all_pairs` only: where players met different opponents it ranks worse."""
    mode: Literal["soft", "hard"] = "soft"
    """`soft`: P(A), read where the verdict is named. `hard`: the verdict alone, for engines that give no probabilities."""
    conflict: Literal["split", "drop"] = "split"
    """Where the two orders name different responses. `split`: each order counts as it is. `drop`: the pair gives no result."""
    votes: PositiveInt = 1
    """Chains drawn for each pair and order; their mean counts. More than one needs a judge that samples."""
    plan: PlanSource = "own"
    """`own`: the judge plans with the pair in view, as it was trained to. `shared`: one plan an instruction, drawn from the plan
    prompt alone, for all pairs of its groups."""
    prior: Annotated[float, Field(gt=0)] = 1.0
    """Drawn games of every response against an average one; keeps the unbeaten finite."""

    @model_validator(mode="after")
    def _consistent(self) -> Scoring:
        if self.rating == "win_rate" and self.strategy != "all_pairs":
            raise ValueError('rating = "win_rate" is for strategy = "all_pairs"; the others rank better by bradley_terry')
        if self.plan == "shared" and self.strategy == "pointwise":
            raise ValueError('plan = "shared" is for judges that compare; strategy = "pointwise" takes one that grades')
        return self

    def by(self, strategy: Strategy) -> Scoring:
        """The same by another strategy.

        Raises:
            ValueError: what is said here does not go with it.
        """
        return Scoring.model_validate(self.model_dump() | {"strategy": strategy})


class Group(Record):
    """Responses to one instruction."""

    instruction: str
    responses: Annotated[tuple[str, ...], Field(min_length=1)]
    reference: str | None = None
    """A known answer: what `pivot` and a group of one are compared with. Other strategies do not look at it. A blank one is none."""

    @field_validator("reference")
    @classmethod
    def _says_something(cls, reference: str | None) -> str | None:
        return None if reference is None or blank(reference) else reference


class Comparison(Record):
    """Two responses of a group, by their index (the first of equal ones; `REFERENCE` for the reference)."""

    first: int
    second: int
    p: float | None
    """P(`first` is better); None where there is no result."""
    why: Why
    judgment: Judgment | None = None
    """What the judge said, where it was asked."""


class Cost(Record):
    """What a group took. A pair that several groups share is counted in each."""

    pairs: int
    """Comparisons that the judge was asked for."""
    judgments: int
    """Chains drawn: pairs × 2 orders × votes."""
    tokens: int
    """Generated, a shared plan included where it was not in the cache."""
    conflicts: int
    """Pairs whose orders named different responses."""
    unread: int
    """Comparisons without a result."""


class GroupScore(Record):
    """Rewards in the order of the responses."""

    rewards: tuple[float | None, ...]
    judgments: tuple[Comparison, ...]
    cost: Cost

    @property
    def valid(self) -> tuple[bool, ...]:
        """Which responses have a reward at all."""
        return tuple(reward is not None for reward in self.rewards)

    @property
    def wanted(self) -> int:
        """Comparisons that were wanted; of a judge that grades, grades. `cost.unread` counts those of them without a result."""
        return len(self.judgments) or len(self.rewards)


class Scorer(Protocol):
    """What gives groups their rewards: `rewards.group.GroupScorer`, or `rewards.pointwise.PointwiseScorer`."""

    def score_groups(self, groups: Iterable[Group], *, abandoned: Callable[[], bool] = ...) -> list[GroupScore]:
        """One score a group, in the groups' order.

        Args:
            abandoned: whether nobody wants the scores any more; asked between judgments.

        Raises:
            Abandoned: it said so.
        """
        ...


class Said(NamedTuple):
    """What asking for a pair gave."""

    why: Why
    judgment: Judgment | None
    tokens: int


class Contest:
    """One group in play: its players, its schedule, what is known so far."""

    def __init__(self, group: Group, scoring: Scoring) -> None:
        self.group, self.scoring = group, scoring
        first_of: dict[str, int] = {}
        for index, response in enumerate(group.responses):
            first_of.setdefault("" if blank(response) else response, index)
        self.player_of = [first_of["" if blank(r) else r] for r in group.responses]
        # Drawn by content, so that the order in which a trainer lists responses changes nothing. A blank one, which all beat alike, is last:
        # as an anchor it would tell nobody apart.
        self.players = sorted(
            first_of.values(), key=lambda i: (blank(group.responses[i]), digest("draw", group.instruction, group.responses[i]))
        )
        self.anchored = group.reference is not None and (scoring.strategy == "pivot" or len(group.responses) == 1)
        if self.anchored:
            self.players.insert(0, REFERENCE)
        self.comparisons: dict[Match, Comparison] = {}
        self.tokens = 0
        self.schedule: Schedule | None = None
        self.round: list[Match] = []
        if len(self.players) > 1:
            assert scoring.strategy != "pointwise", "GroupScorer refuses it"
            self.schedule = schedule("pivot" if self.anchored else scoring.strategy, len(self.players))
            self.round = next(self.schedule)

    def text(self, player: int) -> str:
        index = self.players[player]
        return (self.group.reference or "") if index == REFERENCE else self.group.responses[index]

    def pair(self, match: Match) -> Pair:
        a, b = match
        return Pair(instruction=self.group.instruction, response_a=self.text(a), response_b=self.text(b))

    def settled(self, match: Match) -> tuple[float, Why] | None:
        """What needs no judge."""
        a, b = map(self.text, match)
        if a == b or (blank(a) and blank(b)):
            return 0.5, "identical"
        if blank(a) or blank(b):
            return float(blank(b)), "blank"
        return None

    def unsettled(self) -> Iterator[Pair]:
        """The pairs of this round that the judge must be asked for."""
        return (self.pair(match) for match in self.round if self.settled(match) is None)

    def take(self, said: Mapping[str, Said]) -> None:
        """Write a round's results down and find out what the next one needs."""
        for match in self.round:
            rule = self.settled(match)
            if rule is not None:
                p, why, judgment = *rule, None
            else:
                why, judgment, tokens = said[self.pair(match).id]
                self.tokens += tokens
                p = None
                if judgment is not None:
                    p, why = preference(judgment, self.scoring)
            a, b = (self.players[player] for player in match)
            self.comparisons[match] = Comparison(first=a, second=b, p=p, why=why, judgment=judgment)
        assert self.schedule is not None
        try:
            self.round = self.schedule.send(self.results())
        except StopIteration:
            self.round = []

    def results(self) -> dict[Match, float]:
        return {match: one.p for match, one in self.comparisons.items() if one.p is not None}

    def score(self) -> GroupScore:
        n, results = len(self.players), self.results()
        if n == 1:  # nobody to meet: all are equal, or there is only one
            found = [0.5 if len(self.group.responses) > 1 else None]
        elif self.anchored or self.scoring.strategy == "pivot":
            found = against_anchor(n, results)
        elif self.scoring.rating == "win_rate":
            found = win_rates(n, results)
        else:
            found = fitted(n, results, prior=self.scoring.prior)
        reward_of = dict(zip(self.players, found, strict=True))
        asked = [one.judgment for one in self.comparisons.values() if one.judgment is not None]
        return GroupScore(
            rewards=tuple(reward_of[player] for player in self.player_of),
            judgments=tuple(self.comparisons.values()),
            cost=Cost(
                pairs=len(asked),
                judgments=sum(len(judgment.orders) for judgment in asked),
                tokens=self.tokens,
                conflicts=sum(conflicts(judgment) for judgment in asked),
                unread=sum(one.p is None for one in self.comparisons.values()),
            ),
        )


_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and a symbol that are drawn as nothing."""


def blank(text: str) -> bool:
    """Whether nothing in a text can be seen: no characters at all, white space, control and zero-width characters, marks on nothing."""
    return not any(category(character)[0] in "LNPS" and character not in _FILLERS for character in text)


def preference(judgment: Judgment, scoring: Scoring) -> tuple[float | None, Why]:
    """P(`response_a` is better): the mean over the orders of the mean over the votes that can be read."""
    if scoring.conflict == "drop" and conflicts(judgment):
        return None, "conflict"
    means = []
    for order in ORDERS:
        read = [p for one in judgment.orders if one.order == order and (p := _vote(one, scoring.mode)) is not None]
        if not read:
            return None, "no_verdict"
        means.append(sum(read) / len(read))
    return sum(means) / len(means), "judged"


def _vote(one: OrderJudgment, mode: Literal["soft", "hard"]) -> float | None:
    if one.verdict == "none":
        return None
    if one.verdict == "tie":
        return 0.5
    return one.p_a if mode == "soft" else float(one.verdict == "A")


def conflicts(judgment: Judgment) -> bool:
    """Whether the two orders, each by the majority of its votes, name different responses."""
    leads = []
    for order in ORDERS:
        verdicts = [one.verdict for one in judgment.orders if one.order == order]
        leads.append(verdicts.count("A") - verdicts.count("B"))
    return leads[0] * leads[1] < 0


class Abandoned(Exception):
    """Nobody wants what was being judged."""


def while_wanted(items: Iterable[T], abandoned: Callable[[], bool]) -> Iterator[T]:
    """The same items, one after the other.

    Raises:
        Abandoned: before the next one, once `abandoned` says so.
    """
    for item in items:
        if abandoned():
            raise Abandoned
        yield item
