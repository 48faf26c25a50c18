"""selftrain/ledger.py: what an attempt had spent when it was killed still counts."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from planner.engines.base import GREEDY, Choice, Request
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from planner.records import Message
from selftrain.ledger import Ledger, tokens_spent

CHAT = (Message(role="user", content="two words"),)


def asked(n: int) -> list[Request]:
    return [Request(str(i), CHAT, "", 1, 100, (), GREEDY) for i in range(n)]


def test_a_killed_attempt_has_told_what_it_spent(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda *_: "three short words")
    list(islice(Ledger(engine, tmp_path / "ledger-0.jsonl", "first", every_s=0).sample(asked(9)), 4))  # and never closed
    assert tokens_spent(tmp_path) == {"prompt": 8, "cached": 0, "generated": 12}


def test_the_last_word_of_every_attempt_and_rank_counts(tmp_path: Path) -> None:
    for rank, attempt, n in ((0, "first", 2), (0, "second", 3), (1, "second", 5)):
        ledger = Ledger(ScriptedEngine(lambda *_: "word"), tmp_path / f"ledger-{rank}.jsonl", attempt, every_s=0)
        assert [key for key, _ in ledger.sample(asked(n))] == [str(i) for i in range(n)]
        assert len(list(ledger.choose([Choice("c", CHAT, "")]))) == 1
        ledger.close()
    assert tokens_spent(tmp_path)["generated"] == 2 + 3 + 5 + 3


def test_between_two_entries_some_time_passes(tmp_path: Path) -> None:
    ledger = Ledger(ScriptedEngine(lambda *_: "word"), tmp_path / "ledger-0.jsonl", "a", every_s=3600)
    list(ledger.sample(asked(50)))
    ledger.close()
    assert len((tmp_path / "ledger-0.jsonl").read_text().splitlines()) == 2, "the first at once, the last at the end"
    assert tokens_spent(tmp_path)["generated"] == 50


def test_a_torn_last_entry_is_passed_over_and_a_bad_one_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger-0.jsonl"
    whole = '{"attempt": "a", "prompt": 1, "cached": 0, "generated": 2}\n'
    path.write_text(whole + '{"attempt": "a", "pro')
    assert tokens_spent(tmp_path)["generated"] == 2
    path.write_text("half a line\n" + whole)
    with pytest.raises(UserError, match=r"ledger-0\.jsonl:1 is not JSON"):
        tokens_spent(tmp_path)
