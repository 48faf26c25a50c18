"""A run: every judgment kept, resumed without a difference, refused under other settings, reported, compared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from eval.collect import Vote, Votes, collect, read_ballots
from eval.evaluate import evaluate, limited, others_of
from eval.judges import DEFAULT_STYLE, Opened, open_judge
from eval.report import Figure
from eval.run import main
from planner.engines.base import EngineError, Request, Sampling
from planner.engines.scripted import ScriptedEngine, default_script
from planner.errors import UserError
from planner.execute import judge_inputs
from planner.judge import Judge, JudgeCard, write_card
from planner.lock import lock_run
from planner.records import LabeledPair, Plan
from planner.store import Shards, read_jsonl
from planner.styles.evalplanner import EvalPlannerStyle
from planner.styles.mtbench import MtBenchStyle
from prompts import PLAN_END, PLAN_START
from tests.eval_samples import SAMPLES, always_a, coin, judge_of, knows, load, never


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second each; they are drawn in test_eval_report.py and looked at in web/."""
    monkeypatch.setattr("eval.pages.draw", lambda title, note, plot: Figure(title=title, note=note, svg=""))


class Failing(ScriptedEngine):
    """Breaks down after so many answers."""

    def __init__(self, script: Any, answers: int, **engine: Any) -> None:
        super().__init__(script, **engine)
        self.left = answers

    def sample(self, requests: Any) -> Any:
        for found in super().sample(requests):
            if not self.left:
                raise EngineError("the server is gone: start it")
            self.left -= 1
            yield found


def kept(folder: Path) -> list[dict[str, Any]]:
    """Every vote on disk without its clock, in file order."""
    return [{**one.model_dump(mode="json"), "seconds": 0} for one in Shards(folder / "judgments", Vote)]


# -- collecting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("votes", [Votes(), Votes(3), Votes(2, 2)])
def test_a_run_that_broke_down_goes_on_and_ends_as_an_unbroken_one(votes: Votes, tmp_path: Path) -> None:
    pairs = [one.pair for one in load("pairs", tmp_path / "data", 6)]
    style, sampling = EvalPlannerStyle(prompt_set="paper"), Sampling()
    collect(Judge(ScriptedEngine(default_script), style, sampling=sampling), pairs, tmp_path / "straight", votes)
    attempts = 0
    while True:
        attempts += 1
        try:
            collect(Judge(Failing(default_script, 5), style, sampling=sampling), pairs, tmp_path / "broken", votes)
            break
        except EngineError:
            assert all(vote["chain"]["completion"]["text"] for vote in kept(tmp_path / "broken")), (
                "a failed call is never a verdict"
            )
    assert attempts > 2
    assert kept(tmp_path / "broken") == kept(tmp_path / "straight")
    assert len(kept(tmp_path / "straight")) == 2 * 6 * votes.total


def test_a_torn_last_line_is_owed_again(tmp_path: Path) -> None:
    pairs = [one.pair for one in load("pairs", tmp_path / "data", 4)]
    collect(judge_of(coin), pairs, tmp_path / "run", Votes())
    whole = kept(tmp_path / "run")
    shard = tmp_path / "run" / "judgments" / "rank-0.jsonl"
    shard.write_bytes(shard.read_bytes()[:-20])
    collect(judge_of(coin), pairs, tmp_path / "run", Votes())
    assert kept(tmp_path / "run") == whole


def test_what_is_kept_of_a_judgment(tmp_path: Path) -> None:
    (one, *_) = load("pairs", tmp_path / "data", 2)
    collect(judge_of(coin), [one.pair, one.pair], tmp_path / "run", Votes())
    first, second = Shards(tmp_path / "run" / "judgments", Vote)
    assert (first.chain.order, second.chain.order) == ("ab", "ba"), "the same pair twice is asked once"
    assert first.prompt != second.prompt
    assert first.chain.completion.text in ("[[A]]", "[[B]]")
    assert first.chain.p_a in (0.8, 0.2)
    assert first.tokens == 1
    assert first.seconds >= 0


