"""planner/store.py: what was finished stays, what was torn is owed again, and a file is whole or not there.

A shard may be cut at any byte (a killed process, a full disk) and goes on from its last whole line. Anything else that is wrong
with a line stops the run with file:line. Keys, not files or ranks, decide what is done.
"""

from __future__ import annotations

import errno
import io
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import UserError
from planner.execute import ForcedVerdict
from planner.records import Letter, Message
from planner.store import Shard, Shards, append_text, read_jsonl, write_jsonl, write_text

# Line ends of every kind, quotes, and what is long in UTF-8: only "\n" may end a line on disk, and only unescaped.
texts = st.text(st.sampled_from('ab"\\\n\r\x85\u2028{}, é\U0001f98a\x00'), max_size=12)
FULL = Path("/dev/full")
needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


def message(text: str) -> Message:
    return Message(role="user", content=text)


def fill(folder: Path, rank: int, made: dict[str, list[str]]) -> Path:
    with Shard[Message](folder, rank) as shard:
        for key, contents in made.items():
            shard.append(key, map(message, contents))
    return shard.path


def contents(folder: Path) -> dict[str, list[str]]:
    shards = Shards(folder, Message)
    return {key: [one.content for one in shards.get(key)] for key in shards.keys()}  # noqa: SIM118 - it is no dict


def one_line(raised: pytest.ExceptionInfo[UserError]) -> str:
    text = str(raised.value)
    assert "\n" not in text
    return text


