"""The file of answered calls: what is in it, what a torn, foreign or unwritable one costs, and that it stays small."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from guard import callsfile, keeping
from guard.callsfile import Named, Whose, add, path_of, renew, write
from guard.keeping import SLICE, Keeper
from guard.model import Decision
from guard.proxy.calls import SILENCE_WAIT
from guard.proxy.core import ProxyCore
from guard.proxy.effects import Flow
from guard.proxy.kept import KeptCall, keep, revive
from guard.resting import SOME, Known, standing
from guard.sources import Source
from guard.store.tables import PAUSE
from tests.proxy.test_hangup import CAPPED
from tests.proxy.world import DOWN, GUARD, PBX, SECOND, UP, Leg, World, arrows, reply, request
from tests.turner import Turner, nothing

WALL = 1_780_000_000 * SECOND  # wall clock minus timeline
MASKED = Decision(
    verdict="masked", masked=True, masked_numbers=("+33145678901",), presented="+33145678900", status=0,
    max_talk_us=600 * SECOND, talk_rule="dst.sva-cap",
)  # fmt: skip


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scene()

    asyncio.run(bounded())


class Life:
    """One life of a guard: a core, and the keeper of its calls."""

    def __init__(self, path: Path, answer: Decision | None = None, known: Known = "open") -> None:
        self.w = World(answer=answer or Decision(verdict="allowed"))
        self.w.core.wall_offset = WALL
        self.seqs: dict[int, int] = {}
        self.resumed: list[tuple[int, KeptCall]] = []
        driver = Turner(self.w)
        self.faults = driver.faults
        self.keeper = Keeper(path, self.w.core, driver, lambda ticket: self.seqs.get(ticket, 70 + ticket))
        self.keeper.load(
            lambda calls: [known] * len(calls), self.seqs.__setitem__, lambda t, k: self.resumed.append((t, k))
        )

    def write(self) -> None:
        self.keeper._gather()
        self.keeper._write(self.keeper._taken())


def read(path: Path) -> tuple[list[KeptCall], int]:
    """Its calls, and how many lines of it could not be read."""
    calls, bad = callsfile.read(path)
    return [callsfile.call_of(c.line) for c in calls], bad


def file(folder: Path) -> Path:
    return path_of(folder / "guard.db")


# ---- a call in another life ------------------------------------------------------------------------------------------


def test_a_call_goes_on_in_the_next_life_and_ends_its_record(tmp_path: Path) -> None:
    one = Life(file(tmp_path))
    leg = Leg(one.w)
    one.w.later(0.5)
    leg.answer(180)
    one.w.later(2)
    leg.answer(200)
    one.w(leg.from_pbx("ACK"), UP)
    one.write()

    two = Life(file(tmp_path))
    ((ticket, kept),) = two.resumed
    assert (kept.seq, kept.attempt) == (71, one.w.asked[0].call)
    two.w.now = one.w.now + 60 * SECOND
    leg.w = two.w
    out = two.w(leg.from_pbx("INVITE"), UP)  # the refresh of a session timer
    assert arrows(out) == ["up 100", "down INVITE"]
    assert arrows(two.w(reply(out[-1][1], 200), DOWN)) == ["up 200"]
    leg.bye()
    ((ended, end),) = two.w.ended
    assert (ended, end.outcome, end.by, end.final_status) == (ticket, "answered", "caller", 200)
    assert (end.ring_us, end.talk_us) == (2 * SECOND, 60 * SECOND)
    assert end.at == one.w.asked[0].call.at + 2_500_000 + 60 * SECOND
    two.w.rest()
    two.write()
    assert read(file(tmp_path)) == ([], 0)


def test_masks_and_limits_of_talk_outlast_a_restart(tmp_path: Path) -> None:
    one = Life(file(tmp_path), MASKED)
    leg = Leg(one.w).up()
    one.write()
    two = Life(file(tmp_path), MASKED)
    two.w.now = one.w.now
    leg.w = two.w
    out = two.w(leg.from_operator("INFO"), DOWN)
    assert out[-1][1].to().uri == b"sip:+33145678901@127.0.0.2"  # its caller sees his own number
    before = len(two.w.sent)
    out = two.w.later(601)
    byes = [m for _, m in out if m.method == b"BYE"]
    assert len({m.via().branch for m in byes}) == 2
    to_callee = next(m for (f, _), (_, m) in zip(two.w.sent[before:], out, strict=True) if f.peer == DOWN.peer)
    assert to_callee.from_().uri == b"sip:+33145678900@127.0.0.2"
    assert to_callee.cseq() == (2, b"BYE")
    assert to_callee.all(b"reason")[0] == b'SIP;cause=480;text="dst.sva-cap #71"'


@pytest.mark.parametrize(("known", "seqs"), [("open", [71]), ("over", []), ("unknown", [0])])
def test_the_log_says_whether_a_call_is_over_and_whose_record_it_has(
    tmp_path: Path, known: Known, seqs: list[int]
) -> None:
    one = Life(file(tmp_path))
    Leg(one.w).up()
    one.write()
    assert [kept.seq for _, kept in Life(file(tmp_path), known=known).resumed] == seqs


def test_calls_in_set_up_and_calls_that_are_over_are_not_kept(tmp_path: Path) -> None:
    one = Life(file(tmp_path))
    Leg(one.w, call_id="ringing", branch="r").answer(180)
    Leg(one.w, call_id="refused", branch="f").answer(486)
    Leg(one.w, call_id="over", branch="o").up().bye()
    one.write()
    assert read(file(tmp_path)) == ([], 0)


def test_a_call_that_is_answered_and_over_between_two_looks_leaves_no_line(tmp_path: Path) -> None:
    one = Life(file(tmp_path))
    short, long = Leg(one.w, call_id="short", branch="s").up(), Leg(one.w, call_id="long", branch="l").up()
    short.bye()
    one.write()
    assert file(tmp_path).read_bytes().count(b'{"n":') == 1
    long.bye()
    one.write()
    assert file(tmp_path).read_bytes().count(b'{"n":') == 2
    assert read(file(tmp_path)) == ([], 0)


def test_a_revived_call_that_nobody_hears_of_ends_after_a_day(tmp_path: Path) -> None:
    one = Life(file(tmp_path))
    Leg(one.w).up()
    one.write()
    two = Life(file(tmp_path))
    two.w.later(SILENCE_WAIT / SECOND - 60)
    assert two.w.ended == []
    two.w.later(120)
    assert [e.by for _, e in two.w.ended] == ["silence"]
    two.w.rest()


def test_a_clock_of_another_life_is_bounded_by_this_one() -> None:
    w = World()
    leg = Leg(w).up()
    call = w.core._c.calls.dialog(b"c1@pbx", b"a1", b"z9")
    assert call is not None
    kept = keep(call[0], 1, WALL)
    again = revive(kept, 5, WALL + 3600 * SECOND, w.now)  # the wall clock went back an hour
    assert again.heard <= w.now
    later = revive(kept, 5, WALL - 3600 * SECOND, w.now)
    assert later.heard <= w.now
    assert leg.invite.method == b"INVITE"


def test_a_callers_connection_did_not_survive() -> None:
    tcp = Flow("tcp", GUARD, (PBX[0], 40_000), conn=7)
    w = World(source=Source(name="pbx", networks=(ip_network("127.0.0.2/32"),), trunk="operator", contact=PBX))
    out = w(request(transport="TCP", contact="<sip:127.0.0.2:5062;transport=tcp>"), tcp)
    w(reply(out[-1][1], 200), DOWN)
    found = w.core._c.calls.dialog(b"c1@pbx", b"a1", b"z9")
    assert found is not None
    kept = keep(found[0], 1, 0)
    assert kept.caller_flow == Flow("tcp", GUARD, (PBX[0], 40_000))
    fresh = World()
    fresh.core.revive(kept, 1, fresh.now)
    bye = request(
        "BYE", "sip:127.0.0.2:5062;transport=tcp", caller="<sip:+33145670001@127.0.0.1>", tag="z9", to_tag="a1",
        to="<sip:+33145678901@127.0.0.2>", host="127.0.0.3", branch="bye", more="Route: <sip:127.0.0.1:5060;lr>\r\n",
    )  # fmt: skip
    fresh(bye, DOWN)
    assert fresh.sent[-1][0].peer == ("127.0.0.2", 5062)


# ---- many calls ------------------------------------------------------------------------------------------------------


@pytest.fixture
def all_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call goes on before something is heard of it."""
    monkeypatch.setattr(keeping, "AT_ONCE", 0)


