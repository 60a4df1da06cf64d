"""Broken, cut and shuffled messages in the middle of live calls, over UDP and TCP: the core keeps its feet.

`GUARD_FUZZ_ROUNDS` messages (20 000 if it is not set, some seconds) from `GUARD_FUZZ_SEED`. After each one: no
exception, few effects, everything sent is a message. After a quiet day nothing is left of them.
"""

from __future__ import annotations

import os
import random
from typing import Final, Literal

import pytest

from guard.proxy.effects import Flow
from guard.proxy.facts import PLAIN_DIAL, emergency
from guard.proxy.shapes import Hop
from guard.sip.framing import KeepAlive, StreamFramer, Unframeable
from guard.sip.headers import BadHeader
from guard.sip.message import MAX_LINES, BadMessage, Message, parse
from tests.proxy.world import ALLOW, BLOCK, GUARD, OPERATOR, PBX, STRANGER, World, reply, request
from tests.sip.making import CORPUS

ROUNDS: Final = int(os.environ.get("GUARD_FUZZ_ROUNDS", "20000"))
SEED: Final = int(os.environ.get("GUARD_FUZZ_SEED", "1"))
MAX_EFFECTS: Final = 24  # of one message: an answer, a forwarded one, a cancelled one, decisions of those that wait
MAX_OPENED: Final = 6  # transactions that one message may open: its own two, and CANCELs of branches it ended
QUIET: Final = 600.0  # s; longer than timers B, C and H one after the other
DAY: Final = 25 * 3600.0  # s; longer than silence in a call is borne