def test_too_long_pairs_are_named_and_have_no_verdict(tmp_path: Path) -> None:
    pairs = load("pairs", tmp_path / "data", 4)
    long = pairs[0].model_copy(update={"pair": pairs[0].pair.model_copy(update={"instruction": "word " * 5000})})
    labeled = [long, *pairs[1:]]
    collect(judge_of(knows), (one.pair for one in labeled), tmp_path / "run", Votes())
    ballots, over_long = read_ballots(tmp_path / "run", labeled)
    assert over_long == {long.pair.id}
    assert [one.elected().both_right for one in ballots] == [False, True, True, True]


def test_missing_verdicts_are_forced_only_where_asked_for_and_lie_apart(tmp_path: Path) -> None:
    pairs = load("pairs", tmp_path / "data", 3)
    judge = judge_of(never)
    judge.force = True
    collect(judge, (one.pair for one in pairs), tmp_path / "run", Votes())
    assert {vote["chain"]["verdict"] for vote in kept(tmp_path / "run")} == {"none"}, "what was said stays as it was said"
    ballots, _ = read_ballots(tmp_path / "run", pairs)
    chains = [chain for one in ballots for found in one.chains.values() for chain in found]
    assert all(chain.forced and chain.verdict in ("A", "B") for chain in chains)
    forced = tmp_path / "run" / "forced" / "rank-0.jsonl"
    whole = forced.read_text()
    forced.write_text("".join(whole.splitlines(keepends=True)[:2]))
    collect(judge, (one.pair for one in pairs), tmp_path / "run", Votes())
    assert sorted(forced.read_text().splitlines()) == sorted(whole.splitlines()), "what is owed of it is read again"


def test_generation_stops_at_the_verdict(tmp_path: Path) -> None:
    def talks_on(request: Request, draw: int) -> str:
        return default_script(request, 3).partition("[[")[0] + "[[B]] and " + "so on " * 50

    pairs = load("pairs", tmp_path / "data", 2)
    judge = Judge(ScriptedEngine(talks_on), EvalPlannerStyle(prompt_set="paper"), max_tokens=90)
    collect(judge, (one.pair for one in pairs), tmp_path / "run", Votes())
    chains = [vote.chain for vote in Shards(tmp_path / "run" / "judgments", Vote)]
    assert len(chains) == 4
    for chain in chains:
        assert chain.completion.text.endswith("[Final Verdict]\n[[B]]")
        assert (chain.verdict, chain.p_a, chain.cut_off) == ("B", 0.2, False)


def test_plans_are_shared_by_their_executions_and_counted_once(tmp_path: Path) -> None:
    pairs = load("pairs", tmp_path / "data", 2)
    judge = Judge(ScriptedEngine(default_script), EvalPlannerStyle(prompt_set="paper"), sampling=Sampling())
    collect(judge, (one.pair for one in pairs), tmp_path / "run", Votes(2, 3))
    votes = list(Shards(tmp_path / "run" / "judgments", Vote))
    assert len(votes) == 2 * 2 * 6
    assert len({vote.chain.plan_id for vote in votes}) == 2 * 2 * 2
    for vote in votes:
        extra = vote.tokens - vote.chain.completion.tokens
        assert (extra > 0) == (vote.chain.sample == 0)


def test_votes_are_kept_in_the_order_in_which_their_plans_were_drawn(tmp_path: Path) -> None:
    """Not as they finish: what is cut off or short would come first, and one vote of many would be the quickest."""

    def first_plan_takes_long(request: Request, draw: int) -> str:
        if PLAN_END in request.stop:
            rambles = draw == 1
            return f"{PLAN_START}\n" + ("and " * 500 if rambles else f"Plan {draw}.\n{PLAN_END}")
        return default_script(request, draw)

    class LastFirst(ScriptedEngine):
        def sample(self, requests: Any) -> Any:
            yield from reversed(list(super().sample(requests)))

    pairs = load("pairs", tmp_path / "data", 2)
    judge = Judge(LastFirst(first_plan_takes_long), EvalPlannerStyle(prompt_set="paper"), sampling=Sampling(), max_tokens=60)
    collect(judge, (one.pair for one in pairs), tmp_path / "run", Votes(3, 2))
    plans, judgments = Shards(tmp_path / "run" / "plans", Plan), Shards(tmp_path / "run" / "judgments", Vote)
    for item in judge_inputs(judge.style, (one.pair for one in pairs)):
        made = [(vote.chain.plan_id, vote.chain.sample) for vote in judgments.get(item.key)]
        assert made == [(plan.id, sample) for plan in plans.get(item.key) for sample in (0, 1)]
        assert [vote.chain.cut_off for vote in judgments.get(item.key)] == [False, False, True, True, False, False]


