"""Measure a judge on a benchmark: ask, keep every judgment, score by the authors' protocol and by ours, report.

    evalplanner eval judgebench --judge runs/demo/M2_DPO --data judgebench/ --limit 40
    evalplanner eval pairs --judge server:http://127.0.0.1:8000/v1#my-judge --data mine.jsonl --votes 8
    evalplanner eval llmbar --judge embedded --data Dataset/LLMBar/Natural --against runs/eval/llmbar-demo-M2_DPO

`python -m eval.run` is the same. The same command again goes on where it stopped; with other settings it is refused. A run's folder
holds `recipe.json`, `pairs.jsonl`, `judgments/`, and the reports `report.json`, `report.html`, `report.md`.

Exit status: 0 done, 2 something that you can mend (one line on stderr says what), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from planner.engines.base import EngineError
from planner.errors import Arguments, UserError
from planner.models import ModelError
from prompts import PromptError

if TYPE_CHECKING:
    from eval.judges import Opened
    from eval.summary import Report
    from planner.records import LabeledPair


def _votes(text: str) -> tuple[int, int]:
    """`8` or `4x2`."""
    found = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", text)
    plans, executions = (int(found[1]), int(found[2] or 1)) if found else (0, 0)
    if plans < 1 or executions < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither K nor PLANSxEXECUTIONS")
    return plans, executions


def _positive(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def parser(prog: str) -> argparse.ArgumentParser:
    made = Arguments(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "benchmark", help="rewardbench, rewardbench2, judgebench, rmbench, followbench, pandalm, judgelm, llmbar, autoj, mtbench, evalbiasbench, hhh, pairs"
    )  # fmt: skip
    made.add_argument("--judge", required=True, help='a checkpoint folder, a hub id, "embedded", or server:URL#MODEL')
    made.add_argument("--data", type=Path, help="the benchmark's own file or folder; left out: from the hub")
    made.add_argument("--out", type=Path, help="the run's folder; default runs/eval/BENCHMARK-JUDGE")
    made.add_argument("--style", help="how the judge is asked and read; default: as a checkpoint of ours says itself, else mtbench")
    made.add_argument("--limit", type=_positive, metavar="N", help="at most N pairs, whole prompts, drawn by --seed")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument(
        "--votes", type=_votes, default=(1, 1), metavar="K", help="chains in each order: K, or PLANSxEXECUTIONS, sampled; 1 is greedy"
    )  # fmt: skip
    made.add_argument("--max-tokens", type=_positive, metavar="N", help="longest answer; default: the checkpoint's own, else 2048")
    made.add_argument("--max-model-len", type=_positive, metavar="N", help="context in tokens; default: the model's own")
    made.add_argument(
        "--force", action="store_true", help="read a verdict from the probabilities where the text names none, and mark it"
    )
    made.add_argument(
        "--against", type=Path, action="append", default=[], metavar="DIR", help="another run to compare with; may be repeated"
    )
    made.add_argument("--json", action="store_true", help="report.json on stdout, and nothing else there")
    return made


def main(arguments: Sequence[str], prog: str = "python -m eval.run", open_judge: Callable[..., Opened] | None = None) -> int:
    """Run the command. `open_judge` stands in for `eval.judges.open_judge` in tests."""
    asked = parser(prog).parse_args(arguments)
    try:
        # Libraries print where they like; stdout is for the result alone.
        with redirect_stdout(sys.stderr):
            report, out = _run(asked, open_judge)
    except (UserError, EngineError, ModelError, PromptError) as error:
        print(f"error: {_visible(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    if asked.json:
        print(report.model_dump_json())
    else:
        _show(report, out)
    return 0


def _run(asked: argparse.Namespace, open_judge: Callable[..., Opened] | None) -> tuple[Report, Path]:
    from eval.benchmarks import named
    from eval.collect import Votes
    from eval.evaluate import evaluate, limited, others_of
    from eval.judges import open_judge as opens

    pairs: Sequence[LabeledPair] = named(asked.benchmark).load(asked.data)
    if asked.limit is not None:
        pairs = limited(pairs, asked.limit, asked.seed)
    others = others_of(asked.against, pairs)
    votes = Votes(*asked.votes)
    opened = (open_judge or opens)(
        asked.judge, style=asked.style, max_tokens=asked.max_tokens, votes=votes.total, force=asked.force, seed=asked.seed,
        max_model_len=asked.max_model_len,
    )  # fmt: skip
    out = asked.out or Path("runs") / "eval" / f"{asked.benchmark}-{re.sub(r'[^A-Za-z0-9._-]+', '-', opened.name).strip('-')}"
    try:
        return evaluate(asked.benchmark, pairs, opened, out, votes=votes, seed=asked.seed, others=others), out
    finally:
        opened.judge.engine.close()


def _visible(text: str) -> str:
    """Text of data sets and models with what a terminal would obey written out."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _show(report: Report, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    from eval.pages import comparison_table, summary_table

    console = Console(width=None if Console().is_terminal else 132)
    for table in [summary_table(report), *([comparison_table(report)] if report.against else [])]:
        grid = Grid(*table.columns, title=Text(_visible(report.title if table.title == "Scores" else table.title)))
        for row in table.rows:
            grid.add_row(*(Text(_visible(cell)) for cell in row))
        console.print(grid)
    if report.missing:
        console.print(Text("Only part of the benchmark was judged: there is no official total."))
    print(f"{out}/report.html · report.json · report.md")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
