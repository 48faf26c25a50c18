"""One TOML file says which judge gives rewards and how; every adapter and the server read the same one.

    model = "runs/demo/M2_DPO"
    [scoring]
    strategy = "circular"

Where a trainer cannot pass arguments, `EVALPLANNER_REWARD` names the file. Imports neither torch nor vLLM.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from planner.engines.base import Engine, Sampling
from planner.errors import UserError
from planner.judge import CARD, Judge, read_card
from planner.models import EMBEDDED
from planner.records import Record
from planner.styles import SCORING, STYLES, named
from planner.styles.base import ScoringStyle, Style
from planner.styles.evalplanner import EvalPlannerStyle
from rewards.contest import Scorer, Scoring
from rewards.group import GroupScorer
from rewards.pointwise import PointwiseScorer

ENVIRONMENT = "EVALPLANNER_REWARD"


class EngineOptions(Record):
    """What the judge runs on, where it runs in this house. Speed and memory only."""

    max_model_len: PositiveInt | None = None
    max_num_seqs: PositiveInt = 64
    tensor_parallel: PositiveInt = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Beside a trainer on the same GPU, give it the share that the trainer leaves."""
    kv_cache_gb: PositiveInt = 2
    """On a CPU."""


class HttpOptions(Record):
    """What `evalplanner serve` accepts, and how long it holds it."""

    model_config = ConfigDict(allow_inf_nan=False)

    cohort: PositiveInt = 1
    """Responses to one prompt that `/get_reward` and `/verify` wait for before they are scored as a group; 1: no waiting."""
    wait_s: PositiveFloat = 60.0
    """Longest wait for a cohort; then those who came are scored, and one who came alone against the reference."""
    deadline_s: Annotated[float, Field(gt=0, le=150)] = 150.0
    """Waiting and judging of one request. OpenRLHF's client gives up at 180 s and asks again."""
    remember_s: PositiveFloat = 600.0
    """How long the reward of a request whose client went away is kept for its next try."""
    read_s: PositiveFloat = 30.0
    """Longest time for a request's body to arrive."""
    max_body_bytes: PositiveInt = 16 * 2**20
    max_batch: PositiveInt = 256
    """Responses in one request."""
    max_queue: PositiveInt = 512
    """Requests accepted and not yet answered; one more is refused with 429."""


class RewardConfig(Record):
    """A judge and how it scores."""

    model_config = ConfigDict(allow_inf_nan=False)

    model: str = EMBEDDED
    """`embedded`, a checkpoint folder, a hub id; with `url`, the served model's name."""
    url: str | None = None
    """An OpenAI-compatible API that serves `model` already, e.g. http://127.0.0.1:8000/v1."""
    style: str | None = None
    """How the model is asked: a name in `planner.styles`, which overrules a checkpoint's `judge.json`. Unset: as that says; the embedded
    one with `evalplanner-short`. `pointwise` needs it: one of `SCORING` there."""
    force: bool | None = None
    """Read a verdict from the probabilities where the text names none. Unset: only for the embedded model, which never names one."""
    max_tokens: PositiveInt | None = None
    """Of one judgment. Unset: the checkpoint's own, 48 for the embedded model, else 2048."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    num_generations: PositiveInt | None = None
    """TRL's setting of the same name. Needed in training with more than one process, where nothing else shows a torn group."""
    reference_column: str = "reference"
    """Where a data set keeps a known answer, if it has one."""
    scoring: Scoring = Scoring()
    engine: EngineOptions = EngineOptions()
    http: HttpOptions = HttpOptions()

    @model_validator(mode="after")
    def _consistent(self) -> RewardConfig:
        if self.scoring.votes > 1 and self.temperature == 0:
            raise ValueError("scoring.votes > 1 needs temperature > 0, or all votes are the same")
        if self.http.wait_s >= self.http.deadline_s:
            raise ValueError("http.wait_s must leave time to judge within http.deadline_s")
        if self.http.cohort > self.http.max_queue:
            raise ValueError("http.max_queue must hold a whole cohort, or none could ever fill")
        return self


