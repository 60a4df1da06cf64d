"""A live guard in virtual time between an IPBX and an operator, with a capture running beside it.

Core, desk, verdicts and log are those of the daemon; only the sockets and the clock are made here. Every message that
the guard gets or sends is on the tape, at the instant at which it got or sent it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

from guard.capture.replay import _Log
from guard.config import load
from guard.desk import Desk
from guard.engine import Engine
from guard.ledger.record import CallRecord
from guard.net.faults import FaultPolicy
from guard.net.verdicts import COUNTERS, Verdicts
from guard.policy.load import load_policy
from guard.proxy.core import CoreSettings, ProxyCore
from guard.proxy.effects import Decide, Ended, Flow, Send, Stranger, Withdraw
from guard.proxy.routing import Trunks
from guard.proxy.shapes import Hop, Trunk
from guard.sip.message import Message, parse
from guard.sources import Sources
from guard.state.memory import MemoryState
from guard.store.contract import Query
from guard.store.sqlite import SqliteWriter
from tests.capture.making import SECOND, T0, ipv4, pcap, udp
from tests.proxy.world import DOWN, GUARD, OPERATOR, PBX, UP, reply, request

SCANNER = ("127.0.0.66", 5060)  # a neighbour that no [[source]] names
TRAVEL = 700  # µs from one end to the other


class Lab:
    """The guard, its clock, and the tape."""

    def __init__(self, conf: Path) -> None:
        config = load(conf)
        policy = load_policy(config)
        self.writer = SqliteWriter(":memory:", site=config.site, money=policy.figures, overflow="wait")
        sources = Sources(config.sources)
        trunk = Trunk(name="operator", hops=(Hop("udp", *OPERATOR),), mask_caller=config.file.trunk[0].mask_caller)
        self.core = ProxyCore(CoreSettings(listens=(("udp", *GUARD),), token="t0ken"), sources, Trunks((trunk,)))
        counters = dict.fromkeys(COUNTERS, 0)
        desk = Desk(Engine(policy), MemoryState())
        self.verdicts = Verdicts(self.core, desk, _Log(self.writer), FaultPolicy(), counters, lambda: None)
        self.now = T0
        self.tape: list[tuple[int, bytes, bool]] = []  # instant, packet, whether it is on the IPBX's side
        self.ends: dict[str, list[Callable[[Message], None]]] = {}
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, instant: int, what: Callable[[], None]) -> None:
        """Something that will happen."""
        heappush(self._events, (instant, next(self._order), what))

    def say(self, data: bytes, flow: Flow) -> None:
        """One end sends something to the guard now."""
        self.at(self.now + TRAVEL, lambda: self._arrives(data, flow))

    def run(self) -> None:
        """Until nothing happens any more; a day of silence is not waited for."""
        while True:
            due = [t for t in (self.core.next_timer(), self.verdicts.next_wake()) if t is not None]
            timer = min(due, default=1 << 62)
            event = self._events[0][0] if self._events else 1 << 62
            if min(timer, event) > T0 + 600 * SECOND:
                return
            self.now = max(self.now, min(timer, event))
            if timer <= event:
                self.core.wake(self.now)
                self._settle()
                self.verdicts.wake(self.now)
            else:
                heappop(self._events)[2]()
            self._settle()

    def records(self) -> list[CallRecord]:
        """What the log holds of every call."""
        self.writer.flush()
        return list(self.writer.reader().records(Query(all=True)))

    def capture(self, *, both_sides: bool) -> bytes:
        """The tape as a file."""
        return pcap([(at, packet) for at, packet, up in self.tape if up or both_sides])

    def _arrives(self, data: bytes, flow: Flow) -> None:
        self.tape.append((self.now, ipv4(udp(data), flow.peer[0], flow.local[0]), flow.peer == PBX))
        self.core.receive(data, flow, self.now)

    def _settle(self) -> None:
        effects = self.core.effects
        while True:
            batch = effects[:]
            effects.clear()
            for effect in batch:
                if isinstance(effect, Send):
                    self._sent(effect)
                elif isinstance(effect, Decide):
                    self.verdicts.decide(effect, self.now)
                elif isinstance(effect, Ended):
                    self.verdicts.ended(effect, self.now)
                elif isinstance(effect, Withdraw):
                    self.verdicts.withdraw(effect, self.now)
                elif isinstance(effect, Stranger):
                    self.verdicts.stranger(effect, self.now)
            self.verdicts.land(self.now)
            if not effects:
                break
        self.verdicts.depart(lambda: self.now)

    def _sent(self, effect: Send) -> None:
        peer = effect.flow.peer
        self.tape.append((self.now, ipv4(udp(effect.data), GUARD[0], peer[0]), peer == PBX))
        m = parse(effect.data)
        for hears in self.ends.get(peer[0], ()):
            self.at(self.now + TRAVEL, lambda hears=hears: hears(m))  # type: ignore[misc]


class Plan:
    """What becomes of one call, drawn by lot: times in µs after the step before. An inbound one comes from the
    operator."""

    def __init__(self, dice: random.Random, n: int, *, inbound: bool = False) -> None:
        def some(low: float, high: float) -> int:
            return round(dice.uniform(low, high) * SECOND)

        self.call_id = f"{'in' if inbound else 'call'}{n}"
        self.start = some(0, 12)
        numbers = ["+33145678901"] * 6 + ["+33145679900", "+33892681234", "anonymous"]
        self.caller = dice.choice(numbers)
        self.callee = dice.choice(["0612345678"] * 8 + ["112", "0145671234", "3651112"])
        self.challenge = dice.random() < 0.3
        self.answer = dice.choice([200, 200, 200, 200, 486, 404, 0])  # 0: it rings for ever
        self.rings = dice.random() < 0.8
        self.ring, self.pick_up, self.talk = some(0.05, 1), some(0.1, 4), some(0.2, 8)
        self.patience = some(0.1, 3) if dice.random() < 0.2 or not self.answer else 0  # then the caller cancels
        self.who = dice.choice(["caller", "callee"])  # hangs up
        self.host = GUARD[0]
        if inbound:
            self.caller, self.callee = dice.choice(["+33612345678", "anonymous"]), "+33145678901"
            self.host = dice.choice([GUARD[0], PBX[0]])


class Caller:
    """Places the calls of its plans; `flow` is how the guard knows it."""

    def __init__(self, lab: Lab, plans: list[Plan], flow: Flow) -> None:
        self.lab = lab
        self.flow = flow
        self.address = flow.peer[0]
        self.plans = {p.call_id: p for p in plans}
        self.cseq = dict.fromkeys(self.plans, 0)
        self.over: set[str] = set()
        lab.ends.setdefault(self.address, []).append(self.hears)
        for plan in plans:
            lab.at(T0 + plan.start, lambda p=plan: self.invites(p))  # type: ignore[misc]

    def invites(self, plan: Plan) -> None:
        self.cseq[plan.call_id] += 1
        self.says(plan, "INVITE", self.cseq[plan.call_id])
        if plan.patience:
            self.lab.at(self.lab.now + plan.patience, lambda: self.cancels(plan, self.cseq[plan.call_id]))

    def says(self, plan: Plan, method: str, cseq: int, *, branch: str = "", m: Message | None = None) -> None:
        """A request; with `m`, the 2xx, within the dialog."""
        more, uri, to_tag = "", f"sip:{plan.callee}@{plan.host}", ""
        if m is not None:
            uri = m.routes(b"contact")[0].uri.decode()
            more = "".join(f"Route: <{r.uri.decode()}>\r\n" for r in reversed(m.routes(b"record-route")))
            to_tag = (m.to().tag or b"").decode()
        self.lab.say(
            request(
                method,
                uri,
                caller=f"<sip:{plan.caller}@{self.address}>",
                to=f"<sip:{plan.callee}@127.0.0.1>",
                to_tag=to_tag,
                call_id=plan.call_id,
                cseq=cseq,
                branch=branch or f"{plan.call_id}{method}{cseq}",
                host=self.address,
                more=more,
            ),
            self.flow,
        )

    def cancels(self, plan: Plan, cseq: int) -> None:
        if plan.call_id not in self.over:
            self.says(plan, "CANCEL", cseq, branch=f"{plan.call_id}INVITE{cseq}")

    def hears(self, m: Message) -> None:
        plan = self.plans.get(m.call_id().decode())
        if plan is None:
            return
        if m.is_request:
            if m.method == b"BYE":
                self.lab.say(reply(m, 200, contact=f"<sip:{self.address}:5060>"), self.flow)
            return
        cseq, method = m.cseq()
        if method != b"INVITE" or m.status < 200:
            return
        if m.status >= 300:
            self.says(plan, "ACK", cseq, branch=f"{plan.call_id}INVITE{cseq}")
            if m.status == 407 and cseq == 1:
                self.invites(plan)
                return
        elif plan.call_id not in self.over:
            self.says(plan, "ACK", cseq, m=m)
            if plan.who == "caller":
                self.lab.at(self.lab.now + plan.talk, lambda: self.says(plan, "BYE", cseq + 1, m=m))
        self.over.add(plan.call_id)


class Callee:
    """Takes the calls as their plans say; `flow` is how the guard knows it."""

    def __init__(self, lab: Lab, plans: list[Plan], flow: Flow) -> None:
        self.lab = lab
        self.flow = flow
        self.address = flow.peer[0]
        self.plans = {p.call_id: p for p in plans}
        self.invites: dict[str, Message] = {}
        self.done: set[str] = set()
        lab.ends.setdefault(self.address, []).append(self.hears)

    def hears(self, m: Message) -> None:
        if not m.is_request:
            return
        call_id = m.call_id().decode()
        plan = self.plans.get(call_id)
        if plan is None:
            return
        if m.method == b"INVITE":
            self.rings(plan, m)
        elif m.method == b"CANCEL":
            self.says(m, 200)
            if call_id not in self.done:
                self.done.add(call_id)
                self.says(self.invites[call_id], 487)
        elif m.method == b"BYE":
            self.says(m, 200)

    def rings(self, plan: Plan, m: Message) -> None:
        if plan.challenge and m.cseq()[0] == 1:
            self.says(m, 407)
            return
        self.invites[plan.call_id] = m
        self.says(m, 100)
        at = self.lab.now
        if plan.rings:
            at += plan.ring
            self.lab.at(at, lambda: self.later(plan, 180))
        if plan.answer:
            self.lab.at(at + plan.pick_up, lambda: self.later(plan, plan.answer))

    def later(self, plan: Plan, status: int) -> None:
        if plan.call_id in self.done:
            return
        m = self.invites[plan.call_id]
        self.says(m, status)
        if status >= 200:
            self.done.add(plan.call_id)
        if status == 200 and plan.who == "callee":
            self.lab.at(self.lab.now + plan.talk, lambda: self.hangs_up(m))

    def hangs_up(self, m: Message) -> None:
        seen = m.from_()
        routes = "".join(f"Route: <{r.uri.decode()}>\r\n" for r in m.routes(b"record-route"))
        bye = request(
            "BYE",
            m.routes(b"contact")[0].uri.decode(),
            caller=f"<{m.to().uri.decode()}>",
            tag="z9",
            to=seen.address.decode(),
            to_tag=(seen.tag or b"").decode(),
            call_id=m.call_id().decode(),
            branch=f"{m.call_id().decode()}opBYE",
            host=self.address,
            more=routes,
        )
        self.lab.say(bye, self.flow)

    def says(self, m: Message, status: int) -> None:
        self.lab.say(reply(m, status, contact=f"<sip:{self.address}:5060>"), self.flow)


def scan(lab: Lab) -> None:
    """Calls of somebody whom nothing names: more in a second than are recorded, and one that is carried."""
    flow = Flow("udp", GUARD, SCANNER)
    for n in range(14):
        data = request(uri=f"sip:0{n}@127.0.0.1", call_id=f"scan{n}", branch=f"scan{n}", host=SCANNER[0])
        lab.at(T0 + 3 * SECOND + n * 50_000, lambda data=data: lab.say(data, flow))  # type: ignore[misc]
    sos = request(uri="sip:112@127.0.0.1", call_id="sos", branch="sos", host=SCANNER[0])
    lab.at(T0 + 5 * SECOND, lambda: lab.say(sos, flow))


def lived(conf: Path, seed: int, calls: int, inbound: int, *, scanned: bool) -> Lab:
    """A guard's life with so many calls either way, drawn by lot, and (`scanned`) a scan."""
    dice = random.Random(seed)
    outward = [Plan(dice, n) for n in range(calls)]
    inward = [Plan(dice, n, inbound=True) for n in range(inbound)]
    lab = Lab(conf)
    Caller(lab, outward, UP)
    Callee(lab, outward, DOWN)
    Caller(lab, inward, DOWN)
    Callee(lab, inward, UP)
    if scanned:
        scan(lab)
    lab.run()
    return lab
