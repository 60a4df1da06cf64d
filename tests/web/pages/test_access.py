"""Nobody is shut out: axe finds no serious fault on any page, in either theme, on a desk or a phone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.web.pages.livesite import LiveSite
from tests.web.pages.pagelist import pages_of, signed_in

pytestmark = pytest.mark.live
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
BRIEF = {"resultTypes": ["violations"]}  # of what is right only that it is: less to put together
WHOLE = {**BRIEF, "runOnly": {"type": "tag", "values": TAGS}}
SEEN = ["color-contrast", "scrollable-region-focusable", "target-size"]
LOOKS = {**BRIEF, "runOnly": {"type": "rule", "values": SEEN}}


@pytest.mark.parametrize(
    ("lang", "dark", "size", "rules"),
    [("en", False, (1280, 800), WHOLE), ("fr", True, (390, 844), LOOKS)],
    ids=["light on a desk", "dark on a phone"],
)
def test_axe_finds_no_serious_fault(
    live: LiveSite, chromium: Browser, lang: str, dark: bool, size: tuple[int, int], rules: dict[str, object]
) -> None:
    """Of the dark theme what a theme and a size change: contrast, what scrolls, how large a finger's target is."""
    page = signed_in(chromium, live, "privacy", lang, size, dark=dark)
    axe = Axe()
    found: list[str] = []
    for _, path in [*pages_of(page, live), ("signin", "/signin"), ("subjects", "/subjects")]:
        page.goto(live.url + path, wait_until="domcontentloaded")
        if path == "/subjects":
            page.fill("#p-number", "+33899123456")
            page.click('main button[value="look"]')
            page.wait_for_selector("#p-reason")
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            found.append(f"{path}: wider than the screen by {wide} px")
        for fault in axe.run(page, options=rules).response["violations"]:
            if fault["impact"] in {"serious", "critical", "moderate"}:
                where = "; ".join(node["html"][:160] for node in fault["nodes"][:3])
                found.append(f"{path}: {fault['id']}: {fault['help']}: {where}")
    page.context.close()
    assert not found, "\n".join(found)
