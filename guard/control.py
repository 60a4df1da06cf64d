"""What is said over the control socket of a running guard: one JSON object a line, each way.

An ask names itself (`ask`) and may carry an `id`, which its answer repeats; answers come in any order. An answer has
either what was asked for, or an `error`. Both sides are one machine's: the socket is a file that only the guard's own
user may open.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from guard.figures import Figures
from guard.ledger.record import FindingRecord
from guard.model import Direction, Usage, Verdict

MAX_LINE: Final = 64 * 1024  # bytes of one ask: a call has a handful of short headers
MAX_ANSWER: Final = 4 * 1024 * 1024  # bytes of one answer: figures of a thousand hops and rules
Text = Annotated[str, Meta(max_length=512)]
Few = Annotated[tuple[Text, ...], Meta(max_length=16)]
Refusal = Literal["bad-ask", "unknown-source", "unknown-ticket", "busy", "stopping", "failed"]


class FiguresAsk(Struct, frozen=True, kw_only=True, tag_field="ask", tag="figures", forbid_unknown_fields=True):
    """The live figures."""

    id: int = 0


class DecideAsk(Struct, frozen=True, kw_only=True, tag_field="ask", tag="decide", forbid_unknown_fields=True):
    """An attempt to be judged by the running guard, as if it had been set up now. Numbers are as the IPBX dials them.

    It is counted and recorded like a set-up that came over SIP, and its channel is in use until `ended` is told, or for
    `lease_s` (None: what guard.toml says). The same `call_id` of a `source`, with the same numbers, asked again while
    it is known gets the same answer, and counts once. With `count` false it is only asked: nothing is counted, taken,
    learned or recorded. `source` "" is the first of guard.toml.
    """

    id: int = 0
    callee: Annotated[str, Meta(min_length=1, max_length=512)]
    caller: Text = ""
    source: Text = ""
    line: Text = ""
    usage: Annotated[tuple[Usage, ...], Meta(max_length=4)] = ()
    asserted: Few = ()
    diversion: Few = ()
    privacy: bool = False
    user_agent: Text = ""
    headers: Annotated[tuple[tuple[Text, Text], ...], Meta(max_length=32)] = ()
    direction: Direction = "outbound"
    call_id: Text = ""
    count: bool = True
    lease_s: Annotated[int, Meta(ge=0, le=86_400)] | None = None


class EndedAsk(Struct, frozen=True, kw_only=True, tag_field="ask", tag="ended", forbid_unknown_fields=True):
    """A call that was decided over this socket is over: its channel is free, and its record gets its end.

    `ring_ms` is from the first ringing to the answer or the end, `talk_ms` from the answer; `final_status` is the SIP
    status that the caller got (0: not known).
    """

    id: int = 0
    ticket: Text
    outcome: Literal["answered", "cancelled", "failed"] = "answered"
    ring_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0
    talk_ms: Annotated[int, Meta(ge=0, le=2_678_400_000)] = 0
    final_status: Annotated[int, Meta(ge=0, le=699)] = 0
    by: Literal["caller", "callee", ""] = ""


Ask = FiguresAsk | DecideAsk | EndedAsk


class Decided(Struct, frozen=True, kw_only=True):
    """The decision. `allow`: the call may be set up, presenting `presented` ("" : anonymous where `masked`, else as
    it is), in place of each of `masked_numbers`. Else it is to be refused with `status`, after `retry_after` seconds if
    that is not 0. `seq` is its place in the log (0: it is not recorded), `ticket` what `ended` wants ("" where there is
    nothing to end). It may talk for `max_talk_ms` (0: as long as it likes). `held_ms` is how long it waited; of a call
    that was only asked about, `would_wait` says that it would have to.
    """

    allow: bool
    verdict: Verdict
    rule: str
    status: int
    retry_after: int
    presented: str
    masked: bool
    masked_numbers: tuple[str, ...]
    held_ms: int
    max_talk_ms: int
    policy: str
    findings: tuple[FindingRecord, ...]
    counted: bool
    seq: int
    ticket: str
    emergency: bool = False
    would_wait: bool = False


class Fault(Struct, frozen=True, kw_only=True):
    """Why an ask has no other answer."""

    code: Refusal
    text: str


class Answer(Struct, kw_only=True, omit_defaults=True):
    """One answer: exactly one of the others beside `id` is there; `ended` is True."""

    id: int = 0
    figures: Figures | None = None
    decided: Decided | None = None
    ended: bool = False
    error: Fault | None = None


_ASK: Final[msgspec.json.Decoder[Ask]] = msgspec.json.Decoder(Ask)
_ANSWER: Final = msgspec.json.Decoder(Answer)
_ENCODE: Final = msgspec.json.Encoder()


def read_ask(line: bytes) -> Ask:
    """One line as an ask. Raises ValueError with what is wrong and where."""
    try:
        return _ASK.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def read_answer(line: bytes) -> Answer:
    """One line as an answer. Raises ValueError."""
    try:
        return _ANSWER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def written(said: Ask | Answer) -> bytes:
    """An ask or an answer as its line."""
    return _ENCODE.encode(said) + b"\n"
