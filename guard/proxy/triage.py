"""What a message is, at a glance: which of those that wait is served first when there are more than can be served.

Only an order rests on this, and whether a stranger waits at all. Who is refused for want of time is told apart by the
core itself, which reads the whole message.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from guard.proxy.context import Context
from guard.proxy.door import urgent
from guard.proxy.effects import Flow
from guard.sip.message import BadMessage, parse

Lot = Literal["urgent", "going", "new", "stranger", "over"]
MAX_START: Final = 2_048  # bytes looked at for a start line; one that is longer is read as the core reads it
WORDS: Final = 3  # of a request line (RFC 3261 7.1)
# A compact or long To with a tag, on one line. A folded one is taken for none: then its request waits its turn.
_TO_TAG: Final = re.compile(rb"\n(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=", re.IGNORECASE)
_CALL_ID: Final = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\s]+)", re.IGNORECASE)
MAX_HEAD: Final = 8_192  # bytes in which a To and a Call-ID are looked for: who writes more before them waits its turn
_SETS_UP: Final = frozenset({b"INVITE", b"CANCEL"})


class Triage:
    """Sorts messages of one core. Nothing is kept."""

    def __init__(self, context: Context) -> None:
        self._c = context

    def lot(self, data: bytes, flow: Flow) -> Lot:
        """`urgent`: an emergency call that is to be carried, and whatever is said in one that is up. `new`: a first
        INVITE of somebody listed, or the CANCEL of one, which must not overtake it. `going`: whatever else somebody
        listed sends: it is of a call that is under way, or short. `over`: an ACK that nothing waits for, as its answer
        left nothing behind. `stranger`: the rest."""
        c = self._c
        address = flow.peer[0]
        source = c.sources.find(address)
        trunk = c.trunks.by_address.get(address) if source is None else None
        start = data[:MAX_START].lstrip(b"\r\n").partition(b"\n")[0].split()
        method = start[0] if start else b""
        if method == b"INVITE" and trunk is None and self._urgent(data, start, flow):
            return "urgent"
        new = method in _SETS_UP and _TO_TAG.search(data, 0, MAX_HEAD) is None
        if c.calls.helping and (not new or method == b"CANCEL") and self._helps(data):
            return "urgent"
        if source is None and trunk is None:
            return "stranger"
        if method == b"ACK" and data.find(c.forwarder.loose, 0, MAX_HEAD) >= 0:
            return "over"
        return "new" if new else "going"

    def _urgent(self, data: bytes, start: list[bytes], flow: Flow) -> bool:
        c = self._c
        address = flow.peer[0]
        uri = start[1] if len(start) == WORDS else self._uri(data, flow)
        return bool(urgent(uri, c.sources.find(address), address, c.settings.emergency_from_unknown))

    def _helps(self, data: bytes) -> bool:
        """Whether it bears the name of an emergency call that is up."""
        found = _CALL_ID.search(data, 0, MAX_HEAD)
        return found is not None and found[1] in self._c.calls.helping

    @staticmethod
    def _uri(data: bytes, flow: Flow) -> bytes:
        """The Request-URI of a line that is not plain, as the core reads it; b"" where it reads none."""
        try:
            return parse(data, stream=flow.transport != "udp").uri
        except BadMessage as bad:
            return bad.message.uri if bad.message is not None else b""
