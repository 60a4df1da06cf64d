"""Lines, incidents, exposure, policies and decisions, as the pages and the API get them; and the pool of readers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from guard.config import Config, load
from guard.ledger.incidents import Clock, Event, Terms
from guard.ledger.penalties import By
from guard.policy.load import Policy, load_policy
from guard.questions import Asked
from guard.store.books import Books
from guard.store.errors import StoreError
from guard.store.reader import SqliteReader
from guard.wanted import Mistake
from guard.web.data import decide, exposure, incidents, lines, policies
from guard.web.data import quotas as counting
from guard.web.data.pool import Busy, Pool
from guard.web.data.quotas import Counter, Key
from tests.deciding import MAIN, SITE, STRANGERS
from tests.store.making import AT, SECOND, attempt, decision, ended, finding
from tests.store.making_log import DIGITS, PARIS, Call, write

HOUR = 3_600 * SECOND
LATER = AT + HOUR
MORE = """
[rules."quota.callees"]
limit = 10
per = "line"
[rules."quota.talk-time"]
hours = 1
per = "trunk"
[ledger]
alert_day = 100
enforce_above_month = 5000
"""
PREMIUM = finding("cli.premium")


def calls() -> Iterator[Call]:
    """Line 200 calls eight numbers, 201 calls two; some are refused, one still goes on, one was in October."""
    yield attempt(0, at=AT - 40 * 24 * HOUR, callee="+33199000999"), decision(), ended(at=AT - 40 * 24 * HOUR)
    for n in range(8):
        yield attempt(n, at=AT + n * SECOND, callee=f"+3319900000{n}"), decision(), ended(at=AT + n * SECOND)
    for n in range(2):
        yield attempt(20 + n, at=AT + n * SECOND, line="201", callee=f"+3319900010{n}"), decision(), ended()
    for n in range(3):
        refused = attempt(30 + n, at=AT + n * SECOND, caller=f"+3389900000{n % 2}", callee="+33199000500")
        yield refused, decision("blocked", PREMIUM), ended("blocked")
    yield attempt(40, caller="+33899000009"), decision("flagged", PREMIUM)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("site")
    (folder / "acme.txt").touch()
    path = folder / "guard.toml"
    path.write_text(f'{SITE}\n{MORE}\n[store]\npath = "{folder}/guard.db"\n', encoding="utf-8")
    write(folder / "guard.db", calls(), {"operator": DIGITS})
    return load(path)


@pytest.fixture(scope="module")
def policy(config: Config) -> Policy:
    return load_policy(config)


@pytest.fixture
def reader(config: Config) -> Iterator[SqliteReader]:
    with SqliteReader(config.store_path, timezone=config.timezone) as found:
        yield found


def test_lines_by_their_share_of_a_quota(reader: SqliteReader, policy: Policy) -> None:
    view = lines.nearest(reader, policy, Counter(), LATER, full=True)
    found = [(u.kind, u.per, u.line or u.trunk, u.used, u.limit, u.percent) for u in view.uses]
    assert found[0] == ("callees", "line", "200", 9, 10, 90)  # eight, and the one of the call that still goes on
    assert ("callees", "line", "201", 2, 10, 20) in found
    talk = next(u for u in view.uses if u.kind == "talk-time" and u.trunk == "operator")
    assert (talk.used, talk.limit, talk.percent) == (10 * 30_004 // 1000, 3600, 8)
    assert (view.quotas, view.counting) == (True, False)


def test_counting_goes_on_where_it_ended(reader: SqliteReader, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lines.nearest(reader, policy, Counter(), LATER)
    monkeypatch.setattr(counting, "STEP", 4)
    counter = Counter()
    first = lines.nearest(reader, policy, counter, LATER)
    assert first.counting
    for _ in range(40):
        last = lines.nearest(reader, policy, counter, LATER)
        if not last.counting:
            break
    assert last == whole


def test_keys_that_are_counted_are_bounded(
    reader: SqliteReader, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "KEYS", 2)
    counter = Counter()
    for n in range(5):
        counter.uses(reader, policy, [Key("pbx", str(n), "")], LATER)
    assert len(counter._counts) == 2
    monkeypatch.setattr(counting, "MOST", 3)
    ((use,)) = [u for u in Counter().uses(reader, policy, [Key("pbx", "200", "")], LATER) if u.kind == "callees"]
    assert use.used == 3


def test_a_line_has_its_calls_quotas_and_incidents(reader: SqliteReader, policy: Policy) -> None:
    view = lines.one(reader, policy, Counter(), "201", LATER, full=True)
    assert view is not None
    assert (view.line, view.sources, len(view.calls)) == ("201", ("pbx",), 2)
    assert [(u.kind, u.used) for u in view.uses] == [("callees", 2)]
    for name in ("", "none", "2*"):
        assert lines.one(reader, policy, Counter(), name, LATER) is None


def opened(subject: str, at: int, *letters: int) -> tuple[Event, ...]:
    terms = Terms(
        contract="technicophone-sip-trunk",
        clocks=(Clock(letter="breach", value=2, unit="business-days", article="IV-10.2", cost=7, kind="sva-number"),),
    )
    first = Event(step="open", at=at, written=at, subject=subject, trunk="operator", rule="cli.premium", terms=terms)
    return (first, *(Event(step="notify", at=when, written=when, letter="breach") for when in letters))


def test_incidents_have_deadlines_in_business_days_and_what_a_miss_costs(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, calls(), {"operator": DIGITS})
    friday = int(datetime(2026, 11, 20, 9, tzinfo=UTC).timestamp()) * SECOND
    with Books(path, PARIS) as books:
        for events in (opened("+33899000001", friday), opened("+33899000000", friday, friday)):
            made = books.open(events[0])
            for event in events[1:]:
                books.step(replace(event, incident=made.id))
    with SqliteReader(path) as reader:
        page = incidents.page(reader, AT, full=True)
        assert [i.subject for i in page.incidents] == ["+33899000000", "+33899000001"]  # a deadline runs
        (deadline,) = page.incidents[0].deadlines
        assert deadline.due == "2026-11-24T23:59:59.999999+01:00"  # Friday, the weekend, Monday, Tuesday
        assert (page.incidents[0].at_stake_microeuros, page.open, page.missed, page.more) == (7, 2, 0, 0)
        assert incidents.page(reader, AT + 10 * 24 * HOUR).missed == 1
        first = incidents.page(reader, AT, limit=1)
        assert (len(first.incidents), first.more, first.incidents[0].subject) == (1, 1, "+3389900****")
        assert incidents.page(reader, AT, start=1, limit=1, full=True).incidents[0].subject == "+33899000001"
        number = int(page.incidents[0].id.removeprefix("INC-"))
        view = incidents.one(reader, number, AT, full=True)
        assert view is not None
        assert view.incident == page.incidents[0]
        assert "answer" in view.can
        assert incidents.one(reader, 10**18, AT) is None
        from guard.web.data import calls as pages

        call = pages.one(reader, "call-30@pbx", AT, full=True)
        assert call is not None
        assert call.incident is not None
        assert call.incident.subject == "+33899000000"


@pytest.mark.parametrize("by", get_args(By))
def test_exposure_of_a_month(reader: SqliteReader, config: Config, by: By) -> None:
    view = exposure.month(reader, config, LATER, month="2026-11", by=by, full=True)
    parts = [*view.groups, view.others]
    for name in ("calls", "numbers", "accrued_microeuros", "avoided_microeuros"):
        assert sum(getattr(g, name) for g in parts) == getattr(view.total, name)
    assert (view.total.accrued_microeuros, view.total.avoided_microeuros) == (2_500_050_000, 5_000_150_000)
    assert [(t.contract, t.reading) for t in view.terms] == [("technicophone-sip-trunk", "digits")]
    assert [(x.span, x.enforce, x.limit_microeuros, x.accrued_microeuros) for x in view.limits] == [
        ("day", False, 100_000_000, 2_500_050_000),
        ("month", True, 5_000_000_000, 2_500_050_000),
    ]


def test_more_groups_than_are_shown_are_summed_up(reader: SqliteReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposure, "GROUPS", 1)
    view = exposure.month(reader, None, LATER, month="2026-11", by="number", full=True)
    assert (len(view.groups), view.others.calls, view.limits) == (1, view.total.calls - view.groups[0].calls, ())
    masked = exposure.month(reader, None, LATER, month="2026-11", by="number")
    assert [g.key for g in masked.groups] == ["+3389900****"]


def test_words_of_exposure(reader: SqliteReader) -> None:
    assert exposure.month_of(None, AT, reader) == "2026-11"
    assert exposure.by_of(None) == "rule"
    for text in ("2026-13", "2026-1", "26-11", "", "2026-11\n", "٢٠٢٦-11", "9999-12"):
        with pytest.raises(Mistake, match="month"):
            exposure.month_of(text, AT, reader)
    with pytest.raises(Mistake, match='did you mean "line"'):
        exposure.by_of("lines")


def test_policies_in_force(config: Config, policy: Policy) -> None:
    view = policies.inforce(config, policy, AT)
    assert view.digest == policy.digest
    assert {r.id for r in view.rules} >= {"cli.premium", "quota.callees", "dst.emergency"}
    assert all(r.source or r.articles for r in view.rules)
    assert view.contracts[0].contract
    assert view.contracts[0].title
    assert msgspec.json.decode(msgspec.json.encode(view))["rules"][0].keys() >= {"from", "until", "articles"}


def test_a_decision_without_a_call(config: Config, policy: Policy) -> None:
    refused = decide.decide(config, policy, Asked(caller=STRANGERS, callee="0299001234"), AT, full=True)
    assert (refused.record.verdict, refused.record.seq, refused.record.hash) == ("blocked", 0, "")
    assert refused.money.avoided > 0
    assert (
        decide.decide(config, policy, Asked(caller=MAIN, callee="0299001234"), AT, full=True).record.verdict
        == "allowed"
    )
    for words, field in (({"source": "pxb"}, "source"), ({"usage": "robot"}, "usage"), ({"header": ("x",)}, "header")):
        with pytest.raises(Mistake) as caught:
            decide.decide(config, policy, Asked(caller=MAIN, callee="0299001234", **words), AT, full=True)
        assert caught.value.field == field
    with pytest.raises(Mistake, match="no time"):
        decide.decide(config, policy, Asked(caller=MAIN, callee="1", at="soon"), AT, full=True)


def test_the_pool_is_bounded_and_opens_a_replaced_log_anew(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    pool = Pool(str(path), "Europe/Paris")
    with pytest.raises(StoreError, match="no such log"):
        pool.now(SqliteReader.last_seq)
    write(path, calls())
    assert pool.now(SqliteReader.last_seq) > 10
    write(tmp_path / "new.db", [(attempt(), decision())])
    (tmp_path / "new.db").replace(path)
    assert pool.now(SqliteReader.last_seq) == 1

    async def crowd() -> tuple[int, int]:
        gate = threading.Event()
        asked = [asyncio.ensure_future(pool.run(lambda _: gate.wait(10))) for _ in range(100)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        refused = sum(isinstance(one.exception(), Busy) for one in asked if one.done())
        gate.set()
        await asyncio.gather(*asked, return_exceptions=True)
        return refused, len(done)

    refused, _ = asyncio.run(crowd())
    assert refused == 100 - 68
    assert asyncio.run(pool.run(SqliteReader.last_seq)) == 1
    pool.close()
