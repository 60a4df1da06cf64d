"""What a decision costs whose counters are in Redis: `python scripts/sharedcost.py` starts a redis-server and measures.

Each figure is of one guard in one process, over a unix socket, on a machine that does nothing else.
"""

from __future__ import annotations

import asyncio
import time
from statistics import quantiles

import uvloop

from guard.configstate import place
from guard.net.clock import SystemClock
from guard.net.redislink import RedisLink
from guard.state.contract import Reading, StateError, Touch
from guard.state.memory import MemoryState
from guard.state.shared import Shared
from guard.state.wire import Ask
from tests.state.server import Server, serving

CALLS = 5_000
AT_ONCE = 50


def touches(n: int, at: int) -> tuple[Touch, ...]:
    """What a call of a busy site touches: the second, its channel, its line, the numbers of the month."""
    ident = str(n)
    return (
        Touch(kind="window", key="cps:operator", ident=ident, limit=10_000, span_us=1_020_000),
        Touch(kind="gauge", key="channels:operator", ident=ident, limit=100_000),
        Touch(kind="gauge", key=f"line:pbx/{n % 200}", ident=ident, limit=100_000),
        Touch(
            kind="tally", key="callees:trunk:operator", ident=ident, member=f"+3319900{n % 3000:04}", limit=100_000,
            since=at - 86_400_000_000, at=at,
        ),
    )  # fmt: skip


class Desk:
    """Hears the answers."""

    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[None]] = {}

    def heard(self, ticket: int, answer: tuple[Reading, ...] | StateError) -> None:
        """One answer."""
        assert isinstance(answer, tuple), answer
        self.waiting.pop(ticket).set_result(None)

    def wants(self, ask: Ask) -> bool:
        """All are wanted."""
        return int(ask.ident) in self.waiting


async def measure(server: Server) -> None:
    """Calls one after the other, then many at once."""
    desk, shared = Desk(), Shared("cost", "a", "1", deadline=1_000_000)
    link = RedisLink(place(server.url), shared, 30_000_000, SystemClock(), desk, lambda: None)
    loop = asyncio.get_running_loop()
    link.start()
    while shared.alone:
        await asyncio.sleep(0.01)
    await asyncio.sleep(1.6)  # a server that was just started is quiet

    async def call(n: int) -> float:
        begun = time.perf_counter()
        now = SystemClock.now()
        desk.waiting[n] = done = loop.create_future()
        shared.ask(str(n), touches(n, SystemClock.wall()), now)
        await done
        took = time.perf_counter() - begun
        shared.departed(str(n), SystemClock.now())
        shared.release(str(n), now)
        return took

    for name, at_once in (("one at a time", 1), (f"{AT_ONCE} at once", AT_ONCE)):
        begun, cpu = time.perf_counter(), time.process_time()
        took: list[float] = []
        for n in range(0, CALLS, at_once):
            took += await asyncio.gather(*(call(10 * CALLS * at_once + n + k) for k in range(at_once)))
        seconds, used = time.perf_counter() - begun, time.process_time() - cpu
        cuts = quantiles(took, n=100)
        print(
            f"{name}: p50 {cuts[49] * 1e3:.2f} ms, p99 {cuts[98] * 1e3:.2f} ms, {CALLS / seconds:.0f} calls/s,"
            f" {used / CALLS * 1e6:.0f} µs of the guard's CPU a call"
        )
    await link.stop()
    with server.client() as client:
        told = client.info("commandstats")["cmdstat_fcall"]
        size = client.info("memory")["used_memory"]
    print(f"redis: {told['usec_per_call']:.0f} µs a function call, {told['calls']} of them, {size // 1024} KiB in use")


def memory() -> None:
    """The same touches in memory."""
    state = MemoryState()
    begun = time.process_time()
    for n in range(CALLS):
        state.touch(touches(n, 1_800_000_000_000_000), n * 100_000)
        state.departed(str(n), n * 100_000)
        state.release(str(n), n * 100_000)
    print(f"in memory: {(time.process_time() - begun) / CALLS * 1e6:.0f} µs a call")


if __name__ == "__main__":
    memory()
    with serving() as started:
        uvloop.run(measure(started))
