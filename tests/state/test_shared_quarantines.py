"""Two whole guards on a real Redis: who is shut off at one is refused at both, until a person at either lets go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from guard.fleetshuts import SAYS, WHO
from guard.ledger.incidents import FOR_GOOD, Event, Incident, Quarantine
from guard.net.clock import SystemClock
from guard.rules.detect import SHUT
from guard.store.books import Books
from tests.apprig import Rig, guard, run
from tests.state.server import Server, serving
from tests.state.test_three_guards import serves, until
from tests.store.making_log import PARIS

LINE: Final = "o:pbx"  # the whole IPBX, as detection keeps it


def books(rig: Rig, work: Callable[[Books], object] = Books.incidents) -> list[Incident]:
    """Have a person at a guard work, and what its books say then."""
    with Books(rig.site.folder / rig.site.store, PARIS) as found:
        work(found)
        return list(found.incidents().values())


def shut(until: int = FOR_GOOD) -> Callable[[Books], object]:
    now = SystemClock.wall()
    quarantine = Quarantine(kind="source", subject="pbx", until=until, at=now)
    event = Event(
        step="open", at=now, written=now, who="me", subject_kind="source", subject="pbx", trunk="operator", rule=SHUT,
        quarantine=quarantine,
    )  # fmt: skip
    return lambda found: found.quarantine(event)


def let_go(incident: int = 1) -> Callable[[Books], object]:
    now = SystemClock.wall()
    return lambda found: found.step(Event(step="release", at=now, written=now, incident=incident))


def closed(rig: Rig) -> bool:
    watch = rig.app.desk.watch
    return watch is not None and LINE in watch.alarms.closed


async def answered(rig: Rig, number: int) -> int:
    """The status that a new call gets."""
    rig.pbx.invite(number)
    return (await rig.pbx.final(number)).status


@asynccontextmanager
async def one(folder: Path, server: Server) -> AsyncIterator[Rig]:
    folder.mkdir(exist_ok=True)
    async with guard(folder, more=f'[state]\nurl = "{server.url}"\ndeadline_ms = 500\n') as rig:
        yield rig


def test_shut_off_at_one_holds_at_the_other_also_without_redis_and_after_a_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        async with one(tmp_path / "a", server) as a:
            async with one(tmp_path / "b", server) as b:
                await until(lambda: serves(a) and serves(b))
                books(a, shut())
                await until(lambda: closed(b))
                assert await answered(b, 1) == 403
                await until(lambda: bool(books(b)))
                server.kill()
                await until(lambda: not serves(b))
                assert closed(b), "it keeps what it knows"
            async with one(tmp_path / "b", server) as b:
                assert await answered(b, 2) == 403, "its own books say it"
                (mirrored,) = (i for i in books(b) if i.rule == SHUT)  # that the counters are away may be one as well
                assert (mirrored.subject, mirrored.rule, mirrored.events[0].who) == ("pbx", SHUT, WHO)
                assert mirrored.events[0].text == SAYS[""]
                assert mirrored.terms.subject_cost == 0
                server.start()
                await until(lambda: serves(a) and serves(b))
                assert closed(a), "what b says is known"
                assert len(books(a)[0].events) == 1
                books(b, let_go(mirrored.id))
                await until(lambda: not closed(a) and not closed(b))
                await until(lambda: not books(a)[0].live)
                assert books(a)[0].events[-1].text == SAYS["released"]

    with serving() as server:
        run(scene)


def test_released_while_a_guard_was_stopped_is_released_when_it_starts(tmp_path: Path) -> None:
    async def scene() -> None:
        async with one(tmp_path / "a", server) as a:
            async with one(tmp_path / "b", server) as b:
                await until(lambda: serves(a) and serves(b))
                books(a, shut(SystemClock.wall() + 3_600_000_000))
                await until(lambda: closed(b) and bool(books(b)))
            books(a, let_go())
            await until(lambda: not closed(a))
            async with one(tmp_path / "b", server) as b:
                await until(lambda: not closed(b))
                await until(lambda: not books(b)[0].live)
                assert not closed(a)
                books(b, shut())  # and again: this time it is b's
                await until(lambda: closed(a))

    with serving() as server:
        run(scene)
