"""N responses to one prompt -> N rewards in [0, 1], by a judge that compares two at a time.

    scorer = GroupScorer(Judge.from_pretrained("runs/demo/M2_DPO"))
    score = scorer.score_group("Name three rivers.", ["Loire, Rhine, Ebro", "Paris", "Loire"])
    score.rewards, score.valid, score.cost

What a reward means, and what is settled without asking, is in `rewards/contest.py`; who meets whom, in `rewards/tournament.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from threading import Lock

from planner.execute import ExecutionInput, continuation_inputs, judge_inputs
from planner.judge import Judge, merge
from planner.plan import instruction_inputs, write_plans
from planner.records import ORDERS, Pair, Plan
from planner.styles.evalplanner import EvalPlannerStyle
from rewards.contest import Contest, Group, GroupScore, Said, Scoring, while_wanted
from rewards.tournament import Strategy


class GroupScorer:
    """Scores groups with one judge. Safe to use from several threads if the judge's engine is.

    Args:
        judge: its rule is not used; both orders are always asked.
        cached_plans: shared plans kept, by model and instruction; the least recently used goes first.

    Raises:
        ValueError: several votes of a greedy judge, which would all be the same; shared plans of a judge that does not plan; the
            strategy `pointwise`, which compares nothing.
    """

    def __init__(self, judge: Judge, scoring: Scoring | None = None, *, cached_plans: int = 1024) -> None:
        self.judge, self.scoring = judge, scoring or Scoring()
        if self.scoring.strategy == "pointwise":
            raise ValueError(
                'strategy = "pointwise" is for judges that grade: rewards.pointwise.PointwiseScorer, or rewards.config.open_scorer'
            )
        if self.scoring.votes > 1 and judge.sampling.temperature == 0:
            raise ValueError("votes of a greedy judge are all the same: give it a sampling temperature, or take one vote")
        self._planner: EvalPlannerStyle | None = None
        if self.scoring.plan == "shared":
            if not isinstance(judge.style, EvalPlannerStyle) or not judge.style.plans:
                raise ValueError('plan = "shared" needs a judge that plans')
            self._planner = judge.style
        self._plans = _PlanCache(cached_plans)

    def score_group(
        self, instruction: str, responses: Sequence[str], reference: str | None = None, strategy: Strategy | None = None
    ) -> GroupScore:
        """Score one group. Many at once are much faster through `score_groups`."""
        group = Group(instruction=instruction, responses=tuple(responses), reference=reference)
        return self.score_groups([group], strategy)[0]

    def score_groups(
        self, groups: Iterable[Group], strategy: Strategy | None = None, *, abandoned: Callable[[], bool] = lambda: False
    ) -> list[GroupScore]:
        """Score groups together: the pairs that a round of all of them needs go to the engine at once.

        Args:
            abandoned: whether nobody wants the scores any more; asked between judgments.

        Raises:
            Abandoned: it said so.
        """
        scoring = self.scoring.by(strategy) if strategy else self.scoring
        contests = [Contest(group, scoring) for group in groups]
        while asking := [contest for contest in contests if contest.round]:
            said = self._ask([pair for contest in asking for pair in contest.unsettled()], abandoned)
            for contest in asking:
                contest.take(said)
        return [contest.score() for contest in contests]

    def _ask(self, pairs: list[Pair], abandoned: Callable[[], bool]) -> dict[str, Said]:
        """What the judge says of each pair, by pair id."""
        judge = self.judge
        pairs = list({pair.id: pair for pair in pairs}.values())
        said: dict[str, Said] = {}
        plans: dict[str, Plan] = {}
        spent: dict[str, int] = {}  # tokens of plans written now, by instruction id; its first pair pays
        if self._planner is not None:
            plans, spent = self._shared_plans(self._planner, pairs)
        inputs: list[ExecutionInput] = []
        for pair in while_wanted(pairs, abandoned):
            if self._planner is None:
                items = list(judge_inputs(judge.style, [pair]))
            elif plan := plans.get(pair.instruction_id):
                items = [one for order in ORDERS for one in continuation_inputs(self._planner, pair, order, [plan])]
            else:
                said[pair.id] = Said("no_plan", None, spent.pop(pair.instruction_id, 0))
                continue
            if all(judge.engine.fits(one.prompt.messages, one.prompt.prefill, judge.max_tokens) for one in items):
                inputs += items
            else:
                said[pair.id] = Said("over_long", None, spent.pop(pair.instruction_id, 0))
        chains = judge.votes(inputs, self.scoring.votes, lambda made, _: while_wanted(made, abandoned))
        for pair in pairs:
            if pair.id not in said:
                judgment = merge([chain for order in ORDERS for chain in chains[pair.id, order]], "mean")
                tokens = sum(one.tokens for one in judgment.orders) + spent.pop(pair.instruction_id, 0)
                said[pair.id] = Said("judged", judgment, tokens)
        return said

    def _shared_plans(self, style: EvalPlannerStyle, pairs: list[Pair]) -> tuple[dict[str, Plan], dict[str, int]]:
        """Plans by instruction id, and the tokens of those that had to be written. A plan that came to nothing is left out."""
        engine, limit, model = self.judge.engine, self.judge.max_tokens, self.judge.engine.model
        kept = {pair.instruction_id: self._plans.get(model, pair.instruction_id) for pair in pairs}
        found = {key: plan for key, plan in kept.items() if plan is not None}
        wanted = instruction_inputs(style, (pair for pair in pairs if pair.instruction_id not in found), 1)
        fitting = (one for one in wanted if engine.fits(one.prompt.messages, one.prompt.prefill, limit))
        spent: dict[str, int] = {}
        for key, (plan,) in write_plans(engine, style, fitting, max_tokens=limit, sampling=self.judge.sampling):
            spent[key] = plan.completion.tokens
            if plan.text is not None:
                found[key] = plan
                self._plans.put(model, key, plan)
        return found, spent


class _PlanCache:
    """Plans by model and instruction id, at most `size`; the least recently used goes first."""

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, Lock()
        self._kept: OrderedDict[tuple[str, str], Plan] = OrderedDict()

    def get(self, model: str, instruction_id: str) -> Plan | None:
        with self._lock:
            plan = self._kept.get((model, instruction_id))
            if plan is not None:
                self._kept.move_to_end((model, instruction_id))
            return plan

    def put(self, model: str, instruction_id: str, plan: Plan) -> None:
        with self._lock:
            self._kept[model, instruction_id] = plan
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
