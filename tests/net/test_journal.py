"""The journal's protocol over a real socket of its kind, and standard error where there is none."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.net import journal
from guard.net.journal import Journal, TellingLog, priority
from guard.net.say import LINES, LOG, Voice
from tests.net.fakes import Broken, FakeClock
from tests.store.making import attempt, decision, finding

Fields = dict[str, str]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[socket.socket]:
    """A journal, and our log written to it."""
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setblocking(False)
        handler, level = Journal(path), LOG.level
        LOG.addHandler(handler)
        LOG.setLevel(logging.INFO)
        yield sock
        LOG.setLevel(level)
        LOG.removeHandler(handler)
        handler.close()


def entry(sock: socket.socket) -> Fields:
    return dict(line.split("=", 1) for line in sock.recv(65_535).decode().splitlines())


def test_a_line_has_its_priority_and_its_kind(kept: socket.socket) -> None:
    voice = Voice(FakeClock().now)
    voice.warn("next hop", "is down")
    assert entry(kept) == {
        "MESSAGE": "next hop: is down", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "guard", "GUARD_KIND": "next hop",
    }  # fmt: skip
    LOG.info("ready")
    assert entry(kept) == {"MESSAGE": "ready", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "guard"}
    voice.warn("exception", "internal", Broken("x"))
    assert entry(kept)["GUARD_ERROR"] == "Broken"


EVIL = {
    "a field": "x\nPRIORITY=0",
    "a line": "x\r\nMESSAGE=forged",
    "a terminal": "\x1b[2J",
    "half a pair": "half \ud800 a pair",
}


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_no_value_begins_another_field(kept: socket.socket, evil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOG, "propagate", False)  # what pytest keeps of logs has to go from process to process
    Voice(FakeClock().now).note("kind", evil, {"GUARD_CALL_ID": evil})
    data = kept.recv(65_535).decode()
    assert data.count("\n") == 5
    assert all(line.isprintable() for line in data.splitlines())
    assert "PRIORITY=6\n" in data


@pytest.mark.parametrize(("level", "number"), [(50, 2), (40, 3), (30, 4), (20, 6), (10, 7)])
def test_levels_are_syslogs(level: int, number: int) -> None:
    assert priority(level) == number


def test_without_a_journal_the_line_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = Journal(str(tmp_path / "nobody"))
    try:
        handler.handle(logging.LogRecord("guard", logging.WARNING, "", 0, "it\nis", (), None))
    finally:
        handler.close()
    assert capsys.readouterr().err == "<4>it\\nis\n"


def test_it_is_the_journal_only_where_systemd_made_our_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "stderr").open("w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        found = os.fstat(file.fileno())
        monkeypatch.delenv("JOURNAL_STREAM", raising=False)
        assert not journal.here()
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        assert not journal.here()
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert journal.here()
    assert not journal.here()  # closed


class Log:
    """A log that numbers what it gets."""

    def __init__(self) -> None:
        self.seq = 0

    def decided(self, *_: object) -> int:
        self.seq += 1
        return self.seq

    def ended(self, *_: object) -> None:
        self.seq += 1

    def close(self) -> None:
        self.seq = -1


def test_who_was_refused_is_found_by_call_and_rule(kept: socket.socket) -> None:
    log = Log()
    telling = TellingLog(log, Voice(FakeClock().now))
    telling.decided(attempt(), decision(), None)
    with pytest.raises(BlockingIOError):
        kept.recv(1)
    call = attempt()
    refused = decision("blocked", finding("cli.not-authorised"))
    for _ in range(LINES + 1):
        telling.decided(call, refused, None)
    first = entry(kept)
    assert first == {
        "MESSAGE": "refused by cli.not-authorised: record 2", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "guard",
        "GUARD_KIND": "refused by cli.not-authorised", "GUARD_CALL_ID": call.call_id,
        "GUARD_RULE": "cli.not-authorised", "GUARD_RECORD": "2", "GUARD_TRUNK": call.trunk, "GUARD_SOURCE": call.source,
    }  # fmt: skip
    for _ in range(LINES - 1):
        entry(kept)
    with pytest.raises(BlockingIOError):
        kept.recv(1)
    assert call.caller.value not in str(first)
    telling.close()
    assert log.seq == -1
