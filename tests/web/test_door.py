"""What every request passes: names, sizes, slowness, forms; and what every answer has on."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

import httpx
import pytest

from guard.web import door, server
from tests.web.rig import PATIENCE, Served, serving

PATHS: Final = ("/", "/signin", "/calls", "/api/v1/calls", "/healthz", "/nothing", "/schema", "/static/guard.css")


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_strict(served: Served, path: str) -> None:
    with served.client("viewer") as client:
        headers = client.get(path, headers={"Accept": "text/html"}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "cache-control" in headers
    policy = headers["content-security-policy"]
    assert policy.startswith(("default-src 'self';", "default-src 'none';"))
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "server" not in headers


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "127.0.0.2", "[::2]:80", "x" * 300])
def test_a_name_that_is_not_its_own_is_refused(served: Served, name: str) -> None:
    with served.client("viewer", Host=name) as client:
        answer = client.get("/api/v1/calls")
    assert (answer.status_code, answer.headers["content-type"]) == (421, "application/problem+json")


@pytest.mark.parametrize("name", ["localhost:8080", "127.0.0.1", "LOCALHOST", "[::1]:1"])
def test_this_machines_names_are_its_own(served: Served, name: str) -> None:
    with served.client("viewer", Host=name) as client:
        assert client.get("/api/v1/calls").status_code == 200


def test_a_name_of_the_configuration_is_its_own(tmp_path: Path) -> None:
    with serving(tmp_path, 'hosts = ["guard.example.net"]\n') as served:
        assert httpx.get(f"{served.url}/healthz", headers={"Host": "guard.example.net"}).status_code == 200


def test_too_long_a_body_is_refused_said_or_not(served: Served) -> None:
    body = b"x" * (door.MAX_BODY + 1)
    with served.client("operator") as client:
        assert client.post("/api/v1/decide", content=body).status_code == 413
        assert client.post("/api/v1/decide", content=iter([body[:-10], body[:20]])).status_code == 413
        assert client.post("/api/v1/decide", content=b"x" * door.MAX_BODY).status_code == 400


def test_too_long_a_query_is_refused(served: Served) -> None:
    with served.client("viewer") as client:
        assert client.get("/api/v1/calls?line=" + "x" * door.MAX_QUERY).status_code == 414


def test_too_long_a_header_is_refused(served: Served) -> None:
    with raw(served) as peer:
        peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * (server.MAX_HEAD + 100))
        assert peer.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_takes_too_long_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_S", 0.05)
    with raw(served) as peer:
        peer.sendall(b"POST /api/v1/decide HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        assert peer.recv(65536).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n"])
def test_a_header_that_takes_too_long_ends_the_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.05)
    with raw(served) as peer:
        peer.sendall(sent)
        assert gone(peer)


def test_the_header_of_a_second_request_has_its_time_too(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw(served) as peer:
        peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b""
        while not said.endswith(b'{"status":"ok"}'):
            said += peer.recv(65536)
        monkeypatch.setattr(server, "HEAD_S", 0.05)
        peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        assert gone(peer)


def test_what_is_no_http_ends_nothing_but_itself(served: Served) -> None:
    with raw(served) as peer:
        peer.sendall(b"INVITE sip:112@x SIP/2.0\r\n\x00\xff\r\n\r\n")
        assert peer.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert httpx.get(f"{served.url}/healthz").status_code == 200


def raw(served: Served) -> socket.socket:
    """A connection to say anything over."""
    return socket.create_connection((served.room.place.host, served.room.place.port), PATIENCE)


def gone(peer: socket.socket) -> bool:
    """Whether the other side ends the connection without a word."""
    try:
        return peer.recv(65536) == b""
    except ConnectionResetError:
        return True


# ---- forms -----------------------------------------------------------------------------------------------------------


def signed_in(served: Served, client: httpx.Client, token: str) -> httpx.Response:
    """Sign in as a browser does: load the form, send it."""
    return client.post("/signin", data={"csrf": csrf(client), "token": token, "next": "/calls"})


def csrf(client: httpx.Client) -> str:
    """What the forms of a page have in them."""
    page = client.get("/signin", headers={"Accept": "text/html"}).text
    return page.split('name="csrf" value="')[1].split('"')[0]


FORMS: Final = ("/signin", "/signout", "/preferences", "/incidents/INC-1", "/api/v1/decide", "/api/v1/incidents/1/note")


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("signed", [True, False])
def test_no_form_without_its_token(served: Served, path: str, *, signed: bool) -> None:
    with served.client() as client:
        if signed:
            assert signed_in(served, client, served.token("operator")).status_code == 303
        for data in ({}, {"csrf": ""}, {"csrf": "x" * 43}, {"csrf": "é"}):
            answer = client.post(path, data=data)
            assert answer.status_code == 403, answer.text
        assert client.post(path, json={}).status_code == 403
        assert client.post(path, headers={"X-CSRF-Token": "x"}).status_code == 403


def test_a_form_of_one_browser_is_none_of_another(served: Served) -> None:
    with served.client() as one, served.client() as other:
        mine, theirs = csrf(one), csrf(other)
        assert mine != theirs
        assert one.post("/preferences", data={"csrf": theirs, "lang": "fr"}).status_code == 403
        assert one.post("/preferences", data={"csrf": mine, "lang": "fr"}).status_code == 303


def test_a_form_of_before_signing_in_is_none_of_after(served: Served) -> None:
    with served.client() as client:
        before = csrf(client)
        assert signed_in(served, client, served.token("viewer")).status_code == 303
        assert client.post("/signout", data={"csrf": before}).status_code == 403
        assert client.post("/signout", data={"csrf": csrf(client)}).status_code == 303


def test_a_script_of_ours_sends_it_in_a_header(served: Served) -> None:
    question = {"callee": "0612345678", "caller": "0145678900"}
    with served.client() as client:
        signed_in(served, client, served.token("operator"))
        right = {"X-CSRF-Token": csrf(client)}
        assert client.post("/api/v1/decide", json=question, headers=right).status_code == 200
        for site in ("cross-site", "same-site"):
            answer = client.post("/api/v1/decide", json=question, headers=right | {"Sec-Fetch-Site": site})
            assert answer.status_code == 403
        same = right | {"Sec-Fetch-Site": "same-origin"}
        assert client.post("/api/v1/decide", json=question, headers=same).status_code == 200


def test_a_browser_is_told_so_on_a_page(served: Served) -> None:
    with served.client(**{"Accept": "text/html", "Accept-Language": "fr"}) as client:
        answer = client.post("/signin", data={"csrf": "no"})
        assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
        assert "Ce formulaire ne vient pas de cette page" in answer.text
        assert client.get("/nowhere").headers["content-type"] == "text/html; charset=utf-8"
        assert client.get("/calls").headers["location"] == "/signin?next=%2Fcalls"


# ---- tags ------------------------------------------------------------------------------------------------------------


def test_what_has_not_changed_is_not_sent_again(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client("operator") as client:
        first = client.get("/api/v1/incidents")
        tag = first.headers["etag"]
        for known in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            again = client.get("/api/v1/incidents", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert again.headers["cache-control"] == "private, no-cache"
        assert client.get("/api/v1/incidents", headers={"If-None-Match": '"x"'}).status_code == 200
        assert client.get("/api/v1/incidents?all=true&limit=1").headers["etag"] == tag  # the same answer


def test_numbers_in_full_stay_in_no_cache_and_have_a_tag_of_their_own(served: Served) -> None:
    with served.client("viewer") as viewer, served.client("privacy") as privacy:
        masked, full = viewer.get("/api/v1/calls"), privacy.get("/api/v1/calls")
        assert masked.headers["vary"] == full.headers["vary"] == "Authorization, Cookie"
        assert (masked.headers["cache-control"], full.headers["cache-control"]) == ("private, no-cache", "no-store")
        assert masked.headers["etag"] != full.headers["etag"]
        known = {"If-None-Match": masked.headers["etag"]}
        assert privacy.get("/api/v1/calls", headers=known).status_code == 200
        assert privacy.get("/calls").headers["cache-control"] == "no-store"


def test_what_failed_has_no_tag(served: Served) -> None:
    with served.client("viewer") as client:
        assert "etag" not in client.get("/api/v1/calls?limit=0").headers


@pytest.mark.parametrize("path", ["/api/v1/calls", "/healthz", "/signin"])
def test_head_is_get_without_a_body(served: Served, path: str) -> None:
    with served.client("viewer") as client:
        whole, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert client.head("/api/v1/live").status_code == 405
