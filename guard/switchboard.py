"""Answers what is asked over the control socket: the live figures, and decisions on calls that others set up.

A decision that is asked for takes the way of any other (`net/verdicts.py`): the same desk, the same log, the same
waiting for a place. Its ticket is negative, so that nothing of it is taken for a call of the proxy. A call that was
let go is in use until its end is told or its lease is over; then its channel is free, and its record stays without an
end, since nobody knows it.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from msgspec import Struct

from guard.asked import Question, attempt_of, emergency_in
from guard.config import Config
from guard.configschema import Web
from guard.control import Answer, Ask, DecideAsk, Decided, EndedAsk, Fault, FiguresAsk, Refusal
from guard.desk import Desk
from guard.faulty import faulty
from guard.figures import Figures
from guard.ledger.record import kept
from guard.model import SECOND, CallAttempt, CallEnded, Decision
from guard.net.verdicts import Verdicts
from guard.numbering.number import Dial
from guard.proxy.effects import Decide, Ended, Withdraw
from guard.sources import Source

MAX_OPEN: Final = 20_000  # calls of others at once, some 2 kB each: as many as the proxy follows for its own
REFUSED: Final = 4096  # refusals that are remembered for who asks again; a flood only forgets them sooner
FRESH: Final = 250_000  # µs that figures are good for: whoever watches cannot see more often
REPEATS: Final = 32 * SECOND  # µs that an attempt is known by its Call-ID: as long as an INVITE is sent again (timer B)
MS: Final = 1_000  # µs


class Reply(Protocol):
    """The way back for one answer (guard/net/control.py)."""

    alive: bool
    gone: Callable[[], None] | None

    def __call__(self, answer: Answer) -> None:
        """Answer."""


class Core(Protocol):
    """The proxy core, as far as calls of others are concerned."""

    wall_offset: int


Key = tuple[str, str, str, str, str]  # source, Call-ID, caller, callee, direction


class Other(Struct):
    """A call that another switch sets up. `replies` wait for its decision, `decided` is it. `until` is when its lease
    is over."""

    key: Key | None
    call: CallAttempt
    asked: int
    lease: int
    replies: list[Reply]
    decided: Decided | None = None
    until: int = 0


class Switchboard:
    """`turn` does something at one instant, and all that comes of it (the driver's). `life` is of this start alone.
    `read` gives the live figures, `config` what is in force."""

    def __init__(
        self,
        config: Callable[[], Config],
        read: Callable[[], Figures],
        desk: Desk,
        verdicts: Verdicts,
        core: Core,
        turn: Callable[[Callable[[int], None]], None],
        now: Callable[[], int],
        life: str,
        fault: Callable[[Exception], None],
    ) -> None:
        self._config, self._read, self._desk, self._verdicts, self._core = config, read, desk, verdicts, core
        self._turn, self._now, self._life, self._fault = turn, now, life, fault
        self._last = 0  # ticket
        self._calls: dict[int, Other] = {}
        self._by_key: dict[Key, int] = {}
        self._refused: OrderedDict[Key, tuple[int, Decided]] = OrderedDict()
        self._leases: list[tuple[int, int]] = []  # (until, ticket), a heap
        self._figures: tuple[int, Figures] | None = None
        self._stopping = False
        verdicts.serve(self)

    @property
    def open(self) -> int:
        """How many calls of others are being decided, or their end is awaited."""
        return len(self._calls)

    def drain(self) -> None:
        """From now on nobody but who calls for help gets a decision."""
        self._stopping = True

    def ask(self, ask: Ask, reply: Reply) -> None:
        """Answer one ask, now or, where a call has to wait, later."""
        if isinstance(ask, FiguresAsk):
            reply(Answer(figures=self._fresh()))
        elif isinstance(ask, EndedAsk):
            self._over(ask, reply)
        else:
            self._decide(ask, reply)

    def tick(self) -> None:
        """Now and then: leases that are over."""
        now = self._now()
        while self._leases and self._leases[0][0] <= now:
            until, ticket = heapq.heappop(self._leases)
            other = self._calls.get(ticket)
            if other is not None and other.until == until:
                self._forget(ticket)
                self._turn(partial(self._verdicts.forget, ticket))

    def _fresh(self) -> Figures:
        now = self._now()
        if self._figures is None or now - self._figures[0] >= FRESH:
            self._figures = now, self._read()
        return self._figures[1]

    # ---- decisions -------------------------------------------------------------------------------------------------

    def _decide(self, ask: DecideAsk, reply: Reply) -> None:
        sources = self._config().sources
        source = _source(sources, ask.source)
        # Of a switch that nobody knows, any way to dial it is taken for a call for help.
        dials = (source.dial,) if source is not None else (*(s.dial for s in sources), Dial())
        emergency = emergency_in(ask.callee, dials) if ask.direction == "outbound" else ""
        try:
            self._judge(ask, source, emergency, reply)
        except Exception as error:  # noqa: BLE001 - told and counted; the file says what becomes of the call
            self._fault(error)
            passes = self._config().file.faults.engine == "pass" or bool(emergency) or ask.direction == "inbound"
            decision = faulty("engine", type(error).__name__, passes=passes)
            reply(Answer(decided=_said(decision, emergency=emergency)))
        if emergency and reply.alive:  # nothing may keep it waiting, not even a fault that nobody foresaw
            reply(Answer(decided=_said(Decision(verdict="allowed"), emergency=emergency)))

    def _judge(self, ask: DecideAsk, source: Source | None, emergency: str, reply: Reply) -> None:
        if source is None:
            if not emergency:
                names = ", ".join(s.name for s in self._config().sources)
                _refuse(reply, "unknown-source", f'no [[source]] "{ask.source}": there are {names}')
            return
        now = self._now()
        call = self._attempt(ask, source, now)
        if not ask.count:
            decision = self._desk.asked(call, now)
            reply(Answer(decided=_said(decision, emergency=call.emergency)))
            return
        key = (source.name, ask.call_id, ask.caller, ask.callee, ask.direction) if ask.call_id else None
        if key is not None and self._repeated(key, reply, now):
            return
        if not emergency and (self._stopping or len(self._calls) >= MAX_OPEN):
            if self._stopping:
                _refuse(reply, "stopping", "the guard is being stopped")
            else:
                _refuse(reply, "busy", f"{MAX_OPEN} calls are open already")
            return
        self._submit(key, call, self._lease(ask), reply, now)

    def _attempt(self, ask: DecideAsk, source: Source, now: int) -> CallAttempt:
        return attempt_of(
            Question(
                source=source,
                caller=ask.caller,
                callee=ask.callee,
                at=now + self._core.wall_offset,
                line=ask.line,
                usage=ask.usage,
                asserted=ask.asserted,
                diversion=ask.diversion,
                privacy=ask.privacy,
                user_agent=ask.user_agent,
                headers=tuple((name.lower(), value) for name, value in ask.headers),
                direction=ask.direction,
                call_id=ask.call_id or f"asked-{self._life}-{-self._last + 1}",
            )
        )

    def _lease(self, ask: DecideAsk) -> int:
        web = self._config().file.web or Web()
        seconds = ask.lease_s if ask.lease_s is not None else web.lease_s
        return seconds * SECOND

    def _repeated(self, key: Key, reply: Reply, now: int) -> bool:
        """Whether this attempt is known: it gets the answer that it got, or waits for it."""
        refused = self._refused.get(key)
        if refused is not None and now - refused[0] < REPEATS:
            reply(Answer(decided=refused[1]))
            return True
        other = self._calls.get(self._by_key.get(key, 0))
        if other is None or now - other.asked >= REPEATS:
            return False
        if other.decided is not None:
            reply(Answer(decided=other.decided))
        else:
            self._await(self._by_key[key], other, reply)
        return True

    def _submit(self, key: Key | None, call: CallAttempt, lease: int, reply: Reply, now: int) -> None:
        self._last -= 1
        ticket = self._last
        other = self._calls[ticket] = Other(key, call, now, lease, [])
        if key is not None:
            self._by_key[key] = ticket
        self._await(ticket, other, reply)
        effect = Decide(ticket, call, passed=bool(call.emergency))
        self._turn(partial(self._verdicts.decide, effect))

    def _await(self, ticket: int, other: Other, reply: Reply) -> None:
        other.replies.append(reply)
        reply.gone = partial(self._given_up, ticket)

    def decided(self, ticket: int, decision: Decision, seq: int, now: int) -> None:
        """The decision on a call of another switch; who waits for it hears it."""
        other = self._calls.get(ticket)
        if other is None:
            return
        goes = decision.verdict != "blocked"
        ident = f"{self._life}-{-ticket}" if goes else ""
        other.decided = _said(decision, seq=seq, ticket=ident, emergency=other.call.emergency, counted=True)
        replies, other.replies = other.replies, []
        for reply in replies:
            reply(Answer(decided=other.decided))
        if goes:
            # A moment, at least: its place in the second is counted when this turn is over.
            other.until = now + other.lease
            heapq.heappush(self._leases, (other.until, ticket))
            return
        at = now + self._core.wall_offset
        ended = CallEnded(at=at, outcome="blocked", final_status=decision.status, by="guard")
        self._verdicts.ended(Ended(ticket, ended), now)
        self._forget(ticket)
        if other.key is not None:
            self._refused[other.key] = other.asked, other.decided
            self._refused.move_to_end(other.key)
            if len(self._refused) > REFUSED:
                self._refused.popitem(last=False)

    def _given_up(self, ticket: int) -> None:
        """Who asked has gone without an answer: like a caller who hangs up while it waits."""
        other = self._calls.get(ticket)
        if other is None or other.decided is not None or any(r.alive for r in other.replies):
            return
        self._forget(ticket)
        ended = CallEnded(at=self._now() + self._core.wall_offset, outcome="cancelled", final_status=487, by="caller")
        self._turn(partial(self._verdicts.withdraw, Withdraw(ticket, ended)))

    # ---- ends ------------------------------------------------------------------------------------------------------

    def _over(self, ask: EndedAsk, reply: Reply) -> None:
        life, _, number = ask.ticket.rpartition("-")
        ticket = -int(number) if life == self._life and number.isascii() and number.isdecimal() else 0
        other = self._calls.get(ticket)
        if other is None or other.decided is None:
            _refuse(reply, "unknown-ticket", f'no call "{ask.ticket}" is open: its end was told, or its lease is over')
            return
        self._forget(ticket)
        now = self._now()
        most = max(now - other.asked, 0)  # a call has not talked for longer than it has been known
        ended = CallEnded(
            at=now + self._core.wall_offset,
            outcome=ask.outcome,
            ring_us=min(ask.ring_ms * MS, most),
            talk_us=min(ask.talk_ms * MS, most),
            final_status=ask.final_status or (200 if ask.outcome == "answered" else 0),
            by=ask.by,
        )
        self._turn(partial(self._verdicts.ended, Ended(ticket, ended)))
        reply(Answer(ended=True))

    def _forget(self, ticket: int) -> None:
        other = self._calls.pop(ticket)
        if other.key is not None and self._by_key.get(other.key) == ticket:
            del self._by_key[other.key]


def _source(sources: tuple[Source, ...], name: str) -> Source | None:
    if not name:
        return sources[0] if sources else None
    return next((s for s in sources if s.name == name), None)


def _refuse(reply: Reply, code: Refusal, text: str) -> None:
    reply(Answer(error=Fault(code=code, text=text)))


def _said(decision: Decision, *, seq: int = 0, ticket: str = "", emergency: str = "", counted: bool = False) -> Decided:
    allow = decision.verdict != "blocked" or bool(emergency)
    return Decided(
        allow=allow,
        verdict=decision.verdict if decision.verdict != "blocked" or not emergency else "flagged",
        rule=decision.rule,
        status=0 if allow else decision.status,
        retry_after=0 if allow else decision.retry_after,
        presented=decision.presented,
        masked=decision.masked,
        masked_numbers=decision.masked_numbers,
        would_wait=decision.held_until > 0,
        held_ms=decision.held_us // MS,
        max_talk_ms=decision.max_talk_us // MS,
        policy=decision.policy,
        findings=tuple(map(kept, decision.findings)),
        counted=counted,
        seq=seq,
        ticket=ticket,
        emergency=bool(emergency),
    )
