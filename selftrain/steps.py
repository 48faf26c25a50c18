"""The steps that `loop.py` puts in order. Each is owed until its marker is on disk, and is skipped once it is.

Everything a step makes lies in `runs/<name>/iter-<k>/<method>/`; finished checkpoints lie in `runs/<name>/M<k>_<METHOD>/`.
Steps that need a model run in child processes (`workshop.py`), on every rank; what needs none is done by rank 0 while the others
wait for its marker.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import NamedTuple

from planner.errors import UserError
from planner.models import resolve_model
from selftrain import controls, kept
from selftrain.checkpoints import is_judge
from selftrain.config import Config, JudgedFile, Method
from selftrain.data_config import ENGINE_SOURCES
from selftrain.judged import Chains, judge_chains
from selftrain.kept import Checkpoint, comes_from, take_over
from selftrain.launch import World, seconds_spent
from selftrain.ledger import tokens_spent
from selftrain.measure import EvaluateJob
from selftrain.pairs import sources, split_sizes, write_splits
from selftrain.pairs.card import CLEANED
from selftrain.preflight import check_compiler, check_judged, check_packages, check_trackers
from selftrain.stage import AskJob, SampleJob
from selftrain.stamp import check_stamp
from selftrain.summary import write_summary
from selftrain.training import make_prompts, make_rows, make_taught_rows, train_on
from selftrain.workshop import Workshop


class IterationRun(NamedTuple):
    """One entry of `iterations`, numbered from 1."""

    number: int
    train: tuple[Method, ...]
    resample_before_dpo: bool
    pairs: dict[Method, Path]
    judged: JudgedFile | None

    def stage(self, method: Method) -> str:
        return f"iter-{self.number}/{method}"


class Run:
    """A run on disk, and what this process has to do for it.

    Raises:
        UserError: the run folder holds another recipe; the changed field is named.
    """

    def __init__(self, config: Config, world: World) -> None:
        self.config, self.world, self.shop = config, world, Workshop(config, world)
        self.folder = config.run_folder
        seed = resolve_model(config.model)
        self.seed = Checkpoint(name="seed", path=seed, parent="", method=None, stage="", judges=is_judge(config, seed))
        if world.rank == 0:
            check_packages(config)
            check_compiler()
            check_trackers(config)
            _ = self.shop.tokenizer  # a seed that cannot be trained is refused now
            check_stamp(config, self.folder, self.seed.path, world)
        world.all_done(self.folder / "stamp.json")  # nobody starts on a recipe that rank 0 refuses
        self.iterations = [
            IterationRun(
                k,
                one.train,
                one.resample_before_dpo,
                {
                    "sft": self.folder / "pairs" / f"train-{k}.jsonl",
                    "grpo": self.folder / "pairs" / f"train-{k}.jsonl",
                    "dpo": self.folder / "pairs" / f"train-{k}{'-dpo' if one.dpo_pairs else ''}.jsonl",
                },
                one.judged,
            )
            for k, one in enumerate(config.iterations, 1)
        ]
        self.checkpoints = [self.seed]
        self.control_checkpoints: list[Checkpoint] = []
        self._first_chains: Chains | None = None

    def make_pairs(self) -> None:
        """Write every split once, training and held-out; where an engine writes the source's responses, have the seed do so first.

        Raises:
            UserError: the source has too few pairs, or a split is not as it was written.
        """
        done, asked = self.folder / "pairs" / ".done", self.folder / "pairs" / ".asked"
        if self.config.pairs.source in ENGINE_SOURCES and not done.exists():
            if not asked.exists():
                sources.check(self.config.pairs)
                self.shop.sample("pairs", AskJob(folder=str(self.folder / "pairs"), model=self._name_for_engine(self.seed)))
                self.world.all_done(asked)
            rounds = sources.asked_rounds(self.config.pairs, asked.parent)
            if not (asked.parent / CLEANED).exists():  # what was cleaned of it is not read again
                self.world.once(asked, lambda: None, sources.asked_files(self.config.pairs), anew=rounds)

        def work() -> None:
            started, folder = time.monotonic(), self.folder / "pairs"
            check_judged(self.config)
            sizes, ties = write_splits(self.config, folder)
            text = " · ".join(f"{name} {size:,}" for name, size in sizes.items())
            text += f" · {ties:,} ties left out (ties = false)" if ties else ""
            # What an engine wrote for them, over all attempts, is part of it.
            seconds = seconds_spent(folder) + time.monotonic() - started
            self.shop.finish("pairs", f"pairs {text}", seconds=seconds, ties_left_out=ties, **sizes, **tokens_spent(folder))

        self.world.once(done, work, [f"{name}.jsonl" for name in split_sizes(self.config)])

    def sample(self, iteration: IterationRun, method: Method, judge: Checkpoint) -> Chains:
        """Draw plans and executions with `judge` on the iteration's pairs, and judge their outcomes."""
        stage = iteration.stage(method)
        folder = self.folder / stage
        self._check_origin(folder, judge)
        chains = Chains(folder, iteration.pairs[method], judge.name, first=not judge.judges)
        done, judged = folder / ".sampled", folder / ".judged"
        if not judged.exists():  # afterwards nothing reads what was drawn
            if not done.exists():
                model = self._name_for_engine(judge)
                job = SampleJob(
                    folder=str(folder), pairs=str(chains.pairs), model=model, first=chains.first, of_seed=judge.method is None
                )
                self.shop.sample(stage, job)
                self.world.all_done(done)
            made = ("plans", "chains", "forced")
            self.world.once(done, lambda: None, [f"{name}/*.jsonl" for name in made], anew=[folder / name for name in made])
        self.world.once(judged, lambda: self._judge(stage, chains), [chains.judged.name])
        self._first_chains = self._first_chains or chains
        return chains

    def _judge(self, stage: str, chains: Chains) -> None:
        started = time.monotonic()
        counts = judge_chains(self.config, chains)
        tokens, sampling, total = tokens_spent(chains.folder), seconds_spent(chains.folder), counts["chains"]
        seconds = sampling + time.monotonic() - started
        over_long = f" · over-long prompts {counts['over_long']:,}" if counts["over_long"] else ""
        shares = " · ".join(
            f"{name.replace('_', ' ')} {counts[name] / total:.0%}" for name in ("right", "wrong", "no_verdict", "cut_off", "forced")
        )
        line = (
            f"{stage} · {chains.sampler}: {counts['plans'] - counts['plans_cut_off']:,}/{counts['plans']:,} plans, {total:,} chains · "
            f"{shares}{over_long} · {tokens['generated'] / max(sampling, 1e-9):,.0f} tok/s"
        )
        self.shop.finish(f"{stage}/sample", line, seconds=seconds, **counts, **tokens)

    def rows(self, iteration: IterationRun, method: Method, chains: Chains) -> Path:
        """Write TRL rows from judged chains."""
        return make_rows(self.shop, iteration.stage(method), method, chains)

    def taught_rows(self, iteration: IterationRun) -> Path:
        """Write TRL rows from a file of another judge's judgments."""
        assert iteration.judged is not None
        return make_taught_rows(self.shop, iteration.stage("sft"), iteration.judged)

    def prompts(self, iteration: IterationRun) -> Path:
        """Write what GRPO trains on: judge prompts, in both orders of each pair."""
        return make_prompts(self.shop, iteration.stage("grpo"), iteration.pairs["grpo"])

    def train(self, iteration: IterationRun, method: Method, rows: Path, *, start: Checkpoint) -> Path:
        """Train on rows, from `start` unless `sft.start` says the seed; returns the folder of candidates."""
        start = self._start(method, start)
        self._check_origin(self.folder / iteration.stage(method), start)
        return train_on(self.shop, iteration.stage(method), method, rows, start.path)

    def select(self, iteration: IterationRun, method: Method, trained: Path, *, parent: Checkpoint) -> Checkpoint:
        """Keep the candidate with the best position-consistent accuracy on validation."""
        name, stage = f"M{iteration.number}_{method.upper()}", iteration.stage(method)
        chosen = trained / kept.select(self.shop, stage, trained)
        start = self._start(method, parent).name
        made = Checkpoint(name=name, path=str(self.folder / name), parent=start, method=method, stage=stage)
        kept.keep(self.shop, made, chosen)
        self.checkpoints.append(made)
        return made

    def controls(self) -> None:
        """Train the control arms: the same first iteration under shuffled labels, and verdicts alone at equal tokens."""
        for control in self.config.controls:
            if control == "shuffled_labels":
                assert self._first_chains is not None
                made = controls.shuffled_labels(self.shop, self.seed, self.iterations[0].train[0], self._first_chains)
            else:
                sampled = [one for one in self.iterations if not one.judged]
                made = controls.verdict_only(
                    self.shop, self.seed, list(dict.fromkeys(file for one in sampled for file in one.pairs.values()))
                )
            self.control_checkpoints.append(made)

    def evaluate(self) -> None:
        """Judge the held-out pairs with every checkpoint and control."""
        folder, every = self.folder / "eval", [*self.checkpoints, *self.control_checkpoints]
        done = folder / ".done"
        if self.world.rank == 0:
            for one in every:
                if not comes_from(self.shop, folder, one):
                    # Made anew since, and nothing stands on what was measured of the old one.
                    shutil.rmtree(folder / one.name, ignore_errors=True)
                    done.unlink(missing_ok=True)
                    take_over(self.shop, folder, one)
        self.world.all_done(folder / "checked")
        if not done.exists():
            job = EvaluateJob(
                models={one.name: self._name_for_engine(one) for one in every},
                sets={split: str(self.folder / "pairs" / f"{split}.jsonl") for split in self.config.pairs.held_out},
                out=str(folder),
            )
            self.shop.sample("eval", job)
            self.world.all_done(done)
        self.world.once(done, lambda: self.shop.finish(
            "eval", "eval · done", seconds=seconds_spent(folder), **tokens_spent(folder)
        ), ("*/*/rank-*.jsonl",))  # fmt: skip

    def summarize(self) -> None:
        """Write `summary.json` and the curves, and print the table."""
        if self.world.rank == 0:
            names, control_names = ([one.name for one in of] for of in (self.checkpoints, self.control_checkpoints))
            write_summary(self.config, self.folder, names, control_names, self.shop.metrics())

    def _start(self, method: Method, judge: Checkpoint) -> Checkpoint:
        return self.seed if method == "sft" and self.config.sft.start == "seed" else judge

    def _check_origin(self, folder: Path, checkpoint: Checkpoint) -> None:
        if self.world.rank == 0 and not comes_from(self.shop, folder, checkpoint):
            raise UserError(
                f"{folder} was made with an earlier {checkpoint.name}, which has been made anew since: delete {folder} as well, and "
                "run the same command again"
            )

    def _name_for_engine(self, checkpoint: Checkpoint) -> str:
        """What the engine is asked for: a server knows the seed by its configured name, an offline engine opens the path."""
        server = self.config.seed_engine is not None and self.config.seed_engine.kind == "server"
        return self.config.model if server and checkpoint.method is None else checkpoint.path