def test_a_plan_without_an_end_has_votes_that_are_cut_off(tmp_path: Path) -> None:
    def rambles(request: Request, draw: int) -> str:
        return "[Start of Evaluation Plan]\n" + "and " * 500

    pairs = load("pairs", tmp_path / "data", 1)
    judge = Judge(ScriptedEngine(rambles), EvalPlannerStyle(prompt_set="paper"), sampling=Sampling(), max_tokens=30)
    collect(judge, (one.pair for one in pairs), tmp_path / "run", Votes(2, 2))
    ballots, _ = read_ballots(tmp_path / "run", pairs)
    chains = [chain for one in ballots for found in one.chains.values() for chain in found]
    assert len(chains) == 8
    assert all(chain.cut_off and chain.verdict == "none" for chain in chains)


def test_executions_of_a_plan_need_plans(tmp_path: Path) -> None:
    pairs = load("pairs", tmp_path / "data", 1)
    with pytest.raises(EngineError, match="evalplanner"):
        collect(judge_of(knows), (one.pair for one in pairs), tmp_path / "run", Votes(2, 2))


# -- the command -------------------------------------------------------------------------------------------------------


def opens(script: Any, style: Any = None, answers: int = 10**9) -> Any:
    """A stand-in for `eval.judges.open_judge`."""

    def open_scripted(spec: str, *, max_tokens: int | None, force: bool, votes: int, max_model_len: int | None, **_: Any) -> Opened:
        engine = Failing(script, answers)
        sampling = Sampling() if votes > 1 else Sampling(temperature=0.0)
        judge = Judge(engine, style or MtBenchStyle(), max_tokens=max_tokens or 100, force=force, sampling=sampling)
        return Opened(judge, spec, "digest", max_model_len)

    return open_scripted


def run(tmp_path: Path, *arguments: str, script: Any = knows, n: int = 12, name: str = "judgebench", **options: Any) -> int:
    data = tmp_path / "data"
    if not data.exists():
        data.mkdir()
        SAMPLES[name](data, n)
    return main([name, "--judge", "scripted", "--data", str(data), *arguments], open_judge=opens(script, **options))


def test_the_command_reports_scores_in_three_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(tmp_path, "--out", str(out), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "report.json").read_text())
    assert printed["title"] == "JudgeBench gpt-4o (part: 12 of 350) · scripted"
    assert printed["official"] == {"knowledge": 100, "reasoning": 100, "math": 100, "coding": 100}
    assert printed["strict"]["score"]["position_consistent"] == 1
    assert printed["missing"] == {"gpt-4o": [12, 350]}
    assert set(printed["categories"]) == {"knowledge", "reasoning", "math", "coding"}
    assert printed["recipe"]["style"] == "mtbench"
    assert "| position-consistent accuracy | 100.0 % [" in (out / "report.md").read_text()
    page = (out / "report.html").read_text()
    assert "Only part of the benchmark was judged (gpt-4o 12 of 350)" in page
    for column in ("flips", "first shown", "longer", "no verdict", "cut off", "forced", "refused"):
        assert re.search(rf"<th[^>]*>{column}</th>", page), f"{column} by category"
    assert run(tmp_path, "--out", str(out)) == 0
    shown = capsys.readouterr().out
    assert "official protocol, this part: knowledge" in shown
    assert "no official total" in shown


def test_of_no_verdicts_none_goes_to_the_first(tmp_path: Path) -> None:
    for script, said in ((never, "–"), (lambda *_: "[[C]]", "– "), (always_a, "100.0 %")):
        assert run(tmp_path, "--out", str(tmp_path / said), script=script) == 0
        assert f"| verdicts for the response shown first | {said.strip()} |" in (tmp_path / said / "report.md").read_text()


