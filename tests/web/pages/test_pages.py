"""Pages as they come out: in both languages, escaped, masked, with their JSON; what is wrong is told in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from msgspec.structs import replace

from guard.ledger.incidents import Event, Quarantine
from guard.store.books import Books
from guard.web.data.exposure import Group
from guard.web.data.now import NowView, Standing
from guard.web.pages.common import local, preferred
from guard.web.pages.now import now_html
from guard.web.pages.view import View
from guard.web.roles import Role
from guard.web.words import LANGS, Lang
from tests.store.making import AT, CALLEE, CALLER, SECOND, attempt, decision, ended, finding
from tests.store.making_log import write
from tests.web.rig import Served, serving
from tests.web.some_figures import SOME

HOSTILE = "\"><script>alert('x')</script>\u202e{{7*7}}&amp;"
PAGES = (
    "/",
    "/calls",
    "/calls?all=true&line=200",
    "/calls/%231",
    "/calls/%235",
    "/lines",
    "/lines/200",
    "/incidents",
    "/incidents?all=true",
    "/incidents/INC-1",
    "/incidents/INC-2",
    "/exposure",
    "/exposure?by=number",
    "/exposure?by=day&month=2026-02",
    "/policies",
    "/policies?at=2026-12-01",
    "/decide",
    "/decide?caller=%2B33145678901&callee=0612345678",
    "/decide?caller=%2B33145670000&callee=0612345678",
    "/subjects",
    "/signin",
)


def hostile_calls(path: Path) -> None:
    """Calls of every verdict and end, and one in which everything that a caller chooses is hostile."""
    odd = attempt(2, caller="", callee=CALLEE, line=HOSTILE, call_id=f"a/b//{HOSTILE}")
    odd = replace(odd, user_agent=HOSTILE, headers=(("x-tenant", HOSTILE),), source_address="192.0.2.5")
    premium = finding("cli.premium")
    facts = replace(premium, facts={"presented": HOSTILE, "count": 3})
    masked = decision("masked", finding("cli.premium", "mask"), presented="+33145678999", masked=True)
    trial = finding("cli.mobile-on-trunk", "block", "monitor")
    write(
        path,
        [
            (attempt(0), decision(), ended()),
            (attempt(1, at=AT + SECOND), masked, ended("cancelled")),
            (replace(odd, at=AT + 2 * SECOND), decision("blocked", facts), ended("blocked")),
            (attempt(3, at=AT + 3 * SECOND), decision("flagged", trial, held_us=1_500_000), ended("failed")),
            (attempt(4, at=AT + 4 * SECOND), decision()),
        ],
    )


def books(served: Served) -> None:
    """A line that is shut off, and a number with a question of the operator."""
    at = AT + 10 * SECOND
    shut = Quarantine(kind="line", subject="pbx/200", until=at + 3_600 * SECOND, at=at)
    first = Event(
        step="open", at=at, written=at, subject_kind="line", subject="pbx/200", trunk="operator", text=HOSTILE,
        quarantine=shut,
    )  # fmt: skip
    second = Event(step="open", at=at, written=at, subject=CALLER, trunk="operator", rule="cli.premium")
    with Books(served.room.store, served.room.zone) as found:
        found.open(first)
        number = found.open(second).id
        found.step(Event(step="notify", at=at, written=at, incident=number, letter="question", who="ops"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A dashboard of such a log."""
    folder = tmp_path_factory.mktemp("pages")
    hostile_calls(folder / "guard.db")
    with serving(folder, calls=0) as found:
        books(found)
        yield found


@contextmanager
def browser(served: Served, *roles: Role, lang: str = "en") -> Iterator[httpx.Client]:
    """A browser that signed in."""
    with served.client(**{"Accept-Language": lang, "Accept": "text/html"}) as client:
        token = served.token(*roles)
        done = client.post("/signin", data={"csrf": csrf_of(client.get("/signin")), "token": token, "next": "/"})
        assert (done.status_code, done.headers["location"]) == (303, "/")
        yield client


def csrf_of(page: httpx.Response) -> str:
    """What the forms of a page send back."""
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


