"""selftrain/markers.py: a file that is not as its finished step left it is named, with what to delete; what was advised mends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from planner.errors import UserError
from planner.store import write_text
from selftrain.config import Config
from selftrain.launch import World
from tests.conftest import tiny_config

LINES = '{"a": 1}\n{"b": 2}\n{"c": 3}\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Config.model_validate(tiny_config(tmp_path, tmp_path)))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.write_text(LINES[:18]), "holds 18 bytes where 27 were written"),  # at a line's end: well-formed
        (lambda file: file.write_text(LINES[:-3]), "holds 24 bytes"),
        (lambda file: file.write_text(LINES * 2), "holds 54 bytes"),
        (lambda file: file.write_text(""), "holds 0 bytes"),
        (lambda file: file.unlink(), "is gone"),
    ],
)
def test_a_file_that_is_not_as_its_step_left_it_is_named(
    world: World, tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    marker, file = tmp_path / "stage" / ".done", tmp_path / "stage" / "of" / "rows.jsonl"
    made = []

    def step() -> None:
        world.once(marker, lambda: (made.append(1), write_text(file, LINES))[1], ["of/*.jsonl", "none/*.jsonl"])

    step()
    step()
    assert len(made) == 1
    damage(file)
    with pytest.raises(UserError, match=rf"^{file} {said}.*; restore it, or delete {marker} and {file} and run"):
        step()
    marker.unlink()
    file.unlink(missing_ok=True)
    step()
    assert len(made) == 2
    assert file.read_text() == LINES


def test_what_has_to_go_with_the_marker_is_said(world: World, tmp_path: Path) -> None:
    marker, file = tmp_path / ".done", tmp_path / "out" / "a.jsonl"
    world.once(marker, lambda: write_text(file, LINES), ["out/*"], anew=[file.parent])
    file.unlink()
    with pytest.raises(UserError, match=f"is gone; restore it, or delete {marker} and {file.parent} and run"):
        world.once(marker, pytest.fail, ["out/*"], anew=[file.parent])


@pytest.mark.parametrize(("lost", "goes"), [("a", ["a", "b", "c"]), ("b", ["b", "c"]), ("c", ["c"])])
def test_what_was_made_of_a_lost_file_has_to_go_too(world: World, tmp_path: Path, lost: str, goes: list[str]) -> None:
    marker, folders = tmp_path / ".done", [tmp_path / name for name in "abc"]
    leaves = [f"{name}/*" for name in "abc"]
    world.once(marker, lambda: [write_text(one / "x.jsonl", LINES) for one in folders] and None, leaves, anew=folders)
    (tmp_path / lost / "x.jsonl").unlink()
    *first, last = [marker, *(tmp_path / name for name in goes)]
    with pytest.raises(UserError, match=f"delete {', '.join(map(str, first))} and {last} and run"):
        world.once(marker, pytest.fail, leaves, anew=folders)


def test_a_marker_that_tells_of_no_file_vouches_for_none(world: World, tmp_path: Path) -> None:
    write_text(tmp_path / ".done", "")
    world.once(tmp_path / ".done", pytest.fail, ["*.jsonl"])
    write_text(tmp_path / "decided", "whatever a step has written itself")
    world.once(tmp_path / "decided", pytest.fail)
