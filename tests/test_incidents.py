"""Incidents that a running guard opens: of calls that cost money, of abnormal traffic, of what detectors see."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.config import Config
from guard.incidents import BACK, WAITING, Contracts, Incidents, contracts_of
from guard.ledger.incidents import Incident, Subject
from guard.ledger.sightings import Sighting
from guard.policy.load import load_policy
from guard.policy.money import abnormal_rules, incident_terms
from guard.store.books import OPENED_A_DAY, Books
from guard.store.errors import StoreError
from guard.store.money import Breach, breaches
from guard.store.reader import SqliteReader
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


def test_a_call_without_a_number_is_its_lines_and_without_a_line_its_trunks(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        s.write(0, caller="")
        assert (await s.next()).subject_kind == "line"
        s.write(1, caller="", line="")
        assert (await s.next()).subject_kind == "trunk"

    found = run(tmp_path, scene).books()
    assert [(i.subject_kind, i.subject) for i in found] == [("line", "200"), ("trunk", "operator")]


@pytest.mark.parametrize(("contract", "kinds"), [(SVA, ["sva"]), (NONE, [])])
def test_abnormal_traffic_is_an_incident_of_the_premium_number_where_the_contract_says_so(
    tmp_path: Path, contract: Contracts, kinds: list[Subject]
) -> None:
    async def scene(s: Scene) -> None:
        s.incidents.adopt(contract)
        flagged = decision("flagged", finding("dst.sva-repeated", "flag"))
        s.store.decided(attempt(0, callee=SVA_NUMBER), flagged, None)
        s.store.decided(attempt(1, callee=SVA_NUMBER, trunk="backup"), flagged, None)  # it has no such contract
        detected = decision("flagged", finding("traffic.ping-call", "flag"))  # of the caller: detection tells of it
        s.store.decided(attempt(2, callee=SVA_NUMBER + "0"), detected, None)
        s.store.flush()

    found = run(tmp_path, scene, NONE).books()
    assert [(i.subject_kind, i.subject, i.trunk, i.reached) for i in found] == [
        (kind, SVA_NUMBER, "operator", True) for kind in kinds
    ]


def test_what_a_contract_calls_abnormal_is_read_from_it() -> None:
    assert {"traffic.ping-call", "dst.sva-repeated"} <= SVA.abnormal["operator"]
    assert {c.id for c in contracts().values() if abnormal_rules(c)} == {"technicophone-sva"}
    assert abnormal_rules(None) == frozenset()


def test_contracts_of_a_configuration(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    made = contracts_of(config, load_policy(config))
    assert made.terms["operator"].contract == config.file.trunk[0].contract


def test_what_a_detector_sees_gets_the_terms_of_its_trunk(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        s.incidents.sighted(PING)
        s.incidents.sighted(replace(PING, reached=False, at=AT + SECOND, text="13 calls"))
        first = await s.next()
        assert (first.terms.contract, first.reached) == ("technicophone-sva", True)
        s.incidents.sighted(replace(PING, subject="9" * 500))
        assert len((await s.next()).subject) == 128

    found = run(tmp_path, scene).books()
    assert found[0].events[0].text == "13 calls"
    assert found[0].opened == AT + SECOND


def test_what_waits_at_the_stop_is_written(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        s.incidents._beside._pause = 3600.0
        await asyncio.sleep(0)
        s.incidents.sighted(PING)

    assert [i.subject for i in run(tmp_path, scene).books()] == ["200"]


def test_there_is_room_for_so_many_subjects_and_the_rest_is_counted(tmp_path: Path) -> None:
    async def scene() -> None:
        s = Scene(tmp_path, SVA)
        for n in range(WAITING + 3):
            s.incidents.sighted(replace(PING, subject=str(n)))
        s.incidents.sighted(replace(PING, subject="5", at=AT + SECOND))
        assert s.incidents.dropped == 3
        s.store.close()

    asyncio.run(scene())


def test_a_flood_of_invented_numbers_is_one_incident_of_the_trunk(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        for n in range(OPENED_A_DAY + 5):
            s.incidents.sighted(replace(PING, subject_kind="number", subject=f"+3314567{n:04}"))
        s.incidents.sighted(replace(PING, subject_kind="number", subject="+33145670000", trunk="backup"))

    found = run(tmp_path, scene).books()
    assert len([i for i in found if i.subject_kind == "number" and i.trunk == "operator"]) == OPENED_A_DAY
    (trunk,) = [i for i in found if i.subject_kind == "trunk"]
    assert (trunk.subject, trunk.events[0].text) == (
        "operator", "more than 50 incidents opened in a day: what followed is in the log only",
    )  # fmt: skip
    assert [i.subject for i in found if i.trunk == "backup"] == ["+33145670000"]


def test_a_guard_that_starts_again_opens_nothing_anew(tmp_path: Path) -> None:
    async def first(s: Scene) -> None:
        s.write(0, at=AT - BACK - SECOND, caller="+33145678999")  # too old to be looked at
        s.write(1, at=AT - HOUR // 2)
        await s.next()

    async def second(s: Scene) -> None:
        s.write(2, at=AT - HOUR)  # the clock was put back: it is new all the same
        s.write(3, at=AT - HOUR, caller="+33145678902")
        await s.next()

    run(tmp_path, first)
    with Books(tmp_path / "guard.db", PARIS) as books:
        (one,) = books.incidents().values()
        books.step(replace(one.events[0], step="resolve", incident=one.id, at=AT, written=AT))
    found = run(tmp_path, second).books()
    assert [(i.subject, i.state) for i in found] == [(CALLER, "resolved"), ("+33145678902", "open")]


def test_an_incident_that_was_closed_while_it_was_remembered_opens_again(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        s.incidents.sighted(PING)
        one = await s.next()
        with Books(s.path, PARIS) as books:
            books.step(replace(one.events[0], step="release", incident=one.id, at=AT, written=AT))
        s.incidents.sighted(replace(PING, at=AT + SECOND))
        assert (await s.next()).state == "open"

    run(tmp_path, scene)


def test_books_that_cannot_be_written_are_told_once_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0

    async def scene(s: Scene) -> None:
        whole = Books.seen

        def refusing(books: Books, sightings: list[Sighting]) -> list[tuple[Incident, bool]]:
            nonlocal tried
            tried += 1
            if tried <= 3:
                raise StoreError("guard.db-books: the disk is full")
            return whole(books, sightings)

        monkeypatch.setattr(Books, "seen", refusing)
        s.incidents.sighted(PING)
        assert (await s.next()).subject == "200"

    with caplog.at_level(logging.WARNING):
        run(tmp_path, scene)
    assert caplog.text.count("incidents are not written: guard.db-books: the disk is full") == 1
    assert tried == 4


def test_a_log_in_memory_has_no_books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def scene() -> None:
        store = SqliteWriter(":memory:", site="hq")
        config = loaded(tmp_path, "")
        faults: list[Exception] = []
        made = Incidents(store, config, SVA, Stopped(AT), faults.append, look=0.005)
        made.start()
        made.sighted(PING)
        await made.stop()
        store.close()
        assert faults == []

    asyncio.run(scene())
    assert not [p for p in tmp_path.iterdir() if "books" in p.name]


def test_a_fault_of_ours_is_told_and_the_next_look_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        s = Scene(tmp_path, SVA)
        read, tried = breaches, 0

        def failing(reader: SqliteReader, after: int) -> list[Breach]:
            nonlocal tried
            tried += 1
            if tried == 1:
                raise RuntimeError("ours")
            return read(reader, after)

        monkeypatch.setattr("guard.incidents.breaches", failing)
        s.write(0)
        s.incidents.start()
        assert (await s.next()).subject == CALLER
        await s.incidents.stop()
        s.store.close()
        assert [str(f) for f in s.faults] == ["ours"]

    asyncio.run(scene())