class Reads(HTMLParser):
    """What stands in a page: elements with their attributes, and its text."""

    VOID = frozenset({"meta", "link", "input", "br", "rect", "line", "polygon", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag}: an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("lang", LANGS)
def test_every_page_is_whole_in_both_languages_and_strict(served: Served, path: str, lang: str) -> None:
    with browser(served, "privacy", "operator", lang=lang) as client:
        found = client.get(path)
    assert found.status_code == 200
    assert "script-src" not in found.headers["content-security-policy"]  # all of it falls under default-src 'self'
    page = Reads(found.text)
    assert page.open == []
    assert page.all("html")[0]["lang"] == lang
    assert len(page.all("h1")) == len(page.all("main")) == 1
    for _tag, attrs in page.elements:
        assert "style" not in attrs
        assert not [name for name in attrs if name.startswith("on")]
    assert all("src" in attrs for attrs in page.all("script"))
    ids = [str(attrs["id"]) for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for attrs in page.all("table"):
        assert attrs is not None
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in attrs for attrs in page.all("th"))
    fields = [
        a for t in ("input", "select", "textarea") for a in page.all(t) if a.get("type") not in {"hidden", "checkbox"}
    ]
    labels = {a.get("for") for a in page.all("label")}
    assert {a["id"] for a in fields} <= labels


@pytest.mark.parametrize("path", [p for p in PAGES if p not in {"/decide", "/signin", "/subjects"}])
def test_every_page_has_its_json(served: Served, path: str) -> None:
    with browser(served, "viewer") as client:
        page = Reads(client.get(path).text)
        (link,) = [a for a in page.all("a") if a.get("type") == "application/json"]
        found = client.get(str(link["href"]))
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("application/json")
    assert isinstance(found.json(), dict)


@pytest.mark.parametrize("path", PAGES)
def test_what_callers_choose_is_text_and_nothing_else(served: Served, path: str) -> None:
    with browser(served, "privacy") as client:
        found = client.get(path)
    assert "<script>alert" not in found.text
    assert "\u202e" not in found.text
    page = Reads(found.text)
    assert [a for a in page.all("script") if not str(a["src"]).startswith("/static/live.js")] == []
    if path == "/calls/%235":
        assert page.text.count("<script>alert('x')</script>\\u202e{{7*7}}&amp;") >= 4
        assert "49" not in re.findall(r"\{\{|\b49\b", page.text)


def test_numbers_are_masked_but_for_who_may_see_them(served: Served) -> None:
    for path in PAGES:
        with browser(served, "viewer", "operator") as client:
            text = client.get(path).text
        assert "Numbers are shown in full" not in text
        if "/decide?" not in path:  # there stands what the reader typed
            assert not re.search(r"(?<![0-9*])\+?(33|0)145678900(?![0-9])", text), path
            assert "612345678" not in text, path
    with browser(served, "privacy") as client:
        assert CALLER in client.get("/calls").text
        assert "Numbers are shown in full" in client.get("/calls").text
        assert CALLER not in client.get("/calls?numbers=masked").text


def test_who_reads_in_full_is_noted_by_page_and_filter_not_by_number(served: Served) -> None:
    notes = Path(served.room.store + "-access")
    before = notes.stat().st_size if notes.exists() else 0
    with browser(served, "viewer") as client:
        client.get("/calls?caller=0145678900")
    assert (notes.stat().st_size if notes.exists() else 0) == before
    with browser(served, "privacy") as client:
        client.get("/calls?caller=0145678900")
    added = notes.read_text()[before:]
    assert '"caller"' in added
    assert "45678900" not in added


def test_nobody_sees_a_page_without_a_token(served: Served) -> None:
    with served.client() as client:
        for path in PAGES:
            found = client.get(path)
            if path != "/signin":
                assert found.status_code == 303
                assert found.headers["location"].startswith("/signin?next=%2F")
        found = client.get("/calls?line=2%2a")
        assert found.headers["location"] == "/signin?next=%2Fcalls%3Fline%3D2%252a"


def test_a_wrong_token_is_told_in_the_readers_language(served: Served) -> None:
    with served.client(**{"Accept-Language": "fr-FR,fr;q=0.9,en;q=0.5"}) as client:
        csrf = csrf_of(client.get("/signin"))
        found = client.post("/signin", data={"csrf": csrf, "token": "sgt_nothing", "next": "/calls"})
    assert found.status_code == 401
    assert "Ce jeton n’est pas valide" in found.text
    assert 'role="alert"' in found.text
    assert 'value="/calls"' in found.text


def test_after_signing_in_nobody_is_sent_elsewhere() -> None:
    assert local("/calls?line=2") == "/calls?line=2"
    for path in (
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "evil",
        "",
        "/a\nb",
        "/é",
        "/" + "a" * 3_000,
    ):
        assert local(path) == "/"


def test_the_language_is_the_readers_choice_then_the_browsers(served: Served) -> None:
    assert preferred("") == "en"
    assert preferred("de, fr;q=0.8, en;q=0.5") == "fr"
    assert preferred("en-GB,en;q=0.9,fr;q=0.8") == "en"
    assert preferred("fr;q=nonsense, en;q=0.1") == "en"
    assert preferred("fr;q=0") == "en"
    with browser(served, "viewer", lang="en") as client:
        csrf = csrf_of(client.get("/calls"))
        form = {"csrf": csrf, "lang": "fr", "next": "/calls?line=2"}
        done = client.post("/preferences", data=form)
        assert (done.status_code, done.headers["location"]) == (303, "/calls?line=2")
        assert '<html lang="fr">' in client.get("/calls").text
        client.post("/preferences", data={"csrf": csrf, "theme": "dark"})
        assert '<html lang="fr" data-theme="dark">' in client.get("/calls").text
        client.post("/preferences", data={"csrf": csrf, "theme": "<b>", "lang": "xx"})
        assert '<html lang="fr" data-theme="dark">' in client.get("/calls").text


def test_filters_that_mean_nothing_are_told_beside_the_field(served: Served) -> None:
    with browser(served, "viewer", lang="fr") as client:
        found = client.get("/calls?rule=cli.premum&line=2*")
        assert found.status_code == 400
        assert "aucune règle de ce nom\u00a0; vouliez-vous dire «\u00a0cli.premium\u00a0»\u00a0?" in found.text
        assert 'value="2*"' in found.text
        for asked in ("since=tomorrowish", "verdict=green", "trunk=elsewhere", "since=2026-11-21&until=2026-11-20",
                      "before=x", "before=1&after=2", "caller=" + "1" * 300):  # fmt: skip
            bad = client.get(f"/calls?{asked}")
            assert bad.status_code == 400, asked
            assert 'class="wrong"' in bad.text or "before" in asked, asked
        assert client.get("/exposure?month=13").status_code == 400
        assert client.get("/policies?at=never").status_code == 400
        assert client.get("/decide?callee=1&source=nobody").status_code == 400


def test_pages_of_the_log_go_on_by_cursor_and_come_back(tmp_path: Path) -> None:
    with serving(tmp_path, calls=120) as served, browser(served, "viewer") as client:
        path, seen = "/calls?all=true", []
        for _ in range(3):
            page = Reads(client.get(path).text)
            rows = [a["data-seq"] for a in page.all("tr") if "data-seq" in a]
            seen += rows
            links = {str(a.get("rel")): str(a["href"]) for a in page.all("a") if a.get("rel") in {"prev", "next"}}
            path = links.get("next", "")
            assert ("prev" in links) == (len(seen) > 50)
        assert len(seen) == len(set(seen)) == 120
        assert path == ""
        back = Reads(client.get(links["prev"]).text)
        assert [a["data-seq"] for a in back.all("tr") if "data-seq" in a] == seen[50:100]


def test_steps_are_taken_by_operators_from_our_own_form_only(tmp_path: Path) -> None:
    hostile_calls(tmp_path / "guard.db")
    with serving(tmp_path, calls=0) as served:
        books(served)
        with browser(served, "viewer") as client:
            form = {"csrf": csrf_of(client.get("/incidents/INC-1")), "step": "release"}
            refused = client.post("/incidents/INC-1", data=form)
            assert refused.status_code == 403
            assert "no role that allows this" in refused.text
        with browser(served, "operator", lang="fr") as client:
            foreign = client.post("/incidents/INC-1", data={"csrf": "x", "step": "release"})
            assert foreign.status_code == 403
            assert "Ce formulaire ne vient pas de cette page" in foreign.text
            form = {"csrf": csrf_of(client.get("/incidents/INC-1"))}
            for more, told in (
                ({"step": "notify"}, "Choisissez de quel courrier"),
                ({"step": "note", "at": "2030-01-01"}, "pas encore passée"),
                ({"step": "note", "at": "soonish"}, "pas comprise"),
                ({"step": "note", "text": "x" * 2_001}, "dépasse 2000 caractères"),
            ):
                wrong = client.post("/incidents/INC-1", data=form | more)
                assert wrong.status_code == 400
                assert told in wrong.text
                assert 'role="alert"' in wrong.text
            assert client.post("/incidents/INC-1", data=form | {"step": "explode"}).status_code == 400
            assert client.post("/incidents/INC-99", data=form | {"step": "note"}).status_code == 404
            unasked = client.post("/incidents/INC-1", data=form | {"step": "answer"})
            assert (unasked.status_code, "aucun courrier n’est arrivé" in unasked.text) == (409, True)
            done = client.post("/incidents/INC-1", data=form | {"step": "release", "text": HOSTILE})
            assert (done.status_code, done.headers["location"]) == (303, "/incidents/INC-1?done=release")
            page = client.get(done.headers["location"]).text
            assert "Quarantaine levée" in page
            assert "<script>alert" not in page
            again = client.post("/incidents/INC-1", data=form | {"step": "release"})
            assert again.status_code == 409
            assert "Action impossible\u00a0: l’incident est levé." in again.text
            early = client.post("/incidents/INC-2", data=form | {"step": "resolve", "at": "2026-01-01"})
            assert "elle précéderait l’ouverture" in early.text
            assert (early.status_code, "it cannot" in early.text, "cannot" in again.text) == (409, False, False)


def test_without_the_daemon_the_log_is_still_shown(served: Served) -> None:
    with browser(served, "viewer") as client:
        page = client.get("/").text
    assert "The daemon does not answer" in page
    assert page.count("data-seq=") == 5


@pytest.mark.parametrize("lang", LANGS)
def test_the_running_guards_figures_stand_on_the_live_page(lang: Lang) -> None:
    none = Group(key="total", calls=0, numbers=0, accrued_microeuros=0, avoided_microeuros=2_500_050_000)
    standing = Standing(at=AT, incidents=3, missed=1, shut_off=2, next_due=None, month="2026-11", total=none)
    view = View(lang=lang, zone=ZoneInfo("Europe/Paris"), now=AT)
    page = Reads(str(now_html(view, NowView(figures=SOME, away="", standing=standing), ()).content))
    spans = [a for _, a in page.elements if a.get("data-f") == "trunk-0-cps"]
    assert len(spans) == 1
    words = json.loads(str(next(a for a in page.all("tbody") if a.get("id") == "latest")["data-words"]))
    assert words["verdict.blocked"] == {"en": "blocked", "fr": "bloqué"}[lang]
    assert {"en": "€2,500.05", "fr": "2\u202f500,05\u00a0€"}[lang] in page.text


def test_a_call_is_found_by_its_call_id_whatever_stands_in_it(served: Served) -> None:
    with browser(served, "viewer") as client:
        found = client.get(httpx.URL(served.url, raw_path=b"/calls/a%2Fb%2F%2F" + _quoted(HOSTILE)))
        assert found.status_code == 200
        assert "Call 5" in found.text or "cli.premium" in found.text
        assert client.get("/calls/nobody").status_code == 404
        assert client.get("/lines/nobody").status_code == 404
        assert client.get("/incidents/INC-99").status_code == 404
        assert client.get("/incidents/x").status_code == 404


def _quoted(text: str) -> bytes:
    return "".join(f"%{b:02X}" for b in text.encode()).encode()
