"""Labelled pairs, one file a source, split so that training never sees a held-out instruction.

A source is an endless generator (`builtin`) or a function that streams a file. Adding one: write its file here, name it in
`data_config.Source`, and give it a line in `sources.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from planner.errors import UserError
from planner.records import LabeledPair, digest
from planner.store import cannot_write, read_jsonl, write_jsonl
from selftrain.config import Config
from selftrain.data_config import ENGINE_SOURCES

Stream = Callable[[], Iterator[LabeledPair]]


def split_sizes(config: Config) -> dict[str, int]:
    """Pairs in each split: held-out sets, `validation`, and `train-<k>` for each iteration, with `train-<k>-dpo` where DPO has its own."""
    sizes: dict[str, int] = {str(split): n for split, n in config.pairs.held_out.items()}
    sizes["validation"] = config.pairs.validation
    for k, iteration in enumerate(config.iterations, 1):
        if iteration.pairs:
            sizes[f"train-{k}"] = iteration.pairs
        if iteration.dpo_pairs:
            sizes[f"train-{k}-dpo"] = iteration.dpo_pairs
    return sizes


class Written(NamedTuple):
    """What came of writing a run's splits."""

    sizes: Counter[str]
    """Pairs by split."""
    ties: int
    """Left out, where the judge is allowed two verdicts: none of them would be right."""


def write_splits(config: Config, folder: Path) -> Written:
    """Write `<split>.jsonl` for every split of the run.

    Raises:
        UserError: the source has too few pairs, or a bad row.
    """
    sizes = split_sizes(config)
    pairs = config.pairs
    if pairs.source == "builtin":
        return Written(_write_builtin(config, folder, sizes), 0)
    assert pairs.path is not None
    path, ties = Path(pairs.path), _Ties(left_out=not config.ties)
    if pairs.source == "built":
        return Written(_write_built(folder, sizes, path, ties, config.seed), len(ties.found))
    from selftrain.pairs import sources

    if pairs.source in ("jsonl", "gsm8k_solutions"):

        def stream() -> Iterator[LabeledPair]:
            return ties.of(sources.read(pairs, folder, config.seed, Counter()))

        return Written(write_streamed(stream, folder, sizes, path, config.seed), len(ties.found))
    from selftrain.pairs.card import clean_source
    from selftrain.pairs.hygiene import balanced

    kept = clean_source(pairs, pairs.hygiene, folder, config.seed)
    written = write_streamed(lambda: ties.of(read_jsonl(kept, LabeledPair)), folder, sizes, path, config.seed)
    for name in sizes:
        split = folder / f"{name}.jsonl"
        write_jsonl(split, balanced(read_jsonl(split, LabeledPair), config.seed))
    return Written(written, len(ties.found))


class _Ties:
    """Ties of a stream that may be read more than once."""

    def __init__(self, *, left_out: bool) -> None:
        self._left_out = left_out
        self.found: set[str] = set()
        """Ids of those that were left out."""

    def of(self, pairs: Iterable[LabeledPair]) -> Iterator[LabeledPair]:
        for one in pairs:
            if self._left_out and one.better == "tie":
                self.found.add(one.pair.id)
            else:
                yield one


def _write_built(folder: Path, sizes: dict[str, int], path: Path, ties: _Ties, seed: int) -> Counter[str]:
    """Take the splits of the same names from a build of `evalplanner data build`, whose sources stand one after the other: where fewer
    pairs are asked for than there are, they are chosen by hash, and so of all sources."""
    written: Counter[str] = Counter()
    for name, size in sizes.items():
        split = path / f"{name}.jsonl"
        if not split.is_file():
            raise UserError(f"{split} is not there: the run needs splits {', '.join(sizes)}; name them so in the build's [splits]")
        written += write_streamed(partial(_built, split, ties), folder, {name: size}, split, seed)
    return written


def _built(split: Path, ties: _Ties) -> Iterator[LabeledPair]:
    return ties.of(read_jsonl(split, LabeledPair, mend="restore it, or make the build anew"))


def usable_pairs(config: Config) -> Iterator[LabeledPair]:
    """Pairs of the kind that the run trains on, as they come and without what the run leaves out of a file; none where it is not here."""
    return _once(_Ties(left_out=not config.ties).of(_some_pairs(config)))


def _some_pairs(config: Config) -> Iterator[LabeledPair]:
    pairs = config.pairs
    if pairs.source == "builtin":
        from selftrain.pairs import builtin

        yield from builtin.generate("train", config.seed, pairs.kinds or None, pairs.ties)
    assert pairs.path is not None
    path = Path(pairs.path)
    if pairs.source == "built":
        if (path / "train-1.jsonl").is_file():
            yield from read_jsonl(path / "train-1.jsonl", LabeledPair)
    elif path.is_file() and pairs.source not in ENGINE_SOURCES:
        from selftrain.pairs import sources

        yield from sources.read(pairs, path.parent, config.seed, Counter())


