"""A person at a browser: signs in and fails to, filters, opens a call, releases a quarantine, changes the language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.pages.livesite import HOSTILE, SHUT, LiveSite
from tests.web.pages.pagelist import signed_in

pytestmark = pytest.mark.live
PATIENCE: Final = 15_000  # ms
expect.set_options(timeout=PATIENCE)


@pytest.fixture
def faults() -> list[str]:
    """What went wrong in a browser: errors of scripts, what the content policy refused."""
    return []


@pytest.fixture
def operator(live: LiveSite, chromium: Browser, faults: list[str]) -> Iterator[Page]:
    """An operator who signed in, in English."""
    page = signed_in(chromium, live, "operator")
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    page.context.close()
    assert faults == []


def test_signing_in_takes_a_token_and_signing_out_ends_it(live: LiveSite, chromium: Browser) -> None:
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(f"{live.url}/calls?line=2*")
    expect(page).to_have_url(re.compile("/signin"))
    page.get_by_label("Token").fill("sgt_wrong")
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.get_by_label("Token").fill(live.tokens["viewer"])
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{live.url}/calls?line=2*")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{live.url}/signin")
    page.goto(f"{live.url}/calls")
    expect(page).to_have_url(re.compile("/signin"))
    context.close()


def test_filtering_stands_in_the_address_and_opens_a_call(live: LiveSite, operator: Page) -> None:
    operator.goto(f"{live.url}/calls")
    operator.get_by_text("Filter", exact=True).first.click()
    operator.get_by_label("Verdict").select_option("blocked")
    operator.get_by_label("Rule").fill("cli.not-authorised")
    operator.get_by_role("button", name="Show").click()
    expect(operator).to_have_url(re.compile("verdict=blocked"))
    expect(operator).to_have_url(re.compile(r"rule=cli\.not-authorised"))
    rows = operator.locator("tbody tr")
    assert rows.count() >= 2
    expect(rows.locator(".tag")).to_have_text(["blocked"] * rows.count())
    rows.first.get_by_role("link").click()
    expect(operator).to_have_url(re.compile(r"/calls/%23\d+"))
    expect(operator.get_by_role("heading", level=1)).to_contain_text("Call")
    expect(operator.get_by_role("img", name="Messages between pbx, demo and operator")).to_be_visible()
    expect(operator.locator(".finding.decided")).to_contain_text("cli.not-authorised")
    expect(operator.get_by_role("region", name="Money")).to_contain_text("avoided")


def test_what_a_caller_sent_runs_nowhere(live: LiveSite, operator: Page) -> None:
    operator.goto(f"{live.url}/calls?line=209")
    operator.locator("tbody tr th a").first.click()
    shown = HOSTILE.replace("\u202e", "\\u202e")
    expect(operator.get_by_text(shown)).to_be_visible()


def test_the_live_page_moves_by_itself_and_pauses(live: LiveSite, operator: Page) -> None:
    operator.goto(f"{live.url}/")
    expect(operator.locator("#live-state")).to_have_text("live")
    first = operator.locator("#latest tr").first
    before = first.get_attribute("data-seq")
    assert before is not None
    expect(first).not_to_have_attribute("data-seq", before)
    expect(operator.locator("#latest tr")).to_have_count(20)
    expect(operator.locator('[data-f="channels"]').first).not_to_have_text("0")
    fresh = first.get_attribute("data-seq")
    assert fresh is not None
    assert int(fresh) > int(before)
    operator.get_by_role("button", name="Pause").click()
    still = first.get_attribute("data-seq")
    operator.wait_for_timeout(1_000)  # calls come every 0.15 s
    assert first.get_attribute("data-seq") == still
    operator.get_by_role("button", name="Go on").click()
    expect(first).not_to_have_attribute("data-seq", still or "")


def test_without_scripts_the_live_page_comes_anew(live: LiveSite, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False, locale="fr-FR")
    page = context.new_page()
    page.goto(f"{live.url}/signin")
    page.fill("#token", live.tokens["viewer"])
    page.click("main button")
    expect(page.locator("#latest tr").first).to_be_visible()
    assert page.locator('noscript meta[http-equiv="refresh"][content="5"]').count() == 1
    assert "Sans script, cette page se recharge" in "".join(page.locator("noscript").all_text_contents())
    context.close()


def test_the_language_switch_stays_on_the_page(live: LiveSite, operator: Page) -> None:
    operator.goto(f"{live.url}/exposure?by=trunk")
    operator.get_by_role("button", name="Français").click()
    expect(operator).to_have_url(f"{live.url}/exposure?by=trunk")
    expect(operator.get_by_role("heading", level=1)).to_contain_text("Exposition en")
    assert operator.locator("html").get_attribute("lang") == "fr"
    operator.get_by_role("button", name="Sombre").click()
    assert operator.locator("html").get_attribute("data-theme") == "dark"
    ground = operator.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(13, 18, 24)"


def test_the_keyboard_reaches_the_content_first(live: LiveSite, operator: Page) -> None:
    operator.goto(f"{live.url}/lines")
    operator.keyboard.press("Tab")
    skip = operator.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    operator.keyboard.press("Enter")
    expect(operator.locator("main")).to_be_focused()


def test_a_call_is_decided_without_being_placed(live: LiveSite, operator: Page) -> None:
    operator.goto(f"{live.url}/decide")
    operator.get_by_label("Caller (From)").fill("+33145679900")
    operator.get_by_label("Number called").fill("0612345678")
    operator.get_by_role("button", name="Decide").click()
    answer = operator.get_by_role("region", name="Decision")
    expect(answer.locator(".tag").first).to_have_text("blocked")
    expect(answer).to_contain_text("cli.not-authorised")


def test_a_viewer_cannot_release(live: LiveSite, chromium: Browser) -> None:
    page = signed_in(chromium, live, "viewer")
    page.goto(f"{live.url}/incidents/INC-1")
    assert page.get_by_role("button", name="Release").count() == 0
    expect(page.get_by_text("The role “operator” takes steps.")).to_be_visible()
    page.context.close()


def test_an_operator_releases_a_quarantine(live: LiveSite, operator: Page) -> None:
    operator.goto(f"{live.url}/incidents")
    operator.get_by_role("row", name=SHUT).get_by_role("link", name="INC-1").click()
    expect(operator.get_by_text("Shut off until")).to_be_visible()
    operator.get_by_label("What to remember of it").fill("the line is put right")
    operator.get_by_role("button", name="Release").click()
    expect(operator.get_by_role("status")).to_contain_text("Released")
    expect(operator.locator(".head .tag")).to_have_text("released")
    expect(operator.locator(".timeline")).to_contain_text("web/operator")
    operator.get_by_role("link", name="Its calls in the log").click()
    expect(operator.locator("tbody tr").first).to_contain_text("source.quarantined")
    shut = operator.locator("tbody tr").count()
    live.call_from(SHUT)  # the running guard follows within two seconds
    rows = operator.locator("tbody tr")
    for _ in range(20):  # what was let through is on disk within a second
        operator.reload()
        if rows.count() > shut and rows.first.locator(".tag").text_content() == "allowed":
            break
        operator.wait_for_timeout(200)
    expect(rows.first.locator(".tag")).to_have_text("allowed")