def talking(path: Path, calls: int) -> list[Leg]:
    """So many calls that are up, in the file."""
    life = Life(path)
    legs = [Leg(life.w, call_id=f"c{n}", branch=f"b{n}").up() for n in range(calls)]
    life.write()
    return legs


def taken_up(path: Path, legs: list[Leg]) -> Life:
    """The next life, in which these calls go on."""
    life = Life(path)
    life.w.now = legs[0].w.now + SECOND
    for leg in legs:
        leg.w = life.w
    return life


@pytest.mark.usefixtures("all_rest")
@pytest.mark.parametrize("by", ["caller", "callee"])
def test_a_call_rests_until_something_is_heard_of_it(tmp_path: Path, by: str) -> None:
    legs = talking(file(tmp_path), 3)
    two = taken_up(file(tmp_path), legs)
    assert (two.resumed, two.w.core.calls) == ([], 3)
    assert two.seqs == {1: 71, 2: 72, 3: 73}  # whose records they have is known from the start
    bye, where = (legs[1].from_pbx("BYE"), UP) if by == "caller" else (legs[1].from_operator("BYE"), DOWN)
    out = two.w(bye, where)
    assert arrows(out) == ["down BYE" if by == "caller" else "up BYE"]
    assert [t for t, _ in two.resumed] == [2]
    two.w(reply(out[-1][1], 200), DOWN if by == "caller" else UP)
    assert [(t, e.outcome, e.by) for t, e in two.w.ended] == [(2, "answered", by)]
    assert two.w.core.calls == 2
    two.write()
    assert [k.key[1] for k in read(file(tmp_path))[0]] == [b"c0", b"c2"]


