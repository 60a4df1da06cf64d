"""What masks hide is not found out by asking for it: filters, lines and pages of who sees numbers masked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from guard.web.hidden import visible
from guard.web.roles import Role
from tests.store.making import AT, SECOND, attempt, decision, finding
from tests.store.making_log import write
from tests.web.pages.test_pages import browser
from tests.web.rig import Served, serving

LINE = "0145678912"  # a line whose name is its number
CALLS = "/api/v1/calls?all=true&"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A log of four calls: two of a line that is named by its number, two of line 200."""
    folder = tmp_path_factory.mktemp("hidden")
    made = [
        (attempt(n, at=AT + n * SECOND, line=LINE if n < 2 else "200"), decision("blocked", finding("cli.premium")))
        for n in range(4)
    ]
    write(folder / "guard.db", made)
    with serving(folder, calls=0) as found:
        yield found


@pytest.mark.parametrize(
    ("field", "word", "sees"),
    [
        ("caller", "+3314567*", True),  # +3314567****
        ("caller", "+33145678*", False),
        ("caller", "+33145678900", False),
        ("callee", "+59059012*", True),
        ("callee", "+590590123*", False),
        ("callee", "+447*", True),  # nobody knows how long the number is
        ("callee", "+4478*", False),
        ("caller", "3949", True),  # a service, which no mask hides
        ("caller", "anonymous", True),
        ("callee", "*", True),
        ("line", "200", True),
        ("line", "2*", True),
        ("line", "0145*", False),  # no line's length is known
        ("line", LINE, False),
        ("line", "desk-2*", True),
    ],
)
def test_what_a_mask_shows_may_be_asked_for(field: str, word: str, sees: bool) -> None:
    assert visible(field, word) is sees  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["viewer", "operator"])
@pytest.mark.parametrize("query", ["caller=0145678900", "caller=01456789*", "callee=0612345678", f"line={LINE}"])
def test_a_number_cannot_be_guessed_through_its_mask(served: Served, role: Role, query: str) -> None:
    with served.client(role) as client:
        answer = client.get(CALLS + query)
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert "takes the role privacy" in answer.json()["detail"]
        assert [e["field"] for e in answer.json()["errors"]] == [query.partition("=")[0]]
        assert len(client.get(CALLS + "caller=014567*").json()["calls"]) == 4
    with served.client("privacy") as client:
        assert client.get(CALLS + query).status_code == 200
        told = client.get(f"{CALLS}{query}&numbers=masked")  # else numbers would be read that no access log notes
        assert told.status_code == 403
        assert "numbers=full" in told.json()["detail"]


def test_a_call_names_its_caller_and_line_for_who_sees_masks(served: Served) -> None:
    with served.client("viewer") as client:
        seqs = {c["line"]: c["seq"] for c in client.get(CALLS).json()["calls"]}
        masked = next(name for name in seqs if "*" in name)
        found = client.get(f"{CALLS}line=%23{seqs[masked]}").json()["calls"]
        assert [c["line"] for c in found] == [masked, masked]
        assert len(client.get(f"{CALLS}caller=%23{seqs['200']}").json()["calls"]) == 4
        wrong = client.get(f"{CALLS}line=%23999")
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "line")
        line = client.get(f"/api/v1/lines/%23{seqs[masked]}").json()
        assert (line["line"], len(line["calls"])) == (masked, 2)
        assert client.get(f"/api/v1/lines/%23{line['record']}").json() == line
        assert client.get(f"/api/v1/lines/{LINE}").status_code == 403
        assert client.get("/api/v1/lines/0145678913").status_code == 403  # one that there is not: no difference
        assert client.get("/api/v1/lines/%23999").status_code == 404
    with served.client("privacy") as client:
        assert client.get(f"/api/v1/lines/{LINE}").json()["line"] == LINE


def test_pages_link_a_masked_line_by_a_call_of_it(served: Served) -> None:
    with browser(served, "viewer") as client:
        page = client.get("/calls/%231")
        assert LINE not in page.text
        path = href(page, "/lines/%23")
        line = client.get(path)
        assert line.status_code == 200
        assert "014567****" in line.text
        assert LINE not in line.text
        every = client.get(href(line, "/calls?line=").replace("&amp;", "&"))
        assert every.text.count("014567****") == 2
        related = client.get(href(page, "/calls?caller=%23").replace("&amp;", "&"))
        assert related.status_code == 200


@pytest.mark.parametrize(("lang", "said"), [("en", "behind the mask"), ("fr", "derrière le masque")])
def test_the_page_tells_beside_the_field_that_a_role_is_missing(served: Served, lang: str, said: str) -> None:
    with browser(served, "operator", lang=lang) as client:
        page = client.get("/calls?all=true&caller=0145678900")
        assert page.status_code == 403
        assert said in page.text
        assert 'id="w-caller"' in page.text
        assert "data-seq" not in page.text
        opened = client.get("/lines", params={"line": LINE}, follow_redirects=True)
        assert opened.status_code == 403
        assert ("masked" if lang == "en" else "masqués") in opened.text


def test_masks_that_were_asked_for_stay_from_page_to_page(tmp_path: Path) -> None:
    with serving(tmp_path, calls=120) as served, browser(served, "privacy") as client:
        page = client.get("/calls?all=true&numbers=masked")
        older = client.get(href(page, "/calls?all=true&amp;numbers=masked&amp;before=").replace("&amp;", "&"))
        assert "+33145678900" not in older.text
        assert '<input type="hidden" name="numbers" value="masked">' in older.text


def href(page: httpx.Response, beginning: str) -> str:
    """The first link of a page that begins so."""
    start = page.text.index(f'href="{beginning}') + len('href="')
    return page.text[start : page.text.index('"', start)]
