"""The door of the web page: what every request passes on its way in, and every answer on its way out.

By what name it was called (DNS rebinding), who asks, how much is sent and how slowly, whether a form is one of ours;
then header fields that keep browsers strict, and tags by which what has not changed need not be sent again.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from guard.web import auth, mishaps
from guard.web.problems import Refused
from guard.web.roles import Visitor

if TYPE_CHECKING:
    from guard.web.asgi import App, Message, Receive, Scope, Send
    from guard.web.room import Room

MAX_BODY: Final = 64 << 10  # octets: the longest form or question has some hundreds
BODY_S: Final = 10  # to send it
MAX_QUERY: Final = 4_096  # octets: every filter at once has some hundreds
MAX_TAGGED: Final = 4 << 20  # octets of an answer that is held to be tagged: a page of 500 calls has some 1.5 MB
UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LIVE: Final = "/api/v1/live"
PAGE_POLICY: Final = (
    b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
API_POLICY: Final = b"default-src 'none'; frame-ancestors 'none'"
STRICT: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
TLS_ONLY: Final = (b"strict-transport-security", b"max-age=31536000")

_CHARSET: Final = {"text/html": b"; charset=utf-8"}  # of others it is said by what they are

Fields = list[tuple[bytes, bytes]]


class Door:
    """An ASGI application around another."""

    def __init__(self, app: App, room: Room) -> None:
        self._app = app
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of the application."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": None})
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: auth.Headers = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, value)
        out = _Answer(self._room, scope, headers, send)
        try:
            self._called(scope, headers)
            client = scope.get("client")
            address = client[0] if client else ""
            scope["user"] = Visitor(address=address)  # till it is known who it is
            visitor, out.form = auth.visitor_of(self._room, headers, address)
            scope["user"] = visitor
            out.full = visitor.full
            if scope["method"] in UNSAFE:
                body = await _body(receive, headers)
                auth.check_form(self._room, visitor, headers, body)
                receive = _Given(body, receive)
        except Exception as error:  # noqa: BLE001 - all of it is answered, and told where it is ours
            await out.refuse(error)
            return
        if scope["method"] == "HEAD" and scope["path"] != LIVE:
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        await self._app(scope, receive, out)
        await out.flush()

    def _called(self, scope: Scope, headers: auth.Headers) -> None:
        """Refused where it is called by a name that is not its own, or by too long a one."""
        if len(scope["query_string"]) > MAX_QUERY:
            raise Refused(414, f"more than {MAX_QUERY:,} octets are asked")
        hosts = self._room.place.hosts
        name = headers.get(b"host", b"").decode("latin-1").lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if not name or (hosts and name not in hosts):
            raise Refused(421, "this guard is not called so: [web] hosts names what it is called")


class _Answer:
    """What goes out, with its strict header fields; of the API held until it is whole, and tagged."""

    def __init__(self, room: Room, scope: Scope, headers: auth.Headers, send: Send) -> None:
        self._room = room
        self._scope = scope
        self._send = send
        self._api = scope["path"].startswith(("/api/", "/schema"))
        self._taggable = self._api and scope["method"] in {"GET", "HEAD"}
        self._known = headers.get(b"if-none-match", b"")
        self.form = ""
        self.full = False  # who asks may see numbers in full
        self._start: Message | None = None
        self._held: list[bytes] = []
        self._size = 0

    async def __call__(self, message: Message) -> None:
        """One message of the application."""
        if message["type"] == "http.response.start":
            fields = self._dressed(list(message.get("headers", [])))
            message = {**message, "headers": fields}
            if self._taggable and message["status"] == 200 and _type(fields) == b"application/json":
                self._start = message
                return
        elif message["type"] == "http.response.body" and self._start is not None:
            self._held.append(message.get("body", b""))
            self._size += len(self._held[-1])
            if message.get("more_body", False) and self._size <= MAX_TAGGED:
                return
            await self._tagged(whole=not message.get("more_body", False))
            return
        await self._send(message)

    async def flush(self) -> None:
        """What was held and never finished."""
        if self._start is not None:
            await self._tagged(whole=False)

    async def refuse(self, error: Exception) -> None:
        """What is wrong, in place of an answer."""
        found = mishaps.of(self._room, self._scope, error)
        fields = [(name.lower().encode(), value.encode()) for name, value in found.headers.items()]
        fields += [
            (b"content-type", found.media.encode() + _CHARSET.get(found.media, b"")),
            (b"content-length", str(len(found.body)).encode()),
        ]
        await self({"type": "http.response.start", "status": found.status, "headers": fields})
        await self({"type": "http.response.body", "body": found.body, "more_body": False})

    async def _tagged(self, *, whole: bool) -> None:
        assert self._start is not None
        start, body = self._start, b"".join(self._held)
        self._start, self._held = None, []
        if whole:
            tag = b'W/"%s"' % blake2b(body, digest_size=12).hexdigest().encode()
            start["headers"] = [*start["headers"], (b"etag", tag)]
            if _knows(self._known, tag):
                kept = [(k, v) for k, v in start["headers"] if k not in {b"content-length", b"content-type"}]
                start, body = {**start, "status": 304, "headers": kept}, b""
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": not whole})

    def _dressed(self, fields: Fields) -> Fields:
        there = {name.lower() for name, _ in fields}
        html = _type(fields) == b"text/html"
        strict = [*STRICT, (b"content-security-policy", PAGE_POLICY if html or not self._api else API_POLICY)]
        kept = self._api and not self.full  # what shows numbers in full stays in no browser's cache
        strict.append((b"cache-control", b"private, no-cache" if kept else b"no-store"))
        if self._api:
            strict.append((b"vary", b"Authorization, Cookie"))
        if self._room.place.tls:
            strict.append(TLS_ONLY)
        fields = fields + [field for field in strict if field[0] not in there]
        if html and self.form:
            made = auth.cookie(auth.FORM, self.form, tls=self._room.place.tls)
            fields.append((b"set-cookie", made.to_header(header="").strip().encode()))
        return fields


class _Given:
    """A body that was read already, handed on; then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """The next message."""
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _body(receive: Receive, headers: auth.Headers) -> bytes:
    """The whole body. Refused where it is too long, or takes too long."""
    said = headers.get(b"content-length", b"0")
    if said.isdigit() and int(said) > MAX_BODY:
        raise Refused(413, f"more than {MAX_BODY:,} octets", headers={"Connection": "close"})
    read = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "the request broke off")
                read += message.get("body", b"")
                if len(read) > MAX_BODY:
                    raise Refused(413, f"more than {MAX_BODY:,} octets", headers={"Connection": "close"})
                if not message.get("more_body", False):
                    return bytes(read)
    except TimeoutError:
        raise Refused(408, f"the request took more than {BODY_S} s", headers={"Connection": "close"}) from None


def _type(fields: Fields) -> bytes:
    return next((v for k, v in fields if k.lower() == b"content-type"), b"").split(b";")[0].strip()


def _knows(given: bytes, tag: bytes) -> bool:
    """Whether If-None-Match names a tag, by weak comparison (RFC 9110 13.1.2)."""
    plain = tag.removeprefix(b"W/")
    return any(one in {b"*", plain} for one in (t.strip().removeprefix(b"W/") for t in given.split(b",")))
