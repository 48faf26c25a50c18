"""Teach a judge by supervised distillation: judgments of another judge in, a checkpoint out. `evalplanner distil CONFIG.toml`.

    accelerate launch selftrain/distil/run.py CONFIG.toml [key=value …]      # several processes

The rows are written once, to `<out>/<name>/rows.jsonl`; training goes on from its last checkpoint. The judge is `<out>/<name>/judge`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

# `accelerate launch selftrain/distil/run.py` puts selftrain/distil/ first on the path; the house's packages lie two above.
ROOT = str(Path(__file__).resolve().parent.parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from pydantic import Field, PositiveInt, model_validator  # noqa: E402

from planner.errors import UserError  # noqa: E402
from planner.judge import JudgeCard, write_card  # noqa: E402
from planner.models import EMBEDDED, ModelError, model_digest, resolve_model  # noqa: E402
from planner.records import Record  # noqa: E402
from planner.store import write_jsonl, write_text  # noqa: E402
from planner.styles import named  # noqa: E402
from planner.styles.evalplanner import EvalPlannerStyle  # noqa: E402
from prompts import PromptError  # noqa: E402
from selftrain.checkpoints import candidates, start_over_if_resized, strip_resume_state  # noqa: E402
from selftrain.config import Config, Fraction, Iteration, Seed, SftConfig, load_record  # noqa: E402
from selftrain.data_config import JudgedForm  # noqa: E402
from selftrain.distil import augment, consistent  # noqa: E402
from selftrain.distil.files import read  # noqa: E402
from selftrain.distil.rows import Keep, rows  # noqa: E402
from selftrain.launch import PeerError, World  # noqa: E402
from selftrain.pairs.build import file_digest  # noqa: E402
from selftrain.preflight import check_compiler  # noqa: E402
from selftrain.stamp import hold_against  # noqa: E402
from selftrain.train import TrainJob, train  # noqa: E402
from selftrain.train_config import check_batch  # noqa: E402


class DistilConfig(Record):
    """One distillation."""

    name: Annotated[str, Field(pattern=r"^[\w-][\w.-]*$")]
    out: str = "runs"
    seed: Seed = 2
    model: str = EMBEDDED
    form: JudgedForm
    path: str
    """The file of judgments; of `pandalm`, the pairs."""
    verdicts: str | None = None
    """`pandalm`: the file of verdicts on them."""
    style: str
    """What the student is asked and answers in, by its name in `planner.styles`."""
    keep: Keep = "all"
    """Ablations: `verdict_only`, `no_reason`, `no_reference`."""
    consistent: bool = True
    """Leave out judgments without a verdict, and those that contradict themselves under the swap."""
    swap_ratio: Fraction = 0.0
    reference_ratio: Fraction = 0.0
    judge_tokens: PositiveInt = 2048
    processes: PositiveInt = 1
    """Training processes; the launched size must be this one."""
    sft: SftConfig = SftConfig()

    @model_validator(mode="after")
    def _consistent(self) -> DistilConfig:
        check_batch("sft", self.sft, self.processes)
        if self.sft.decision_weight != 1 and not isinstance(named(self.style), EvalPlannerStyle):
            raise ValueError(f"sft.decision_weight weighs the verdict of an evalplanner style, not of {self.style}: leave it out")
        return self

    @property
    def folder(self) -> Path:
        return Path(self.out) / self.name


def distil(config: DistilConfig) -> Path:
    """Make the rows, train on them, and leave the judge's folder, which is returned.

    Raises:
        UserError: a bad file, no row to train on, a launch of another size, or a run that was begun with another recipe or is
            going on.
    """
    target, stamp = config.folder / "judge", config.folder / "stamp.json"
    main = int(os.environ.get("RANK", "0")) == 0
    if (target / "config.json").is_file() and (target / "judge.json").is_file():
        if main and stamp.is_file():
            hold_against(stamp, _recipe(config), partial=True)
        return target
    settings = Config(
        name=config.name, out=config.out, seed=config.seed, model=config.model, processes=config.processes, sft=config.sft,
        iterations=(Iteration(pairs=1, train=("sft",)),),
    )  # fmt: skip
    world = World(settings)
    try:
        start = resolve_model(config.model)
        if main:
            check_compiler()
            made = (config.folder / "rows.jsonl").exists()
            if not made:  # what stopped at a file of judgments can be begun otherwise
                stamp.unlink(missing_ok=True)
            hold_against(stamp, _recipe(config) | {"files": model_digest(start)}, partial=made)
        _distil(config, settings, world, start, target)
    except (UserError, ModelError) as error:
        world.fail(str(error))
        raise
    return target


def _recipe(config: DistilConfig) -> dict[str, Any]:
    """What a later attempt must share with the first: the settings, and what the judgments were, as far as they are still there."""
    recipe = config.model_dump(mode="json", exclude={"out", "processes"})
    for name, path in (("judgments", config.path), ("verdict_file", config.verdicts)):
        if path and Path(path).exists():
            recipe[name] = file_digest(Path(path))
    return recipe


def _distil(config: DistilConfig, settings: Config, world: World, start: str, target: Path) -> None:
    main, file, out = world.rank == 0, config.folder / "rows.jsonl", config.folder / "train"
    if main:
        if not file.exists():
            _write_rows(config, file)
        if start_over_if_resized(out, world.training_layout):
            print("launched in another size: the unfinished training starts over", file=sys.stderr)
    world.all_done(out)  # before that, nobody looks at what there is to go on from
    if world.size > 1:
        os.environ.update(world.training_environment("train"))
    train(settings, TrainJob(method="sft", rows=str(file), start=start, out=str(out)))
    if main:
        last = candidates(out)[-1]
        strip_resume_state(last)
        write_card(last, JudgeCard(style=named(config.style), max_tokens=config.judge_tokens))
        last.replace(target)
        shutil.rmtree(out / "cache", ignore_errors=True)


def _write_rows(config: DistilConfig, file: Path) -> None:
    counts: Counter[str] = Counter()
    taught: Any = read(config.form, Path(config.path), Path(config.verdicts) if config.verdicts else None)
    if config.consistent:
        taught = consistent(taught, counts)
    asked = augment(
        taught, swap_ratio=config.swap_ratio, reference_ratio=config.reference_ratio, seed=config.seed, counts=counts
    )  # fmt: skip
    written = write_jsonl(file.with_suffix(".made"), rows(asked, named(config.style), keep=config.keep, counts=counts))
    told = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in sorted(counts.items()))
    if not written:
        raise UserError(f"{config.path}: not one row could be made of it ({told or 'it is empty'})")
    write_text(config.folder / "counts.json", json.dumps(counts, indent=2, sort_keys=True) + "\n")
    print(f"rows · {told}", file=sys.stderr)
    file.with_suffix(".made").replace(file)


def main(arguments: list[str]) -> int:
    try:
        distil(load_record(arguments[0], DistilConfig, arguments[1:]))
    except PeerError as error:
        print(f"rank {os.environ.get('RANK', '?')} stops: {error}", file=sys.stderr)
        return 2
    except (UserError, ModelError, PromptError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
