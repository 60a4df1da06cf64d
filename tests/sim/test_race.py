"""The race: every proxy carries every call of a tiny round, and what is told of it is reckoned right."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import xml.etree.ElementTree as Tree
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from guard.capture.messages import Captured, Messages
from guard.proxy.effects import Flow
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from sim.__main__ import main
from sim.labelled.words import SimError
from sim.race import large as places
from sim.race import machine
from sim.race.captures import captured, dissected
from sim.race.command import PAGE, kept, settling
from sim.race.forwarder import Forwarder
from sim.race.kamailio import complete
from sim.race.large import Large, large, place
from sim.race.load import Ends, Ports, Went, evenly, interpreter, people
from sim.race.machine import Cores, taken
from sim.race.pages import page, plot
from sim.race.proxies import ROOT, Proxy, Running, compiled_modules, proxies
from sim.race.results import Build, Result, Row, Stamp, joined
from sim.race.rounds import LOWER, SEARCH, Course, Round, levels, settled, share, turns
from sim.race.wire import added, may_capture
from sim.site import OPERATOR
from tests.live.world import need

RATE, SECONDS = 40.0, 0.5
TITLES = [p.title for p in proxies(ROOT)]


@pytest.mark.live
def test_every_proxy_carries_every_call(tmp_path: Path) -> None:
    for program, package in (("kamailio", "kamailio"), ("sipp", "sip-tester"), ("redis-server", "redis-server")):
        need(program, package)
    if not complete():
        pytest.fail("Kamailio's SQLite is missing: sudo apt-get install kamailio-sqlite-modules", pytrace=False)
    own = Cores(proxy=0, ends=0)
    course = Course(tmp_path, own, tapped=not may_capture(tmp_path, own.ends), warm=0.1, even=evenly(tmp_path))
    told: list[str] = []
    rounds = turns(course, proxies(ROOT), RATE, SECONDS, 1, told.append)  # ROOT stands for the compiled one's folder
    assert [(r.key, r.completed, r.lost) for r in rounds] == [(p.key, 20, 0) for p in proxies(ROOT)]
    assert len(told) == len(rounds)
    assert all(r.memory > 0 and r.ready_ms > 0 for r in rounds if r.key != "direct")
    if course.tapped:
        assert all(0 < r.added[0] <= r.added[1] <= r.added[2] for r in rounds if r.key != "direct")
    text = page(result([Row(p.key, p.title, [r], 0, [], None) for p, r in zip(proxies(ROOT), rounds, strict=True)]))
    assert [t for t in TITLES if f"| {t} |" not in text] == []


@pytest.mark.live
def test_a_kamailio_without_memory_is_no_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its default of 64 MB is full after some seconds at 400 calls a second; 8 are full after some hundred calls."""
    need("kamailio", "kamailio")
    need("sipp", "sip-tester")
    monkeypatch.setattr("sim.race.kamailio.SHARED", 8)
    proxy = next(p for p in proxies(ROOT) if p.key == "kamailio")
    with pytest.raises(SimError, match=r"too little memory: .*mem"):
        Course(tmp_path, Cores(0, 0), tapped=False, warm=0.1).round(proxy, 400, 2)


def one(key: str = "guard", cpu: float = 500, **more: object) -> Round:
    found = Round(
        key=key, rate=500, asked=100, completed=100, retransmitted=0, cpu_us=cpu, ends_us=100, added=(0.2, 0.5, 1.0),
        memory=50 * 1024, ready_ms=250, elsewhere=0.0, load=(0.1, 0.2),
    )  # fmt: skip
    return replace(found, **more)


def result(rows: list[Row], **more: object) -> Result:
    found = Result(
        command="python -m sim race", versions="all", cores=Cores(0, 1), rate=500, seconds=5, hold=4, calls=2000,
        hindered="", rows=rows, builds=[Build("interpreted", 20_000, 1.5)], compiled=0,
        replays={"guard replay, interpreted": (40_000, 9_000.0), "tshark, four fields": (10_000, 600.0)},
    )  # fmt: skip
    return replace(found, **more)


