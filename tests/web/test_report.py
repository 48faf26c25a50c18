"""The report in a real Chromium: it opens from a file, filters, shows a judgment, and hostile text stays text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.run import main
from planner.engines.base import Request
from tests.eval_samples import SAMPLES, shown
from tests.test_eval_run import opens
from tests.web.conftest import watch

HOSTILE = (
    "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 2'><svg onload='window.owned = 3'>"
    "<a href='javascript:window.owned = 4'>link</a> ![img](http://127.0.0.1:9/x.png) [md](javascript:window.owned=5) "
    "<iframe srcdoc='<script>parent.owned = 6</script>'></iframe><base href='http://127.0.0.1:9/'><style>body{display:none}</style>"
    "{{ 7 * 7 }} {% raw %} \u2028 \u202e -->\x00"
)


def judge(request: Request, draw: int) -> str:
    """Sometimes right, sometimes flipping, sometimes silent, always hostile."""
    text = request.messages[-1].content
    if "Question 0" in text:
        return f"{HOSTILE} I name nothing."
    if "Question 1" in text:
        return f"{HOSTILE} [[A]]"
    return f"{HOSTILE} " + ("[[A]]" if shown(request)[0].startswith("Right") else "[[B]]")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    data = SAMPLES["judgebench"](folder / "data", 10)
    lines = (
        data.read_text()
        .replace("Question 2", 'Question 2 </script><img src=x onerror=\\"window.owned = 7\\">')
        .replace("mmlu-pro-law", "<b>law</b>")
    )
    data.write_text(lines)
    assert main(["judgebench", "--judge", "</title><script>window.owned = 8</script>", "--data", str(data), "--out", str(folder / "run")], open_judge=opens(judge)) == 0  # fmt: skip
    return folder / "run" / "report.html"


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    """The report, with every complaint and every request of the page noted."""
    opened = watch(browser.new_page(viewport={"width": 1280, "height": 900}))
    opened.goto(report.as_uri())
    yield opened
    opened.close()


def test_it_opens_from_a_file_and_asks_the_network_for_nothing(page: Any, report: Path) -> None:
    assert "JudgeBench" in page.title()
    assert page.locator("section h2").all_inner_texts()[0] == "Scores"
    assert page.locator("table").count() >= 3
    assert page.complaints == []
    assert [url for url in page.asked if not url.startswith("data:")] == [report.as_uri()]
    sizes = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert sizes
    assert all(width > 100 for width in sizes), "the figures are drawn"


def test_it_filters(page: Any) -> None:
    def left() -> int:
        return int(page.locator("#list button").count())

    assert left() == 10
    page.select_option("#flag", "no verdict")
    assert (left(), page.inner_text("#count")) == (1, "1 of 10")
    assert "Question 0" in page.inner_text("#detail")
    page.select_option("#flag", "flipped")
    assert left() == 1
    page.select_option("#flag", "wrong")
    assert left() == 2
    page.select_option("#flag", "")
    page.select_option("#kind", "coding")
    assert left() == 2
    page.select_option("#kind", "")
    page.fill("#words", "question 3")
    assert left() == 1
    page.fill("#words", "no such words")
    assert left() == 0
    assert page.inner_text("#detail") == ""


def test_it_shows_a_judgment(page: Any) -> None:
    page.fill("#words", "question 3")
    detail = page.locator("#detail")
    for heading in ("Instruction", "Response A", "Response B", "As given", "Swapped", "Plan", "Execution", "Verdict"):
        assert detail.get_by_text(heading).count() > 0, heading
    assert "B is better · P(A) 0.20" in detail.inner_text()
    assert "Right 3." in detail.locator(".gold").inner_text()
    first, second = page.locator("#list button").count(), detail.locator("details").count()
    assert (first, second) == (1, 2)
    page.fill("#words", "")
    buttons = page.locator("#list button")
    buttons.nth(4).click()
    assert buttons.nth(4).get_attribute("aria-current") == "true"
    assert page.locator("[aria-current]").count() == 1


def test_hostile_text_is_text(page: Any) -> None:
    for index in range(10):
        page.locator("#list button").nth(index).click()
        for summary in page.locator("#detail summary").all():
            summary.click()
    page.wait_for_timeout(200)
    assert page.evaluate("window.owned") is None
    assert page.complaints == []
    assert page.locator("#detail").locator("img, a, iframe, svg, script, style, base").count() == 0
    assert page.locator("h1").inner_text().endswith("</title><script>window.owned = 8</script>")
    page.fill("#words", "question 3")
    assert "javascript:window.owned = 4" in page.inner_text("#detail")
    assert "{{ 7 * 7 }}" in page.inner_text("#detail")
    assert page.locator("body").is_visible()


def test_a_screenshot_is_legible(page: Any, tmp_path: Path) -> None:
    """Text is large enough, dark on light, and inside the window; nothing lies over anything."""
    page.screenshot(path=str(tmp_path / "report.png"), full_page=True)
    assert (tmp_path / "report.png").stat().st_size > 50_000
    small = page.evaluate(
        """[...document.querySelectorAll('h1, p, td, th, button, label')].filter((node) => node.innerText.trim())
           .map((node) => parseFloat(getComputedStyle(node).fontSize)).filter((size) => size < 12)"""
    )
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing runs out at the side"
    page.set_viewport_size({"width": 420, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "on a phone neither"