@pytest.mark.usefixtures("all_rest")
def test_what_rests_goes_on_by_itself_a_few_at_a_time(tmp_path: Path) -> None:
    legs = talking(file(tmp_path), 2 * SOME + 1)

    async def scene() -> None:
        two = taken_up(file(tmp_path), legs)
        two.keeper.start()
        went: list[int] = []
        while sum(went) < len(legs):
            before = len(two.resumed)
            await asyncio.sleep(0)
            went.append(len(two.resumed) - before)
        assert [n for n in went if n] == [SOME, SOME, 1]
        await asyncio.sleep(0)
        assert two.w.core._c.calls.resting is None  # nobody looks for them any more
        assert two.w.core.calls == two.keeper.counters["kept_revived"] == len(legs)
        await two.keeper.stop()
        two.w.later(SILENCE_WAIT / SECOND + 60)
        assert len(two.w.ended) == len(legs)

    run(scene)


@pytest.mark.usefixtures("all_rest")
def test_calls_that_the_guard_is_to_end_go_on_first(tmp_path: Path) -> None:
    """A call to a premium number that may talk for so long must not talk on because others are many."""
    one = Life(file(tmp_path))
    for name, seconds in ("a", 0), ("late", 900), ("soon", 300), ("b", 0):
        one.w.answer = Decision(verdict="allowed") if not seconds else replace(CAPPED, max_talk_us=seconds * SECOND)
        Leg(one.w, call_id=name, branch=name).up()
    one.write()
    two = Life(file(tmp_path))
    two.keeper._resting.some()
    assert [kept.key[1] for _, kept in two.resumed] == [b"soon", b"late", b"b", b"a"]


def test_where_few_were_up_all_go_on_before_anybody_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "AT_ONCE", 2)
    two = taken_up(file(tmp_path), talking(file(tmp_path), 3))
    assert [t for t, _ in two.resumed] == [1, 2]


