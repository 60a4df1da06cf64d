"""Who races: each proxy, how it is started on its core, and how it is known that it carries calls."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

from guard.store.contract import Query
from guard.store.reader import SqliteReader
from sim.flat.lines import RANGE
from sim.labelled.words import SimError
from sim.race import kamailio
from sim.race.load import CALLERS, Ports, interpreter, pinned, said, start, stop
from sim.race.machine import Taken, spent, taken, tree
from sim.site import GUARD, IPBX, OPERATOR, Site

ROOT: Final = Path(__file__).parents[2]
COMPILED: Final = ROOT / "build" / "compiled"
PATIENCE: Final = 180.0  # seconds until it carries a call: to know a million lines takes a minute
ASKS: Final = 0.004  # seconds between two attempts to call through a proxy that starts
PROBE: Final = 99_999  # the line of that first call: nobody else's
PLENTY: Final = 100_000  # channels, and calls a second: nothing is refused in a race
REDIS: Final = "redis.sock"
# Seconds after a guard has met an empty Redis, until then the windows are open (1.5) and it is known to be the only one
# (a second more): before, an answer that comes late on a crowded machine costs it calls (docs/fleet.md).
ALONE: Final = 2.6

Words = Callable[[Path, Ports], list[str]]


class Proxy(Struct, frozen=True, kw_only=True):
    """One who races. `words` writes what it needs into a folder and starts it from `home`; `redis`: with one of its
    own, on the same core; `recorded` counts the calls in its records; `knowing` makes `words` of one that knows so many
    lines; `starved` tells where it complains of too little memory; `settles`: it is measured for as long as it takes to
    settle, though nobody asks for it by its key."""

    key: str
    title: str
    words: Words | None = None
    home: Path | None = None
    redis: bool = False
    recorded: Callable[[Path], int] | None = None
    knowing: Callable[[int], Words] | None = None
    starved: Callable[[Path], str] | None = None
    settles: bool = False


def proxies(compiled: Path) -> tuple[Proxy, ...]:
    """All of them; `compiled` is the folder in which `make build/compiled/.ready` has put the guard."""
    return (
        Proxy(key="direct", title="no proxy: caller and callee alone"),
        Proxy(key="forwarder", title="a bare forwarder in Python on uvloop", words=_forwarder, home=ROOT),
        Proxy(key="kamailio", title="Kamailio: tm, rr, dialog", words=_kamailio(rules=False), starved=kamailio.starved),
        Proxy(
            key="kamailio-rules",
            title="Kamailio: the same with rules and a record",
            words=_kamailio(rules=True),
            recorded=kamailio.recorded,
            starved=kamailio.starved,
            settles=True,
        ),
        Proxy(key="guard", title="the guard, interpreted", words=_guard(ROOT), home=ROOT, recorded=_recorded),
        Proxy(
            key="guard-compiled",
            title="the guard, compiled",
            words=_guard(compiled),
            home=compiled,
            recorded=_recorded,
            knowing=_knowing(compiled),
            settles=True,
        ),
        Proxy(
            key="guard-redis",
            title="the guard, compiled, with Redis",
            words=_guard(compiled, redis=True),
            home=compiled,
            redis=True,
            recorded=_recorded,
        ),
    )


def compiled_modules(folder: Path) -> int:
    """How many modules of the guard in a folder are compiled."""
    return len({p.name for p in (folder / "guard").rglob("*.so")})


class Running:
    """A proxy that runs on its core, in a folder of its own, and carries calls. `ready_ms`: from its start to the
    first INVITE that came out of it."""

    def __init__(self, proxy: Proxy, folder: Path, where: Ports, core: int) -> None:
        self.proxy, self.folder, self.where = proxy, folder, where
        self.ready_ms = 0.0
        self._processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)
        if proxy.words is None:
            return
        try:
            if proxy.redis:
                self._serve_redis(core)
            words = [*pinned(core), *proxy.words(folder, where)]
            begun = time.monotonic()
            self._processes.append(start(words, folder, "proxy", proxy.home))
            self.ready_ms = (first_call(where, self._processes[-1], folder) - begun) * 1000
            if proxy.redis:
                time.sleep(ALONE)
        except BaseException:
            self.stop()
            raise

    def taken(self) -> Taken:
        """What it has taken so far, with all that belongs to it."""
        return taken(p.pid for p in self._processes)

    def spent(self) -> float:
        """Seconds of processor time, of all that belongs to it."""
        return spent(tree(p.pid for p in self._processes))

    def alive(self) -> bool:
        return all(p.poll() is None for p in self._processes)

    def starved(self) -> str:
        """Where it complains of too little memory."""
        return self.proxy.starved(self.folder) if self.proxy.starved is not None else ""

    def stop(self) -> None:
        for process in reversed(self._processes):
            stop(process)

    def recorded(self) -> int | None:
        """Calls in its records, once it is stopped; None where it keeps none."""
        return self.proxy.recorded(self.folder) if self.proxy.recorded is not None else None

    def _serve_redis(self, core: int) -> None:
        path = self.folder / REDIS
        words = [*pinned(core), "redis-server", "--port", "0", "--unixsocket", str(path), "--save", ""]
        self._processes.append(start(words, self.folder, "redis"))
        until = time.monotonic() + PATIENCE
        while not _answers(path):
            if self._processes[0].poll() is not None or time.monotonic() > until:
                raise SimError(f"redis-server does not answer: {said(self.folder, 'redis')}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asker:
        try:
            asker.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


def first_call(where: Ports, process: subprocess.Popen[bytes], folder: Path) -> float:
    """Call through a proxy that starts until the INVITE comes out, and end that call: when it came out (monotonic)."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as callee,
    ):
        caller.bind((IPBX, where.caller))
        callee.bind((OPERATOR, where.callee))
        callee.settimeout(ASKS)
        caller.settimeout(ASKS)
        until = time.monotonic() + PATIENCE
        while True:
            caller.sendto(_probe("INVITE", where), (GUARD, where.proxy))
            try:
                data, _ = callee.recvfrom(65_535)
            except TimeoutError:
                if process.poll() is not None or time.monotonic() > until:
                    raise SimError(f"it carries no calls: {said(folder, 'proxy')}") from None
                continue
            if data.startswith(b"INVITE"):
                out = time.monotonic()
                break
        _refuse(caller, callee, where, data)
        return out


