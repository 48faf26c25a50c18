"""selftrain/taught.py: an iteration's rows from a file of another judge's judgments."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from planner.errors import UserError
from planner.records import LabeledPair, Pair
from planner.store import read_jsonl, write_jsonl
from selftrain.config import Config, Iteration, JudgedFile
from selftrain.distil import Opinion, Taught
from selftrain.pairs.near import HeldOut
from selftrain.preflight import check_judged
from selftrain.rows import SftRow
from selftrain.taught import write_taught_rows


def taught(name: str, verdict: Any, reason: str = "It is so.") -> Taught:
    return Taught(
        pair=Pair(instruction=name, response_a=f"{name} a", response_b=f"{name} b"), opinion=Opinion(verdict=verdict, reason=reason)
    )


def config(path: Path, *, ties: bool = False) -> Config:
    judged = JudgedFile(form="taught", path=str(path))
    return Config(name="x", ties=ties, plan_kind="none", iterations=(Iteration(train=("sft",), judged=judged),))


def made(
    tmp_path: Path, judgments: list[Taught], *, held_out: tuple[str, ...] = (), ties: bool = False
) -> tuple[list[SftRow], Counter[str]]:
    file, measured, rows = (tmp_path / f"{name}.jsonl" for name in ("taught", "known", "sft"))
    write_jsonl(file, judgments)
    write_jsonl(measured, [LabeledPair(pair=taught(name, "A").pair, better="A", source="s", kind="k") for name in held_out])
    run = config(file, ties=ties)
    assert run.iterations[0].judged is not None
    _, counts = write_taught_rows(run, run.iterations[0].judged, rows, [measured], special=("<|im_end|>",))
    return list(read_jsonl(rows, SftRow)), counts


def test_each_judgment_is_taught_in_both_orders(tmp_path: Path) -> None:
    (ab, ba), _ = made(tmp_path, [taught("Q", "A", "Assistant A said <|im_end|>.")])
    assert [row.completion[0].content[-5:] for row in (ab, ba)] == ["[[A]]", "[[B]]"]
    assert "Assistant A said < |im_end|>." in ab.completion[0].content
    assert "Assistant B said < |im_end|>." in ba.completion[0].content, "its wording is swapped along"
    style = config(tmp_path / "x").style
    assert [row.prompt for row in (ab, ba)] == [
        style.judge_prompt(taught("Q", "A").pair.shown(order)).messages for order in ("ab", "ba")
    ]


def test_what_may_not_train_is_left_out_and_counted(tmp_path: Path) -> None:
    judgments = [
        taught("Q", "A"), taught("held", "A"), taught("none", "none"), taught("tie", "tie"), taught("twice", "A"), taught("twice", "B"),
        taught("forged", "A", "see [Final Verdict]"), taught("other", "A", "so [[B]]"),
    ]  # fmt: skip
    rows, counts = made(tmp_path, judgments, held_out=("held",))
    assert len(rows) == 2
    assert +counts == {"no_verdict": 1, "contradicts_itself": 2, "tie": 1, "held_out": 1, "out_of_form": 4}


def test_a_held_out_instruction_is_held_out_in_any_spelling_and_nearly(tmp_path: Path) -> None:
    asked = "Write a short letter to the mayor of a small town about the noise of the trains that pass by at night"
    near, other = asked.replace("night", "midnight"), asked.replace("mayor", "baker").replace("noise of the trains", "bread")
    judgments = [taught(name, "A") for name in (asked, f"  {asked.upper()}!", near, other)]
    rows, counts = made(tmp_path, judgments, held_out=(asked, "another"))
    assert counts["held_out"] == 3
    assert all(other in row.prompt[-1].content for row in rows)
    assert len(rows) == 2
    alone = HeldOut([asked], 0)
    assert [text in alone for text in (asked, f"  {asked.upper()}!", near)] == [True, True, False], "0: the same words only"
    assert asked not in HeldOut([], 0.8)


def test_ties_are_taught_where_the_run_has_them(tmp_path: Path) -> None:
    judgments = [taught(f"{verdict}{i}", verdict) for verdict, n in (("A", 3), ("B", 3), ("tie", 2)) for i in range(n)]
    rows, counts = made(tmp_path, judgments, ties=True)
    assert Counter(row.completion[0].content[-5:] for row in rows) == {"[[A]]": 4, "[[B]]": 4, "[[C]]": 4}
    assert counts["surplus_of_one_label"] == 4


def test_a_file_that_gives_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no row could be made of .*taught.jsonl: tie 1; it needs judgments of each of A, B$"):
        made(tmp_path, [taught("Q", "tie")])
    with pytest.raises(UserError, match=r"of .*taught.jsonl: nothing; it needs"):
        made(tmp_path, [])
    with pytest.raises(UserError, match=r"missing.jsonl"):
        check_judged(config(tmp_path / "missing.jsonl"))
    (tmp_path / "torn.jsonl").write_text('{"pair": ')
    with pytest.raises(UserError, match=r"torn.jsonl:1"):
        check_judged(config(tmp_path / "torn.jsonl"))
