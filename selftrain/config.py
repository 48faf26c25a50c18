"""One run = one TOML file plus `key=value` overrides in TOML syntax; the resolved config is saved before the first token.

    accelerate launch selftrain/run.py configs/demo.toml seed=3 sampling.temperature=1.0

Defaults are the paper's (arXiv 2501.18099, section 3.1 and Table 10) where it gives a value; where it is silent the field says
so and names the choice. Imports neither torch nor vLLM.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, TypeVar

from pydantic import Field, PositiveInt, ValidationError, model_validator

from planner.errors import UserError
from planner.models import EMBEDDED
from planner.records import Record
from planner.styles.evalplanner import EvalPlannerStyle, ExecutionForm, PlanKind
from prompts import PromptSet
from selftrain.data_config import HygieneConfig, JudgedForm, Source, SourceConfig

R = TypeVar("R", bound=Record)
Method = Literal["sft", "dpo", "grpo"]
Split = Literal["known", "wording", "unseen"]
Pairing = Literal["same_plan", "cross_plan", "mixed"]
Control = Literal["shuffled_labels", "verdict_only"]
HardwareName = Literal["cpu", "a100", "h100"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What numpy, scikit-learn and torch all take."""


class PairsConfig(SourceConfig):
    """Where labelled pairs come from, and how many are held out. Training never sees a held-out instruction."""

    source: Source | Literal["builtin", "built"] = "builtin"
    """`built`: `path` is a folder that `evalplanner data build` made."""
    kinds: tuple[str, ...] = ()
    """`builtin`: the kinds to train on; empty: all."""
    ties: Fraction = 0.0
    """`builtin`: share of pairs whose answers both meet the instruction or both break it. Needs the run's `ties`."""
    hygiene: HygieneConfig = HygieneConfig()
    """For the sources that read or write text of others: all but `builtin`, `built`, `jsonl` and `gsm8k_solutions`."""
    validation: PositiveInt = 300
    """Pairs that checkpoints are selected on (paper: 300; whether carved out of the training pairs it does not say; here apart)."""
    held_out: dict[Split, PositiveInt] = {"known": 200}
    """Pairs that every checkpoint is measured on. `wording` and `unseen` exist for `builtin` only."""

    @model_validator(mode="after")
    def _consistent(self) -> PairsConfig:
        if not self.held_out:
            raise ValueError("pairs.held_out is empty, so nothing would be measured; name a split, e.g. { known = 200 }")
        if self.source == "builtin" and self.path is not None:
            raise ValueError('pairs.path is for sources that read a file; "builtin" reads none')
        if self.source != "builtin" and self.path is None:
            raise ValueError(f'pairs.source = "{self.source}" needs pairs.path, e.g. pairs.path=\'"FILE.jsonl"\'')
        if self.source != "builtin" and self.ties:
            raise ValueError(f'pairs.ties is for builtin pairs; a tie of "{self.source}" is one in its rows')
        if self.source != "builtin" and (set(self.held_out) - {"known"} or self.kinds):
            raise ValueError(f'pairs.source = "{self.source}" has only the split "known" and no kinds')
        return self


class SamplingConfig(Record, allow_inf_nan=False):
    """How chains are drawn (paper, section 3.1: 5 plans, 8 executions per plan, temperature 0.8, top-p 0.95)."""

    plans: PositiveInt = 5
    executions: Annotated[int, Field(ge=2, multiple_of=2)] = 8
    """Per plan, over both orders: half in each."""
    temperature: Annotated[float, Field(ge=0)] = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    top_k: Count = 0
    plan_tokens: PositiveInt = 2048
    execution_tokens: PositiveInt = 2048
    """Of the execution alone; a judge's own chain gets its closing tags on top. The paper is silent."""
    reuse_plans: bool = False
    """Later iterations: execute a plan in both orders, though it was written with one in view (the paper does not say)."""
    force_verdict: bool = False
    """Read a verdict from the probabilities where an execution names none."""
    calibrate_forced: bool = True
    """Subtract the batch's mean log-odds before a forced verdict is drawn, or the position decides most of them."""


