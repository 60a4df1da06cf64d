"""Calls from the first INVITE to the end: how attempts are counted, and what is measured of them.

One attempt is one first INVITE of a (source, Call-ID, From-tag): its retransmissions never get here, and its repetition
with credentials, its forks and its 3xx recursions join it (`join`). The live proxy and the passive observer of captures
use this same table, so that both count alike. Every decided attempt ends exactly once.
"""

from __future__ import annotations

from typing import Final, Protocol

from guard.ladder import noted
from guard.model import SECOND, CallAttempt, CallEnded, Decision, Outcome
from guard.proxy.call import CLOSED, CONFIRMED, EARLY, HANG_UP, SOS, By, Call, Key
from guard.proxy.effects import Decide, Effect, Ended, Withdraw
from guard.proxy.tables import CALL, C, K
from guard.proxy.timers import DECISION, REPEAT, SILENCE, TALK, Timers

MAX_CALLS: Final = 200_000  # at about 2.5 KiB each, 500 MiB: beyond that new calls are answered 480
EMERGENCY_HEADROOM: Final = 1_000  # calls that only emergency calls may still open then
MAX_DIALOGS: Final = 16  # forked answers that one call may hold: no operator rings more phones for one number
MAX_TARGETS: Final = 8  # different targets that forks and 3xx recursions of one attempt may name
REPEAT_WAIT: Final = 5 * SECOND  # an IPBX repeats with credentials at once; after this the attempt has failed
ECHO_WAIT: Final = 32 * SECOND  # as long as anything of a dialog may be repeated (RFC 3261 17.1.2.2, timer F)
NAP: Final = 60 * SECOND  # an answered call is looked at as often: it stays in the heap as long once it is over
SILENCE_WAIT: Final = 24 * 3600 * SECOND  # nothing in the dialog for a day: the BYE was lost
MISSED: Final = 2  # session intervals (RFC 4028) without a refresh: one that is late, or lost, ends no call

# Finals after which RFC 3261 8.1.3.5 (and RFC 4028 for 422) has the caller repeat the same request, under the same
# Call-ID and From-tag: the same attempt. Any 3xx likewise (8.1.3.4).
REPEATABLE: Final = frozenset({401, 407, 413, 415, 416, 420, 422})

_CALL: Final = tuple(tuple(CALL[c, k] for k in K) for c in C)  # an index instead of a hash on the hot path


class Rests(Protocol):
    """Answered calls of an earlier life of the guard that nothing was heard of yet."""

    def __len__(self) -> int:
        """How many."""

    def wake(self, call_id: bytes, from_tag: bytes, /) -> bool:
        """Something of a Call-ID and a caller's tag is here: revive their calls; whether there were any."""