@pytest.mark.usefixtures("all_rest")
def test_an_emergency_call_does_not_rest(tmp_path: Path) -> None:
    """What is said in it comes before all else, and for that it has to be known."""
    one = Life(file(tmp_path))
    Leg(one.w, call_id="sos", branch="s", uri="sip:112@127.0.0.1").up()
    Leg(one.w, call_id="c", branch="c").up()
    one.write()
    two = Life(file(tmp_path))
    assert [k.key[1] for _, k in two.resumed] == [b"sos"]
    assert two.w.core._c.calls.helping == {b"sos": 1}


@pytest.mark.usefixtures("all_rest")
def test_only_the_callers_own_calls_of_a_call_id_go_on(tmp_path: Path) -> None:
    """A Call-ID that two callers use: however many there are, a message costs one of them."""
    one = Life(file(tmp_path))
    Leg(one.w, call_id="same", branch="a", tag="a1").answer(200)
    Leg(one.w, call_id="same", branch="b", tag="b1").answer(200)
    one.write()
    two = Life(file(tmp_path))
    two.w(request("BYE", "sip:127.0.0.3:5060", tag="b1", to_tag="z9", call_id="same", cseq=2, branch="bye"), UP)
    assert [t for t, _ in two.resumed] == [2]
    assert two.w.core.calls == 2


@pytest.mark.usefixtures("all_rest")
def test_calls_of_one_caller_under_one_call_id_go_on_a_few_at_a_time_too(tmp_path: Path) -> None:
    path = file(tmp_path)
    (line,) = lines(tmp_path, 1)
    write(path, [line.replace(b'"n":1', b'"n":%d' % n) for n in range(2 * SOME + 1)])
    life = Life(path)
    found = [len(life.resumed)]
    for _ in range(4):
        life.keeper._resting.some()
        found.append(len(life.resumed))
    assert found == [0, SOME, 2 * SOME, 2 * SOME + 1, 2 * SOME + 1]
    assert (len(life.keeper._resting), life.w.core.calls) == (0, 2 * SOME + 1)


@pytest.mark.usefixtures("all_rest")
def test_a_call_that_was_answered_while_an_older_one_of_its_name_rested_stays_the_one_that_is_heard_of(
    tmp_path: Path,
) -> None:
    legs = talking(file(tmp_path), 1)
    two = taken_up(file(tmp_path), legs)
    Leg(two.w, call_id="c0", branch="again").up()
    two.keeper._resting.some()
    assert two.w.core.calls == 2
    two.w(reply(two.w(legs[0].from_pbx("BYE"), UP)[-1][1], 200), DOWN)
    assert [t for t, _ in two.w.ended] == [2]


@pytest.mark.usefixtures("all_rest")
def test_a_fault_of_ours_in_one_call_keeps_no_other_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = taken_up(file(tmp_path), talking(file(tmp_path), 3))
    revive, tried = two.w.core.revive, list[int]()

    def faulty(kept: KeptCall, ticket: int, now: int) -> None:
        tried.append(ticket)
        if ticket == 2:
            raise RuntimeError("of ours")
        revive(kept, ticket, now)

    monkeypatch.setattr(two.keeper, "_core", SimpleNamespace(revive=faulty))
    two.keeper._resting.some()
    assert (sorted(tried), [str(e) for e in two.faults]) == ([1, 2, 3], ["of ours"])
    assert (two.w.core.calls, len(two.keeper._resting)) == (2, 0)


@pytest.mark.usefixtures("all_rest")
def test_a_guard_that_shares_its_counters_takes_all_up_at_once(tmp_path: Path) -> None:
    talking(file(tmp_path), 3)
    w, resumed = World(), list[int]()
    keeper = Keeper(file(tmp_path), w.core, Turner(w), lambda _: 0)
    keeper.load(lambda calls: ["open"] * len(calls), nothing, lambda t, _: resumed.append(t), rest=False)
    assert resumed == [1, 2, 3]
    assert w.core._c.calls.resting is None


