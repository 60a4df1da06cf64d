"""Signing in, staying signed in, and out: sessions and tokens as a browser and an attacker see them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from guard.web import auth
from guard.web.attempts import PERIOD, WRONG
from guard.web.sessions import IDLE, LONGEST
from guard.web.tokens import DAY
from tests.web.rig import Served, serving
from tests.web.test_door import csrf, signed_in


def sid_of(client: httpx.Client) -> str:
    """The session that a browser has."""
    return client.cookies.get(auth.SESSION) or ""


def test_signing_in_and_out(served: Served) -> None:
    with served.client() as client:
        assert client.get("/api/v1/calls").status_code == 401
        answer = signed_in(served, client, served.token("viewer"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/calls")
        set_cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(auth.SESSION))
        for wanted in ("HttpOnly", "SameSite=strict", "Path=/"):
            assert wanted.lower() in set_cookie.lower()
        assert "max-age" not in set_cookie.lower()
        assert "secure" not in set_cookie.lower()  # over plain HTTP it would never come back
        assert client.get("/api/v1/calls").status_code == 200
        sid = sid_of(client)
        assert client.post("/signout", data={"csrf": csrf(client)}).status_code == 303
        assert sid_of(client) == ""
        with served.client(Cookie=f"{auth.SESSION}={sid}") as thief:
            assert thief.get("/api/v1/calls").status_code == 401


def test_over_tls_no_other_host_can_set_the_cookie() -> None:
    made = auth.cookie(auth.SESSION, "x", tls=True)
    assert made.key.startswith("__Host-")
    assert made.secure
    assert (made.path, made.domain) == ("/", None)


def test_a_session_that_an_attacker_chose_is_not_taken_over(served: Served) -> None:
    chosen = "chosen-by-somebody-else"
    with served.client() as client:
        client.cookies.set(auth.SESSION, chosen, domain=served.room.place.host)
        assert signed_in(served, client, served.token("viewer")).status_code == 303
    with served.client(Cookie=f"{auth.SESSION}={chosen}") as attacker:
        assert attacker.get("/api/v1/calls").status_code == 401


def test_signing_in_again_ends_the_session_before(served: Served) -> None:
    token = served.token("viewer")
    with served.client() as client:
        signed_in(served, client, token)
        first = sid_of(client)
        signed_in(served, client, token)
        assert sid_of(client) not in {"", first}
    with served.client(Cookie=f"{auth.SESSION}={first}") as old:
        assert old.get("/api/v1/calls").status_code == 401


@pytest.mark.parametrize("there", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "", "/a\r\nb"])
def test_after_signing_in_one_stays_here(served: Served, there: str) -> None:
    with served.client() as client:
        form = {"csrf": csrf(client), "token": served.token("viewer"), "next": there}
        assert client.post("/signin", data=form).headers["location"] == "/"


def test_wrong_tokens_are_few_and_then_wait(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        good = served.token("viewer")
        for n in range(WRONG):
            assert signed_in(served, client, f"sgt_{n}").status_code == 401
        answer = signed_in(served, client, good)  # also a right one: trying is over
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
        api = client.get("/api/v1/calls", headers={"Authorization": "Bearer sgt_x"})
        assert api.status_code == 401
        # who shows a token with each request is not locked out by those who try, nor locks them out
        assert client.get("/api/v1/calls", headers={"Authorization": f"Bearer {good}"}).status_code == 200
        served.now += PERIOD
        assert signed_in(served, client, good).status_code == 303


@pytest.mark.parametrize(
    "field", ["Bearer", "bearer  x", "Basic Zm9vOmJhcg==", "Bearer sgt_" + "A" * 43, "é", "x" * 9000]
)
def test_what_is_no_token_is_refused(served: Served, field: str) -> None:
    headers = {b"authorization": field.encode("latin-1")}
    with served.client() as client:
        answer = client.get("/api/v1/calls", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert len(served.room.attempts) == 0


def test_what_is_revoked_is_so_at_once_with_its_sessions(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as browser:
        token = served.token("viewer", name="bob")
        script = {"Authorization": f"Bearer {token}"}
        signed_in(served, browser, token)
        assert browser.get("/api/v1/calls").status_code == 200
        assert httpx.get(f"{served.url}/api/v1/calls", headers=script).status_code == 200
        assert served.room.tokens.revoke("bob")
        assert browser.get("/api/v1/calls").status_code == 401
        assert httpx.get(f"{served.url}/api/v1/calls", headers=script).status_code == 401
        assert len(served.room.sessions) == 0


def test_sessions_and_tokens_expire(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        token = served.token("viewer", days=2)
        signed_in(served, client, token)
        served.now += IDLE - 1
        assert client.get("/api/v1/calls").status_code == 200
        served.now += IDLE
        assert client.get("/api/v1/calls").status_code == 401
        signed_in(served, client, token)
        began = served.now
        while served.now + IDLE // 2 - began < LONGEST:
            served.now += IDLE // 2
            assert client.get("/api/v1/calls").status_code == 200
        served.now += IDLE // 2
        assert client.get("/api/v1/calls").status_code == 401  # however busy
        served.now += 2 * DAY
        assert signed_in(served, client, token).status_code == 401
