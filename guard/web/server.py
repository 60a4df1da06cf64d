"""The server of the web page: uvicorn on uvloop, with limits on what a slow or a greedy client may hold."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from guard.net.say import LOG
from guard.web.certificate import context_of, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn._types import ASGIApplication

    from guard.configweb import Place
    from guard.web.asgi import App, Receive, Scope, Send

MOST: Final = 256  # connections at a time; beyond them 503
HEAD_S: Final = 10  # to send a request's header, and to begin after a connection was made
IDLE_S: Final = 75  # between two requests of a connection
STOP_S: Final = 5  # for answers under way when it is told to stop
MAX_HEAD: Final = 16 << 10  # octets of a request's line and header
BACKLOG: Final = 128
ABORT: Final = "guard.abort"  # in a scope's extensions: ends the connection now, whatever is still to be sent


class Protocol(H11Protocol):
    """One connection. A header that does not come in time ends it; who streams may end it at once."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waiting: asyncio.TimerHandle | None = None
        self.app = _with_abort(cast("App", self.app), transport.abort)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._rest()  # a request is whole; its body has a limit of its own
        elif self._waiting is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()  # the first octets of another one

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_S, self._late)

    def _rest(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _late(self) -> None:
        self._waiting = None
        self.transport.abort()


def _with_abort(app: App, abort: Callable[[], None]) -> App:
    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[ABORT] = abort
        await app(scope, receive, send)

    return run


class Server(uvicorn.Server):
    """uvicorn's, which leaves signals to whoever starts it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: App, place: Place, leaving: Callable[[], None]) -> int:
    """Serve until SIGTERM or SIGINT; `leaving` is called then, so that streams end. SIGHUP reads the certificate again.
    OSError where the address or a certificate cannot be used."""
    server, listener = server_of(app, place)

    def leave() -> None:
        server.should_exit = True
        leaving()

    def renew() -> None:
        context = server.config.ssl
        if context is None:
            return
        try:
            load(context, place)
        except OSError as error:
            LOG.error("web: %s: %s; the certificate in force stays", error.filename, error.strerror)
        else:
            LOG.info("web: certificate read again")

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    loop.add_signal_handler(signal.SIGHUP, renew)
    LOG.info("web: ready: %s", place.url)
    await server.serve(sockets=[listener])
    LOG.info("web: stopped")
    return 0


def server_of(app: App, place: Place) -> tuple[Server, socket.socket]:
    """The server of an application, and the socket that it listens on. OSError."""
    listener = _listener(place)
    try:
        config = uvicorn.Config(
            app=cast("ASGIApplication", app),
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MOST,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=STOP_S,
            h11_max_incomplete_event_size=MAX_HEAD,
            ssl_context_factory=(lambda _config, _default: context_of(place)) if place.tls else None,
        )
        config.load()  # a certificate that cannot be used is told before anything is served
    except OSError:
        listener.close()
        raise
    return Server(config), listener


def _listener(place: Place) -> socket.socket:
    """The socket to listen on. OSError, which names the address."""
    made = socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((place.host, place.port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"web.listen: {error.strerror}", f"{place.host}:{place.port}") from error
    made.setblocking(False)
    return made
