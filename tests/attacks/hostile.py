"""Messages made to keep a reader busy: each grows with `n`, and so may the work for it, but no faster.

python -m tests.attacks.hostile      what each costs, at 15 000 and at 60 000 octets
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from guard.proxy.effects import Flow
from tests.proxy.world import GUARD, STRANGER, UP, World, request

SHORT: Final = 15_000
LONG: Final = 60_000  # octets: about what a datagram can carry
BASE: Final = request()
VIA: Final = b"SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKb1"
FROM: Final = b"<sip:+33145678901@127.0.0.2>;tag=a1"
URI: Final = b"sip:+33145670001@127.0.0.1 SIP"
CONTACT: Final = b"<sip:127.0.0.2:5060>"


def put(old: bytes, new: bytes) -> bytes:
    """The usual INVITE with something else in one place."""
    assert old in BASE
    return BASE.replace(old, new, 1)


def more(line: bytes) -> bytes:
    """The usual INVITE with more header lines."""
    return put(b"Content-Length", line + b"\r\nContent-Length")


def hostile(n: int) -> Iterator[tuple[str, bytes]]:
    """Each by its name, with about `n` octets of what makes it hostile."""
    yield "folds", more(b"X: a" + b"\r\n x" * (n // 4))
    yield "empty folds", more(b"X: a" + b"\r\n " * (n // 3))
    yield "header lines", more(b"X:a\r\n" * (n // 5) + b"X:a")
    yield "Via lines", put(b"Max-F", b"Via: a\r\n" * (n // 8) + b"Max-F")
    yield "brackets in Contact", put(CONTACT, b"<" * n + b",")
    yield "brackets in Via", put(VIA, VIA + b";x=" + b"<" * n + b",")
    yield "quotes", put(CONTACT, b'"' * n + b",")
    yield "escaped quotes", put(CONTACT, b'"' + b'\\"' * (n // 2) + b",<sip:a@b>")
    yield "backslashes", put(FROM, b'"' + b"\\a" * (n // 2) + b'" <sip:a@b>;tag=1')
    yield "commas", put(CONTACT, b"," * n)
    yield "routes", more(b"Route: " + b"<a>," * (n // 4))
    yield "commas in Via", put(VIA, VIA + b"," * n)
    yield "values in Via", put(VIA, VIA + b", SIP/2.0/UDP h" * (n // 15))
    yield "parameters of Via", put(VIA, VIA + b";a" * (n // 2))
    yield "space in Via", put(VIA, b"SIP/2.0/UDP 127.0.0.2" + b" " * n + b"x;branch=z9hG4bKb1")
    yield "space before a port", put(VIA, b"SIP/2.0/UDP 127.0.0.2 :" + b" " * n + b"x;branch=z9hG4bKb1")
    yield "a long host", put(VIA, b"SIP/2.0/UDP " + b"a" * n)
    yield "semicolons", put(FROM, b"<sip:a@b>" + b";" * n + b'"')
    yield "a name of many words", put(FROM, b"a " * (n // 2) + b"<sip:a@b>;tag=1")
    yield "identities", more(b"P-Asserted-Identity: " + b"<sip:a@b>," * (n // 10))
    yield "diversions", more(b"Diversion: <sip:+331@h>;a\r\n" * (n // 27) + b"X: a")
    yield "history", more(b"History-Info: " + b"<sip:a@b?Reason=x>;index=1," * (n // 27))
    yield "Call-ID", put(b"c1@pbx", b"c" * n)
    yield "digits of CSeq", put(b"CSeq: 1", b"CSeq: " + b"1" * n)
    yield "space in CSeq", put(b"CSeq: 1", b"CSeq: 1" + b" " * n)
    yield "zeros of a length", put(b"Length: 0", b"Length: " + b"0" * n)
    yield "space before a length", put(b"Length: 0", b"Length: " + b" " * n + b"x")
    yield "a long URI", put(URI, b"sip:" + b"a" * n + b" SIP")
    yield "emergency services", put(URI, b"urn:service:sos" + b"." * n + b" SIP")
    yield "an emergency call", put(URI, b"sip:112@h SIP").replace(CONTACT, b"<" * n)
    yield "credentials", more(b"Authorization: Digest username=" + b"a," * (n // 2))
    yield "privacy", more(b"Privacy: " + b"id;" * (n // 3))
    yield "extensions", more(b"Proxy-Require: " + b"a," * (n // 2))
    yield "sip.608", put(CONTACT, CONTACT + b";" + b" " * n + b"+sip.60")
    yield "bare line feeds", more(b"X: " + b"\n\r" * (n // 2))
    yield "empty lines", b"\r\n" * (n // 2) + BASE
    yield "lines that end in LF", BASE.replace(b"\r\n", b"\n").replace(b"Content", b"X:\n" * (n // 3) + b"Content")


def cost(data: bytes, flow: Flow) -> float:
    """Seconds of processor time that the core takes for it: the best of three."""
    best = 1e9
    for _ in range(3):
        world = World()
        begun = time.process_time()
        world.core.receive(data[:65_507], flow, world.now)
        best = min(best, time.process_time() - begun)
    return best


def main() -> None:
    """A table, the dearest first."""
    for name, flow in (("a stranger", Flow("udp", GUARD, STRANGER)), ("the IPBX", UP)):
        rows = []
        for (what, short), (_, long) in zip(hostile(SHORT), hostile(LONG), strict=True):
            small, large = cost(short, flow), cost(long, flow)
            rows.append((large, large / small, what))
        print(f"from {name}: {len(rows)} messages; the dearest:")
        for large, growth, what in sorted(rows, reverse=True)[:8]:
            print(f"  {large * 1000:7.1f} ms at {LONG} octets, {growth:4.1f} times that at {SHORT}: {what}")


if __name__ == "__main__":
    main()
