"""Incidents that a running guard opens: of calls that cost money, of abnormal traffic, of what detectors see."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard import incidents
from guard.config import Config
from guard.incidents import BACK, WAITING, Contracts, Incidents, contracts_of
from guard.ledger.incidents import Incident, Subject
from guard.ledger.sightings import Sighting
from guard.model import Mode
from guard.policy.load import load_policy
from guard.policy.money import abnormal_rules, incident_terms
from guard.store.books import OPENED_A_DAY, Books
from guard.store.errors import StoreError
from guard.store.sqlite import SqliteWriter
from tests.policy.reading import contracts
from tests.store.making import AT, CALLER, SECOND, attempt, decision, finding
from tests.store.making_log import DIGITS, PARIS
from tests.test_alerts import BLOCKED, WATCHED, Stopped
from tests.test_config import loaded

HOUR = 3_600 * SECOND
SVA_NUMBER = "+33899123456"
CONTRACT = contracts()["technicophone-sva"]
SVA = Contracts({"operator": incident_terms(CONTRACT)}, {"operator": abnormal_rules(CONTRACT)})
NONE = Contracts({}, {})
PING = Sighting(
    subject_kind="line", subject="200", trunk="operator", rule="traffic.ping-call", at=AT, reached=True, text="12 calls"
)


class Scene:
    """A log that is written while incidents are opened of it."""

    def __init__(self, folder: Path, found: Contracts) -> None:
        self.path = folder / "guard.db"
        self.store = SqliteWriter(self.path, site="hq", money={"operator": DIGITS})
        self.opened: asyncio.Queue[Incident] = asyncio.Queue()
        self.faults: list[Exception] = []
        self.config: Config = loaded(folder, "")
        self.clock = Stopped(AT)
        self.incidents = self.made(found)

    def made(self, found: Contracts) -> Incidents:
        return Incidents(
            self.store, self.config, found, self.clock, self.faults.append, look=0.005, opened=self.opened.put_nowait
        )

    def write(self, n: int, *, at: int = AT, caller: str = CALLER, blocked: bool = False, line: str = "200") -> None:
        decided = BLOCKED if blocked else WATCHED
        self.store.decided(attempt(n, at=at, caller=caller, line=line), decided, None)
        self.store.flush()

    async def next(self) -> Incident:
        return await asyncio.wait_for(self.opened.get(), 20)

    def books(self) -> list[Incident]:
        with Books(self.path, PARIS) as books:
            assert books.verify() == ""
            return list(books.incidents().values())


def run(folder: Path, scene: Callable[[Scene], Awaitable[None]], found: Contracts = SVA) -> Scene:
    """One scene; what still waits at its end is written."""

    async def whole() -> Scene:
        s = Scene(folder, found)
        s.incidents.start()
        try:
            await scene(s)
        finally:
            await s.incidents.stop()
            s.store.close()
        assert s.faults == []
        return s

    return asyncio.run(whole())


def test_a_misused_number_is_one_incident_however_often_it_calls(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(s: Scene) -> None:
        s.write(0, blocked=True)
        first = await s.next()
        assert (first.subject_kind, first.subject, first.rule) == ("number", CALLER, "cli.premium")
        assert (first.trunk, first.reached, first.terms.contract) == ("operator", False, "technicophone-sva")
        for n in range(1, 5):
            s.write(n, at=AT + n * SECOND)
        s.write(5, caller="+33145678901")
        assert (await s.next()).subject == "+33145678901"

    with caplog.at_level(logging.WARNING):
        found = run(tmp_path, scene).books()
    assert [(i.subject, i.reached, len(i.events)) for i in found] == [(CALLER, True, 2), ("+33145678901", True, 1)]
    assert "INC-1 is open: cli.premium on trunk operator; see guard incidents show INC-1" in caplog.text
    assert CALLER not in caplog.text  # the guard's messages name no numbers
