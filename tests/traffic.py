"""Calls over UDP at a steady pace through a guard in another process, whatever becomes of it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from guard.sip.message import Message
from sim.site import OPERATOR
from tests.apprig import Peer
from tests.proxy.world import reply

PACE: Final = 0.02  # s between two new calls
T1: Final = 0.5  # s, RFC 3261: an INVITE without an answer is repeated after this, and then twice as long each time
TALK: Final = 20  # s that a call waits for its answer


class Traffic:
    """Calls one after the other, each repeated as RFC 3261 says until it hears something; the operator takes each."""

    def __init__(self, pbx: Peer, operator: Peer) -> None:
        self.pbx, self.operator = pbx, operator
        self.placed = 0
        self.heard: dict[int, list[int]] = {}

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Both ends listen."""
        both = [asyncio.create_task(self.hear()), asyncio.create_task(self.answer())]
        try:
            yield
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    @property
    def statuses(self) -> set[int]:
        """All that any caller heard."""
        return {status for heard in self.heard.values() for status in heard}

    async def place(self, first: int, count: int) -> None:
        """So many calls, numbered from `first`; until each has heard its final answer."""
        async with asyncio.TaskGroup() as group:
            for number in range(first, first + count):
                group.create_task(self._call(number))
                await asyncio.sleep(PACE)

    async def _call(self, number: int) -> None:
        self.placed += 1
        self.heard[number] = []
        data = self.pbx.invite(number)
        pause, loop = T1, asyncio.get_running_loop()
        end = loop.time() + TALK
        again = loop.time() + pause
        while not any(status >= 200 for status in self.heard[number]):
            assert loop.time() < end, f"call {number} heard {self.heard[number]}"
            await asyncio.sleep(0.05)
            if not self.heard[number] and loop.time() >= again:
                self.pbx.send(data)
                pause *= 2
                again = loop.time() + pause

    async def hear(self) -> None:
        """The callers."""
        while True:
            m = await self.pbx.next()
            if not m.is_request:
                self.heard[int(m.call_id()[4:])].append(m.status)

    async def answer(self) -> None:
        """The operator takes each call, a little later."""
        taken: set[bytes] = set()
        while True:
            m = await self.operator.next("INVITE")
            if m.call_id() not in taken:
                taken.add(m.call_id())
                asyncio.get_running_loop().call_later(0.2, self._ok, m)

    def _ok(self, m: Message) -> None:
        self.operator.send(reply(m, 200, contact=f"<sip:{OPERATOR}:{self.operator.port}>"))