PEERS: Final = (PBX, OPERATOR, STRANGER)
METHODS: Final = ("INVITE", "INVITE", "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "NEW")
CALLEES: Final = ("sip:+33145670001@127.0.0.1", "sip:112@127.0.0.1", "tel:+33145670001", "urn:service:sos.fire",
                  "sip:x", "sip:+33145670001@127.0.0.1;lr", "sip:127.0.0.1:5060;lr", "sip:a@[::1]")  # fmt: skip
PIECES: Final = (
    b"\r\n", b"\r", b"\n", b"\r\n ", b" ", b"\t", b"\x00", b"\xff", b",", b";", b";;", b":", b"<", b">", b'"', b"\\",
    b"=", b"@", b"?", b"%", b"%41", b"0", b"-1", b"99999999999999999999", b";tag=", b";tag=x", b";branch=", b";rport",
    b"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKt0ken-1-00000000\r\n", b"Route: <sip:127.0.0.1;lr>\r\n", b"v:",
    b"Route: <sip:127.0.0.3;lr>, <sip:x\r\n", b"Content-Length: 5\r\n", b"l: 0\r\n", b"Max-Forwards: 0\r\n", b"INVITE",
    b"SIP/2.0", b"Proxy-Require: x\r\n", b"Privacy: id\r\n", b"P-Asserted-Identity: <sip:+33140000000@x>\r\n",
    b"Diversion: <\r\n", b"Record-Route: <sip:127.0.0.1;lr>\r\n", b"Reason: SIP;cause=200\r\n", b"Contact: *\r\n",
)  # fmt: skip


class Wire(World):
    """A world whose messages are looked at by the fuzzer alone."""

    def shown(self, since: int) -> list[tuple[str, Message]]:
        return []


class Fuzz:
    """One core under a rain of messages, and what it may not do."""

    def __init__(self, seed: int, hop: Literal["udp", "tcp"]) -> None:
        self.dice = random.Random(seed)
        self.world = Wire(hop=Hop(hop, *OPERATOR))
        self.framers: dict[Flow, StreamFramer] = {}
        self.last = b""
        self.invites: list[bytes] = []

    # ---- what comes ------------------------------------------------------------------------------------------------

    def round(self) -> None:
        """One message, broken or not, and some time."""
        dice = self.dice
        data = self.message()
        for _ in range(dice.choice((0, 0, 0, 1, 1, 2, 5))):
            data = self.broken(data)
        self.last = data
        peer = dice.choice(PEERS)
        # Sometimes the decision comes at once, sometimes later, sometimes never.
        self.world.answer = dice.choice((ALLOW, ALLOW, BLOCK, None))
        if dice.random() < 0.7:
            self.checked(data[:65_000], Flow("udp", GUARD, peer))
        else:
            self.stream(data, Flow("tcp", GUARD, peer, 1 + PEERS.index(peer)))
        if dice.random() < 0.2:
            self.decide()
        if dice.random() < 0.3:
            self.world.later(dice.choice((0.001, 0.3, 0.6, 4.0, 33.0, 200.0)))

    def message(self) -> bytes:
        dice = self.dice
        sent = self.world.sent
        kind = dice.random()
        if kind < 0.25:
            return dice.choice(CORPUS)
        if kind < 0.55 and sent:  # an answer to something, or an echo of it
            data = dice.choice(sent[-40:])[1]
            if not data.startswith(b"SIP/"):
                return data if dice.random() < 0.1 else self.answer(indexed(data), data)
            return data
        n = dice.randrange(12)
        method = dice.choice(METHODS)
        uri = dice.choice(CALLEES)
        in_dialog = method in {"ACK", "BYE", "PRACK", "UPDATE"} or dice.random() < 0.1
        if method == "CANCEL" and self.invites:  # of an INVITE, or it says nothing
            return dice.choice(self.invites[-6:]).replace(b"INVITE ", b"CANCEL ").replace(b" INVITE\r", b" CANCEL\r")
        data = request(
            method,
            uri,
            tag=f"a{n % 3}",
            call_id=f"c{n}",
            branch=f"b{n}-{dice.randrange(6)}",
            cseq=dice.randrange(1, 4),
            to_tag=f"z{dice.randrange(2)}" if in_dialog else "",
            to=f"<{uri}>",
        )
        if method == "INVITE":
            self.invites.append(data)
        return data

    def answer(self, m: Message, data: bytes) -> bytes:
        status = self.dice.choice((100, 180, 183, 200, 200, 302, 401, 404, 486, 487, 503, 603))
        try:
            return reply(m, status, to_tag=f"z{self.dice.randrange(2)}")
        except BadHeader:  # an emergency call went out with a To that nobody can read
            return data

    def broken(self, data: bytes) -> bytes:
        """The same with a few bytes lost, doubled, moved or put in."""
        dice = self.dice
        at = dice.randrange(len(data) + 1)
        n = dice.choice((0, 1, 1, 2, 8, 60))
        kind = dice.randrange(7)
        if kind == 0:
            return data[:at] + data[at + n :]
        if kind == 1:
            return data[:at] + dice.choice(PIECES) + data[at:]
        if kind == 2:
            return data[:at] + dice.choice(PIECES) + data[at + n :]
        if kind == 3:
            return data[:at] + data[max(at - n, 0) : at] * dice.choice((2, 3, 40)) + data[at:]
        if kind == 4:
            other = dice.choice(CORPUS)
            return data[:at] + other[dice.randrange(len(other)) :]
        lines = data.split(b"\r\n")
        i, j = dice.randrange(len(lines)), dice.randrange(len(lines))
        if kind == 5:
            lines[i], lines[j] = lines[j], lines[i]
        else:
            lines.insert(i, lines[j])
        return b"\r\n".join(lines)

    def stream(self, data: bytes, flow: Flow) -> None:
        """The bytes in two pieces over a connection, as the driver does it; a broken one is opened anew."""
        framer = self.framers.setdefault(flow, StreamFramer())
        at = self.dice.randrange(len(data) + 1)
        for piece in (data[:at], data[at:]):
            items: list[bytes | KeepAlive]
            try:
                items, head = framer.feed(piece), b""
            except Unframeable as error:
                items, head = error.items, error.head
                framer = self.framers[flow] = StreamFramer()
            for item in items:
                if isinstance(item, bytes):
                    self.checked(item, flow)
            if head:
                self.checked(head, flow)
        if framer.pending > 2000:
            self.framers.pop(flow)

    def decide(self) -> None:
        world = self.world
        if world.asked:
            ticket = self.dice.choice(world.asked[-30:]).ticket  # some of them long since decided, or gone
            world.decide(ticket, self.dice.choice((ALLOW, BLOCK)))

    # ---- what has to hold ------------------------------------------------------------------------------------------

    def checked(self, data: bytes, flow: Flow) -> None:
        world = self.world
        before, sends, open_ = self.weight(), len(world.sent), world.core.transactions
        world.core.receive(data, flow, world.now)
        world.drain()
        assert self.weight() - before <= MAX_EFFECTS
        for _, sent in world.sent[sends:]:
            whole(sent)
        assert world.core.transactions - open_ <= MAX_OPENED

    def weight(self) -> int:
        """How many effects there were."""
        w = self.world
        return len(w.sent) + len(w.asked) + len(w.ended) + len(w.withdrawn) + len(w.strangers) + len(w.closed)

    def rested(self) -> None:
        """After some quiet minutes no transaction is left."""
        self.world.answer = ALLOW
        self.world.later(QUIET)
        assert self.world.core.transactions == 0

    def settled(self) -> None:
        """A quiet day later nothing is left, and every decided call ended once."""
        world = self.world
        world.answer = ALLOW
        world.later(DAY)
        world.later(DAY)
        assert (world.core.transactions, world.core.calls, world.core.next_timer()) == (0, 0, None)
        over = [t for t, _ in world.ended] + [t for t, _ in world.withdrawn]
        assert len(over) == len(set(over))
        assert set(over) == {d.ticket for d in world.asked if not d.again}


def indexed(data: bytes) -> Message:
    """A message that was sent, as well as it can be read."""
    try:
        return parse(data, most=MAX_LINES + 99)
    except BadMessage as error:
        if error.message is None:
            raise
        return error.message


def whole(sent: bytes) -> None:
    """What leaves is a message; only an emergency call leaves as it came, whatever is wrong with it."""
    try:
        m = parse(sent, most=MAX_LINES + 99)
    except BadMessage as error:
        if error.message is not None and emergency(error.message.uri, PLAIN_DIAL):
            return
        raise AssertionError(f"sent what is no message: {error}\n{sent!r}") from error
    assert m.whole


@pytest.mark.parametrize("hop", ["udp", "tcp"])
def test_the_core_keeps_its_feet(hop: Literal["udp", "tcp"]) -> None:
    fuzz = Fuzz(SEED, hop)
    for n in range(ROUNDS // 2):
        try:
            fuzz.round()
            if n % 500 == 499:
                fuzz.rested()
        except Exception as error:
            error.add_note(f"seed {SEED}, round {n}, message {fuzz.last!r}")
            raise
    fuzz.settled()
    counters = fuzz.world.core.counters
    assert {n for n in ("requests", "responses", "unreadable", "rejected", "cancelled") if not counters[n]} == set()
