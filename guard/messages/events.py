"""The messages that the guard sends: CloudEvents 1.0 in structured JSON, each with its topic. Pure.

What is a message of each kind is its `data`; docs/schemas/ holds a JSON schema of each, made from these types. A field,
once published, keeps its name and its meaning.
"""

from __future__ import annotations

from datetime import tzinfo
from hashlib import blake2b
from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from guard.ledger.incidentrecord import IncidentRecord
from guard.ledger.limits import Alert
from guard.ledger.record import CallRecord, iso
from guard.model import Verdict

T = TypeVar("T")
MAX_STEPS: Final = 20  # of an incident in its message: some 4 kB; a detector adds one an hour
HASH: Final = 16  # hexadecimal digits in an id: tells entry 7 of this log from that of one that stood there before

Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0)]
Problem = Literal["next-hop", "trunk", "log", "log-lost", "alerts-lost", "counters"]


class Event(Struct, Generic[T], frozen=True, kw_only=True):
    """CloudEvents 1.0. `id` is the same whenever a message is sent again; `source` is the site; `time` is when what it
    tells of happened."""

    specversion: Literal["1.0"] = "1.0"
    id: Text
    source: Text
    type: Text
    time: Text
    datacontenttype: Literal["application/json"] = "application/json"
    data: T


class CallsSummary(Struct, frozen=True, kw_only=True):
    """Calls of one verdict that got no message of their own: the first, and those up to the last, with how many there
    were by rule and by source.

    `why` is `rate` (more in this minute than `[mqtt] rate`), `large` (one whose message the broker does not take) or
    `full` (the broker was away for longer than `[mqtt] keep` messages; then `others` counts messages of other kinds
    that were given up as well). `verdict` is null but for `rate`.
    `first_seq` and `last_seq` are places in the log: `guard log` shows each of the calls.
    """

    site: str
    why: Literal["rate", "full", "large"]
    verdict: Verdict | None
    since: str
    until: str
    first_seq: Count
    last_seq: Count
    calls: Count
    rules: dict[str, int]
    sources: dict[str, int]
    accrued_microeuros: Count
    avoided_microeuros: Count
    others: Count = 0


class PenaltyData(Struct, frozen=True, kw_only=True):
    """The site's own limit of `[ledger]` was passed: what accrued in `key`, a day or a month. With `enforces`, rules on
    trial act until its end."""

    site: str
    span: Literal["day", "month"]
    key: str
    accrued_microeuros: Count
    limit_microeuros: Count
    enforces: bool