def test_ratios_are_over_kamailio_with_rules_and_medians_are_of_rounds() -> None:
    rows = [
        Row("kamailio-rules", "Kamailio", [one("kamailio-rules", c) for c in (300, 900, 400)], 900.4, [], 20.0),
        Row("guard", "guard", [one(cpu=c) for c in (100, 200, 5000)], 1500, [(0.1, 0.2, 0.3)] * 3, 31.25),
    ]
    text = page(result(rows))
    assert "| Kamailio | **1.00** | 400 | 300 · 400 · 900 | 0 | 900 |" in text
    assert "| guard | **0.50** | 200 | 100 · 200 · 5000 | 0 | 1500 |" in text
    assert "| guard | 0.20 · 0.50 · 1.00 | 0.10 · 0.20 · 0.30 | 0.10 · 0.20 · 0.30 | 0.10 · 0.20 · 0.30 |" in text
    assert "| guard | 50 | 31.2 | 250 |" in text
    assert "| guard replay, interpreted | 15.0 | 9000 | 40000 |" in text
    assert "| tshark, four fields | 1.0 | 600 | 10000 |" in text
    assert "Warning" not in text
    drawn = Tree.fromstring(plot(result(rows)))
    assert "200 µs, × 0.50" in "".join(drawn.itertext())


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        ([one(elsewhere=0.3)], {}, "Warning: other work was running"),
        ([one("guard-compiled")], {}, "without any compiled module"),
        ([one(completed=97)], {}, "| 3 |"),
        (
            [one(added=())],
            {"hindered": "dumpcap does not capture:\nno right"},
            "Not measured: dumpcap does not capture: no",
        ),
        ([one()], {"cores": Cores(0, 0)}, "Proxy and sipps on one core"),
    ],
)
def test_what_makes_figures_doubtful_is_said(rows: list[Round], more: dict[str, object], said: str) -> None:
    assert said in page(result([Row(r.key, r.key, [r], 0, [], None) for r in rows], **more))


class Known(Course, frozen=True):
    """A course on which every proxy carries 1 000 calls a second and no more."""

    def _carries(self, proxy: Proxy, rate: float, hold: float) -> bool:
        return rate <= 1000


class Tiring(Course, frozen=True):
    """1 000 calls a second for a moment, 900 for longer."""

    def _carries(self, proxy: Proxy, rate: float, hold: float) -> bool:
        return rate <= (1000 if hold <= SEARCH else 900)


def test_what_a_moment_carries_is_held_for_as_long_as_is_asked(tmp_path: Path) -> None:
    found = Tiring(tmp_path, Cores(0, 0), tapped=False).highest(proxies(ROOT)[0], 1500, 60)
    assert 900 * LOWER < found <= 900


@pytest.mark.parametrize("expected", [900, 1500, 2500])
def test_the_search_ends_just_below_what_is_carried(tmp_path: Path, expected: float) -> None:
    found = Known(tmp_path, Cores(0, 0), tapped=False).highest(proxies(ROOT)[0], expected, 1)
    assert 1000 / 1.16 < found <= 1000


def test_nothing_is_the_highest_rate_of_who_carries_nothing(tmp_path: Path) -> None:
    assert Known(tmp_path, Cores(0, 0), tapped=False).highest(proxies(ROOT)[0], 1e9, 1) == 0


class Adding(Course, frozen=True):
    """Adds more in every round."""

    def levels(self, proxy: Proxy, highest: float, seconds: float) -> list[tuple[float, ...]]:
        rounds = self.folder / "rounds"
        n = len(rounds.read_text()) + 1 if rounds.exists() else 1
        rounds.write_text("x" * n)
        return [(n * 1.0, 2.0, 3.0), (highest, 5.0, 6.0), (7.0, 8.0, 9.0)]

    def settled(self, proxy: Proxy, highest: float, seconds: float) -> tuple[float, ...]:
        return self.levels(proxy, highest, seconds)[0]


