"""A broker that behaves badly: what stands between a guard and a real one drops connections, or speaks of old days."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from tests.messages.broker import HOST, Broker

VERSION_5 = b"\x00\x04MQTT\x05"  # how the variable header of a CONNECT begins (MQTT 5, 3.1.2)
TOO_NEW = b"\x20\x02\x00\x01"  # CONNACK of MQTT 3.1.1: unacceptable protocol version


class Proxy:
    """Passes octets on to `broker`. Of each connection it drops what comes after `drop` octets of the client's, and the
    connection with it; -1: nothing. With `old` it takes no MQTT 5. `silent` takes connections and says nothing."""

    def __init__(self, broker: Broker, *, drop: int = -1, old: bool = False, silent: bool = False) -> None:
        self.drop, self.old, self.silent = drop, old, silent
        self.connections = 0
        self.port = 0
        self._broker = broker
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._thread.start()
        assert self._ready.wait(5)
        self.url = f"mqtt://{HOST}:{self.port}"

    def close(self) -> None:
        """No more."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._taken, HOST, 0)
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connection(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(65_536)
        if self.silent:
            await self._over.wait()
        if self.old and VERSION_5 in first:
            writer.write(TOO_NEW)
            await writer.drain()
            return
        there, back = await asyncio.open_connection(HOST, self._broker.port)
        answers = asyncio.create_task(_pass(there, writer))
        try:
            left = self.drop
            while first and (self.drop < 0 or left > 0):
                back.write(first if self.drop < 0 else first[:left])
                await back.drain()
                left -= len(first)
                first = await reader.read(65_536) if self.drop < 0 or left > 0 else b""
        finally:
            answers.cancel()
            back.close()
            await asyncio.gather(answers, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
