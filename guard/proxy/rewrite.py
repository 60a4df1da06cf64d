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
from guard.proxy.facts import PLAIN_DIAL, number_of
from guard.sip.edit import Edit
from guard.sip.grammar import split_values
from guard.sip.headers import BadHeader, NameAddr
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
    dial = source.dial if source is not None else PLAIN_DIAL
    numbers = frozenset(decision.masked_numbers)
    sender = m.from_()
    original = sender.address.rstrip()
    shown = original
    if number_of(sender.uri, dial).value in numbers:
        shown = b"<" + _shown(sender.uri, decision.presented) + b">" if decision.presented else ANONYMOUS
    return Mask(original=original, shown=shown, numbers=numbers, number=decision.presented, dial=dial)


def hide(edit: Edit, m: Message, mask: Mask, *, in_to: bool) -> None:
    """Towards the operator: the caller's own number leaves From (or To, in its answers), and the identity lines."""
    _swap(edit, m, mask.shown, in_to=in_to)
    withheld = False
    for i, (name, _, start, end) in enumerate(m.lines):
        if name in IDENTITY_HEADERS and _hide_line(edit, m, i, start, end, mask):
            withheld = True
    if (withheld or mask.shown == ANONYMOUS) and m.is_request:
        _ask_privacy(edit, m)


def _hide_line(edit: Edit, m: Message, i: int, start: int, end: int, mask: Mask) -> bool:
    """Mask the values of one identity line. True where some were taken out, and not only replaced."""
    data = m.data
    spans = split_values(data, start, end)
    try:
        values = [NameAddr(data, *span, "identity") for span in spans]
    except BadHeader:
        edit.remove_line(i)  # nobody can say that the number is not in it
        return True
    masked = [number_of(v.uri, mask.dial).value in mask.numbers for v in values]
    if not any(masked):
        return False
    if mask.number:
        for value, hidden in zip(values, masked, strict=True):
            if hidden:
                edit.replace(value.start, value.params_start, b"<" + _shown(value.uri, mask.number) + b">")
        return False
    kept = [data[first:past] for (first, past), hidden in zip(spans, masked, strict=True) if not hidden]
    if kept:
        edit.replace(start, end, b" " + b", ".join(kept) + b"\r\n")
    else:
        edit.remove_line(i)
    return True


def _ask_privacy(edit: Edit, m: Message) -> None:
    """Ask the operator to withhold what is left to withhold (RFC 3325 9.3), whatever the caller had asked."""
    asked = [t.strip() for value in m.all(b"privacy") for t in value.split(b";")]
    if any(t.lower() == b"id" for t in asked):
        return
    for place, field in enumerate(m.fields):
        if field.name == b"privacy":
            edit.remove_line(place)
    asked = [t for t in asked if t and t.lower() != b"none"]
    edit.insert_top(b"Privacy: " + b";".join([*asked, b"id"]) + b"\r\n")


def show(edit: Edit, m: Message, mask: Mask, *, in_to: bool) -> None:
    """Towards the IPBX: its own number stands again where it stood."""
    _swap(edit, m, mask.original, in_to=in_to)


def _swap(edit: Edit, m: Message, with_: bytes, *, in_to: bool) -> None:
    party = m.to() if in_to else m.from_()
    now = party.address.rstrip()
    if now != with_:
        edit.replace_in(b"to" if in_to else b"from", party.start, party.start + len(now), with_)
