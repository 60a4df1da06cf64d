"""Composition root: from a configuration to a running guard, and back to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from guard.alerts import MoneyAlerts
from guard.app_parts import contact_secret, listens
from guard.asking import Asking
from guard.beside import Beside, aside
from guard.callsfile import path_of
from guard.certificates import Certificates
from guard.config import Config
from guard.counterincident import CounterIncident, troubles_of
from guard.detection import Detection, watching
from guard.engine import Engine
from guard.housekeeping import Housekeeper
from guard.incidents import Incidents, contracts_of
from guard.keeping import Keeper
from guard.net import journal
from guard.net.clock import Clock, SystemClock
from guard.net.driver import Driver
from guard.net.faults import FaultPolicy
from guard.net.garbage import Garbage
from guard.net.hep import Mirror, MirroredLog
from guard.net.hugepages import AGAIN, HugePages
from guard.net.journal import TellingLog
from guard.net.say import LOG, Voice
from guard.net.stream import Streams
from guard.net.tls import Contexts, Tls, contexts
from guard.net.verdicts import Verdicts
from guard.nexthops import NextHops
from guard.policy.enforcing import enforced
from guard.policy.load import Policy
from guard.proxy.core import CoreSettings, ProxyCore
from guard.proxy.kept import KeptCall
from guard.proxy.refuse import Refusals
from guard.proxy.routing import Trunks
from guard.publishing import Publisher, Publishing
from guard.ratekeeping import rates_of
from guard.recounting import Recounting
from guard.refusals import of as refusals_of
from guard.reload import Loaded, Reloader
from guard.resting import standing
from guard.service import SHORT, Service
from guard.sharing import counters, fault_of
from guard.sources import Sources
from guard.store.contract import Writer
from guard.store.sqlite import SqliteWriter
from guard.troubles import Troubles

WATCH: Final = 2.0  # s between looks at the files of the configuration
TICK: Final = 1.0  # s between looks at the wall clock
# Each that works beside the calls has one at most: on a disk that hangs all of them wait, and names are looked up yet.
THREADS: Final = 16
DRAIN: Final = 2.0  # s that stopping waits for the last answers
LOOK: Final = 0.1  # s between looks at what is still in set-up
CLOSING: Final = 20  # s that closing may take beyond the set-ups that it waits for


class App:
    """One guard. Made on a running loop; `start`, then `wait`, then `stop`. `clock` is the machine's, or one of a test
    whose loop goes by it as well."""

    def __init__(
        self,
        config: Config,
        policy: Policy,
        store: SqliteWriter,
        trunks: Trunks,
        found: Contexts | None = None,
        how: Refusals | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._impatient = asyncio.Event()
        self._started = self._succeeded = False
        sources = Sources(config.sources)
        settings = CoreSettings(
            listens=listens(config),
            token=secrets.token_hex(6),
            site=config.site,
            advertise=config.file.listen.advertise,
            emergency_from_unknown=config.file.emergency_from_unknown,
            secret=contact_secret(config),
            screens_inbound=config.screens_inbound,
        )
        self._clock = clock = clock if clock is not None else SystemClock()
        self.core = ProxyCore(settings, sources, trunks)
        self.core.refuse(how if how is not None else refusals_of(config))
        self.driver = Driver(self.core, clock, Voice(clock.now))
        self.driver.intake.status = config.file.drain.answer
        self.mirror: Mirror | None = None
        log: Writer = store
        if config.hep is not None:
            here = settings.listens[0][1:]
            self.mirror = self.driver.mirror = Mirror(config.hep, config.site, here, Voice(clock.now))
            log = MirroredLog(store, self.mirror, clock.wall)
        if journal.here():
            log = TellingLog(log, Voice(clock.now))
        faults = config.file.faults
        self._policy = policy  # as it is written: what is in force may be its stricter form, see _enforce
        self._engine = Engine(policy)
        counted = counters(config, self._engine, watching(), clock, self.driver.fault, self._woken, settings.token)
        self._state, self.desk, self._link = counted.state, counted.desk, counted.link
        self._verdicts = Verdicts(
            self.core,
            self.desk,
            log,
            FaultPolicy(engine=faults.engine, store=faults.store, wait=faults.deadline_ms * 1000),
            self.driver.counters,
            self.driver.hurry,
            self.driver.fault,
        )
        found = found if found is not None else contexts(config.tls_files)
        tls = Tls(found, self.core.identity)
        self.certificates = Certificates(tls, config.tls_files, found)
        ping = config.file.listen.ping_s * 1_000_000
        self._streams = Streams(self._loop, self.driver, self.driver.counters, self.core.listed, tls, ping)
        self.service = Service(self)
        self._garbage, self._pages = Garbage(), HugePages()
        self._memory = Beside(partial(aside, self._pages.gather), AGAIN, self.driver.fault, "")
        self._recounting: asyncio.Task[None] | None = None
        self._house = Housekeeper(store, config, clock, self.driver.fault)
        self._house.adopt(config, policy.digest)
        self._publishing = Publishing(store, config, clock, self.driver.fault)
        passed = self._publishing.passed
        self.alerts = MoneyAlerts(store, config, clock, self.driver.fault, passed=passed, enforce=self._enforce)
        self.incidents = Incidents(store, config, contracts_of(config, policy), clock, self.driver.fault)
        self.detection = Detection(
            self.desk, store, config, lambda: self._engine, self.incidents, clock, self.driver.fault,
            shuts=counted.shuts,
        )  # fmt: skip
        self._away = (
            CounterIncident(store.path, config.zone, self._link, clock, self.driver.fault)
            if self._link is not None else None
        )  # fmt: skip
        self._timers: list[asyncio.TimerHandle] = []
        self._reloader = Reloader(self, config)
        self._hops = NextHops(config, trunks, self._reroute)
        calls, seq_of = path_of(config.store_path), self._verdicts.seq_of
        self._keeper = Keeper(calls, self.core, self.driver, seq_of, rates_of(config, counted.state))
        self.asking = Asking(self, counted.state, self._verdicts, store, clock, settings.token)

    async def start(self) -> None:
        """Bind, listen, and say so. Raises OSError with the address that cannot be had; `stop` gives the rest back."""
        self._loop.set_exception_handler(self._unexpected)
        self._loop.set_default_executor(ThreadPoolExecutor(THREADS, "guard-aside"))
        sockets = await self.service.listen(self.config, self._streams, self.driver.counters)
        self._revive()
        past = Recounting(self._store, self._state, self.detection, lambda: self._engine, self._clock, self.driver)
        upto = await past.upto()
        await self.detection.load(upto)
        self.driver.attach(sockets, self._streams, self._verdicts)
        if self.service.counters["sockets_taken"]:
            self.driver.intake.catch_up()
        self._keeper.start()
        if self.mirror is not None:
            self.mirror.start()
        if self._link is not None:
            self._link.start()
        self._publishing.start()
        tell, more = self._publishing.troubled, troubles_of(self._link)
        self._every(WATCH, Troubles(self.core, self._store, self.driver.now, tell, more).look)
        self._started = True
        if upto is not None:
            self._recounting = self._loop.create_task(past.run(upto))
        self._house.start()
        self.alerts.start()
        self.incidents.start()
        if self._away is not None:
            self._away.start()
        self.detection.start()
        self._every(TICK, self.detection.tick)
        self._every(TICK, self.driver.tick)
        self._garbage.start(self.driver.now())
        self.driver.tidy = self._garbage.tidy
        self._timers.append(self._loop.call_later(WATCH, self._memory.start))  # behind the first calls
        self._every(TICK, lambda: self._garbage.look(self.core.calls + self.core.transactions, self.driver.now()))
        self._every(WATCH, self._reloader.watch)
        self._every(WATCH, self.certificates.watch)
        self._hops.start()
        self.driver.turn(self.core.begin)
        await self.asking.start(self._every)
        pause = self.service.start()
        if pause is not None:
            self._every(pause, self.service.sign)

    def reload(self) -> None:
        """Read the configuration again (SIGHUP)."""
        self._reloader.ask()

    def reading(self, *, over: bool) -> None:
        """It is being read, or has been: whatever came of it."""
        (self.service.adopted if over else self.service.reloading)()

    def adopt(self, loaded: Loaded) -> None:
        """Put a checked configuration in force, between two calls. Counters, calls and held calls go on."""
        config, policy = loaded.config, loaded.policy
        faults = config.file.faults
        self.config = config
        self._policy = policy
        self.core.adopt(
            Sources(config.sources),
            loaded.trunks,
            config.file.emergency_from_unknown,
            screens_inbound=config.screens_inbound,
        )
        self.core.refuse(loaded.refusals)
        self._hops.adopt(config, loaded.trunks)
        self.certificates.adopt(config.tls_files, loaded.tls)
        self.driver.turn(self.core.begin)
        self.driver.intake.status = config.file.drain.answer
        self._verdicts.adopt(FaultPolicy(engine=faults.engine, store=faults.store, wait=faults.deadline_ms * 1000))
        self._store.adopt(policy.figures)
        self.alerts.adopt(config)
        self._publishing.adopt(config)
        self.incidents.adopt(contracts_of(config, policy))
        self._enforce(bool(self.alerts.enforcing))

    def _enforce(self, on: bool) -> None:
        """Decide by the policy as it is written, or by its stricter form while the site's own limit is passed."""
        policy = enforced(self._policy) if on else self._policy
        self._engine = Engine(policy)
        self.desk.adopt(self._engine, fault_of(self.config))
        self._house.adopt(self.config, policy.digest)
        self.service.adopted()

    def _revive(self) -> None:
        """Go on with the calls that were up when the guard stopped, before anything is heard of them."""

        def known(ticket: int, seq: int) -> None:
            self._verdicts.resume(ticket, seq)
            self.detection.revived[seq] = ticket

        def resume(ticket: int, kept: KeptCall) -> None:
            self.desk.resume(ticket, kept.attempt, self.driver.now())

        with self._store.reader() as reader:
            # Counters that are shared begin with the sum of what goes on, told once (guard/state/shared.py).
            self._keeper.load(lambda calls: standing(reader, calls), known, resume, rest=self._link is None)

    def _woken(self) -> None:
        """Shared counters have answered, or are away."""
        self.driver.turn(self._verdicts.wake)

    def _reroute(self, trunks: Trunks) -> None:
        """Names of next hops lead elsewhere now."""
        self.driver.turn(lambda now: self.core.reroute(trunks, now))

    async def wait(self) -> None:
        """Until `leave` is called."""
        await self._done.wait()

    def hand_over(self) -> None:
        """Stop waiting, since another guard is to read the same sockets: where a supervisor holds them."""
        self._succeeded = self.service.held
        self.leave()

    def leave(self) -> None:
        """Stop waiting (a signal came); a second one ends the parting as well."""
        if self._done.is_set():
            self._impatient.set()
        self._done.set()

    async def drain(self) -> None:
        """Begin no new calls, and let those in set-up finish, for `[drain] seconds` at most."""
        setting = self.config.file.drain
        seconds = min(setting.seconds, SHORT) if self._succeeded else setting.seconds
        # Longer than systemd might wait by itself; the rest is for closing.
        self.service.stopping(seconds + CLOSING)
        if not seconds:
            return
        self.core.drain(setting.answer, succeeded=self._succeeded)
        self.asking.drain()
        if not self.core.unsettled:
            return
        LOG.info("stopping: %d set-ups may finish, for %d s at most", self.core.unsettled, seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.core.unsettled and not self._impatient.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._impatient.wait(), LOOK)

    async def stop(self) -> None:
        """Take nothing more in, close what is open, and commit the log. Answered calls go on without the guard, whose
        next life finds them in the keeper's file. Raises StoreError for what the disk refused.
        """
        self.service.stopping(CLOSING)
        for timer in self._timers:
            timer.cancel()
        self.driver.stop()
        await self.asking.stop()
        await self._reloader.stop()
        await self.certificates.stop()
        await self._hops.stop()
        await self._house.stop()
        self._pages.stop()
        await self._memory.stop()
        await self.alerts.stop()
        await self._publishing.stop()
        await self.detection.stop()
        await self.incidents.stop()
        if self._away is not None:
            await self._away.stop()
        if self._recounting is not None:
            self._recounting.cancel()
            await asyncio.gather(self._recounting, return_exceptions=True)
        if self._started:
            await self._keeper.stop()
        if self._link is not None:
            await self._link.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._streams.close(), DRAIN)
        if self.mirror is not None:
            await self.mirror.stop()
        self.service.close()
        try:
            await self._loop.run_in_executor(None, self._store.close)
        except RuntimeError:  # no thread can be begun, for want of memory
            self._store.close()
        finally:
            self._loop.set_exception_handler(None)
            self._garbage.stop()
            if self._started:
                self._sum_up()

    @property
    def publisher(self) -> Publisher | None:
        """Who tells the broker, where one is named."""
        return self._publishing.publisher

    @property
    def policy(self) -> Policy:
        """What is in force: as it is written, or its stricter form."""
        return self._engine.policy

    @property
    def enforcing(self) -> bool:
        """Whether rules on trial act, since a limit of [ledger] is passed."""
        return bool(self.alerts.enforcing)

    def counted(self) -> dict[str, int]:
        """All that is counted, by name."""
        all_of_them = (
            self.core.counters, self.driver.counters, self._hops.counters, self._keeper.counters,
            self.detection.counters, self.asking.counters, self.service.counters,
            {"reloads": self._reloader.done, "reloads_failed": self._reloader.failed},
            *(part.counters for part in (self.mirror, self.publisher, self._link) if part is not None),
        )  # fmt: skip
        return {name: count for counted in all_of_them for name, count in counted.items()}

    def _sum_up(self) -> None:
        counters = {k: v for k, v in self.counted().items() if v}
        LOG.info("stopped: %s", ", ".join(f"{k} {v}" for k, v in sorted(counters.items())) or "nothing came")

    def _every(self, pause: float, what: Callable[[], None]) -> None:
        def again() -> None:
            self._timers[place] = self._loop.call_later(pause, again)
            what()

        place = len(self._timers)
        self._timers.append(self._loop.call_later(pause, again))

    def _unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """What the loop itself caught: told as harmlessly as everything else, and counted."""
        del loop
        error = context.get("exception")
        text = str(context.get("message", ""))
        self.driver.fault(error if isinstance(error, Exception) else RuntimeError(text))
