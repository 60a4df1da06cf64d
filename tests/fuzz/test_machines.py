"""State machines played at random: the transactions alone, and the whole core in a network that loses, doubles, delays
and reorders. A short game in the normal suite, a long one in `make fuzz` (`GUARD_FUZZ_GAMES`)."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from guard.proxy.effects import Effect, Flow, Send
from guard.proxy.tables import I, S
from guard.proxy.timers import Timers
from guard.proxy.transactions import GIVE_UP, ClientTx, Layer, ServerTx
from guard.sip.message import Message, parse
from tests.fuzz.network import Network, Packet
from tests.proxy.world import ALLOW, BLOCK, GUARD, OPERATOR, PBX, UP, request

GAMES: Final = int(os.environ.get("GUARD_FUZZ_GAMES", "60"))
PLAY: Final = settings(
    max_examples=GAMES,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize="GUARD_FUZZ_GAMES" not in os.environ,  # in the normal suite: the same games every time
)
PICK: Final = st.integers(0, 10_000)  # one of whatever there is
NUMBERS: Final = ("+33145670001", "+33145670002", "112")
WAITS: Final = (0.01, 0.5, 0.6, 4.0, 31.0, 33.0, 190.0)


class Lossy(RuleBasedStateMachine):
    """Calls through a network on which nothing can be relied."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Network()

    @rule(number=st.sampled_from(NUMBERS))
    def dial(self, number: str) -> None:
        self.net.dial(number)

    @precondition(lambda self: self.net.flight)
    @rule(pick=PICK)
    def deliver(self, pick: int) -> None:
        """Any of those under way: in any order."""
        flight = self.net.flight
        self.net.deliver(flight.pop(pick % len(flight)))

    @precondition(lambda self: self.net.flight)
    @rule(many=st.integers(1, 8))
    def deliver_in_order(self, many: int) -> None:
        for _ in range(min(many, len(self.net.flight))):
            self.net.deliver(self.net.flight.pop(0))

    @precondition(lambda self: self.net.flight)
    @rule(pick=PICK)
    def double(self, pick: int) -> None:
        packet = self.net.flight[pick % len(self.net.flight)]
        self.net.deliver(Packet(packet.data, packet.to, packet.flow))

    @precondition(lambda self: self.net.flight)
    @rule(pick=PICK)
    def lose(self, pick: int) -> None:
        self.net.flight.pop(pick % len(self.net.flight))

    @rule(seconds=st.sampled_from(WAITS))
    def wait(self, seconds: float) -> None:
        self.net.later(seconds)

    @precondition(lambda self: self.net.w.asked)
    @rule(pick=PICK, passes=st.integers(0, 3))
    def decide(self, pick: int, passes: int) -> None:
        """Soon, late, twice, or about a call that is long over."""
        asked = self.net.w.asked
        self.net.decide(asked[pick % len(asked)].ticket, ALLOW if passes else BLOCK)

    @precondition(lambda self: self.net.rung)
    @rule(pick=PICK, status=st.sampled_from([100, 180, 183, 200, 200, 302, 404, 486, 503, 603]))
    def answer(self, pick: int, status: int) -> None:
        rung = list(self.net.rung)
        self.net.answer(rung[pick % len(rung)], status)

    @precondition(lambda self: self.net.calls)
    @rule(pick=PICK, method=st.sampled_from(["CANCEL", "INVITE"]))
    def cancel_or_repeat(self, pick: int, method: str) -> None:
        calls = list(self.net.calls.values())
        call = calls[pick % len(calls)]
        if not call.finals:
            self.net.send(call.request(method), UP)

    @rule(pick=PICK, by_caller=st.booleans())
    def hang_up(self, pick: int, by_caller: bool) -> None:
        talking = [c for c in self.net.calls.values() if 200 in c.finals]
        if talking:
            self.net.hang_up(talking[pick % len(talking)], "caller" if by_caller else "callee")

    @precondition(lambda self: self.net.w.sent)
    @rule(pick=PICK, key=st.booleans())
    def unreachable(self, pick: int, key: bool) -> None:
        """The driver tells of a request that did not arrive, or of a connection that closed over it."""
        keys = [k for k in self.net.w.keys if k]
        if keys:
            core, now = self.net.w.core, self.net.w.now
            before = len(self.net.w.sent)
            (core.send_failed if key else core.lost)(keys[pick % len(keys)], now)
            self.net.w.drain()
            self.net.collect(before)

    @rule()
    def heal(self) -> None:
        self.net.heal()

    @rule(number=st.sampled_from(NUMBERS), status=st.sampled_from([180, 200, 200, 486]), deliver=st.integers(0, 6))
    def on_the_way(self, number: str, status: int, deliver: int) -> None:
        """A call that gets as far as an answer without trouble: deep enough for what comes then."""
        net = self.net
        net.dial(number)
        net.deliver(net.flight.pop())
        for asked in net.w.asked:
            if asked.ticket not in net.decided:
                net.decide(asked.ticket, ALLOW)
        self.deliver_to(net.flight, f"c{net.count}")
        if f"c{net.count}" in net.rung:
            net.answer(f"c{net.count}", 180)
            net.answer(f"c{net.count}", status)
        self.deliver_in_order(deliver)

    def deliver_to(self, flight: list[Packet], call_id: str) -> None:
        """What is under way of one call, and nothing else."""
        mark = f"Call-ID: {call_id}\r\n".encode()
        for packet in [p for p in flight if mark in p.data]:
            flight.remove(packet)
            self.net.deliver(packet)

    @rule(pick=PICK)
    def of_one_call(self, pick: int) -> None:
        """All of one call arrives."""
        calls = list(self.net.calls)
        if calls:
            self.deliver_to(self.net.flight, calls[pick % len(calls)])

    def teardown(self) -> None:
        self.net.over()


