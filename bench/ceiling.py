"""What gold verdicts alone can teach the embedded judge: the ceiling that no self-training on the same pairs should be held above.

    python bench/ceiling.py [--config configs/cpu.toml] [--pairs 1600] [--every 800] [--known 210] [--out FOLDER] [--json] [key=value …]

The recipe's own SFT settings, judge prompt and trainer, on rows that hold nothing but the gold verdict of each builtin pair in both
orders (`selftrain.rows.verdict_only_rows`): no plan, no execution, no sampling. A candidate is kept every `--every` rows and judges
`--known` held-out pairs in both orders, greedily, so the table says what n rows and their seconds buy. Accuracies carry 95 %
bootstrap intervals by base text. Give `--out` to keep the work and to go on after a stop.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before bench/, whose eval.py would hide eval/

from planner.errors import UserError  # noqa: E402
from planner.models import resolve_model  # noqa: E402
from planner.records import ORDERS  # noqa: E402
from planner.store import write_jsonl  # noqa: E402
from selftrain.checkpoints import candidates, step_of  # noqa: E402
from selftrain.config import Config, load_config  # noqa: E402
from selftrain.measure import EvaluateJob, score_set  # noqa: E402
from selftrain.pairs.builtin import generate  # noqa: E402
from selftrain.rows import verdict_only_rows  # noqa: E402
from selftrain.stage import Job  # noqa: E402
from selftrain.stamp import hold_against  # noqa: E402
from selftrain.train import TrainJob, TrainStats  # noqa: E402


def child(config: Config, out: Path, task: TrainJob | EvaluateJob) -> float:
    """Run a stage as the loop does, in a process of its own; returns its wall seconds.

    Raises:
        UserError: it failed; it has said why.
    """
    path = out / "job.json"
    path.write_text(Job(task=task, config=config, attempt="ceiling", ledger=str(out / "ledger-0.jsonl")).model_dump_json())
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "selftrain.stage", str(path), str(os.getpid())]
    if subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode:
        raise UserError("the stage above failed")
    return time.monotonic() - started


def measure(config: Config, out: Path, pairs: int, known: int) -> list[dict[str, object]]:
    """Train once, judge with every candidate; one entry a candidate, oldest first.

    Raises:
        UserError: a stage failed, or `out` holds what other settings made.
    """
    hold_against(out / "stamp.json", {"config": config.recipe(), "pairs": pairs, "known": known})
    rows, held_out, trained = out / "sft.jsonl", out / "known.jsonl", out / "train"
    pace = out / "seconds-a-step.txt"
    if not pace.exists():
        labeled = islice(generate("train", config.seed), pairs)
        asked = ((one.pair, one.gold(order), order) for one in labeled for order in ORDERS)
        write_jsonl(rows, verdict_only_rows(asked, config.style))
        write_jsonl(held_out, islice(generate("known", config.seed), known))
        job = TrainJob(method="sft", rows=str(rows), start=resolve_model(config.model), out=str(trained))
        behind = step_of(candidates(trained)[-1]) if candidates(trained) else 0  # an earlier attempt's, whose seconds are not known
        seconds = child(config, out, job)
        pace.write_text(str(seconds / (TrainStats.model_validate_json((trained / "stats.json").read_text()).steps - behind)))
    found = candidates(trained)
    models = {path.name: str(path) for path in found}
    child(config, out, EvaluateJob(models=models, sets={"known": str(held_out)}, out=str(out / "eval")))
    seconds_a_step = float(pace.read_text())
    table = []
    for path in found:
        step = step_of(path)
        score = score_set(config, out / "eval" / path.name / "known", held_out)
        table.append({
            "rows": step * config.sft.batch_size, "seconds": round(seconds_a_step * step), "n": score.n,
            "accuracy": score.accuracy, "position_consistent": score.position_consistent,
            "ci95": score.model_dump(mode="json")["ci95"],
        })  # fmt: skip
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=str(ROOT / "configs" / "cpu.toml"))
    parser.add_argument("--pairs", type=int, default=1600)
    parser.add_argument("--every", type=int, default=800, help="rows between two candidates")
    parser.add_argument("--known", type=int, default=210)
    parser.add_argument("--out", type=Path, help="a folder to keep the work in")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes to the config, e.g. sft.decision_weight=1 sft.form_steps=0"
    )
    args = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = args.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        try:
            batch = load_config(args.config, args.overrides).sft.batch_size
            steps = max(1, args.every // batch)
            config = load_config(args.config, [*args.overrides, "name=ceiling", f"sft.save_every={steps}", "sft.max_steps=0"])
            table = measure(config, out, args.pairs, args.known)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    for row in table:
        print(
            f"{row['rows']:>6} rows {row['seconds']:>6} s  accuracy {row['accuracy']:.1%}  position-consistent {row['position_consistent']:.1%}"
        )
    if args.json:
        print(json.dumps({"table": table, "n": args.known}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