# -- shards ------------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.integers(0, 99).map(str), st.lists(texts, max_size=3), max_size=6))
def test_what_was_appended_is_read_back(made: dict[str, list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = fill(Path(folder), 0, made)
        assert contents(Path(folder)) == made
        assert path.read_bytes().count(b"\n") == len(made), "a line end inside a text must not end a line on disk"
        shards = Shards(Path(folder), Message)
        assert [one.content for one in shards] == [text for found in made.values() for text in found]
        assert len(shards) == len(made)


def test_a_line_is_on_disk_before_the_shard_is_closed(tmp_path: Path) -> None:
    with Shard[Message](tmp_path, 0) as shard:
        shard.append("k", [message("text")])
        assert contents(tmp_path) == {"k": ["text"]}, "a process that is killed now must not lose the line"


def test_nothing_made_and_never_asked_are_told_apart(tmp_path: Path) -> None:
    with Shard[Message](tmp_path, 0) as shard:
        shard.append("empty")
        shard.append("long", dropped="over_long")
        shard.append("whole", [message("text")])
    shards = Shards(tmp_path, Message)
    assert shards.dropped == {"long": "over_long"}
    assert shards.get("empty") == shards.get("long") == shards.get("owed") == ()
    assert ("empty" in shards, "long" in shards, "owed" in shards) == (True, True, False)


def test_a_folder_that_nobody_wrote_to_owes_everything(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "never", Message)
    assert len(shards) == 0
    assert list(shards) == []


def test_infinite_log_probabilities_survive_the_disk(tmp_path: Path) -> None:
    """A letter that cannot be drawn at all has log-probability -inf; JSON has no such number."""
    forced = ForcedVerdict(chain_id="c", execution="e", logp_a=-math.inf, logp_b=-0.5)
    with Shard[ForcedVerdict](tmp_path, 0) as shard:
        shard.append("c", [forced])
    assert Shards(tmp_path, ForcedVerdict).get("c") == (forced,)
    letter = Letter(offset=1, logp_a=-math.inf, logp_b=-math.inf)
    assert Letter.model_validate_json(letter.model_dump_json()) == letter


# -- torn tails --------------------------------------------------------------------------------------------------------

MADE = {"one": ["first", 'quoted "text"\n'], "two": [], "three": ["third é\u2028"]}


def test_cut_at_every_byte_the_file_ends_up_the_same(tmp_path: Path) -> None:
    """Whatever was torn is owed again, nothing else is, and what was kept is never rewritten."""
    whole = fill(tmp_path / "whole", 0, MADE).read_bytes()
    for cut in range(len(whole) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        path = folder / "rank-0.jsonl"
        path.write_bytes(whole[:cut])
        keys = list(MADE)[: whole[:cut].count(b"\n")]
        assert list(contents(folder)) == keys, "a torn line must not count as done, even one that lacks its line end alone"
        assert path.read_bytes() == whole[:cut], "reading must not change a file that another rank may own"
        fill(folder, 0, {key: MADE[key] for key in MADE if key not in keys})
        assert path.read_bytes() == whole


@settings(max_examples=40, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5), st.data())
def test_cut_anywhere_whole_lines_stay(made: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = fill(folder, 0, {str(i): [text] for i, text in enumerate(made)})
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        assert contents(folder) == {str(i): [text] for i, text in enumerate(made[:kept])}
        with Shard[Message](folder, 0) as shard:
            pass
        assert shard.path.read_bytes() == whole[: whole[:cut].rfind(b"\n") + 1]


@pytest.mark.parametrize("length", [65535, 65536, 65537, 200_000])
@pytest.mark.parametrize("before", [True, False])
def test_a_torn_line_longer_than_a_block_is_cut_whole(tmp_path: Path, length: int, before: bool) -> None:
    kept = fill(tmp_path, 0, {"one": ["x"]} if before else {}).read_bytes()
    path = tmp_path / "rank-0.jsonl"
    path.write_bytes(kept + b"x" * length)
    fill(tmp_path, 0, {"two": ["y"]})
    assert contents(tmp_path) == ({"one": ["x"]} if before else {}) | {"two": ["y"]}
    assert path.read_bytes().startswith(kept)


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (b'{"key":"k","items":[{"role":"us\n', "is not JSON"),
        (b"\n", "is not JSON"),
        (b"\x00\x00\x00\x00\n", "is not JSON"),
        (b'{"key":"k","items":[{"role":"judge","content":"c"}],"dropped":null}\n', "does not fit at items.0.role"),
        (b'{"key":"k","items":[],"dropped":null,"more":1}\n', "does not fit at more"),
    ],
)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_bad_line_that_ended_stops_with_its_place(tmp_path: Path, bad: bytes, what: str, number: int) -> None:
    """First, middle or last: what has its line end was not torn by a kill."""
    path = fill(tmp_path, 3, {"one": ["1"], "two": ["2"]})
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[: number - 1], bad, *lines[number - 1 :]]))
    with pytest.raises(UserError) as raised:
        Shards(tmp_path, Message)
    assert one_line(raised).startswith(f"{path}:{number} {what}")


# -- ranks -------------------------------------------------------------------------------------------------------------


def test_the_number_of_ranks_may_change_between_attempts(tmp_path: Path) -> None:
    """Twelve ranks write, each a torn line at its end; one rank then owes exactly the torn ones."""
    keys = [str(i) for i in range(36)]
    for rank in range(12):
        path = fill(tmp_path, rank, {key: [key] for key in keys[rank::12]})
        path.write_bytes(path.read_bytes()[:-2])
    torn = set(keys[24:])
    assert contents(tmp_path).keys() == set(keys) - torn
    fill(tmp_path, 0, {key: ["again"] for key in sorted(torn)})
    assert contents(tmp_path) == {key: ["again"] if key in torn else [key] for key in keys}


def test_of_two_lines_with_one_key_the_first_counts(tmp_path: Path) -> None:
    with Shard[Message](tmp_path, 0) as shard:
        shard.append("k", [message("first")])
        shard.append("k", [message("second")])
        shard.append("d", dropped="over_long")
    with Shard[Message](tmp_path, 1) as shard:
        shard.append("k", dropped="over_long")
        shard.append("d", [message("too late")])
    shards = Shards(tmp_path, Message)
    assert [one.content for one in shards] == ["first"]
    assert len(shards) == 2
    assert shards.dropped == {"d": "over_long"}, "what counts as made must not count as dropped too"


