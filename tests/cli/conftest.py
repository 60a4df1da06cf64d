"""A log as a day's work leaves it, and the command run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from guard.cli.main import main
from guard.model import Identity
from tests.store.making import AT, SECOND, attempt, decision, ended, finding, number
from tests.store.making_log import write

NASTY = "\x1b[2J\u202e=cmd|'/C calc'!A0\n\x9b31m[bold red]"


class Ran(NamedTuple):
    """What a command said, and its status."""

    status: int
    out: str
    err: str

    def objects(self) -> list[dict[str, Any]]:
        """JSON Lines, read."""
        return [json.loads(line) for line in self.out.splitlines()]

    def seqs(self) -> list[int]:
        """The records' numbers."""
        return [r["seq"] for r in self.objects()]


Guard = Callable[..., Ran]


@pytest.fixture
def guard(capsys: pytest.CaptureFixture[str]) -> Guard:
    """`guard WORDS...` in this process."""

    def run(*words: str | Path) -> Ran:
        capsys.readouterr()
        try:
            status = main([str(w) for w in words])
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Entries: 1 allowed, 2 its end, 3 blocked, 4 masked, 5 flagged, 6 blocked with texts that attack,
    7 blocked with the Call-ID of 3."""
    path = tmp_path_factory.mktemp("log") / "guard.db"
    premium, cps = finding("cli.premium"), finding("rate.cps", "hold")
    pai = Identity("pai", number("+33899000001", "0899000001"))
    watched = finding("cli.mobile", "block", "monitor")
    spoken = decision("flagged", finding("traffic.short", "flag"), watched, presented="+33145678900")
    nasty = replace(attempt(5, at=AT + 4 * SECOND, call_id=NASTY), line="=2+3\x1b]0;x\x07", user_agent=NASTY)
    again = attempt(6, at=AT + 5 * SECOND, call_id="call-1@pbx")
    masked = decision(
        "masked", finding("cli.premium", "mask"), presented="+33145678999", masked=True, held_us=1_700_000
    )
    write(
        path,
        [
            (attempt(0), decision(), ended()),
            (attempt(1, at=AT + SECOND, caller="+33899000001", identities=(pai,)), decision("blocked", premium, cps)),
            (attempt(3, at=AT + 2 * SECOND, caller="+33899000002", line="21", trunk="backup"), masked),
            (attempt(4, at=AT + 3 * SECOND, callee="3949"), spoken),
            (nasty, decision("blocked", premium)),
            (again, decision("blocked", cps)),
        ],
    )
    return path