def _refuse(caller: socket.socket, callee: socket.socket, where: Ports, invite: bytes) -> None:
    """486 to the INVITE, and an ACK to that, so that nothing of the first call lingers."""
    kept = [line for line in invite.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:] if _copied(line)]
    busy = b"\r\n".join([b"SIP/2.0 486 Busy Here", *kept, b"Content-Length: 0", b"", b""]).replace(
        b"\r\nCall-ID", b";tag=probe\r\nCall-ID"
    )
    callee.sendto(busy, (GUARD, where.proxy))
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        try:
            if caller.recvfrom(65_535)[0].startswith(b"SIP/2.0 486"):
                break
        except TimeoutError:
            continue
    caller.sendto(_probe("ACK", where), (GUARD, where.proxy))
    time.sleep(0.05)


def _copied(line: bytes) -> bool:
    return line.partition(b":")[0] in {b"Via", b"From", b"To", b"Call-ID", b"CSeq"}


def _probe(method: str, where: Ports) -> bytes:
    to = ";tag=probe" if method == "ACK" else ""
    number = f"{CALLERS[0]}{PROBE}"
    return (
        f"{method} sip:+33199000000@{GUARD}:{where.proxy};user=phone SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {IPBX}:{where.caller};branch=z9hG4bKprobe\r\nMax-Forwards: 70\r\n"
        f"From: <sip:{number}@{IPBX}>;tag=p\r\nTo: <sip:+33199000000@{GUARD}>{to}\r\nCall-ID: probe@{IPBX}\r\n"
        f"CSeq: 1 {method}\r\nContact: <sip:{number}@{IPBX}:{where.caller}>\r\nX-Line: 2{PROBE}\r\n"
        f"Content-Length: 0\r\n\r\n"
    ).encode()


def _forwarder(folder: Path, where: Ports) -> list[str]:
    ends = (GUARD, where.proxy, IPBX, where.caller, OPERATOR, where.callee)
    return [sys.executable, "-m", "sim.race.forwarder", *map(str, ends)]


def _kamailio(*, rules: bool) -> Words:
    return lambda folder, where: kamailio.write(folder, where, rules=rules)


def _guard(home: Path, *, redis: bool = False) -> Words:
    return lambda folder, where: _daemon(
        interpreter(home), folder, where, f'\n[state]\nurl = "unix://{folder / REDIS}"\n' if redis else ""
    )


def _knowing(home: Path) -> Callable[[int], Words]:
    served = ("-P", str(home / "sim" / "flat" / "served.py"))
    more = f'\n[[number]]\nrange = "{RANGE}"\n'
    return lambda lines: lambda folder, where: _daemon(interpreter(home), folder, where, more, (*served, str(lines)))


def _daemon(
    python: str, folder: Path, where: Ports, more: str, program: Sequence[str] = ("-m", "guard.cli.main")
) -> list[str]:
    """Every rule and every detector as they come, nothing on trial but what `Site` has."""
    number = f'\n[[number]]\nrange = "{CALLERS[0]}*"\n'
    site = Site(
        folder=folder,
        port=where.proxy,
        trunk_port=where.callee,
        pbx_port=where.caller,
        cps=PLENTY,
        channels=PLENTY,
        more=f"{number}{more}",
    )
    return [python, *program, "run", "-c", str(site.write())]


def _recorded(folder: Path) -> int:
    with SqliteReader(str(folder / "guard.db")) as reader:
        return reader.count(Query(all=True))