@pytest.mark.usefixtures("all_rest")
def test_a_call_that_comes_again_while_the_old_one_rests_is_joined_as_ever(tmp_path: Path) -> None:
    legs = talking(file(tmp_path), 1)
    two = taken_up(file(tmp_path), legs)
    again = Leg(two.w, call_id="c0", branch="again")
    two.w(legs[0].from_pbx("INFO"), UP)  # the old one goes on meanwhile
    assert [t for t, _ in two.resumed] == [1]
    again.answer(407)
    two.w(request(call_id="c0", branch="with", cseq=2), UP)
    assert len(two.w.asked) == 1  # with credentials: the same attempt


@pytest.mark.usefixtures("all_rest")
def test_a_line_that_says_no_call_after_all_costs_itself_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = file(tmp_path)
    one, two = lines(tmp_path, 2)
    write(path, [one.replace(b'"opened_at":', b'"opened_at":"soon","x":'), two])

    async def scene() -> None:
        life = Life(path)
        assert life.w.core.calls == 2  # so far as anybody has read
        life.keeper.start()
        while life.w.core._c.calls.resting is not None:
            await asyncio.sleep(0)
        assert (len(life.resumed), life.w.core.calls) == (1, 1)
        assert life.keeper.counters["kept_unreadable"] == 1
        assert "cannot be read, and do not go on: 1" in caplog.text
        await life.keeper.stop()
        assert [k.key[1] for k in read(path)[0]] == [b"c1"]
        assert life.faults == []

    run(scene)


@pytest.mark.usefixtures("all_rest")
def test_a_guard_that_stops_while_calls_rest_leaves_them_to_the_next(tmp_path: Path) -> None:
    legs = talking(file(tmp_path), 3)

    async def scene() -> None:
        life = taken_up(file(tmp_path), legs)
        life.w(legs[0].from_pbx("INFO"), UP)
        life.keeper.start()
        await life.keeper.stop()

    run(scene)
    assert {k.key[1] for k in read(file(tmp_path))[0]} == {b"c0", b"c1", b"c2"}