class RowsConfig(Record, allow_inf_nan=False):
    """Which chains train."""

    pairing: Pairing = "same_plan"
    """Paper, section 2.2: same plan, same order. It gives plan tokens no direct DPO gradient; `cross_plan` does."""
    max_pairs_per_order: PositiveInt = 8
    """DPO rows kept per pair and order (the paper has no cap)."""
    train_forced: bool = False
    """Let chains with a forced verdict train (small-model recipes)."""
    whole_groups: bool = False
    """SFT: a group of pairs (`builtin`: twins, one task and its opposite) trains only if each of its pairs has a right chain in both
    orders. With `sft.shuffle = false` every batch then holds each answer as often first as second, and as often better as worse.
    Not in the paper; for small models, which learn such imbalances long before they learn the task (docs/learning.md)."""
    max_unparsed_share: Fraction = 0.25
    """At most this share of DPO rows may have a rejected side without a verdict, or DPO learns the form and little else."""


class TrainConfig(Record, allow_inf_nan=False):
    """Optimisation, for all methods (paper, Table 10)."""

    learning_rate: Annotated[float, Field(gt=0)]
    epochs: Annotated[float, Field(gt=0)] = 2.0
    max_steps: Count = 1000
    """Optimiser steps at most; 0: no limit but the epochs."""
    batch_size: PositiveInt = 32
    """Rows an optimiser step over all processes (the paper does not say)."""
    micro_batch_size: PositiveInt = 1
    """Rows a forward pass on one device."""
    warmup_steps: Count = 0
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """The paper does not say."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    max_length: PositiveInt = 4096
    """Longer rows are dropped and counted; nothing is truncated."""
    save_every: PositiveInt = 100
    """Optimiser steps between candidates for selection."""
    gradient_checkpointing: bool = True
    shuffle: bool = True
    """False: rows in the pairs' order, where a pair's two orders, and `builtin` twins, are neighbours and meet in one batch."""


class SftConfig(TrainConfig):
    learning_rate: Annotated[float, Field(gt=0)] = 1e-6
    warmup_steps: Count = 100
    start: Literal["current", "seed"] = "current"
    """What a later iteration's SFT starts from."""
    decision_weight: Annotated[float, Field(ge=1)] = 1.0
    """Loss weight of the tokens by which a chain decides: what a finding says of each answer, and the letter of the verdict. All
    others weigh 1. Not in the paper; for small models, whose one deciding token drowns in seventy others (docs/learning.md)."""
    form_steps: Count = 0
    """Optimiser steps at the start that weigh all tokens alike: a chain's form comes before what it decides."""

    @model_validator(mode="after")
    def _weighs_something(self) -> SftConfig:
        if self.form_steps and self.decision_weight == 1:
            raise ValueError("form_steps does nothing while decision_weight is 1: set it higher, or leave form_steps out")
        return self


class DpoConfig(TrainConfig):
    learning_rate: Annotated[float, Field(gt=0)] = 5.5e-8
    beta: Annotated[float, Field(gt=0)] = 0.1
    """Not in the paper; the value of its closest relative's released recipe, as is the next."""
    sft_weight: Annotated[float, Field(ge=0)] = 1.5
    """Weight of the chosen side's per-token negative log-likelihood beside the DPO loss; 0: DPO alone."""
    loss: Literal["sigmoid", "ipo", "hinge", "robust", "sigmoid_norm"] = "sigmoid"


class GrpoConfig(TrainConfig):
    """Online GRPO of the judge itself: J1's values (arXiv 2505.10320), which is silent on all that says `chosen`.

    A step writes `batch_size` × `num_generations` chains of at most `judge_tokens`, as long as they may be at test time.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 1e-6
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """Chosen."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """Chosen."""
    batch_size: PositiveInt = 512
    """Prompts an optimiser step over all processes; both orders of a pair are two. J1 says 512 and not of what: chosen."""
    micro_batch_size: PositiveInt = 1
    """Chains a forward pass on one device."""
    max_length: PositiveInt = 4096
    """Of prompt and chain. A pair of which one order's prompt leaves no room for `judge_tokens` is dropped and counted."""
    save_every: PositiveInt = 10
    shuffle: bool = True
    """Of pairs: their two orders always stay neighbours."""
    num_generations: Annotated[int, Field(ge=2)] = 5
    """Chains a prompt."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    beta: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the divergence from the start (J1: 0.01 at 8B, 0 at 70B). 0 also keeps the reference model out of memory."""
    verdict_weight: Annotated[float, Field(ge=0)] = 1.0
    """Reward of a right verdict."""
    consistency_weight: Annotated[float, Field(ge=0)] = 1.0
    """Reward on top where the same chain of the other order is right too. 0: J1 without it."""
    vllm_memory: Fraction = 0.3
    """Share of a GPU that the engine beside the trainer takes."""

    @model_validator(mode="after")
    def _rewards_something(self) -> GrpoConfig:
        if not self.verdict_weight + self.consistency_weight:
            raise ValueError("verdict_weight and consistency_weight are both 0: nothing would be rewarded")
        return self


