"""A config on disk: one TOML file plus `key=value` overrides in TOML syntax, read into any record of ours, and written back."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tomli_w
from pydantic import Field, ValidationError

from planner.errors import UserError
from planner.records import Record

R = TypeVar("R", bound=Record)
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What numpy, scikit-learn and torch all take."""


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
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; give a TOML file, such as one of configs/") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not TOML: {error}; mend it there") from None
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


def as_toml(record: Record) -> str:
    """A config as a file that `load_record` reads back."""
    return tomli_w.dumps(_without_none(record.model_dump(mode="json")))


def _without_none(value: Any) -> Any:
    """TOML has no null: absent means the default, which is None wherever None is allowed."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value
