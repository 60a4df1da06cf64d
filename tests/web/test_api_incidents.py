"""Incidents over the API: what is open, and the steps that operators take, as `guard incidents` would write them."""

from __future__ import annotations

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from guard.cli.main import main
from guard.ledger.incidents import Event
from guard.store.books import Books
from guard.web.steps import MAX_TEXT
from tests.store.making import AT
from tests.web.rig import Served, serving

ZONE = ZoneInfo("Europe/Paris")


def opened(served: Served, subject: str = "+33899000001") -> str:
    """An incident that somebody opened; its name."""
    with Books(served.log, ZONE) as books:
        event = Event(step="open", at=AT, written=AT, who="root", subject_kind="number", subject=subject, text="seen")
        return books.open(event).name


def test_the_steps_of_an_operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path) as served, served.client("operator") as client:
        name = opened(served)
        path = f"/api/v1/incidents/{name}"
        shown = client.get(path).json()
        assert shown["incident"]["subject"] == "+3389900****"
        assert "release" in shown["can"]
        notified = client.post(f"{path}/notify", json={"letter": "breach", "at": "2026-11-21T10:30", "text": "by post"})
        assert (notified.status_code, notified.json()["incident"]["state"]) == (200, "notified")
        resolved = client.post(f"{path}/resolve", json={}).json()["incident"]
        assert resolved["state"] == "resolved"
        assert [e["who"] for e in resolved["events"]] == ["root", "web/t0", "web/t0"]
        again = client.post(f"{path}/release", json={})
        assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
        assert client.get("/api/v1/incidents").json() == {
            "incidents": [], "start": 0, "more": 0, "open": 0, "missed": 0,
        }  # fmt: skip
        assert client.get("/api/v1/incidents?all=true").json()["incidents"][0]["id"] == name
        capsys.readouterr()
        assert main(["incidents", "show", name, "-c", str(served.path), "--json"]) == 0
        (told,) = map(json.loads, capsys.readouterr().out.splitlines())
        assert (told["state"], told["events"][1]["text"]) == ("resolved", "by post")


@pytest.mark.parametrize(
    ("step", "body", "field"),
    [
        ("notify", {}, "letter"),
        ("notify", {"letter": "love"}, "letter"),
        ("note", {"letter": "breach"}, "letter"),
        ("note", {"at": "2027-01-01"}, "at"),
        ("note", {"at": "soon"}, ""),
        ("note", {"at": "1900-01-01"}, ""),
        ("note", {"text": "x" * (MAX_TEXT + 1)}, "text"),
        ("note", {"text": 3}, "text"),
        ("note", {"txt": "x"}, "data"),
        ("burn", {}, "action"),
    ],
)
def test_a_step_that_cannot_be_taken_is_told_and_changes_nothing(
    tmp_path: Path, step: str, body: dict[str, object], field: str
) -> None:
    with serving(tmp_path) as served, served.client("operator") as client:
        path = f"/api/v1/incidents/{opened(served)}"
        answer = client.post(f"{path}/{step}", json=body)
        assert answer.status_code == 422, answer.text
        assert [e["field"] for e in answer.json()["errors"]] == [field]
        assert len(client.get(path).json()["incident"]["events"]) == 1


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 422), (b"null", 422), (b"{", 400), (b"\xff", 400), (b"[" * 10_000, 400), (b"[]", 422)]
)
def test_what_is_no_json_cannot_be_read(served: Served, body: bytes, status: int) -> None:
    with served.client("operator") as client:
        for path in ("/api/v1/incidents/1/note", "/api/v1/decide"):
            answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == status, answer.text


def test_pages_of_incidents(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client("privacy") as client:
        for n in range(5):
            opened(served, f"+3389900000{n}")
        page = client.get("/api/v1/incidents?start=1&limit=2").json()
        assert (len(page["incidents"]), page["start"], page["more"], page["open"]) == (2, 1, 2, 5)
        assert page["incidents"][0]["subject"].startswith("+3389900000")
