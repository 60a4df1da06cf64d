"""One guard under traffic and one browser for all the tests that drive its pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.web.pages.livesite import LiveSite, live_site
from tests.web.pages.pagelist import ARGS, CHROMIUM


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    """The site."""
    with live_site(tmp_path_factory.mktemp("live")) as found:
        yield found


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The browser; ended with this folder: while it is there, its loop runs in this thread, and no other can."""
    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield found
        found.close()