def load_reward_config(path: str | Path | None = None) -> RewardConfig:
    """Read a TOML file; None: the file that `EVALPLANNER_REWARD` names, or all defaults where it is not set.

    Raises:
        UserError: unreadable, not TOML, an unknown key, or a value out of range; one line, the key named.
    """
    named = path or os.environ.get(ENVIRONMENT)
    if not named:
        return RewardConfig()
    try:
        return RewardConfig.model_validate(tomllib.loads(Path(named).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{named} cannot be read: {getattr(error, 'strerror', None) or error}; give a TOML file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{named} is not TOML: {error}; mend it there") from None
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "config"
        what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
        raise UserError(f"{named}: {key}: {what}") from None


def check_style(config: RewardConfig) -> None:
    """Refuse a style, or a model that names none, before an engine is started for it.

    Raises:
        ModelError, UserError: nothing says how the model wants to be asked, or it cannot be asked for what `scoring` wants.
    """
    _grading(config) if config.scoring.strategy == "pointwise" else _comparing(config)


def scorer_for(config: RewardConfig, engine: Engine) -> Scorer:
    """What gives rewards: the judge of a config on an engine that serves its model, comparing or, if `pointwise`, grading.

    Raises:
        ModelError, UserError: as `check_style`.
    """
    scoring, sampling = config.scoring, Sampling(config.temperature, config.top_p)
    if scoring.strategy != "pointwise":
        return GroupScorer(judge_for(config, engine), scoring)
    style, limit = _grading(config)
    return PointwiseScorer(engine, style, max_tokens=config.max_tokens or limit, sampling=sampling, votes=scoring.votes)


def judge_for(config: RewardConfig, engine: Engine) -> Judge:
    """The comparing judge of a config on an engine that serves its model.

    Raises:
        ModelError, UserError: nothing says how the model wants to be asked, or a style that there is not.
    """
    style, limit = _comparing(config)
    return Judge(
        engine,
        style,
        max_tokens=config.max_tokens or limit,
        force=config.model == EMBEDDED if config.force is None else config.force,
        sampling=Sampling(config.temperature, config.top_p),
    )


def _comparing(config: RewardConfig) -> tuple[Style, int]:
    """Style, and longest answer where the config does not say."""
    style: Style
    if config.style is not None:
        style, limit = named(config.style), 2048
    elif (Path(config.model) / CARD).is_file():
        card = read_card(config.model)
        style, limit = card.style, card.max_tokens
    elif config.model == EMBEDDED:
        style, limit = named("evalplanner-short"), 48
    else:
        raise UserError(f"{config.model} has no {CARD} that says how it wants to be asked: set style, one of {', '.join(STYLES)}")
    if config.scoring.plan == "shared" and not (isinstance(style, EvalPlannerStyle) and style.plans):
        raise UserError('scoring.plan = "shared" needs a judge that plans, asked with style = "evalplanner" or "evalplanner-short"')
    return style, limit


def _grading(config: RewardConfig) -> tuple[ScoringStyle, int]:
    """The same of a judge that grades one response at a time."""
    if config.style is None or config.style not in SCORING:
        said = "no style" if config.style is None else f"style = {config.style!r}"
        raise UserError(
            f'scoring.strategy = "pointwise" with {said}: set one that grades a single response, of {", ".join(SCORING)}'
        )
    return SCORING[config.style], 2048


def open_scorer(config: RewardConfig) -> Scorer:
    """`scorer_for` with an engine of its own: a client where `url` is set, else vLLM in this process.

    Raises:
        EngineError, ModelError, UserError: it cannot be opened; the message says what to do.
    """
    check_style(config)
    return scorer_for(config, _open_engine(config))


def open_judge(config: RewardConfig) -> Judge:
    """`judge_for` with an engine of its own.

    Raises:
        EngineError, ModelError, UserError: it cannot be opened; the message says what to do.
    """
    _comparing(config)
    return judge_for(config, _open_engine(config))


def _open_engine(config: RewardConfig) -> Engine:
    if config.url is not None:
        from planner.engines.server import ServerEngine

        return ServerEngine(config.url, config.model)
    from planner.engines.vllm import VllmEngine

    options = config.engine
    return VllmEngine(
        config.model, max_model_len=options.max_model_len, max_num_seqs=options.max_num_seqs, tensor_parallel=options.tensor_parallel,
        gpu_memory_utilization=options.gpu_memory_utilization, kv_cache_gb=options.kv_cache_gb, enforce_eager=True,
    )  # fmt: skip
