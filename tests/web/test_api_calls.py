"""The calls of the API: the records of `guard log --json`, page by page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from guard.cli.main import main
from tests.store.making import AT, SECOND, attempt, decision, finding
from tests.store.making_log import write
from tests.web.rig import Served, serving

NASTY = "a/b?c#d%2F é<script>\x1b[2J@pbx"


def pages(client: httpx.Client, query: str) -> list[list[int]]:
    """The seqs of each page, from the newest on."""
    found: list[list[int]] = []
    before = ""
    while True:
        page = client.get(f"/api/v1/calls?{query}{before}").raise_for_status().json()
        found.append([c["seq"] for c in page["calls"]])
        if page["older"] is None:
            return found
        before = f"&before={page['older']}"


def test_a_record_is_that_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path) as served, served.client("privacy") as client:
        mine = client.get("/api/v1/calls?all=true").json()["calls"]
        assert main(["log", "-c", str(served.path), "--all", "--json"]) == 0
    theirs: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert mine == theirs[::-1]
    assert len(mine) == 6


def test_pages_hold_every_call_once(tmp_path: Path) -> None:
    with serving(tmp_path, calls=23) as served, served.client("viewer") as client:
        every = pages(client, "all=true&limit=5")
        assert [len(p) for p in every] == [5, 5, 5, 5, 3]
        seqs = [s for p in every for s in p]
        assert seqs == sorted(set(seqs), reverse=True)
        blocked = pages(client, "limit=4")
        assert sum(map(len, blocked)) == 11
        page = client.get("/api/v1/calls?all=true&limit=5").json()
        assert client.get(f"/api/v1/calls?all=true&after={page['newer']}").json()["calls"] == []
        write(served.log, [(attempt(99, at=AT + 99 * SECOND), decision("blocked", finding("rate.cps")))])
        news = client.get(f"/api/v1/calls?all=true&after={page['newer']}").json()["calls"]
        assert [c["call_id"] for c in news] == ["call-99@pbx"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("before=-1", "before"),
        ("before=9223372036854775807", "before"),
        ("before=1&after=1", "after"),
        ("verdict=blokked", "verdict"),
        ("rule=cli.premum", "rule"),
        ("trunk=oprator", "trunk"),
        ("line=", "line"),
        ("caller=" + "1" * 257, "caller"),
        ("since=yesterday", ""),
        ("until=2026-13-01", ""),
        ("since=2026-11-21&until=2026-11-20", "until"),
        ("all=perhaps", "all"),
        ("numbers=some", "numbers"),
        ("verdikt=blocked", "verdikt"),
    ],
)
def test_what_means_nothing_is_told(served: Served, query: str, field: str) -> None:
    with served.client("viewer") as client:
        answer = client.get(f"/api/v1/calls?{query}")
    told = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert (told["type"], told["title"], told["status"]) == ("about:blank", "Unprocessable Entity", 422)
    assert [e["field"] for e in told["errors"]] == [field]
    assert "Traceback" not in answer.text


def test_the_nearest_word_is_told(served: Served) -> None:
    with served.client("viewer") as client:
        assert 'did you mean "cli.premium"?' in client.get("/api/v1/calls?rule=cli.premum").json()["detail"]
        (told,) = client.get("/api/v1/calls?verdikt=blocked").json()["errors"]
        assert told["message"] == 'is no parameter; did you mean "verdict"?'


def test_a_call_id_is_found_whatever_stands_in_it(tmp_path: Path) -> None:
    blocked = decision("blocked", finding("cli.premium"))
    write(tmp_path / "guard.db", [(replace(attempt(1), call_id=NASTY), blocked)])
    with serving(tmp_path, calls=0) as served, served.client("viewer") as client:
        found = client.get("/api/v1/calls/" + httpx.URL("", params={"x": NASTY}).query.decode()[2:].replace("+", "%20"))
        assert found.status_code == 200, found.text
        assert found.json()["call"]["record"]["call_id"] == NASTY
        assert client.get("/api/v1/calls/%231").json()["call"]["record"]["call_id"] == NASTY
        assert client.get("/api/v1/calls/1").status_code == 200
        for nobody in ("x", "%232", "99999999999999999999", "%00", "..%2F..%2Fetc%2Fpasswd", "%ff%fe"):
            assert client.get(f"/api/v1/calls/{nobody}").status_code == 404, nobody


def test_without_a_log_it_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, calls=0) as served, served.client("viewer") as client:
        answer = client.get("/api/v1/calls")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert str(tmp_path) not in answer.text
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        write(served.log, [(attempt(1), decision())])
        assert client.get("/api/v1/calls?all=true").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v2/calls", 404),
        ("POST", "/api/v1/calls", 405),
        ("DELETE", "/api/v1/calls", 405),
        ("GET", "/api/v1/decide", 405),
        ("OPTIONS", "/api/v1/incidents/1/note", 204),
        ("POST", "/api/v1/incidents/1/burn", 422),
        ("POST", "/api/v1/incidents/x/note", 422),
    ],
)
def test_what_is_not_there(served: Served, method: str, path: str, status: int) -> None:
    with served.client("operator", "privacy") as client:
        answer = client.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_a_fault_of_ours_tells_nothing_but_that(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(served.room.pool, "run", fail)
    with served.client("viewer") as client:
        answer = client.get("/api/v1/calls")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "hunter2" not in answer.text
    assert answer.json()["detail"] == "a fault of ours; the journal has it"
