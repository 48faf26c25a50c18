"""One run = one TOML file plus `key=value` overrides in TOML syntax; the resolved config is saved before the first token.

    accelerate launch selftrain/run.py configs/demo.toml seed=3 sampling.temperature=1.0

Defaults are the paper's (arXiv 2501.18099, section 3.1 and Table 10) where it gives a value; where it is silent the field says
so and names the choice. `[pairs]` is in `data_config.py`, `[sft]`, `[dpo]`, `[grpo]` and `[lora]` are in `train_config.py`; how the file is
read is in `config_file.py`. Imports neither torch nor vLLM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from planner.models import EMBEDDED
from planner.records import Record
from planner.styles.evalplanner import EvalPlannerStyle, ExecutionForm, PlanKind
from prompts import PromptSet
from selftrain.config_file import Count, Fraction, Seed, load_record
from selftrain.data_config import JudgedForm, PairsConfig, Split
from selftrain.train_config import DpoConfig, GrpoConfig, LoraConfig, Method, SftConfig, TrainConfig, check_batch

__all__ = [
    "Config", "Control", "Count", "DpoConfig", "EngineConfig", "Fraction", "GrpoConfig", "HardwareName", "Iteration", "JudgedFile",
    "LoraConfig", "Method", "Pairing", "PairsConfig", "RowsConfig", "SamplingConfig", "Seed", "SftConfig", "Split", "TrainConfig",
    "load_config", "load_record",
]  # fmt: skip

Pairing = Literal["same_plan", "cross_plan", "mixed"]
Control = Literal["shuffled_labels", "verdict_only"]
HardwareName = Literal["cpu", "a100", "h100"]


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

    @model_validator(mode="after")
    def _consistent(self) -> SamplingConfig:
        if self.temperature == 0 and (self.plans > 1 or self.executions > 2):
            raise ValueError("temperature = 0 draws the same chain every time: set it above 0, or plans = 1 and executions = 2")
        return self


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
    """What one process runs on: the CPU cores it may use, or one GPU of 80 GB. Read by `--dry-run` and `evalplanner doctor` alone."""
    report_to: tuple[str, ...] = ()
    """Experiment trackers, by the names that transformers knows."""

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.execution_form == "findings" and not (self.sampling.force_verdict and self.rows.train_forced):
            raise ValueError(
                'execution_form = "findings" needs sampling.force_verdict and rows.train_forced: its verdicts are all forced'
            )
        if self.rows.whole_groups and self.ties:
            raise ValueError(
                "rows.whole_groups does not go with ties = true: balancing A, B and tie leaves out single rows, and groups would not be whole"
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
            check_batch(name, settings, self.processes)
        if self.trains_grpo:
            self._check_grpo()
        if self.engine.kind == "server":
            raise ValueError("a server cannot load the checkpoints of this run; use it as seed_engine")
        if self.processes > 1 and self.seed_engine and {self.engine.kind, self.seed_engine.kind} == {"ray", "vllm"}:
            raise ValueError(
                "engine and seed_engine are both ray or both vllm where processes > 1: Ray's one is asked by one process, vLLM's by all"
            )
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
        if not self.dpo.label_smoothing:  # and those from before there was label smoothing
            del fields["dpo"]["label_smoothing"]
        return fields


def load_config(path: str | Path, overrides: list[str] | None = None) -> Config:
    """A run's config, as `load_record` reads it."""
    return load_record(path, Config, overrides)
