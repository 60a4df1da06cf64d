"""Sends messages to an MQTT broker, in order, each at least once, for as long as it takes.

A message is the broker's when it has acknowledged it (QoS 1). A broker that is away, refuses, stands still or drops
connections is tried again, ever more seldom; what was not acknowledged is sent again, the same octets, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Final, Protocol

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from guard.net import mqttclient
from guard.net.mqttclient import Client, Outgoing, Refused, Target, client_of, unsupported, why
from guard.net.say import LOG

PAGE: Final = 20  # messages on their way at once: what brokers take (mosquitto: 20) before they acknowledge any
LOOK: Final = 1.0  # s between looks for messages that nobody announced
FIRST: Final = 1.0  # s until a broker that was lost is tried again; doubled each time
LONGEST: Final = 60.0
PARTING: Final = 2  # s that parting waits for the last messages, and for the goodbye
BREATH: Final = 0.02  # s between two pages (some 5 ms of work): a backlog must not keep calls waiting
ALONE: Final = 3  # connections that one message may cost before a shorter one goes in its place
CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"  # CloudEvents 1.0, MQTT binding 3.2.1
UNSENDABLE: Final = frozenset({0x90, 0x95, 0x99})  # of one message: its topic, its size, its form


class Unread(Exception):
    """Messages cannot be had, or not be marked as taken; the text says why."""


class Source(Protocol):
    """Where messages come from. Each raises Unread."""

    def page(self, limit: int) -> list[Outgoing]:
        """The oldest that were not taken, in order."""

    def taken(self, upto: int) -> None:
        """The broker has those up to this place."""

    def shorten(self, place: int) -> bool:
        """The broker does not take this message: put one that is shorter in its place. False where there is none."""

    def renew(self) -> None:
        """A broker was found: it may have forgotten what it retained."""


class Sender:
    """Sends what `source` has to the broker `target`, from `run` until `leave`. All on one loop, that nothing else
    waits for. `counters` count by name; `trouble` is what is wrong with the broker, empty while it is reached."""

    def __init__(self, target: Target, source: Source, fault: Callable[[Exception], None]) -> None:
        self.counters = dict.fromkeys(("mqtt_sent", "mqtt_refused", "mqtt_connections"), 0)
        self.trouble = "not reached yet"
        self._target = target
        self._source = source
        self._fault = fault
        self._news = asyncio.Event()
        self._leaving = asyncio.Event()
        self._protocol = ProtocolVersion.V5
        self._failures = 0
        self._size = PAGE  # messages at a time: fewer after each failure, so that something gets through
        self._alone = 0  # connections in a row that were lost over one message
        self._said = ""

    def news(self) -> None:
        """There may be something to send."""
        self._news.set()

    def leave(self) -> None:
        """Say goodbye, and end `run`."""
        self._leaving.set()
        self._news.set()

    async def run(self) -> None:
        """Until `leave`."""
        while not self._leaving.is_set():
            try:
                await self._connection()
            except MqttConnectError as error:
                if self._older(error):
                    continue
                self._told(error)
            except (MqttError, OSError, Unread) as error:
                self._told(error)
            except Exception as error:  # noqa: BLE001 - a fault of ours beside the calls is told, and costs no call
                self._fault(error)
            await self._rest()

    def _older(self, error: MqttConnectError) -> bool:
        """Whether the broker is to be asked in the older version of the protocol."""
        older = self._protocol is ProtocolVersion.V5 and unsupported(error)
        if older:
            self._protocol = ProtocolVersion.V311
        return older

    def _told(self, error: Exception) -> None:
        self.trouble = why(error)
        if self.trouble != self._said and not self._leaving.is_set():
            where = "" if isinstance(error, Unread) else f"the broker {self._target.shown}: "
            LOG.warning("alerts wait: %s%s", where, self.trouble)
            self._said = self.trouble

    def _well(self) -> None:
        """A connection serves: it took messages, or has been quiet for a while."""
        if self.trouble:
            LOG.info("alerts go to the broker %s", self._target.shown)
        self.trouble = self._said = ""
        self._failures = self._alone = 0
        self._size = min(PAGE, 2 * self._size)

    async def _rest(self) -> None:
        """Ever longer, and not all guards of a site at the same moment."""
        pause = min(LONGEST, FIRST * 2 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)
        self._failures += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), pause)

    async def _connection(self) -> None:
        """One connection, from its first octet to its last."""
        status = f"{self._target.topic}/status"
        will = aiomqtt.Will(status, b"offline", qos=1, retain=True)
        client = client_of(self._target, self._target.topic.replace("/", "-"), self._protocol, will)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(client.abandon)
            await client.__aenter__()
            lost = asyncio.get_running_loop().create_task(_lost(client))
            stack.push_async_callback(_ended, lost)
            await self._publish(client, lost, [Outgoing(0, "status", b"online", retain=True)])
            self.counters["mqtt_connections"] += 1
            self._source.renew()
            while not self._leaving.is_set():
                await self._some(client, lost)
            with contextlib.suppress(MqttError, TimeoutError):
                async with asyncio.timeout(PARTING):
                    while await self._page(client, lost):
                        pass
            with contextlib.suppress(MqttError, TimeoutError):
                async with asyncio.timeout(PARTING):
                    await client.publish(status, b"offline", qos=1, retain=True)
            lost.cancel()
            with contextlib.suppress(MqttError):
                await client.__aexit__(None, None, None)

    async def _some(self, client: Client, lost: asyncio.Task[None]) -> None:
        """Send what there is, or wait for it."""
        self._news.clear()
        if await self._page(client, lost):
            return
        waiting = asyncio.get_running_loop().create_task(self._news.wait())
        try:
            await asyncio.wait({waiting, lost}, timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if lost.done():
            lost.result()
        self._well()

    async def _page(self, client: Client, lost: asyncio.Task[None]) -> bool:
        """Send the oldest messages; whether there were any."""
        page = self._source.page(self._size)
        if not page:
            return False
        try:
            await self._publish(client, lost, page)
        except Refused as error:
            if len(page) == 1 and error.code in UNSENDABLE:
                self._unsendable(page[0], error)
                return True
            self._size = 1  # which one is it?
            if error.code in UNSENDABLE:
                return True
            raise
        except MqttError:
            self._size = max(1, len(page) // 2)
            self._alone += len(page) == 1
            if self._alone >= ALONE:
                self._alone = 0
                self._source.shorten(page[0].place)
            raise
        self.counters["mqtt_sent"] += len(page)
        self._source.taken(page[-1].place)
        self._well()
        await asyncio.sleep(BREATH)
        return True

    def _unsendable(self, message: Outgoing, error: Refused) -> None:
        """The broker never takes this one: a shorter one in its place, or none."""
        self.counters["mqtt_refused"] += 1
        LOG.warning("alerts: the broker does not take a message to %s: %s; guard log has it", message.topic, error)
        if not self._source.shorten(message.place):
            self._source.taken(message.place)

    async def _publish(self, client: Client, lost: asyncio.Task[None], page: list[Outgoing]) -> None:
        """Have the broker take these, in order. MqttError where it did not."""
        client.refusal = None
        topic = self._target.topic
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(client.publish(f"{topic}/{m.topic}", m.payload, 1, m.retain, self._properties(m)))
            for m in page
        ]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(mqttclient.PATIENCE):
                    pending: set[asyncio.Task[None]] = set(tasks)
                    while pending and not lost.done():
                        _, pending = await asyncio.wait({*pending, lost}, return_when=asyncio.FIRST_COMPLETED)
                        pending.discard(lost)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if client.refusal is not None:
            raise Refused(client.refusal.value, client.refusal.getName())
        failed = next((n for n, t in enumerate(tasks) if t.cancelled() or t.exception() is not None), None)
        if failed is None:
            return
        if failed:  # a broker that drops connections after some messages has had these
            self.counters["mqtt_sent"] += failed
            self._failures = 0
            self._source.taken(page[failed - 1].place)
        if not tasks[failed].cancelled():
            tasks[failed].result()
        if lost.done():
            lost.result()
        raise MqttError("Operation timed out")

    def _properties(self, message: Outgoing) -> Properties | None:
        if self._protocol is not ProtocolVersion.V5 or message.payload[:1] != b"{":
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = CONTENT_TYPE
        return properties


async def _lost(client: Client) -> None:
    """Until the connection is lost: MqttError."""
    async for _ in client.messages:
        pass


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
