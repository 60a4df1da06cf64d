"""The guard ends a call itself, when its talk has reached what the decision allows (`Decision.max_talk_us`).

It sends BYE both ways, each as the other party would (RFC 3261 15.1.1): the dialog's identifiers as that side knows
them (with a mask they differ), a CSeq above the last one of that direction, that side's route set and Contact. From
then on nothing of the dialog passes any more: a BYE that crosses is answered here, anything else hears that the call is
over. What may still be repeated of its set-up has its way.
An emergency call is never watched.
"""

from __future__ import annotations

from typing import Final

from guard.model import Decision
from guard.proxy.call import CONFIRMED, Call, Watch
from guard.proxy.context import Context
from guard.proxy.keys import tag_of
from guard.proxy.nexthop import NextHop
from guard.proxy.own import Party, callee_of, contact_of, raw, request, values
from guard.proxy.refuse import reason
from guard.proxy.shapes import Limit
from guard.proxy.timers import TALK
from guard.proxy.transactions import GIVE_UP, ClientTx, ServerTx
from guard.sip.message import Message, parse

STATUS: Final = 480  # in Reason: a limit, as the guard refuses calls beyond one
NORMAL: Final = b'Reason: Q.850;cause=16;text="Normal call clearing"\r\n'  # for PBXs that know only that
OVER: Final = "the call is over"
GONE: Final = frozenset({408, 481})  # RFC 3261 12.2.1.2: who answers so has no such dialog any more
MAX_CSEQ: Final = 2**31 - 1  # RFC 3261 8.1.1.5
REFRESHES: Final = frozenset({b"INVITE", b"UPDATE"})  # whose Contact moves a party (RFC 3261 12.2.1.2, RFC 3311 5.1)


class Talk:
    """One answered dialog whose talk is limited: until when, by which rule, and between whom."""

    __slots__ = ("callee", "caller", "ending", "left", "parting", "rule", "until")

    def __init__(self, until: int, rule: str, caller: Party, callee: Party) -> None:
        self.until = until
        self.rule = rule
        self.caller = caller
        self.callee = callee
        self.parting = 0  # when a party said BYE
        self.ending = False  # the guard said it
        self.left = 0  # BYEs of ours that nobody has answered yet


