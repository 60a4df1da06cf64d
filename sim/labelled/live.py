"""A world as live SIP on loopback: its exchanges and operators around a real guard, with time pressed together.

Rings and talk are as much shorter as the time between calls is, within bounds that loopback can keep; the guard's own
clock is today's, so rules that look at hours and dates judge by it. Bounded: so many calls, so many sites.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

from guard.model import SECOND
from guard.store.contract import Query
from guard.store.reader import Detail, SqliteReader
from sim.agent import Dialog, ServerTx, Silence
from sim.daemon import Daemon
from sim.ipbx import How, Ipbx
from sim.labelled.words import IPBX_HOST, Placed, SimError
from sim.labelled.world import GUARD, World, config
from sim.ports import free_port
from sim.trunk import Habit, Trunk

MAX_CALLS: Final = 2_000  # of one run
MAX_PEERS: Final = 64  # addresses that calls come from and go to, each with two sockets
SHORTEST: Final = 0.04  # seconds that a phone rings or people talk, where they do: what loopback can keep apart
LONGEST: Final = 0.6
PATIENCE: Final = 20.0  # seconds after the last call was placed in which all must be over
GIVES_UP: Final = 0.5  # seconds after which a caller may give up: by then it rings, on a crowded machine too
SETTLE: Final = 1.3  # seconds: entries are on disk within one


class Heard(Struct, frozen=True):
    """What became of one call: the final status that its caller got, 0 for silence; whether it rang; whether the other
    side saw it."""

    placed: Placed
    status: int
    rang: bool
    arrived: bool


class Operator(Trunk):
    """An operator that also places the calls that come in, as they were planned."""

    async def place(self, placed: Placed, guard: tuple[str, int], port: int) -> tuple[int, bool]:
        """A call to the exchange: final status (0: silence), and whether it rang."""
        call, ended = placed.call, placed.ended
        network = call.source_address.rpartition(".")[0]
        uri = f"sip:{call.callee.raw}@{network}.{IPBX_HOST}:{port}"
        tx = self._invite(uri, guard, call.caller.raw, call.callee.raw, call.call_id)
        giving_up = None
        rang = False
        try:
            while (answer := (await tx.next(PATIENCE)).message).status < 200:
                rang = rang or answer.status > 100
                if rang and giving_up is None and ended.outcome == "cancelled":
                    giving_up = asyncio.get_running_loop().call_later(SHORTEST, tx.cancel)
        except Silence:
            return 0, rang
        finally:
            if giving_up is not None:
                giving_up.cancel()
        if answer.status < 300:
            dialog = Dialog.of_caller(self, tx.request, answer)
            self.acknowledge(dialog, tx.request)
            await asyncio.sleep(SHORTEST)
            await dialog.send("BYE").done()
        return answer.status, rang


class Exchange(Ipbx):
    """An exchange whose people answer, ring on or are busy as planned. `plans` go by Call-ID."""

    def __init__(self, guard: tuple[str, int], host: str, plans: dict[str, Placed]) -> None:
        super().__init__(guard, host)
        self.plans = plans
        self.arrived: set[str] = set()
        self._ringing: dict[str, ServerTx] = {}

    def on_request(self, tx: ServerTx) -> None:
        """See `Agent`."""
        request = tx.request
        if request.method == "CANCEL":
            invite = self._ringing.pop(request.branch, None)
            tx.reply(200 if invite is not None else 481)
            if invite is not None:
                invite.reply(487)
            return
        placed = self.plans.get(request.call_id) if request.method == "INVITE" else None
        if placed is None or placed.ended.outcome == "answered":
            if placed is not None:
                self.arrived.add(request.call_id)
            super().on_request(tx)
            return
        self.arrived.add(request.call_id)
        tx.reply(100)
        if placed.ended.outcome == "cancelled":
            self._ringing[request.branch] = tx
            tx.reply(180)
        else:
            tx.reply(placed.ended.final_status)


class Live:
    """One run: `calls` of a world, `speed` times as fast, through a guard in `folder`. Raises SimError, NotReady.

    `operators` go by their addresses, and keep what they saw.
    """

    def __init__(self, world: World, folder: Path, *, calls: int = 40, speed: float = 3_600.0) -> None:
        if not 1 <= calls <= MAX_CALLS:
            raise SimError(f"{calls} live calls are not between 1 and {MAX_CALLS}")
        if not speed >= 1.0:
            raise SimError(f"speed {speed:g} is not 1 or more")
        self.plan = tuple(islice(world, calls))
        self._world = world
        self._folder = folder
        self._speed = speed
        self._guard = (GUARD, free_port(GUARD))
        self._port = free_port(GUARD)
        plans = {p.call.call_id: p for p in self.plan}
        ours = {p.call.source_address for p in self.plan if p.call.direction == "outbound"}
        ours |= {s.address for s in world.sites}
        operators = {s.operator for s in world.sites}
        if len(ours) + len(operators) > MAX_PEERS:
            raise SimError(f"{len(ours) + len(operators)} addresses of exchanges and operators: at most {MAX_PEERS}")
        self._exchanges = {a: Exchange(self._guard, a, plans) for a in sorted(ours)}
        self.operators = {a: Operator(a) for a in sorted(operators)}
        self._of_site = {s.name: s.operator for s in world.sites}

    async def run(self) -> list[Heard]:
        """Place the calls and see them to their ends; the guard's log is then in the folder."""
        path = self._folder / "guard.toml"
        # Rings do not shrink as time between calls does: more are up at once than a site's own channels are made for.
        at_once = len(self.plan)
        text = config(self._world, self._folder, guard=self._guard, port=self._port, at_once=at_once)
        path.write_text(text, encoding="utf-8")
        async with AsyncExitStack() as stack:
            for peer in (*self._exchanges.values(), *self.operators.values()):
                stack.push_async_callback(peer.stop)
                await peer.start(self._port)
            daemon = Daemon(path)
            stack.push_async_callback(asyncio.to_thread, daemon.stop)
            await asyncio.to_thread(daemon.wait_ready)
            tasks = [asyncio.create_task(self._in_time(p)) for p in self.plan]
            try:
                heard = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
            await asyncio.sleep(SETTLE)
        return list(heard)

    def records(self) -> Iterator[tuple[Placed, Detail]]:
        """Each call with its record in the guard's log."""
        plans = {p.call.call_id: p for p in self.plan}
        with SqliteReader(self._folder / "guard.db") as reader:
            for detail in reader.details(Query(all=True)):
                placed = plans.get(detail.record.call_id)
                if placed is not None:
                    yield placed, detail

    async def _in_time(self, placed: Placed) -> Heard:
        await asyncio.sleep((placed.call.at - self.plan[0].call.at) / SECOND / self._speed)
        call = placed.call
        operator = self.operators[self._of_site[call.source]]
        if call.direction == "inbound":
            status, rang = await operator.place(placed, self._guard, self._port)
            arrived = any(call.call_id in x.arrived for x in self._exchanges.values())
            return Heard(placed, status, rang, arrived)
        ended = placed.ended
        operator.habits[call.callee.raw] = self._habit(placed)
        answered = ended.outcome == "answered"
        how = How(
            line=call.line,
            agent=call.user_agent,
            call_id=call.call_id,
            cancel_after=self._short(ended.ring_us) + GIVES_UP if ended.outcome == "cancelled" else None,
            talk=self._short(ended.talk_us) if answered and ended.by != "callee" else None,
            patience=PATIENCE,
        )
        result = await self._exchanges[call.source_address].call(call.caller.raw, call.callee.raw, how)
        return Heard(placed, result.status, result.rang, bool(operator.of(call.call_id)))

    def _habit(self, placed: Placed) -> Habit:
        """What the other side does with a call out."""
        ended = placed.ended
        if ended.outcome == "cancelled":
            return Habit(answer=None)
        if ended.outcome == "failed":
            return Habit(ring=None, refuse=ended.final_status, answer=SHORTEST)
        hang_up = self._short(ended.talk_us) if ended.by == "callee" else None
        return Habit(answer=SHORTEST + self._short(ended.ring_us), hang_up=hang_up)

    def _short(self, span: int) -> float:
        return min(max(span / SECOND / self._speed, SHORTEST), LONGEST)
