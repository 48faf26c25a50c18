"""The report of a run: what is in it, of a finished run and of one that is going on; and what it refuses."""

from __future__ import annotations

import base64
import fcntl
import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from eval.report import Figure, Page, Table, Text
from planner.errors import UserError
from tests.run_folder import make_run
from ui import report as report_module
from ui.report import main, page_of, write_report
from ui.runs import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return page_of(RunFolder(run))


def table(page: Page, title: str) -> Table:
    (found,) = [one for one in page.sections if isinstance(one, Table) and one.title == title]
    return found


def test_every_section_is_there(page: Page) -> None:
    titles = [one.title for one in page.sections]
    assert titles == [
        "Checkpoints on held-out pairs", "Accuracy over the checkpoints", "Position-consistent accuracy over the checkpoints",
        "Outcomes and order flips by kind of instruction", "Chains drawn for training", "Plan diversity", "Length of plans",
        "Length of executions", "Length of judgments of held-out pairs", "SFT loss", "DPO loss", "DPO margins", "DPO rows told apart",
        "Time and tokens", "Attempts", "Configuration",
    ]  # fmt: skip


def test_every_checkpoint_and_control_has_its_row_with_n_and_interval(page: Page) -> None:
    rows = table(page, "Checkpoints on held-out pairs").rows
    assert [row[:3] for row in rows[:2]] == [("seed", "known", "6"), ("seed", "unseen", "10")]
    assert {row[0] for row in rows} == {"seed", "M1_SFT", "M1_DPO", "M2_DPO", "shuffled_labels (control)", "coin"}
    assert all(re.fullmatch(r"\d+\.\d % \[\d+\.\d, \d+\.\d\]", row[3]) for row in rows[:-1])


def test_outcomes_by_kind_add_up(page: Page) -> None:
    found = table(page, "Outcomes and order flips by kind of instruction")
    assert {row[1] for row in found.rows} == {"seed", "M2_DPO"}
    for row in found.rows:
        shares = [float(cell.removesuffix(" %")) for cell in row[3:7]]
        assert sum(shares) == pytest.approx(100, abs=0.3)
    assert sum(int(row[2]) for row in found.rows if row[1] == "seed") == 16


def test_the_ledger_adds_up(page: Page) -> None:
    *stages, total = table(page, "Time and tokens").rows
    assert total[0] == "all"
    for column in (2, 3, 4, 5):
        assert sum(int(row[column].replace(",", "")) for row in stages) == int(total[column].replace(",", ""))


def test_plan_diversity_counts_equal_plans(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shard = copy / "iter-1" / "sft" / "plans" / "rank-0.jsonl"
    lines = []
    for line in map(json.loads, shard.read_text().splitlines()):
        for plan in line["items"]:
            plan["text"] = "the same words"
        lines.append(json.dumps(line))
    shard.write_text("\n".join(lines) + "\n")
    found = RunFolder(copy).diversity("iter-1/sft")
    assert found is not None
    assert (found.distinct, found.overlap) == (0.5, 1.0), "two plans a prompt, one text"


def test_every_plot_names_its_axes_with_units_and_says_n(page: Page) -> None:
    """Matplotlib writes every text of a figure as a comment beside its outlines."""
    figures = [one for one in page.sections if isinstance(one, Figure)]
    assert len(figures) == 9
    for figure in figures:
        texts = re.findall(r"<!-- (.*?) -->", base64.b64decode(figure.svg).decode())
        assert any(text in ("checkpoint", "optimiser step", "length (generated tokens)") for text in texts), figure.title
        assert any(re.search(r"\((%|nats).*\)$", text) for text in texts), figure.title
        assert any(re.search(r"n = \d+ (pairs|plans|executions|judgments|rows)", text) for text in texts), figure.title


def test_examples_show_the_seed_and_the_last_checkpoint_changed_ones_first(page: Page) -> None:
    assert len(page.judgments) == 16
    changed = ["changed" in one.flags for one in page.judgments]
    assert changed == sorted(changed, reverse=True)
    first = page.judgments[0]
    assert [one.title.split(" · ")[0] for one in first.orders] == ["seed", "seed", "M2_DPO", "M2_DPO"]


def test_the_configuration_is_the_run_s_own(run: Path, page: Page) -> None:
    (text,) = [one for one in page.sections if isinstance(one, Text)]
    assert text.text == (run / "config.toml").read_text()


def test_a_run_that_has_just_begun_shows_how_far_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path, measured=False)
    page = page_of(RunFolder(run))
    titles = [one.title for one in page.sections]
    assert "Checkpoints on held-out pairs" not in titles
    assert {"Chains drawn for training", "Plan diversity", "Configuration"} <= set(titles)
    assert "stopped and unfinished; last finished stage: iter-1/sft/rows" in page.lead[1]
    assert {flag for one in page.judgments for flag in one.flags} <= {"right", "wrong", "no verdict", "cut off", "forced"}
    with (run / ".lock-0").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "going on" in page_of(RunFolder(run)).lead[1]


def test_a_set_that_is_half_judged_is_left_out(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shard = copy / "eval" / "M2_DPO" / "known" / "rank-0.jsonl"
    shard.write_text("\n".join(shard.read_text().splitlines()[:-1]) + '\n{"torn')
    assert set(RunFolder(copy).measured["M2_DPO"]) == {"unseen"}
    write_report(copy)


def test_the_command_writes_the_page_and_names_it(run: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(run)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip().replace("\n", "") == str(run / "report.html")
    assert "<h1>Run tiny</h1>" in (run / "report.html").read_text()


@pytest.mark.parametrize("what", ["nothing", "an empty folder", "a torn config", "a bad line"])
def test_what_is_no_run_is_refused_in_one_line(run: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder, said = tmp_path / "run", "is no run folder"
    if what == "an empty folder":
        folder.mkdir()
    elif what != "nothing":
        shutil.copytree(run, folder)
    if what == "a torn config":
        (folder / "config.toml").write_text('name = "')
        said = "is not TOML"
    elif what == "a bad line":
        path = folder / "metrics.jsonl"
        path.write_text("{]\n" + path.read_text())
        said = f"{path}:1 is not JSON"
    assert main([str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    with pytest.raises(UserError):
        report_module.write_report(folder)
