"""Where pairs come from and what is done to them: a run's `[pairs]`, of which `evalplanner data build` shares all but the splits.

Fields are for some sources only; each says which. The paper names its sources and who wrote MATH's solutions, and no more; every number
here is a choice of ours unless it says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from planner.records import Record
from selftrain.config_file import Fraction

Split = Literal["known", "wording", "unseen"]
Source = Literal["jsonl", "gsm8k_solutions", "math", "noisy", "constraints", "self_taught", "preference"]
ENGINE_SOURCES: frozenset[str] = frozenset({"math", "noisy", "constraints"})
"""Sources whose responses an engine writes."""

JudgedForm = Literal["taught", "pandalm", "judgelm"]
"""Files of judgments that `selftrain.distil.files` reads."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "jsonl": ("instruction", "chosen", "rejected"),
    "math": ("instruction", "answer"),
    "noisy": ("instruction",),
    "constraints": ("instruction", "constraints", "arguments"),
    "preference": ("instruction", "chosen", "rejected"),
}
"""The columns that a source reads and a config may rename."""


class HygieneConfig(Record, allow_inf_nan=False):
    """What is removed from a source's pairs before they are split. Each removed row is kept on file with its reason."""

    near_duplicates: Fraction = 0.8
    """Instructions whose words' 3-grams overlap by this much (Jaccard) count as one; the first stays. 0: equal ones only."""
    benchmarks: tuple[str, ...] = ()
    """Files (or folders, or globs) whose prompts no training instruction may share an n-gram with."""
    ngram: PositiveInt = 13
    """Words of an overlap that counts; a shorter prompt must be found whole."""
    languages: tuple[Annotated[str, Field(pattern="^[a-z]{2,3}$")], ...] = ()
    """ISO 639-1 codes that instruction and responses may be in; empty: any."""
    min_characters: PositiveInt = 1
    """Of an instruction, and of each response."""
    max_characters: PositiveInt = 20_000
    drop_refusals: bool = True
    """Leave out pairs whose chosen response declines to answer."""
    balance_length: bool = False
    """Leave out pairs until the longer response is chosen as often as not."""


class SourceConfig(Record, allow_inf_nan=False):
    """One source of pairs."""

    source: str
    path: str | None = None
    """A .jsonl, .json, .csv or .parquet file; for all but `jsonl` and `gsm8k_solutions` also a data set's hub id, or a folder laid out as there."""
    hub_split: str = "train"
    """Of a data set from the hub."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Names of a source's columns where the file's differ: see `COLUMNS`. `preference` also takes `score_chosen` and `score_rejected`."""
    prompts: str | None = None
    """`self_taught`: the file of conversations that the set's hashes stand for, as in WildChat."""
    rows: PositiveInt | None = None
    """Rows of the file to use at most, from its start; None: all. Not for `builtin` and `built`."""
    candidates: Annotated[int, Field(ge=2)] = 8
    """`math`, `constraints`: responses drawn to each prompt."""
    pairs_per_prompt: PositiveInt = 1
    """Right-wrong pairs made of one prompt's responses at most."""
    response_tokens: PositiveInt = 1024
    temperature: Annotated[float, Field(ge=0)] = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    margin: Annotated[float, Field(ge=0)] = 0.0
    """`preference` with scores: how much better the chosen response must be rated."""
    licence: str = ""
    """As the source states it; goes on the data card."""

    @model_validator(mode="after")
    def _columns_known(self) -> SourceConfig:
        known = set(COLUMNS.get(self.source, ()))
        if self.source == "preference":
            known |= {"score_chosen", "score_rejected"}
        if wrong := set(self.columns) - known:
            takes = f"takes {', '.join(sorted(known))}" if known else "has none to rename"
            others = ", ".join(sorted(wrong))
            raise ValueError(f"pairs.columns is for names of columns; source '{self.source}' {takes}, not {others}")
        if self.prompts is not None and self.source != "self_taught":
            raise ValueError('pairs.prompts is for pairs.source = "self_taught"')
        if self.temperature == 0 and self.source in ("math", "constraints"):
            raise ValueError("temperature = 0 draws one response over and over, and a pair needs two that differ: set it above 0")
        return self


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
        if self.source in ("builtin", "built") and self.rows is not None:
            raise ValueError(f'pairs.rows is for sources that read rows, not for "{self.source}": leave it out')
        if self.source == "builtin" and self.path is not None:
            raise ValueError('pairs.path is for sources that read a file; "builtin" reads none')
        if self.source != "builtin" and self.path is None:
            raise ValueError(f'pairs.source = "{self.source}" needs pairs.path, e.g. pairs.path=\'"FILE.jsonl"\'')
        if self.source != "builtin" and self.ties:
            raise ValueError(f'pairs.ties is for builtin pairs; a tie of "{self.source}" is one in its rows')
        if self.source != "builtin" and (set(self.held_out) - {"known"} or self.kinds):
            raise ValueError(
                f'pairs.source = "{self.source}" has only the split "known" and no kinds: set pairs.held_out = {{known = …}}, and leave pairs.kinds out'
            )
        return self
