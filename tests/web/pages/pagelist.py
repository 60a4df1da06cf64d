"""Every page, and a browser that signed in: shared by the browser tests and the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.web.pages.livesite import LiveSite

CHROMIUM: Final = "/usr/bin/chromium"
ARGS: Final = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
DECIDED: Final = "/decide?caller=%2B33892681234&callee=0612345678&line=200"


def pages_of(page: Page, site: LiveSite) -> list[tuple[str, str]]:
    """The name and the path of every page; `page` is a browser's that signed in, to find a call by."""
    page.goto(f"{site.url}/calls?verdict=blocked&rule=cli.*")
    call = page.locator("tbody th a").first.get_attribute("href")
    assert call is not None
    return [
        ("now", "/"),
        ("calls", "/calls"),
        ("calls-filtered", "/calls?verdict=blocked&rule=cli.*&since=1h"),
        ("call", call),
        ("lines", "/lines"),
        ("line", "/lines/201"),
        ("incidents", "/incidents"),
        ("incident", "/incidents/INC-2"),
        ("quarantine", "/incidents/INC-1"),
        ("exposure", "/exposure"),
        ("policies", "/policies"),
        ("decide", DECIDED),
        ("error", "/calls/nobody"),
    ]


def signed_in(
    browser: Browser,
    site: LiveSite,
    role: str,
    lang: str = "en",
    size: tuple[int, int] = (1280, 800),
    *,
    dark: bool = False,
) -> Page:
    """A new browser window of a reader with that role."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        locale="fr-FR" if lang == "fr" else "en-GB",
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(f"{site.url}/signin")
    page.fill("#token", site.tokens[role])
    page.click("main button")
    page.wait_for_url(f"{site.url}/")
    return page
