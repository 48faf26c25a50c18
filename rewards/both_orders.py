"""What a judge's own chain is worth while the judge trains by GRPO: the right verdict, and the right verdict in both orders.

The rewards of J1 (arXiv 2505.10320): one for a right verdict, one more only where the other order is right too. Form earns nothing and a
wrong verdict costs nothing; neither helped there. What named no verdict, named two, or was cut off is not right (`rewards/outcome.py`).

A group of GRPO is the chains of one prompt, so the two orders of a pair are two groups. The bonus needs both in one call: `ab` first,
`ba` right after it, and the i-th chain of one beside the i-th of the other. Any other arrangement is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

from planner.errors import UserError
from planner.records import ORDERS, Chain, Completion, Label, Order, Outcome
from planner.styles.base import Style
from rewards.outcome import outcome

_PATIENCE = 64
"""Chains after which a judge that has named no verdict at all is taken for one that does not know the form."""


def pair_rewards(
    ab: Sequence[Outcome], ba: Sequence[Outcome], *, verdict: float, consistency: float
) -> tuple[list[float], list[float]]:
    """Rewards of the chains of one pair, order by order.

    Args:
        ab, ba: outcomes of the chains in each order, equally many; the i-th of both are judged together.
        verdict: what a right chain earns.
        consistency: what each of two earns on top where both are right.
    """
    both = [one == other == "right" for one, other in zip(ab, ba, strict=True)]

    def worth(side: Sequence[Outcome]) -> list[float]:
        return [verdict * (one == "right") + consistency * bonus for one, bonus in zip(side, both, strict=True)]

    return worth(ab), worth(ba)


class BothOrdersReward:
    """`pair_rewards` as a reward function of TRL's `GRPOTrainer`, which logs it under its `__name__`.

    The dataset has columns `pair_id`, `order` and `gold` (the right verdict of that order); none of them is part of a prompt.

    Args:
        num_generations: chains a prompt, the trainer's setting of the same name.
        max_tokens: a chain of so many was cut off, unless it named its verdict.
    """

    __name__ = "both_orders"

    def __init__(self, style: Style, *, num_generations: int, max_tokens: int, verdict: float, consistency: float) -> None:
        self.style, self.num_generations, self.max_tokens = style, num_generations, max_tokens
        self.verdict, self.consistency = verdict, consistency
        self._seen = self._named = 0

    def __call__(
        self, completions: Sequence[Sequence[dict[str, str]]], completion_ids: Sequence[Sequence[int]], pair_id: Sequence[str],
        order: Sequence[Order], gold: Sequence[Label], log_metric: Callable[[str, float], None], **_: Any,
    ) -> list[float]:  # fmt: skip
        """One reward a chain, in the rows' order.

        Raises:
            UserError: rows that are not whole pairs; a judge that names no verdict, so that no reward could ever differ.
        """
        self._check(pair_id, order)
        chains = [
            self._read(messages[-1]["content"], len(ids), pair, shown)
            for messages, ids, pair, shown in zip(completions, completion_ids, pair_id, order, strict=True)
        ]
        outcomes = [outcome(chain, right) for chain, right in zip(chains, gold, strict=True)]
        self._hold_to_the_form(outcomes)
        rewards: list[float] = []
        size, both = self.num_generations, 0
        for at in range(0, len(outcomes), 2 * size):
            ab, ba = outcomes[at : at + size], outcomes[at + size : at + 2 * size]
            both += sum(one == other == "right" for one, other in zip(ab, ba, strict=True))
            for side in pair_rewards(ab, ba, verdict=self.verdict, consistency=self.consistency):
                rewards += side
        for name in get_args(Outcome):
            log_metric(name, outcomes.count(name) / len(outcomes))
        log_metric("disagrees", sum(chain.disagrees for chain in chains) / len(chains))
        log_metric("right_in_both_orders", 2 * both / len(outcomes))
        return rewards

    def _check(self, pair_id: Sequence[str], order: Sequence[Order]) -> None:
        size = 2 * self.num_generations
        if not pair_id or len(pair_id) % size:
            raise UserError(
                f"{len(pair_id)} chains came for a reward, no whole number of pairs of 2 orders × {self.num_generations} generations: make "
                "grpo.batch_size a multiple of 2 × processes, and leave TRL's steps_per_generation at its default"
            )
        expected = [one for one in ORDERS for _ in range(self.num_generations)]
        for at in range(0, len(pair_id), size):
            if len(set(pair_id[at : at + size])) > 1 or list(order[at : at + size]) != expected:
                raise UserError(
                    f"chains {at} to {at + size - 1} of a reward call are not one pair in order ab and then ba: the rows must stay as "
                    "written (TRL's shuffle_dataset=False), and grpo.batch_size be a multiple of 2 × processes"
                )

    def _read(self, text: str, tokens: int, pair_id: str, order: Order) -> Chain:
        completion = Completion(text=text, finish_reason="length" if tokens >= self.max_tokens else "stop", tokens=tokens)
        parts = self.style.read_chain(text, completion.finish_reason)
        return Chain(
            pair_id=pair_id, order=order, plan_id="", plan=parts.plan, sample=0, completion=completion, execution=parts.execution,
            verdict=parts.verdict, p_a=None, cut_off=not parts.closed, disagrees=parts.disagrees,
        )  # fmt: skip

    def _hold_to_the_form(self, outcomes: Sequence[Outcome]) -> None:
        self._seen += len(outcomes)
        self._named += sum(one in ("right", "wrong") for one in outcomes)
        if self._seen >= _PATIENCE and not self._named:
            raise UserError(
                f"none of this judge's first {self._seen} chains names a verdict, so none earns a reward and nothing can be learnt: "
                'train = ["sft"] in an iteration before teaches the form; or raise judge_tokens if they are cut off'
            )
