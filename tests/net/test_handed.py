"""Sockets that were passed on: taken by what they are bound to, never by what they are called."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.net import handed, stream, udp
from guard.net.handed import Handed, name_of

HOST = "127.0.0.1"


class Given:
    """Descriptors in a row, as after exec. They are `Handed`'s from then on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.fds: list[int] = []

    def __call__(self, *socks: socket.socket | int, names: str = "", pid: int | None = None, count: str = "") -> Handed:
        first = 200
        for place, sock in enumerate(socks):
            fd = sock if isinstance(sock, int) else sock.fileno()
            os.dup2(fd, first + place)
            self.fds.append(first + place)
        self._monkeypatch.setattr(handed, "FIRST", first)
        return Handed(
            {
                "LISTEN_FDS": count or str(len(socks)),
                "LISTEN_PID": str(os.getpid() if pid is None else pid),
                "LISTEN_FDNAMES": names,
            }
        )

    def close(self) -> None:
        for fd in self.fds:
            try:
                os.close(fd)
            except OSError:
                continue  # its taker closed it


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    found = Given(monkeypatch)
    yield found
    found.close()


def test_each_goes_to_its_own_address(given: Given) -> None:
    with udp.bound(HOST, 0) as one, stream.bound(HOST, 0) as two, udp.bound("::1", 0) as three:
        ports = [int(s.getsockname()[1]) for s in (one, two, three)]
        found = given(one, two, three, names="a:b:c")
        assert found.take("udp", HOST, ports[1]) is None
        assert found.take("tcp", HOST, ports[0]) is None
        assert found.take("udp", "127.0.0.2", ports[0]) is None
        assert found.take("udp", "::1", ports[0]) is None
        for kind, host, port in (("udp", HOST, ports[0]), ("tls", HOST, ports[1]), ("udp", "::1", ports[2])):
            sock = found.take(kind, host, port)  # type: ignore[arg-type]  # mypy: a tuple of plain texts
            assert sock is not None
            assert not sock.get_inheritable()
            assert not sock.getblocking()
            assert found.take(kind, host, port) is None  # type: ignore[arg-type]  # the same
            sock.close()
        assert len(found) == 0


def test_what_nobody_wants_is_closed_and_named(given: Given) -> None:
    with udp.bound(HOST, 0) as one, udp.bound(HOST, 0) as two:
        found = given(one, two, names="old")
        assert found.close() == ["old", "unknown"]
        assert found.close() == []
    for fd in given.fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_what_is_for_another_process_is_left_alone(given: Given) -> None:
    with udp.bound(HOST, 0) as one:
        assert len(given(one, pid=1)) == 0
        assert os.fstat(given.fds[0])


@pytest.mark.parametrize("count", ["x", "-1", "²", "1.5"])
def test_a_count_that_is_none(given: Given, count: str) -> None:
    with udp.bound(HOST, 0) as one:
        assert len(given(one, count=count)) == 0


def test_more_are_announced_than_there_are(given: Given) -> None:
    with udp.bound(HOST, 0) as one:
        found = given(one, count="999999999999")
        assert len(found) == 1
        found.close()


def test_a_file_is_no_socket(given: Given, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    with udp.bound(HOST, 0) as one:
        port = int(one.getsockname()[1])
        found = given(fd, one)
        sock = found.take("udp", HOST, port)
        assert sock is not None
        sock.close()
    os.close(fd)


def test_nothing_is_handed_to_who_started_by_hand() -> None:
    assert len(Handed({})) == 0


def test_a_name_is_one_that_systemd_takes() -> None:
    assert name_of("udp", "2001:db8::1", 5060) == "udp-2001_db8__1-5060"
