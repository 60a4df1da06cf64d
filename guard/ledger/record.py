"""One call's record: the object that `guard log --json`, replay, the API and MQTT all carry (INTERFACES).

A call makes two entries in the log, each chained by hash to the one before: the decision, and the end. What people
see is the two joined.

`CallRecord` is what goes out. `DecisionBody`, `EndBody`, `LostBody` and `ErasedBody` are what is kept: their JSON is
what the hash chain covers, so a field, once published, keeps its name, its meaning and its default for good; new ones
are added with a default.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from guard import ladder
from guard.model import (
    Action,
    CallAttempt,
    CallEnded,
    Decision,
    Direction,
    Finding,
    Header,
    Identity,
    Mode,
    Outcome,
    Text,
    Usage,
    Verdict,
)
from guard.numbering.number import Number

MICROS_PER_CENT = 10_000  # micro-euros
MS = 1_000  # microseconds


class FindingRecord(Struct, frozen=True, kw_only=True):
    """One finding. `action` is what the rule asks for; with `mode` monitor it was not done. `late`: it was found only
    when the call was over, so nothing was done."""

    rule: str
    action: Action
    mode: Mode
    article: tuple[str, ...]
    text: Text
    facts: dict[str, str | int | bool]
    late: bool | UnsetType = UNSET


class CallRecord(Struct, frozen=True, kw_only=True):
    """The decision on one call, and its end once it is known. Field names are fixed by INTERFACES.

    `time` is ISO 8601 with microseconds and zone; money is in euro cents, with the exact micro-euros beside it where
    a fraction of a cent remains (the cents are then rounded down); `hash` is hexadecimal.
    """

    seq: int
    hash: str
    time: str
    call_id: str
    site: str
    source: str
    trunk: str
    line: str
    direction: Direction
    caller: str
    presented: str
    callee: str
    usage: tuple[Usage, ...]
    verdict: Verdict
    response: int | None
    findings: tuple[FindingRecord, ...]
    accrued_cents: int
    avoided_cents: int
    held_ms: int
    policy: str
    outcome: Outcome | None = None
    ring_ms: int | None = None
    talk_ms: int | None = None
    final_status: int | None = None
    accrued_microeuros: int | UnsetType = UNSET
    avoided_microeuros: int | UnsetType = UNSET


class Money(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one call costs or would have cost, in micro-euros, and by which figures of which contract.

    `number` is the calling number that the penalty is due for, `per_number` 0 when it was counted before in its period.
    `article` is the contract's, with its file, that fixes the penalties. `origin_rate` (micro-euros a minute) is what
    a tariff of undetermined origin adds, by `origin_article`: what it comes to is known when the call ends.
    """

    accrued: int = 0
    avoided: int = 0
    rule: str = ""
    number: str = ""
    per_attempt: int = 0
    per_number: int = 0
    contract: str = ""
    reading: str = ""
    article: str = ""
    origin_rate: int = 0
    origin_article: str = ""


NO_MONEY = Money()