def test_a_whole_benchmark_prints_its_total(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--out", str(tmp_path / "run"), "--json", n=80, name="evalbiasbench", script=always_a) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["official"]["accuracy"] == 50
    assert printed["missing"] == {}
    assert "(part" not in printed["title"]


def test_the_same_command_goes_on_and_another_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert run(tmp_path, "--out", out, answers=7) == 2
    assert "the server is gone" in capsys.readouterr().err
    assert not (tmp_path / "run" / "report.json").exists()
    assert run(tmp_path, "--out", out) == 0
    assert run(tmp_path, "--out", str(tmp_path / "straight")) == 0
    assert kept(tmp_path / "run") == kept(tmp_path / "straight")
    one, other = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("run", "straight"))
    assert one == other
    capsys.readouterr()
    for changed, named in (
        (["--limit", "4"], "pairs = 12, now it is 4"),
        (["--max-tokens", "50"], "max_tokens"),
        (["--votes", "2"], "votes"),
        (["--force"], "force"),
        (["--max-model-len", "300"], "max_model_len = None, now it is 300"),
    ):
        assert run(tmp_path, "--out", out, *changed) == 2
        assert named in capsys.readouterr().err
    assert run(tmp_path, "--out", str(tmp_path / "data")) == 2
    assert "no run of this command" in capsys.readouterr().err
    (tmp_path / "run" / "recipe.json").write_text("[]")
    assert run(tmp_path, "--out", out) == 2
    assert "recipe.json is no recipe of this command" in capsys.readouterr().err


def test_a_run_that_is_going_on_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planner.lock._PATIENCE_S", 0.0)
    out = tmp_path / "run"
    out.mkdir()
    with lock_run(out):
        assert run(tmp_path, "--out", str(out)) == 2
        assert f"{out} is in use by another process" in capsys.readouterr().err
        assert [path.name for path in out.iterdir()] == [".lock-0"], "it wrote nothing"
    (out / "recipe.json.part").write_text("{")
    assert run(tmp_path, "--out", str(out)) == 0, "what stopped before it wrote its recipe goes on"


def test_what_a_terminal_would_obey_is_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "mine.jsonl"
    rows = [{"instruction": f"T{i}", "chosen": "Right", "rejected": "Wrong", "kind": f"\x1b[2J{i}"} for i in range(2)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["pairs", "--judge", "scripted", "--data", str(data), "--out", str(tmp_path / "run")]
    assert main(arguments, open_judge=opens(knows)) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"\x1b[2J1" in shown


def test_runs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weak = str(tmp_path / "weak")
    assert run(tmp_path, "--out", weak, script=always_a) == 0
    capsys.readouterr()
    assert run(tmp_path, "--out", str(tmp_path / "strong"), "--against", weak, "--json") == 0
    found = json.loads(capsys.readouterr().out)["against"][weak]
    assert (found["outlook"], found["difference"], found["changed"]) == ("better", 1, 0.5)
    assert run(tmp_path, "--out", str(tmp_path / "same"), "--against", str(tmp_path / "strong")) == 0
    assert "can't tell" in capsys.readouterr().out
    assert run(tmp_path, "--out", str(tmp_path / "few"), "--limit", "4", "--against", weak) == 2
    assert "judged other pairs" in capsys.readouterr().err
    assert run(tmp_path, "--out", str(tmp_path / "x"), "--against", str(tmp_path / "nowhere")) == 2
    assert "holds no run" in capsys.readouterr().err


def test_votes_give_a_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--out", str(tmp_path / "run"), "--votes", "4", "--json", script=coin) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [(point["votes"], point["rule"]) for point in printed["votes"]] == [
        (k, rule) for rule in ("majority", "mean_p") for k in (1, 2, 4)
    ]
    assert printed["votes"][2]["tokens"] == 8
    assert "Test-time scaling" in (tmp_path / "run" / "report.html").read_text()
    with pytest.raises(SystemExit):
        run(tmp_path, "--votes", "2x0")
    assert "PLANSxEXECUTIONS" in capsys.readouterr().err


def test_a_limit_keeps_prompts_whole(tmp_path: Path) -> None:
    pairs = load("rmbench", tmp_path, 6)
    few = limited(pairs, 20, 0)
    assert len(few) == 18
    assert {few.count(one) for one in few} == {1}
    assert limited(pairs, 20, 0) == few
    assert any(limited(pairs, 20, seed) != few for seed in range(1, 6))
    assert [one for one in pairs if one in few] == few, "in the benchmark's order"
    with pytest.raises(UserError, match="9 pairs of one prompt"):
        limited(pairs, 8, 0)


