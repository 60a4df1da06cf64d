"""The call that the guard places to itself: decided by all that decides, seen by nobody, and worth a sign of life."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.engine import Engine
from guard.net.notify import Notify
from guard.selfcall import invite, place
from guard.service import Service
from guard.sip.message import parse
from sim.site import IPBX
from tests.apprig import Rig, guard, run


class Bug(Exception):
    """A fault of ours."""


def buggy(*_: object, **__: object) -> object:
    raise Bug


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, Notify]]:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setblocking(False)
        yield sock, Notify(path)


def heard(sock: socket.socket) -> list[str]:
    """The lines of the last notice; it has come, since this socket hands over at once."""
    last = b""
    while True:
        try:
            last = sock.recv(4096)
        except BlockingIOError:
            return last.decode().split("\n")


def counted(g: Rig) -> dict[str, int]:
    return {**g.app.core.counters, **g.app.driver.counters, **g.app.detection.counters}


def test_it_is_decided_and_leaves_no_trace(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path, cps=1) as g:
            app = g.app
            before, calls, moves = counted(g), app.core.calls, app.core.transactions
            for _ in range(20):  # of one a second: none takes a place
                decision = place(app.core, app.desk, app.core.sources.all, app.driver.now())
                assert decision.held_until == 0
            assert [f.rule for f in decision.findings] != []  # the rules were asked: this number belongs to nobody
            assert (counted(g), app.core.calls, app.core.transactions) == (before, calls, moves)
            assert app.core.effects == []
            await g.connected()
            await g.operator.none_of("INVITE")
            await g.stop()
            assert [d.record.call_id for d in g.log()] == ["call1"]

    run(scene)


def test_it_comes_from_the_first_source() -> None:
    from tests.proxy.world import SOURCE

    data, flow = invite((SOURCE,))
    assert flow.peer[0] == IPBX
    assert parse(data).method == b"INVITE"
    assert invite(())[1].peer[0] == "192.0.2.1"


def test_no_sign_of_life_while_it_fails(
    tmp_path: Path, systemd: tuple[socket.socket, Notify], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        sock, notify = systemd
        async with guard(tmp_path) as g:
            service = Service(g.app, notify)
            assert service.start() == 5.0
            assert heard(sock)[0] == "READY=1"
            service.sign()
            assert heard(sock)[-1] == "WATCHDOG=1"
            with monkeypatch.context() as broken:
                broken.setattr(Engine, "decide", buggy)
                service.sign()
                (status,) = heard(sock)
                assert status.startswith("STATUS=")
            assert g.counters["exceptions"] == 1
            service.sign()
            assert heard(sock)[-1] == "WATCHDOG=1"
            assert (service.counters["selfcalls"], service.counters["selfcalls_failed"]) == (4, 1)
            service.close()

    run(scene)


def test_what_never_worked_is_no_reason_to_start_again(
    tmp_path: Path, systemd: tuple[socket.socket, Notify], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls pass, as [faults] says: a guard that is started again and again would carry fewer."""

    async def scene() -> None:
        sock, notify = systemd
        async with guard(tmp_path) as g:
            with monkeypatch.context() as broken:
                broken.setattr(Engine, "decide", buggy)
                service = Service(g.app, notify)
                service.start()
                service.sign()
                status, sign = heard(sock)
                assert status.endswith(", own calls fail")
                assert sign == "WATCHDOG=1"
            service.sign()
            assert not heard(sock)[0].endswith(", own calls fail")
            service.close()

    run(scene)
