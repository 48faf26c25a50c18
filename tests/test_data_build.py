"""`evalplanner data`: builds that resume, splits that share nothing, cards that say what happened, and runs on every source."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from typer.testing import CliRunner

from cli.main import app
from planner.engines.base import Engine, Request
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from planner.records import LabeledPair, Pair
from planner.store import read_jsonl, write_jsonl
from selftrain.config import Config, EngineConfig, load_record
from selftrain.pairs import write_splits
from selftrain.pairs.build import build, file_digest
from selftrain.pairs.build_config import DataConfig
from selftrain.pairs.hygiene import instruction_key
from tests.conftest import ROOT, tiny_config

SHIPPED = sorted((ROOT / "configs" / "data").glob("*.toml"))
RUNNER = CliRunner(env={"COLUMNS": "120"})


def sums(path: Path, count: int) -> str:
    """Problems that the scripted engine solves, half of the time."""
    path.write_text(
        "".join(json.dumps({"question": f"What is {i} + {i + 3}?", "answer": str(2 * i + 3)}) + "\n" for i in range(10, 10 + count))
    )
    return str(path)


def preferences(path: Path, count: int) -> str:
    rows = (
        {"prompt": f"Tell me of {'x' * i} number {i}.", "chosen": f"It is good, {i}.", "rejected": f"Bad {i}"} for i in range(count)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def config(folder: Path, **changes: Any) -> DataConfig:
    found: dict[str, Any] = {
        "name": "b", "out": str(folder / "data"), "engine": {"kind": "scripted"}, "hygiene": {"near_duplicates": 0},
        "sources": [{"source": "math", "path": sums(folder / "sums.jsonl", 60), "candidates": 4},
                    {"source": "preference", "path": preferences(folder / "prefs.jsonl", 90), "weight": 2, "licence": "CC0"}],
        "splits": {"known": 10, "validation": 6, "train-1": 30},
    }  # fmt: skip
    return DataConfig.model_validate(found | changes)


def scripted(_: EngineConfig, model: str, seed: int) -> Engine:
    return ScriptedEngine()


def never(_: EngineConfig, model: str, seed: int) -> Engine:
    raise AssertionError("an engine was opened for what is on disk")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def pairs(folder: Path, split: str) -> list[LabeledPair]:
    return list(read_jsonl(folder / f"{split}.jsonl", LabeledPair))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"), ("", "is empty"), ("[1]\n", "not an object"),
        ('{"question": "a", "answer": "1"}\n{"question": "b"}\n', r"asked\.jsonl:2: 'answer' is missing"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_stops_before_an_engine_is_opened(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "asked.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=says):
        build(config(tmp_path, sources=[{"source": "math", "path": str(path)}]), never)


def test_there_are_shipped_builds_and_they_parse() -> None:
    assert SHIPPED
    for path in SHIPPED:
        load_record(path, DataConfig)


def test_splits_take_their_shares_and_share_no_instruction(tmp_path: Path) -> None:
    found = config(tmp_path)
    card = build(found, scripted, lambda _: None)
    assert card.splits == {"known": 10, "validation": 6, "train-1": 30}
    keys = [{instruction_key(one) for one in pairs(found.folder, split)} for split in found.splits]
    assert len(set.union(*keys)) == sum(map(len, keys))
    for split, shares in (("known", (4, 6)), ("validation", (2, 4)), ("train-1", (10, 20))):
        made = pairs(found.folder, split)
        assert Counter(one.source for one in made) == dict(zip(("math", "preference"), shares, strict=True))
        assert Counter(one.better for one in made) == {"A": len(made) // 2, "B": len(made) // 2}


def test_what_nearly_repeats_another_source_is_in_no_split(tmp_path: Path) -> None:
    def task(k: int) -> str:
        return " ".join(f"w{k}x{place}" for place in range(20))

    def rows(path: Path, instructions: list[str]) -> dict[str, str]:
        path.write_text(
            "".join(
                json.dumps({"prompt": one, "chosen": f"good {k}", "rejected": f"bad {k}"}) + "\n"
                for k, one in enumerate(instructions)
            )
        )
        return {"source": "preference", "path": str(path)}

    first = rows(tmp_path / "first.jsonl", [task(k) for k in range(30)])
    second = rows(tmp_path / "second.jsonl", [*(f"{task(k)} please" for k in range(30)), *(task(k) for k in range(100, 110))])
    found = config(tmp_path, sources=[first, second], hygiene={"near_duplicates": 0.8}, splits={"known": 4, "train-1": 16})
    card = build(found, never, lambda _: None)
    assert card.repeats == 30
    assert "30 instructions nearly repeat" in (found.folder / "README.md").read_text()
    dealt = [one.pair.instruction for split in found.splits for one in pairs(found.folder, split)]
    assert len(dealt) == 20
    assert not any(one.endswith("please") for one in dealt)


def test_the_card_adds_up_and_names_licences(tmp_path: Path) -> None:
    found = config(tmp_path)
    card = build(found, scripted, lambda _: None)
    assert [one.licence for one in card.sources] == ["not stated", "CC0"]
    assert card.sources[0].made["problems_mixed"] == card.sources[0].hygiene.counts["raw"]
    for one in card.sources:
        counts = dict(one.hygiene.counts)
        assert counts.pop("raw") == sum(counts.values())
        assert one.blind.classifier is not None
    assert card.sources[1].hygiene.longer_chosen == 1.0
    assert card.sources[1].blind.classifier == 1.0, "good against bad needs no instruction, and the card says so"
    text = (found.folder / "README.md").read_text()
    assert "Licence as stated: CC0." in text
    assert "a classifier blind to the instruction: 100.0%" in text
    assert json.loads((found.folder / "card.json").read_text())["splits"] == card.splits


def test_a_build_that_stopped_anywhere_ends_as_one_that_did_not(tmp_path: Path) -> None:
    straight = config(tmp_path)
    build(straight, scripted, lambda _: None)
    whole = files(straight.folder)
    stopped = straight.model_copy(update={"name": "c"})

    class Stop(Exception):
        pass

    asked = 0

    def failing(_: EngineConfig, model: str, seed: int) -> Engine:
        from planner.engines.scripted import default_script

        def play(request: Request, draw: int) -> str:
            nonlocal asked
            asked += 1
            if asked == 101:
                raise Stop
            return default_script(request, draw)

        return ScriptedEngine(play)

    with pytest.raises(Stop):
        build(stopped, failing, lambda _: None)
    assert asked == 101
    shard = stopped.folder / "source-1" / "solutions" / "rank-0.jsonl"
    shard.write_bytes(shard.read_bytes() + b'{"key": "torn')
    build(stopped, failing, lambda _: None)
    assert asked == 101 + 240 - 100, "what was finished is not asked for again"
    again = files(stopped.folder)
    again["stamp.json"] = again["stamp.json"].replace(b'"c"', b'"b"')
    again["README.md"], again["card.json"] = (
        again[name].replace(b"# c", b"# b").replace(b'"name": "c"', b'"name": "b"') for name in ("README.md", "card.json")
    )
    assert again == whole


def test_a_finished_build_opens_no_engine_and_another_recipe_is_refused(tmp_path: Path) -> None:
    found = config(tmp_path)
    before = build(found, scripted, lambda _: None)
    assert build(found, never, lambda _: None) == before
    with pytest.raises(UserError, match=r"seed \(was 2, now 3\)"):
        build(found.model_copy(update={"seed": 3}), never, lambda _: None)
    sums(tmp_path / "sums.jsonl", 61)
    with pytest.raises(UserError, match=r"sums\.jsonl"):
        build(found, never, lambda _: None)


def test_two_processes_are_not_at_one_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.lock._PATIENCE_S", 0.0)
    found = config(tmp_path)

    def opened(_: EngineConfig, model: str, seed: int) -> Engine:
        with pytest.raises(UserError, match="is in use by another process"):
            build(found, never, lambda _: None)
        return ScriptedEngine()

    build(found, opened, lambda _: None)
    build(found, never, lambda _: None)


def cut(file: Path) -> None:
    """Leave out the last line: what remains is as well-formed as before."""
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))


@pytest.mark.parametrize("damage", [cut, Path.unlink], ids=["cut", "gone"])
@pytest.mark.parametrize(
    ("marker", "name"),
    [(".asked", "solutions/rank-0.jsonl"), (".cleaned", "clean/pairs.jsonl"), (".cleaned", "clean/removed.jsonl"), (".cleaned", "source.json")],
)  # fmt: skip
def test_a_file_that_is_not_as_its_step_left_it_is_named_and_made_anew(
    tmp_path: Path, marker: str, name: str, damage: Callable[[Path], None]
) -> None:
    # Some pairs are left out for their length, so that no file is empty.
    found = config(tmp_path, hygiene={"near_duplicates": 0, "balance_length": True}, splits={"train-1": 3})
    found = found.model_copy(update={"sources": found.sources[:1]})
    build(found, scripted, lambda _: None)
    whole, source = files(found.folder), found.folder / "source-1"
    if marker == ".asked":  # as of a build that stopped before it was cleaned
        (source / ".cleaned").unlink()
    damage(source / name)
    goes = (source / name).parent if marker == ".asked" else source / name
    with pytest.raises(UserError, match=rf"^{source / name} .*; restore it, or delete {source / marker} and {goes} and run"):
        build(found, never, lambda _: None)
    (source / marker).unlink()
    (source / name).unlink(missing_ok=True)
    build(found, scripted if marker == ".asked" else never, lambda _: None)
    assert files(found.folder) == whole


def test_comparisons_are_no_part_of_what_the_engine_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again as advised, a source still has some of its comparisons, and gets more once the engine is through."""
    found = config(tmp_path)
    build(found, scripted, lambda _: None)
    source = found.folder / "source-1"
    for name in (".asked", ".cleaned", "solutions/rank-0.jsonl"):
        (source / name).unlink()
    cut(source / "marks" / "rank-0.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr("selftrain.pairs.card.clean", _read_and_stop)
        with pytest.raises(InterruptedError):
            build(found, scripted, lambda _: None)
    build(found, never, lambda _: None)


def _read_and_stop(made: Iterable[LabeledPair], *_: object) -> None:
    assert list(made)
    raise InterruptedError


def test_a_file_that_changed_anywhere_or_a_folder_that_did_is_another(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_bytes(b"x" * (1 << 20) + b"a")
    before = file_digest(folder / "train.jsonl"), file_digest(folder)
    (folder / "train.jsonl").write_bytes(b"x" * (1 << 20) + b"b")
    after = file_digest(folder / "train.jsonl"), file_digest(folder)
    assert all(one != other for one, other in zip(before, after, strict=True))
    (folder / "train.jsonl").rename(folder / "test.jsonl")
    assert file_digest(folder) != after[1]


def test_another_benchmark_makes_another_build(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text('{"prompt": "What is the capital of the country that I was born in?"}\n')
    found = config(tmp_path, hygiene={"benchmarks": [str(tmp_path / "b.jsonl")]})
    build(found, scripted, lambda _: None)
    (tmp_path / "b.jsonl").write_text('{"prompt": "What is the capital of the country that I live in now?"}\n')
    with pytest.raises(UserError, match=r"b\.jsonl"):
        build(found, never, lambda _: None)


def test_too_few_pairs_are_told_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"source 2 .* gives 90 pairs of 90 instructions, too few for its share"):
        build(config(tmp_path, splits={"train-1": 150}), scripted, lambda _: None)
    # What the error advises goes on from what is there, and what is dealt stays.
    assert build(config(tmp_path, splits={"train-1": 30}), never, lambda _: None).splits == {"train-1": 30}
    with pytest.raises(UserError, match=r"another splits\.train-1 \(was 30, now 20\)"):
        build(config(tmp_path, splits={"train-1": 20}), never, lambda _: None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ("sources=[]", "at least one"), ("splits={}", "at least one"), ("sources.0.source=builtin", "sources.0.source"), ("sources.0.nonsense=1", "unknown key"),
        ("sources.0.columns={better='x'}", "pairs.columns is for"), ("hygiene.near_duplicates=2", "hygiene.near_duplicates"), ("hygiene.languages=['english']", "hygiene.languages"), ("splits.train-1=0", "splits"), ("seed=4294967296", "seed: Input should be less than 4294967296"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_one_line(tmp_path: Path, changes: str, told: str) -> None:
    path = tmp_path / "d.toml"
    path.write_text(tomli_w.dumps({"name": "d", "sources": [{"source": "math", "path": "x.jsonl"}], "splits": {"train-1": 2}}))
    with pytest.raises(UserError, match=told) as raised:
        load_record(path, DataConfig, [changes])
    assert "\n" not in str(raised.value)


# -- the command ---------------------------------------------------------------------------------------------------------


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "data", *arguments], capture_output=True, text=True, env=environment, timeout=300
    )


@pytest.mark.slow  # two processes
def test_the_command_builds_and_shows(tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    path.write_text(tomli_w.dumps(config(tmp_path).model_dump(mode="json", exclude_none=True)))
    done = cli("build", str(path), "name=mine")
    assert done.returncode == 0, done.stderr
    assert "math · solutions right 122 · solutions wrong 118" in done.stdout
    assert "known 10 · validation 6 · train-1 30" in done.stdout
    assert "preference · a classifier blind to the instruction: 100.0%" in done.stdout
    shown = cli("inspect", str(tmp_path / "data" / "mine" / "train-1.jsonl"), "--pairs", "1")
    assert shown.returncode == 0, shown.stderr
    for part in ("A 15 · B 15", "math/sums 10", "(better)"):
        assert part in shown.stdout


def test_a_pair_is_shown_as_the_text_that_it_is(tmp_path: Path) -> None:
    plain = tmp_path / "plain.jsonl"
    plain.write_text(json.dumps({"instruction": "[bold]i[/bold]\x1b[31m", "chosen": "c", "rejected": "r"}) + "\n")
    as_text = RUNNER.invoke(app, ["data", "inspect", str(plain)])
    assert as_text.exit_code == 0, as_text.stderr
    assert r"[bold]i[/bold]\x1b[31m" in as_text.stdout
    as_json = json.loads(RUNNER.invoke(app, ["data", "inspect", str(plain), "--json"]).stdout)
    assert (as_json["pairs"], sum(as_json["better"].values()), as_json["kinds"]) == (1, 1, {"jsonl/plain": 1})
    assert as_json["blind"]["n"] == 1


def test_a_file_of_one_label_almost_only_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cli.data import inspect

    file = tmp_path / "p.jsonl"
    made = [Pair(instruction=f"Task {k}.", response_a=f"good {k}", response_b=f"bad {k}") for k in range(30)]
    write_jsonl(file, [LabeledPair(pair=one, better="B" if k == 7 else "A", source="s", kind="k") for k, one in enumerate(made)])
    inspect(file, 0)
    shown = capsys.readouterr().out
    assert "A 29 · B 1" in shown
    assert "classifier blind to the instruction" in shown


# -- in a run ------------------------------------------------------------------------------------------------------------


def run_config(tmp_path: Path, **pairs_: Any) -> Config:
    changes = {"validation": 4, "held_out": {"known": 4}, **pairs_}
    return Config.model_validate(
        tiny_config(tmp_path, tmp_path, pairs=changes, iterations=[{"pairs": 6, "train": ["sft", "dpo"]}, {"pairs": 4}])
    )


def test_a_run_takes_its_splits_from_a_build(tmp_path: Path) -> None:
    built = config(tmp_path, splits={"known": 4, "validation": 4, "train-1": 6, "train-2": 6})
    build(built, scripted, lambda _: None)
    written = write_splits(run_config(tmp_path, source="built", path=str(built.folder)), tmp_path / "pairs")
    assert written.sizes == {"known": 4, "validation": 4, "train-1": 6, "train-2": 4}
    assert pairs(tmp_path / "pairs", "train-1") == pairs(built.folder, "train-1")
    order = [one.pair.id for one in pairs(built.folder, "train-2")]
    taken = [order.index(one.pair.id) for one in pairs(tmp_path / "pairs", "train-2")]
    assert taken == sorted(taken), "in the build's order"
    more = run_config(tmp_path, source="built", path=str(built.folder)).model_dump()
    more["iterations"][0]["pairs"] = 7
    with pytest.raises(
        UserError, match=r"train-1\.jsonl gives 6 usable pairs of \d prompts, and the run asks for 7: lower iterations"
    ):
        write_splits(Config.model_validate(more), tmp_path / "more")
    with (built.folder / "train-2.jsonl").open("r+") as file:
        file.write("[")
    with pytest.raises(UserError, match=r"data/\w+/train-2\.jsonl:1 .*; restore it, or make the build anew"):
        write_splits(run_config(tmp_path, source="built", path=str(built.folder)), tmp_path / "torn")
    (built.folder / "train-2.jsonl").unlink()
    with pytest.raises(UserError, match=r"train-2\.jsonl is not there: the run needs splits known, validation, train-1, train-2"):
        write_splits(run_config(tmp_path, source="built", path=str(built.folder)), tmp_path / "less")


def test_a_run_that_takes_a_part_of_a_build_takes_of_all_its_sources(tmp_path: Path) -> None:
    built = config(tmp_path, splits={"known": 4, "validation": 4, "train-1": 30, "train-2": 6})
    build(built, scripted, lambda _: None)
    everything = pairs(built.folder, "train-1")
    assert [one.source for one in everything] == sorted((one.source for one in everything), key=["math", "preference"].index)
    part = run_config(tmp_path, source="built", path=str(built.folder)).model_dump()
    part["iterations"][0]["pairs"] = 15
    write_splits(Config.model_validate(part), tmp_path / "pairs")
    taken = Counter(one.source for one in pairs(tmp_path / "pairs", "train-1"))
    assert taken.total() == 15
    assert all(taken[source] >= 2 for source in ("math", "preference")), "a third and two thirds, by hash"


def test_a_run_cleans_and_balances_a_published_preference(tmp_path: Path) -> None:
    found = run_config(tmp_path, source="preference", path=preferences(tmp_path / "p.jsonl", 30), hygiene={"near_duplicates": 0})
    written = write_splits(found, tmp_path / "pairs")
    assert written.sizes == {"known": 4, "validation": 4, "train-1": 6, "train-2": 4}
    for split in written.sizes:
        made = pairs(tmp_path / "pairs", split)
        assert Counter(one.better for one in made) == {"A": len(made) // 2, "B": len(made) // 2}
    assert (tmp_path / "pairs" / "source.json").is_file()


def ifeval(path: Path, count: int) -> str:
    row = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    path.write_text(
        "".join(json.dumps(row | {"prompt": f"Write {'very ' * i}plainly, without commas."}) + "\n" for i in range(count))
    )
    return str(path)


def source_config(source: str, tmp_path: Path, model: Path) -> dict[str, Any]:
    """A tiny run on 40 rows of any source."""
    judged = {
        "src": "[User Question]\nTell of {i}.\n\n[The Start of Assistant A's Answer]\ngood {i}\n[The End of Assistant A's Answer]\n\n"
        "[The Start of Assistant B's Answer]\nbad {i}\n[The End of Assistant B's Answer]",
        "tgt_chosen": "[[A]]",
    }
    taught = tmp_path / "taught.jsonl"
    taught.write_text(
        "".join(json.dumps({name: text.replace("{i}", "x" * i) for name, text in judged.items()}) + "\n" for i in range(1, 40))
    )
    path = {
        "math": sums(tmp_path / "sums.jsonl", 40), "noisy": preferences(tmp_path / "prompts.jsonl", 40), "constraints": ifeval(tmp_path / "if.jsonl", 40),
        "self_taught": str(taught), "preference": preferences(tmp_path / "prefs.jsonl", 40),
    }[source]  # fmt: skip
    return tiny_config(
        tmp_path, model, iterations=[{"pairs": 8, "train": ["sft"]}],
        pairs={"source": source, "path": path, "candidates": 4, "validation": 4, "held_out": {"known": 4}, "hygiene": {"near_duplicates": 0}},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("source", ["math", "noisy", "constraints", "self_taught", "preference"])
def test_a_run_makes_its_pairs_of_every_source(source: str, tiny_model: Path, tmp_path: Path) -> None:
    """The responses are written by the run's own (scripted) seed in a child process."""
    from selftrain.launch import World
    from selftrain.steps import Run

    found = Config.model_validate(source_config(source, tmp_path, tiny_model))
    run = Run(found, World(found))
    run.make_pairs()
    assert Counter(one.source for one in pairs(run.folder / "pairs", "train-1")) == {source: 8}
    card = json.loads((run.folder / "pairs" / "source.json").read_text())
    assert card["blind"]["n"] == card["hygiene"]["counts"]["kept"] >= 16


@pytest.mark.slow
def test_a_math_build_with_the_embedded_model_through_vllm(embedded_engine: Engine, tmp_path: Path) -> None:
    """Fifty easy sums, four solutions each: some right, some wrong, every one decided."""
    rows = [
        {"question": f"Tom has {a} apples and buys {b} more. How many apples does Tom have now?", "answer": str(a + b)}
        for a in range(3, 8)
        for b in range(2, 12)
    ]
    path = tmp_path / "easy.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = DataConfig.model_validate({
        "name": "easy", "out": str(tmp_path), "hygiene": {"near_duplicates": 0}, "splits": {"train-1": 4},
        "sources": [{"source": "math", "path": str(path), "candidates": 4, "response_tokens": 96, "temperature": 1.0}],
    })  # fmt: skip

    class Kept:
        """The shared engine, which other tests still need."""

        def __getattr__(self, name: str) -> Any:
            return (lambda: None) if name == "close" else getattr(embedded_engine, name)

    card = build(found, lambda *_: Kept(), print)  # type: ignore[arg-type, return-value]
    made = card.sources[0].made
    print(made)
    assert sum(count for name, count in made.items() if name.startswith("solutions_")) == 200
    assert sum(count for name, count in made.items() if name.startswith("problems_")) == 50
    assert made["solutions_right"] > 0
    assert made["solutions_wrong"] > 0
    assert len(pairs(found.folder, "train-1")) == 4