def test_more_files_than_may_be_open_at_once_are_read_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.store._OPEN_FILES", 2)
    for rank in range(5):
        fill(tmp_path, rank, {f"{rank} {i}": [f"text {rank} {i}", "é" * i] for i in range(4)})
    shards = Shards(tmp_path, Message)
    asked = [(rank, i) for i in range(4) for rank in range(5)] * 2
    assert [[one.content for one in shards.get(f"{rank} {i}")] for rank, i in asked] == [
        [f"text {rank} {i}", "é" * i] for rank, i in asked
    ]


def test_only_rank_files_are_read(tmp_path: Path) -> None:
    fill(tmp_path, 0, {"k": ["x"]})
    (tmp_path / "ledger-0.jsonl").write_text("{}\n")
    (tmp_path / "rank-0.jsonl.part").write_text("torn")
    assert contents(tmp_path) == {"k": ["x"]}


# -- files written whole -----------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, max_size=6))
def test_a_file_is_read_back_as_it_was_written(made: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deeper" / "file.jsonl"
        assert write_jsonl(path, map(message, made)) == len(made)
        assert [one.content for one in read_jsonl(path, Message)] == made


def test_a_file_is_not_there_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"

    def records() -> Iterator[Message]:
        for i in range(2000):
            assert not path.exists()
            yield message(str(i))

    write_jsonl(path, records())
    assert path.read_bytes().count(b"\n") == 2000
    assert [one.name for one in tmp_path.iterdir()] == ["file.jsonl"]


def test_a_failed_rewrite_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    write_jsonl(path, [message("old")])

    def records() -> Iterator[Message]:
        yield message("new")
        raise KeyError("boom")

    with pytest.raises(KeyError):
        write_jsonl(path, records())
    assert [one.content for one in read_jsonl(path, Message)] == ["old"]


def test_what_a_crash_left_half_written_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    scratch = tmp_path / "file.jsonl.part"
    scratch.write_text("torn " * 1000)
    with pytest.raises(UserError, match="is missing"):
        list(read_jsonl(path, Message))
    write_jsonl(path, [message("x")])
    assert [one.content for one in read_jsonl(path, Message)] == ["x"]
    assert not scratch.exists()
    scratch.write_text("torn " * 1000)
    write_text(path, "short")
    assert path.read_text() == "short"


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        next(read_jsonl(tmp_path / "no.jsonl", Message))
    assert f"{tmp_path / 'no.jsonl'} is missing; " in one_line(raised)


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("{", "is not JSON"),
        ("[]", "does not fit"),
        ('{"role":"user"}', "does not fit at content"),
        ('{"role":"user","content":"c","x":1}', "does not fit at x"),
    ],
)
def test_a_bad_line_of_a_whole_file_stops_with_its_place(tmp_path: Path, bad: str, what: str) -> None:
    path = tmp_path / "file.jsonl"
    write_jsonl(path, [message("1"), message("2")])
    path.write_text(path.read_text() + bad + "\n")
    reader = read_jsonl(path, Message)
    assert [next(reader).content, next(reader).content] == ["1", "2"], "a file is streamed: what stands before can be used"
    with pytest.raises(UserError) as raised:
        next(reader)
    assert one_line(raised).startswith(f"{path}:3 {what}")
    assert "restore it or delete" in one_line(raised)


# -- a full disk -------------------------------------------------------------------------------------------------------


