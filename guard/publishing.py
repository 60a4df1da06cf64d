"""Publishes alerts over MQTT beside the calls: a thread with a loop of its own, that gathers and sends.

Whatever becomes of the broker, of the outbox or of this thread, the calls do not wait: they hand over nothing but
a limit that was passed and what is wrong with the guard, which go into a queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from guard.config import Config
from guard.configmqtt import Broker
from guard.ledger.limits import Alert
from guard.messages.events import Trouble
from guard.net.aside import Aside
from guard.net.clock import Clock
from guard.net.say import LOG
from guard.store import aside
from guard.store.errors import StoreDamaged, StoreError
from guard.store.outbox import Outbox, path_of
from guard.store.sqlite import SqliteWriter

if TYPE_CHECKING:
    from guard.gathering import Gatherer, Told
    from guard.net.mqtt import Sender

LOOK: Final = 0.5  # s between looks at the log: an alert is on its way within a second and a half of its call
BREATH: Final = 0.02  # s between two pages of the log: the calls' thread has the interpreter meanwhile
PARTING: Final = 5.0  # s that stopping waits for the last messages
MEANWHILE: Final = 10  # limits that are passed between two brokers: of a day and of a month, once each


class Publisher:
    """`start` it on a running loop when the log is open, `stop` it before the log is closed."""

    def __init__(
        self,
        store: SqliteWriter,
        config: Config,
        broker: Broker,
        clock: Clock,
        fault: Callable[[Exception], None],
        look: float = LOOK,
    ) -> None:
        from guard.gathering import Gatherer  # with all of MQTT: only where a broker is named
        from guard.net.mqtt import Sender

        self._gatherer_of, self._sender_of = Gatherer, Sender
        self.counters: dict[str, int] = {}
        self._store, self._config, self._broker, self._clock, self._look = store, config, broker, clock, look
        self._loop = asyncio.get_running_loop()
        self._fault = fault
        self._thread: threading.Thread | None = None
        self._other: asyncio.AbstractEventLoop | None = None
        self._leave: Callable[[], object] = bool
        self._gatherer: Gatherer | None = None
        self._said: SimpleQueue[Told] = SimpleQueue()
        self._troubles: tuple[Trouble, ...] | None = None
        self._leaving = threading.Event()
        self._first = 0
        self._trouble = ""
        self.connected = False
        self.waiting = 0  # messages in the outbox, as of the last look

    def start(self) -> None:
        """Begin: of an outbox that is not there yet with the calls from now on."""
        try:
            with self._store.reader() as reader:
                self._first = reader.last_seq()
        except StoreError as error:
            LOG.warning("alerts: %s", error)
        self._thread = threading.Thread(target=self._run, name="guard-alerts", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Send what is ready, say goodbye to the broker, and give up after PARTING: the outbox has the rest."""
        if self._thread is None:
            return
        self._leaving.set()
        self._hurry()
        await self._loop.run_in_executor(None, self._thread.join, PARTING)
        if self._thread.is_alive():
            LOG.warning("alerts: the broker keeps us waiting; the outbox has the rest")
        self._thread = None

    def passed(self, alert: Alert) -> None:
        """A limit of the site's own was passed."""
        if self._broker.what.penalties:
            self._said.put(alert)

    def troubled(self, troubles: tuple[Trouble, ...]) -> None:
        """All that is wrong with the guard now; told where it is not what was told last."""
        if self.lost_alerts:
            troubles = (*troubles, Trouble(kind="alerts-lost", text="the broker was away for too long"))
        if self._broker.what.health and troubles != self._troubles:
            self._troubles = troubles
            self._said.put(troubles)

    @property
    def lost_alerts(self) -> bool:
        """Whether messages had to be given up, and the others still wait."""
        return self._gatherer is not None and self._gatherer.full

    def _hurry(self) -> None:
        other = self._other
        if other is not None:
            with contextlib.suppress(RuntimeError):  # it was closed meanwhile
                other.call_soon_threadsafe(self._leave)

    # ---- the other thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except Exception as error:  # noqa: BLE001 - a fault of ours beside the calls is told, and costs no call
            self._told(error)

    def _told(self, error: Exception) -> None:
        with contextlib.suppress(RuntimeError):  # the guard has stopped meanwhile
            self._loop.call_soon_threadsafe(self._fault, error)

    def _unexpected(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """What the loop itself caught."""
        error = context.get("exception")
        self._told(error if isinstance(error, Exception) else RuntimeError(str(context.get("message", ""))))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(Aside())
        loop.set_exception_handler(self._unexpected)
        leaving = asyncio.Event()
        self._leave, self._other = leaving.set, loop
        if self._leaving.is_set():  # before there was anything to hurry
            leaving.set()
        while True:  # once even then: where the outbox begins is known to us alone
            try:
                outbox = self._opened()
            except StoreError as error:
                self._say(error)
            else:
                await self._told_of(outbox, leaving)
            if self._leaving.is_set():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(leaving.wait(), self._look)

    def _opened(self) -> Outbox:
        """The outbox; a damaged one of ours is kept aside, and a new one begun. Raises StoreError."""
        path = path_of(self._store.path)
        try:
            return Outbox(path)
        except StoreDamaged as error:
            if not aside.written(Path(self._store.path)):
                raise
            LOG.error("%s", error)
            try:
                kept = self._store.replaces[path] = aside.beside(Path(path))
            except OSError as refused:
                raise StoreError(f"{path}: cannot be kept aside: {refused.strerror}") from refused
            LOG.error("%s: damaged: kept as %s, and a new one is begun: what waited in it is not told", path, kept)
            return Outbox(path)

    async def _told_of(self, outbox: Outbox, leaving: asyncio.Event) -> None:
        """Gather and send until the end, or until the outbox is refused by the disk."""
        gatherer: Gatherer | None = None
        try:
            first, now = self._first, self._clock.wall()
            gatherer = self._gatherer_of(self._config, self._broker, self._store, outbox, self._said, first, now)
            self._gatherer = gatherer
            await self._both(gatherer, leaving)
        except StoreError as error:
            self._say(error)
        finally:
            self._gatherer = None
            if gatherer is not None:
                gatherer.close()
            else:
                outbox.close()

    async def _both(self, gatherer: Gatherer, leaving: asyncio.Event) -> None:
        sender = self._sender_of(self._broker, gatherer, self._told)
        sending = asyncio.get_running_loop().create_task(sender.run())
        try:
            while not leaving.is_set() and not sending.done():
                await self._gathered(gatherer)
                sender.news()
                self._count(gatherer, sender)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(leaving.wait(), self._look)
            await self._gathered(gatherer)
        finally:
            sender.leave()
            await asyncio.wait({sending}, timeout=PARTING)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._count(gatherer, sender)

    async def _gathered(self, gatherer: Gatherer) -> None:
        """Take all that is new. A disk that refuses is tried again at the next look."""
        try:
            while gatherer.gather(self._clock.wall()):
                await asyncio.sleep(BREATH)
            self._trouble = ""
        except StoreError as error:
            self._say(error)

    def _say(self, error: StoreError) -> None:
        if str(error) != self._trouble:
            LOG.warning("alerts wait: %s", error)
        self._trouble = str(error)

    def _count(self, gatherer: Gatherer, sender: Sender) -> None:
        self.connected, self.waiting = not sender.trouble, gatherer.waiting
        self.counters |= sender.counters
        self.counters |= {"mqtt_summarised": gatherer.summarised, "mqtt_given_up": gatherer.lost}


class Publishing:
    """The publisher of the configuration in force: another one where `[mqtt]` has changed, none where there is none.
    They share the outbox: what waits in it goes to the broker that is named now.

    `start` it when the log is open; `adopt` begins a change and waits for nothing; `stop` before the log is closed.
    """

    def __init__(
        self, store: SqliteWriter, config: Config, clock: Clock, fault: Callable[[Exception], None], look: float = LOOK
    ) -> None:
        self._store, self._clock, self._fault, self._look = store, clock, fault, look
        self._site = config.site  # the running one: another takes a restart, and its topics with it
        self._config = config
        self.publisher = self._of(config)
        self._changing: asyncio.Task[None] | None = None
        self._meanwhile: deque[Alert] = deque(maxlen=MEANWHILE)
        self._stopping = False

    def _of(self, config: Config) -> Publisher | None:
        if config.broker is None:
            return None
        return Publisher(self._store, config, config.broker, self._clock, self._fault, self._look)

    def start(self) -> None:
        """Begin, where there is a broker."""
        if self.publisher is not None:
            self.publisher.start()

    def adopt(self, config: Config) -> None:
        """Another configuration is in force."""
        if config.broker == self._config.broker or config.site != self._site:
            return
        self._config = config
        if self._changing is None or self._changing.done():
            self._changing = asyncio.get_running_loop().create_task(self._change())

    async def _change(self) -> None:
        """Part from the broker of before, with what is ready for it, and begin with the one of now; until no other is
        named meanwhile."""
        made: Config | None = None
        while made is not self._config and not self._stopping:
            made = self._config
            before, self.publisher = self.publisher, None
            try:
                if before is not None:
                    await before.stop()
                if not self._stopping and made is self._config:
                    self.publisher = self._of(made)
                    while self._meanwhile:
                        self.passed(self._meanwhile.popleft())
                    await asyncio.to_thread(self.start)  # it reads the log: on a disk that hangs the calls would hang
            except Exception as error:  # noqa: BLE001 - a fault of ours beside the calls is told, and costs no call
                self._fault(error)

    async def stop(self) -> None:
        """Send what is ready, and give up."""
        self._stopping = True
        if self._changing is not None:
            await asyncio.gather(self._changing, return_exceptions=True)
        if self.publisher is not None:
            await self.publisher.stop()

    def passed(self, alert: Alert) -> None:
        """A limit of the site's own was passed."""
        if self.publisher is not None:
            self.publisher.passed(alert)
        elif self._config.broker is not None:  # we part from the one before, which takes seconds
            self._meanwhile.append(alert)

    def troubled(self, troubles: tuple[Trouble, ...]) -> None:
        """All that is wrong with the guard now."""
        if self.publisher is not None:
            self.publisher.troubled(troubles)
