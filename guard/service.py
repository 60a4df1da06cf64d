"""The guard as a service: the sockets that outlive it, and what its supervisor hears of it (sd_notify(3)).

Signs of life come from a call that the guard places to itself (guard/selfcall.py). While that fails, or is decided too
late, systemd hears nothing and starts the guard again: but only where the same policy has decided that call before, in
this life. What never worked is no better after a start, and calls that pass for a fault (`[faults]`) are better than
none.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Final, Protocol

from guard import selfcall
from guard.config import Config
from guard.desk import Desk
from guard.net import stream, udp
from guard.net.driver import Driver
from guard.net.handed import Handed, Kind, name_of
from guard.net.notify import Notify
from guard.net.say import LOG
from guard.net.stream import Streams
from guard.net.udp import UdpSocket
from guard.policy.load import Policy
from guard.proxy.core import ProxyCore
from guard.proxy.effects import Address
from guard.proxy.routing import host_text

TOLD: Final = 10.0  # s between two STATUS lines where no watchdog sets the pace
SHORT: Final = 7  # s: longest drain before a successor; callers repeat an INVITE after 7.5 s, then 15.5 (timer A)
COUNTERS: Final = ("selfcalls", "selfcalls_failed", "selfcalls_late", "sockets_taken", "notices_lost")


class Running(Protocol):
    """The guard that is served (guard/app.py)."""

    config: Config
    core: ProxyCore
    driver: Driver
    desk: Desk

    @property
    def policy(self) -> Policy:
        """What is in force."""

    @property
    def enforcing(self) -> bool:
        """Whether it is the stricter form."""


class Service:
    """Of one running guard: `listen`, then `start`; `sign` is called every `pause` seconds."""

    def __init__(self, running: Running, notify: Notify | None = None, handed: Handed | None = None) -> None:
        self._running = running
        self._notify = notify if notify is not None else Notify()
        self._handed = handed if handed is not None else Handed()
        self._watchdog = self._notify.watchdog()
        self._kept: list[tuple[str, socket.socket]] = []  # bound by this life, to be kept for the next
        self._due = self._seen_at = 0
        self._seen = 0
        self._ready = False
        self._rate = 0.0
        self._worked = ""  # the policy that has decided a call of our own
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    # ---- sockets ---------------------------------------------------------------------------------------------------

    async def listen(self, config: Config, streams: Streams, counters: dict[str, int]) -> list[UdpSocket]:
        """Take the sockets of every address that was passed on, bind those that were not; the UDP ones, not read yet.
        Raises OSError with the address that cannot be had."""
        sockets: list[UdpSocket] = []
        try:
            for address in config.udp:
                sockets += [UdpSocket(self._socket("udp", address), counters)]
            for address in config.tcp:
                await streams.listen(self._socket("tcp", address))
            for address in config.tls:
                await streams.listen(self._socket("tls", address), "tls")
        except OSError:
            for opened in sockets:
                opened.close()
            raise
        for name in self._handed.close():
            LOG.info("socket %s was kept for an address that is not listened on any more", name)
            self._notify.drop(name)
        return sockets

    def _socket(self, kind: Kind, address: Address) -> socket.socket:
        sock = self._handed.take(kind, *address)
        if sock is not None:
            self.counters["sockets_taken"] += 1
            return sock
        with _naming(address):
            sock = udp.bound(*address) if kind == "udp" else stream.bound(*address)
        self._kept.append((name_of(kind, *sock.getsockname()[:2]), sock.dup()))
        return sock

    # ---- what the supervisor hears ---------------------------------------------------------------------------------

    def start(self) -> float | None:
        """Calls are taken. How often `sign` is to be called, in seconds: None where nobody listens."""
        for name, sock in self._kept:
            self._notify.keep(name, sock)
            sock.close()
        self._kept.clear()
        if not self._notify.heard:
            return None
        self._ready = True
        self._seen_at = self._due = self._running.driver.now()
        self._place()
        self._notify.tell("READY=1", self._status())
        pause = self._watchdog if self._watchdog is not None else TOLD
        self._due += int(pause * 1_000_000)
        return pause

    def sign(self) -> None:
        """A sign of life, if there is life; and how things go."""
        begun = self._running.driver.now()
        works = self._place()
        now = self._running.driver.now()
        seen = self._running.driver.counters["decided"]
        self._rate = (seen - self._seen) * 1_000_000 / max(now - self._seen_at, 1)
        self._seen, self._seen_at = seen, now
        lines = [self._status()]
        if self._watchdog is not None:
            pause = int(self._watchdog * 1_000_000)
            late = now - self._due > pause
            self._due = begun + pause
            self.counters["selfcalls_late"] += late
            if works and not late:
                lines.append("WATCHDOG=1")
        self._notify.tell(*lines)

    def _place(self) -> bool:
        """Call ourselves; whether that is no reason to start again."""
        running = self._running
        policy = running.policy.digest
        self.counters["selfcalls"] += 1
        try:
            selfcall.place(running.core, running.desk, running.core.sources.all, running.driver.now())
        except Exception as error:  # noqa: BLE001 - told and counted; what is broken decides over its own watchdog
            self.counters["selfcalls_failed"] += 1
            running.driver.fault(error)
            return policy != self._worked
        self._worked = policy
        return True

    def reloading(self) -> None:
        """The configuration is being read."""
        self._notify.reloading()

    def adopted(self) -> None:
        """What is in force has changed, or has stayed: reading is over."""
        if self._ready:
            self._place()  # else the status would say, until the next sign of life, that the new policy fails
            self._notify.tell("READY=1", self._status())

    def stopping(self, seconds: int) -> None:
        """It may take so long."""
        self._ready = False
        self._notify.tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={seconds * 1_000_000}")

    def close(self) -> None:
        """Nothing more is said."""
        for _, sock in self._kept:
            sock.close()
        self._kept.clear()
        self._handed.close()
        self.counters["notices_lost"] = self._notify.lost
        self._notify.close()

    @property
    def held(self) -> bool:
        """Whether a supervisor holds our sockets for a next life."""
        return self._notify.heard

    def _status(self) -> str:
        running = self._running
        stricter = ", rules in mode monitor enforced: a limit of [ledger] is passed" if running.enforcing else ""
        failing = ", own calls fail" if self._worked != running.policy.digest else ""
        return (
            f"STATUS={self._rate:.1f} calls/s, {running.core.calls} calls, policy {running.policy.digest}"
            f"{stricter}{failing}"
        )


@contextlib.contextmanager
def _naming(address: Address) -> Iterator[None]:
    """An OSError in here is of this address."""
    try:
        yield
    except OSError as error:
        host, port = address
        text = f"cannot listen on {host_text(host)}:{port}: {error.strerror or error}"
        raise OSError(error.errno, text) from error
