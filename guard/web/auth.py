"""Who a request is from: a token in its header, a session's cookie, or nobody; and whether a form is one of ours."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from litestar.datastructures import Cookie

from guard.web.problems import Refused
from guard.web.roles import Visitor

if TYPE_CHECKING:
    from guard.web.room import Room
    from guard.web.tokens import Token

SESSION: Final = "guard-session"
FORM: Final = "guard-form"
FIELD: Final = "csrf"  # of a form
HEADER: Final = b"x-csrf-token"
OCTETS: Final = 24
LONGEST: Final = 128  # characters of a cookie of ours
MOST_FIELDS: Final = 64  # of a form
FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="sip-guard", error="invalid_token"'}

Headers = dict[bytes, bytes]


def cookie_name(name: str, *, tls: bool) -> str:
    """A cookie's name; over TLS with the prefix that no other host, path or plain connection can set it by."""
    return f"__Host-{name}" if tls else name


def cookie(name: str, value: str, *, tls: bool, gone: bool = False) -> Cookie:
    """A cookie that no script sees and no other site sends."""
    return Cookie(
        key=cookie_name(name, tls=tls),
        value=value,
        path="/",
        httponly=True,
        samesite="strict",
        secure=tls,
        max_age=0 if gone else None,
    )


def cookies_of(headers: Headers) -> dict[str, str]:
    """The cookies of a request; one that is too long is none of ours."""
    found: dict[str, str] = {}
    for pair in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, equals, value = pair.strip().partition("=")
        if equals and len(value) <= LONGEST:
            found.setdefault(name, value)
    return found


def csrf_of(room: Room, kind: str, value: str) -> str:
    """What forms of a session, or of a browser without one, send back."""
    digest = hmac.digest(room.key, f"{kind}:{value}".encode(), sha256)
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def visitor_of(room: Room, headers: Headers, address: str) -> tuple[Visitor, str]:
    """Who asks, and the cookie for forms that they have yet to be given ("" for none). Refused for a token that is
    none."""
    now = room.clock()
    bearer = headers.get(b"authorization")
    if bearer is not None:
        return _bearer(room, bearer, address, now), ""
    cookies = cookies_of(headers)
    sid = cookies.get(cookie_name(SESSION, tls=room.place.tls), "")
    session = room.sessions.find(sid, now) if sid else None
    token = room.tokens.known(session.token, now) if session is not None else None
    if token is not None:
        return _of(token, address, session=sid, csrf=csrf_of(room, "session", sid)), ""
    if session is not None:
        room.sessions.end(sid)
    given = cookies.get(cookie_name(FORM, tls=room.place.tls), "")
    new = "" if given else secrets.token_urlsafe(OCTETS)
    open_ = room.place.open_viewer and _here(address) and not FORWARDED & headers.keys()
    return (
        Visitor(
            roles=frozenset({"viewer"}) if open_ else frozenset(),
            csrf=csrf_of(room, "form", given or new),
            address=address,
        ),
        new,
    )


def signed_in(room: Room, secret: str, address: str) -> str:
    """A new session for who has a token. Refused, and slower with each mistake."""
    now = room.clock()
    wait = room.attempts.wait(address, now)
    if wait:
        raise Refused(429, "too many wrong tokens", headers={"Retry-After": str(wait)})
    token = room.tokens.find(secret.strip(), now)
    if token is None:
        room.attempts.wrong(address, now)
        raise Refused(401, "no such token, or no longer", headers=CHALLENGE)
    return room.sessions.begin(token.id, now)


def check_form(room: Room, visitor: Visitor, headers: Headers, body: bytes) -> None:
    """Refused (403) for what a page of somebody else may have sent: a request that changes something shows a token
    itself, or what only our own form knows."""
    if visitor.bearer:
        return
    if headers.get(b"sec-fetch-site", b"same-origin") not in {b"same-origin", b"none"}:
        raise Refused(403, "this came from another site")
    given = headers.get(HEADER, b"").decode("latin-1")
    if not given and headers.get(b"content-type", b"").split(b";")[0].strip() == b"application/x-www-form-urlencoded":
        given = _field(body)
    if not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
        raise Refused(403, "this form is not one of ours, or no longer: load the page again")


def _field(body: bytes) -> str:
    try:
        return parse_qs(body.decode(), max_num_fields=MOST_FIELDS).get(FIELD, [""])[0]
    except ValueError:
        return ""


def _bearer(room: Room, field: bytes, address: str, now: int) -> Visitor:
    scheme, _, secret = field.decode("latin-1").strip().partition(" ")
    token = room.tokens.find(secret.strip(), now) if scheme.lower() == "bearer" else None
    if token is not None:
        return _of(token, address, bearer=True)
    # Not slowed down, as people at the form are: 256 bits are not found by trying, and a script with an old token must
    # not keep those of its address from signing in.
    raise Refused(401, "no such token, or no longer", headers=CHALLENGE)


def _of(token: Token, address: str, *, bearer: bool = False, session: str = "", csrf: str = "") -> Visitor:
    roles = frozenset(token.roles)
    return Visitor(name=token.name, roles=roles, csrf=csrf, bearer=bearer, session=session, address=address)


def _here(address: str) -> bool:
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
