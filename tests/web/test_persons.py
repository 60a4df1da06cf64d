"""What is held about one number, handed out and erased over the web: by whom, with which traces, and what stays."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from guard.cli.main import main
from guard.ledger.incidents import Event
from guard.store.books import Books
from guard.store.errors import StoreError
from guard.web import persons
from sim.daemon import Daemon
from sim.ports import free_port
from sim.site import GUARD, Site
from tests.store.making import AT, CALLER, SECOND, attempt, decision, ended, finding
from tests.store.making_log import write
from tests.web.pages.test_pages import browser, csrf_of
from tests.web.rig import Served, serving

THEIRS = "+33145678955"
SUBJECTS = f"/api/v1/subjects/{THEIRS}"


def of_two(folder: Path) -> None:
    """A log with three calls of one person and one of another; and an incident of the first one."""
    blocked = decision("blocked", finding("cli.premium"))
    calls = [(attempt(n, at=AT + n * SECOND, caller=THEIRS), blocked, ended("blocked")) for n in range(3)]
    write(folder / "guard.db", [*calls, (attempt(3, at=AT + 3 * SECOND), decision())])


def incident(served: Served, *steps: str) -> None:
    with Books(served.room.store, served.room.zone) as books:
        opened = books.open(Event(step="open", at=AT, written=AT, subject=THEIRS, trunk="operator"))
        for step in steps:
            books.step(Event(step=step, at=AT, written=AT, incident=opened.id))  # type: ignore[arg-type]


def noted(served: Served) -> list[dict[str, object]]:
    path = Path(served.room.store + "-access")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_all_that_is_held_is_handed_out_as_the_command_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_two(tmp_path)
    with serving(tmp_path, calls=0) as served, served.client("privacy") as client:
        incident(served)
        found = client.get(SUBJECTS)
        assert found.headers["cache-control"] == "no-store"
        assert [c["record"]["call_id"] for c in found.json()["calls"]] == [f"call-{n}@pbx" for n in range(3)]
        assert found.json()["incidents"][0]["subject"] == THEIRS
        assert main(["subject", "export", "-c", str(served.path), THEIRS]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [c["record"] for c in found.json()["calls"]] == [
            {k: v for k, v in line.items() if k in found.json()["calls"][0]["record"]} for line in lines[:3]
        ]
        assert client.get("/api/v1/subjects/0145678955").json() == found.json()  # as dialled
        assert client.get("/api/v1/subjects/nobody").status_code == 422


def test_it_is_told_first_and_then_erased_and_noted_without_the_number(tmp_path: Path) -> None:
    of_two(tmp_path)
    with serving(tmp_path, calls=0) as served, served.client("privacy") as client:
        incident(served, "resolve")
        told = client.post(f"{SUBJECTS}/erase", json={"reason": "a letter"}).json()
        assert told == {"erased": False, "calls": 3, "incidents": 1, "penalties": 0, "waiting": []}
        assert len(client.get(SUBJECTS).json()["calls"]) == 3
        wish = {"reason": f"his letter,\n seen his bill of {THEIRS}", "confirm": True}
        assert client.post(f"{SUBJECTS}/erase", json=wish).json() == told | {"erased": True}
        assert client.get(SUBJECTS).json() == {"calls": [], "incidents": [], "penalties": [], "letters": []}
        assert [c["caller"] for c in client.get("/api/v1/calls?all=true").json()["calls"]] == [CALLER]
        entry = next(e for e in noted(served) if e["what"] == "subject erase")
        assert (entry["token"], entry["command"]) == ("t0", "web")
        assert entry["reason"] == "his letter, seen his bill of +3314567****"
        assert "45678955" not in Path(served.room.store + "-access").read_text()
    assert main(["log", "--verify", "-c", str(tmp_path / "guard.toml")]) == 0


def test_an_open_incident_stays_unless_it_is_named(tmp_path: Path) -> None:
    of_two(tmp_path)
    with serving(tmp_path, calls=0) as served, served.client("privacy") as client:
        incident(served)
        wish = {"reason": "a letter", "confirm": True}
        done = client.post(f"{SUBJECTS}/erase", json=wish).json()
        assert (done["incidents"], done["waiting"]) == (0, ["INC-1"])
        done = client.post(f"{SUBJECTS}/erase", json=wish | {"with_open": True}).json()
        assert (done["incidents"], done["waiting"]) == (1, [])


@pytest.mark.parametrize("wish", [{}, {"reason": ""}, {"reason": " "}, {"reason": "x" * 201}, {"reason": "a", "no": 1}])
def test_an_erasure_needs_a_reason(tmp_path: Path, wish: dict[str, object]) -> None:
    of_two(tmp_path)
    with serving(tmp_path, calls=0) as served, served.client("privacy") as client:
        assert client.post(f"{SUBJECTS}/erase", json=wish | {"confirm": True}).status_code == 422
        assert len(client.get(SUBJECTS).json()["calls"]) == 3


def test_who_cannot_be_noted_erases_nothing(tmp_path: Path) -> None:
    of_two(tmp_path)
    with serving(tmp_path, calls=0) as served, served.client("privacy") as client:
        (tmp_path / "guard.db-access").mkdir()
        assert client.get(SUBJECTS).status_code == 503
        assert client.post(f"{SUBJECTS}/erase", json={"reason": "a", "confirm": True}).status_code == 503
        (tmp_path / "guard.db-access").rmdir()
        assert len(client.get(SUBJECTS).json()["calls"]) == 3


def test_too_much_is_not_handed_out_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_two(tmp_path)
    monkeypatch.setattr(persons, "MOST", 2)
    with serving(tmp_path, calls=0) as served, served.client("privacy") as client:
        answer = client.get(SUBJECTS)
        assert answer.status_code == 413
        assert "guard subject export" in answer.json()["detail"]


def test_where_the_guard_does_not_answer_nobody_is_told_that_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object, **__: object) -> None:
        raise StoreError(f"{tmp_path}: did not answer in time")

    of_two(tmp_path)
    monkeypatch.setattr(persons, "have_done", silent)
    with serving(tmp_path, calls=0) as served, served.client("privacy") as client:
        answer = client.post(f"{SUBJECTS}/erase", json={"reason": "a letter", "confirm": True})
        assert (answer.status_code, answer.json()["detail"]) == (503, persons.UNSURE)
        assert str(tmp_path) not in answer.text
        assert len(client.get(SUBJECTS).json()["calls"]) == 3
        assert client.post("/api/v1/subjects/not%20a%20number/erase", json={"reason": "a"}).json()["errors"] == [
            {"field": "number", "message": "is no telephone number: write it as dialled, or as +33145678900"}
        ]


def test_one_at_a_time(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client("privacy") as client:

        async def long() -> httpx.Response:
            async with served.room.alone("subjects"):
                return await asyncio.to_thread(client.get, SUBJECTS)

        busy = asyncio.run(long())
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "10")
        assert client.get(SUBJECTS).status_code == 200


def test_the_running_guard_erases_what_it_writes(tmp_path: Path) -> None:
    of_two(tmp_path)
    with serving(tmp_path, calls=0) as served, served.client("privacy") as client:
        daemon = Daemon(Site(folder=tmp_path, port=free_port(GUARD), trunk_port=5060, pbx_port=5060).write())
        try:
            daemon.wait_ready()
            done = client.post(f"{SUBJECTS}/erase", json={"reason": "a letter", "confirm": True})
            assert done.json()["erased"], done.text
        finally:
            assert daemon.stop() == 0
    with closing(sqlite3.connect(tmp_path / "guard.db")) as db:
        (bodies,) = db.execute("SELECT count(*) FROM entries WHERE instr(body, '45678955') > 0").fetchone()
    assert bodies == 0


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_the_page_looks_hands_out_and_erases(tmp_path: Path, lang: str) -> None:
    of_two(tmp_path)
    with serving(tmp_path, calls=0) as served, browser(served, "privacy", lang=lang) as client:
        page = client.get("/subjects")
        form = {"csrf": csrf_of(page), "number": THEIRS}
        assert 'href="/subjects"' in client.get("/calls").text
        looked = client.post("/subjects", data=form | {"step": "look"})
        assert looked.status_code == 200
        assert "<dd>3</dd>" in looked.text
        handed = client.post("/subjects", data=form | {"step": "export"})
        assert handed.headers["content-disposition"] == 'attachment; filename="subject.json"'
        assert handed.headers["cache-control"] == "no-store"
        assert len(handed.json()["calls"]) == 3
        erase = form | {"step": "erase", "reason": "a letter"}
        for wrong in (erase, erase | {"confirm": "true", "reason": " "}, erase | {"number": "<b>", "confirm": "true"}):
            told = client.post("/subjects", data=wrong)
            assert told.status_code == 400
            assert 'role="alert"' in told.text
            assert "<b>" not in told.text
        assert client.post("/subjects", data=erase | {"csrf": "x", "confirm": "true"}).status_code == 403
        done = client.post("/subjects", data=erase | {"confirm": "true"})
        assert ("Erased: what 3 calls" if lang == "en" else "le contenu de 3 appels") in done.text
        assert THEIRS not in done.text
        assert "<dd>0</dd>" in client.post("/subjects", data=form).text


def test_only_the_role_privacy_has_the_page(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        with browser(served, "viewer", "operator") as client:
            page = client.get("/calls")
            assert 'href="/subjects"' not in page.text
            assert client.get("/subjects").status_code == 403
            assert client.post("/subjects", data={"csrf": csrf_of(page), "number": CALLER}).status_code == 403
        with served.client() as nobody:
            assert nobody.get("/subjects").headers["location"].startswith("/signin")