class LoraConfig(Record):
    """Adapters on every linear layer instead of full fine-tuning. Not in the paper: it is what fits 8B weights on one 80 GB GPU."""

    rank: PositiveInt = 64
    alpha: PositiveInt = 128
    dropout: Fraction = 0.0


class JudgedFile(Record):
    """Another judge's judgments, as `selftrain.distil.files` reads them. Not in the paper: PandaLM's and JudgeLM's way."""

    form: JudgedForm
    path: str
    """The file of judgments; of `pandalm`, the pairs."""
    verdicts: str | None = None
    """`pandalm`: the file of verdicts on them."""


class Iteration(Record):
    """Fresh pairs, then one or both trainings on the chains drawn from them, or GRPO, which draws its own. Checkpoints are M<k>_<METHOD>."""

    pairs: Count = 0
    train: tuple[Method, ...] = ("dpo",)
    resample_before_dpo: bool = False
    """Draw DPO's chains anew from the SFT model. The paper uses the seed's chains for both; small models need it."""
    dpo_pairs: Count = 0
    """So many fresh pairs for DPO where it resamples, apart from SFT's, which the SFT model knows by heart; 0: SFT's, as the paper."""

    judged: JudgedFile | None = None
    """Train on these judgments instead: SFT alone, no pairs, nothing is sampled."""

    @model_validator(mode="after")
    def _consistent(self) -> Iteration:
        if self.judged and (self.train != ("sft",) or self.pairs):
            raise ValueError('judged needs train = ["sft"] and no pairs: the file has its own')
        if not self.judged and not self.pairs:
            raise ValueError("pairs is missing or 0: how many fresh pairs the iteration draws its chains from")
        if self.train not in (("sft",), ("dpo",), ("sft", "dpo"), ("grpo",)):
            raise ValueError('train is ["sft"], ["dpo"], ["sft", "dpo"] or ["grpo"]')
        if self.resample_before_dpo and self.train != ("sft", "dpo"):
            raise ValueError('resample_before_dpo needs train = ["sft", "dpo"]; otherwise chains are fresh anyway')
        if self.dpo_pairs and not self.resample_before_dpo:
            raise ValueError("dpo_pairs needs resample_before_dpo: without it DPO trains on the chains of SFT's pairs")
        return self


class EngineConfig(Record):
    """What samples. Speed and memory only: changing it does not change the recipe, except its kind."""

    kind: Literal["vllm", "ray", "server", "scripted"] = "vllm"
    """`ray`: vLLM engines on a Ray cluster, for all ranks together."""
    engines: PositiveInt = 1
    """`ray`: how many."""
    url: str | None = None
    """`server`: base URL of an OpenAI-compatible API, e.g. http://127.0.0.1:8000/v1."""
    urls: dict[str, PositiveInt] = {}
    """`server`: several that serve the same model, each with its weight: a server of weight 2 gets twice as many requests at once."""
    max_model_len: PositiveInt | None = None
    max_num_seqs: PositiveInt = 256
    tensor_parallel: PositiveInt = 1
    gpu_memory_utilization: Fraction = 0.9
    kv_cache_gb: PositiveInt = 4
    enforce_eager: bool = False
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"

    @model_validator(mode="after")
    def _consistent(self) -> EngineConfig:
        if (self.kind == "server") != ((self.url is not None) != bool(self.urls)):
            raise ValueError('engine.url belongs to engine.kind = "server", and it needs one, or urls')
        return self


