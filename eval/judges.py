"""Open the judge that a command names: a checkpoint folder, a hub id, "embedded", or `server:URL#model`.

A checkpoint of ours says itself how it wants to be asked; any other model is asked in the style of the given name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from planner.engines.base import GREEDY, Sampling
from planner.errors import UserError
from planner.judge import CARD, Judge, read_card
from planner.models import model_digest, resolve_model
from planner.styles import named
from planner.styles.base import Style

if TYPE_CHECKING:
    from planner.engines.base import Engine

_SERVER = "server:"
DEFAULT_STYLE = "mtbench"
"""How a model that says nothing of itself is asked: the prompt of RewardBench, which any chat model can answer."""
_MAX_TOKENS = 2048
_MANY = Sampling(temperature=0.8, top_p=0.95)
"""How several votes are drawn (the paper's sampling); a single one is greedy."""


class Opened(NamedTuple):
    judge: Judge
    name: str
    digest: str
    """Of the model's files; its name where they are not at hand."""
    max_model_len: int | None = None
    """The context that was asked for; None: the model's own."""


def open_judge(
    spec: str, *, style: str | None, max_tokens: int | None, votes: int, force: bool, seed: int, max_model_len: int | None = None
) -> Opened:
    """A judge with an engine of its own.

    Raises:
        UserError, ModelError, EngineError: it cannot be opened, and why.
    """
    asked_by: Style
    if style is not None or not _has_card(spec):
        asked_by = named(style or DEFAULT_STYLE)
        default_tokens = _MAX_TOKENS
    else:
        card = read_card(spec)
        asked_by, default_tokens = card.style, card.max_tokens
    engine, digest = _open_engine(spec, seed, max_model_len)
    judge = Judge(
        engine, asked_by, max_tokens=max_tokens or default_tokens, force=force, sampling=_MANY if votes > 1 else GREEDY
    )  # fmt: skip
    return Opened(judge, _name(spec), digest, max_model_len)


def _has_card(spec: str) -> bool:
    return not spec.startswith(_SERVER) and (Path(spec) / CARD).is_file()


def _open_engine(spec: str, seed: int, max_model_len: int | None) -> tuple[Engine, str]:
    if spec.startswith(_SERVER):
        url, found, model = spec.removeprefix(_SERVER).rpartition("#")
        if not (found and url and model):
            raise UserError(f"{spec!r} names no model; a server is server:URL#MODEL, e.g. server:http://127.0.0.1:8000/v1#my-judge")
        from planner.engines.server import ServerEngine

        return ServerEngine(url, model, max_model_len=max_model_len), spec
    path = resolve_model(spec)
    from vllm.platforms import current_platform

    from planner.engines.vllm import VllmEngine

    on_cpu = current_platform.is_cpu()
    # Compiling takes minutes on a CPU and pays on a GPU.
    engine = VllmEngine(path, seed=seed, enforce_eager=on_cpu, max_num_seqs=64 if on_cpu else 256, max_model_len=max_model_len)
    return engine, model_digest(path)


def _name(spec: str) -> str:
    """What tables call a judge: the model of a server, the last two parts of a path."""
    if spec.startswith(_SERVER):
        return spec.rpartition("#")[2]
    return "/".join(Path(spec).parts[-2:])
