"""Counters that are kept in a real Redis, behind the contract of a state: what `guard/net/redislink.py` does, in step.

The library runs as it is, but for its clock: that is the timeline which the test gives, so nothing sleeps.
"""

from __future__ import annotations

from itertools import count
from typing import cast

import msgspec
import redis

from guard.net.redislink import CODE, LIBRARY
from guard.state.contract import Reading, Touch
from guard.state.shared import Shared
from guard.state.wire import Op

BASE = 1_800_000_000_000_000  # µs of Unix time: the server's clock at the timeline's 0
LEASE = 30_000_000
NAME = "t" + LIBRARY[1:]
CLOCK = "clock"
_TIME = "redis.call('TIME')"
TIMED = CODE.replace(_TIME, f"redis.call('LRANGE', '{CLOCK}', 0, 1)").replace(LIBRARY, NAME)
_sites = count(1)


def load(client: redis.Redis) -> None:
    """The library with the test's clock."""
    assert _TIME in CODE
    client.function_load(TIMED, replace=True)


def set_clock(client: redis.Redis, now: int) -> None:
    """The server's clock, at an instant of the timeline."""
    seconds, micros = divmod(BASE + now, 1_000_000)
    pipe = client.pipeline()
    pipe.delete(CLOCK)
    pipe.rpush(CLOCK, seconds, micros)
    pipe.execute()


class Kept:
    """One guard of a site, whose every ask is answered at once."""

    def __init__(self, client: redis.Redis, site: str = "", name: str = "a", life: str = "1", share: float = 0) -> None:
        self.client = client
        self.site = site or f"site{next(_sites)}"
        self.shared = Shared(self.site, name, life, share=share)
        self.epoch = 0
        self.wrong: list[str] = []

    def call(self, op: Op, expires: int = 0) -> list[int]:
        """One function call."""
        pack = msgspec.msgpack.encode
        who = pack([self.shared.guard, self.epoch, expires])
        reply: object = self.client.execute_command(  # type: ignore[no-untyped-call]  # redis-py has no types here
            "FCALL", f"{NAME}_{op.function}", len(op.keys), *op.keys, who, pack(op.body)
        )
        return cast("list[int]", reply)

    def hello(self, now: int, *, tells: bool = True) -> tuple[bool, int, int]:
        """Be known; whether the server had lost the counters, how many guards there are, and which of them this is.
        Not `tells`: what this guard did alone waits for the next `flush`."""
        set_clock(self.client, now)
        _, self.epoch, lost, of, rank, sole = self.call(self.shared.hello(LEASE))
        self.shared.greeted(now, lost=bool(lost), of=of, rank=rank, sole=bool(sole))
        if tells:
            self.flush(now)
        return bool(lost), of, rank

    def beat(self, now: int) -> None:
        """Be heard."""
        set_clock(self.client, now)
        reply = self.call(self.shared.beat())
        self.shared.own.beaten(now, *reply[1:3], sole=bool(reply[3]))
        self.shared.shuts.merge(reply[4], cast("list[bytes]", reply[5:]))

    def flush(self, now: int) -> dict[str, tuple[Reading, ...]]:
        """Send all that waits; answers by ident."""
        out = {}
        while ops := self.shared.collect():
            set_clock(self.client, now)
            for op in ops:
                reply = self.call(op)
                if op.ask is not None:
                    out[op.ask.ident] = self.shared.answered(op.ask, reply, now)
                elif reply[1]:
                    self.wrong.append(str(reply[1]))
        return out

    # ---- the contract ----------------------------------------------------------------------------------------------

    def touch(self, touches: tuple[Touch, ...], now: int) -> tuple[Reading, ...]:
        if not touches:
            return ()
        self.shared.ask(touches[0].ident, touches, now)
        return self.flush(now)[touches[0].ident]

    def departed(self, ident: str, now: int) -> None:
        self.shared.departed(ident, now)
        self.flush(now)

    def release(self, ident: str, now: int) -> None:
        self.shared.release(ident, now)
        self.flush(now)

    def forget(self, ident: str, now: int) -> None:
        self.shared.forget(ident, now)
        self.flush(now)

    def used(self, key: str, at: int, amount: int) -> None:
        self.shared.used(key, at, amount)
        self.flush(at - BASE)

    def restore(self, touch: Touch) -> None:
        self.shared.restore(touch)
        self.flush(touch.at - BASE)

    def restored(self) -> None:
        self.shared.restored()
