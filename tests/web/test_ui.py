"""`evalplanner ui` in a real Chromium: a comparison streams to a verdict, an edited plan is executed, a vote lands, chains filter.

Once with the embedded model through the command, as a visitor would; all else on a scripted judge, in this process.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planner.engines.base import Request
from planner.engines.scripted import ScriptedEngine
from planner.judge import Judge
from planner.styles.evalplanner import EvalPlannerStyle
from prompts import EXECUTION_END, FINAL_VERDICT, PLAN_END, PLAN_START
from tests.conftest import ROOT
from tests.run_folder import make_run
from tests.web.conftest import shot
from tests.web.test_report import HOSTILE as EVERYTHING
from tests.web.test_run_report import hostile

HOSTILE = EVERYTHING.replace("\x00", "") + " ${window.owned = 20} {{#if 1}}x{{/if}}"


MAY_EXECUTE = threading.Event()
"""Cleared by a test that looks at the plan before there is a verdict."""
MAY_EXECUTE.set()


def script(request: Request, draw: int) -> str:
    """Repeats the instruction, which the tests make hostile, and prefers the response with the word "good"."""
    text = request.messages[-1].content
    if PLAN_END in request.stop:
        time.sleep(0.3)  # so that parts are seen to come one after another
        return f"{PLAN_START}\nLook for goodness. {HOSTILE}\n{PLAN_END}"
    time.sleep(0.3)
    assert MAY_EXECUTE.wait(timeout=60)
    asked = re.search(r"Task \d+", text)
    letter = "A" if text.find("good") < text.find("bad") else "B"
    if "prefer the bad" in request.prefill:
        letter = "B" if letter == "A" else "A"
    return f"Of {asked[0] if asked else 'it'}: {HOSTILE}\n{EXECUTION_END}\n{FINAL_VERDICT}\n[[{letter}]]"


class Served:
    def __init__(self, url: str, votes: Path) -> None:
        self.url, self.votes = url, votes


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from ui.app import launch, page
    from ui.desk import Desk

    folder = tmp_path_factory.mktemp("ui")
    runs = make_run(folder, hostile).parent
    desk = Desk(
        ["scripted"], folder / "votes.jsonl",
        lambda model, style: Judge(ScriptedEngine(script), EvalPlannerStyle(prompt_set="short"), max_tokens=400),
    )  # fmt: skip
    made = page(desk, runs)
    launch(made, host="127.0.0.1", port=free_port(), password=None)
    yield Served(made.local_url, desk.votes)
    made.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def visit(browser: Any, url: str, width: int = 1280, scheme: str = "light") -> Any:
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    opened = context.new_page()
    opened.errors, opened.elsewhere = [], []
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.on("dialog", lambda dialog: opened.errors.append(dialog.message))
    opened.on(
        "request", lambda asked: opened.elsewhere.append(asked.url) if not asked.url.startswith((url, "data:", "blob:")) else None
    )
    opened.goto(url)
    opened.get_by_role("button", name="Judge", exact=True).wait_for()
    return opened


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    opened = visit(browser, served.url)
    yield opened
    opened.context.close()


def fill(page: Any, task: str, a: str, b: str) -> None:
    page.get_by_label("Instruction").fill(task)
    page.get_by_label("Response A", exact=True).fill(a)
    page.get_by_label("Response B", exact=True).fill(b)


def value(page: Any, label: str) -> str:
    """Of the box whose label starts so."""
    return str(page.get_by_label(re.compile(rf"^\s*{re.escape(label)}")).input_value())


def wait_done(page: Any, timeout_s: float = 30) -> None:
    page.wait_for_function(
        "() => [...document.querySelectorAll('textarea, input')].some((box) => /^(done|error)/.test(box.value))",
        timeout=1000 * timeout_s,
    )


def test_a_comparison_streams_to_a_verdict(page: Any) -> None:
    fill(page, f"Task 1 {HOSTILE}", f"good {HOSTILE}", f"bad {HOSTILE}")
    MAY_EXECUTE.clear()
    try:
        page.get_by_role("button", name="Judge", exact=True).click()
        page.wait_for_function(
            "() => [...document.querySelectorAll('textarea')].some((box) => box.value.startsWith('Look for goodness'))"
        )
        assert value(page, "Verdict") == "", "the plan is there before the verdict"
    finally:
        MAY_EXECUTE.set()
    wait_done(page)
    assert re.match(r"response A is better · P\(A\) 0\.80 · both orders agree · [\d,]+ tokens, \d+\.\d s", value(page, "Verdict"))
    assert "→ it said A" in value(page, "Execution, as given")
    assert "→ it said B" in value(page, "Execution, swapped")
    assert page.evaluate("window.owned") is None
    assert page.errors == []


def test_swapping_swaps_and_an_edited_plan_changes_the_execution(page: Any, served: Served) -> None:
    fill(page, "Task 2", "good", "bad")
    page.get_by_role("button", name="Swap the responses").click()
    # Both words stand in a box from the start: swapped is where "bad" comes first.
    page.wait_for_function(
        "() => { const said = [...document.querySelectorAll('textarea')].map((box) => box.value);"
        " return said.indexOf('bad') < said.indexOf('good') }"
    )
    assert (value(page, "Response A"), value(page, "Response B")) == ("bad", "good")
    page.get_by_role("button", name="Judge", exact=True).click()
    wait_done(page)
    assert value(page, "Verdict").startswith("response B is better")
    page.get_by_label("Plan (edit it").fill("I prefer the bad.")
    page.get_by_role("button", name="Execute this plan").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('textarea, input')].some((box) => box.value.startsWith('response A is better'))"
    )
    assert value(page, "Plan (edit it") == "I prefer the bad."
    page.get_by_role("button", name="The verdict is wrong").click()
    page.wait_for_function("() => [...document.querySelectorAll('textarea, input')].some((box) => box.value.startsWith('kept in'))")
    row = json.loads(served.votes.read_text().splitlines()[-1])
    assert (row["instruction"], row["chosen"], row["rejected"]) == ("Task 2", "good", "bad")
    kept = served.votes.read_text()
    page.get_by_role("button", name="The verdict is wrong").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('textarea, input')].some((box) => box.value.startsWith('nothing is judged'))"
    )
    assert served.votes.read_text() == kept, "a second click is no second label"


def test_what_the_visitor_can_mend_is_said(page: Any) -> None:
    page.get_by_role("button", name="The verdict is right").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('textarea, input')].some((box) => box.value.startsWith('nothing is judged'))"
    )
    page.get_by_role("button", name="Execute this plan").click()
    wait_done(page)
    assert value(page, "State") == "error: the plan is empty"
    fill(page, "Task 2", "good", "")
    page.get_by_role("button", name="Judge", exact=True).click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('textarea, input')].some((box) => box.value.startsWith('error: two responses'))"
    )


def test_more_than_two_responses_are_ranked(page: Any) -> None:
    fill(page, "Task 3", "bad", "bad too")
    page.get_by_role("button", name="A reference, and more responses").click()
    page.get_by_label("Response C").fill("good")
    page.get_by_role("button", name="Judge", exact=True).click()
    wait_done(page)
    assert value(page, "Verdict") == "the best of 3 is response C"
    assert re.match(r"1\. response C · reward 0\.\d\d · good\n2\. response A", value(page, "Ranking"))


def test_two_browsers_at_once_do_not_mix_their_results(browser: Any, served: Served) -> None:
    pages = [visit(browser, served.url) for _ in range(2)]
    for number, page in enumerate(pages):
        fill(page, f"Task 4{number}", *(("good", "bad") if number == 0 else ("bad", "good")))
    for page in pages:
        page.get_by_role("button", name="Judge", exact=True).click()
    for page in pages:
        wait_done(page)
    assert value(pages[0], "Verdict").startswith("response A is better")
    assert value(pages[1], "Verdict").startswith("response B is better")
    for number, page in enumerate(pages):
        for label in ("Execution, as given", "Execution, swapped"):
            assert f"Of Task 4{number}:" in value(page, label)
        page.get_by_role("button", name="The verdict is right").click()
        page.wait_for_function(
            "() => [...document.querySelectorAll('textarea, input')].some((box) => box.value.startsWith('kept in'))"
        )
        assert json.loads(served.votes.read_text().splitlines()[-1])["instruction"] == f"Task 4{number}"
        page.context.close()


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_the_chain_browser_filters_and_marks_differences(page: Any, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Chains").click()
    show = page.get_by_role("button", name="Show", exact=True)
    show.click()
    page.wait_for_function("() => document.querySelector('.look')")
    everything = int(value(page, "Found").split()[0])
    choose(page, "Outcome", "wrong")
    show.click()
    page.wait_for_function(
        f"() => [...document.querySelectorAll('textarea, input')].every((box) => box.value !== '{everything} chains')"
    )
    assert 0 < int(value(page, "Found").split()[0]) < everything
    assert "wrong · it said" in page.inner_text(".look")
    choose(page, "Outcome", "any")
    page.get_by_label("A right and a wrong execution").check()
    show.click()
    page.wait_for_function("() => document.querySelector('.look mark')")
    assert page.locator(".look section").count() == 2
    assert "onerror" in page.inner_text(".look"), "hostile text is there, as text"
    assert page.locator(".look").locator("img, a, iframe, svg, script, style, base").count() == 0
    assert page.evaluate("window.owned") is None
    assert page.errors == []


def test_a_run_is_watched(page: Any) -> None:
    page.get_by_role("tab", name="Run").click()
    page.get_by_role("button", name="Refresh").click()
    page.wait_for_function("() => document.querySelectorAll('figure img').length === 4")
    assert "tiny is finished." in page.inner_text("body")
    assert page.evaluate("[...document.querySelectorAll('figure img')].every((image) => image.naturalWidth > 100)")
    assert page.evaluate("window.owned") is None


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def test_it_is_legible_and_has_no_serious_fault(
    browser: Any, served: Served, faults: Any, width: int, scheme: str, tmp_path: Path
) -> None:
    page = visit(browser, served.url, width, scheme)
    fill(page, "Task 5", "good", "bad")
    page.get_by_role("button", name="Judge", exact=True).click()
    wait_done(page)
    found: dict[str, list[str]] = {}
    for tab in ("Judge", "Chains", "Run"):
        page.get_by_role("tab", name=tab).click()
        if tab != "Judge":
            page.get_by_role("button", name="Show" if tab == "Chains" else "Refresh", exact=True).click()
            page.wait_for_function(f"() => document.querySelector('{'.look' if tab == 'Chains' else 'figure img'}')")
        page.wait_for_timeout(500)
        shot(page, f"ui-{tab.lower()}-{width}", tmp_path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{tab} runs out at the side"
        found |= faults(page)
    assert found == {}, "in gradio's own markup neither, as of 6.31"
    page.context.close()


def test_keys_alone_judge(page: Any) -> None:
    page.get_by_label("Instruction").focus()
    page.keyboard.type("Task 6")
    page.keyboard.press("Tab")
    page.keyboard.type("good")
    page.keyboard.press("Tab")
    page.keyboard.type("bad")
    button = page.get_by_role("button", name="Judge", exact=True)
    for _ in range(4):
        page.keyboard.press("Tab")
        if button.evaluate("(node) => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    wait_done(page)
    assert value(page, "Verdict").startswith("response A is better")


def test_nothing_is_asked_of_other_machines(page: Any) -> None:
    page.wait_for_timeout(500)
    assert page.elsewhere == []


def test_with_a_password_nothing_is_told_without_it(browser: Any, tmp_path: Path) -> None:
    from ui.app import launch, page
    from ui.desk import Desk

    made = page(Desk(["scripted"], tmp_path / "v.jsonl", lambda model, style: pytest.fail("opened")), tmp_path)
    launch(made, host="127.0.0.1", port=free_port(), password="secret")
    opened = browser.new_page()
    opened.goto(made.local_url)
    assert opened.evaluate("fetch('config').then((answer) => answer.status)") == 401
    opened.get_by_label("username").fill("evalplanner")
    opened.get_by_label("password").fill("wrong")
    opened.get_by_role("button", name="Login").click()
    opened.get_by_text("Incorrect").first.wait_for()
    opened.get_by_label("username").fill("evalplanner")  # a refusal empties it
    opened.get_by_label("password").fill("secret")
    opened.get_by_role("button", name="Login").click()
    opened.get_by_role("button", name="Judge", exact=True).wait_for()
    opened.close()
    made.close()


# -- with the embedded judge, through the command ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("command"), free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "ui", "--judge", "embedded", "--runs", str(folder), "--votes", str(folder / "v.jsonl"),
         "--port", str(port)],
        stdout=subprocess.PIPE, stderr=(folder / "stderr").open("w"), text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    timer = threading.Timer(180, process.kill)
    timer.start()
    line = process.stdout.readline().strip()
    timer.cancel()
    assert line == f"http://127.0.0.1:{port}", (folder / "stderr").read_text()[-2000:]
    yield line
    process.terminate()
    process.wait(30)


def test_the_embedded_model_judges_end_to_end(browser: Any, command: str) -> None:
    page = visit(browser, command)
    choose(page, "Style", "evalplanner-short")
    page.get_by_label("Longest answer (tokens)").fill("48")
    fill(page, "Name a river in France.", "The Loire.", "The Alps are mountains.")
    page.get_by_role("button", name="Judge", exact=True).click()
    wait_done(page, 240)
    assert value(page, "State") == "done"
    first = value(page, "Verdict")
    assert re.match(
        r"(response [AB] is better|no verdict|a tie) · P\(A\) (0\.\d\d|1\.00|unknown) · (both orders agree|the orders disagree) · [\d,]+ tokens",
        first,
    )
    before = value(page, "Execution, as given")
    page.get_by_label("Plan (edit it").fill("Check that the answer names a river. Count the words.")
    page.get_by_role("button", name="Execute this plan").click()
    page.wait_for_function(
        "(old) => [...document.querySelectorAll('textarea')].some((box) => /→ it said/.test(box.value)) && ![...document.querySelectorAll('textarea')].some((box) => box.value === old)",
        arg=before,
        timeout=120_000,
    )
    wait_done(page, 120)
    assert value(page, "Execution, as given") != before
    page.context.close()
