"""What a build of training data is told: its sources and their weights, who writes responses, hygiene, and splits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt, model_validator

from planner.models import EMBEDDED
from planner.records import Record
from selftrain.config import EngineConfig, Seed
from selftrain.data_config import HygieneConfig, Source, SourceConfig


class WeightedSource(SourceConfig):
    """One of a build's sources."""

    source: Source
    path: str
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Its share of every split, beside the other sources' (paper: 2,500 + 2,500, that is 1 and 1)."""


class DataConfig(Record):
    """A whole build: one TOML file plus `key=value` overrides, as for a run."""

    name: Annotated[str, Field(pattern=r"^[\w-][\w.-]*$")]
    out: str = "data"
    seed: Seed = 2
    model: str = EMBEDDED
    """Who writes the responses of `math`, `noisy` and `constraints`."""
    engine: EngineConfig = EngineConfig()
    sources: tuple[WeightedSource, ...]
    hygiene: HygieneConfig = HygieneConfig()
    splits: dict[Annotated[str, Field(pattern=r"^[\w-]+$")], PositiveInt]
    """Pairs in each split, in the order in which they are dealt, e.g. { known = 200, validation = 300, train-1 = 5000 }."""

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if not self.sources or not self.splits:
            raise ValueError("a build needs at least one [[sources]] entry and one split in [splits]")
        return self

    @property
    def folder(self) -> Path:
        return Path(self.out) / self.name

    def recipe(self) -> dict[str, Any]:
        """What a resumed build must share with its first attempt; `dealt` besides, once the splits are."""
        fields = self.model_dump(mode="json", exclude={"out", "engine", "splits"})
        for source in fields["sources"]:
            del source["weight"]
        fields["engine"] = {"kind": self.engine.kind, "dtype": self.engine.dtype, "max_model_len": self.engine.max_model_len}
        return fields

    def dealt(self) -> dict[str, Any]:
        """What the splits are made by: as long as there were too few pairs for them, it may still change."""
        return {"splits": self.splits, "weights": [source.weight for source in self.sources]}
