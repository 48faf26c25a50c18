"""The rooms behind the page, without a browser: parts of a comparison, votes, chains and their differences, a run while it trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from typer.testing import CliRunner

from cli.main import app
from eval.run import main as eval_main
from planner.engines.scripted import ScriptedEngine, default_script
from planner.errors import UserError
from planner.judge import Judge
from planner.records import Pair
from planner.styles import named
from planner.styles.evalplanner import EvalPlannerStyle
from prompts import EXECUTION_END, FINAL_VERDICT, PLAN_END, PLAN_START
from selftrain.config import load_config
from selftrain.pairs import jsonl
from tests.conftest import tiny_config
from tests.eval_samples import SAMPLES
from tests.run_folder import make_run
from tests.test_eval_report import HOSTILE
from tests.test_eval_run import opens
from ui import chains, live
from ui.desk import Desk, entrants, judge_in_parts, rank
from ui.serve import PASSWORD, check_access

pytestmark = pytest.mark.waits

PAIR = Pair(instruction="Name a river.", response_a="The Loire.", response_b="The Alps.")


def planner(request: Any, draw: int) -> str:
    """Plans by the order it sees, and goes on from any plan to a verdict that says which plan it read."""
    if PLAN_END in request.stop:
        first = "Loire" if request.messages[-1].content.find("Loire") < request.messages[-1].content.find("Alps") else "Alps"
        return f"{PLAN_START}\nIs {first} a river?\n{PLAN_END}"
    letter = "B" if "prefer mountains" in request.prefill else "A"
    return f"I followed {request.prefill.count(PLAN_START)} plan.\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[{letter}]]"


def judge(script: Any = planner, style: str = "evalplanner-short") -> Judge:
    return Judge(ScriptedEngine(script), named(style), max_tokens=200)


# -- the desk ----------------------------------------------------------------------------------------------------------


def test_a_comparison_comes_in_parts() -> None:
    parts = list(judge_in_parts(judge(), PAIR))
    assert [(len(one.plans), len(one.chains), one.judgment is not None) for one in parts] == [
        (1, 0, False), (2, 0, False), (2, 1, False), (2, 2, True),
    ]  # fmt: skip
    assert parts[-1].plans == {"ab": "Is Loire a river?", "ba": "Is Alps a river?"}
    assert parts[-1].chains["ab"].execution == "I followed 1 plan."
    assert parts[-1].judgment is not None
    assert parts[-1].judgment.consistent is False, "A in both orders is the first shown, twice"
    assert 0 < parts[0].tokens < parts[-1].tokens


def test_an_edited_plan_is_what_is_executed() -> None:
    *_, last = judge_in_parts(judge(), PAIR, "  I prefer mountains.  ")
    assert set(last.plans.values()) == {"I prefer mountains."}
    assert [one.verdict for one in last.chains.values()] == ["B", "B"]
    assert all(one.plan == "I prefer mountains." for one in last.chains.values())


@pytest.mark.parametrize(
    ("style", "plan", "said"),
    [("mtbench", "a plan", "does not plan"), ("evalplanner-short", " \n", "the plan is empty"), ("evalplanner", "word " * 9000, "do not fit")],
)  # fmt: skip
def test_a_plan_that_cannot_be_executed_is_refused(style: str, plan: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        list(judge_in_parts(judge(style=style), PAIR, plan))


def test_without_a_whole_plan_the_judge_answers_in_one_piece() -> None:
    *_, last = judge_in_parts(judge(lambda request, draw: "no plan at all [[A]]", "mtbench"), PAIR)
    assert last.plans == {}
    assert {one.verdict for one in last.chains.values()} == {"A"}


def desk(tmp_path: Path) -> tuple[Desk, list[tuple[str, str | None]]]:
    opened: list[tuple[str, str | None]] = []

    def opener(model: str, style: str | None) -> Judge:
        opened.append((model, style))
        return judge()

    return Desk(["one", "two"], tmp_path / "votes" / "votes.jsonl", opener), opened


def test_only_judges_that_are_offered_are_opened_and_each_once(tmp_path: Path) -> None:
    at, opened = desk(tmp_path)
    at.judge("one")
    assert at.judge("one", "mtbench", max_tokens=7).max_tokens == 7
    at.judge("two")
    assert opened == [("one", None), ("two", None)]
    at.judge("one", "mtbench")
    at.judge("one", "pandalm")
    assert at.judge("one").style == judge().style, "its own is on its card, which nobody has looked at yet"
    assert opened[2:] == [("one", "mtbench"), ("one", None)]
    with pytest.raises(UserError, match="not among the judges"):
        at.judge("/etc/passwd")


def test_votes_are_pairs_that_a_run_trains_on(tmp_path: Path) -> None:
    at, _ = desk(tmp_path)
    *_, last = judge_in_parts(judge(), PAIR, "I prefer mountains.")
    assert last.judgment is not None
    with pytest.raises(UserError, match="named neither"):
        at.vote(PAIR, last.judgment, right=True)  # B in both orders: they disagree at equal odds
    certain = last.judgment.model_copy(update={"verdict": "B"})
    assert at.vote(PAIR, certain, right=True) == "B"
    assert at.vote(PAIR, certain, right=False) == "A"
    rows = [json.loads(line) for line in at.votes.read_text().splitlines()]
    assert [(row["chosen"], row["rejected"]) for row in rows] == [("The Alps.", "The Loire."), ("The Loire.", "The Alps.")]
    at.vote(PAIR.model_copy(update={"reference": "The Loire."}), certain, right=False)
    assert json.loads(at.votes.read_text().splitlines()[2])["reference"] == "The Loire.", (
        "it is trained to be shown what it was shown"
    )
    source = {"source": "jsonl", "path": str(at.votes), "validation": 1, "held_out": {"known": 1}}
    path = tmp_path / "c.toml"
    path.write_text(tomli_w.dumps(tiny_config(tmp_path, Path("/no"), pairs=source)))
    found = list(jsonl.read(Path(load_config(path).pairs.path or "")))
    assert [one.kind for one in found] == ["vote"] * 3
    assert [one.pair.reference for one in found] == [None, None, "The Loire."]
    assert {getattr(one.pair, f"response_{one.better.lower()}") for one in found} == {"The Alps.", "The Loire."}


@pytest.mark.parametrize("votes", ["folder", "file/votes.jsonl"])
def test_a_vote_that_cannot_be_kept_is_said(tmp_path: Path, votes: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    *_, last = judge_in_parts(judge(), PAIR)
    assert last.judgment is not None
    at = Desk(["one"], tmp_path / votes, lambda model, style: judge())
    with pytest.raises(UserError, match=r"cannot be (written|made) \(.*\): (give the path of a file|choose another folder)"):
        at.vote(PAIR, last.judgment.model_copy(update={"verdict": "A"}), right=True)


@pytest.mark.parametrize(
    ("instruction", "responses", "plan", "said"),
    [
        (" ", ["a", "b"], None, "write an instruction"),
        ("Say.", ["", ""], None, "two responses are judged"),
        ("Say.", ["a", " \n"], None, "two responses are judged"),
        ("Say.", ["a", "", "c"], None, "as response A and response B"),  # C is not left out in silence
        ("Say.", ["a", "b", "c"], "Look.", "empty the others"),
        ("", ["", ""], " ", "the plan is empty"),
    ],
)
def test_what_cannot_be_judged_is_said(instruction: str, responses: list[str], plan: str | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        entrants(instruction, responses, plan)


def test_responses_keep_their_letters() -> None:
    assert entrants("Say.", ["a", "b"], "Look.") == {"A": "a", "B": "b"}
    assert entrants("Say.", ["a", "", "c", "d"]) == {"A": "a", "C": "c", "D": "d"}


def test_more_than_two_are_ranked() -> None:
    def longest(request: Any, draw: int) -> str:
        text = request.messages[-1].content
        return "[[A]]" if len(text.split("Answer]")[1]) > len(text.split("Answer]")[3]) else "[[B]]"

    found = rank(judge(longest, "mtbench"), "Say much.", ["a", "a b c d", "a b"], None)
    assert found.rewards[1] == max(reward for reward in found.rewards if reward is not None)


# -- chains ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("ui")).parent


def test_what_can_be_looked_into(runs: Path) -> None:
    found = chains.sources(runs)
    assert {"tiny/iter-1/sft", "tiny/iter-2/dpo", "tiny/eval/M2_DPO/known"} <= set(found)
    for source in found:
        assert list(chains.entries(runs, source)), source
    with pytest.raises(UserError, match="nothing called"):
        list(chains.entries(runs, "../../etc"))


def test_an_evaluation_can_be_looked_into(tmp_path: Path) -> None:
    data = SAMPLES["judgebench"](tmp_path / "data", 4)
    arguments = ["judgebench", "--judge", "m", "--data", str(data), "--out", str(tmp_path / "runs" / "eval" / "mine")]
    assert eval_main(arguments, open_judge=opens(lambda request, draw: "so [[A]]")) == 0
    assert chains.sources(tmp_path / "runs") == ["eval/mine"]
    assert len(chains.look(tmp_path / "runs", "eval/mine", chains.Filters())) == 8
    assert len(chains.look(tmp_path / "runs", "eval/mine", chains.Filters("right"))) == 4
    assert chains.kinds(tmp_path / "runs", "eval/mine")


def test_verdicts_that_an_evaluation_forced_are_shown_as_its_report_counts_them(tmp_path: Path) -> None:
    data, out = SAMPLES["judgebench"](tmp_path / "data", 4), tmp_path / "runs" / "eval" / "mine"
    arguments = ["judgebench", "--judge", "m", "--data", str(data), "--out", str(out), "--force", "--json"]
    assert eval_main(arguments, open_judge=opens(lambda request, draw: "cannot say")) == 0
    every = chains.look(tmp_path / "runs", "eval/mine", chains.Filters())
    assert len(every) == 8
    assert all(one.chain.forced and one.outcome in ("right", "wrong") for one in every)
    assert all("forced" in one.title for one in every)


@pytest.mark.parametrize("filters", [chains.Filters("right"), chains.Filters(order="ba"), chains.Filters("wrong", "ab", "keyword")])
def test_filters_let_through_what_they_name_and_all_of_it(runs: Path, filters: chains.Filters) -> None:
    every = list(chains.entries(runs, "tiny/iter-1/sft"))
    found = chains.look(runs, "tiny/iter-1/sft", filters)
    wanted = [
        one for one in every
        if (filters.outcome in ("any", one.outcome)) and filters.order in ("any", one.chain.order) and filters.kind in ("any", one.labeled.kind)
    ]  # fmt: skip
    assert found == wanted
    assert 0 < len(found) < len(every)


def test_contrasts_are_a_right_and_a_wrong_execution_of_one_plan(runs: Path) -> None:
    found = chains.contrasts(runs, "tiny/iter-1/sft", chains.Filters())
    assert found
    for right, wrong in found:
        assert (right.outcome, wrong.outcome) == ("right", "wrong")
        assert (right.chain.plan_id, right.chain.order) == (wrong.chain.plan_id, wrong.chain.order)
        assert right.chain.plan_id


def test_differences_are_marked_and_nothing_else_changes(runs: Path) -> None:
    (right, wrong), *_ = chains.contrasts(runs, "tiny/iter-1/sft", chains.Filters())
    right = right._replace(chain=right.chain.model_copy(update={"execution": "the same <b>old</b> words"}))
    wrong = wrong._replace(chain=wrong.chain.model_copy(update={"execution": "the same new words"}))
    html = chains.side_by_side(right, wrong)
    assert "the same <mark>&lt;b&gt;old&lt;/b&gt; </mark>words" in html
    assert "the same <mark>new </mark>words" in html


def test_hostile_text_leaves_escaped(runs: Path) -> None:
    one = next(chains.entries(runs, "tiny/iter-1/sft"))
    pair = Pair(instruction=HOSTILE, response_a=HOSTILE, response_b=HOSTILE)
    labeled = one.labeled.model_copy(update={"pair": pair, "kind": HOSTILE})
    evil = one._replace(labeled=labeled, chain=one.chain.model_copy(update={"plan": HOSTILE, "execution": HOSTILE}))
    for html in (chains.shown(evil), chains.side_by_side(evil, evil)):
        assert "<img" not in html
        assert "<script" not in html
        assert "</script" not in html


# -- a run while it trains ---------------------------------------------------------------------------------------------


def test_a_run_is_told_with_stage_rates_curves_and_last_chains(runs: Path) -> None:
    assert live.runs_in(runs) == ["tiny"]
    told = live.status(runs / "tiny")
    assert "tiny is finished." in told
    assert "done: eval" in told
    assert live.curves(runs / "tiny").count("<img") == 4
    assert live.last_chains(runs / "tiny").count("<h4>iter-2/dpo") == 4


def test_a_stage_under_way_tells_its_rate(tmp_path: Path) -> None:
    run = make_run(tmp_path, measured=False)
    stage = run / "iter-1" / "sft"
    (stage / ".job-0.json").write_text("{}")
    (stage / "ledger-0.jsonl").write_text('{"attempt": "a", "prompt": 5, "cached": 0, "generated": 300}\n')
    (stage / "seconds-0.jsonl").write_text('{"attempt": "a", "seconds": 2.0}\n')
    told = live.status(run)
    assert "stopped and unfinished" in told
    assert "under way: iter-1/sft · 300 tokens generated, 150 tokens/s · 64 chains drawn" in told
    assert "No training step yet" in live.curves(run)


def test_a_look_reads_what_is_new_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every ten seconds of a run of days, with millions of chains on disk."""
    run = make_run(tmp_path, measured=False)
    (shard,) = (run / "iter-1" / "sft" / "chains").glob("rank-*.jsonl")
    whole = shard.read_bytes().splitlines(keepends=True)
    per_line = [len(json.loads(line)["items"]) for line in whole]
    shard.write_bytes(b"".join(whole[:5]) + whole[5][:40])  # the last is being written
    assert live._drawn(shard) == sum(per_line[:5])
    read: list[bytes] = []
    monkeypatch.setattr(live, "_read", lambda path, line, real=live._read: read.append(line) or real(path, line))
    shard.write_bytes(b"".join(whole[:8]))
    assert live._drawn(shard) == sum(per_line[:8])
    assert read == whole[5:8]
    shard.write_bytes(whole[0])  # the stage was deleted and begun again
    assert live._drawn(shard) == per_line[0]
    shard.write_bytes(b"".join(whole))
    monkeypatch.setattr(live, "_TAIL", 2 * max(map(len, whole)))
    read.clear()
    last = live._newest(shard.parent)
    assert [one.model_dump(mode="json") for one in last] == [one for line in whole for one in json.loads(line)["items"]][-4:]
    assert len(read) <= 4
    shard.write_bytes(b"{]\n")
    with pytest.raises(UserError, match="no line of chains"):
        live.last_chains(run)


# -- who may come in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_no_password(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    assert check_access(host) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org", "localhost.example.org"])
def test_every_other_address_does(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    done = CliRunner().invoke(app, ["ui", "--judge", "embedded", "--host", host])
    assert done.exit_code == 2
    assert f"set {PASSWORD} to a password" in done.stderr
    monkeypatch.setenv(PASSWORD, "secret")
    assert check_access(host) == "secret"


def test_the_scripted_default_judges_too() -> None:
    *_, last = judge_in_parts(
        Judge(ScriptedEngine(default_script), EvalPlannerStyle(prompt_set="short"), max_tokens=90, force=True), PAIR
    )
    assert last.judgment is not None