class Config(Record):
    """A whole run."""

    name: Annotated[str, Field(pattern=r"^[\w-][\w.-]*$")]
    out: str = "runs"
    seed: Seed = 2
    model: str = EMBEDDED
    """`embedded`, a local folder, or a hub id."""
    processes: PositiveInt = 1
    """Training processes; the launched size must be this one."""
    prompts: PromptSet = "paper"
    plan_kind: PlanKind = "unconstrained"
    execution_form: ExecutionForm = "free"
    """How the seed executes its plans; `findings` is for small-model recipes."""
    ties: bool = False
    """A third verdict: prompts allow a tie, pairs labelled one train, and rows are balanced over A, B and tie. Not in the paper."""
    judge_tokens: PositiveInt = 2048
    """Of a whole chain at test time (paper: 2048), and in GRPO."""
    pairs: PairsConfig = PairsConfig()
    sampling: SamplingConfig = SamplingConfig()
    rows: RowsConfig = RowsConfig()
    sft: SftConfig = SftConfig()
    dpo: DpoConfig = DpoConfig()
    grpo: GrpoConfig = GrpoConfig()
    lora: LoraConfig | None = None
    """None: all weights are trained."""
    attention: Literal["sdpa", "flash_attention_2"] = "sdpa"
    """In training. Flash attention (package flash-attn, a GPU) also lets SFT go without padding."""
    liger: bool = False
    """In training: Liger's kernels for norms, rotary positions and SwiGLU (package liger-kernel, a GPU)."""
    iterations: tuple[Iteration, ...] = (Iteration(pairs=5000, train=("sft", "dpo")), Iteration(pairs=16700))
    controls: tuple[Control, ...] = ()
    engine: EngineConfig = EngineConfig()
    seed_engine: EngineConfig | None = None
    """A different engine for chains drawn from the seed, such as a server that has it loaded. None: `engine`."""
    hardware: HardwareName = "cpu"
    """What one process runs on: the CPU cores it may use, or one GPU of 80 GB. Only `--dry-run` reads it."""
    report_to: tuple[str, ...] = ()
    """Experiment trackers, by the names that transformers knows."""

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.execution_form == "findings" and not (self.sampling.force_verdict and self.rows.train_forced):
            raise ValueError(
                'execution_form = "findings" needs sampling.force_verdict and rows.train_forced: its verdicts are all forced'
            )
        if self.pairs.ties and not self.ties:
            raise ValueError("pairs.ties needs ties = true: without a third verdict no judge could be right on them")
        if self.ties and self.sampling.force_verdict and self.seed_engine and self.seed_engine.kind == "server":
            raise ValueError(
                "a server tells of A and B alone, and ties = true forces three ways: leave seed_engine or force_verdict"
            )
        if not self.iterations:
            raise ValueError("iterations is empty: there is nothing to train")
        if any(one.judged for one in self.iterations) and self.plan_kind != "none":
            raise ValueError(
                'an iteration on a judged file needs plan_kind = "none": its judgments hold no plans, and unteach planning'
            )
        if self.iterations[0].judged and self.controls:
            raise ValueError("controls stand beside the first iteration's own chains, and one on a judged file draws none")
        if "sft" not in self.iterations[0].train and self.model == EMBEDDED:
            raise ValueError('the first iteration must train "sft": the embedded seed names no verdict that could be learnt from')
        for name, settings in (("sft", self.sft), ("dpo", self.dpo)):
            accumulation, rest = divmod(settings.batch_size, settings.micro_batch_size * self.processes)
            if rest or not accumulation:
                raise ValueError(
                    f"{name}.batch_size = {settings.batch_size} is no multiple of {name}.micro_batch_size × processes = "
                    f"{settings.micro_batch_size} × {self.processes}"
                )
        if self.trains_grpo:
            self._check_grpo()
        if self.engine.kind == "server":
            raise ValueError("a server cannot load the checkpoints of this run; use it as seed_engine")
        return self

    def _check_grpo(self) -> None:
        grpo, chains = self.grpo, self.grpo.batch_size * self.grpo.num_generations
        if grpo.batch_size % (2 * self.processes):
            raise ValueError(
                f"grpo.batch_size = {grpo.batch_size} is no multiple of 2 × processes = {2 * self.processes}: both orders of a pair must "
                "meet in one process, which rewards them together"
            )
        if chains % (grpo.micro_batch_size * self.processes):
            raise ValueError(
                f"grpo.batch_size × grpo.num_generations = {chains} is no multiple of grpo.micro_batch_size × processes = "
                f"{grpo.micro_batch_size} × {self.processes}"
            )
        if grpo.max_length <= self.judge_tokens:
            raise ValueError(
                f"grpo.max_length = {grpo.max_length} leaves no room for a prompt beside a chain of judge_tokens = {self.judge_tokens}"
            )
        if any(one.train == ("grpo",) and 2 * one.pairs < grpo.batch_size for one in self.iterations):
            raise ValueError(
                f"an iteration of GRPO has fewer prompts, two a pair, than grpo.batch_size = {grpo.batch_size}: not one step could be taken"
            )
        if self.iterations[0].train == ("grpo",) and "shuffled_labels" in self.controls:
            raise ValueError("controls: shuffled_labels trains on the chains drawn for the first iteration, and GRPO draws its own")

    @property
    def trains_grpo(self) -> bool:
        return any("grpo" in one.train for one in self.iterations)

    def training(self, method: Method) -> TrainConfig:
        """The settings of a method."""
        settings: dict[Method, TrainConfig] = {"sft": self.sft, "dpo": self.dpo, "grpo": self.grpo}
        return settings[method]

    @property
    def style(self) -> EvalPlannerStyle:
        return EvalPlannerStyle(
            prompt_set=self.prompts, plan_kind=self.plan_kind, execution_form=self.execution_form, ties=self.ties
        )

    @property
    def run_folder(self) -> Path:
        return Path(self.out) / self.name

    def recipe(self) -> dict[str, Any]:
        """What a resumed run must share with its first attempt: everything but size, speed and place."""
        fields = self.model_dump(
            mode="json", exclude={"out", "processes", "engine", "seed_engine", "hardware", "report_to", "attention", "liger"}
        )
        for name, engine in (("engine", self.engine), ("seed_engine", self.seed_engine)):
            # The context decides which prompts are dropped as over-long.
            fields[name] = engine and {"kind": engine.kind, "dtype": engine.dtype, "max_model_len": engine.max_model_len}
        for method in ("sft", "dpo", "grpo"):
            for size in ("micro_batch_size", "gradient_checkpointing"):
                del fields[method][size]
        del fields["grpo"]["vllm_memory"]
        if not self.trains_grpo:  # runs from before there was GRPO go on
            del fields["grpo"]
        return fields


