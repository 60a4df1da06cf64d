"""Caller masking: the number that must not be shown is replaced on the way to the operator, and put back as it was on
the way to the IPBX, all dialog long (contracts 003 I-11, IV-12: the operator may change a presented 089B).

From and To are swapped whole (display name and URI, never the tag), so the way back needs no parsing of numbers.
P-Asserted-Identity, P-Preferred-Identity and Remote-Party-ID lines that name a masked number are replaced, or removed
where the caller is shown as anonymous.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from guard.model import Decision
from guard.numbering.number import Dial
from guard.proxy import facts
from guard.sip.edit import Edit
from guard.sip.headers import BadHeader
from guard.sip.message import Message
from guard.sources import Source

ANONYMOUS: Final = b'"Anonymous" <sip:anonymous@anonymous.invalid>'  # RFC 3323 4.1.1.3
IDENTITY_HEADERS: Final = (b"p-asserted-identity", b"p-preferred-identity", b"remote-party-id")


class Mask(Struct, frozen=True, kw_only=True):
    """What one masked call hides. `original` and `shown` are From without its parameters; both are the same where only
    asserted identities are masked. `number` is shown in their place, "" for anonymous."""

    original: bytes
    shown: bytes
    numbers: frozenset[str]
    number: str
    dial: Dial


def _shown(uri: bytes, number: str) -> bytes:
    """A URI with its user part replaced by `number`: scheme, host and parameters stay as they are."""
    scheme, _, rest = uri.partition(b":")
    user, at, host = rest.rpartition(b"@")
    if scheme.strip().lower() == b"tel" or not at:
        return b"tel:" + number.encode()
    password = user.partition(b":")[1:]  # a user part may carry parameters (;phone-context=…): they go with the number
    return scheme + b":" + number.encode() + b"".join(password) + b"@" + host


def mask_of(m: Message, decision: Decision, source: Source | None) -> Mask:
    """The mask of a call, from its first INVITE and the decision."""
    dial = source.dial if source is not None else facts.PLAIN_DIAL
    numbers = frozenset(decision.masked_numbers)
    sender = m.from_()
    original = m.data[sender.start : sender.params_start].rstrip()
    shown = original
    if facts.number_of(sender.uri, dial).value in numbers:
        shown = b"<" + _shown(sender.uri, decision.presented) + b">" if decision.presented else ANONYMOUS
    return Mask(original=original, shown=shown, numbers=numbers, number=decision.presented, dial=dial)


def hide(edit: Edit, m: Message, mask: Mask, *, in_to: bool) -> None:
    """Towards the operator: the caller's own number leaves From (or To, in its answers), and the identity lines."""
    _swap(edit, m, mask.shown, in_to=in_to)
    withheld = False
    for i, (name, _, value_start, end) in enumerate(m.lines):
        if name not in IDENTITY_HEADERS:
            continue
        try:
            uris = [v.uri for v in m.routes(name)]
        except BadHeader:
            uris = []
        if not any(facts.number_of(u, mask.dial).value in mask.numbers for u in uris):
            continue
        if mask.number:
            uri = next((_shown(u, mask.number) for u in uris), b"")
            edit.replace(value_start, end, b"<" + uri + b">\r\n")
        else:
            edit.remove_line(i)
            withheld = True
    if (withheld or mask.shown == ANONYMOUS) and not m.count(b"privacy") and m.is_request:
        edit.insert_top(b"Privacy: id\r\n")


def show(edit: Edit, m: Message, mask: Mask, *, in_to: bool) -> None:
    """Towards the IPBX: its own number stands again where it stood."""
    _swap(edit, m, mask.original, in_to=in_to)


def _swap(edit: Edit, m: Message, with_: bytes, *, in_to: bool) -> None:
    party = m.to() if in_to else m.from_()
    now = m.data[party.start : party.params_start]
    if now.rstrip() != with_:
        edit.replace(party.start, party.start + len(now.rstrip()), with_)
