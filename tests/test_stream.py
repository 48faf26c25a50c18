"""selftrain/stream.py: plans and executions in one stream make what two phases make, and start no sooner than they may."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from planner.engines.base import Request
from planner.engines.scripted import ScriptedEngine
from planner.records import Chain, Completion, LabeledPair, Pair, Plan
from planner.store import Shard, Shards, write_jsonl
from selftrain.config import Config
from selftrain.pairs.builtin import generate
from selftrain.sample import Sampler
from selftrain.stream import Stream
from tests.conftest import tiny_config


class Window(ScriptedEngine):
    """Holds up to eight requests and answers them in turn, asking an ended stream again, as an engine on a device would."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[Request] = []
        self.idle = 0

    def sample(self, requests: Iterable[Request]) -> Iterator[tuple[str, tuple[Completion, ...]]]:
        waiting, held = iter(requests), []
        while True:
            held += islice(waiting, 8 - len(held))
            if not held:
                return
            self.idle += 8 - len(held)
            one = held.pop(0)
            self.log.append(one)
            yield from super().sample([one])


def sampler(tmp_path: Path, pairs: Iterable[LabeledPair], *, first: bool, **draw: Any) -> Sampler:
    config = tiny_config(tmp_path, tmp_path)
    config["sampling"] |= draw
    write_jsonl(tmp_path / "pairs.jsonl", pairs)
    return Sampler(Config.model_validate(config), tmp_path / "stage", tmp_path / "pairs.jsonl", first=first)


def twins() -> list[LabeledPair]:
    """Twelve pairs, of which some share an instruction."""
    every = list(islice(generate("train", 3), 12))
    shared = every[0].pair.instruction
    return [*every, *(one.model_copy(update={"pair": one.pair.model_copy(update={"instruction": shared})}) for one in every[3:5])]


def made(folder: Path) -> tuple[list[str], list[str]]:
    return sorted(one.id for one in Shards(folder / "plans", Plan)), sorted(one.id for one in Shards(folder / "chains", Chain))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("reuse", [True, False])
def test_one_stream_makes_what_two_phases_make(first: bool, reuse: bool, tmp_path: Path) -> None:
    two = sampler(tmp_path / "two", twins(), first=first, reuse_plans=reuse)
    two._plans(ScriptedEngine())
    two._executions(ScriptedEngine())
    for engine in (ScriptedEngine(), Window()):
        folder = tmp_path / type(engine).__name__
        sampler(folder, twins(), first=first, reuse_plans=reuse)._streamed(engine)
        assert made(folder / "stage") == made(tmp_path / "two" / "stage")
        assert len(made(folder / "stage")[1]) > 100


@pytest.mark.parametrize("reuse", [True, False])
def test_the_only_plan_of_a_pair_is_executed_in_both_orders_or_has_one_in_each(reuse: bool, tmp_path: Path) -> None:
    draws = sampler(tmp_path, list(islice(generate("train", 3), 4)), first=False, reuse_plans=reuse, plans=1)
    draws._streamed(ScriptedEngine())
    plans, chains = made(tmp_path / "stage")
    assert len(plans) == (4 if reuse else 8)
    assert len(chains) == 4 * 2 * 2, "two executions in either order"


def test_executions_start_while_plans_are_still_owed(tmp_path: Path) -> None:
    engine, phases = Window(), Window()
    sampler(tmp_path / "a", twins(), first=False)._streamed(engine)
    kinds = ["[Start of Plan Execution]" in one.prefill for one in engine.log]
    assert kinds.index(True) < len(kinds) - 1 - kinds[::-1].index(False)
    two = sampler(tmp_path / "b", twins(), first=False)
    two._plans(phases)
    two._executions(phases)
    assert engine.idle < phases.idle, "room is filled that two phases leave empty"


def test_a_plan_that_comes_while_somebody_begins_to_wait_for_it_is_not_missed(tmp_path: Path) -> None:
    """Two pairs of one instruction; its plans come, in another thread, just when the second pair is noted as waiting for them."""
    draw, engine = sampler(tmp_path, [twins()[0], twins()[-1]], first=True), ScriptedEngine()
    folders = tmp_path / "plans", tmp_path / "chains"
    told: list[threading.Thread] = []

    with Shard[Plan](folders[0], 0) as plans, Shard[Chain](folders[1], 0) as chains:
        stream = Stream(draw, engine, draw.owned(), (Shards(folders[0], Plan), plans), (Shards(folders[1], Chain), chains))
        ((key, completions),) = engine.sample([next(stream)])

        class Meanwhile(dict[str, Any]):
            def setdefault(self, name: str, default: Any = None) -> Any:
                if not told:
                    told.append(threading.Thread(target=stream.finish, args=(key, completions)))
                    told[0].start()
                    told[0].join(timeout=0.5)
                return super().setdefault(name, default)

        stream._waiting = Meanwhile(stream._waiting)
        made = list(stream)
        told[0].join()
        made += list(stream)
    assert len(made) == 2 * 2 * 2, "pairs, orders, plans"


def test_a_killed_stream_goes_on_with_what_is_owed(tmp_path: Path) -> None:
    class Dies(Window):
        def sample(self, requests: Iterable[Request]) -> Iterator[tuple[str, tuple[Completion, ...]]]:
            yield from islice(super().sample(requests), 30)
            raise KeyboardInterrupt

    straight, killed = tmp_path / "straight", tmp_path / "killed"
    sampler(straight, twins(), first=True)._streamed(Window())
    with pytest.raises(KeyboardInterrupt):
        sampler(killed, twins(), first=True)._streamed(Dies())
    before = made(killed / "stage")
    rest = Window()
    sampler(killed, twins(), first=True)._streamed(rest)
    assert made(killed / "stage") == made(straight / "stage")
    assert before[1]
    total = len(list(Shards(straight / "stage/plans", Plan).keys())) + len(list(Shards(straight / "stage/chains", Chain).keys()))
    assert len(rest.log) == total - 30


def test_what_does_not_fit_is_dropped_and_waited_for_by_nobody(tmp_path: Path) -> None:
    long = LabeledPair(
        pair=Pair(instruction="word " * 500, response_a="a", response_b="b"), better="A", source="test", kind="test"
    )  # fmt: skip
    engine = Window(max_model_len=300)
    sampler(tmp_path, [*twins()[:2], long], first=True)._streamed(engine)
    plans = Shards(tmp_path / "stage/plans", Plan)
    assert plans.dropped == {long.pair.instruction_id: "over_long"}
    assert {one.pair_id for one in Shards(tmp_path / "stage/chains", Chain)} == {one.pair.id for one in twins()[:2]}
