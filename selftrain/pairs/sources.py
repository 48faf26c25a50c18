"""From a source's name to its pairs: what an engine has to write first, and the stream of pairs that comes of it.

A source is a file here with `read(config, folder, seed, counts)`; where an engine writes its responses, also `ask(config, asking)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from planner.engines.base import Engine, Sampling
from planner.records import LabeledPair
from selftrain.data_config import ENGINE_SOURCES, SourceConfig
from selftrain.pairs import constraints, gsm8k, jsonl, math_problems, noisy, preference, self_taught
from selftrain.pairs.asking import Asking

_ASK = {"math": math_problems.ask, "noisy": noisy.ask, "constraints": constraints.ask}
_PROMPTS: dict[str, Callable[[SourceConfig], Iterator[object]]] = {
    "math": math_problems.problems,
    "noisy": noisy.instructions,
    "constraints": constraints.prompts,
}
_READ = {
    "math": math_problems.read,
    "noisy": noisy.read,
    "constraints": constraints.read,
    "self_taught": self_taught.read,
    "preference": preference.read,
}
_ROUNDS = {
    "math": (math_problems.ROUND,),
    "noisy": (noisy.SIMILAR, noisy.ANSWERS, noisy.OTHER_ANSWERS),
    "constraints": (constraints.ROUND,),
}
assert _ASK.keys() == _PROMPTS.keys() == _ROUNDS.keys() == ENGINE_SOURCES


def check(config: SourceConfig) -> None:
    """Read what an engine is to be asked, before anybody waits for the engine: all of a file, the first row of a data set from the hub.

    Raises:
        UserError: no such file, nothing in it, or a bad row.
    """
    asked = _PROMPTS[config.source](config)
    next(asked)
    if Path(config.path or "").exists():
        for _ in asked:
            pass


def ask(config: SourceConfig, engine: Engine, folder: Path, rank: int = 0, size: int = 1) -> None:
    """Have the engine write what the source still owes, into `folder`; nothing for a source that needs no engine.

    Raises:
        UserError: a bad row, named by where it stands.
    """
    if config.source in _ASK:
        sampling = Sampling(config.temperature, config.top_p)
        _ASK[config.source](config, Asking(engine, folder, sampling, config.response_tokens, rank, size))


def asked_files(config: SourceConfig) -> list[str]:
    """Patterns of the files that `ask` leaves in its folder, for the marker of that step."""
    return [f"{name}/rank-*.jsonl" for name in _ROUNDS[config.source]]


def asked_rounds(config: SourceConfig, folder: Path) -> list[Path]:
    """Where they lie, in the order in which they were asked for: what a later round was asked may hang on what an earlier one holds."""
    return [folder / name for name in _ROUNDS[config.source]]


def read(config: SourceConfig, folder: Path, seed: int, counts: Counter[str]) -> Iterator[LabeledPair]:
    """The source's pairs. `counts` is filled as they are read: what became of rows, prompts and responses.

    Raises:
        UserError: a bad row, named by where it stands.
    """
    if config.source in _READ:
        return _READ[config.source](config, folder, seed, counts)
    assert config.path is not None
    path = Path(config.path)
    if config.source == "gsm8k_solutions":
        return gsm8k.read(path, seed, config.rows)
    return jsonl.read(path, config.columns, config.rows)