class SeenIdentity(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One number that one header presented: as received, and what it means ("" when nothing)."""

    header: Header
    raw: str = ""
    value: str = ""
    reason: str = ""


class DecisionBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a decision: what was seen, what every rule said, what was done, and the money.

    `at` is Unix time in microseconds. `caller` and `callee` are E.164 or short numbers, or the raw text where it is
    neither; the `_raw` ones are as received, left out where they are the same. `withdrawn`: given up while it was held.
    """

    at: int
    call_id: str
    site: str = ""
    source: str = ""
    source_address: str = ""
    trunk: str = ""
    line: str = ""
    direction: Direction = "outbound"
    usage: tuple[Usage, ...] = ("human",)
    country: str = "FR"
    forwarded: str = "trust-diversion"
    caller: str = ""
    caller_raw: str = ""
    caller_reason: str = ""
    callee: str = ""
    callee_raw: str = ""
    callee_reason: str = ""
    identities: tuple[SeenIdentity, ...] = ()
    emergency: str = ""
    privacy: bool = False
    user_agent: str = ""
    odd: int = 0
    from_tag: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    verdict: Verdict
    rule: str = ""
    status: int = 0
    retry_after: int = 0
    presented: str = ""
    masked: bool = False
    masked_numbers: tuple[str, ...] = ()
    held_us: int = 0
    withdrawn: bool = False
    policy: str = ""
    findings: tuple[FindingRecord, ...] = ()
    money: Money = NO_MONEY


class EndBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a call's end; `call` is the seq of its decision. `findings` are what was found only now, and
    `money` what they cost; `steps` are its SIP messages (guard/ladder.py), "" where none were noted."""

    call: int
    at: int
    outcome: Outcome
    ring_us: int = 0
    talk_us: int = 0
    final_status: int = 0
    by: str = ""
    findings: tuple[FindingRecord, ...] = ()
    money: Money = NO_MONEY
    steps: str = ""


class LostBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Entries that could not be kept (the queue was full, or one could not be written), said in the log itself."""

    entries: int
    reason: str
    at: int = 0


class ErasedBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What earlier entries said was erased, on purpose: by retention, or because a person asked for it.

    `spans` are the first and the last seq of each run of erased entries, which number `entries` in all. It says
    nothing of what they said.
    """

    at: int
    reason: Literal["retention", "request"]
    entries: int
    spans: tuple[tuple[int, int], ...] = ()


Body = DecisionBody | EndBody | LostBody | ErasedBody


def encode(body: Body) -> bytes:
    """The canonical JSON of a body: keys sorted, no spaces, defaults left out."""
    return msgspec.json.encode(body, order="sorted")


def decision_body(call: CallAttempt, decision: Decision, site: str, money: Money) -> DecisionBody:
    """What is kept of `decision` on `call`."""
    caller, callee = call.caller, call.callee
    return DecisionBody(
        at=call.at,
        call_id=call.call_id,
        site=site,
        source=call.source,
        source_address=call.source_address,
        trunk=call.trunk,
        line=call.line,
        direction=call.direction,
        usage=call.usage,
        country=call.country,
        forwarded=call.forwarded,
        caller=shown(caller),
        caller_raw=caller.raw if caller.raw != shown(caller) else "",
        caller_reason=caller.reason,
        callee=shown(callee),
        callee_raw=callee.raw if callee.raw != shown(callee) else "",
        callee_reason=callee.reason,
        identities=tuple(_identity(i) for i in (*call.identities, *call.diversions)),
        emergency=call.emergency,
        privacy=call.privacy,
        user_agent=call.user_agent,
        odd=call.odd,
        from_tag=call.from_tag,
        headers=call.headers,
        verdict=decision.verdict,
        rule=decision.rule,
        status=decision.status,
        retry_after=decision.retry_after,
        presented=decision.presented,
        masked=decision.masked,
        masked_numbers=decision.masked_numbers,
        held_us=decision.held_us,
        withdrawn=decision.held_until > 0,
        policy=decision.policy,
        findings=tuple(map(kept, decision.findings)),
        money=money,
    )


def shown(number: Number) -> str:
    """A number as records show it: E.164 or short; as received where it is neither."""
    return number.value or number.raw


def _identity(identity: Identity) -> SeenIdentity:
    n = identity.number
    return SeenIdentity(header=identity.header, raw=n.raw, value=n.value, reason=n.reason)


def kept(f: Finding) -> FindingRecord:
    """What is kept of a finding."""
    return FindingRecord(rule=f.rule, action=f.action, mode=f.mode, article=f.article, text=f.text, facts=dict(f.facts))


def end_body(call: int, ended: CallEnded, money: Money = NO_MONEY) -> EndBody:
    """What is kept of the end of the call whose decision is entry `call`."""
    return EndBody(
        call=call,
        at=ended.at,
        outcome=ended.outcome,
        ring_us=ended.ring_us,
        talk_us=ended.talk_us,
        final_status=ended.final_status,
        by=ended.by,
        findings=tuple(map(kept, ended.findings)),
        money=money,
        steps=ladder.written(ended.steps),
    )


def iso(at: int, zone: tzinfo) -> str:
    """An instant (Unix time, microseconds) as ISO 8601 with microseconds and zone."""
    seconds, micros = divmod(at, 1_000_000)
    return datetime.fromtimestamp(seconds, zone).replace(microsecond=micros).isoformat(timespec="microseconds")


def to_record(seq: int, digest: bytes, body: DecisionBody, end: EndBody | None, zone: tzinfo) -> CallRecord:
    """What goes out of the decision entry `seq` (hash `digest`), joined with its end if that is known."""
    late = end.findings if end else ()
    cost, spared = body.money.accrued + (end.money.accrued if end else 0), body.money.avoided
    accrued, accrued_rest = divmod(cost, MICROS_PER_CENT)
    avoided, avoided_rest = divmod(spared, MICROS_PER_CENT)
    return CallRecord(
        seq=seq,
        hash=digest.hex(),
        time=iso(body.at, zone),
        call_id=body.call_id,
        site=body.site,
        source=body.source,
        trunk=body.trunk,
        line=body.line,
        direction=body.direction,
        caller=body.caller,
        presented=body.presented,
        callee=body.callee,
        usage=body.usage,
        verdict=body.verdict,
        response=body.status or None,
        findings=body.findings + tuple(replace(f, late=True) for f in late) if late else body.findings,
        accrued_cents=accrued,
        avoided_cents=avoided,
        held_ms=body.held_us // MS,
        policy=body.policy,
        outcome=end.outcome if end else None,
        ring_ms=end.ring_us // MS if end else None,
        talk_ms=end.talk_us // MS if end else None,
        final_status=(end.final_status or None) if end else None,
        accrued_microeuros=cost if accrued_rest else UNSET,
        avoided_microeuros=spared if avoided_rest else UNSET,
    )