class Trouble(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with the guard or around it: which kind, of what, and in words."""

    kind: Problem
    of: str = ""
    text: str = ""


class HealthData(Struct, frozen=True, kw_only=True):
    """How the guard is; `troubles` is empty where all is well."""

    site: str
    state: Literal["ok", "degraded"]
    troubles: tuple[Trouble, ...]


class TestData(Struct, frozen=True, kw_only=True):
    """What `guard alerts test` sends."""

    site: str
    text: str


CallEvent = Event[CallRecord]
SummaryEvent = Event[CallsSummary]
IncidentEvent = Event[IncidentRecord]
PenaltyEvent = Event[PenaltyData]
HealthEvent = Event[HealthData]
TestEvent = Event[TestData]

Phase = Literal["raised", "updated", "cleared"]
# Each kind: its `type`, what follows the site in its topic, and what it carries.
KINDS: Final[dict[str, tuple[tuple[str, ...], str, object]]] = {
    "call": (("sip-guard.call",), "call/<verdict>", CallEvent),
    "summary": (("sip-guard.calls",), "summary", SummaryEvent),
    "incident": (
        tuple(f"sip-guard.incident.{phase}" for phase in ("raised", "updated", "cleared")),
        "incident/<id>",
        IncidentEvent,
    ),
    "penalty": (("sip-guard.penalty",), "penalty", PenaltyEvent),
    "health": (("sip-guard.health",), "health", HealthEvent),
    "test": (("sip-guard.test",), "test", TestEvent),
}


class Message(Struct, frozen=True, kw_only=True):
    """One message on its way. `topic` is what follows the site's; `payload` is empty for one that takes a retained
    message back."""

    kind: str
    topic: str
    payload: bytes
    retain: bool = False


def source_of(site: str) -> str:
    """The `source` of a site's messages: a URI."""
    return f"urn:sip-guard:{site}"


def call_message(record: CallRecord) -> Message:
    """A call as it was when it was decided."""
    event = CallEvent(
        id=f"{record.site}/{record.seq}-{record.hash[:HASH]}",
        source=source_of(record.site),
        type="sip-guard.call",
        time=record.time,
        data=record,
    )
    return Message(kind="call", topic=f"call/{record.verdict}", payload=msgspec.json.encode(event))


def summary_message(found: CallsSummary) -> Message:
    """Many calls in one."""
    span = f"{found.first_seq}-{found.last_seq}"
    event = SummaryEvent(
        id=f"{found.site}/{found.why}/{found.verdict or 'all'}/{span}-{found.calls}",
        source=source_of(found.site),
        type="sip-guard.calls",
        time=found.until,
        data=found,
    )
    return Message(kind="summary", topic="summary", payload=msgspec.json.encode(event))


def incident_message(site: str, record: IncidentRecord, phase: Phase) -> Message:
    """An incident as it stands. All of its messages have one topic; what changed tells their ids apart."""
    last = record.events[-1]
    event = IncidentEvent(
        id=f"{site}/{record.id}/{told_of(record)}",
        source=source_of(site),
        type=f"sip-guard.incident.{phase}",
        time=last.written,
        data=record,
    )
    return Message(kind="incident", topic=f"incident/{record.id}", payload=msgspec.json.encode(event), retain=True)


def told_of(record: IncidentRecord) -> str:
    """What tells one state of an incident from another."""
    return blake2b(msgspec.json.encode(record), digest_size=8).hexdigest()


def shortened(record: IncidentRecord) -> IncidentRecord:
    """With its last steps only: a message has a bound, and `guard incidents show` has all."""
    return replace(record, events=record.events[-MAX_STEPS:]) if len(record.events) > MAX_STEPS else record


def withdrawn_message(incident: str) -> Message:
    """Has the broker forget an incident: nothing of it is retained any more."""
    return Message(kind="withdrawn", topic=f"incident/{incident}", payload=b"", retain=True)


def penalty_message(site: str, alert: Alert, at: int, zone: tzinfo) -> Message:
    """A limit was passed; its id is the same whenever this limit is told of for this day or month."""
    data = PenaltyData(
        site=site,
        span=alert.span,
        key=alert.key,
        accrued_microeuros=alert.accrued,
        limit_microeuros=alert.limit,
        enforces=alert.enforces,
    )
    event = PenaltyEvent(
        id=penalty_id(site, alert), source=source_of(site), type="sip-guard.penalty", time=iso(at, zone), data=data
    )
    return Message(kind="penalty", topic="penalty", payload=msgspec.json.encode(event))


def penalty_id(site: str, alert: Alert) -> str:
    """What tells one passed limit from another."""
    return f"{site}/penalty/{alert.span}/{alert.key}/{alert.limit}{'-enforces' if alert.enforces else ''}"


def health_message(site: str, troubles: tuple[Trouble, ...], at: int, zone: tzinfo) -> Message:
    """How the guard is from now on."""
    data = HealthData(site=site, state="degraded" if troubles else "ok", troubles=troubles)
    event = HealthEvent(
        id=f"{site}/health/{at}", source=source_of(site), type="sip-guard.health", time=iso(at, zone), data=data
    )
    return Message(kind="health", topic="health", payload=msgspec.json.encode(event), retain=True)


def test_message(site: str, text: str, at: int, zone: tzinfo) -> Message:
    """Whether messages arrive."""
    event = TestEvent(
        id=f"{site}/test/{at}",
        source=source_of(site),
        type="sip-guard.test",
        time=iso(at, zone),
        data=TestData(site=site, text=text),
    )
    return Message(kind="test", topic="test", payload=msgspec.json.encode(event))