class Hangup:
    """Watches calls whose talk is limited, and ends them."""

    def __init__(self, context: Context, hop: NextHop) -> None:
        self._c = context
        self._hop = hop
        self._byes: dict[tuple[bytes, bytes], tuple[Call, bytes]] = {}  # BYEs of ours by transaction: call, callee tag

    # ---- what is kept of a call ------------------------------------------------------------------------------------

    def watch(self, call: Call, tx: ServerTx, m: Message, decision: Decision) -> None:
        """An INVITE was let go whose talk is limited."""
        if call.attempt.emergency or call.attempt.direction != "outbound":
            return
        if call.watch is None:
            call.watch = Watch()
        ours = self._c.forwarder.ours
        routes = tuple(r.text for r in values(m, b"record-route") if not ours(r.uri))
        tx.limit = Limit(decision.max_talk_us, decision.talk_rule, contact_of(m, call.caller_flow), routes)

    def over(self, call: Call, tx: ServerTx, m: Message, now: int, *, from_caller: bool) -> bool:
        """A request within a dialog of a watched call; True where the guard has ended that dialog: it is answered."""
        watch = call.watch
        assert watch is not None
        tag = tag_of(m, to=from_caller)
        talk = watch.talks.get(tag)
        if talk is None or not talk.ending:
            number = m.cseq()[0]
            watch.numbers[tag, from_caller] = max(watch.numbers.get((tag, from_caller), 0), number)
            if talk is not None and m.method == b"BYE":
                talk.parting = now
            return False
        if m.method == b"BYE":
            self._c.answer(tx, 200, now)
        else:
            self._c.answer(tx, 481, now, (reason(481, OVER),))
        return True

    def answered(self, call: Call, tx: ServerTx, request: Message | None, got: Message, sent: bytes, now: int) -> None:
        """A 2xx was passed on: `got` as it came, `sent` as it went, the answer to `request` (None: to one that has its
        answer). It begins a dialog, or moves its parties."""
        watch = call.watch
        assert watch is not None
        number, method = got.cseq()
        if method not in REFRESHES:
            return
        tag = tag_of(got, to=tx.from_caller)
        talk = watch.talks.get(tag)
        if tx.again:
            if talk is not None:
                asked, answered = (talk.caller, talk.callee) if tx.from_caller else (talk.callee, talk.caller)
                answered.contact = contact_of(got, None) or answered.contact
                asked.contact = (contact_of(request, None) if request is not None else b"") or asked.contact
            return
        limit = tx.limit
        if talk is not None or limit is None:
            return  # repeated, or of a fork that may talk as long as it likes
        to_caller = got if call.mask is None else parse(sent, stream=True)
        watch.numbers[tag, True] = max(watch.numbers.get((tag, True), 0), number)
        watch.talks[tag] = Talk(
            now + limit.max_us,
            limit.rule,
            Party(limit.contact, limit.routes, raw(to_caller, b"to"), raw(to_caller, b"from")),
            callee_of(got, self._c.forwarder, call.callee_flow),
        )
        self._arm(call, watch, now)

    def resume(self, call: Call, now: int) -> None:
        """A call of an earlier life of the guard goes on, until its time is over."""
        if call.watch is not None:
            self._arm(call, call.watch, now)

    # ---- the end ---------------------------------------------------------------------------------------------------

    def _arm(self, call: Call, watch: Watch, now: int) -> None:
        """Wake when the next dialog has talked enough."""
        due = [t.until for tag, t in watch.talks.items() if not t.ending and call.dialogs.get(tag) == CONFIRMED]
        if due:
            self._c.timers.arm(call, TALK, max(min(due), now))

    def expired(self, call: Call, now: int) -> None:
        """Some dialog of the call has talked enough. Where a party hangs up at this moment it is let do so."""
        watch = call.watch
        if watch is None:
            return
        for tag, talk in watch.talks.items():
            if talk.ending or talk.until > now or call.dialogs.get(tag) != CONFIRMED:
                continue
            if talk.parting and talk.parting + GIVE_UP > now:
                talk.until = talk.parting + GIVE_UP
            else:
                self._end(call, watch, tag, talk, now)
        self._arm(call, watch, now)

    def _end(self, call: Call, watch: Watch, tag: bytes, talk: Talk, now: int) -> None:
        c = self._c
        c.count("hangups")
        talk.ending = True
        c.calls.closing(call, now, "guard")
        seq = next((s[1] for s in call.targets.values() if s is not None), 0)
        why = reason(STATUS, f"{talk.rule} #{seq}" if seq else talk.rule) + NORMAL
        for party, to_callee in ((talk.callee, True), (talk.caller, False)):
            talk.left += 1
            number = min(watch.numbers.get((tag, to_callee), 0) + 1, MAX_CSEQ)
            tx = self._bye(call, party, number, why, to_callee=to_callee)
            self._byes[tx.key] = call, tag
            c.layer.start_client(tx, now)

    def _bye(self, call: Call, party: Party, number: int, why: bytes, *, to_callee: bool) -> ClientTx:
        """The BYE to one party, as the other would have sent it (RFC 3261 12.2.1.1)."""
        c = self._c
        there = c.forwarder.target(party.routes, party.contact)  # the first of the route, strict or not (8.1.2)
        flow = self._hop.toward(call, there, from_caller=to_callee)
        branch, data = request(c.forwarder, c.here, flow, b"BYE", party, call.key[1], number, (why,))
        return ClientTx(branch, b"BYE", data, flow, None)

    def done(self, tx: ClientTx, status: int, now: int) -> None:
        """A request of our own has its final answer, or will have none: once both BYEs of a dialog have, it is over."""
        found = self._byes.pop(tx.key, None)
        if found is None:
            return  # a CANCEL
        call, tag = found
        if status >= 300 and status not in GONE:
            self._c.count("hangups_refused")
        watch = call.watch
        assert watch is not None
        talk = watch.talks[tag]
        talk.left -= 1
        if talk.left == 0:
            self._c.calls.closed(call, tag, "guard", now)