def test_a_file_that_cannot_be_made_at_the_start_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of the life before are not those of this one: one file of both would end the wrong calls."""
    path = file(tmp_path)
    legs = talking(path, 3)
    legs[0].bye()
    with monkeypatch.context() as m:

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        m.setattr(keeping, "write", full)
        two = taken_up(path, legs)
        two.write()
    Leg(two.w, call_id="new", branch="new").up()
    two.write()
    assert [k.key[1] for k in read(path)[0]] == [b"c0", b"c1", b"c2", b"new"]
    legs[1].bye()
    two.write()
    assert [k.key[1] for k in read(path)[0]] == [b"c0", b"c2", b"new"]


# ---- what the log knows ----------------------------------------------------------------------------------------------


def test_the_log_is_asked_for_all_calls_at_once() -> None:
    asked: list[list[int]] = []

    class Log:
        def standing(self, seqs: Sequence[int], /) -> dict[int, tuple[str, bool]]:
            asked.append(list(seqs))
            return {1: ("a", False), 2: ("b", True), 3: ("other", False)}

    calls = [Whose(seq, ("pbx", b"x", b"y"), Named(name)) for seq, name in ((1, "a"), (2, "b"), (3, "c"), (0, "d"))]
    assert standing(Log(), calls) == ["open", "over", "unknown", "unknown"]
    assert asked == [[1, 2, 3]]


# ---- the file --------------------------------------------------------------------------------------------------------


def lines(folder: Path, calls: int) -> list[bytes]:
    w = World()
    out = []
    for n in range(calls):
        Leg(w, call_id=f"c{n}", branch=f"b{n}").up()
        call = w.core._c.calls.get(n + 1)
        assert call is not None
        out.append(callsfile.line_of(n + 1, keep(call, n + 1, WALL)))
    return out


def test_the_last_line_of_a_call_counts(tmp_path: Path) -> None:
    path = file(tmp_path)
    one, two, three = lines(tmp_path, 3)
    write(path, [one, two])
    add(path, [three, b'{"n":2}\n', one])
    assert [k.key[1] for k in read(path)[0]] == [b"c0", b"c2"]
    assert renew(path) == path.stat().st_size
    assert sorted(json.loads(line)["n"] for line in path.read_text().splitlines()) == [1, 3]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "bad", [b"{", b'{"n":1,"call":{"seq"', b"\xff\xfe", b"[]", b'{"n":9,"version":2}', b"[" * 5000, b'{"n":"x"}']
)
def test_what_cannot_be_read_costs_itself_alone(tmp_path: Path, bad: bytes) -> None:
    path = file(tmp_path)
    one, two = lines(tmp_path, 2)
    path.write_bytes(one + bad)  # as a kill leaves it
    add(path, [two])
    calls, unreadable = read(path)
    assert [k.key[1] for k in calls] == [b"c0", b"c1"]
    assert unreadable == 1
    life = Life(path)
    assert len(life.resumed) == 2
    assert life.keeper.counters["kept_unreadable"] == 1


def test_a_line_without_end_fills_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callsfile, "MAX_LINE", 4096)
    path = file(tmp_path)
    (one,) = lines(tmp_path, 1)
    path.write_bytes(b"x" * 10_000 + b"\n" + one)
    calls, unreadable = read(path)
    assert (len(calls), unreadable) == (1, 3)


def test_no_file_is_no_calls(tmp_path: Path) -> None:
    assert read(file(tmp_path)) == ([], 0)


def test_a_file_that_grew_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callsfile, "GROWN", 20_000)
    life = Life(file(tmp_path))
    life.keeper._limit = 20_000
    for n in range(60):
        Leg(life.w, call_id=f"c{n}", branch=f"b{n}").up()
        life.write()
        leg = Leg(life.w, call_id=f"d{n}", branch=f"d{n}").up()
        life.write()
        leg.bye()
        life.write()
        size = file(tmp_path).stat().st_size
        assert size <= life.keeper._limit + 2_000
    assert len(read(file(tmp_path))[0]) == 60


def test_a_file_of_many_calls_is_not_made_anew_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read and written to make it anew stays in proportion to what is added, however many calls are up."""
    monkeypatch.setattr(callsfile, "GROWN", 4_000)
    copied = 0

    def counted(path: Path) -> int:
        nonlocal copied
        copied += path.stat().st_size
        return renew(path)

    monkeypatch.setattr(keeping, "renew", counted)
    path = file(tmp_path)
    life = Life(path)
    for n in range(100):
        Leg(life.w, call_id=f"c{n}", branch=f"b{n}").up()
        life.write()
    life.write()
    later = Life(path)  # and from the start on, where so many go on
    for n in range(100):
        Leg(later.w, call_id=f"d{n}", branch=f"d{n}").up()
        later.write()
    assert copied <= 4 * path.stat().st_size
    assert len(read(path)[0]) == 200


def test_to_make_it_anew_lets_calls_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(callsfile, "sleep", pauses.append)
    path = file(tmp_path)
    (one,) = lines(tmp_path, 1)
    write(path, [one.replace(b'"n":1', b'"n":%d' % n) for n in range(10 * callsfile.POLITE)])
    renew(path)
    assert pauses == [PAUSE] * 20  # it is read twice
    assert len(read(path)[0]) == 10 * callsfile.POLITE


def test_its_thread_takes_the_core_from_nobody(tmp_path: Path) -> None:
    life = Life(file(tmp_path))
    assert life.keeper._thread.submit(os.sched_getscheduler, 0).result() == os.SCHED_BATCH


def test_a_disk_that_takes_nothing_costs_no_call_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(file(tmp_path))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(keeping, "add", full)
        for n in range(3):
            Leg(life.w, call_id=f"c{n}", branch=f"b{n}").up()
            life.write()
    assert caplog.text.count("No space left on device") == 1
    assert life.keeper.counters["kept_errors"] == 3
    life.write()  # what waited goes with the next
    assert len(read(file(tmp_path))[0]) == 3
    monkeypatch.setattr(keeping, "add", full)
    monkeypatch.setattr(keeping, "MAX_PENDING", 3_000)
    for n in range(9):
        Leg(life.w, call_id=f"e{n}", branch=f"e{n}").up()
        life.write()
    assert sum(map(len, life.keeper._pending)) <= 3_000
    assert life.keeper.counters["kept_lost"] > 0
    assert life.faults == []


