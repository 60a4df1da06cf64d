"""What has to be known of an answered call to go on with it after a restart, and a call made of it again.

Instants are wall clock (µs of Unix time): the timeline begins anew with each start.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from guard.ladder import Noted
from guard.model import CallAttempt, Decision, Finding
from guard.proxy.call import By, Call, Watch
from guard.proxy.effects import Flow
from guard.proxy.hangup import Talk
from guard.proxy.own import Party
from guard.proxy.shapes import Mask
from guard.proxy.tables import C

MAX_NUMBERS: Final = 32  # CSeq numbers kept of one call: those of MAX_DIALOGS dialogs, both ways


class KeptParty(Struct, frozen=True):
    """One side of a dialog that the guard may have to end."""

    contact: bytes
    routes: tuple[bytes, ...]
    from_: bytes
    to: bytes


class KeptTalk(Struct, frozen=True):
    """One answered dialog whose talk is limited, by the callee's tag."""

    tag: bytes
    until: int
    rule: str
    caller: KeptParty
    callee: KeptParty


class KeptCall(Struct, frozen=True, kw_only=True):
    """One answered call. `seq` is its record's number, 0 where there is none."""

    seq: int
    key: tuple[str, bytes, bytes]
    attempt: CallAttempt
    opened_at: int
    rung_at: int
    answered_at: int
    heard: int
    by: By = ""
    dialogs: tuple[tuple[bytes, int], ...] = ()
    hints: tuple[bytes, ...] = ()
    mask: Mask | None = None
    caller_flow: Flow | None = None
    callee_flow: Flow | None = None
    numbers: tuple[tuple[bytes, bool, int], ...] = ()
    talks: tuple[KeptTalk, ...] = ()
    session: int = 0
    findings: tuple[Finding, ...] = ()
    steps: tuple[Noted, ...] = ()


def keep(call: Call, seq: int, offset: int) -> KeptCall:
    """An answered call; `offset` is wall clock minus timeline, µs."""
    watch = call.watch
    return KeptCall(
        seq=seq,
        key=call.key,
        attempt=call.attempt,
        opened_at=call.opened_at + offset,
        rung_at=call.rung_at + offset if call.rung_at else 0,
        answered_at=call.answered_at + offset,
        heard=call.heard + offset,
        by=call.by,
        dialogs=tuple(call.dialogs.items()),
        hints=call.hints,
        mask=call.mask,
        caller_flow=_resting(call.caller_flow),
        callee_flow=_resting(call.callee_flow),
        numbers=() if watch is None else tuple((t, d, n) for (t, d), n in watch.numbers.items())[-MAX_NUMBERS:],
        talks=() if watch is None else tuple(_talk(t, talk, offset) for t, talk in watch.talks.items()),
        session=call.session,
        findings=call.findings,
        steps=tuple(call.steps),
    )


def revive(kept: KeptCall, ticket: int, offset: int, now: int) -> Call:
    """The call again. What the clock of another life says is bounded by this one's: nothing was heard after `now`."""
    call = Call(ticket, kept.key, kept.attempt, b"", kept.opened_at - offset)
    call.state = C.ANSWERED
    call.branches = 0
    call.targets = {b"": (Decision(verdict="allowed"), kept.seq)}
    call.rung_at = kept.rung_at - offset if kept.rung_at else 0
    call.answered_at = kept.answered_at - offset
    call.heard = min(kept.heard - offset, now)
    call.by = kept.by
    call.session = kept.session
    call.findings = kept.findings
    call.steps = list(kept.steps) or call.steps
    call.dialogs = dict(kept.dialogs)
    call.hints = kept.hints
    call.mask = kept.mask
    call.caller_flow, call.callee_flow = kept.caller_flow, kept.callee_flow
    if kept.numbers or kept.talks:
        call.watch = Watch()
        call.watch.numbers = {(tag, to_callee): number for tag, to_callee, number in kept.numbers}
        call.watch.talks = {
            t.tag: Talk(t.until - offset, t.rule, _party(t.caller), _party(t.callee)) for t in kept.talks
        }
    return call


def _resting(flow: Flow | None) -> Flow | None:
    """A flow whose connection is of this life: the peer is asked over another one."""
    return replace(flow, conn=0) if flow is not None and flow.conn else flow


def _talk(tag: bytes, talk: Talk, offset: int) -> KeptTalk:
    return KeptTalk(tag, talk.until + offset, talk.rule, _kept(talk.caller), _kept(talk.callee))


def _kept(party: Party) -> KeptParty:
    return KeptParty(party.contact, party.routes, party.from_, party.to)


def _party(kept: KeptParty) -> Party:
    return Party(kept.contact, kept.routes, kept.from_, kept.to)
