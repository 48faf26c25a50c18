"""From drawn chains to judged chains to rows: what rank 0 does between two children. No model, no engine.

Here labels join (blueprint rule 2 settles forced verdicts first), and `judged.jsonl` and `<method>.jsonl` are written whole, in the
pairs' order, so that they are byte-identical whatever order, rank or attempt the chains were made in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from planner.errors import UserError
from planner.execute import ForcedVerdict, forced_chain, position_bias, was_forced
from planner.records import Chain, JudgedChain, Label, LabeledPair, Pair, Plan, flip, uniform
from planner.store import Shards, read_jsonl, write_jsonl
from rewards.outcome import judged, outcome
from selftrain.config import Config, Method
from selftrain.rows import Drawn, balanced, broken, dpo_rows, sft_rows, whole_groups
from selftrain.sample import Sampler


class Chains(NamedTuple):
    """A finished sampling stage."""

    folder: Path
    pairs: Path
    sampler: str
    """Name of the checkpoint that drew them."""
    first: bool
    """Drawn by the seed: plans from the instruction alone."""

    @property
    def judged(self) -> Path:
        return self.folder / "judged.jsonl"


def judge_chains(config: Config, chains: Chains) -> Counter[str]:
    """Write `judged.jsonl`; returns counts: the four outcomes (they add up to `chains`), forced, disagrees, plans.

    Raises:
        UserError: no chain was drawn at all, or verdicts were forced on others than these.
    """
    forced = Shards(chains.folder / "forced", ForcedVerdict)
    bias = position_bias(forced) if config.sampling.calibrate_forced else 0.0
    counts: Counter[str] = Counter(right=0, wrong=0, no_verdict=0, cut_off=0, forced=0, disagrees=0)

    def every() -> Iterator[JudgedChain]:
        for labeled, found in drawn_chains(config, chains):
            for chain in found:
                read = forced.get(chain.id)
                if read and not was_forced(chain, read[0]):
                    folder = chains.folder
                    raise UserError(
                        f"{folder}/forced holds verdicts of other chains than {folder}/chains; delete {folder}/.sampled and {folder}/forced and "
                        "run the same command again"
                    )
                if read:
                    # A function of seed and identity, so that a resumed run draws the same.
                    chain = forced_chain(chain, read[0], bias=bias, draw=uniform("forced", str(config.seed), chain.id))
                    if chains.first and config.execution_form == "findings":
                        chain = chain.model_copy(update={"execution": config.style.finding(chain.verdict)})
                one = judged(chain, labeled)
                counts.update({one.outcome: 1, "forced": chain.forced, "disagrees": chain.disagrees})
                yield one

    counts["chains"] = write_jsonl(chains.judged, every())
    plans = Shards(chains.folder / "plans", Plan)
    written = [one.text is not None for one in plans]
    drawn = Shards(chains.folder / "chains", Chain)
    over_long = len(plans.dropped) + len(drawn.dropped)
    counts.update({"plans": len(written), "plans_cut_off": written.count(False), "over_long": over_long})
    if not counts["chains"]:
        raise UserError(
            f"{chains.folder}: no chain was drawn ({counts['plans_cut_off']} of {counts['plans']} plans were cut off, "
            f"{counts['over_long']} prompts do not fit): set sampling.plan_tokens or engine.max_model_len higher under another name="
        )
    return counts


def drawn_chains(config: Config, chains: Chains) -> Iterator[tuple[LabeledPair, list[Chain]]]:
    """Every pair with its chains as they were drawn, in the pairs' order.

    Raises:
        UserError: the stage has lost some of what it drew.
    """
    sampler = Sampler(config, chains.folder, chains.pairs, first=chains.first)
    plans, found = Shards(chains.folder / "plans", Plan), Shards(chains.folder / "chains", Chain)
    for labeled in read_jsonl(chains.pairs, LabeledPair):
        inputs = list(sampler.execution_inputs([labeled.pair], plans))
        lost = any(one.key not in plans for one in sampler.plan_inputs_of(labeled.pair)) if config.style.plans else False
        if lost or any(item.key not in found for item in inputs):
            raise UserError(f"{chains.folder} lacks plans or chains of {chains.pairs}; restore them or delete the stage's folder")
        yield labeled, [chain for item in inputs for chain in found.get(item.key)]


def write_rows(
    config: Config, method: Method, chains: Chains, path: Path, *, special: tuple[str, ...], shuffled: bool = False
) -> tuple[int, Counter[str]]:
    """Write TRL rows; returns how many, and what was left out and why.

    Args:
        special: special tokens of the tokenizer that will read them.
        shuffled: the control arm: outcomes under a label that a coin chose for each pair.

    Raises:
        UserError: not one row could be made.
    """
    counts: Counter[str] = Counter()

    def draw(into: Counter[str]) -> Iterator[Drawn]:
        found = read_jsonl(chains.judged, JudgedChain)
        if shuffled:
            found = (_shuffled(one, config.style.labels, config.seed) for one in found)
        make: Any = sft_rows if method == "sft" else dpo_rows
        drawn: Iterator[Drawn] = make(found, PairReader(chains.pairs), config.style, config.rows, seed=config.seed, counts=into)
        return drawn

    passes = iter((counts,))

    def drawn() -> Iterable[Drawn]:
        return draw(next(passes, Counter()))  # later passes would count everything again

    every = drawn
    if method == "sft" and config.rows.whole_groups:
        every = whole_groups(drawn, chains.pairs, counts)
    share = config.rows.max_unparsed_share if method == "dpo" else 1.0
    labels = config.style.labels
    rows = balanced(every, max_unparsed_share=share, counts=counts, labels=labels)
    written = write_jsonl(path, broken(rows, special))
    if not written:
        hint = (
            "; rows.train_forced = true, under another name=, lets forced verdicts train"
            if counts["forced"] and not config.rows.train_forced
            else f"; ties = true balances rows over {', '.join(labels)}, and needs right chains of each"
            if config.ties
            else ""
        )
        raise UserError(f"{path}: no {method} row could be made of {chains.judged}: left out {told(counts)}{hint}")
    return written, counts


class PairReader:
    """Pairs by id, from a file that is read alongside chains in the same order: holds one pair at a time."""

    def __init__(self, path: Path) -> None:
        self._path, self._stream = path, read_jsonl(path, LabeledPair)
        self._last: Pair | None = None

    def __call__(self, pair_id: str) -> Pair:
        while self._last is None or self._last.id != pair_id:
            labeled = next(self._stream, None)
            if labeled is None:
                raise UserError(
                    f"{self._path} holds no pair {pair_id} where the judged chains have it; restore it or delete the stage's folder"
                )
            self._last = labeled.pair
        return self._last


def told(counts: Counter[str]) -> str:
    """Counts as a person reads them."""
    return ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.most_common() if n) or "nothing"


def _shuffled(one: JudgedChain, labels: tuple[Label, ...], seed: int) -> JudgedChain:
    drawn = labels[int(uniform("shuffled", str(seed), one.chain.pair_id) * len(labels))]
    gold = drawn if one.chain.order == "ab" else flip(drawn)
    return one.model_copy(update={"gold": gold, "outcome": outcome(one.chain, gold)})
