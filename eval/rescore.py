"""Score a published judge's own output file, in its benchmark's format, by its authors' protocol and by ours.

    python -m eval.rescore judgebench OUTPUTS.jsonl --json
    python -m eval.rescore pandalm gpt-3.5-turbo-testset-v1.json --data testset-v1.json [--swapped FILE]
    python -m eval.rescore judgelm JUDGMENTS.jsonl --data JudgeLM-100K/ [--swapped FILE]
    python -m eval.rescore llmbar Natural/GPT-4/Vanilla/result.json
    python -m eval.rescore autoj FIRST.jsonl --swapped EXCHANGED.jsonl --data testdata_pairwise.jsonl
    python -m eval.rescore rewardbench each_small_section_score.json
    python -m eval.rescore alpacaeval annotations.json

Percentages, 0 to 100, two decimals. `--json` prints one object: for judgebench with the keys knowledge, reasoning, math, coding,
overall, position_consistent, none, flip; pandalm accuracy, precision, recall, f1 (macro), none; judgelm agreement, precision, recall, f1 (macro),
consistency, bias toward 1 and 2, delta bias, total bias, none; llmbar accuracy_first,
accuracy_swapped, accuracy, agreement; autoj agreement, consistency; and more. `none` is the share of judgments without a verdict,
`right` of those that are right, `flip` of the pairs whose two orders name different responses, `first_position` of the named
verdicts that go to the response shown first, `longer` to the longer one (`longer_labels`: of the labels). `missing` is how many pairs of
the benchmark the file does not judge: with it, totals are of a part.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from eval.benchmarks import named
from eval.benchmarks import pandalm as pandalm_format
from eval.benchmarks.alpacaeval import rescore as rescore_alpacaeval
from eval.benchmarks.base import Percentages, percent
from eval.benchmarks.rewardbench import rescore as rescore_rewardbench
from eval.judged import Judged
from eval.metrics import longer_preference
from planner.errors import Arguments, UserError

_SCORES_ALONE: dict[str, Callable[[Path], Percentages]] = {
    "rewardbench": rescore_rewardbench,
    "alpacaeval": rescore_alpacaeval,
}
"""Formats that hold no judgments of pairs."""
BENCHMARKS = ("judgebench", "pandalm", "judgelm", "llmbar", "autoj", *_SCORES_ALONE)
_WITH_THEIR_PAIRS = ("judgebench", "llmbar")
"""Files that hold both orders and the pairs themselves."""


def rescore(benchmark: str, path: Path, *, swapped: Path | None = None, data: Path | None = None) -> Percentages:
    """Every score of a published file, by name.

    Raises:
        UserError: no such benchmark or file, or a file that does not fit the format; says where.
    """
    if benchmark in _SCORES_ALONE:
        if swapped or data:
            raise UserError(f"{benchmark} files hold all they need: leave out --swapped and --data")
        return _SCORES_ALONE[benchmark](path)
    one = named(benchmark)
    if one.read_outputs is None:
        raise UserError(f"{benchmark} has no output format that is read here; there are {', '.join(BENCHMARKS)}")
    if benchmark in _WITH_THEIR_PAIRS and swapped:
        raise UserError(f"{benchmark} files hold both orders: leave out --swapped")
    if swapped and swapped.exists() and path.exists() and swapped.samefile(path):
        raise UserError(f"--swapped {swapped} is the file of the first order itself; give the output for the exchanged responses")
    judged = one.read_outputs(path, swapped, data)
    if benchmark in _WITH_THEIR_PAIRS and data:
        held = Counter((pair.pair.id, pair.better) for pair in one.load(data))
        strange = (Counter((found.labeled.pair.id, found.labeled.better) for found in judged) - held).total()
        if strange:
            raise UserError(
                f"{path} judges {strange} pairs that {data} does not hold, labels otherwise or holds less often; is it of the same set?"
            )
    scores = {**one.official(judged, 0), **strictly(judged)}
    missing = one.missing([one.labeled for one in judged])
    if missing:
        scores["missing"] = float(sum(whole - found for found, whole in missing.values()))
    if benchmark == "pandalm":
        scores.update(pandalm_format.annotators(one.labeled for one in judged))
    return scores


def strictly(judged: Sequence[Judged]) -> Percentages:
    """Our own scores: an unread verdict is never right."""
    verdicts = [one.said(order) for one in judged for order in one.chains]
    right = sum(one.right(order) for one in judged for order in one.chains)
    scores = {
        "n": float(len(judged)),
        "none": percent(verdicts.count("none"), len(verdicts)),
        "right": percent(right, len(verdicts)),
    }
    if all(len(one.chains) == 2 for one in judged):
        scores["position_consistent"] = percent(sum(one.both_right for one in judged), len(judged))
        scores["flip"] = percent(sum({one.said("ab"), one.said("ba")} == {"A", "B"} for one in judged), len(judged))
    named_side = [chain.verdict for one in judged for chain in one.chains.values() if chain.verdict in ("A", "B")]
    if named_side:
        scores["first_position"] = percent(named_side.count("A"), len(named_side))
    chose, gold = longer_preference(judged)
    if chose is not None and gold is not None:
        scores.update({"longer": 100 * chose, "longer_labels": 100 * gold})
    return scores


def main(arguments: Sequence[str]) -> int:
    parser = Arguments(prog="python -m eval.rescore", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("file", type=Path, help="the judge's own output file")
    parser.add_argument(
        "--swapped", type=Path, help="its output for the pairs with responses exchanged, where that is another file"
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="the benchmark's own pairs, where the output does not repeat them; where it does, they are held against these",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    asked = parser.parse_args(arguments)
    try:
        scores = rescore(asked.benchmark, asked.file, swapped=asked.swapped, data=asked.data)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    shown = {name: round(value, 2) for name, value in scores.items()}
    if asked.json:
        print(json.dumps(shown))
    else:
        width = max(map(len, shown))
        for name, value in shown.items():
            print(f"{name:{width}}  {value:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
