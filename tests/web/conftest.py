"""A real headless Chromium, the system's own (Debian: `apt-get install chromium`), driven by playwright's Python package.

Collected only under `make test-web`, which says `EVALPLANNER_WEB=1`: other test runs need no browser.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

collect_ignore_glob = [] if os.environ.get("EVALPLANNER_WEB") else ["test_*.py"]


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
