"""Certificates while the guard runs: taken when they have rested, refused when they are broken, told of in time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guard import certificates
from guard.certificates import AGAIN, SOON, Certificates
from guard.config import load
from guard.configtls import Files
from guard.net.tls import Tls, contexts
from guard.tomlread import Problem
from sim.site import Site
from tests.certs import authority

CA = authority()
NOW = datetime.now(UTC)


class Scene:
    """One guard's certificate, its watch, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW
        issued = CA.issue("guard.example")
        self.write(issued.certificate, issued.key)
        self.files = Files(certificate=folder / "guard.pem", key=folder / "guard.key")
        found = contexts(self.files)
        self.tls = Tls(found, lambda host, port: None)
        self.first = found.server
        self.watch = Certificates(self.tls, self.files, found, lambda: self.now)

    def write(self, certificate: bytes, key: bytes) -> None:
        (self.folder / "guard.pem").write_bytes(certificate)
        (self.folder / "guard.key").write_bytes(key)

    async def look(self) -> None:
        await self.watch.look()

    @property
    def counts(self) -> tuple[int, int]:
        return self.watch.done, self.watch.failed


def run(folder: Path, scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        s = Scene(folder)
        await scene(s)
        await s.watch.stop()

    asyncio.run(whole())


def test_new_files_are_taken_once_they_have_rested(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "guard")

    async def scene(s: Scene) -> None:
        await s.look()
        issued = CA.issue("guard.example", days=60)
        (tmp_path / "guard.pem").write_bytes(issued.certificate)
        await s.look()
        (tmp_path / "guard.key").write_bytes(issued.key)  # a moment later
        await s.look()
        assert s.counts == (0, 0)
        await s.look()
        assert s.counts == (1, 0)
        assert s.tls.server() not in {None, s.first}
        await s.look()
        assert s.counts == (1, 0)

    run(tmp_path, scene)
    assert f"good until {NOW + timedelta(days=60):%Y-%m}" in caplog.text


@pytest.mark.parametrize("what", ["half", "gone", "other key", "old"])
def test_broken_files_leave_the_old_ones_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str) -> None:
    async def scene(s: Scene) -> None:
        issued = CA.issue("guard.example", days=-1)
        if what == "half":
            s.write(issued.certificate[:200], issued.key)
        elif what == "gone":
            (tmp_path / "guard.pem").unlink()
        elif what == "other key":
            s.write(issued.certificate, CA.issue("guard.example").key)
        else:
            s.write(issued.certificate, issued.key)
        for _ in range(4):
            await s.look()
        assert s.counts == (0, 1), "told once"
        assert s.tls.server() is s.first
        issued = CA.issue("guard.example")
        s.write(issued.certificate, issued.key)
        for _ in range(2):
            await s.look()
        assert s.counts == (1, 1)

    run(tmp_path, scene)
    assert "the certificates in force stay" in caplog.text


def test_the_end_is_told_in_time_and_once_a_day(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(s: Scene) -> None:
        ends = s.watch._found.expires
        assert ends is not None
        told: list[int] = []
        for at in (ends - SOON - timedelta(seconds=1), ends - SOON, ends - SOON + AGAIN / 2, ends - SOON + AGAIN, ends):
            s.now = at
            s.watch.watch()
            told.append(len(caplog.records))
        assert told == [0, 1, 1, 2, 3]
        assert "runs out on" in caplog.records[0].getMessage()
        assert "ran out on" in caplog.records[2].getMessage()

    run(tmp_path, scene)


def test_a_disk_that_hangs_is_asked_once_and_waited_for_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, mends, right = list[Files](), threading.Event(), certificates.stamp

    def hanging(files: Files) -> certificates.Stamp:
        asked.append(files)
        mends.wait(10)
        return right(files)

    async def scene(s: Scene) -> None:
        with monkeypatch.context() as m:
            m.setattr(certificates, "stamp", hanging)
            for _ in range(3):
                s.watch.watch()
                await asyncio.sleep(0)
            assert len(asked) == 1
            try:
                await asyncio.wait_for(s.watch.stop(), 5)
            finally:
                mends.set()
        await s.look()
        assert s.counts == (0, 0)

    run(tmp_path, scene)


def test_another_configuration_has_other_files(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        files = Files(ca=CA.write(tmp_path))
        s.watch.adopt(files, contexts(files))
        assert s.tls.server() is None
        s.write(b"", b"")
        for _ in range(3):
            await s.look()
        assert s.counts == (0, 0)

    run(tmp_path, scene)


def test_a_configuration_tells_of_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "guard.pem").write_text("no PEM")
    more = '[tls]\ncertificate = "guard.pem"\n'
    config = load(Site(folder=tmp_path, port=5060, trunk_port=5061, pbx_port=5062, more=more).write())
    problems: list[Problem] = []
    assert certificates.read(config, problems) is None
    assert [(p.key, "no certificate in PEM" in p.what) for p in problems] == [("tls.certificate", True)]