class Calls:
    """All calls that the guard follows. Says what happens by appending to `effects`."""

    def __init__(self, effects: list[Effect], timers: Timers) -> None:
        self._effects = effects
        self._timers = timers
        self._attempts: dict[Key, Call] = {}
        self._dialogs: dict[tuple[bytes, bytes, bytes], Call] = {}
        self._open: dict[int, Call] = {}
        self._ticket = 0
        self.helping: dict[bytes, int] = {}  # Call-IDs of the emergency calls that are up, and of how many
        self.changed: set[int] | None = None  # tickets of answered calls that something happened to; None: nobody asks
        self.resting: Rests | None = None

    def __len__(self) -> int:
        resting = self.resting
        return len(self._open) + (len(resting) if resting is not None else 0)

    @staticmethod
    def _patience(call: Call) -> int:
        """How long a call may be silent. With a session timer its ends refresh it, or hang up: silence beyond means
        that both are gone. Of several dialogs each has its own, and only a day is long enough."""
        if not call.session or len(call.dialogs) > 1:
            return SILENCE_WAIT
        return min(MISSED * call.session + ECHO_WAIT, SILENCE_WAIT)

    @property
    def settling(self) -> int:
        """How many are being set up."""
        return sum(call.state is not C.ANSWERED for call in self._open.values())

    def full(self, *, emergency: bool = False) -> bool:
        """Whether there is no room for another call."""
        return len(self) >= MAX_CALLS + (EMERGENCY_HEADROOM if emergency else 0)

    def next_ticket(self) -> int:
        """A new ticket."""
        self._ticket += 1
        return self._ticket

    def open(
        self, key: Key, attempt: CallAttempt, target: bytes, now: int, *, passed: bool = False, error: str = ""
    ) -> Call:
        """A new attempt: it wants a decision. With `passed` it is an emergency call, already on its way; `error` as in
        `Decide`."""
        call = Call(self.next_ticket(), key, attempt, target, now)
        self._attempts[key] = call
        self._open[call.ticket] = call
        self._help(call, 1)
        if passed:
            call.state = C.SETUP
        self._effects.append(Decide(call.ticket, attempt, passed, error=error))
        return call

    def get(self, ticket: int) -> Call | None:
        """The open call of that ticket."""
        return self._open.get(ticket)

    def join(self, key: Key, now: int) -> Call | None:
        """The attempt that a first INVITE with this key belongs to: one still being set up, or one whose answer asked
        for a repetition. None: it is an attempt of its own (the Call-ID is new, or used again)."""
        call = self._attempts.get(key)
        if call is None or call.state is C.ANSWERED:
            return None
        call.armed[REPEAT] = 0
        self._step(call, K.JOINED)
        call.branches += 1
        call.asked(b"INVITE", now)
        call.chances = max(call.chances - 1, 0)
        return call

    def joins(self, key: Key) -> bool:
        """Whether `join` would find an attempt."""
        call = self._attempts.get(key)
        return call is not None and call.state is not C.ANSWERED

    def _mark(self, call: Call) -> None:
        if self.changed is not None:
            self.changed.add(call.ticket)

    def revive(self, call: Call, now: int) -> None:
        """A call that was answered in an earlier life of the guard goes on."""
        self._open[call.ticket] = call
        self._attempts.setdefault(call.key, call)  # another may have come while this one rested
        self._help(call, 1)
        for tag in call.dialogs:
            self._dialogs.setdefault((call.key[1], call.key[2], tag), call)
        self._timers.arm(call, SILENCE, max(min(now + NAP, call.heard + self._patience(call)), now + 1))

    def _help(self, call: Call, more: int) -> None:
        """An emergency call begins (1) or is over (-1)."""
        if call.key[0].endswith(SOS):
            name = call.key[1]
            self.helping[name] = self.helping.get(name, 0) + more
            if not self.helping[name]:
                del self.helping[name]

    def left(self, call: Call) -> None:
        """One of several INVITEs that wait for the decision was cancelled."""
        call.branches -= 1

    def dialog(self, call_id: bytes, from_tag: bytes, to_tag: bytes) -> tuple[Call, bool] | None:
        """The call that a request within a dialog belongs to, and whether the caller sent it."""
        call = self._dialogs.get((call_id, from_tag, to_tag))
        if call is not None:
            return call, True
        call = self._dialogs.get((call_id, to_tag, from_tag))
        if call is not None:
            return call, False
        resting = self.resting
        if resting is not None and (resting.wake(call_id, from_tag) or resting.wake(call_id, to_tag)):
            return self.dialog(call_id, from_tag, to_tag)
        return None

    def alive(self, call: Call, now: int) -> None:
        """Something was heard within the dialog."""
        if call.state is C.ANSWERED:
            call.heard = now
            self._mark(call)

    def agreed(self, call: Call, session: int) -> None:
        """A 2xx to an INVITE or UPDATE: the session interval from now on, µs; 0: none (RFC 4028 7.2)."""
        call.session = session
        if call.state is C.ANSWERED:
            self._mark(call)

    def decided(self, call: Call, decision: Decision, seq: int, now: int) -> bool:
        """The decision came. False: nobody waits for it any more. A refused call is ended here."""
        if call.state is not C.DECIDING:
            return False
        call.targets[next(iter(call.targets))] = decision, seq
        if decision.verdict == "blocked":
            call.said(decision.status, "guard", now)
            self._end(call, K.REFUSED, now, "blocked", decision.status, "guard")
        else:
            self._step(call, K.PASSED)
        return True

    def withdraw(self, call: Call, now: int, status: int) -> None:
        """The caller got `status` (487, or 480 when the decision came too late) before there was a decision."""
        if call.state is not C.DECIDING:
            return
        cancelled = status == 487
        self._step(call, K.WITHDRAWN)
        self._close(call, now)
        at = call.attempt.at + now - call.opened_at
        call.said(status, "guard", now)
        ended = CallEnded(
            steps=tuple(call.steps),
            at=at,
            outcome="cancelled" if cancelled else "failed",
            final_status=status,
            by="caller" if cancelled else "guard",
        )
        self._effects.append(Withdraw(call.ticket, ended))

    def ringing(self, call: Call, status: int, to_tag: bytes | None, now: int) -> None:
        """A provisional answer to the set-up (100 says nothing)."""
        if status == 100 or self._step(call, K.RINGING) is None:
            return
        call.said(status, "callee", now)
        if not call.rung_at and status in {180, 183}:
            call.rung_at = now
        if to_tag:
            self._dialog(call, to_tag, EARLY)

    def answered(self, call: Call, to_tag: bytes | None, now: int, *, first: bool) -> None:
        """A 2xx to the set-up; `first` of its INVITE transaction. Others are forks of the same call."""
        if first:
            call.branches -= 1
            call.said(200, "callee", now)
        if self._step(call, K.ANSWER) is not None:
            call.answered_at = now
            call.heard = now
            self._timers.arm(call, SILENCE, now + NAP)
            self._mark(call)
        if to_tag and call.state is C.ANSWERED:
            self._dialog(call, to_tag, CONFIRMED)
        self._settle(call, now)

    def failed(
        self, call: Call, status: int, now: int, *, by: By = "callee", targets: int = 1, cancelled: bool = False
    ) -> None:
        """A final answer of 300 or more to one of its INVITE transactions (`by` the guard when nobody else gave one).
        `targets` is how many others a 3xx named: its caller may try one after the other. With `cancelled` the caller
        had given this one up."""
        call.branches -= 1
        call.said(status, by, now)
        if cancelled:
            pass
        elif status in REPEATABLE:
            call.chances += 1
        elif 300 <= status < 400:
            call.chances += min(max(targets, 1), MAX_TARGETS)
        if call.branches > 0:
            return
        self._settle(call, now)
        call.status = status
        if call.chances and not cancelled:
            if self._step(call, K.FAILED_REPEATABLE) is not None:
                self._timers.arm(call, REPEAT, now + REPEAT_WAIT)
        elif cancelled and status == 487:
            self._end(call, K.FAILED, now, "cancelled", status, "caller")
        else:
            self._end(call, K.FAILED, now, "failed", status, by)

    def closing(self, call: Call, now: int, by: By = "") -> None:
        """A BYE of one of its dialogs was seen, or the guard says it: if it ends the call, the talk ended now."""
        call.closing = now
        if by == "guard":
            noted(call.steps, now - call.opened_at, HANG_UP)

    def closed(self, call: Call, callee_tag: bytes, by: By, now: int) -> None:
        """The BYE of one dialog was answered (or nobody was there to answer): the last one ends the call, once none of
        its INVITEs may bring another dialog."""
        if callee_tag in call.dialogs:
            call.dialogs[callee_tag] = CLOSED  # and stays so, whatever is repeated of its set-up
        call.by = by
        self._mark(call)
        self._settle(call, now)

    def _settle(self, call: Call, now: int) -> None:
        states = call.dialogs.values()
        if call.state is C.ANSWERED and call.branches <= 0 and CLOSED in states and CONFIRMED not in states:
            self._end(call, K.CLOSED, call.closing or now, "answered", 200, call.by)

    def expired(self, call: Call, kind: int, now: int) -> None:
        """One of its timers fired."""
        if kind == REPEAT:
            self._end(call, K.EXPIRED, now - REPEAT_WAIT, "failed", call.status, "callee")
        elif call.state is C.ENDED:
            self._forget(call)
        elif kind == SILENCE and now < call.heard + self._patience(call):
            self._timers.arm(call, SILENCE, min(now + NAP, call.heard + self._patience(call)))
        elif kind == SILENCE:
            self._end(call, K.EXPIRED, call.heard, "answered", 200, "silence")

    def _dialog(self, call: Call, tag: bytes, state: int) -> None:
        dialogs = call.dialogs
        if tag in dialogs:
            dialogs[tag] = max(dialogs[tag], state)
            return
        if len(dialogs) >= MAX_DIALOGS:
            # An early one makes room for a confirmed one: that is the call, and its BYE must be known.
            early = next((t for t, s in dialogs.items() if s == EARLY), None) if state == CONFIRMED else None
            if early is None:
                return
            del dialogs[early]
            self._dialogs.pop((call.key[1], call.key[2], early), None)
        dialogs[tag] = state
        self._dialogs[call.key[1], call.key[2], tag] = call

    def _step(self, call: Call, what: K) -> C | None:
        """The next state, entered; None where the table says to ignore."""
        cell = _CALL[call.state][what]
        if cell is None:
            return None
        if not isinstance(cell, C):
            raise AssertionError(f"call {call.state.name}: {what.name}")  # a fault of ours; the network cannot cause it
        call.state = cell
        return cell

    def _end(self, call: Call, what: K, now: int, outcome: Outcome, status: int, by: By) -> None:
        if self._step(call, what) is None:
            return
        rung = (call.answered_at or now) - call.rung_at if call.rung_at else 0
        ended = CallEnded(
            at=call.attempt.at + now - call.opened_at,
            outcome=outcome,
            ring_us=max(rung, 0),
            talk_us=max(now - call.answered_at, 0) if call.answered_at else 0,
            final_status=status,
            by=by,
            findings=call.findings,
            steps=tuple(call.steps),
        )
        self._close(call, now)
        self._effects.append(Ended(call.ticket, ended))

    def _close(self, call: Call, now: int) -> None:
        """It counts no more. Dialogs that were answered are known a little longer: what is repeated of them still has
        its way, and its mask."""
        call.armed[REPEAT] = call.armed[SILENCE] = call.armed[DECISION] = call.armed[TALK] = 0
        if self._attempts.get(call.key) is call:
            del self._attempts[call.key]
        del self._open[call.ticket]
        self._help(call, -1)
        if call.answered_at:
            self._mark(call)
            self._timers.linger(call, now, ECHO_WAIT)
        else:
            self._forget(call)

    def _forget(self, call: Call) -> None:
        for tag in call.dialogs:
            place = call.key[1], call.key[2], tag
            if self._dialogs.get(place) is call:
                del self._dialogs[place]
