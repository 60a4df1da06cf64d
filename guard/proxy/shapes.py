"""What the parts of the proxy hand each other, frozen: hops and trunks, where a request goes, what of it changes.

Apart from the parts themselves, which are compiled (docs/performance.md): msgspec makes these classes.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from guard.numbering.number import Dial
from guard.proxy.effects import Flow, Transport
from guard.sip.edit import Slice
from guard.sources import Source

Target = tuple[Transport, str, int]  # transport, numeric host and port
Place = tuple[str, str, int]  # transport, host, port
# Call-ID, CSeq number and method, the address that asked and its branch: what answers and CANCEL share with a request.
SeenKey = tuple[bytes, int, bytes, str, bytes]


class Hop(Struct, frozen=True):
    """One next hop of a trunk, its name resolved: numeric host and port.

    Those of a lower `tier` come first; those of one tier share the calls by `weight` (RFC 2782). `name` is whom its
    certificate has to name, "" for its address (RFC 5922).
    """

    transport: Transport
    host: str
    port: int
    tier: int = 0
    weight: int = 1
    name: str = ""


class Trunk(Struct, frozen=True, kw_only=True):
    """One `[[trunk]]` as the wire sees it. `mask_caller` is E.164, or "" for anonymous.

    A hop that says nothing for `silence` (µs) is left; each is pinged `every` µs (0: never) where there are several; it
    is down after `down_after` failures in a row, up after `up_after` answers. `tls_ca` is the file of the CA that its
    certificates come from, "" for the one of all. `large` is the way of requests that are too long for UDP: over TCP
    where it is listed (auto), wherever it may be (tcp), never (udp).
    """

    name: str
    hops: tuple[Hop, ...]
    mask_caller: str = ""
    silence: int = 1_000_000
    every: int = 0
    down_after: int = 2
    up_after: int = 1
    tls_ca: str = ""
    large: Literal["auto", "tcp", "udp"] = "auto"


class Identity(Struct, frozen=True):
    """Who a TLS peer has to be: its certificate bears one of these names, and comes from `ca` ("": the usual one)."""

    names: tuple[str, ...]
    ca: str = ""


class CoreSettings(Struct, frozen=True, kw_only=True):
    """What the core has to know of the world. `token` makes branches unguessable: random, chosen by the driver.

    `listens` are the bound addresses; `advertise` replaces their host in Via and Record-Route where it differs ("" : it
    does not). `emergency_from_unknown` says from which strangers an emergency call is carried all the same. `secret`
    signs the Contacts that the guard registers (`bindings`): the same in every life of it; empty: the token. With
    `screens_inbound` calls that come in wait for their decision; without they are carried at once, and recorded.
    """

    listens: tuple[tuple[Transport, str, int], ...]
    token: str
    site: str = "guard"
    advertise: str = ""
    emergency_from_unknown: Literal["private", "any", "none"] = "private"
    secret: bytes = b""
    screens_inbound: bool = False


class Mask(Struct, frozen=True, kw_only=True):
    """What one masked call hides. `original` and `shown` are From without its parameters; both are the same where only
    asserted identities are masked. `number` is shown in their place, "" for anonymous. `contact` is the user part of
    the caller's Contact where that is hidden as well, b"" where it is not."""

    original: bytes
    shown: bytes
    numbers: frozenset[str]
    number: str
    dial: Dial
    contact: bytes = b""

    def also(self, other: Mask) -> Mask:
        """With what another target of the call hides."""
        return replace(self, numbers=self.numbers | other.numbers, contact=self.contact or other.contact)


class Changes(Struct, frozen=True):
    """What is changed of a message beyond a proxy's own: another Request-URI (b"": no other), slices, whether the
    guard's Path is put before what is there, and Route values that it lacks."""

    uri: bytes = b""
    slices: tuple[Slice, ...] = ()
    path: bool = False
    routes: tuple[bytes, ...] = ()


NO_CHANGES: Final = Changes()


class Bound(Struct, frozen=True):
    """What a Contact of ours stands for: the IPBX's own URI, and where requests for it go.

    `key` is what the connection is known by over which it was registered, b"" for none; the port of `target` is 0 where
    that is the only way. An `outbound` one keeps several such ways at its registrar (RFC 5626)."""

    uri: bytes
    target: Target
    key: bytes = b""
    outbound: bool = False

    @property
    def request_uri(self) -> bytes:
        """The URI as a request to it bears it: without the headers that it may embed (RFC 3261 19.1.1)."""
        return self.uri.partition(b"?")[0]


class Inbound(Struct, frozen=True):
    """Whom a trunk's request is for, where it goes, and its Request-URI there (b"": as it is); `bound` where it goes by
    what was registered."""

    source: Source
    target: Target
    uri: bytes = b""
    bound: Bound | None = None


class Way(Struct, frozen=True):
    """The way to a source, and what a request says there. Without a `flow` there is none any more: `status` says so."""

    source: Source
    flow: Flow | None
    changes: Changes = NO_CHANGES
    status: int = 0


class Limit(Struct, frozen=True):
    """What one INVITE may talk (µs), by which rule, and where its caller is reached: his Contact, and the proxies on
    the way to him."""

    max_us: int
    rule: str
    contact: bytes
    routes: tuple[bytes, ...]


class Origin(Struct, frozen=True):
    """Who sent a request, and what it is remembered by. Either `source` or `trunk` is None, both of a stranger.

    `urgent` is the emergency number that it calls. With `ours` the guard sent it on: `original` is then what the
    request would be remembered by that it sent on, None where it does not tell.
    """

    key: SeenKey
    address: str
    source: Source | None
    trunk: Trunk | None
    urgent: str
    ours: bool = False
    original: SeenKey | None = None


class Condition(Struct, frozen=True):
    """One hop as people are shown it. `why` is what last took it out, "" while it is up."""

    trunk: str
    place: Place
    up: bool
    why: str
