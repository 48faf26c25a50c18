"""A real headless Chromium, the system's own (Debian: `apt-get install chromium npm`), driven by playwright's Python package.

Collected only under `make test-web`, which says `EVALPLANNER_WEB=1`: other test runs need no browser. It also lays axe-core beside these
tests, from tests/web/package-lock.json: `npm ci --prefix tests/web`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if os.environ.get("EVALPLANNER_WEB") else ["test_*.py"]

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = os.environ.get("EVALPLANNER_SHOTS")
"""A folder to keep screenshots in, for people to look at."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        pytest.fail("no chromium on the path: apt-get install chromium")
    with sync_playwright() as driver:
        # As root, as in a container, Chromium's own sandbox cannot start.
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield started
        started.close()


@pytest.fixture(scope="session")
def faults() -> Callable[[Any], dict[str, list[str]]]:
    """Serious and critical accessibility faults of a page: the elements (as HTML) by axe-core's rule."""
    if not AXE.is_file():
        pytest.fail("no axe-core: npm ci --prefix tests/web")
    source = AXE.read_text()

    def of(page: Any) -> dict[str, list[str]]:
        # Not as a script element, which our pages' own policy would refuse.
        page.evaluate(source)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)")
        return {one["id"]: [node["html"] for node in one["nodes"]] for one in found if one["impact"] in ("serious", "critical")}

    return of


def watch(page: Any) -> Any:
    """Have every complaint and every request of a page noted, in `complaints` and `asked`."""
    page.complaints, page.asked = [], []
    page.on("console", lambda said: page.complaints.append(said.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda asked: page.asked.append(asked.url))
    return page


def shot(page: Any, name: str, folder: Path) -> Path:
    """A whole page as a picture; kept where EVALPLANNER_SHOTS says."""
    path = Path(SHOTS or folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(path), full_page=True)
    return path
