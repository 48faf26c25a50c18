"""Checkpoints on disk: which are whole, what they hold for a resumed training, what they need, and their card."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

from planner.errors import UserError
from planner.judge import CARD, read_card
from planner.models import ModelError, check_weight_file
from planner.store import write_text
from planner.styles.evalplanner import EvalPlannerStyle
from selftrain.config import Config

RESUME_FILES = ("optimizer.pt", "scheduler.pt", "scaler.pt", "training_args.bin")


def is_judge(config: Config, model: str) -> bool:
    """Whether a run's seed is a judge that a run like this made, so that chains are drawn of it as of any trained judge.

    A judge of another family (`evalplanner distil`) is a seed like any model.

    Args:
        model: its folder.

    Raises:
        UserError: it is a judge that was trained under another prompt, or plans where this run's does not.
    """
    if not (Path(model) / CARD).is_file():
        return False
    theirs, ours = read_card(model).style, config.style
    if not isinstance(theirs, EvalPlannerStyle):
        return False
    asked = {"prompts": (theirs.prompt_set, ours.prompt_set), "ties": (theirs.ties, ours.ties), "plans": (theirs.plans, ours.plans)}
    if differ := [f"{name} {then}, here {now}" for name, (then, now) in asked.items() if then != now]:
        raise UserError(
            f"the judge at {model} was trained to be asked otherwise ({'; '.join(differ)}): set prompts, ties and plan_kind as its run did, "
            f"or remove its {CARD} to start from it as from a model that is no judge yet"
        )
    return True


def step_of(checkpoint: Path) -> int:
    """The optimiser step that a `checkpoint-<step>` folder was saved at."""
    return int(checkpoint.name.rpartition("-")[2])


def candidates(out: Path) -> list[Path]:
    """Whole checkpoints in a training folder, oldest first. One that was being written when its process died is removed."""
    found = sorted(out.glob("checkpoint-*"), key=step_of)
    whole = [path for path in found if _is_whole(path)]
    if int(os.environ.get("RANK", "0")) == 0:
        for path in found:
            if path not in whole:
                shutil.rmtree(path)
    return whole


def _is_whole(checkpoint: Path) -> bool:
    """The trainer writes its state file last, and not at once: a kill or a full disk may leave half of it."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return True


def last_usable(found: list[Path], steps: int) -> tuple[Path | None, str]:
    """The newest candidate that a training of so many steps can go on from, and what is wrong with the newer ones, if any.

    A machine that goes down loses what its disk had not written yet, also of files that were closed. As a rule the newest candidate
    alone holds the optimiser's state, so that without it none is left.
    """
    wrong = ""
    for candidate in reversed(found):
        if not (damage := _damage(candidate, ended=step_of(candidate) >= steps)):
            return candidate, wrong
        wrong = wrong or damage
    return None, wrong


def _damage(candidate: Path, *, ended: bool) -> str:
    """What of a candidate is cut off or missing, of its weights and, unless training has ended, of its state; empty: nothing."""
    # Of an adapter that is not merged yet, what lies beside it is a merge that was killed, and is made again.
    weights = "adapter_model" if (candidate / "adapter_config.json").exists() else "*"
    for file in sorted(candidate.glob(f"{weights}.safetensors")):
        try:
            check_weight_file(file)
        except ModelError:
            return f"{file} is cut off"
    if ended:
        return ""
    if not (candidate / "optimizer.pt").exists() and not any(candidate.glob("global_step*")):
        return f"{candidate} holds no optimiser state"
    for file in sorted((*candidate.rglob("*.pt"), *candidate.rglob("*.pth"))):
        if not zipfile.is_zipfile(file):  # torch saves zip archives, whose index is their end
            return f"{file} is cut off"
    return ""


def go_back_to(last: Path | None, found: list[Path]) -> None:
    """Remove the candidates after `last`; where that is None all of them, and their log."""
    if last is None:  # first: without candidates nobody would come back for it
        (found[0].parent / "log.jsonl").unlink(missing_ok=True)
    for candidate in found[found.index(last) + 1 :] if last else found:
        shutil.rmtree(candidate)


def strip_resume_state(folder: Path) -> None:
    """Leave the model, drop what only a resumed training needs."""
    for path in folder.iterdir():
        if path.name in RESUME_FILES or path.name.startswith("rng_state"):
            path.unlink()
        elif path.is_dir() and path.name.startswith("global_step"):
            shutil.rmtree(path)


def start_over_if_resized(out: Path, layout: str) -> bool:
    """Remove the candidates of an unfinished training whose optimiser state was saved in another layout; True if there were any.

    ZeRO cuts the state by rank and cannot put it together for another number of ranks. Plain training saves it whole, and goes on.

    Args:
        layout: `World.training_layout` of this launch.
    """
    path = out / "layout.txt"
    before = path.read_text() if path.exists() else layout
    found = candidates(out)  # also removes one that was being written
    resized = before != layout and bool(found)
    if resized:
        go_back_to(None, found)
    write_text(path, layout)  # last: whoever is killed while removing has to go on removing
    return resized


def check_disk(out: Path, start: str, kept: int, deepspeed: bool, lora: bool) -> None:
    """Refuse to start what the disk cannot hold: `kept` candidates, and the optimiser's state. What an earlier attempt left counts.

    Raises:
        UserError: says how much is missing.
    """
    folder = Path(start)
    if not folder.is_dir():
        return
    half = json.loads((folder / "config.json").read_text()).get("dtype") in ("bfloat16", "float16")
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    adapted = weights * kept  # adapters and their state are small; merged, a candidate is as large as its base
    weights *= 2 if half else 1
    # Candidates hold their weights until one is chosen; the newest two also hold two moments a weight. DeepSpeed's hold half as much, and in
    # the newest two the float32 masters as well, and the weights once more.
    need = adapted if lora else weights * (kept / 2 + 7 if deepspeed else kept + 4)
    need -= sum(file.stat().st_size for file in out.glob("checkpoint-*/**/*") if file.is_file())
    free = shutil.disk_usage(out).free
    if free < need:
        raise UserError(
            f"{out}: training needs about {need / 1e9:.1f} GB more of disk for checkpoints, {free / 1e9:.1f} GB are free"
        )


def model_card(name: str, config: Config, parent: str, method: str, facts: dict[str, object], style: EvalPlannerStyle) -> str:
    """The README of a checkpoint: how it was made, for a stranger who finds the folder."""
    source = config.pairs.source + (f" ({Path(config.pairs.path).name})" if config.pairs.path else "")
    contaminated = (
        "\n> **Contaminated.** Trained on solutions of GSM8K *test* problems: never report it on GSM8K or a benchmark that holds it.\n"
        if config.pairs.source == "gsm8k_solutions"
        else ""
    )
    taught = ", ".join(Path(one.judged.path).name for one in config.iterations if one.judged)
    table = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"""---
library_name: transformers
pipeline_tag: text-generation
base_model: {config.model}
tags: [llm-as-a-judge, evalplanner, {method}]
---

# {name}

A judge that plans, executes its plan on two responses, and names the better one{" or a tie" if style.ties else ""}; trained on its own right and wrong verdicts{f" and on those of another judge ({taught})" if taught else ""}.
{contaminated}
| | |
| --- | --- |
| seed model | {config.model} |
| trained from | {parent} |
| method | {method} |
| pairs | {source} |
| prompts | {style.prompt_set}, plans {style.plan_kind} |
{table}

```python
from planner.judge import Judge
judge = Judge.from_pretrained("PATH_OF_THIS_FOLDER")
print(judge.compare("Name a river in France.", "The Loire.", "Rome."))
```
"""
