"""Registration through the guard (RFC 3261 10): the Contact of a REGISTER becomes one of the guard's own, and back.

Towards the operator the guard stands where the IPBX stood: the user part stays, host and port are the guard's, and the
URI parameter `guard` holds what was there, where its calls go, and a MAC of both. So nothing has to be remembered: a
guard that was restarted, or another one with the same key, still finds the IPBX, and nobody can point calls elsewhere.
The registrar keeps the bindings, their number, order and expiry; digests, Call-ID and CSeq pass as they are.

What was registered over a TCP or TLS connection is called over that connection while it stands (`flows.py`; RFC 5626
5.3), and where its Contact says once it is gone. Its token holds a digest of the account as well: nobody who registers
another account, whatever Contact he writes, can draw its calls to a connection of his own.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from collections.abc import Iterator
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

from guard.proxy.effects import Flow, Transport
from guard.proxy.flows import Flows
from guard.proxy.forward import URI_ENDS
from guard.proxy.routing import Here, numeric, secure, target_of
from guard.proxy.shapes import Bound, Target
from guard.sip.edit import Slice
from guard.sip.headers import BadHeader, NameAddr
from guard.sip.message import BadMessage, Message, parse
from guard.sip.uri import BadUri, Uri, parse_uri
from guard.sources import Source, Sources

MARK: Final = b";guard="
MAX_CONTACTS: Final = 32  # of one REGISTER: an IPBX registers one, a phone with several accounts a handful
MAX_HOST_PART: Final = 320  # bytes behind the @ of a Contact: its token, 60 % longer, still fits a registrar's column
MAX_TOKEN: Final = 1_024  # characters that are read: those of the longest host part, a next hop and a MAC are fewer
MAC_BYTES: Final = 10  # 80 bits: guessed once in 10^24 requests of the operator's
VISIBLE: Final = frozenset({b"user", b"bnc"})  # parameters that a registrar goes by (RFC 3261 19.1.1, RFC 6140 5.2)
BURST: Final = 2_000  # REGISTERs of one source at once: a big IPBX registers all its lines when it starts
PER_SECOND: Final = 100  # and from then on: 6 000 lines, refreshed each minute
_PRICE: Final = 1_000_000 // PER_SECOND  # µs
# Flags of a token: its scheme is sips; a next hop is named, before what stood behind the @; it was registered over a
# connection, and a digest of the account comes first; its phone keeps that connection for its calls (RFC 5626).
_SIPS, _HOP, _FLOW, _OUTBOUND = 1, 2, 4, 8
ACCOUNT_BYTES: Final = 8  # of an account's digest: two of one site that are alike would share a connection
_TRANSPORTS: Final[dict[str, Transport]] = {"udp": "udp", "tcp": "tcp", "tls": "tls"}


class BadBinding(Exception):
    """A REGISTER that cannot be carried: the status to answer, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Bindings:
    """Writes and reads such Contacts. `secret` is the key of their MACs; with None they are read unproven, for who only
    watches."""

    def __init__(self, secret: bytes | None, here: Here) -> None:
        self._secret = secret
        self._here = here
        self.flows = Flows()
        self._left: dict[str, tuple[int, int]] = {}  # source -> the time (µs) that it may spend on REGISTERs, and when

    def admit(self, source: Source, now: int) -> bool:
        """Whether one more REGISTER of a source may go on: a flood of them must not fill the guard."""
        left, at = self._left.get(source.name, (BURST * _PRICE, now))
        left = min(left + now - at, BURST * _PRICE)
        good = left >= _PRICE
        self._left[source.name] = (left - _PRICE if good else left, now)
        return good

    # ---- towards the operator --------------------------------------------------------------------------------------

    def outward(self, m: Message, source: Source, sources: Sources, arrived: Flow, to: Flow) -> tuple[Slice, ...]:
        """The edits that make the Contacts of a REGISTER ours. Raises BadBinding."""
        out: list[Slice] = []
        try:
            account = self._account(m, arrived)
            for at, value in _contacts(m):
                if not _sip(value.uri):
                    continue  # `*`, or an address that is none of SIP's
                if len(out) == MAX_CONTACTS:
                    raise BadBinding(403, f"more than {MAX_CONTACTS} contacts in one REGISTER")
                out.append(_replaced(at, value, self._ours(value, source, sources, arrived, to, account)))
        except (BadHeader, BadUri) as error:
            raise BadBinding(400, f"Contact: {error}") from error
        return tuple(out)

    @staticmethod
    def _account(m: Message, arrived: Flow) -> bytes:
        """A digest of the account that registers over a connection of its own, b"" where it does not: over UDP, or
        through a proxy, whose connection is not its own (RFC 5626 5.1). Raises BadHeader."""
        if arrived.conn == 0 or len(m.vias()) > 1:
            return b""
        return blake2b(m.to().uri, digest_size=ACCOUNT_BYTES, person=b"account").digest()

    def _ours(
        self, value: NameAddr, source: Source, sources: Sources, arrived: Flow, to: Flow, account: bytes
    ) -> bytes:
        """The URI that stands in the place of a Contact's."""
        sips = secure(value.uri)
        if sips and to.transport != "tls":
            raise BadBinding(480, "a sips contact needs TLS on both sides")
        parsed = parse_uri(value.uri)
        user, at, rest = value.uri.partition(b":")[2].rpartition(b"@")
        if len(rest) > MAX_HOST_PART:
            raise BadBinding(400, f"Contact: more than {MAX_HOST_PART} bytes of host and parameters")
        there = target_of(value.uri)
        account = account if _over(parsed, arrived) else b""
        # Who keeps a connection open for his calls has to be called over it (RFC 5626 4.2.1).
        outbound = arrived.transport != "udp" and ("ob" in parsed.params or "reg-id" in value.params)
        if outbound or there is None or there[0] not in self._here.local or sources.find(there[1]) is not source:
            # The port that a connection came from takes none: without it the contact stays the same over another one.
            there = (arrived.transport, arrived.peer[0], 0 if account else arrived.peer[1])
        shown = b"".join(b";" + p for p in rest.partition(b"?")[0].split(b";")[1:] if _name(p) in VISIBLE)
        scheme, end = (b"sips:", b"") if sips else (b"sip:", URI_ENDS[to.transport])
        return (
            scheme
            + user
            + at
            + self._here.sent_by(to.transport, to.local)
            + end
            + shown
            + self._token(rest, there, _SIPS * sips | _OUTBOUND * outbound, account)
        )

    def _token(self, rest: bytes, there: Target, flags: int, account: bytes) -> bytes:
        sips, hop = bool(flags & _SIPS), b""
        if target_of(_whole(sips, b"", rest)) != there:
            flags |= _HOP
            hop = b"%s %s %d\0" % (there[0].encode(), there[1].encode(), there[2])
        if account:
            flags |= _FLOW
        payload = bytes((flags,)) + account + hop + rest
        # In base 32, since a URI's parameters may change their case on the way (RFC 3261 19.1.4).
        return MARK + b32encode(self._mac(payload) + payload).rstrip(b"=").lower()

    def _mac(self, payload: bytes) -> bytes:
        return blake2b(payload, digest_size=MAC_BYTES, key=self._secret or b"", person=b"contact").digest()

    def registered(self, sent: bytes, arrived: Flow) -> None:
        """A registrar accepted the REGISTER `sent`, which came over the connection `arrived`: its contacts are called
        over it from now on."""
        try:
            for _, value in _contacts(parse(sent)):
                bound = self.read(value.uri)
                if bound is not None and bound.key:
                    self.flows.keep(bound.key, arrived)
        except (BadMessage, BadHeader):
            return  # its request was carried on by the same reading: it cannot be

    # ---- towards the IPBX ------------------------------------------------------------------------------------------

    def read(self, uri: bytes) -> Bound | None:
        """What a URI stands for that the guard wrote; None for any other."""
        at = uri.lower().rfind(MARK)
        if at < 0 or not _sip(uri):
            return None
        token = uri[at + len(MARK) :].partition(b";")[0].partition(b"?")[0].upper()
        if len(token) > MAX_TOKEN:
            return None
        try:
            data = b32decode(token + b"=" * (-len(token) % 8))
        except (Base32Error, ValueError):
            return None
        mac, payload = data[:MAC_BYTES], data[MAC_BYTES:]
        if self._secret is not None and not compare_digest(mac, self._mac(payload)):
            return None
        return _bound(uri[:at].partition(b":")[2].rpartition(b"@")[0], payload)

    def inward(self, m: Message, source: Source, sources: Sources) -> tuple[Slice, ...]:
        """The edits that give a source its own Contacts back in the answer to a REGISTER; all others stay."""
        out: list[Slice] = []
        try:
            for at, value in _contacts(m):
                bound = self.read(value.uri)
                if bound is not None and sources.find(bound.target[1]) is source:
                    out.append(_replaced(at, value, bound.uri))
        except BadHeader:
            return ()  # then the answer goes as it came
        return tuple(out)


