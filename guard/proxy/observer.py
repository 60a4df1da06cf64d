"""A passive follower of calls in mirrored or captured traffic: the same facts and the same call table as the live core.

Requests from the addresses of `[[source]]`, and from the hops of `[[trunk]]`, set calls up; answers that go back to
them, and CANCEL and BYE from either side, move them on. What the guard itself sent on says nothing new where the
original was seen. Nothing is sent, so there are no transactions: a retransmission is known by its branch.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from guard.model import Decision
from guard.proxy import facts
from guard.proxy.call import CONFIRMED, Call, Key, key_of
from guard.proxy.calls import MAX_TARGETS, REPEAT_WAIT, REPEATABLE, Calls
from guard.proxy.effects import Decide, Effect, Flow, Stranger
from guard.proxy.keys import REFRESHES, session_of, tag_of
from guard.proxy.odd import Odd
from guard.proxy.origin import INVITE, Origins, answer_key
from guard.proxy.refuse import NO_FINAL
from guard.proxy.routing import Trunks
from guard.proxy.seen import Seen
from guard.proxy.shapes import CoreSettings, Origin, SeenKey, Trunk
from guard.proxy.tables import C
from guard.proxy.timers import LINGER, TALK, TIMER_C, TIMER_C_WAIT, Timers
from guard.proxy.transactions import GIVE_UP
from guard.sip.check import check_request
from guard.sip.headers import BadHeader
from guard.sip.message import BadMessage, Message, parse
from guard.sources import Sources

MAX_SEEN: Final = 100_000  # transactions of calls remembered; the oldest is forgotten first
MAX_REPEATS: Final = 10_000  # refused calls of which a repetition is awaited, and BYEs; each for seconds
MAX_BACKLOG: Final = 32  # messages of one call kept while its decision waits: a set-up has fewer
COUNTERS: Final = (
    "requests", "responses", "unreadable", "retransmissions", "full", "foreign", "own", "backlog_dropped",
    "refused_again",
)  # fmt: skip


class Observer:
    """Follows calls. After each call of a method, drain `effects` in order; answer each `Decide` by `decided`."""

    def __init__(self, settings: CoreSettings, sources: Sources, trunks: Trunks) -> None:
        self.effects: list[Effect] = []
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.wall_offset = 0
        self._sources = sources
        self._odd = Odd()
        self._screens = settings.screens_inbound
        self._trunks = trunks
        self._origins = Origins(settings, sources, trunks)
        self._timers = Timers()
        self._calls = Calls(self.effects, self._timers)
        self._seen: OrderedDict[SeenKey, Seen] = OrderedDict()
        self._again: dict[int, tuple[Seen, bytes]] = {}  # other targets of a call, waiting to be judged
        # What went by of a call that waits for its decision: answers, and other INVITEs of it.
        self._backlog: dict[int, list[tuple[Message, Flow, int, Seen | None]]] = {}
        self._repeats: OrderedDict[Key, tuple[Call, int]] = OrderedDict()  # and until when
        self._partings: OrderedDict[tuple[int, bytes], int] = OrderedDict()  # when somebody said BYE in a dialog

    @property
    def calls(self) -> int:
        """How many calls are followed at this moment."""
        return len(self._calls)

    def soonest(self) -> int:
        """The instant at which `wake` wants to be called, NEVER (`timers`) for none; it may find nothing to do then."""
        return self._timers.soonest()

    def wake(self, now: int) -> None:
        """Fire every timer that is due."""
        while (due := self._timers.due(now)) is not None:
            owner, kind = due
            if isinstance(owner, Call):
                self._calls.expired(owner, kind, now)
            elif isinstance(owner, Seen) and kind == TALK:
                self._talked(owner, now)
            elif isinstance(owner, Seen) and kind == LINGER and owner.patient > now and not owner.done:
                self._timers.arm(owner, TIMER_C, owner.patient)
                owner.waited = True
            elif isinstance(owner, Seen):
                self._unanswered(owner, now)

    def receive(self, data: bytes, flow: Flow, now: int, to: tuple[str, int] | None = None) -> None:
        """One message that went by: `flow.peer` sent it to `flow.local` (or `to`)."""
        seen_at = flow if to is None else Flow(flow.transport, to, flow.peer)
        try:
            m = self._parsed(data, seen_at)
            if m.is_request:
                self.counters["requests"] += 1
                self._request(m, seen_at, now)
            else:
                self.counters["responses"] += 1
                self._response(m, seen_at, now)
        except BadMessage:
            self.counters["unreadable"] += 1
            self._odd.note(seen_at.peer[0], now)
        except BadHeader:
            self.counters["unreadable"] += 1

    def _parsed(self, data: bytes, flow: Flow) -> Message:
        """The message. An emergency call is one whatever is wrong with it. Raises BadMessage, BadHeader."""
        try:
            return parse(data, stream=flow.transport != "udp")
        except BadMessage as bad:
            if bad.message is None or bad.message.method != INVITE or not self._origins.of(bad.message, flow).urgent:
                raise
            return bad.message

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
        for m, flow, at, waited in self._backlog.pop(ticket, []):
            if waited is None:
                self._response(m, flow, at)
            elif call.state is not C.ENDED and not waited.done:
                self._joined(waited, m, flow, at)

    # ---- requests --------------------------------------------------------------------------------------------------

    def _request(self, m: Message, flow: Flow, now: int) -> None:
        method = m.method
        if method == b"ACK":
            return
        who = self._origins.of(m, flow)
        key = who.key
        if method == b"CANCEL":
            patience = who.ours and b"Reason: " + (m.first(b"reason") or b"") + b"\r\n" == NO_FINAL
            self._cancel((key[0], key[1], INVITE, key[3], key[4]), now, by_caller=not patience)
            return
        if key in self._seen:
            self.counters["retransmissions"] += 1
            return
        if who.original in self._seen:
            self.counters["own"] += 1
            return
        to_tag = tag_of(m, to=True)
        if (to_tag and self._in_dialog(m, who, to_tag, now)) or method != INVITE:
            return
        if who.ours and who.trunk is None:
            self.counters["own"] += 1
        elif who.source is None and who.trunk is None and not (who.urgent and self._origins.for_us(flow)):
            self._stranger(m, flow, now)
        elif not to_tag or who.urgent:
            self._first(m, who, flow, now)

    def _stranger(self, m: Message, flow: Flow, now: int) -> None:
        """Nobody we know. Towards the guard it is a call attempt all the same, anywhere else none of ours."""
        call = None
        if self._origins.for_us(flow):
            call = self._odd.met(facts.attempt(m, None, flow.peer[0], now + self.wall_offset), now)
        else:
            self.counters["foreign"] += 1
        self.effects.append(Stranger(flow, facts.text(m.method), facts.text(m.uri), call))

    def _in_dialog(self, m: Message, who: Origin, to_tag: bytes, now: int) -> bool:
        """Whether it is of a call that we know."""
        key = who.key
        from_tag = tag_of(m, to=False)
        found = self._calls.dialog(key[0], from_tag, to_tag)
        if found is None:
            return False
        call, from_caller = found
        self._calls.alive(call, now)
        own = who.ours and call.hung_up  # the guard's BYE, in the name of either side
        if not own:
            call.asked(m.method, now, from_caller=from_caller)
        tag = to_tag if from_caller else from_tag
        if m.method == b"BYE":
            self._calls.closing(call, now)
            self._partings[call.ticket, tag] = now
            if len(self._partings) > MAX_REPEATS:
                self._partings.popitem(last=False)
        self._remember(key, Seen(call, from_caller=from_caller, again=True, callee_tag=tag, ours=own), now)
        return True

    def _first(self, m: Message, who: Origin, flow: Flow, now: int) -> None:
        key, urgent = who.key, bool(who.urgent)
        try:
            check_request(m)
        except BadMessage:
            if not urgent:
                self.counters["unreadable"] += 1
                self._odd.note(flow.peer[0], now)
                return
        if who.trunk is not None:
            self._inbound(m, who, who.trunk, flow, now)
            return
        source = who.source
        call_key = key_of(source.name if source is not None else "", key[0], tag_of(m, to=False), urgent=urgent)
        call = self._calls.join(call_key, now)
        if call is None and (over := self._repeated(call_key, now)) is not None:
            self.counters["refused_again"] += 1
            self._remember(key, Seen(over, from_caller=True, again=False), now)
            return
        if call is None:
            if self._full(urgent=urgent):
                return
            out = self._trunks.get(source.trunk if source is not None else "").name
            attempt = self._odd.met(facts.attempt(m, source, who.address, now + self.wall_offset, trunk=out), now)
            target = facts.fingerprint(m)
            call = self._calls.open(call_key, attempt, target, now, passed=urgent)
            self._remember(key, Seen(call, from_caller=True, again=False, target=target), now)
            return
        seen = Seen(call, from_caller=True, again=False, target=facts.fingerprint(m))
        self._remember(key, seen, now)
        if call.state is C.DECIDING:
            self._later(call, m, flow, now, seen)
        elif not urgent:
            self._joined(seen, m, flow, now)

    def _inbound(self, m: Message, who: Origin, trunk: Trunk, flow: Flow, now: int) -> None:
        """A call from the operator (Requests._inbound)."""
        source = self._origins.takes(m, trunk, flow)
        if source is None:
            return
        call_key = key_of("\0" + trunk.name, who.key[0], tag_of(m, to=False), urgent=False)
        call = self._calls.join(call_key, now)
        if call is None:
            if self._full():
                return
            attempt = facts.attempt(m, source, who.address, now + self.wall_offset, direction="inbound")
            target = facts.fingerprint(m)
            call = self._calls.open(call_key, attempt, target, now, passed=not self._screens)
            self._remember(who.key, Seen(call, from_caller=True, again=False, target=target), now)
            return
        seen = Seen(call, from_caller=True, again=False, target=facts.fingerprint(m))
        self._remember(who.key, seen, now)
        if call.state is C.DECIDING:
            self._later(call, m, flow, now, seen)
        elif call.judged:
            self._joined(seen, m, flow, now)

    def _full(self, *, urgent: bool = False) -> bool:
        full = self._calls.full(emergency=urgent)
        self.counters["full"] += full
        return full

    def _repeated(self, call_key: Key, now: int) -> Call | None:
        """The call over already that this INVITE repeats with credentials. A live guard would have refused it before
        anybody asked for them, so its repetition is no attempt of its own."""
        call, until = self._repeats.pop(call_key, (None, 0))
        return call if now <= until else None

    def _joined(self, seen: Seen, m: Message, flow: Flow, now: int) -> None:
        """Another INVITE of a decided attempt: asked about where its target is a new one (Requests._joined)."""
        call, target = seen.call, seen.target
        said = call.targets.get(target)
        if said is not None:
            self._refused(seen, said[0], now)
        elif target in call.targets or len(call.targets) < MAX_TARGETS:
            call.targets[target] = None
            ticket = self._calls.next_ticket()
            self._again[ticket] = seen, target
            source = self._sources.by_name[call.attempt.source]
            known = call.attempt
            there = flow.peer[0] if known.direction == "outbound" else known.source_address
            attempt = facts.attempt(m, source, there, now + self.wall_offset, direction=known.direction)
            self.effects.append(Decide(ticket, attempt, again=True))

    def _refused(self, seen: Seen, decision: Decision, now: int) -> None:
        """What a live guard would have refused ends there, whatever went by."""
        if decision.verdict == "blocked" and not seen.done:
            seen.done = True
            self._calls.failed(seen.call, decision.status, now, by="guard")

    def _cancel(self, key: SeenKey, now: int, *, by_caller: bool) -> None:
        """A CANCEL: the caller gave up, or the guard the waiting."""
        seen = self._seen.get(key)
        if seen is None or seen.done:
            return
        again, seen.given_up = seen.given_up, True
        seen.cancelled = seen.cancelled or by_caller
        call = seen.call
        if by_caller and not again:
            call.asked(b"CANCEL", now, from_caller=seen.from_caller)
        if call.state is not C.DECIDING:
            if seen.answering and not again:
                self._patient(seen, now + GIVE_UP)
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
            self._timers.linger(seen, now, GIVE_UP)
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    def _patient(self, seen: Seen, until: int) -> None:
        """It may stay unanswered until then, which is not before any may."""
        seen.patient = until
        if seen.waited:
            self._timers.arm(seen, TIMER_C, until)

    def _later(self, call: Call, m: Message, flow: Flow, now: int, seen: Seen | None = None) -> None:
        """Keep a message of a call until its decision is there."""
        waiting = self._backlog.setdefault(call.ticket, [])
        if len(waiting) < MAX_BACKLOG:
            waiting.append((m, flow, now, seen))
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
            # A trunk that said nothing: the guard answers for it. It rang, or it is the IPBX that said nothing: 408.
            silent = seen.call.attempt.direction == "outbound" and not seen.answering
            status = 487 if seen.cancelled else 480 if silent else 408
            self._calls.failed(seen.call, status, now, by="guard", cancelled=seen.cancelled)

    # ---- responses -------------------------------------------------------------------------------------------------

    def _response(self, m: Message, flow: Flow, now: int) -> None:
        method = m.cseq()[1]
        # An answer carries the asker's branch only on its way to the asker: other legs of the call are passed over.
        seen = self._seen.get(answer_key(m, flow))
        if seen is None:
            return
        call, status = seen.call, m.status
        if method == b"BYE":
            if status < 200 or seen.done:
                return
            seen.done = True
            if not seen.ours:
                call.told(status, method, now, to_caller=seen.from_caller)
            if status not in {401, 407}:
                self._calls.closed(call, seen.callee_tag, "caller" if seen.from_caller else "callee", now)
            return
        if seen.again:
            self._of_dialog(seen, m, method, now)
            return
        if call.state is C.DECIDING:
            self._later(call, m, flow, now)
            return
        tag = tag_of(m, to=True)
        if status < 200:
            if not seen.done and not seen.given_up and (status > 100 or not seen.answering):
                self._patient(seen, now + TIMER_C_WAIT + GIVE_UP)
            seen.answering = True
            self._calls.ringing(call, status, tag, now)
        elif status < 300:
            self._calls.agreed(call, session_of(m))
            self._calls.answered(call, tag, now, first=not seen.done)
            seen.done = True
            self._may_talk(seen, tag, now)
        elif not seen.done:
            seen.done = True
            if call.state is C.ENDED and status in REPEATABLE:
                self._repeats[call.key] = call, now + REPEAT_WAIT
                if len(self._repeats) > MAX_REPEATS:
                    self._repeats.popitem(last=False)
            targets = m.count(b"contact") if status < 400 else 0
            self._calls.failed(call, status, now, targets=targets, cancelled=seen.cancelled)

    def _of_dialog(self, seen: Seen, m: Message, method: bytes, now: int) -> None:
        """An answer within a dialog, BYE apart."""
        call = seen.call
        if m.status >= 200 and not seen.done:
            seen.done = True
            call.told(m.status, method, now, to_caller=seen.from_caller)
        if method == INVITE and m.status > 100:
            self._calls.alive(call, now)
        if method in REFRESHES and 200 <= m.status < 300:
            self._calls.agreed(call, session_of(m))

    def _may_talk(self, seen: Seen, tag: bytes, now: int) -> None:
        """A dialog began: for how long it may talk, if that is limited."""
        said = seen.call.targets.get(seen.target)
        if said is not None and said[0].max_talk_us and tag not in seen.talks:
            seen.talks[tag] = now + said[0].max_talk_us
            self._talked(seen, now)

    def _talked(self, seen: Seen, now: int) -> None:
        """End what has talked enough, as a live guard does (Hangup); a BYE that is on its way has its time."""
        call = seen.call
        later = []
        for tag, until in seen.talks.items():
            if call.dialogs.get(tag) != CONFIRMED:
                continue
            if until <= now:
                until = self._partings.get((call.ticket, tag), -GIVE_UP) + GIVE_UP
            if until > now:
                later.append(until)
            else:
                self._calls.closing(call, now, "guard")
                self._calls.closed(call, tag, "guard", now)
        if later:
            self._timers.arm(seen, TALK, min(later))