def test_strange_text_of_a_judge_does_not_stop_a_run(tmp_path: Path) -> None:
    """Half characters, control characters and markup from a judge end up in files that can be read."""
    assert run(tmp_path, "--out", str(tmp_path / "run"), script=lambda request, draw: "\x1b[2J \u202e <b>[[A]]</b> \x00 |") == 0
    assert json.loads((tmp_path / "run" / "report.json").read_text())["strict"]["score"]["no_verdict"] == 0
    assert list(read_jsonl(tmp_path / "run" / "pairs.jsonl", LabeledPair))


def test_errors_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nobench", "--judge", "x"]) == 2
    assert "no benchmark 'nobench'; there are rewardbench" in capsys.readouterr().err
    assert main(["pairs", "--judge", "embedded"]) == 2
    assert "--data" in capsys.readouterr().err
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert main(["pairs", "--judge", "embedded", "--data", str(empty)]) == 2
    assert "is empty" in capsys.readouterr().err


# -- opening -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.judges._open_engine", lambda spec, seed, max_model_len: (ScriptedEngine(), spec))


def opened(spec: str, **changes: Any) -> Opened:
    return open_judge(spec, **{"style": None, "max_tokens": None, "votes": 1, "force": False, "seed": 0, **changes})


@pytest.mark.usefixtures("engines")
def test_a_checkpoint_says_itself_how_it_is_asked(tmp_path: Path) -> None:
    write_card(tmp_path, JudgeCard(style=EvalPlannerStyle(prompt_set="short"), max_tokens=77))
    found = opened(str(tmp_path))
    assert (found.judge.style, found.judge.max_tokens) == (EvalPlannerStyle(prompt_set="short"), 77)
    assert opened(str(tmp_path), style="pandalm", max_tokens=5).judge.max_tokens == 5
    assert opened("org/model").judge.style == MtBenchStyle()
    assert DEFAULT_STYLE == "mtbench"


@pytest.mark.usefixtures("engines")
def test_one_vote_is_greedy_and_several_are_drawn() -> None:
    assert opened("org/model").judge.sampling.temperature == 0
    assert opened("org/model", votes=4).judge.sampling == Sampling(0.8, 0.95)


def test_servers_are_named_with_their_model(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def server(url: str, model: str, **options: Any) -> ScriptedEngine:
        asked.update(url=url, model=model)
        return ScriptedEngine()

    monkeypatch.setattr("planner.engines.server.ServerEngine", server)
    assert opened("server:http://127.0.0.1:8000/v1#org/my-judge").name == "org/my-judge"
    assert asked == {"url": "http://127.0.0.1:8000/v1", "model": "org/my-judge"}
    with pytest.raises(UserError, match="server:URL#MODEL"):
        opened("server:http://127.0.0.1:8000/v1")


def test_both_doors_lead_to_the_same_command() -> None:
    result = CliRunner().invoke(app, ["eval", "--help"])
    assert result.exit_code == 0
    assert "usage: evalplanner eval" in result.output
    result = CliRunner().invoke(app, ["eval", "nobench", "--judge", "x"])
    assert result.exit_code == 2


@pytest.mark.slow
def test_on_the_real_engine(embedded_engine: Any, tmp_path: Path) -> None:
    """vLLM and the embedded model: every judgment kept, forced ones marked, probabilities read, two runs compared."""
    pairs = load("pairs", tmp_path / "data", 6)
    judge = Judge(embedded_engine, MtBenchStyle(), max_tokens=12, force=True)
    opened = Opened(judge, "embedded", "digest")
    first = evaluate("pairs", pairs, opened, tmp_path / "first", votes=Votes())
    score = first.strict.score
    assert score.no_verdict + score.cut_off == 0
    assert score.forced > 0
    assert score.accuracy_free <= score.accuracy
    assert first.calibration is not None
    assert first.calibration.n == 12
    assert all(0 < vote.tokens <= 12 for vote in Shards(tmp_path / "first" / "judgments", Vote))
    again = evaluate("pairs", pairs, opened, tmp_path / "again", votes=Votes(), others=others_of([tmp_path / "first"], pairs))
    (compared,) = again.against.values()
    assert compared.outlook == "can't tell"
    assert compared.changed <= 0.5