def test_a_file_that_may_not_be_read_keeps_no_guard_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file(tmp_path).mkdir()
    life = Life(file(tmp_path))
    assert life.resumed == []
    assert "calls that are up would not outlast a restart" in caplog.text


def test_a_call_whose_channel_cannot_be_had_goes_on(tmp_path: Path) -> None:
    one = Life(file(tmp_path))
    Leg(one.w).up()
    one.write()
    w = World()
    driver = Turner(w)
    keeper = Keeper(file(tmp_path), w.core, driver, lambda _: 71)

    def resume(ticket: int, kept: KeptCall) -> None:
        raise RuntimeError(f"{ticket} {kept.seq}")

    keeper.load(lambda calls: ["open"] * len(calls), nothing, resume)
    assert [str(e) for e in driver.faults] == ["1 71"]
    assert w.core.calls == 1


def test_it_is_written_every_second_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "EVERY", 0.01)

    async def scene() -> None:
        life = Life(file(tmp_path))
        life.keeper.start()
        leg = Leg(life.w).up()
        while not read(file(tmp_path))[0]:
            await asyncio.sleep(0.01)
        leg.bye()
        Leg(life.w, call_id="c2", branch="c2").up()
        await life.keeper.stop()
        assert [k.key[1] for k in read(file(tmp_path))[0]] == [b"c2"]
        assert b'{"n":1}' not in file(tmp_path).read_bytes()  # and nothing of what is over

    run(scene)


def test_messages_have_their_turn_while_many_calls_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY", 0.01)
    looked: list[int] = []  # how many calls before each turn of the loop

    async def scene() -> None:
        life = Life(file(tmp_path))
        for n in range(3 * SLICE + 1):
            Leg(life.w, call_id=f"c{n}", branch=f"b{n}").up()
        life.keeper.start()
        while sum(looked) < 3 * SLICE + 1:
            before = life.keeper.counters["kept_calls"]
            await asyncio.sleep(0)
            looked.append(life.keeper.counters["kept_calls"] - before)
        await life.keeper.stop()
        assert [n for n in looked if n] == [SLICE, SLICE, SLICE, 1]
        assert len(read(file(tmp_path))[0]) == 3 * SLICE + 1

    run(scene)


def test_where_each_turn_brings_more_calls_they_are_written_down_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY", 0.01)
    monkeypatch.setattr(keeping, "SLICES", 2)

    async def scene() -> None:
        life = Life(file(tmp_path))
        for n in range(SLICE):
            Leg(life.w, call_id=f"c{n}", branch=f"b{n}").up()
        gather = life.keeper._gather
        monkeypatch.setattr(life.keeper, "_gather", lambda most: gather(most) or most)  # it never ends
        life.keeper.start()
        while not read(file(tmp_path))[0]:
            await asyncio.sleep(0.01)
        monkeypatch.setattr(life.keeper, "_gather", gather)
        await life.keeper.stop()
        assert len(read(file(tmp_path))[0]) == SLICE

    run(scene)


def test_what_is_over_goes_within_the_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "EVERY", 0.01)
    monkeypatch.setattr(keeping, "HOUR", 0.03)

    async def scene() -> None:
        life = Life(file(tmp_path))
        life.keeper.start()
        leg = Leg(life.w).up()
        while not file(tmp_path).stat().st_size:
            await asyncio.sleep(0.01)
        leg.bye()
        while file(tmp_path).stat().st_size:
            await asyncio.sleep(0.01)
        Leg(life.w, call_id="c2", branch="c2").up()
        while b"c2" not in file(tmp_path).read_bytes():
            await asyncio.sleep(0.01)
        await life.keeper.stop()
        assert life.faults == []

    run(scene)


def test_a_core_whose_calls_nobody_keeps_remembers_none() -> None:
    w = World()
    Leg(w).up().bye()
    assert isinstance(w.core, ProxyCore)
    assert w.core.changed() == {}