def test_added_times_at_levels_are_medians_of_rounds_in_turns(tmp_path: Path) -> None:
    racers, told = [proxies(ROOT)[4], proxies(ROOT)[0], proxies(ROOT)[5]], list[str]()
    found = levels(
        Adding(tmp_path, Cores(0, 0), tapped=True), racers, {"guard": 700.0, "direct": 9.0}, 1, 3, told.append
    )
    assert found == {"guard": [(2.0, 2.0, 3.0), (700.0, 5.0, 6.0), (7.0, 8.0, 9.0)]}
    assert len(told) == 3


def test_once_they_have_settled_it_is_medians_too(tmp_path: Path) -> None:
    racers, told = [proxies(ROOT)[0], proxies(ROOT)[4], proxies(ROOT)[5]], list[str]()
    course = Adding(tmp_path, Cores(0, 0), tapped=True)
    assert settled(course, racers, {"guard": 700.0}, 1, 3, told.append) == {"guard": (2.0, 2.0, 3.0)}
    assert len(told) == 3
    row = Row("guard", "guard", [one()], 700, [], None, [], (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    text = page(joined(result([row]), result([Row("guard", "guard", [], 0, [], None)])))
    assert "| – | – | – | 0.10 · 0.20 · 0.30 | 0.40 · 0.50 · 0.60 |" in text


def test_of_all_proxies_those_settle_that_are_compared_and_else_who_is_asked_for() -> None:
    every = proxies(ROOT)
    assert [p.key for p in settling(every, "")] == ["kamailio-rules", "guard-compiled"]
    assert settling(every[:2], "direct,forwarder") == list(every[:2])


def stamp(part: str, who: str, commit: str) -> Stamp:
    return Stamp(part, who, commit, "2026-11-21 18:40 UTC", (0.1, 0.2), f"python -m sim race --parts {part}")


def test_parts_measured_apart_stand_on_one_page() -> None:
    first = result(
        [Row("guard", "guard", [one(cpu=300)], 0, [], None), Row("kamailio-rules", "K", [one(cpu=100)], 0, [], None)],
        stamps=[stamp("calls", "guard,kamailio-rules", "aaa")], builds=[], replays={},
    )  # fmt: skip
    most = result([Row("guard", "guard", [], 1234, [], None)], builds=[], replays={}, hold=60, rate=1)
    found = joined(first, replace(most, stamps=[stamp("most", "guard", "bbb")]))
    again = result([Row("guard", "guard", [one(cpu=150)], 0, [], None)], builds=[], replays={}, log="| a page |")
    found = joined(found, replace(again, stamps=[stamp("calls", "guard", "ccc"), stamp("log", "guard", "ccc")]))
    text = page(msgspec.json.decode(msgspec.json.encode(found), type=Result))
    assert "| guard | of another hour | 150 | 150 | 0 | 1234 |" in text  # than the 100 of Kamailio
    assert ">150 µs, of another hour</text>" in plot(found)
    assert "none was lost within 60 s" in text
    assert "| a page |" in text
    assert [(s.part, s.who, s.commit) for s in found.stamps] == [
        ("calls", "guard,kamailio-rules", "aaa"), ("most", "guard", "bbb"), ("calls", "guard", "ccc"),
        ("log", "guard", "ccc"),
    ]  # fmt: skip
    assert "| calls | guard, kamailio-rules | aaa | 2026-11-21 18:40 UTC | 0.1, 0.2 | `python" in text
    whole = joined(found, replace(first, stamps=[stamp("calls", "guard,kamailio-rules", "ddd")]))
    assert [s.commit for s in whole.stamps if s.part == "calls"] == ["ddd"]
    assert "| guard | **3.00** | 300 | 300 | 0 | 1234 |" in page(whole)
    assert ">300 µs, × 3.00</text>" in plot(whole)


@pytest.mark.live
def test_a_guard_that_knows_many_lines_carries_many_calls_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("sipp", "sip-tester")
    monkeypatch.setattr(places, "SETTLED", 1.0)
    monkeypatch.setattr(places, "PLACES", ((500, 4), (1_000, 80)))
    course = Course(tmp_path, Cores(proxy=0, ends=0), tapped=False)
    guard = next(p for p in proxies(ROOT) if p.key == "guard-compiled")  # ROOT stands for its folder
    told: list[str] = []
    found = large(course, guard, 40, 1, 2, told.append)
    assert [(one.lines, one.at_once, len(one.us), one.failed) for one in found] == [(500, 4, 2, 0), (1_000, 80, 2, 0)]
    assert all(us > 0 for one in found for us in one.us)
    assert len(told) == 4
    with SqliteReader(str(tmp_path / "guard-compiled" / "guard.db")) as reader:
        callers = {record.caller for record in reader.records(Query(all=True))}
    assert sum(caller.startswith("+3317") for caller in callers) >= 150  # each another line


def test_who_knows_no_lines_has_no_large_site(tmp_path: Path) -> None:
    course = Course(tmp_path, Cores(proxy=0, ends=0), tapped=False)
    with pytest.raises(SimError, match="Kamailio: tm, rr, dialog knows no lines"):
        place(course, next(p for p in proxies(ROOT) if p.key == "kamailio"), 40, 1, 10, 10)


def test_a_large_sites_ratio_is_that_of_the_same_round() -> None:
    site = [Large(20_000, 10, [100, 200, 400], 0, 60.0), Large(1_000_000, 50_000, [110, 210, 800], 3, 1_200.4)]
    text = page(result([Row("guard-compiled", "the guard, compiled", [], 0, [], None, large=site)]))
    assert "| the guard, compiled | 20 000 | 10 | **1.00** | 200 | 100 · 200 · 400 | 0 | 60 |" in text
    assert "| the guard, compiled | 1 000 000 | 50 000 | **1.10** | 210 | 110 · 210 · 800 | 3 | 1200 |" in text


def test_cores_are_kept_awake_for_as_long_as_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "cpu_dma_latency"
    monkeypatch.setattr(machine, "LATENCY", asked)
    with machine.awake():
        assert asked.read_bytes() == bytes(4)
    monkeypatch.setattr(machine, "LATENCY", tmp_path)
    with pytest.raises(OSError, match="directory"), machine.awake():
        pass


def test_rounds_with_cores_awake_have_a_table_of_their_own() -> None:
    slept = result([Row("guard", "guard", [one(cpu=300)], 0, [], None), Row("kamailio-rules", "K", [], 0, [], None)])
    assert "do not sleep" not in page(slept)
    rows = [
        Row("guard", "guard", [], 0, [], None, [one(cpu=80)]),
        Row("kamailio-rules", "K", [], 0, [], None, [one(cpu=100)]),
    ]
    text = page(joined(slept, result(rows, stamps=[stamp("awake", "guard,kamailio-rules", "eee")])))
    assert "| guard | – | 300 | 300 |" in text
    assert "| guard | **0.80** | 80 | 80 | 0 |" in text


def test_a_compiled_guard_runs_under_the_python_of_its_package(tmp_path: Path) -> None:
    assert interpreter(tmp_path) == sys.executable
    (tmp_path / "x__mypyc.cpython.so").touch()
    packaged = f"/usr/bin/python3.{sys.version_info.minor}"
    assert interpreter(tmp_path) == (packaged if os.access(packaged, os.X_OK) else sys.executable)


def test_sipp_has_the_fine_clock_while_its_calls_are_stamped(tmp_path: Path) -> None:
    library = evenly(tmp_path)
    assert library, "no C compiler: sudo apt-get install gcc"
    words = [
        sys.executable,
        "-c",
        "import time; print({time.clock_gettime_ns(6) % 1_000_000 for _ in range(9)}.__len__())",
    ]
    told = [
        subprocess.run(words, env={**os.environ, **more}, capture_output=True, check=True).stdout
        for more in ({"LD_PRELOAD": library}, {"LD_PRELOAD": ""})
    ]
    assert int(told[0]) == 9
    assert int(told[1]) < 9, "the coarse one ticks every few milliseconds"
    assert "one by one" in page(result([Row("guard", "guard", [one()], 0, [], None)], even=True))
    assert "one upon the other" in page(result([Row("guard", "guard", [one()], 0, [], None)]))


def test_calls_that_are_due_together_leave_one_by_one(tmp_path: Path) -> None:
    """All of them, as they were; what is no INVITE does not wait behind them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((OPERATOR, 0))
        peer.settimeout(10)
        text = (
            "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); to = "
            f"('{OPERATOR}', {peer.getsockname()[1]}); "
            "[s.sendto(b'INVITE %d' % n + bytes(3000), to) for n in range(3)]; s.sendto(b'BYE', to); time.sleep(1)"
        )
        env = {**os.environ, "LD_PRELOAD": evenly(tmp_path), "EVENLY_US": "200000"}
        subprocess.run([sys.executable, "-c", text], env=env, check=True)
        heard = [peer.recv(65_535) for _ in range(4)]
    assert heard.index(b"BYE") < 2
    heard.remove(b"BYE")
    assert heard == [b"INVITE %d" % n + bytes(3000) for n in range(3)]


def test_a_page_of_one_part_says_nothing_of_the_others() -> None:
    text = page(result([Row("guard", "guard", [], 0, [], None)], stamps=[stamp("alone", "guard", "aaa")]))
    assert "| guard | – | – | – | – | – |" in text
    assert "| interpreted | 20000 | 1.50 |" in text
    assert "Load (one minute)" not in text


def test_what_was_kept_and_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert kept(tmp_path / "none.json") is None
    (tmp_path / "odd.json").write_text('{"rows": 5}')
    with pytest.raises(SimError, match=r"odd.json: .*take it away"):
        kept(tmp_path / "odd.json")


def test_tshark_counts_as_far_as_it_came(tmp_path: Path) -> None:
    need("tshark", "tshark")
    path, count = captured(tmp_path, 5)
    assert dissected(path, count, 0).packets == count
    assert dissected(path, count, 0, 0.01).packets < count


def test_what_is_added_is_the_way_of_the_first_invite_and_the_first_200() -> None:
    def seen() -> Iterator[Captured]:
        before, behind = ("127.0.0.2", 1), ("127.0.0.3", 1)
        guard = ("127.0.0.1", 1)
        for call, answered in (("a", True), ("b", False)):
            head = f"\r\nCall-ID: {call}\r\nCSeq: 1 ".encode()
            yield b"INVITE x SIP/2.0" + head + b"INVITE\r\n\r\n", Flow("udp", guard, before), 1_000
            yield b"INVITE x SIP/2.0" + head + b"INVITE\r\n\r\n", Flow("udp", behind, guard), 1_300
            yield b"INVITE x SIP/2.0" + head + b"INVITE\r\n\r\n", Flow("udp", guard, before), 501_000
            if answered:
                yield b"SIP/2.0 200 OK" + head + b"INVITE\r\n\r\n", Flow("udp", guard, behind), 2_000
                yield b"SIP/2.0 200 OK" + head + b"INVITE\r\n\r\n", Flow("udp", before, guard), 2_100
                yield b"SIP/2.0 200 OK" + head + b"BYE\r\n\r\n", Flow("udp", guard, behind), 9_000

    assert added(seen()) == [0.4]


def test_shares() -> None:
    values = [float(n) for n in range(1000)]
    assert [share(values, of) for of in (0.5, 0.99, 0.999)] == [500, 990, 999]
    assert share([], 0.5) == 0


def test_no_callee_is_called_twice_in_a_race(tmp_path: Path) -> None:
    rows = people(tmp_path / "people.csv", 0, 5000).read_text().splitlines()
    assert rows[0] == "SEQUENTIAL"
    assert len({row.split(";")[2] for row in rows[1:]}) == 5000


def test_in_the_capture_that_is_read_every_call_has_its_descriptions(tmp_path: Path) -> None:
    path, count = captured(tmp_path, 5)
    seen = [data for data, _, _ in Messages([path])]
    assert len(seen) == count > 100
    for data in seen:
        described = data.startswith(b"INVITE") or (data.startswith(b"SIP/2.0 200") and b"CSeq: 1 INVITE" in data)
        head, _, body = data.partition(b"\r\n\r\n")
        assert (body.startswith(b"v=0\r\n"), b"application/sdp" in head) == (described, described)
        assert f"Content-Length: {len(body)}".encode() in head


class Out(asyncio.DatagramTransport):
    """What a forwarder sends."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[object, object]] = []

    def sendto(self, data: object, addr: object = None) -> None:
        self.sent.append((data, addr))


def test_the_forwarder_splices_and_takes_away() -> None:
    caller, callee = ("127.0.0.2", 2), ("127.0.0.3", 3)
    out, forwarder = Out(), Forwarder(("127.0.0.1", 1), caller, callee)
    forwarder.connection_made(out)
    for _ in range(2):  # sent again, it leaves under the same branch
        forwarder.datagram_received(b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK7;x\r\n\r\n", caller)
        assert out.sent.pop() == (
            b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bK7.f\r\n"
            b"Record-Route: <sip:127.0.0.1:1;lr>\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK7;x\r\n\r\n",
            callee,
        )
    forwarder.datagram_received(b"SIP/2.0 200 OK\r\nVia: ours\r\nVia: SIP/2.0/UDP a\r\n\r\n", callee)
    assert out.sent.pop() == (b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\n\r\n", caller)
    bye = b"BYE sip:x SIP/2.0\r\nVia: a;branch=z8\r\nRoute: <sip:127.0.0.1:1;lr>\r\nTo: b\r\n\r\n"
    forwarder.datagram_received(bye, callee)
    assert out.sent.pop() == (
        b"BYE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z8.f\r\nVia: a;branch=z8\r\nTo: b\r\n\r\n",
        caller,
    )


def test_a_process_that_is_gone_has_taken_nothing() -> None:
    assert taken([2**22 + 1]) == taken([])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rounds", "0"], "--rounds 0"),
        (["--rate", "-1"], "--rate -1"),
        (["--compiled", "/nowhere"], "no guard in /nowhere: make build/compiled/.ready"),
        (["--compiled", str(ROOT), "--only", "asterisk"], 'nobody is called "asterisk"'),
        (["--compiled", str(ROOT), "--parts", "speed"], 'no part is called "speed"'),
        (["--compiled", str(ROOT), "--parts", "log"], "--parts log: its size is 0, or there is no --log"),
    ],
)
def test_wrong_words_are_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["race", *words]) == 1
    assert said in capsys.readouterr().err


def test_a_round_whose_records_are_short_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Still(Course, frozen=True):
        def call(self, running: Running, ends: Ends, first: int, even: str = "") -> Went:
            return Went(asked=ends.calls, completed=ends.calls, retransmitted=0, seconds=1, cpu=0)

    proxy = replace(proxies(ROOT)[0], recorded=lambda _: 5)
    with pytest.raises(SimError, match="40 calls, 5 in its records"):
        Still(tmp_path, Cores(0, 0), tapped=False).round(proxy, 20, 1)


def test_the_folder_of_the_sources_has_nothing_compiled() -> None:
    assert compiled_modules(ROOT) == 0
    assert Ports(0, 1, 2).direct
    assert PAGE.startswith("docs/")