TestLossy = Lossy.TestCase
TestLossy.settings = PLAY


class Told:
    """What the layer tells its core."""

    def __init__(self) -> None:
        self.finals: dict[bytes, list[int]] = {}
        self.failures: dict[bytes, list[int]] = {}
        self.acks = 0

    def passed(self, tx: ClientTx, response: Message, now: int) -> None:
        if response.status >= 200:
            self.finals.setdefault(tx.branch, []).append(response.status)

    def acknowledge(self, tx: ClientTx, response: Message) -> None:
        assert tx.invite
        assert response.status >= 300
        self.acks += 1

    def failed(self, tx: ClientTx, status: int, now: int) -> None:
        self.failures.setdefault(tx.branch, []).append(status)


class Transactions(RuleBasedStateMachine):
    """The layer, with a core that always answers in the end: any input in any state, timers at any instant."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: list[Effect] = []
        self.timers = Timers()
        self.told = Told()
        self.layer = Layer(self.told, self.effects, self.timers)
        self.clients: list[ClientTx] = []
        self.servers: list[ServerTx] = []
        self.said: dict[int, list[int]] = {}  # finals that a server transaction took, by its place
        self.now = 1_000_000

    @rule(method=st.sampled_from(["INVITE", "BYE", "OPTIONS"]), reliable=st.booleans())
    def ask(self, method: str, reliable: bool) -> None:
        branch = f"z9hG4bKc{len(self.clients)}".encode()
        flow = Flow("tcp" if reliable else "udp", GUARD, OPERATOR)
        tx = ClientTx(branch, method.encode(), request(method, branch=branch.decode()), flow, None)
        self.clients.append(tx)
        self.layer.start_client(tx, self.now)

    @rule(method=st.sampled_from(["INVITE", "BYE", "OPTIONS"]), reliable=st.booleans())
    def asked(self, method: str, reliable: bool) -> None:
        branch = f"s{len(self.servers)}"
        m = parse(request(method, branch=branch))
        flow = Flow("tcp" if reliable else "udp", GUARD, PBX)
        tx = ServerTx((branch.encode(), b"h", method.encode(), PBX[0]), m, flow, invite=method == "INVITE")
        self.layer.servers[tx.key] = tx
        self.servers.append(tx)

    @precondition(lambda self: self.clients)
    @rule(pick=PICK, status=st.sampled_from([0, 100, 180, 200, 202, 302, 404, 487, 603]))
    def answered(self, pick: int, status: int) -> None:
        """By the other side, at any time; 0: it cannot be reached."""
        tx = self.clients[pick % len(self.clients)]
        if tx.key not in self.layer.clients:
            return
        if not status:
            self.layer.step_client(tx, I.ERROR, self.now)
            return
        m = parse(f"SIP/2.0 {status} X\r\nCSeq: 1 {tx.key[1].decode()}\r\nl: 0\r\n\r\n".encode())
        self.layer.step_client(tx, I.P if status < 200 else I.OK if status < 300 else I.NO, self.now, m)

    @precondition(lambda self: self.servers)
    @rule(pick=PICK, status=st.sampled_from([100, 180, 200, 404, 487]))
    def answer(self, pick: int, status: int) -> None:
        self.respond(pick % len(self.servers), status)

    def respond(self, place: int, status: int) -> None:
        tx = self.servers[place]
        if tx.key not in self.layer.servers:
            return
        took = self.layer.respond(tx, status, b"%d" % status, self.now)
        if took and status >= 200:
            self.said.setdefault(place, []).append(status)

    @precondition(lambda self: self.servers)
    @rule(pick=PICK, what=st.sampled_from([I.REQUEST, I.REQUEST, I.ACK, I.ERROR]))
    def again(self, pick: int, what: I) -> None:
        """The request once more, its ACK, or a broken way back."""
        tx = self.servers[pick % len(self.servers)]
        if tx.key in self.layer.servers and (what is not I.ACK or tx.key[2] == b"INVITE"):  # an ACK has no other key
            self.layer.step_server(tx, what, self.now)

    @rule(seconds=st.sampled_from(WAITS))
    def wait(self, seconds: float) -> None:
        until = self.now + int(seconds * 1_000_000)
        while (at := self.timers.next()) is not None and at <= until:
            self.now = max(self.now, at)
            self.fire()
        self.now = until

    def fire(self) -> None:
        while (due := self.timers.due(self.now)) is not None:
            tx, kind = due
            inputs = (I.RETRY, I.TIMEOUT, I.LINGER)
            if isinstance(tx, ClientTx):
                if tx.invite and tx.state is S.PROCEEDING:
                    self.layer.step_client(tx, I.ERROR, self.now)  # timer C: what the core does of a callee that rings
                else:
                    self.layer.step_client(tx, inputs[kind], self.now)
            elif isinstance(tx, ServerTx):
                self.layer.step_server(tx, inputs[kind], self.now)

    def teardown(self) -> None:
        for place in range(len(self.servers)):
            self.respond(place, 200)  # the core answers in the end,
        for tx in self.clients:  # and gives up who rings for ever (timer C)
            if tx.invite and tx.state is S.PROCEEDING and tx.key in self.layer.clients:
                self.layer.step_client(tx, I.ERROR, self.now)
        self.wait(4 * GIVE_UP / 1_000_000)
        assert (len(self.layer.clients), len(self.layer.servers), self.timers.next()) == (0, 0, None)
        assert all(len(said) == 1 or set(said) == {200} for said in self.said.values()), "answered twice"
        for tx in self.clients:
            finals, failures = self.told.finals.get(tx.branch, []), self.told.failures.get(tx.branch, [])
            assert len(failures) <= 1
            assert not (finals and failures), "an answer, and then none"
            assert len(finals) <= 1 or (tx.invite and max(finals) < 300), "two answers, and not of two forks"
        times: dict[bytes, int] = {}
        for effect in self.effects:
            if isinstance(effect, Send) and not effect.data.isdigit():
                times[effect.data] = times.get(effect.data, 0) + 1
        assert max(times.values(), default=0) <= 11, "timers A and E end with 64 T1"


TestTransactions = Transactions.TestCase
TestTransactions.settings = PLAY
