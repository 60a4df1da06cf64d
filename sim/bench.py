"""`make bench`: what the core costs, in microseconds of one processor, each beside a yardstick of the same run.

Machines are shared and noisy. What is done thousands of times is timed each time, and what a tenth of the times stayed
below is told. The ratio to the yardstick, a fixed piece of work of the same kind, is what to compare.
"""

from __future__ import annotations

import gc
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from guard.asked import Question, attempt_of
from guard.config import load
from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.model import CallAttempt, CallEnded, Decision
from guard.numbering.number import Dial, normalise
from guard.policy.load import Policy, load_policy
from guard.proxy.core import CoreSettings, ProxyCore
from guard.proxy.effects import Decide, Ended, Flow, Send
from guard.proxy.routing import Trunks
from guard.proxy.shapes import Hop, Trunk
from guard.sip.message import parse
from guard.sources import Sources
from guard.state.memory import MemoryState
from guard.store.sqlite import SqliteWriter
from sim.site import ALICE, GUARD, IPBX, OPERATOR, Site

ROUNDS = 7
AT = 1_795_251_600_000_000  # µs of Unix time: 2026-11-21, 10:00 in Paris
LINES = 500  # each line calls once in 75 s
UP = 50  # calls up at once meanwhile
BEFORE, CALLS = (
    300,
    3000,
)  # calls before the clock runs (so that those of 32 s ago have to be cleared away), and under it
STEPS = ("INVITE", "100", "180", "200", "ACK", "BYE", "200 to BYE", "timers")
COPIED = frozenset({b"Via", b"Record-Route", b"From", b"To", b"Call-ID", b"CSeq"})
BODY = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
    "m=audio 30000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)


def best(work: Callable[[], int]) -> float:
    """Microseconds of processor time for each thing that `work` did (it returns how many): the best round."""
    gc.disable()
    try:
        times = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            done = work()
            times.append((time.process_time() - begun) / done * 1e6)
            gc.collect()
        return min(times)
    finally:
        gc.enable()