def _write_builtin(config: Config, folder: Path, sizes: dict[str, int]) -> Counter[str]:
    from selftrain.pairs import builtin

    check_coverage(config)
    written: Counter[str] = Counter()
    kinds = config.pairs.kinds or None
    try:
        train = _fresh(builtin.generate("train", config.seed, kinds, config.pairs.ties), "train")
        for name, size in sizes.items():
            # Kinds to train on restrict training and what is measured as known, never what is unseen.
            stream = train if name.startswith("train-") else _fresh(builtin.generate(
                name, config.seed, kinds if name != "unseen" else None, config.pairs.ties,  # type: ignore[arg-type]
            ), name)  # fmt: skip
            written[name] = write_jsonl(folder / f"{name}.jsonl", islice(stream, size))
    except ValueError as error:
        raise UserError(f"pairs.kinds: {error}") from None
    return written


def check_coverage(config: Config) -> None:
    """Refuse held-out splits of builtin pairs that would leave kinds out, or part twins: their figure would be of something else.

    Raises:
        UserError: names the split and what it needs.
    """
    from selftrain.pairs.builtin import KNOWN_KINDS, UNSEEN_KINDS

    for split, size in config.pairs.held_out.items():
        kinds = len(UNSEEN_KINDS if split == "unseen" else set(config.pairs.kinds) or KNOWN_KINDS)
        if size < 2 * kinds or size % 2:
            raise UserError(
                f"pairs.held_out.{split} = {size}: builtin pairs come as twins, and the split has {kinds} kinds: "
                f"give an even number of {2 * kinds} or more (a multiple of {2 * kinds} has as many of each kind)"
            )


def _fresh(pairs: Iterable[LabeledPair], name: str) -> Iterator[LabeledPair]:
    """Pairs of an endless generator up to where it must repeat itself.

    Raises:
        UserError: more were asked for.
    """
    seen: set[str] = set()
    for one in pairs:
        if one.pair.id in seen:
            raise UserError(
                f"the builtin {name} pairs of these kinds are {len(seen):,} and no more: ask for fewer, or name more kinds"
            )
        seen.add(one.pair.id)
        yield one


def write_streamed(stream: Stream, folder: Path, sizes: dict[str, int], path: Path, seed: int) -> Counter[str]:
    """Deal a file's pairs out over the splits in two passes, holding one hash a pair.

    Prompts are shuffled by hash and dealt whole, so that no prompt is in two splits. Pairs keep the file's order within one. Of
    equal pairs the first counts.
    """
    groups: Counter[str] = Counter(one.cluster for one in _once(stream()))
    shuffled = sorted(groups, key=lambda group: digest("split", str(seed), group))
    place: dict[str, str] = {}
    dealt = iter(shuffled)
    for name, size in sizes.items():
        have = 0
        while have < size:
            group = next(dealt, None)
            if group is None:
                need = sum(sizes.values())
                raise UserError(
                    f"{path} gives {sum(groups.values())} usable pairs of {len(groups)} prompts, and the run asks for {need}: lower "
                    "iterations.*.pairs, pairs.validation or pairs.held_out"
                )
            place[group] = name
            have += groups[group]
    written: Counter[str] = Counter()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files: dict[str, IO[str]] = {
            name: stack.enter_context((folder / f"{name}.jsonl.part").open("w", encoding="utf-8")) for name in sizes
        }
        try:
            for one in _once(stream()):
                name = place.get(one.cluster, "")
                # The last prompt of a split may hold a pair more than it needs.
                if name and written[name] < sizes[name]:
                    files[name].write(one.model_dump_json() + "\n")
                    written[name] += 1
        except OSError as error:
            cannot_write(error, folder)
    for name in sizes:
        (folder / f"{name}.jsonl.part").replace(folder / f"{name}.jsonl")
    return written


def _once(pairs: Iterable[LabeledPair]) -> Iterator[LabeledPair]:
    """Pairs without repetition: an engine refuses to be asked the same thing twice at a time."""
    seen: set[str] = set()
    for one in pairs:
        if one.pair.id not in seen:
            seen.add(one.pair.id)
            yield one


def prefer_baseline(pairs: Iterable[LabeledPair], note: str) -> float | None:
    """Accuracy of always naming the side whose `notes[note + "_a"]` beats `notes[note + "_b"]`; None where no pair has them."""
    right = total = 0
    for one in pairs:
        a, b = one.notes.get(f"{note}_a"), one.notes.get(f"{note}_b")
        if a is not None and b is not None and float(a) != float(b):
            total += 1
            right += one.better == ("A" if float(a) > float(b) else "B")
    return right / total if total else None
