"""Decisions for those who ask: of the running guard, counted or not; of a fresh engine where none runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guard.cli.main import main
from sim.daemon import Daemon
from sim.ports import free_port
from sim.site import ALICE, CUSTOMER, GUARD, MAIN, PREMIUM, Site
from tests.web.rig import Served, serving

CALL = {"caller": ALICE, "callee": CUSTOMER, "header": ["X-Line: 201"]}
QUESTION = {"caller": "0145678900", "callee": "0892681234"}


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running guard with two channels, and its web page."""
    folder = tmp_path_factory.mktemp("alive")
    site = Site(folder=folder, port=free_port(GUARD), trunk_port=5060, pbx_port=5060, channels=2)
    site.write()
    daemon = Daemon(site.config)
    try:
        daemon.wait_ready()
        with serving(folder, calls=0, text=site.config.read_text(encoding="utf-8")) as served:
            served.now = 0  # the guard has its own clock
            yield served
    finally:
        daemon.stop()


def asked(served: Served, **call: object) -> dict[str, Any]:
    """A decision for a switch."""
    with served.client("switch") as client:
        answer = client.post("/api/v1/decide", json=CALL | call)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_what_counts_is_recorded_and_takes_its_channel_until_it_is_over(alive: Served) -> None:
    first, second = asked(alive, count=True, call_id="a@x"), asked(alive, count=True, call_id="b@x")
    assert first["allow"]
    assert first["counted"]
    assert first["seq"]
    third = asked(alive, count=True, call_id="c@x")
    assert (third["allow"], third["rule"]) == (False, "limit.channels")
    assert third["status"] in range(400, 700)
    assert not asked(alive)["allow"]  # nor would it be
    with alive.client("switch") as client, alive.client("viewer") as viewer:
        for ticket in (first["ticket"], second["ticket"]):
            over = client.post("/api/v1/ended", json={"ticket": ticket, "talk_ms": 4_000, "final_status": 200})
            assert over.json() == {"ended": True}
        gone = client.post("/api/v1/ended", json={"ticket": first["ticket"]})
        assert (gone.status_code, gone.headers["content-type"]) == (404, "application/problem+json")
        record = viewer.get(f"/api/v1/calls/%23{first['seq']}").json()["call"]["record"]
        assert (record["call_id"], record["verdict"]) == ("a@x", "allowed")
    assert asked(alive)["allow"]


def test_what_does_not_count_is_not_recorded(alive: Served) -> None:
    with alive.client("viewer") as client:
        before = [c["seq"] for c in client.get("/api/v1/calls?all=true").json()["calls"]]
        found = client.post("/api/v1/decide", json=CALL | {"caller": PREMIUM}).json()
        assert (found["verdict"], found["presented"], found["masked_numbers"]) == ("masked", MAIN, [PREMIUM])
        assert (found["counted"], found["seq"], found["ticket"]) == (False, 0, "")
        assert [c["seq"] for c in client.get("/api/v1/calls?all=true").json()["calls"]] == before


def test_readiness_and_metrics_are_of_the_running_guard(alive: Served) -> None:
    with alive.client("viewer") as client:
        assert client.get("/readyz").json() == {"status": "ok", "guard": True}
        metrics = client.get("/metrics")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "guard_up 1" in metrics.text


def test_who_may_not_count(alive: Served) -> None:
    with alive.client("viewer") as client:
        answer = client.post("/api/v1/decide", json=CALL | {"count": True})
    assert (answer.status_code, answer.json()["detail"]) == (403, "this token lacks the role switch, or operator")


def test_alone_it_decides_as_the_command_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path) as served, served.client("switch") as client, served.client("privacy") as privacy:
        asked = QUESTION | {"at": "2026-11-21T10:00"}
        found, full = (c.post("/api/v1/decide", json=asked).json() for c in (client, privacy))
        words = ["--caller", QUESTION["caller"], "--callee", QUESTION["callee"], "--at", "2026-11-21T10:00"]
        main(["decide", "-c", str(served.path), *words, "--json"])
        told = json.loads(capsys.readouterr().out)
        assert (full["verdict"], full["findings"]) == (told["verdict"], told["findings"])
        assert (found["verdict"], len(found["findings"])) == (told["verdict"], len(told["findings"]))
        # A switch is told what becomes of the call; numbers are for who may see them in the log.
        assert "+33892681234" in str(full["findings"])
        assert "+3389268****" in str(found["findings"])
        assert "+33892681234" not in str(found["findings"])
        assert (found["presented"], found["policy"]) == (told["presented"], told["policy"])
        counted = client.post("/api/v1/decide", json=QUESTION | {"count": True})
        assert (counted.status_code, counted.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize(
    "more",
    [{}, {"count": True}, {"source": "nobody"}, {"count": True, "at": "2026-11-21"},
     {"count": True, "source": "nobody"}, {"callee": "sip:112@ipbx", "count": True},
     {"callee": "urn:service:sos", "at": "soon"}],
)  # fmt: skip
def test_an_emergency_call_is_allowed_whatever_else(tmp_path: Path, more: dict[str, object]) -> None:
    with serving(tmp_path, calls=0) as served, served.client("switch") as client:
        found = client.post("/api/v1/decide", json={"caller": "anonymous", "callee": "112"} | more).json()
    assert (found["allow"], found["emergency"], found["status"]) == (True, True, 0)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"callee": ""}, "callee"),
        ({"callee": None}, "callee"),
        ({"caller": "x" * 513}, "caller"),
        ({"source": "pbz"}, "source"),
        ({"usage": "humans"}, "usage"),
        ({"header": ["x"]}, "header"),
        ({"pai": ["1"] * 17}, "pai"),
        ({"at": "soon"}, ""),
        ({"at": "2026-11-21", "count": True}, "at"),
        ({"direction": "sideways"}, "direction"),
        ({"lease_s": 86_401}, "lease_s"),
        ({"kount": True}, "data"),
    ],
)
def test_a_question_that_means_nothing_is_told(served: Served, more: dict[str, object], field: str) -> None:
    with served.client("switch") as client:
        answer = client.post("/api/v1/decide", json=QUESTION | more)
    assert answer.status_code == 422, answer.text
    assert [e["field"] for e in answer.json()["errors"]] == [field]
