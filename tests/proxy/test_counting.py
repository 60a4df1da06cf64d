"""Events in random orders, through the core and through the model of counting: both count the same."""

from __future__ import annotations

from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from guard.proxy.effects import Flow
from guard.sip.message import Message
from tests.proxy.model import TALK, Attempt, Counting, Leg
from tests.proxy.world import ALLOW, BLOCK, DOWN, UP, World, reply, request

TARGETS = ["+33145670001", "+33145670002", "+33145670003"]
TAGS = ["x", "y", "z"]
STATUSES = [302, 401, 404, 407, 486, 487, 500, 603]
LIMITED = replace(ALLOW, max_talk_us=TALK, talk_rule="dst.sva-cap")
HALF = st.integers(0, 10_000)  # picks one of whatever there is


class Sent:
    """One INVITE of the IPBX: its bytes, its leg in the model, and what the operator got of it."""

    def __init__(self, name: str, uri: str, branch: str, leg: Leg) -> None:
        self.name, self.uri, self.branch, self.leg = name, uri, branch, leg

    def request(self, method: str = "INVITE", **more: str) -> bytes:
        return request(method, self.uri, call_id=self.name, branch=self.branch, **more)  # type: ignore[arg-type]


class Guard(RuleBasedStateMachine):
    """The core between an IPBX and an operator, with the model beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.w = World(answer=None)
        self.model = Counting()
        self.model.now = self.w.now
        self.sent: list[Sent] = []
        self.tickets: list[int] = []  # of the model's attempts, in their order
        self.questions: dict[int, Attempt | Leg] = {}
        self.n = 0

    # ---- helpers ---------------------------------------------------------------------------------------------------

    def fresh(self) -> str:
        self.n += 1
        return f"n{self.n}"

    def tell(self, data: bytes, flow: Flow) -> None:
        """One message. No two are of the same instant, so that no two timers are."""
        self.w(data, flow)
        self.pass_time(0.001)

    def pass_time(self, seconds: float) -> None:
        self.w.later(seconds)
        self.model.time(self.w.now)

    def bind(self) -> None:
        """Learn what was asked: an attempt's decision, or about another target of one."""
        for asked in self.w.asked[len(self.questions) :]:
            if asked.again:
                waiting = [
                    s.leg
                    for s in self.sent
                    if s.leg.state == "asking"
                    and s.name == asked.call.call_id
                    and s.leg.target == asked.call.callee.raw
                    and s.leg not in self.questions.values()
                ]
                self.questions[asked.ticket] = waiting[0]
            else:
                attempt = self.model.opened[len(self.tickets)]
                self.tickets.append(asked.ticket)
                self.questions[asked.ticket] = attempt

    def forwarded(self, sent: Sent) -> Message | None:
        """The INVITE as the operator got it."""
        mark = f"branch=z9hG4bK{sent.branch}".encode() + b"\r\n"
        for side, m in self.w.shown(0):
            if side == "down" and m.method == b"INVITE" and mark in m.data:
                return m
        return None

    def unlike(self, sent: Sent, tag: str) -> str:
        """A tag that no other attempt has: phones choose theirs at random."""
        return f"{tag}{self.model.opened.index(sent.leg.attempt)}"

    def a_leg(self, pick: int) -> tuple[Sent, Message] | None:
        """One INVITE that the operator has, dead or alive."""
        there = [s for s in self.sent if s.leg.state in {"sent", "accepted", "gone"}]
        if not there:
            return None
        sent = there[pick % len(there)]
        m = self.forwarded(sent)
        return (sent, m) if m is not None else None

    # ---- what the IPBX does ----------------------------------------------------------------------------------------

    @rule(call=st.sampled_from(["c1", "c2", "c3"]), number=st.sampled_from(TARGETS), urgent=st.integers(0, 9))
    def invite(self, call: str, number: str, urgent: int) -> None:
        """A new call, a fork, a repetition with credentials, a recursion after a 3xx: on the wire they look alike."""
        target = "112" if urgent == 0 else number
        leg = self.model.invite((call, urgent == 0), target)
        sent = Sent(call, f"sip:{target}@127.0.0.1", self.fresh(), leg)
        self.sent.append(sent)
        self.tell(sent.request(), UP)
        self.bind()

    @precondition(lambda self: self.sent)
    @rule(pick=HALF)
    def retransmission(self, pick: int) -> None:
        alive = [s for s in self.sent if s.leg.state in {"waiting", "asking", "sent"}]
        if alive:
            self.tell(alive[pick % len(alive)].request(), UP)

    @precondition(lambda self: self.sent)
    @rule(pick=HALF)
    def cancel(self, pick: int) -> None:
        sent = self.sent[pick % len(self.sent)]
        self.model.cancel(sent.leg)
        self.tell(sent.request("CANCEL"), UP)

    # ---- what the rules do -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.questions)
    @rule(pick=HALF, passes=st.integers(0, 4))
    def decision(self, pick: int, passes: int) -> None:
        """Now or later, once or twice, wanted or not any more; for as long as they like, or not."""
        ticket = list(self.questions)[pick % len(self.questions)]
        what = self.questions[ticket]
        if isinstance(what, Attempt):
            self.model.decided(what, passes > 0, limited=passes > 2)
        else:
            self.model.answered_question(what, passes > 0, limited=passes > 2)
        self.w.decide(ticket, LIMITED if passes > 2 else ALLOW if passes else BLOCK)
        self.bind()
        self.pass_time(0.001)

    # ---- what the operator does ------------------------------------------------------------------------------------

    @rule(pick=HALF, tag=st.sampled_from(TAGS), status=st.sampled_from([180, 183]))
    def provisional(self, pick: int, tag: str, status: int) -> None:
        found = self.a_leg(pick)
        if found is None:
            return
        sent, m = found
        tag = self.unlike(sent, tag)
        self.model.provisional(sent.leg, tag)
        self.tell(reply(m, status, to_tag=tag), DOWN)

    @rule(pick=HALF, status=st.sampled_from(STATUSES))
    def final(self, pick: int, status: int) -> None:
        found = self.a_leg(pick)
        if found is not None:
            self.model.final(found[0].leg, status)
            self.tell(reply(found[1], status), DOWN)

    @rule(pick=HALF, tag=st.sampled_from(TAGS))
    def ok(self, pick: int, tag: str) -> None:
        found = self.a_leg(pick)
        if found is not None:
            tag = self.unlike(found[0], tag)
            self.model.ok(found[0].leg, tag)
            self.tell(reply(found[1], 200, to_tag=tag), DOWN)

    # ---- within dialogs --------------------------------------------------------------------------------------------

    def a_dialog(self, pick: int) -> tuple[Sent, str] | None:
        there = [(s, tag) for s in self.sent for tag in s.leg.attempt.dialogs if s.leg.attempt.state == "answered"]
        return there[pick % len(there)] if there else None

    def within(self, sent: Sent, tag: str, method: str, *, by_caller: bool, cseq: int) -> bytes:
        if by_caller:
            return request(method, "sip:127.0.0.3", call_id=sent.name, to_tag=tag, branch=self.fresh(), cseq=cseq)
        return request(
            method, "sip:127.0.0.2", call_id=sent.name, tag=tag, to_tag="a1", branch=self.fresh(), cseq=cseq,
            host="127.0.0.3",
        )  # fmt: skip

    @rule(pick=HALF, by_caller=st.booleans(), method=st.sampled_from(["ACK", "PRACK", "UPDATE", "INFO", "INVITE"]))
    def other(self, pick: int, by_caller: bool, method: str) -> None:
        """Nothing of this is ever counted."""
        found = self.a_dialog(pick)
        if found is None:
            return
        if method != "ACK":
            self.model.heard(found[0].leg.attempt, found[1])
        self.tell(self.within(*found, method, by_caller=by_caller, cseq=5), UP if by_caller else DOWN)

    @rule(pick=HALF, by_caller=st.booleans(), status=st.sampled_from([200, 200, 200, 481, 407, 0]))
    def bye(self, pick: int, by_caller: bool, status: int) -> None:
        found = self.a_dialog(pick)
        if found is None:
            return
        sent, tag = found
        before = len(self.w.sent)
        self.tell(self.within(sent, tag, "BYE", by_caller=by_caller, cseq=9), UP if by_caller else DOWN)
        attempt = sent.leg.attempt
        ended = self.model.ending(attempt, tag)
        answer: Literal["agreed", "challenged", "silent"] = "challenged" if status == 407 else "agreed"
        self.model.bye(attempt, tag, answer if status else "silent")
        if status and not ended:
            out = self.w.shown(before)[0][1]
            self.tell(reply(out, status), DOWN if by_caller else UP)

    @precondition(lambda self: any(t.ending for a in self.model.opened for t in a.talks.values()))
    @rule(pick=HALF, side=st.sampled_from(["up", "down"]), status=st.sampled_from([200, 481, 407]))
    def agree(self, pick: int, side: str, status: int) -> None:
        """One side answers a BYE of the guard's own, once or again."""
        there = [(s, t) for s in self.sent for t, talk in s.leg.attempt.talks.items() if talk.ending]
        sent, tag = there[pick % len(there)]
        for to, m in self.w.shown(0):
            if to == side and m.method == b"BYE" and b"dst.sva-cap" in m.data and self.of(m, sent.name, tag, side):
                self.model.agreed(sent.leg.attempt, tag, side)
                self.tell(reply(m, status), UP if side == "up" else DOWN)
                return
        raise AssertionError(f"no BYE {side} of {sent.name} {tag}")

    @staticmethod
    def of(m: Message, name: str, tag: str, side: str) -> bool:
        callee = m.from_() if side == "up" else m.to()
        return m.first(b"call-id") == name.encode() and callee.tag == tag.encode()

    # ---- and the rest ----------------------------------------------------------------------------------------------

    @rule(
        data=st.sampled_from([b"", b"\r\n\r\n", b"INVITE", b"SIP/2.0 200 OK\r\n\r\n", b"\xff" * 99]), up=st.booleans()
    )
    def garbage(self, data: bytes, up: bool) -> None:
        self.tell(data, UP if up else DOWN)

    @rule(seconds=st.sampled_from([0.05, 0.5, 4, 6, 33, 186, 90_000]))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)

    @invariant()
    def both_count_the_same(self) -> None:
        w, model = self.w, self.model
        assert len(self.tickets) == len(model.opened), "attempts opened"
        assert w.core.calls == model.in_use(), "attempts in use"
        over = [*w.ended, *w.withdrawn]
        assert len(over) == len({ticket for ticket, _ in over}), "each ends once"
        outcomes = {
            ticket: ended.outcome + (" by guard" if ended.outcome == "answered" and ended.by == "guard" else "")
            for ticket, ended in over
        }
        assert [outcomes.get(t, "") for t in self.tickets] == model.outcomes()

    def teardown(self) -> None:
        self.w.rest()
        self.model.time(self.w.now)
        self.both_count_the_same()
        assert self.model.in_use() == 0


Guard.TestCase.settings = settings(
    max_examples=120, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCounting = Guard.TestCase


def test_the_constants_of_the_model_are_those_of_the_core() -> None:
    from guard.proxy import calls, requests, timers, transactions
    from tests.proxy import model

    assert transactions.GIVE_UP == requests.DECISION_WAIT == model.TIMEOUT
    assert timers.TIMER_C_WAIT == model.RINGING
    assert calls.REPEAT_WAIT == model.HOPE
    assert calls.SILENCE_WAIT == model.DAY
    assert calls.REPEATABLE == model.ASKS_AGAIN
