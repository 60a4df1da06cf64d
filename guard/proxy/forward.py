"""The bytes that leave: requests and responses edited line by line, the rest byte for byte (RFC 3261 16.6, 16.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from zlib import crc32

from guard.proxy.effects import Flow, Transport
from guard.proxy.rewrite import hide, show
from guard.proxy.routing import DEFAULT_PORT, TLS_PORT, Here, secure, target_of
from guard.proxy.shapes import NO_CHANGES, Changes, Mask, Target
from guard.sip.edit import Edit, Slice, response
from guard.sip.grammar import SEMICOLON, split_values
from guard.sip.headers import BadHeader, NameAddr, parse_name_addr
from guard.sip.message import MAX_LINES, BadMessage, Message, parse
from guard.sip.remember import Table, keep
from guard.sip.uri import BadUri, parse_uri

MAX_FORWARDS: Final = 70  # RFC 3261 8.1.1.6
OWN_LINES: Final = 8  # header lines that we add at most: what we sent is read again for its CANCEL and ACK
ROUTED: Final = frozenset({b"INVITE", b"SUBSCRIBE", b"REFER"})  # what sets a dialog up and wants us on its route
_LOOP_LISTS: Final = (b"route", b"proxy-require")
TRANSPORT_NAMES: Final[dict[Transport, bytes]] = {"udp": b"UDP", "tcp": b"TCP", "tls": b"TLS"}
# Over TLS both ends have shown who they are: the other may ask us over the same connection (RFC 5923 5).
_VIAS: Final[dict[Transport, bytes]] = {
    transport: b"Via: SIP/2.0/" + name + b" %s;branch=%s;rport" + (b";alias\r\n" if transport == "tls" else b"\r\n")
    for transport, name in TRANSPORT_NAMES.items()
}
URI_ENDS: Final[dict[Transport, bytes]] = {"udp": b"", "tcp": b";transport=tcp", "tls": b";transport=tls"}


def via_line(to: Flow, sent_by: bytes, branch: bytes) -> bytes:
    """Our Via in a request that leaves by that flow."""
    return _VIAS[to.transport] % (sent_by, branch)


def _route(transport: Transport, sent_by: bytes, *, sips: bool) -> bytes:
    """One Record-Route line. A `sips` one says all by its scheme, but never of a side that is not secure: a call that
    is carried there all the same is an emergency call."""
    if sips and transport == "tls":
        return b"Record-Route: <sips:%s;lr>\r\n" % sent_by
    return b"Record-Route: <sip:%s%s;lr>\r\n" % (sent_by, URI_ENDS[transport])


LOOSE: Final = b"."  # in a tag of ours, where hexadecimal digits go on: of an answer that left no transaction behind


class Forwarder:
    """Builds what the core sends. `token` makes branches and tags unguessable, and ours."""

    def __init__(self, here: Here, token: str) -> None:
        self._here = here
        self._token = token.encode()
        self.loose = b"tag=" + self._token[:8] + LOOSE  # in the To of an ACK that nothing is left to hear
        self._n = 0
        self._ours: Table[bytes, bool] = Table()  # URIs that were asked about, and Record-Route lines
        self._only_ours: Table[bytes, bool] = Table()

    # ---- requests --------------------------------------------------------------------------------------------------

    def request(
        self,
        m: Message,
        arrived: Flow,
        to: Flow,
        *,
        mask: Mask | None = None,
        from_caller: bool = True,
        within: bool = False,
        changes: Changes = NO_CHANGES,
        route: Flow | None = None,
    ) -> tuple[bytes, bytes]:
        """A request as it goes on, and the branch that it goes under. `within`: it is of a dialog that we know; `route`
        is the way of whatever else its dialog brings, where that is not `to`."""
        here = self._here
        sent_by = here.sent_by(to.transport, to.local)
        branch = self.branch(m)
        edit = Edit(m)
        top = via_line(to, sent_by, branch)
        edit.mark_received(arrived.peer[0], arrived.peer[1])
        if b"max-forwards" in m.index:
            edit.set_max_forwards(self._hops(m))
        else:
            top += b"Max-Forwards: %d\r\n" % MAX_FORWARDS
        top += self._length(edit, m, to)
        self._routes(edit, m, to, within=within)
        if m.method in ROUTED and not self.in_dialog(m):
            top += self._record_route(m, arrived, route or to)
        if changes is not NO_CHANGES:
            top += self._change(edit, changes, route or to)
        edit.insert_top(top)
        if mask is not None:
            if from_caller:
                hide(edit, m, mask, in_to=False)
            else:
                show(edit, m, mask, in_to=True)
        return edit.render(), branch

    def _change(self, edit: Edit, changes: Changes, to: Flow) -> bytes:
        """Make these changes; the header lines that they add. Path stands before any other (RFC 3327 5.2)."""
        if changes.uri:
            edit.replace_uri(changes.uri)
        for start, end, new in changes.slices:
            edit.replace(start, end, new)
        if changes.routes:
            return b"Route: " + b", ".join(changes.routes) + b"\r\n"
        if not changes.path:
            return b""
        return b"Path: <sip:%s%s;lr>\r\n" % (self._here.sent_by(to.transport, to.local), URI_ENDS[to.transport])

    @staticmethod
    def _hops(m: Message) -> int:
        """One hop less; an emergency call goes on even where the number cannot be read."""
        try:
            return max((m.max_forwards() or 0) - 1, 0)
        except BadHeader:
            return MAX_FORWARDS

    @staticmethod
    def _length(edit: Edit, m: Message, to: Flow) -> bytes:
        """A Content-Length where a datagram had none: a stream cannot do without (RFC 3261 18.3). That of an emergency
        call is put right, so that nobody waits for bytes that never come."""
        if m.whole and (to.transport == "udp" or b"content-length" in m.index):
            return b""
        for place, field in enumerate(m.fields):
            if field.name == b"content-length":
                edit.remove_line(place)
        return b"Content-Length: %d\r\n" % len(m.body())

    @staticmethod
    def _route_values(m: Message) -> list[NameAddr]:
        """Route; of an emergency call that one cannot read nothing is made, and it goes where it would without."""
        if b"route" not in m.index:
            return []
        try:
            return m.routes()
        except BadHeader:
            return []

    def branch(self, m: Message) -> bytes:
        """A new branch: our token, a number, and a digest of what would make a second pass a loop (16.6 step 8). Of an
        ACK, for which no transaction stands, the same each time that it is sent (16.11): its number is what its
        sender's Via says, behind a letter that no other has."""
        if m.method == b"ACK":
            seed = crc32(m.first(b"via") or b"")
            return b"z9hG4bK%s-r%x-%08x" % (self._token, seed, self._loop_digest(m))
        return self._branch(self._loop_digest(m))

    def own_branch(self, seed: bytes) -> bytes:
        """A new branch for a request of our own."""
        return self._branch(crc32(seed))

    def _branch(self, digest: int) -> bytes:
        self._n += 1
        return b"z9hG4bK%s-%x-%08x" % (self._token, self._n, digest)

    def _loop_digest(self, m: Message) -> int:
        """A digest of what would make a second pass a loop."""
        what = [m.uri, m.first(b"call-id") or b"", m.first(b"cseq") or b"", m.first(b"from") or b""]
        what.append(m.first(b"to") or b"")
        what += [b"\0".join(m.all(name)) for name in _LOOP_LISTS if name in m.index]
        return crc32(b"".join(what))

    def looped(self, m: Message) -> bool:
        """Whether the request was here before with nothing changed (RFC 3261 16.3 step 4)."""
        if m.data.find(self._token) < 0:
            return False
        digest = b"-%08x" % self._loop_digest(m)
        mine = b"z9hG4bK" + self._token + b"-"
        try:
            return any((v.branch or b"").startswith(mine) and (v.branch or b"").endswith(digest) for v in m.vias())
        except BadHeader:
            return False

    def in_dialog(self, m: Message) -> bool:
        """Whether the request belongs to a dialog: its To has a tag."""
        try:
            return m.to().tag is not None
        except BadHeader:
            return False

    def _record_route(self, m: Message, arrived: Flow, to: Flow) -> bytes:
        """Our place in the dialog's route; two where the sides differ (RFC 5658), sips where the call is (RFC 3261 16.6
        step 4)."""
        sips = secure(m.uri)
        sent_by = self._here.sent_by(to.transport, to.local)
        there = _route(to.transport, sent_by, sips=sips)
        near_by = self._here.sent_by(arrived.transport, arrived.local)
        if near_by == sent_by and arrived.transport == to.transport:
            return there
        return there + _route(arrived.transport, near_by, sips=sips)

    def _routes(self, edit: Edit, m: Message, to: Flow, *, within: bool) -> None:
        """Take our own Route values off, and our own address out of the Request-URI (RFC 3261 16.4, 16.6 step 2).

        Strict routers, before us and behind us, are served within dialogs only: a set-up goes to the Request-URI that
        was judged, whatever its Route would make of it.
        """
        routes = self._route_values(m)
        ours = 0
        while ours < len(routes) and self.ours(routes[ours].uri):
            ours += 1
        if routes:
            self._shorten(edit, m, routes, ours, within=within)
        if within:
            return
        uri = m.uri
        if len(routes) == ours and self.ours(uri) and uri.find(b"@") >= 0 and not self.in_dialog(m):
            uri = self._at_hop(uri, to)
        if to.transport != "tls" and secure(uri):
            # Only an emergency call comes here: it is put through without TLS rather than not at all.
            uri = b"sip:" + uri[5:]
        if uri != m.uri:
            edit.replace_uri(uri)

    def _shorten(self, edit: Edit, m: Message, routes: list[NameAddr], ours: int, *, within: bool) -> None:
        """Without the first so many, our own; and in the order that strict routers want."""
        uri, rest = m.uri, routes[ours:]
        values = [r.text for r in rest]
        if within and rest and self._strict(m):
            # A strict router put us into the Request-URI and the target at the end of the route (16.4).
            uri = rest.pop().uri
            values.pop()
        if within and rest and not self._loose(rest[0].uri):
            # One comes next: it wants to be in the Request-URI, and the target at the end of the route (16.6 step 6).
            values = [*values[1:], b"<" + uri + b">"]
            uri = rest[0].uri
        if uri != m.uri:
            edit.replace_uri(uri)
        if ours or uri != m.uri:
            edit.set_routes(values)

    def ours(self, raw: bytes) -> bool:
        """Whether a URI names one of our addresses."""
        found = self._ours.known.get(raw)
        return found if found is not None else keep(self._ours, raw, raw, self._is_ours(raw))

    def only_ours(self, line: bytes) -> bool:
        """Whether all values of a Record-Route line name our addresses."""
        found = self._only_ours.known.get(line)
        return found if found is not None else keep(self._only_ours, line, line, self._are_ours(line))

    def _is_ours(self, raw: bytes) -> bool:
        try:
            uri = parse_uri(raw)
        except BadUri:
            return False
        if uri.scheme not in {"sip", "sips"}:
            return False
        over_tls = uri.scheme == "sips" or (uri.params.get("transport") or "").lower() == "tls"
        return self._here.is_us(uri.host, uri.port, TLS_PORT if over_tls else DEFAULT_PORT)

    def _are_ours(self, line: bytes) -> bool:
        try:
            values = [parse_name_addr(line, a, b, "Record-Route") for a, b in split_values(line, 0, len(line))]
        except BadHeader:
            return False
        return all(self.ours(value.uri) for value in values)

    def _strict(self, m: Message) -> bool:
        return self._loose(m.uri) and self.ours(m.uri)

    @staticmethod
    def _loose(raw: bytes) -> bool:
        try:
            return "lr" in parse_uri(raw).params
        except BadUri:
            return True  # what cannot be read is left where it stands

    @staticmethod
    def _at_hop(raw: bytes, to: Flow) -> bytes:
        """A Request-URI that named us, naming the next hop: what was sent to our address is meant for the trunk."""
        head, _, tail = raw.rpartition(b"@")
        host, port = to.peer
        shown = b"[" + host.encode() + b"]" if ":" in host else host.encode()
        params = tail[tail.index(b";") :] if SEMICOLON in tail else b""
        usual = TLS_PORT if secure(raw) else DEFAULT_PORT
        return head + b"@" + shown + (b"" if port == usual else b":%d" % port) + params

    def for_us(self, m: Message) -> bool:
        """Whether a request is meant for the guard itself: its Request-URI is our address, without a user."""
        return b"@" not in m.uri and self.ours(m.uri) and len(self._others(m)) == 0

    def _others(self, m: Message) -> list[NameAddr]:
        routes = self._route_values(m)
        while routes and self.ours(routes[0].uri):
            routes = routes[1:]
        return routes

    def route_left(self, m: Message) -> bool:
        """Whether a request has Route values beyond our own."""
        return b"route" in m.index and bool(self._others(m))

    def next_target(self, m: Message) -> Target | None:
        """Where the next Route, or else the Request-URI, points; None for a name, and for ourselves."""
        routes = self._others(m)
        return self._target(routes[0].uri if routes else m.uri)

    def target(self, routes: Sequence[bytes], uri: bytes) -> Target | None:
        """The same for a request of our own with these Route values and this Request-URI."""
        return self._target(self._uri_of(routes[0]) if routes else uri)

    def _target(self, raw: bytes) -> Target | None:
        return None if self.ours(raw) else target_of(raw)

    @staticmethod
    def _uri_of(value: bytes) -> bytes:
        return parse_name_addr(value, 0, len(value), "Route").uri

    def addressed(self, contact: bytes, routes: tuple[bytes, ...]) -> tuple[bytes, tuple[bytes, ...]]:
        """Request-URI and Route values of a request of our own within a dialog: where a strict router comes first, it
        is in the Request-URI, and the contact ends the route (RFC 3261 12.2.1.1)."""
        if not routes or self._loose(self._uri_of(routes[0])):
            return contact, routes
        return self._uri_of(routes[0]), (*routes[1:], b"<" + contact + b">")

    # ---- responses -------------------------------------------------------------------------------------------------

    def response(
        self, m: Message, to: Flow, *, mask: Mask | None = None, to_caller: bool = True, slices: Sequence[Slice] = ()
    ) -> bytes:
        """A response as it goes back: without our Via (RFC 3261 16.7 step 3). `to_caller`: the caller had asked."""
        edit = Edit(m)
        edit.remove_top_via()
        for start, end, new in slices:
            edit.replace(start, end, new)
        edit.insert_top(self._length(edit, m, to))
        if mask is not None:
            if to_caller:
                show(edit, m, mask, in_to=False)
            else:
                hide(edit, m, mask, in_to=True)
        return edit.render()

    def answer(
        self, m: Message, flow: Flow, status: int, phrase: bytes, headers: Sequence[bytes] = (), *, loose: bool = False
    ) -> bytes:
        """A response of our own, with a tag that is the same for the same request (RFC 3261 8.2.7), and tells of a
        `loose` one that no transaction is behind it."""
        mine = self._token[:8] + LOOSE if loose else self._token[:8]
        tag = None if status == 100 else b"%s%08x" % (mine, crc32(m.first(b"via") or b""))
        return response(m, status, phrase, to_tag=tag, headers=headers, received=flow.peer)

    def own_tag(self, tag: bytes) -> bool:
        """Whether a To tag is of an answer of ours (RFC 3261 17.1.1.3: its ACK has it)."""
        mine = self._token[:8]
        return tag.startswith(mine) and len(tag) in {len(mine) + 8, len(mine) + len(LOOSE) + 8}

    # ---- requests of our own ---------------------------------------------------------------------------------------

    def cancel(self, invite: bytes, why: Sequence[bytes] = ()) -> bytes:
        """The CANCEL of an INVITE that we sent (RFC 3261 9.1)."""
        return self._derived(self._sent(invite), b"CANCEL", None, why)

    def acknowledge(self, invite: bytes, answer: Message) -> bytes:
        """The ACK of a final answer to an INVITE that we sent, its To as answered (RFC 3261 17.1.1.3)."""
        return self._derived(self._sent(invite), b"ACK", answer.first(b"to"), ())

    @staticmethod
    def _sent(data: bytes) -> Message:
        """What we sent; an emergency call went as it came, and may be no message for anybody else."""
        try:
            return parse(data, most=MAX_LINES + OWN_LINES)
        except BadMessage as error:
            if error.message is None:
                raise
            return error.message

    @staticmethod
    def _derived(invite: Message, method: bytes, to: bytes | None, more: Sequence[bytes]) -> bytes:
        number = (invite.first(b"cseq") or b"").split(b" ", 1)[0]  # as it was said, readable or not
        lines = [
            method + b" " + invite.uri + b" SIP/2.0\r\n",
            b"Via: " + (invite.first(b"via") or b"") + b"\r\n",
            *(b"Route: " + r + b"\r\n" for r in invite.all(b"route")),
            b"From: " + (invite.first(b"from") or b"") + b"\r\n",
            b"To: " + (to or invite.first(b"to") or b"") + b"\r\n",
            b"Call-ID: " + (invite.first(b"call-id") or b"") + b"\r\n",
            b"CSeq: " + number + b" " + method + b"\r\n",
            b"Max-Forwards: %d\r\n" % MAX_FORWARDS,
            *more,
            b"Content-Length: 0\r\n\r\n",
        ]
        return b"".join(lines)
