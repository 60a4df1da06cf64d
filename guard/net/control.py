"""The control socket: a UNIX stream socket beside the log, on which the guard's own other processes ask.

It is served by the loop that carries calls, so it is bounded in everything, and waits for nobody: so many clients, so
long a line, so many asks at once, so many answered between two looks at the network. Whoever does not read its answers
is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, cast

from guard.control import MAX_LINE, Answer, Ask, Fault, read_ask, written
from guard.net.say import LOG, harmless

MAX_CLIENTS: Final = 64  # `guard web` has a few connections, a person's command one
MAX_WAITING: Final = 256  # asks of one client that wait for their answer: held calls, above all
A_TURN: Final = 8  # asks answered between two looks at the network: some 0.5 ms
MAX_UNSENT: Final = 8 * 1024 * 1024  # bytes of answers that a client leaves unread
PARTING: Final = 1.0  # s that stopping waits for connections to close
BACKLOG: Final = 64
MODE: Final = 0o600
MAX_PATH: Final = 107  # bytes that the address of a UNIX socket has room for (unix(7))

COUNTERS: Final = (
    "control_asks", "control_bad", "control_busy", "control_clients", "control_refused", "control_slow",
)  # fmt: skip


class Answerer(Protocol):
    """Who answers (guard/switchboard.py)."""

    def ask(self, ask: Ask, reply: Reply) -> None:
        """Answer by `reply`, once, now or later."""


class Reply:
    """The way back for one answer. `alive` tells whether anybody still waits for it."""

    __slots__ = ("_client", "_ident", "alive", "gone")

    def __init__(self, client: _Client | None, ident: int) -> None:
        self._client = client
        self._ident = ident
        self.alive = True
        self.gone: Callable[[], None] | None = None  # told when nobody waits any more

    def __call__(self, answer: Answer) -> None:
        """Answer."""
        client, self._client = self._client, None
        if self.alive and client is not None:
            self.alive = False
            client.answer(self, self._ident, answer)

    def drop(self) -> None:
        """Its client has gone."""
        self._client, self.alive = None, False
        if self.gone is not None:
            self.gone()


class Control:
    """Serves `path` from `start` until `stop`. `fault` hears of exceptions of ours."""

    def __init__(self, path: Path, answerer: Answerer, fault: Callable[[Exception], None]) -> None:
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.path = path
        self._answerer = answerer
        self._fault = fault
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.AbstractServer | None = None
        self._inode = 0
        self._clients: set[_Client] = set()
        self._asking: deque[_Client] = deque()  # those whose lines wait, each once
        self._due = False

    async def start(self) -> None:
        """Serve. Where that cannot be it is told, and calls go on without."""
        try:
            sock = bound(self.path)
        except OSError as error:
            LOG.warning(
                "control socket %s: %s: guard web has no live figures",
                self.path,
                error.strerror or harmless(str(error)),
            )
            return
        self._inode = os.lstat(self.path).st_ino
        self._server = await self._loop.create_unix_server(lambda: _Client(self), sock=sock)

    async def stop(self) -> None:
        """Let everybody go."""
        if self._server is None:
            return
        self._server.close()
        for client in tuple(self._clients):
            client.abort()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), PARTING)
        self._server = None
        try:
            if os.lstat(self.path).st_ino == self._inode:
                self.path.unlink()
        except OSError as error:
            LOG.info("control socket %s: %s", self.path, error.strerror)

    def joined(self, client: _Client) -> bool:
        """A client has come; whether there is room for it."""
        if len(self._clients) >= MAX_CLIENTS:
            self.counters["control_refused"] += 1
            return False
        self._clients.add(client)
        self.counters["control_clients"] += 1
        return True

    def left(self, client: _Client) -> None:
        """A client has gone."""
        self._clients.discard(client)

    def wants(self, client: _Client) -> None:
        """A client has lines that wait."""
        self._asking.append(client)
        self._schedule()

    def _schedule(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        """Answer a few, in turn; the network is looked at before the next few."""
        self._due = False
        for _ in range(A_TURN):
            if not self._asking:
                return
            client = self._asking.popleft()
            line = client.next_line()
            if line is not None:
                self._one(client, line)
            if client.lines:
                self._asking.append(client)
            else:
                client.idle()
        if self._asking:
            self._schedule()

    def _one(self, client: _Client, line: bytes) -> None:
        self.counters["control_asks"] += 1
        try:
            ask = read_ask(line)
        except ValueError as error:
            self.counters["control_bad"] += 1
            client.send(Answer(error=Fault(code="bad-ask", text=str(error))))
            return
        reply = client.reply(ask.id)
        if reply is None:
            self.counters["control_busy"] += 1
            client.send(Answer(id=ask.id, error=Fault(code="busy", text=f"{MAX_WAITING} asks wait already")))
            return
        try:
            self._answerer.ask(ask, reply)
        except Exception as error:  # noqa: BLE001 - told and counted; it costs its own answer and nothing else
            self._fault(error)
            reply(Answer(error=Fault(code="failed", text=type(error).__name__)))


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self.lines: deque[bytes] = deque()
        self._queued = False
        self._replies: set[Reply] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        made = cast("asyncio.Transport", transport)  # by create_unix_server
        self._transport = made
        made.set_write_buffer_limits(high=MAX_UNSENT)
        if not self._control.joined(self):
            self.send(Answer(error=Fault(code="busy", text=f"{MAX_CLIENTS} clients are connected already")))
            made.close()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. No more is read until what is here has been asked."""
        transport = self._transport
        if transport is None:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            self._control.counters["control_bad"] += 1
            self.send(Answer(error=Fault(code="bad-ask", text=f"a line has more than {MAX_LINE} bytes")))
            self.close()
            return
        self.lines.extend(line for line in lines if line.strip())
        if self.lines and not self._queued:
            self._queued = True
            transport.pause_reading()
            self._control.wants(self)

    def next_line(self) -> bytes | None:
        """One line that waits, None where the client has gone meanwhile."""
        return self.lines.popleft() if self.lines and self._transport is not None else None

    def idle(self) -> None:
        """All its lines have been asked."""
        self._queued = False
        if self._transport is not None:
            self._transport.resume_reading()

    def reply(self, ident: int) -> Reply | None:
        """The way back for one more answer, None where too many are awaited."""
        if len(self._replies) >= MAX_WAITING:
            return None
        reply = Reply(self, ident)
        self._replies.add(reply)
        return reply

    def answer(self, reply: Reply, ident: int, answer: Answer) -> None:
        """An ask has its answer."""
        self._replies.discard(reply)
        answer.id = ident
        self.send(answer)

    def send(self, answer: Answer) -> None:
        """Send a line, and forget a client that does not read."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(written(answer))
        if transport.get_write_buffer_size() > MAX_UNSENT:
            self._control.counters["control_slow"] += 1
            self.abort()

    def close(self) -> None:
        """Let it go when it has read what was sent."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def abort(self) -> None:
        """Let it go now."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        del error
        self._transport = None
        self.lines.clear()
        self._control.left(self)
        replies, self._replies = self._replies, set()
        for reply in replies:
            reply.drop()


def bound(path: Path) -> socket.socket:
    """A listening socket at `path`, that nobody but its owner may open. One that a killed guard has left is taken away;
    a file that is none, or one that is served, stays. Raises OSError."""
    if len(os.fsencode(path)) > MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, f"a path of more than {MAX_PATH} bytes; see [web] control")
    _cleared(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(sock.fileno(), MODE)  # the file is made with it: there is no instant at which others may open it
        sock.bind(os.fspath(path))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _cleared(path: Path) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "a file that is no socket is there already")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        refused = probe.connect_ex(os.fspath(path))
    if refused != errno.ECONNREFUSED:
        raise OSError(errno.EADDRINUSE, "another guard serves it")
    path.unlink()
