"""Caller masking: the number that must not be shown is replaced on the way to the operator, and put back as it was on
the way to the IPBX, all dialog long (contracts 003 I-11, IV-12: the operator may change a presented 089B).

From and To are swapped whole (display name and URI, never the tag), so the way back needs no parsing of numbers.
P-Asserted-Identity, P-Preferred-Identity, Remote-Party-ID and Diversion values that name a masked number are replaced,
or removed where the caller is shown as anonymous; those of History-Info are replaced in both cases, as no entry of a
history may be missing (RFC 7044 10.1.2). A Contact that names one keeps its host and parameters; what the operator
sends there later finds the IPBX's own user part again.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from guard.model import Decision
from guard.proxy.facts import PLAIN_DIAL, number_of
from guard.proxy.shapes import Mask
from guard.sip.edit import Edit
from guard.sip.grammar import split_values
from guard.sip.headers import BadHeader, NameAddr, parse_name_addr
from guard.sip.message import Line, Message
from guard.sip.uri import unescape
from guard.sources import Source

ANONYMOUS_URI: Final = b"sip:anonymous@anonymous.invalid"  # RFC 3323 4.1.1.3
ANONYMOUS: Final = b'"Anonymous" <' + ANONYMOUS_URI + b">"
NOBODY: Final = b"anonymous"  # the user part of a Contact, where no number is shown
IDENTITY_HEADERS: Final = (b"p-asserted-identity", b"p-preferred-identity", b"remote-party-id")
HISTORY: Final = b"history-info"
HIDDEN: Final = frozenset({*IDENTITY_HEADERS, b"diversion", HISTORY})
KEPT: Final = (b"reason=", b"privacy=")  # what a history's URI may embed (RFC 7044 10.1); all else may name the number


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
    mask = Mask(original=original, shown=shown, numbers=numbers, number=decision.presented, dial=dial)
    contact = _contact(m)
    return replace(mask, contact=_user(contact.uri)) if contact is not None and _names(contact, mask) else mask


def _contact(m: Message) -> NameAddr | None:
    """The Contact, where there is one that can be read; offsets into the message."""
    for name, _, start, end in m.lines:
        if name == b"contact":
            try:
                return parse_name_addr(m.data, *split_values(m.data, start, end)[0], "Contact")
            except BadHeader:
                return None
    return None


def _user(uri: bytes) -> bytes:
    """The user part of a SIP URI, without its password, as it is written; b"" where there is none."""
    scheme, _, rest = uri.partition(b":")
    return rest.rpartition(b"@")[0].partition(b":")[0] if scheme.lower() in {b"sip", b"sips"} else b""


def _with_user(uri: bytes, user: bytes) -> bytes:
    """The same URI of another user."""
    scheme, _, rest = uri.partition(b":")
    old, at, host = rest.rpartition(b"@")
    return scheme + b":" + user + b"".join(old.partition(b":")[1:]) + at + host


def _names(value: NameAddr, mask: Mask, *, history: bool = False) -> bool:
    """Whether a value names a masked number."""
    uri = value.uri.partition(b"?")[0] if history else value.uri
    return number_of(uri, mask.dial).value in mask.numbers


def hide(edit: Edit, m: Message, mask: Mask, *, in_to: bool) -> None:
    """Towards the operator: the caller's own number leaves From (or To, in its answers), and whatever else names it."""
    _swap(edit, m, mask.shown, in_to=in_to)
    withheld = False
    for line in m.lines:
        if line[0] in HIDDEN and _hide_line(edit, m, line, mask):
            withheld = True
    if mask.contact:
        contact = _contact(m)
        if contact is not None and _user(contact.uri) and _names(contact, mask):
            own = b"<" + _with_user(contact.uri, mask.number.encode() or NOBODY) + b">"
            edit.replace(contact.start, contact.params_start, own)
    if (withheld or mask.shown == ANONYMOUS) and m.is_request:
        _ask_privacy(edit, m)


def _hide_line(edit: Edit, m: Message, line: Line, mask: Mask) -> bool:
    """Mask the values of one line. True where some were taken out, and not only replaced."""
    data = m.data
    name, begin, start, end = line
    spans = split_values(data, start, end)
    try:
        values = [parse_name_addr(data, *span, "identity") for span in spans]
    except BadHeader:
        edit.replace(begin, end, b"")  # nobody can say that the number is not in it
        return True
    history = name == HISTORY
    masked = [_names(v, mask, history=history) for v in values]
    if not any(masked):
        return False
    if mask.number or history:
        for value, hidden in zip(values, masked, strict=True):
            if hidden:
                edit.replace(value.start, value.params_start, _past(value, mask) if history else _of(value, mask))
        return False
    kept = [data[first:past] for (first, past), hidden in zip(spans, masked, strict=True) if not hidden]
    if kept:
        edit.replace(start, end, b" " + b", ".join(kept) + b"\r\n")
    else:
        edit.replace(begin, end, b"")
    return True


def _of(value: NameAddr, mask: Mask) -> bytes:
    """The address of a value with the number that is shown."""
    return b"<" + _shown(value.uri, mask.number) + b">"


def _past(value: NameAddr, mask: Mask) -> bytes:
    """The address of one entry of a history, with what it embeds of reasons and privacy."""
    uri, _, embedded = value.uri.partition(b"?")
    kept = b"&".join(h for h in embedded.split(b"&") if h.lower().startswith(KEPT))
    shown = _shown(uri, mask.number) if mask.number else ANONYMOUS_URI
    return b"<" + shown + (b"?" + kept if kept else b"") + b">"


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
    """Towards the IPBX: its own number stands again where it stood, in the Request-URI where that was its Contact."""
    _swap(edit, m, mask.original, in_to=in_to)
    if mask.contact and m.is_request and unescape(_user(edit.uri)) == (mask.number.encode() or NOBODY):
        edit.replace_uri(_with_user(edit.uri, mask.contact))


def _swap(edit: Edit, m: Message, with_: bytes, *, in_to: bool) -> None:
    party = m.to() if in_to else m.from_()
    now = party.address.rstrip()
    if now != with_:
        edit.replace_in(b"to" if in_to else b"from", party.start, party.start + len(now), with_)