def tenth(times: list[float]) -> float:
    """Microseconds (of times in seconds) that a tenth of them stayed below: what it takes when nobody else disturbs."""
    return sorted(times)[len(times) // 10] * 1e6


def yardstick(data: bytes) -> dict[bytes, bytes]:
    """What costs are compared with: the fields of a message, taken apart in the plainest way. Never to be changed."""
    found: dict[bytes, bytes] = {}
    for line in data.split(b"\r\n"):
        name, _, value = line.partition(b":")
        found[name.lower()] = value.strip()
    return found


def each(what: Callable[[], object], count: int = 5000) -> float:
    """Microseconds of one of `count` times."""
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        what()
        times.append(time.perf_counter() - begun)
    return tenth(times)


def request(
    method: str, number: int, cseq: int, *, caller: str = "", to_tag: str = "", more: str = "", body: str = ""
) -> bytes:
    """A request of the simulated IPBX; with `to_tag` within the dialog, by its route (RFC 3261 12.2.1.1). `caller`: of
    a line that is known by this number."""
    callee = f"+33199{number * 7919 % 1_000_000:06d}"  # each call another, so that no memory flatters the figures
    line = caller or f"2{number % LINES:03d}"  # not one of the dialler, nor one that sells (sim/site.py)
    caller = caller or f"+331456789{number % LINES % 100:02d}"
    tag, uri = "", f"sip:{callee}@{GUARD}:5060;user=phone"
    if to_tag:
        tag, uri, more = f";tag={to_tag}", f"sip:{OPERATOR}:5060", f"Route: <sip:{GUARD}:5060;lr>\r\n{more}"
    return (
        f"{method} {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {IPBX}:5060;rport;branch=z9hG4bK{method}{number}\r\nMax-Forwards: 70\r\n"
        f'From: "Alice" <sip:{caller}@{IPBX}>;tag=a{number}\r\nTo: <sip:{callee}@{GUARD}>{tag}\r\n'
        f"Call-ID: {number}-bench@{IPBX}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{caller}@{IPBX}:5060>\r\n"
        f"P-Asserted-Identity: <sip:{caller}@{IPBX}>\r\nX-Line: {line}\r\n"
        f"User-Agent: bench\r\nAllow: INVITE, ACK, BYE, CANCEL\r\n"
        f"{more}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def answer(sent: bytes, status: int) -> bytes:
    """The operator's answer to what the core sent, made without the guard's own reading of it."""
    lines = [b"SIP/2.0 %d X" % status]
    for line in sent.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        name = line.partition(b":")[0]
        if name in COPIED:
            lines.append(line + b";tag=z" if name == b"To" and b"tag=" not in line else line)
    lines += [b"Contact: <sip:%s:5060>" % OPERATOR.encode(), b"Content-Length: 0", b"", b""]
    return b"\r\n".join(lines)


class Calls:
    """Whole calls of seven messages through one core, with the rules deciding."""

    def __init__(self, policy: Policy, sources: Sources, *, rules: bool) -> None:
        trunks = Trunks((Trunk(name="operator", hops=(Hop("udp", OPERATOR, 5060),)),))
        self.core = ProxyCore(CoreSettings(listens=(("udp", GUARD, 5060),), token="f0e1d2c3b4a5"), sources, trunks)
        self.desk = Desk(Engine(policy), MemoryState(), watch=Watch()) if rules else None
        self.up = Flow("udp", (GUARD, 5060), (IPBX, 5060))
        self.down = Flow("udp", (GUARD, 5060), (OPERATOR, 5060))
        self.now = 1_000_000_000
        self.core.wall_offset = AT - self.now  # rules are in force from the day on that their article is
        self.number = 0
        self.times: dict[str, list[float]] = {name: [] for name in STEPS}

    def feed(self, data: bytes, flow: Flow) -> bytes:
        """One message; the last one that leaves because of it."""
        core = self.core
        core.receive(data, flow, self.now)
        sent = b""
        while core.effects:
            effects = core.effects[:]
            core.effects.clear()
            for effect in effects:
                if isinstance(effect, Send):
                    sent = effect.data
                elif isinstance(effect, Decide):
                    decision = Decision(verdict="allowed")
                    if self.desk is not None:
                        decision = self.desk.submit(effect.ticket, effect.call, self.now)[0][1]
                        self.desk.departed(effect.ticket, self.now)
                    core.decided(effect.ticket, decision, 1, self.now)
                elif isinstance(effect, Ended):
                    self.over(effect)
        return sent

    def over(self, effect: Ended) -> None:
        """A call is over: detection is not told of it here."""
        if self.desk is not None:
            self.desk.ended(effect.ticket, self.now)

    def prepare(self, count: int) -> list[tuple[bytes, bytes, bytes]]:
        """Requests of `count` calls, made before the clock runs."""
        numbers = range(self.number, self.number + count)
        self.number += count
        sdp = "Content-Type: application/sdp\r\n"
        return [
            (
                request("INVITE", n, 1, more=sdp, body=BODY),
                request("ACK", n, 1, to_tag="z"),
                request("BYE", n, 2, to_tag="z"),
            )
            for n in numbers
        ]

    def timed(self, step: str, data: bytes, flow: Flow) -> bytes:
        """`feed`, and how long it takes."""
        begun = time.perf_counter()
        sent = self.feed(data, flow)
        self.times[step].append(time.perf_counter() - begun)
        return sent

    def run(self, count: int) -> None:
        """So many calls: INVITE, 100, 180, 200, ACK, BYE, 200, and the timers that are due by then."""
        for invite, ack, bye in self.prepare(count):
            self.now += 150_000  # below ten calls a second
            out = self.timed("INVITE", invite, self.up)
            if not out.startswith(b"INVITE"):
                raise RuntimeError(f"a call of the benchmark was refused: {out[:80]!r}")
            for status in (100, 180, 200):
                self.timed(str(status), answer(out, status), self.down)
            self.timed("ACK", ack, self.up)
            self.timed("200 to BYE", answer(self.timed("BYE", bye, self.up), 200), self.down)
            begun = time.perf_counter()
            self.core.wake(self.now)
            self.times["timers"].append(time.perf_counter() - begun)

    def costs(self) -> dict[str, float]:
        """Microseconds for each step of a call, with as much going on as a busy guard has."""
        self.run(BEFORE)
        for times in self.times.values():
            times.clear()
        gc.collect()
        gc.disable()
        try:
            self.run(CALLS)
        finally:
            gc.enable()
        return {step: tenth(times) for step, times in self.times.items()}


def decisions(policy: Policy, attempt: CallAttempt, *, detection: bool) -> float:
    """One decision with every rule loaded, taken, sent and ended, of a line that calls a few times an hour."""
    callers = [normalise(f"+331456789{n:02d}", Dial()) for n in range(100)]
    callees = [normalise(f"+33199{n * 7919 % 1_000_000:06d}", Dial()) for n in range(2000)]
    calls = [
        replace(attempt, at=attempt.at + n * 150_000, line=f"{n % LINES}", caller=callers[n % 100], callee=callees[n])
        for n in range(2000)
    ]
    end = CallEnded(at=0, outcome="answered", ring_us=2_500_000, talk_us=5_000_000, final_status=200, by="caller")
    ends = [replace(end, at=call.at + UP * 150_000) for call in calls]

    def work() -> int:
        desk, now = Desk(Engine(policy), MemoryState(), watch=Watch() if detection else None), 0
        for ticket, call in enumerate(calls):
            now += 150_000
            ((_, decision),) = desk.submit(ticket, call, now)
            if decision.verdict == "blocked":
                raise RuntimeError(f"a call of the benchmark was refused by {decision.rule}")
            desk.departed(ticket, now)
            if ticket >= UP:
                desk.ended(ticket - UP, now, ends[ticket - UP])
        return 2000

    return best(work)


def records(policy: Policy, folder: Path, attempt: CallAttempt) -> float:
    """A decision and an end in the log on disk (wall clock: the writer has a thread of its own)."""
    decision = Desk(Engine(policy), MemoryState(), watch=Watch()).submit(1, attempt, 0)[0][1]
    times = []
    for n in range(3):
        writer = SqliteWriter(folder / f"bench{n}.db", site="bench", money=policy.figures)
        begun = time.perf_counter()
        for _ in range(2000):
            writer.ended(writer.decided(attempt, decision, None), CallEnded(at=attempt.at, outcome="answered"))
        writer.flush()
        times.append((time.perf_counter() - begun) / 2000 * 1e6)
        writer.close()
    return min(times)


def consents(folder: Path, count: int) -> None:
    """A canvasser's decision with a list of `count` consents: what it takes to load, to hold and to ask."""
    rows = (f"06{n:08d},2026-09-01,,form {n}\n" for n in range(count))
    with (folder / "consents.csv").open("w", encoding="utf-8") as file:
        file.write("number,from,until,proof\n")
        file.writelines(rows)
    more = '[prospecting]\nconsents = "consents.csv"\n'
    config = load(Site(folder=folder, port=5060, trunk_port=5060, pbx_port=5060, channels=2 * UP, more=more).write())
    begun = time.perf_counter()
    policy = load_policy(config)
    loading = time.perf_counter() - begun
    friday = 1_795_185_000_000_000  # 2026-11-20, 15:30 in Paris
    attempt = attempt_of(
        Question(source=config.sources[0], caller=ALICE, callee="0600012345", at=friday, usage=("prospecting",))
    )
    held = getrusage(RUSAGE_SELF).ru_maxrss / 1024
    cost = best(lambda: len([policy.lists["consents"].at("+33600012345", friday) for _ in range(2000)]))
    print(f"\n{len(policy.lists['consents'])} consents: loaded in {loading:.1f} s, the process at most {held:.0f} MB,")
    print(f"one look-up {cost:.1f} µs, a canvasser's decision {decisions(policy, attempt, detection=True):.1f} µs")


def main() -> None:
    """Measure, and print a table; `--consents N` adds a decision with a list of so many."""
    parser = ArgumentParser(description="What the core costs.")
    parser.add_argument("--consents", type=int, default=0, metavar="N", help="with a list of N consents as well")
    wanted = parser.parse_args().consents
    if wanted:
        with TemporaryDirectory() as folder:
            consents(Path(folder), wanted)
        return
    with TemporaryDirectory() as folder:
        site = Site(folder=Path(folder), port=5060, trunk_port=5060, pbx_port=5060, channels=2 * UP)
        config = load(site.write())
        policy = load_policy(config)
        attempt = attempt_of(Question(source=config.sources[0], caller=ALICE, callee="0199001234", at=AT))
        invite = request("INVITE", 1, 1, more="Content-Type: application/sdp\r\n", body=BODY)
        yard = each(lambda: yardstick(invite))
        plain, ruled = (Calls(policy, Sources(config.sources), rules=r).costs() for r in (False, True))
        rules = sum(ruled.values())
        numbers = [f"+331456{n:05d}" for n in range(20_000)]
        dial = Dial()
        rows = (
            ("the yardstick", yard),
            (f"index of an INVITE of {len(invite)} bytes, its fields known", each(lambda: parse(invite))),
            ("a call of 7 messages through the core, always allowed", sum(plain.values())),
            ("the same with every rule, counters and ends", rules),
            *((f"  {step}", cost) for step, cost in ruled.items()),
            ("  of which for one message", rules / 7),
            ("a decision alone: rules, counters, departure, end", decisions(policy, attempt, detection=False)),
            ("the same with detection", decisions(policy, attempt, detection=True)),
            ("a number seen for the first time", best(lambda: len([normalise(n, dial) for n in numbers]))),
            ("a decision and an end in the log, wall clock", records(policy, Path(folder), attempt)),
        )
        width = max(len(name) for name, _ in rows)
        print(f"{'':{width}}        µs   × yardstick")
        for name, cost in rows:
            print(f"{name:{width}}  {cost:8.1f}   {cost / yard:8.1f}")


if __name__ == "__main__":
    main()
