"""The report of a run in a real Chromium: it opens from disk without a network, on a desk and on a phone, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planner.engines.base import Request
from planner.engines.scripted import default_script
from tests.run_folder import make_run
from tests.web.conftest import shot, watch
from tests.web.test_report import HOSTILE
from ui.report import write_report


def hostile(request: Request, draw: int) -> str:
    """As the default script, with something nasty in every text."""
    return default_script(request, draw).replace(".", f". {HOSTILE.replace(chr(0), '')} ", 1)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_run(tmp_path_factory.mktemp("run"), hostile))


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def page(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    width, scheme = request.param
    # No network: an offline browser cannot be saved by one.
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    opened = watch(context.new_page())
    opened.goto(report.as_uri())
    yield opened
    context.close()


def test_it_opens_from_disk_without_a_network(page: Any, report: Path) -> None:
    assert page.title() == "Run tiny"
    assert page.locator("section h2").count() == 17
    assert [url for url in page.asked if not url.startswith("data:")] == [report.as_uri()]
    assert page.complaints == []
    images = page.evaluate("[...document.images].map((image) => [image.naturalWidth, image.alt])")
    assert len(images) == 9
    assert all(width > 100 and alt for width, alt in images)


def test_examples_filter_and_hostile_text_is_text(page: Any) -> None:
    page.select_option("#flag", "seed wrong")
    left = page.locator("#list button").count()
    assert page.inner_text("#count") == f"{left} of 16"
    for index in range(left):
        page.locator("#list button").nth(index).click()
        for summary in page.locator("#detail summary").all():
            summary.click()
    assert "onerror" in page.inner_text("#detail")
    assert page.evaluate("window.owned") is None
    assert page.complaints == []
    assert page.locator("#detail").locator("img, a, iframe, svg, script, style, base").count() == 0


def test_it_is_legible_and_has_no_serious_fault(page: Any, faults: Any, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    assert shot(page, f"run-report-{name}", tmp_path).stat().st_size > 50_000
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing runs out at the side"
    assert faults(page) == {}


def test_keys_alone_reach_the_examples(page: Any) -> None:
    page.locator("#list button").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#list button").nth(1).get_attribute("aria-current") == "true"