def load_config(path: str | Path, overrides: list[str] | None = None) -> Config:
    """A run's config, as `load_record` reads it."""
    return load_record(path, Config, overrides)


def load_record(path: str | Path, kind: type[R], overrides: list[str] | None = None) -> R:
    """Read a TOML file and apply `key=value` overrides (dotted keys, TOML values; a bare word is taken as a string).

    Raises:
        UserError: unreadable file, bad TOML, unknown key, or a value out of range; one line, the key named.
    """
    path = Path(path)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; shipped configs are in configs/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None
    for override in overrides or []:
        _apply(tree, override)
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_line(error)}") from None


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise UserError(f"override {override!r} is not key=value, e.g. sampling.plans=3")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        # A shell eats quotes, so `pairs.path=FILE` means the string; what looks like another TOML value must be one.
        if value.strip()[:1] in set("[{\"'") or not value.strip():
            raise UserError(f"override {override!r}: the value is not TOML") from None
        parsed = value.strip()
    node: Any = tree
    for name in names[:-1]:
        if isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict):
            node = node.setdefault(name, {})
        else:
            raise UserError(f"override {override!r}: there is no {name!r} to set")
    if not isinstance(node, dict):
        raise UserError(f"override {override!r}: {'.'.join(names[:-1])} is no table")
    node[names[-1]] = parsed


def _first_line(error: ValidationError) -> str:
    """The first thing wrong with a config, as `key: what`."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"]) or "config"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}{more}"
    return f"{key}: {problem['msg'].removeprefix('Value error, ')}{more}"


def changed_field(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str | None:
    """The first field, dotted, in which two recipes differ; None where they are equal."""
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if _tables(before) and _tables(after) and len(before) == len(after):
            before, after = ({str(place): value for place, value in enumerate(one)} for one in (before, after))
        if isinstance(before, dict) and isinstance(after, dict):
            found = changed_field(before, after, f"{prefix}{key}.")
            if found:
                return found
        elif before != after:
            return f"{prefix}{key} (was {before!r}, now {after!r})"
    return None


def _tables(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Whether a value is a TOML array of tables, such as `[[sources]]`."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
