"""planner/likelihood.py and rewards/calibrate.py: verdicts without text, and probabilities that mean what they say."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.engines.base import Alternatives
from planner.engines.scripted import ScriptedEngine
from planner.engines.vllm import branches
from planner.judge import Judge
from planner.likelihood import Calibration, log_odds, verdict_probabilities
from planner.records import Chain, Completion, LabeledPair, Order, Pair
from planner.styles import STYLES
from rewards.calibrate import fit

PAIR = Pair(instruction="Q?", response_a="good", response_b="bad")


class Leaning(ScriptedEngine):
    """Gives each way to write a verdict the log-probability that `likes` says, by the response shown first."""

    def __init__(self, likes: dict[str, dict[str, float]]) -> None:
        super().__init__()
        self.likes, self.asked = likes, list[Alternatives]()

    def likelihood(self, requests: Iterable[Alternatives]) -> Iterator[tuple[str, tuple[float, ...]]]:
        for request in requests:
            self.asked.append(request)
            text = request.messages[-1].content
            first = min(("good", "bad"), key=text.rindex)
            yield request.key, tuple(math.log(self.likes[first].get(way, 1e-9)) for way in request.texts)


def test_pandalm_s_three_verdicts_are_weighed_in_both_orders() -> None:
    engine = Leaning({"good": {"1": 0.3, "2": 0.1, "Tie": 0.1}, "bad": {"1": 0.01, "2": 0.02, "Tie": 0.01}})
    judge = Judge(engine, STYLES["pandalm"], decide="likelihood", rule="pandalm")
    found = judge.compare("Q?", "good", "bad")
    assert (found.verdict, found.consistent) == ("A", True)
    assert [one.p_a for one in found.orders] == pytest.approx([0.75, 2 / 3])
    assert [one.p_tie for one in found.orders] == pytest.approx([0.2, 0.25])
    assert {one.prefill for one in engine.asked} == {""}
    assert {one.texts for one in engine.asked} == {("1", "2", "Tie")}


def test_a_likely_tie_is_a_tie() -> None:
    likes = {"1": 0.3, "2": 0.3, "Tie": 0.4}
    judge = Judge(Leaning({"good": likes, "bad": likes}), STYLES["pandalm"], decide="likelihood", rule="strict")
    assert judge.compare("Q?", "good", "bad").verdict == "tie"


def test_judgelm_adds_up_all_ways_to_score() -> None:
    engine = Leaning({"good": {"8 7\n": 0.1, "9 3\n": 0.1, "5 5\n": 0.15}, "bad": {"3 9\n": 0.2, "7 8\n": 0.1}})
    found = Judge(engine, STYLES["judgelm"], decide="likelihood", rule="strict").compare("Q?", "good", "bad")
    assert found.verdict == "A"
    assert found.orders[0].p_tie == pytest.approx(0.15 / 0.35, abs=1e-5)
    assert len(engine.asked[0].texts) == 100


@pytest.mark.parametrize("name", sorted(STYLES))
def test_every_style_can_be_decided_by_likelihood(name: str) -> None:
    judge = Judge(ScriptedEngine(), STYLES[name], decide="likelihood", rule="strict")
    pair = PAIR.model_copy(update={"reference": "R"})
    (found,) = judge.compare_many([pair])
    assert found.verdict in ("A", "B", "tie")
    assert all(one.tokens == 0 and not one.forced for one in found.orders)
    before, ways = STYLES[name].verdict_texts()
    for way, verdict in ways.items():
        assert STYLES[name].read_chain(before + way + CLOSING.get(name, "]]")).verdict == verdict, (
            "what is weighed must be what is read"
        )
    # Else the likelihood of the longer would be counted for the shorter as well: all of "8 10" for "8 1".
    assert not [(one, other) for one in ways for other in ways if one != other and other.startswith(one)]


CLOSING = {"pandalm": "", "j1": "]]</answer>", "j1-plan": "]]</answer>"} | dict.fromkeys(
    ("judgelm", "judgelm-fast", "judgelm-picture"), ""
)


@given(st.lists(st.floats(-1e6, 0), min_size=3, max_size=3))
def test_probabilities_add_up(logps: list[float]) -> None:
    p = verdict_probabilities(["A", "B", "A"], tuple(logps))
    assert math.fsum(p.values()) == pytest.approx(1)


def test_the_impossible_is_no_preference() -> None:
    assert verdict_probabilities(["A", "B"], (-math.inf, -math.inf)) == {"A": 0.5, "B": 0.5}
    assert verdict_probabilities(["A", "B"], (-math.inf, -3)) == {"A": 0.0, "B": 1.0}


def test_the_tree_of_token_sequences() -> None:
    assert branches([(1, 2), (1, 3), (4,)]) == {(): [1, 4], (1,): [2, 3]}
    assert branches([(1,), (1, 2)]) == {(): [1], (1,): [2]}


# -- calibration -------------------------------------------------------------------------------------------------------


def made(n: int, temperature: float, bias: float) -> list[tuple[LabeledPair, dict[Order, Chain]]]:
    """Pairs whose labels are drawn with the probabilities that a judge with this temperature and bias overstates."""
    random.seed(0)
    found = []
    for k in range(n):
        pair = Pair(instruction=str(k), response_a="a", response_b="b")
        truth = random.gauss(0, 1.5)
        labeled = LabeledPair(pair=pair, better="A" if random.random() < 1 / (1 + math.exp(-truth)) else "B", source="s", kind="k")
        chains: dict[Order, Chain] = {}
        for order, sign in (("ab", 1), ("ba", -1)):
            odds = sign * truth * temperature + bias
            chains[order] = Chain(  # type: ignore[index]
                pair_id=pair.id, order=order, plan_id="", plan=None, sample=0, execution="", verdict="A", p_a=1 / (1 + math.exp(-odds)),
                completion=Completion(text="", finish_reason="stop", tokens=0),
            )  # type: ignore[arg-type]  # fmt: skip
        found.append((labeled, chains))
    return found


def test_temperature_and_bias_are_found_again() -> None:
    fitted = fit(made(4000, temperature=3.0, bias=1.0))
    assert fitted.temperature == pytest.approx(3.0, rel=0.1)
    assert fitted.bias == pytest.approx(1.0, abs=0.1)


def test_calibration_undoes_what_it_found() -> None:
    overstated = Calibration(temperature=2.0, bias=1.0)
    assert overstated.p_a(1 / (1 + math.exp(-1.0))) == pytest.approx(0.5)
    assert log_odds(overstated.p_a(1 / (1 + math.exp(-5.0)))) == pytest.approx(2.0)
    assert Calibration().p_a(0.3) == pytest.approx(0.3)


def test_a_judge_that_is_always_right_gets_finite_numbers() -> None:
    perfect = [(labeled, chains) for labeled, chains in made(50, 1.0, 0.0)]
    perfect = [
        (labeled, {o: c.model_copy(update={"p_a": 0.9 if labeled.gold(o) == "A" else 0.1}) for o, c in chains.items()})
        for labeled, chains in perfect
    ]
    fitted = fit(perfect)
    assert 0 < fitted.temperature < 1
    assert abs(fitted.bias) < 0.01


def test_nothing_to_calibrate_on_is_said() -> None:
    with pytest.raises(ValueError, match="nothing to calibrate"):
        fit([])
