"""What a chain is worth: right, wrong, no verdict, or cut off. The one place where a label meets a judge's text.

The four add up to n. A verdict that was not named is never a score; a tie is a verdict, wrong unless the label is a tie.
"""

from __future__ import annotations

from planner.records import Chain, JudgedChain, LabeledPair, Outcome


def outcome(chain: Chain, gold: str) -> Outcome:
    """Judge a chain against the gold verdict of the order it was shown in (`LabeledPair.gold(chain.order)`)."""
    if chain.verdict == "none":
        return "cut_off" if chain.cut_off else "no_verdict"
    return "right" if chain.verdict == gold else "wrong"


def judged(chain: Chain, labeled: LabeledPair) -> JudgedChain:
    """Join a chain to its label.

    Raises:
        ValueError: the chain is of another pair.
    """
    if chain.pair_id != labeled.pair.id:
        raise ValueError(f"chain of pair {chain.pair_id} joined to the label of pair {labeled.pair.id}")
    gold = labeled.gold(chain.order)
    return JudgedChain(chain=chain, outcome=outcome(chain, gold), gold=gold)
