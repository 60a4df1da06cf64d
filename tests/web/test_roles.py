"""Who may do what: every route by every role, over a real socket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from guard.configschema import Web
from guard.web.roles import ROLES
from tests.web.rig import Served, serving

EVERYBODY: Final = frozenset({"nobody", *ROLES})
VIEWERS: Final = frozenset({"viewer", "operator", "privacy"})
# Each route of the API, who may use it, and what they then get.
MATRIX: Final[dict[tuple[str, str], tuple[frozenset[str], int]]] = {
    ("GET", "/healthz"): (EVERYBODY, 200),
    ("GET", "/readyz"): (EVERYBODY, 200),
    ("GET", "/metrics"): (VIEWERS, 200),
    ("GET", "/api/v1/calls"): (VIEWERS, 200),
    ("GET", "/api/v1/calls/call-1@pbx"): (VIEWERS, 200),
    ("GET", "/api/v1/penalties"): (VIEWERS, 200),
    ("GET", "/api/v1/incidents"): (VIEWERS, 200),
    ("GET", "/api/v1/incidents/INC-1"): (VIEWERS, 404),
    ("GET", "/api/v1/now"): (VIEWERS, 200),
    ("GET", "/api/v1/policies"): (VIEWERS, 200),
    ("GET", "/api/v1/lines"): (VIEWERS, 200),
    ("GET", "/api/v1/lines/200"): (VIEWERS, 200),
    ("POST", "/api/v1/incidents/INC-1/release"): (frozenset({"operator"}), 404),
    ("POST", "/api/v1/decide"): (frozenset(ROLES), 200),
    ("GET", "/api/v1/subjects/+33145678999"): (frozenset({"privacy"}), 200),
    ("POST", "/api/v1/subjects/+33145678999/erase"): (frozenset({"privacy"}), 200),
    ("POST", "/api/v1/ended"): (frozenset({"operator", "switch"}), 503),
}
BODIES: Final = {
    "/api/v1/decide": {"callee": "0612345678", "caller": "0145678900"},
    "/api/v1/ended": {"ticket": "x-1"},
    "/api/v1/subjects/+33145678999/erase": {"reason": "a letter of the 3rd"},
}


@pytest.mark.parametrize("role", [*ROLES, "nobody"])
@pytest.mark.parametrize(("method", "path"), MATRIX)
def test_every_route_by_every_role(served: Served, method: str, path: str, role: str) -> None:
    may, status = MATRIX[method, path]
    roles = [r for r in ROLES if r == role]
    with served.client(*roles) as client:
        answer = client.request(method, path, json=BODIES.get(path, {}) if method == "POST" else None)
    if role in may:
        assert answer.status_code == status, answer.text
        return
    assert answer.headers["content-type"] == "application/problem+json"
    if role == "nobody" and method == "GET":
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    else:
        assert answer.status_code == 403


def test_no_route_of_the_api_is_left_out(served: Served) -> None:
    with served.client() as client:
        paths = client.get("/schema").json()["paths"]
    there = {(method.upper(), path) for path, item in paths.items() for method in item}
    asked = {(m, re.sub(r"call-1@pbx|INC-1|200|release|\+33145678999", "{}", p)) for m, p in MATRIX}
    assert {(m, re.sub(r"{[^}]+}", "{}", p)) for m, p in there} == asked | {("GET", "/api/v1/live")}


def test_a_viewer_sees_masks_and_privacy_sees_numbers_which_is_noted(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client("viewer") as viewer, served.client("privacy") as privacy:
        masked = viewer.get("/api/v1/calls?all=true").json()["calls"][0]
        assert masked["caller"] == "+3314567****"
        assert viewer.get("/api/v1/calls?numbers=full").status_code == 403
        assert not (tmp_path / "guard.db-access").exists()
        full = privacy.get("/api/v1/calls?all=true&caller=0145*").json()["calls"][0]
        assert full["caller"] == "+33145678900"
        (line,) = (tmp_path / "guard.db-access").read_text().splitlines()
        assert '"what":"calls"' in line
        assert '"options":["all","caller"]' in line
        assert '"token":"t1"' in line
        assert "0145" not in line
        assert privacy.get("/api/v1/calls?all=true&numbers=masked").json()["calls"][0]["caller"] == "+3314567****"
        assert len((tmp_path / "guard.db-access").read_text().splitlines()) == 1


def test_where_numbers_are_hidden_unless_asked_for(tmp_path: Path) -> None:
    with serving(tmp_path, '[privacy]\nshow_numbers = "masked"\n') as served, served.client("privacy") as client:
        assert client.get("/api/v1/calls?all=true").json()["calls"][0]["caller"] == "+3314567****"
        assert client.get("/api/v1/calls?all=true&numbers=full").json()["calls"][0]["caller"] == "+33145678900"


def test_who_cannot_be_noted_sees_no_numbers(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client("privacy") as client:
        (tmp_path / "guard.db-access").mkdir()
        assert client.get("/api/v1/calls").status_code == 503
        assert client.get("/api/v1/calls?numbers=masked").status_code == 200


def test_open_viewer_sees_masks_on_this_machine_and_nothing_through_a_proxy(tmp_path: Path) -> None:
    assert not Web().open_viewer
    with serving(tmp_path, "open_viewer = true\n") as served, served.client() as client:
        assert client.get("/api/v1/calls?all=true").json()["calls"][0]["caller"] == "+3314567****"
        assert client.get("/api/v1/calls?numbers=full").status_code == 403
        assert client.post("/api/v1/incidents/1/release", json={}).status_code == 403
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            assert client.get("/api/v1/calls", headers={name: "203.0.113.9"}).status_code == 401
