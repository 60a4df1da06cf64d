"""What systemd hears, over a real socket of its kind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.net.notify import Notify


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(10)
        yield sock, path


def test_assignments_are_lines_of_one_datagram(supervisor: tuple[socket.socket, str]) -> None:
    sock, path = supervisor
    notify = Notify(path)
    notify.tell("READY=1", "STATUS=2 trunks")
    assert sock.recv(1000) == b"READY=1\nSTATUS=2 trunks"
    notify.close()
    notify.tell("WATCHDOG=1")
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(1000)


def test_a_value_cannot_start_another_assignment(supervisor: tuple[socket.socket, str]) -> None:
    sock, path = supervisor
    notify = Notify(path)
    notify.tell("STATUS=x\nMAINPID=1")
    assert sock.recv(1000) == b"STATUS=x\\nMAINPID=1"
    notify.close()


def test_an_abstract_name() -> None:
    name = f"guard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(10)
        notify = Notify("@" + name)
        notify.tell("READY=1")
        assert sock.recv(1000) == b"READY=1"
        notify.close()


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    quiet = Notify()
    quiet.tell("READY=1")
    assert quiet.lost == 0
    quiet.close()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    gone = Notify()
    gone.tell("READY=1")
    assert gone.lost == 1
    gone.close()


@pytest.mark.parametrize(
    ("usec", "pid", "pause"),
    [
        ("", "", None),
        ("0", "", None),
        ("-5", "", None),
        ("soon", "", None),
        ("20000000", "", 5.0),
        ("20000000", "us", 5.0),
        ("20000000", "1", None),
    ],
)
def test_how_often_systemd_wants_to_hear_of_us(
    usec: str, pid: str, pause: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "us" else pid)
    assert Notify.watchdog() == pause
