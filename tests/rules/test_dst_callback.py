"""dst.callback: who rang for a moment and hung up is remembered, and calling him back is told."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from guard.config import ConfigError
from guard.desk import Desk
from guard.model import CallAttempt, CallEnded
from guard.numbering.number import Dial, normalise
from guard.recount import recount
from guard.rules import dst_callback
from guard.rules.base import Terms
from guard.state.memory import MemoryState
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from tests.deciding import DAY, NOW, call, engine_of, policy_of
from tests.rules.table import Row, check, hits

ID: Final = "dst.callback"
LEONE: Final = "0023276123456"
SERVICE: Final = "0899123456"
OFF: Final = '\n[rules."dst.callback"]\ndays = 0\n'


def row(name: str, callee: str, *says: str, known: bool = True, more: str = "") -> Row:
    return Row(name=name, rule=ID, call=call(callee=callee), says=says, more=more, known=known)


ROWS: Final = (
    row("a foreign number that rang", LEONE, "back"),
    row("one that did not", LEONE, known=False),
    row("a premium number that rang", SERVICE, "back"),
    row("a French number that rang", "0199001234"),
    row("an overseas number that rang", "0262201234"),
    row("an emergency number", "112"),
    row("a name", "reception"),
    row("a foreign number, where none is remembered", LEONE, more=OFF),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_facts() -> None:
    (hit,) = hits(ROWS[0])
    assert hit.facts == {"number": "+23276123456", "days": 7, "ring_ms": 5000}


def inbound(caller: str, at: int = NOW) -> CallAttempt:
    """A call from the operator; `caller` as the IPBX would dial it."""
    return replace(call(at=at), direction="inbound", caller=normalise(caller, Dial(), callee=True), call_id=f"in{at}")


def end(at: int, ring_ms: int = 1200, outcome: str = "cancelled") -> CallEnded:
    return CallEnded(at=at, outcome=outcome, ring_us=ring_ms * 1000, by="caller")  # type: ignore[arg-type]


class Site:
    """A desk that calls come to and go out from."""

    def __init__(self, more: str = "") -> None:
        self.state = MemoryState()
        self.desk = Desk(engine_of(more), self.state)
        self.ticket = 0

    def rings(self, caller: str, ended: CallEnded) -> None:
        self.ticket += 1
        ((_, decision),) = self.desk.submit(self.ticket, inbound(caller, ended.at), ended.at)
        assert decision.verdict == "allowed"
        self.desk.ended(self.ticket, ended.at, ended)

    def back(self, callee: str, at: int = NOW + 1) -> bool:
        self.ticket += 1
        ((_, decision),) = self.desk.submit(self.ticket, call(callee=callee, at=at), at)
        self.desk.departed(self.ticket, at)
        self.desk.ended(self.ticket, at, CallEnded(at=at, outcome="answered"))
        return ID in [f.rule for f in decision.findings]


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (end(NOW), True),
        (end(NOW, ring_ms=0), True),  # it did not even ring
        (end(NOW, ring_ms=5000), True),
        (end(NOW, ring_ms=5001), False),
        (end(NOW, outcome="answered"), False),
        (end(NOW, outcome="failed"), False),  # we were busy
        (end(NOW - 7 * DAY + 10), True),
        (end(NOW - 7 * DAY - 10), False),
    ],
)
def test_a_short_ring_is_remembered_for_some_days(ended: CallEnded, told: bool) -> None:
    site = Site()
    site.rings(LEONE, ended)
    assert site.back(LEONE) is told
    assert site.back(LEONE) is told, "as often as it is called"
    assert not site.back("0023276123457")


def test_who_rings_again_is_remembered_from_then() -> None:
    site = Site()
    site.rings(LEONE, end(NOW - 8 * DAY))
    site.rings(LEONE, end(NOW - 2 * DAY))
    assert site.back(LEONE)


def test_calling_does_not_make_a_number_one_that_rang() -> None:
    site = Site()
    assert not site.back(LEONE)
    assert not site.back(LEONE)


def test_french_callers_and_hidden_ones_fill_no_memory() -> None:
    site = Site()
    for caller in ("0145678901", "anonymous", "0612345678"):
        site.rings(caller, end(NOW))
    assert site.state.tallies.members == 0
    site.rings(SERVICE, end(NOW))
    assert site.state.tallies.members == 1


def test_nothing_is_remembered_where_it_is_off() -> None:
    site = Site(OFF)
    site.rings(LEONE, end(NOW))
    assert site.state.tallies.members == 0
    assert not site.back(LEONE)


def test_each_trunk_remembers_its_own() -> None:
    keys = {
        t: touch.key
        for t in ("a", "b")
        if (touch := dst_callback.ended(inbound(LEONE), Terms(trunk=t), end(NOW), dst_callback.Settings()))
    }
    assert len(set(keys.values())) == 2


def test_only_inbound_calls_are_remembered_and_only_others_looked_at() -> None:
    settings, terms = dst_callback.Settings(), Terms(trunk="t")
    out = call(LEONE, LEONE)
    assert dst_callback.ended(out, terms, end(NOW), settings) is None
    assert dst_callback.ended(replace(out, direction="inbound"), terms, end(NOW), settings) is not None
    assert dst_callback.touch(out, terms, "1", settings) is not None
    assert dst_callback.touch(replace(out, direction="inbound"), terms, "1", settings) is None
    assert dst_callback.touch(replace(out, emergency="112"), terms, "1", settings) is None


def test_an_open_call_is_let_go_when_it_ends() -> None:
    site = Site()
    site.rings(LEONE, end(NOW))
    assert site.desk._inbound == {}


def test_a_restart_forgets_nobody(tmp_path: Path) -> None:
    engine = engine_of()
    log = SqliteWriter(tmp_path / "guard.db", site="test")
    for caller, ended in ((LEONE, end(NOW - DAY)), ("0023276000000", end(NOW - DAY, outcome="answered"))):
        made = inbound(caller, ended.at)
        log.ended(log.decided(made, engine.judge(made), None), ended)
    log.close()
    site = Site()
    with SqliteReader(tmp_path / "guard.db") as reader:
        past = [(d.record.seq, d.body, d.end) for d in reader.details(Query(all=True))]
    list(recount(engine, site.state, past))
    site.state.restored()
    assert site.back(LEONE)
    assert not site.back("0023276000000")


@pytest.mark.parametrize("wrong", ["days = 32", "days = -1", "ring_ms = -1", "ring = 5"])
def test_a_wrong_setting_is_named(wrong: str) -> None:
    with pytest.raises(ConfigError):
        policy_of(f'\n[rules."dst.callback"]\n{wrong}\n')