@needs_full_device
@pytest.mark.parametrize("writer", ["jsonl", "text", "log"])
def test_a_full_disk_is_one_line_that_says_so(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "file.jsonl"
    (path if writer == "log" else tmp_path / "file.jsonl.part").symlink_to(FULL)
    write: dict[str, Callable[[], object]] = {
        "jsonl": lambda: write_jsonl(path, [message("x" * 100_000)]),
        "text": lambda: write_text(path, "x"),
        "log": lambda: append_text(path, "x"),
    }
    with pytest.raises(UserError) as raised:
        write[writer]()
    assert one_line(raised).startswith(f"{path}: no space left on the disk")
    assert writer == "log" or not path.exists()


class Quota(io.FileIO):
    """A file on a disk with room for so many bytes: takes part of a write, as the kernel does, and then refuses."""

    def __init__(self, path: Path, room: int, *, piece: int = 1 << 30, error: int = errno.ENOSPC) -> None:
        super().__init__(path, "ab")
        self.room, self.piece, self.error = room, piece, error

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(self.error, "full")
        taken = super().write(bytes(data)[: min(self.room, self.piece)])
        self.room -= taken
        return taken


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("room", range(0, 120, 7))
def test_a_disk_that_fills_up_in_a_line_loses_that_line_alone(tmp_path: Path, room: int, error: int) -> None:
    """No line may follow a part of another, or a resumed run would find a bad line in the middle."""
    lines = {str(i): [f"text {i}"] for i in range(4)}
    done = []
    with pytest.raises(UserError, match="no space left"), Shard[Message](tmp_path, 0) as shard:  # noqa: PT012
        shard._file = Quota(shard.path, room, error=error)
        for key, (text,) in lines.items():
            shard.append(key, [message(text)])
            done.append(key)
    assert list(contents(tmp_path)) == done
    fill(tmp_path, 0, {key: found for key, found in lines.items() if key not in done})
    assert contents(tmp_path) == lines


def test_a_write_taken_in_pieces_is_finished(tmp_path: Path) -> None:
    with Shard[Message](tmp_path, 0) as shard:
        shard._file = Quota(shard.path, 1 << 30, piece=5)
        shard.append("one", [message("a text that is longer than a piece")])
        shard.append("two")
    assert contents(tmp_path) == {"one": ["a text that is longer than a piece"], "two": []}


def test_space_that_runs_out_when_a_shard_is_closed_is_the_same_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems tell of a quota only here."""

    def refuse(_: int) -> None:
        raise OSError(errno.EDQUOT, "quota")

    with pytest.raises(UserError, match="no space left"), Shard[Message](tmp_path, 0) as shard:  # noqa: PT012
        shard.append("k")
        monkeypatch.setattr("planner.store.os.fsync", refuse)
    assert shard._file.closed


def test_a_file_where_a_folder_should_be_is_one_line(tmp_path: Path) -> None:
    """`--out results.json`, for one."""
    (tmp_path / "file").write_text("")
    for write in (
        lambda: write_text(tmp_path / "file" / "x.json", "x"),
        lambda: write_jsonl(tmp_path / "file" / "x.jsonl", []),
        lambda: Shard[Message](tmp_path / "file" / "deeper", 0).__enter__(),
    ):
        with pytest.raises(UserError, match=r"file.* cannot be made .*: choose another folder"):
            write()


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written_to_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "write_text", refuse)
    for write in (
        lambda: write_text(tmp_path / "x.json", "x"),
        lambda: write_jsonl(tmp_path / "x.jsonl", []),
        lambda: append_text(tmp_path / "x.log", "x"),
        lambda: Shard[Message](tmp_path, 0).__enter__(),
    ):
        with pytest.raises(UserError, match=r"x\.|rank-0") as raised:
            write()
        assert "cannot be written" in one_line(raised)


def test_other_errors_of_the_disk_are_not_called_full(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long"):
        append_text(tmp_path / ("x" * 300), "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file cannot be made \(File exists\): choose another folder"):
        append_text(tmp_path / "file" / "log", "x")
    with pytest.raises(UserError, match=r"folder cannot be written \(Is a directory\): give the path of a file"):
        write_text(_made(tmp_path / "folder" / "x").parent, "x")


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("")
    return path