def _bound(user: bytes, payload: bytes) -> Bound | None:
    """What a token stands for in a URI of that user."""
    if not payload:
        return None
    flags, rest = payload[0], payload[1:]
    key, hop = b"", b""
    if flags & _FLOW:
        key, rest = payload, rest[ACCOUNT_BYTES:]
    if flags & _HOP:
        hop, _, rest = rest.partition(b"\0")
    own = _whole(bool(flags & _SIPS), user, rest)
    target = _target(hop) if hop else target_of(_whole(bool(flags & _SIPS), b"", rest))
    return Bound(own, target, key, bool(flags & _OUTBOUND)) if target is not None else None


def _over(contact: Uri, arrived: Flow) -> bool:
    """Whether calls to a contact may go over the connection that it was registered over: not where it names another
    transport, nor where sips asks for a better one."""
    if contact.scheme == "sips":
        return arrived.transport == "tls"
    return (contact.params.get("transport") or arrived.transport).lower() == arrived.transport


def _target(hop: bytes) -> Target | None:
    """What `Bindings._token` wrote of a next hop; None where it did not."""
    words = hop.decode("latin-1").split(" ")
    if len(words) != 3 or words[0] not in _TRANSPORTS or numeric(words[1]) is None or not words[2].isdigit():
        return None
    return _TRANSPORTS[words[0]], words[1], int(words[2])


def _whole(sips: bool, user: bytes, rest: bytes) -> bytes:
    return (b"sips:" if sips else b"sip:") + (user + b"@" if user else b"") + rest


def _sip(uri: bytes) -> bool:
    return uri[:4].lower() == b"sip:" or secure(uri)


def _name(parameter: bytes) -> bytes:
    return parameter.partition(b"=")[0].lower()


def _contacts(m: Message) -> Iterator[tuple[int, NameAddr]]:
    """Every value of Contact, with where its field begins. Raises BadHeader."""
    at = m.start_end
    for field in m.fields:
        if field.name == b"contact":
            for value in field.addrs("Contact"):
                yield at, value
        at += field.size


def _replaced(at: int, value: NameAddr, uri: bytes) -> Slice:
    """The edit that puts another URI into a value; one without brackets gets them."""
    shown = uri if value.bracketed else b"<" + uri + b">"
    return at + value.uri_start, at + value.uri_end, shown
