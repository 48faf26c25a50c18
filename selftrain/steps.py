"""The steps that `loop.py` puts in order. Each is owed until its marker is on disk, and is skipped once it is.

Everything a step makes lies in `runs/<name>/iter-<k>/<method>/`; finished checkpoints lie in `runs/<name>/M<k>_<METHOD>/`.
Steps that need a model run in child processes (`launch.py`), on every rank; what needs none is done by rank 0 while the
others wait for its marker.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from planner.errors import UserError
from planner.judge import JudgeCard, write_card
from planner.models import resolve_model
from planner.records import LabeledPair, Record
from planner.store import append_text, read_jsonl, write_jsonl, write_text
from selftrain.config import Config, Method
from selftrain.judged import Chains, judge_chains, told, write_rows
from selftrain.launch import World, seconds_spent
from selftrain.measure import EvaluateJob, score_set
from selftrain.pairs import write_splits
from selftrain.rows import SftRow, verdict_only_rows
from selftrain.stage import Job, SampleJob
from selftrain.stamp import check_stamp
from selftrain.summary import write_summary
from selftrain.train import TrainJob, TrainStats, candidates, model_card, row_lengths, strip_resume_state


class Checkpoint(Record):
    """A judge of this run; one line of `checkpoints.jsonl`."""

    name: str
    path: str
    parent: str
    method: Method | None
    """None: the seed."""


class IterationRun(NamedTuple):
    """One entry of `iterations`, numbered from 1."""

    number: int
    train: tuple[Method, ...]
    resample_before_dpo: bool
    pairs: Path


class Run:
    """A run on disk, and what this process has to do for it.

    Raises:
        UserError: the run folder holds another recipe; the changed field is named.
    """

    def __init__(self, config: Config, world: World) -> None:
        self.config, self.world = config, world
        self.folder = config.run_folder
        self.seed = Checkpoint(name="seed", path=resolve_model(config.model), parent="", method=None)
        if world.rank == 0:
            check_stamp(config, self.folder, self.seed.path, world)
        world.all_done(self.folder / "stamp.json")  # nobody starts on a recipe that rank 0 refuses
        self.iterations = [
            IterationRun(k, one.train, one.resample_before_dpo, self.folder / "pairs" / f"train-{k}.jsonl")
            for k, one in enumerate(config.iterations, 1)
        ]
        self.checkpoints = [self.seed]
        self.control_checkpoints: list[Checkpoint] = []
        self._chains: dict[str, Chains] = {}

    # -- pairs -------------------------------------------------------------------------------------------------------

    def make_pairs(self) -> None:
        """Write every split once, training and held-out."""

        def work() -> None:
            started = time.monotonic()
            sizes = write_splits(self.config, self.folder / "pairs")
            text = " · ".join(f"{name} {size:,}" for name, size in sizes.items())
            self._finish("pairs", f"pairs {text}", seconds=time.monotonic() - started, **sizes)

        self.world.once(self.folder / "pairs" / ".done", work)

    # -- chains ------------------------------------------------------------------------------------------------------

    def sample(self, iteration: IterationRun, method: Method, judge: Checkpoint) -> Chains:
        """Draw plans and executions with `judge` on the iteration's pairs, and judge their outcomes."""
        stage = f"iter-{iteration.number}/{method}"
        folder = self.folder / stage
        done = folder / ".sampled"
        if not done.exists():
            if self.world.engine_rank is not None:
                job = SampleJob(
                    folder=str(folder), pairs=str(iteration.pairs), model=self._name_for_engine(judge), first=judge.method is None
                )
                self._child(stage, "sample", sample=job)
            self.world.all_done(done)
            self.world.once(done, lambda: None)
        chains = Chains(folder, iteration.pairs, judge.name, first=judge.method is None)
        self._chains[stage] = chains
        self.world.once(folder / ".judged", lambda: self._judge(stage, chains))
        return chains

    def _judge(self, stage: str, chains: Chains) -> None:
        started = time.monotonic()
        counts = judge_chains(self.config, chains)
        ledger, sampling, total = self._ledger(chains.folder), seconds_spent(chains.folder), counts["chains"]
        seconds = sampling + time.monotonic() - started
        over_long = f" · over-long prompts {counts['over_long']:,}" if counts["over_long"] else ""
        shares = " · ".join(
            f"{name.replace('_', ' ')} {counts[name] / total:.0%}" for name in ("right", "wrong", "no_verdict", "cut_off", "forced")
        )
        line = (
            f"{stage} · {chains.sampler}: {counts['plans'] - counts['plans_cut_off']:,}/{counts['plans']:,} plans, {total:,} chains · "
            f"{shares}{over_long} · {ledger['generated'] / max(sampling, 1e-9):,.0f} tok/s"
        )
        self._finish(f"{stage}/sample", line, seconds=seconds, **counts, **ledger)

    # -- training ----------------------------------------------------------------------------------------------------

    def rows(self, iteration: IterationRun, method: Method, chains: Chains) -> Path:
        """Write TRL rows from judged chains."""
        stage = f"iter-{iteration.number}/{method}"
        path = self.folder / stage / f"{method}.jsonl"
        self.world.once(path.with_suffix(".done"), lambda: self._write_rows(stage, method, chains, path))
        return path

    def _write_rows(self, stage: str, method: Method, chains: Chains, path: Path, *, shuffled: bool = False) -> None:
        started = time.monotonic()
        written, left_out = write_rows(self.config, method, chains, path, shuffled=shuffled)
        line = f"{stage} · {written:,} {method} rows · left out: {told(left_out)}"
        self._finish(f"{stage}/rows", line, rows=written, seconds=time.monotonic() - started, **left_out)

    def train(self, iteration: IterationRun, method: Method, rows: Path, *, start: Checkpoint) -> Path:
        """Train on rows; returns the folder of candidates."""
        if method == "sft" and self.config.sft.start == "seed":
            start = self.seed
        return self._train(f"iter-{iteration.number}/{method}", method, rows, start)

    def _train(self, stage: str, method: Method, rows: Path, start: Checkpoint, max_steps: int | None = None) -> Path:
        out = self.folder / stage / "train"
        done = self.folder / stage / ".trained"
        if not done.exists():
            if self.world.rank == 0:
                candidates(out)  # removes one that was being written when its process died, before any rank looks
            self._child(f"{stage}/train", "train", train=TrainJob(
                method=method, rows=str(rows), start=start.path, out=str(out), max_steps=max_steps
            ))  # fmt: skip
            self.world.all_done(done)
        self.world.once(done, lambda: self._report_training(stage, method, out))
        return out

    def _report_training(self, stage: str, method: Method, out: Path) -> None:
        stats = TrainStats.model_validate_json((out / "stats.json").read_text())
        seconds = seconds_spent(out)
        losses = [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]
        over_long = f" · {stats.over_long:,} over-long rows dropped" if stats.over_long else ""
        line = (
            f"{stage} · {method} on {stats.rows:,} rows{over_long} · {stats.steps:,} steps · loss {losses[0]:.3f} → {losses[-1]:.3f} · "
            f"{stats.tokens * stats.epochs / max(seconds, 1e-9):,.0f} tok/s"
        )
        self._finish(
            f"{stage}/train", line, seconds=seconds, train_tokens=round(stats.tokens * stats.epochs),
            first_loss=losses[0], last_loss=losses[-1], **stats.model_dump(exclude={"tokens"}),
        )  # fmt: skip

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def select(self, iteration: IterationRun, method: Method, trained: Path, *, parent: Checkpoint) -> Checkpoint:
        """Keep the candidate with the best position-consistent accuracy on validation (ties: accuracy, then the later)."""
        stage = f"iter-{iteration.number}/{method}"
        decision = self.folder / stage / "selected.json"
        found = candidates(trained)
        if len(found) > 1 and not decision.exists():
            job = EvaluateJob(
                models={path.name: str(path) for path in found},
                sets={"validation": str(self.folder / "pairs" / "validation.jsonl")},
                out=str(self.folder / stage / "selection"),
            )
            if self.world.engine_rank is not None:
                self._child(f"{stage}/selection", "evaluate", evaluate=job)
            self.world.all_done(decision)
        self.world.once(decision, lambda: self._decide(stage, found, decision))
        name = f"M{iteration.number}_{method.upper()}"
        checkpoint = Checkpoint(name=name, path=str(self.folder / name), parent=parent.name, method=method)
        chosen = trained / json.loads(decision.read_text())["chosen"]
        self._keep(stage, checkpoint, chosen)
        self.checkpoints.append(checkpoint)
        return checkpoint

    def _decide(self, stage: str, found: list[Path], decision: Path) -> None:
        validation = self.folder / "pairs" / "validation.jsonl"
        scores = {}
        if len(found) > 1:
            scores = {
                path.name: score_set(self.config, self.folder / stage / "selection" / path.name / "validation", validation)
                for path in found
            }
            # `found` is oldest first, and max keeps the first of equals.
            best = max(reversed(found), key=lambda path: (scores[path.name].position_consistent, scores[path.name].accuracy))
        else:
            best = found[0]
        told = {
            name: {"position_consistent": one.position_consistent, "accuracy": one.accuracy, "accuracy_free": one.accuracy_free}
            for name, one in scores.items()
        }
        text = " · ".join(
            f"{name.removeprefix('checkpoint-')}: {one['accuracy']:.1%} / {one['position_consistent']:.1%}"
            for name, one in told.items()
        )
        write_text(decision, json.dumps({"chosen": best.name, "validation": told}, indent=2))
        self._finish(
            f"{stage}/selection",
            f"{stage} · kept step {best.name.rpartition('-')[2]}"
            + (f" (validation accuracy / position-consistent: {text})" if text else ""),
            seconds=seconds_spent(self.folder / stage / "selection"),
            **self._ledger(self.folder / stage / "selection"),
        )

    def _keep(self, stage: str, checkpoint: Checkpoint, chosen: Path) -> None:
        """Move the chosen candidate to its place, an ordinary Hugging Face folder with a card; the others go."""
        target = Path(checkpoint.path)

        def work() -> None:
            if chosen.is_dir():
                strip_resume_state(chosen)
                if target.exists():  # of a stage that was deleted to be made anew
                    shutil.rmtree(target)
                chosen.replace(target)
            if not (target / "config.json").is_file():
                raise UserError(f"{target} is incomplete; delete {self.folder / stage} and run the same command again")
            write_card(target, JudgeCard(style=self.config.style, max_tokens=self.config.judge_tokens))
            facts = self._facts(stage, checkpoint)
            card = model_card(
                checkpoint.name, self.config, checkpoint.parent, checkpoint.method or "", facts, self.config.style
            )  # fmt: skip
            write_text(target / "README.md", card)
            ledger = self.folder / "checkpoints.jsonl"
            known = [one.name for one in read_jsonl(ledger, Checkpoint)] if ledger.exists() else []
            if checkpoint.name not in known:
                append_text(ledger, checkpoint.model_dump_json())
            for left in chosen.parent.glob("checkpoint-*"):
                shutil.rmtree(left)
            shutil.rmtree(chosen.parent / "cache", ignore_errors=True)

        self.world.once(self.folder / stage / ".kept", work)

    def _facts(self, stage: str, checkpoint: Checkpoint) -> dict[str, object]:
        """How a checkpoint was made, for its card."""
        settings = self.config.sft if checkpoint.method == "sft" else self.config.dpo
        of = {one["stage"]: one for one in self.metrics()}
        rows, trained = of.get(f"{stage}/rows", {}), of.get(f"{stage}/train", {})
        attempt = json.loads((self.folder / "attempts.jsonl").read_text().splitlines()[-1])
        facts: dict[str, object] = {
            "run": f"{self.config.name}, seed {self.config.seed}",
            "rows": rows.get("rows", "?"),
            "optimiser steps": trained.get("steps", "?"),
            "learning rate": settings.learning_rate,
            "batch size": settings.batch_size,
            "code": attempt["commit"] or "not from a checkout",
            "versions": ", ".join(f"{name} {version}" for name, version in attempt["versions"].items()),
        }
        if checkpoint.method == "dpo":
            facts |= {"beta": self.config.dpo.beta, "NLL weight": self.config.dpo.sft_weight, "pairing": self.config.rows.pairing}
        return facts

    # -- controls ----------------------------------------------------------------------------------------------------

    def controls(self) -> None:
        """Train the control arms: the same first iteration under shuffled labels, and verdicts alone at equal tokens."""
        for control in self.config.controls:
            if control == "shuffled_labels":
                self._control_shuffled()
            else:
                self._control_verdict_only()

    def _control_shuffled(self) -> None:
        """The counterpart of the first trained checkpoint: the same chains, judged under labels that a coin chose."""
        method = self.iterations[0].train[0]
        stage = "controls/shuffled_labels"
        path = self.folder / stage / f"{method}.jsonl"
        chains = self._chains[f"iter-1/{method}"]
        self.world.once(path.with_suffix(".done"), lambda: self._write_rows(stage, method, chains, path, shuffled=True))
        self.control_checkpoints.append(self._control(stage, method, path, "shuffled_labels"))

    def _control_verdict_only(self) -> None:
        stage = "controls/verdict_only"
        path = self.folder / stage / "sft.jsonl"

        def write() -> None:
            every = (one for it in self.iterations for one in read_jsonl(it.pairs, LabeledPair))
            asked = ((one.pair, one.gold(order), order) for one in every for order in ("ab", "ba"))
            written = write_jsonl(path, verdict_only_rows(asked, self.config.style))  # type: ignore[arg-type]
            self._finish(f"{stage}/rows", f"{stage} · {written:,} rows", rows=written)

        self.world.once(path.with_suffix(".done"), write)
        spent = sum(one.get("train_tokens", 0) for one in self.metrics() if one["stage"].startswith("iter-"))
        steps = self._equal_steps(path, spent)
        self.control_checkpoints.append(self._control(stage, "sft", path, "verdict_only", max_steps=steps))

    def _equal_steps(self, path: Path, tokens: int) -> int:
        """Optimiser steps on these rows that see as many tokens as were spent elsewhere."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.seed.path)
        lengths = [sum(row_lengths(tokenizer, row.model_dump())) for row in read_jsonl(path, SftRow)]
        mean = sum(lengths) / len(lengths)
        return max(1, math.ceil(tokens / (mean * self.config.sft.batch_size)))

    def _control(self, stage: str, method: Method, rows: Path, name: str, max_steps: int | None = None) -> Checkpoint:
        trained = self._train(stage, method, rows, self.seed, max_steps)
        checkpoint = Checkpoint(name=name, path=str(self.folder / stage / "model"), parent=self.seed.name, method=method)
        # The last, not the best: a control is not selected. Decided on disk, so that a killed move goes on with the same one.
        decision = self.folder / stage / "selected.json"
        self.world.once(decision, lambda: write_text(decision, json.dumps({"chosen": candidates(trained)[-1].name})))
        self._keep(stage, checkpoint, trained / json.loads(decision.read_text())["chosen"])
        return checkpoint

    # -- measuring ---------------------------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Judge the held-out pairs with every checkpoint and control."""
        done = self.folder / "eval" / ".done"
        if not done.exists():
            if self.world.engine_rank is not None:
                every = [*self.checkpoints, *self.control_checkpoints]
                job = EvaluateJob(
                    models={one.name: self._name_for_engine(one) for one in every},
                    sets={split: str(self.folder / "pairs" / f"{split}.jsonl") for split in self.config.pairs.held_out},
                    out=str(self.folder / "eval"),
                )
                self._child("eval", "evaluate", evaluate=job)
            self.world.all_done(done)
        self.world.once(done, lambda: self._finish(
            "eval", "eval · done", seconds=seconds_spent(self.folder / "eval"), **self._ledger(self.folder / "eval")
        ))  # fmt: skip

    def summarize(self) -> None:
        """Write `summary.json` and the curves, and print the table."""
        if self.world.rank == 0:
            write_summary(
                self.config,
                self.folder,
                [one.name for one in self.checkpoints],
                [one.name for one in self.control_checkpoints],
                self.metrics(),
            )

    # -- bookkeeping -------------------------------------------------------------------------------------------------

    def metrics(self) -> list[dict[str, Any]]:
        """The last entry of each finished stage, in order."""
        path = self.folder / "metrics.jsonl"
        entries = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return list({entry["stage"]: entry for entry in entries}.values())

    def _finish(self, stage: str, line: str, **facts: Any) -> None:
        append_text(self.folder / "metrics.jsonl", json.dumps({"stage": stage, **facts}))
        print(line, flush=True)

    def _child(self, stage: str, kind: str, **job: Any) -> None:
        world = self.world
        folder = self.folder / stage
        training = kind == "train"
        assignment = Job(
            kind=kind,  # type: ignore[arg-type]
            config=self.config,
            rank=0 if training else world.engine_rank or 0,
            size=1 if training else world.engines,
            ledger=str(folder / f"ledger-{world.rank}.jsonl"),
            **job,
        )
        path = folder / f".job-{world.rank}.json"
        write_text(path, assignment.model_dump_json())
        environment = world.training_environment(stage) if training else world.sampling_environment()
        world.run_child(stage, [str(path)], environment)

    @staticmethod
    def _ledger(folder: Path) -> dict[str, int]:
        """Engine tokens of a stage, summed over ranks and attempts."""
        total: Counter[str] = Counter(prompt=0, cached=0, generated=0)
        for path in folder.glob("ledger-*.jsonl"):
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                total.update({name: entry[name] for name in ("prompt", "cached", "generated")})
        return dict(total)

    def _name_for_engine(self, checkpoint: Checkpoint) -> str:
        """What the engine is asked for: a server knows the seed by its configured name, an offline engine opens the path."""
        server = self.config.seed_engine is not None and self.config.seed_engine.kind == "server"
        return self.config.model if server and checkpoint.method is None else checkpoint.path
