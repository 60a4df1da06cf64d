"""Pictures of every page for the documentation: `make screenshots` (python -m tests.web.pages.screenshots DIR)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

from tests.web.pages.livesite import LiveSite, live_site
from tests.web.pages.pagelist import ARGS, CHROMIUM, pages_of, signed_in

WIDE: Final = (1180, 760)
PHONE: Final = (390, 844)
LIVE_MS: Final = 6_000  # until the live page has something to show
TALLEST: Final = 900  # pixels of a picture


def main() -> int:
    """Take them all."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, live_site(Path(scratch)) as site, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=[*ARGS, "--disable-lcd-text"])
        try:
            _all(browser, site, folder)
        finally:
            browser.close()
    return 0


def _all(browser: Browser, site: LiveSite, folder: Path) -> None:
    page = signed_in(browser, site, "operator", "en", WIDE)
    page.goto(site.url + "/")
    page.wait_for_timeout(LIVE_MS)
    for name, path in [*pages_of(page, site), ("signin", "/signin")]:
        _take(page, site.url + path, folder / f"{name}.png")
    page.context.close()
    page = signed_in(browser, site, "operator", "fr", WIDE, dark=True)
    for name, path in (("now", "/"), ("exposure", "/exposure")):
        _take(page, site.url + path, folder / f"{name}-fr-dark.png")
    page.context.close()
    page = signed_in(browser, site, "operator", "fr", PHONE)
    for name, path in (("now", "/"), ("incident", "/incidents/INC-2")):
        _take(page, site.url + path, folder / f"{name}-phone.png")
    page.context.close()


def _take(page: Page, url: str, file: Path) -> None:
    page.goto(url)
    if url.endswith("/"):
        page.wait_for_timeout(2_500)  # the live page fills up
    high = page.evaluate("document.documentElement.scrollHeight")
    wide = page.viewport_size["width"] if page.viewport_size else WIDE[0]
    clip = {"x": 0, "y": 0, "width": wide, "height": min(high, TALLEST)}
    page.screenshot(path=file, full_page=True, clip=clip)  # type: ignore[arg-type]


if __name__ == "__main__":
    raise SystemExit(main())
