"""A run folder made without training a model: the real splits, sampling, outcomes and measuring, on a scripted engine, in a second.

Training logs and checkpoint lines are written as the trainer and the loop write them; weights there are none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tomli_w

from planner.engines.scripted import ScriptedEngine, default_script
from planner.store import append_text, write_text
from selftrain.config import Config, load_config
from selftrain.judged import Chains, judge_chains
from selftrain.kept import Checkpoint
from selftrain.measure import EvaluateJob, evaluate
from selftrain.pairs import write_splits
from selftrain.sample import Sampler
from tests.conftest import tiny_config


def make_run(folder: Path, script: Any = default_script, *, name: str = "tiny", measured: bool = True) -> Path:
    """The run's folder; unless `measured`, it stopped after its first sampling."""
    path = folder / "given.toml"
    folder.mkdir(parents=True, exist_ok=True)
    tree = tiny_config(folder, Path("/no/model"), name=name, controls=["shuffled_labels"])
    # Room for the texts that tests put in.
    tree["sampling"] |= {"plan_tokens": 200, "execution_tokens": 200}
    tree["judge_tokens"] = 500
    path.write_text(tomli_w.dumps(tree))
    config, run = load_config(path), folder / "runs" / name
    write_text(run / "config.toml", tomli_w.dumps(tree))
    attempt = {"attempt": "a", "time": "2026-01-01T00:00:00+0000", "processes": 1, "commit": "0" * 7, "versions": {"torch": "2"}}
    append_text(run / "attempts.jsonl", json.dumps(attempt))
    _log(run, {"stage": "pairs", "seconds": 0.1, **write_splits(config, run / "pairs").sizes})
    engine = ScriptedEngine(script)
    _sample(config, run, engine, "iter-1/sft", "train-1", first=True)
    if not measured:
        return run
    _train(run, "iter-1/sft", "M1_SFT", "seed")
    _train(run, "iter-1/dpo", "M1_DPO", "M1_SFT")
    _sample(config, run, engine, "iter-2/dpo", "train-2", first=False)
    _train(run, "iter-2/dpo", "M2_DPO", "M1_DPO")
    _train(run, "controls/shuffled_labels", "shuffled_labels", "seed")
    names = ("seed", "M1_SFT", "M1_DPO", "M2_DPO", "shuffled_labels")
    job = EvaluateJob(
        models={name: f"/no/{name}" for name in names},
        sets={split: str(run / "pairs" / f"{split}.jsonl") for split in config.pairs.held_out},
        out=str(run / "eval"),
    )
    evaluate(config, job, engine)
    _log(run, {"stage": "eval", "seconds": 2.0, "prompt": 100, "cached": 10, "generated": 50})
    write_text(run / "summary.json", "{}\n")
    return run


def _log(run: Path, entry: dict[str, Any]) -> None:
    append_text(run / "metrics.jsonl", json.dumps(entry))


def _sample(config: Config, run: Path, engine: ScriptedEngine, stage: str, pairs: str, *, first: bool) -> None:
    chains = Chains(run / stage, run / "pairs" / f"{pairs}.jsonl", "seed" if first else "M1_DPO", first)
    Sampler(config, chains.folder, chains.pairs, first=first).run(engine)
    counts = judge_chains(config, chains)
    _log(run, {"stage": f"{stage}/sample", "seconds": 1.5, "prompt": 10, "cached": 4, "generated": 20, **counts})
    _log(run, {"stage": f"{stage}/rows", "rows": 6, "seconds": 0.1, "over_cap": 2})


def _train(run: Path, stage: str, name: str, parent: str) -> None:
    method: Any = "sft" if "sft" in stage or "controls" in stage else "dpo"
    log = run / stage / "train" / "log.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    for step in (1, 2, 3):
        entry: dict[str, Any] = {"step": step, "loss": 1 / step}
        if method == "dpo":
            entry |= {"rewards/margins": 0.1 * step, "rewards/accuracies": 0.5}
        append_text(log, json.dumps(entry))
    _log(run, {"stage": f"{stage}/train", "seconds": 3.0, "train_tokens": 90, "rows": 6, "steps": 3})
    made = Checkpoint(name=name, path=f"/no/{name}", parent=parent, method=method, stage=stage)
    append_text(run / "checkpoints.jsonl", made.model_dump_json())
