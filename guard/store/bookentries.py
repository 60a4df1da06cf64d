"""What the books hold: steps of incidents, penalties entered by hand, and notes of what was erased."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from guard.ledger.incidents import Document, Event, Incident
from guard.ledger.lines import LedgerLine
from guard.numbering.number import Dial, normalise
from guard.store.erasing import Span

Reason = Literal["retention", "request"]
SIGNIFICANT: Final = 9  # last digits by which a number is found in a text: those of a French one without its 0
_DIAL: Final = Dial()
_SPACED: Final = re.compile(r"(?<=\d)[ .\-\u00a0\u202f/]+(?=\d)")  # as people write numbers


class PassedOn(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A penalty that a letter brings: of another operator's, passed on, or a credit note (then it is negative).

    `at` is the day that it counts for, `written` when it was entered (µs); `amount` in micro-euros.
    """

    at: int
    written: int
    amount: int
    reason: str
    trunk: str = ""
    number: str = ""
    contract: str = ""
    article: str = ""
    who: str = ""
    document: Document | None = None


class Erased(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A note that what entries said was erased: `spans` are their places, first and last of each run. `lines` is the
    money that was in them, without the person: sums of a month do not change because somebody was forgotten."""

    at: int
    reason: Reason
    spans: tuple[Span, ...]
    lines: tuple[LedgerLine, ...] = ()


Entry = Event | PassedOn | Erased
# Made when the module is read: of a kind that msgspec first hears of in one thread while another reads it, nothing is
# there yet, and the process is gone.
_DECODERS: Final[dict[str, Callable[[bytes], Entry]]] = {
    "incident": msgspec.json.Decoder(Event).decode,
    "passed-on": msgspec.json.Decoder(PassedOn).decode,
    "erased": msgspec.json.Decoder(Erased).decode,
}
KINDS: Final = frozenset(_DECODERS)


def read(kind: str, body: bytes) -> Entry:
    """What an entry says. Raises msgspec.DecodeError; KeyError for a kind that is none of the books."""
    return _DECODERS[kind](body)


def run(span: Span) -> range:
    """The places of a span."""
    return range(span[0], span[1] + 1)


def line_of(seq: int, entry: PassedOn) -> LedgerLine:
    """The line of the ledger that an entry by hand makes."""
    return LedgerLine(
        at=entry.at,
        kind="passed-on",
        state="accrued",
        amount=entry.amount,
        trunk=entry.trunk,
        number=entry.number,
        contract=entry.contract,
        article=entry.article,
        document=entry.document.kept if entry.document else "",
        reason=entry.reason,
        incident=f"#{seq}",
    )


def nobodys(line: LedgerLine) -> LedgerLine:
    """A line of the ledger without the person: the amount, why and under which article."""
    return replace(line, number="", line="", document="", reason="", call_id="")


def texts_of(incident: Incident) -> set[str]:
    """All that people and detectors wrote of an incident."""
    return {incident.subject, *(e.text for e in incident.events), *(e.subject for e in incident.events)} - {""}


def names(text: str, number: str) -> bool:
    """Whether a text is a number (E.164, short, or a line's), or holds it, however its digits are spaced."""
    if not text or text == number or normalise(text, _DIAL).value == number:
        return bool(text)
    digits = number.removeprefix("+")
    joined = _SPACED.sub("", text)
    if len(digits) >= SIGNIFICANT:
        return digits[-SIGNIFICANT:] in joined
    return any(word == digits for word in re.findall(r"\d+", joined))
