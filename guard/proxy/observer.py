"""A passive follower of calls in mirrored or captured traffic: the same facts and the same call table as the live core.

Requests from the addresses of `[[source]]` set calls up; answers that go back to them, and CANCEL and BYE from either
side, move them on. Nothing is sent, so there are no transactions: a retransmission is known by its branch.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from guard.model import Decision
from guard.proxy import facts
from guard.proxy.calls import MAX_TARGETS, REPEAT_WAIT, REPEATABLE, Call, Calls, Key, key_of
from guard.proxy.effects import Decide, Effect, Flow
from guard.proxy.keys import tag_of
from guard.proxy.tables import C
from guard.proxy.timers import KINDS, TIMER_C, TIMER_C_WAIT, Timers
from guard.proxy.transactions import GIVE_UP
from guard.sip.check import check_request
from guard.sip.headers import BadHeader
from guard.sip.message import BadMessage, Message, parse
from guard.sources import Source, Sources

MAX_SEEN: Final = 100_000  # INVITE and BYE transactions remembered; the oldest is forgotten first
MAX_REPEATS: Final = 10_000  # refused calls of which a repetition is awaited; each for a few seconds
MAX_BACKLOG: Final = 32  # messages of one call kept while its decision waits: a set-up has fewer
INVITE: Final = b"INVITE"

# Call-ID, CSeq number and method, the address that asked and its branch: what answers and CANCEL share with a request.
SeenKey = tuple[bytes, int, bytes, str, bytes]


def seen_key(m: Message, flow: Flow) -> SeenKey:
    """What a request is remembered by."""
    return m.first(b"call-id") or b"", m.cseq()[0], m.method, flow.peer[0], m.via().branch or b""


class Seen:
    """One INVITE or BYE that was seen: whose it is, and whether it was answered for good."""

    __slots__ = ("again", "answering", "armed", "call", "callee_tag", "cancelled", "done", "from_caller")

    def __init__(self, call: Call, *, from_caller: bool, again: bool, callee_tag: bytes = b"") -> None:
        self.call = call
        self.from_caller = from_caller
        self.again = again
        self.callee_tag = callee_tag
        self.armed = [0] * KINDS
        self.answering = False  # a provisional answer went by
        self.cancelled = False
        self.done = False


class Observer:
    """Follows calls. After each call of a method, drain `effects` in order; answer each `Decide` by `decided`."""

    def __init__(self, sources: Sources) -> None:
        self.effects: list[Effect] = []
        self.counters = dict.fromkeys(
            (
                "requests",
                "responses",
                "unreadable",
                "retransmissions",
                "full",
                "foreign",
                "backlog_dropped",
                "refused_again",
            ),
            0,
        )
        self.wall_offset = 0
        self._sources = sources
        self._timers = Timers()
        self._calls = Calls(self.effects, self._timers)
        self._seen: OrderedDict[SeenKey, Seen] = OrderedDict()
        self._again: dict[int, tuple[Seen, bytes]] = {}  # other targets of a call, waiting to be judged
        self._backlog: dict[int, list[tuple[Message, Flow, int]]] = {}
        self._repeats: OrderedDict[Key, tuple[Call, int]] = OrderedDict()  # and until when

    @property
    def calls(self) -> int:
        """How many calls are followed at this moment."""
        return len(self._calls)

    def next_timer(self) -> int | None:
        """The instant at which `wake` wants to be called."""
        return self._timers.next()

    def wake(self, now: int) -> None:
        """Fire every timer that is due."""
        while (due := self._timers.due(now)) is not None:
            owner, kind = due
            if isinstance(owner, Call):
                self._calls.expired(owner, kind, now)
            elif isinstance(owner, Seen):
                self._unanswered(owner, now)

    def receive(self, data: bytes, flow: Flow, now: int, to: tuple[str, int] | None = None) -> None:
        """One message that went by: `flow.peer` sent it to `flow.local` (or `to`)."""
        try:
            m = parse(data, stream=flow.transport != "udp")
        except BadMessage:
            self.counters["unreadable"] += 1
            return
        seen_at = flow if to is None else Flow(flow.transport, to, flow.peer)
        try:
            if m.is_request:
                self.counters["requests"] += 1
                self._request(m, seen_at, now)
            else:
                self.counters["responses"] += 1
                self._response(m, seen_at, now)
        except BadHeader:
            self.counters["unreadable"] += 1

    def decided(self, ticket: int, decision: Decision, now: int) -> None:
        """The decision on a `Decide`; what went by in the meantime is told to the call now."""
        again = self._again.pop(ticket, None)
        if again is not None:
            seen, target = again
            seen.call.targets[target] = decision, 0
            self._refused(seen, decision, now)
            return
        call = self._calls.get(ticket)
        if call is None or not self._calls.decided(call, decision, 0, now):
            return
        for m, flow, at in self._backlog.pop(ticket, []):
            if not m.is_request:
                self._response(m, flow, at)
            elif call.state is not C.ENDED and (waited := self._seen.get(seen_key(m, flow))) and not waited.done:
                self._joined(waited, m, flow, at)

    # ---- requests --------------------------------------------------------------------------------------------------

    def _request(self, m: Message, flow: Flow, now: int) -> None:
        method = m.method
        if method == b"ACK":
            return
        source = self._sources.find(flow.peer[0])
        key = seen_key(m, flow)
        if method == b"CANCEL":
            self._cancel((key[0], key[1], INVITE, key[3], key[4]), now)
            return
        if key in self._seen:
            self.counters["retransmissions"] += 1
            return
        to_tag = tag_of(m, to=True)
        if to_tag:
            self._in_dialog(m, key, to_tag, now)
        elif method == INVITE:
            if source is None:
                self.counters["foreign"] += 1
            else:
                self._first(m, key, source, flow, now)

    def _in_dialog(self, m: Message, key: SeenKey, to_tag: bytes, now: int) -> None:
        from_tag = tag_of(m, to=False)
        found = self._calls.dialog(key[0], from_tag, to_tag)
        if found is None:
            return
        call, from_caller = found
        self._calls.alive(call, now)
        if m.method not in {INVITE, b"BYE"}:
            return
        if m.method == b"BYE":
            self._calls.closing(call, now)
        tag = to_tag if from_caller else from_tag
        self._remember(key, Seen(call, from_caller=from_caller, again=True, callee_tag=tag), now)

    def _first(self, m: Message, key: SeenKey, source: Source, flow: Flow, now: int) -> None:
        urgent = bool(facts.emergency(m.uri, source.dial))
        try:
            check_request(m)
        except BadMessage:
            if not urgent:
                self.counters["unreadable"] += 1
                return
        call_key = key_of(source.name, key[0], tag_of(m, to=False), urgent=urgent)
        call = self._calls.join(call_key)
        if call is None and (over := self._repeated(call_key, now)) is not None:
            self.counters["refused_again"] += 1
            self._remember(key, Seen(over, from_caller=True, again=False), now)
            return
        if call is None:
            if self._calls.full(emergency=urgent):
                self.counters["full"] += 1
                return
            attempt = facts.attempt(m, source, flow.peer[0], now + self.wall_offset)
            call = self._calls.open(call_key, attempt, facts.fingerprint(m), now, passed=urgent)
            self._remember(key, Seen(call, from_caller=True, again=False), now)
            return
        seen = Seen(call, from_caller=True, again=False)
        self._remember(key, seen, now)
        if call.state is C.DECIDING:
            self._later(call, m, flow, now)
        elif not urgent:
            self._joined(seen, m, flow, now)

    def _repeated(self, call_key: Key, now: int) -> Call | None:
        """The call over already that this INVITE repeats with credentials. A live guard would have refused it before
        anybody asked for them, so its repetition is no attempt of its own."""
        call, until = self._repeats.pop(call_key, (None, 0))
        return call if now <= until else None

    def _joined(self, seen: Seen, m: Message, flow: Flow, now: int) -> None:
        """Another INVITE of a decided attempt: asked about where its target is a new one (Requests._joined)."""
        call = seen.call
        target = facts.fingerprint(m)
        said = call.targets.get(target)
        if said is not None:
            self._refused(seen, said[0], now)
        elif target in call.targets or len(call.targets) < MAX_TARGETS:
            call.targets[target] = None
            ticket = self._calls.next_ticket()
            self._again[ticket] = seen, target
            source = self._sources.by_name[call.attempt.source]
            attempt = facts.attempt(m, source, flow.peer[0], now + self.wall_offset)
            self.effects.append(Decide(ticket, attempt, again=True))

    def _refused(self, seen: Seen, decision: Decision, now: int) -> None:
        """What a live guard would have refused ends there, whatever went by."""
        if decision.verdict == "blocked" and not seen.done:
            seen.done = True
            self._calls.failed(seen.call, decision.status, now, by="guard")

    def _cancel(self, key: SeenKey, now: int) -> None:
        seen = self._seen.get(key)
        if seen is None or seen.done:
            return
        seen.cancelled = True
        call = seen.call
        if call.state is not C.DECIDING:
            if seen.answering:
                self._timers.arm(seen, TIMER_C, now + GIVE_UP)
            return
        seen.done = True
        if call.branches > 1:
            self._calls.left(call)
        else:
            self._backlog.pop(call.ticket, None)
            self._calls.withdraw(call, now, 487)

    def _remember(self, key: SeenKey, seen: Seen, now: int) -> None:
        self._seen[key] = seen
        if not seen.again or key[2] == b"BYE":
            self._timers.arm(seen, TIMER_C, now + GIVE_UP)
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    def _later(self, call: Call, m: Message, flow: Flow, now: int) -> None:
        """Keep a message of a call until its decision is there."""
        waiting = self._backlog.setdefault(call.ticket, [])
        if len(waiting) < MAX_BACKLOG:
            waiting.append((m, flow, now))
        else:
            self.counters["backlog_dropped"] += 1

    def _unanswered(self, seen: Seen, now: int) -> None:
        """No final answer went by for as long as a proxy would wait for one (timers B, C and F)."""
        if seen.done:
            return
        seen.done = True
        if seen.again:
            self._calls.closed(seen.call, seen.callee_tag, "caller" if seen.from_caller else "callee", now)
        elif seen.call.state is C.DECIDING:
            self._backlog.pop(seen.call.ticket, None)
            self._calls.withdraw(seen.call, now, 480)
        else:
            status = 487 if seen.cancelled else 408
            self._calls.failed(seen.call, status, now, by="guard", cancelled=seen.cancelled)

    # ---- responses -------------------------------------------------------------------------------------------------

    def _response(self, m: Message, flow: Flow, now: int) -> None:
        number, method = m.cseq()
        # An answer carries the asker's branch only on its way to the asker: other legs of the call are passed over.
        seen = self._seen.get((m.first(b"call-id") or b"", number, method, flow.local[0], m.via().branch or b""))
        if seen is None or seen.again is (method == INVITE):
            return
        call, status = seen.call, m.status
        if method == b"BYE":
            if status < 200 or seen.done:
                return
            seen.done = True
            if status not in {401, 407}:
                self._calls.closed(call, seen.callee_tag, "caller" if seen.from_caller else "callee", now)
            return
        if call.state is C.DECIDING:
            self._later(call, m, flow, now)
            return
        tag = tag_of(m, to=True)
        if status < 200:
            if not seen.done and not seen.cancelled and (status > 100 or not seen.answering):
                self._timers.arm(seen, TIMER_C, now + TIMER_C_WAIT + GIVE_UP)
            seen.answering = True
            self._calls.ringing(call, status, tag, now)
        elif status < 300:
            self._calls.answered(call, tag, now, first=not seen.done)
            seen.done = True
        elif not seen.done:
            seen.done = True
            if call.state is C.ENDED and status in REPEATABLE:
                self._repeats[call.key] = call, now + REPEAT_WAIT
                if len(self._repeats) > MAX_REPEATS:
                    self._repeats.popitem(last=False)
            targets = m.count(b"contact") if status < 400 else 0
            self._calls.failed(call, status, now, targets=targets, cancelled=seen.cancelled)
