"""Kamailio behind the trunk and before the guard: proxies on the route, forks, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sim.ports import free_port
from sim.site import IPBX, OPERATOR
from tests.live.world import rules
from tests.peers.guarded import Guarded, between, guarded
from tests.peers.kamailio import BOTH, DOWN, Kamailio
from tests.peers.sipp import SDP, Callee, Caller, Script, Sipp, done
from tests.peers.test_sipp import ANSWERED, begins, end, hangs_up, talks

pytestmark = pytest.mark.live

FIRST, SECOND = "127.0.0.4", "127.0.0.5"  # who is called
PHONE = "127.0.0.6"  # behind the exchange


class Operated:
    """A guard whose trunk is Kamailio, and the ports of two callees behind it."""

    def __init__(self, guard: Guarded, first: int, second: int) -> None:
        self.guard, self.first, self.second = guard, first, second

    def caller(self, folder: Path, script: Script) -> Sipp:
        return Sipp(folder, script, IPBX, self.guard.site.pbx_port, to=self.guard.address)

    def callee(self, folder: Path, script: Script, host: str = FIRST) -> Sipp:
        return Sipp(folder, script, host, self.first if host == FIRST else self.second)


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    folder = tmp_path_factory.mktemp("operated")
    site = between(folder)
    first, second = free_port(FIRST), free_port(SECOND)
    operator = Kamailio(folder, OPERATOR, site.trunk_port, callee=f"{FIRST}:{first}", second=f"{SECOND}:{second}")
    with operator, guarded(folder, site, record="kamailio") as guard:
        yield Operated(guard, first, second)


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_a_call_along_both_routes(operated: Operated, tmp_path: Path, by: str) -> None:
    """Two Record-Routes; ACK and the BYE of either side find the other."""
    caller, callee = talks()
    if by == "caller":
        hangs_up(caller, callee)
    else:
        callee.pauses(100).sends("BYE").hears(200)
        caller.hears("BYE").replies(200)
    with operated.callee(tmp_path, callee) as answers, operated.caller(tmp_path, caller) as calls:
        done(calls, answers)
    record = operated.guard.record()
    assert end(record) == ANSWERED
    assert record["talk_ms"] > 0


def test_a_fork_to_two(operated: Operated, tmp_path: Path) -> None:
    """Both ring, one answers, the other is cancelled by Kamailio: one call, one record."""
    caller = Caller(callee=BOTH).sends("INVITE", body=SDP).hears(100).hears(180, fork=True).hears(180, fork=True)
    caller.hears(200).acks()
    callee = Callee().hears("INVITE").replies(180).pauses(300).replies(200, body=SDP).hears("ACK")
    hangs_up(caller, callee)
    other = Callee().hears("INVITE").replies(180).hears("CANCEL").replies(200).replies(487, first=True).hears("ACK")
    with ExitStack() as stack:
        answers = stack.enter_context(operated.callee(tmp_path, callee))
        rings = stack.enter_context(operated.callee(tmp_path, other, SECOND))
        calls = stack.enter_context(operated.caller(tmp_path, caller))
        done(calls, answers)
        rings.done()
    assert end(operated.guard.record()) == ANSWERED


def test_an_operator_that_is_down(operated: Operated, tmp_path: Path) -> None:
    """503 of the only hop: the caller hears 480 with the reason, so that it does not give the guard up."""
    caller = Caller(callee=DOWN).sends("INVITE", body=SDP).hears(100)
    caller.hears(480, check={"Reason": "503"}).acks()
    with operated.caller(tmp_path, caller) as calls:
        calls.done()
    assert end(operated.guard.record()) == ("allowed", "failed", 480)


def test_a_caller_gives_up_behind_two_proxies(operated: Operated, tmp_path: Path) -> None:
    caller, callee = begins()
    caller.pauses(100).sends("CANCEL").hears(200).hears(487).acks()
    callee.hears("CANCEL").replies(200).replies(487, first=True).hears("ACK")
    with operated.callee(tmp_path, callee) as answers, operated.caller(tmp_path, caller) as calls:
        done(calls, answers)
    assert end(operated.guard.record()) == ("allowed", "cancelled", 487)


def test_kamailio_as_the_exchange(operated: Operated, tmp_path: Path) -> None:
    """A phone, Kamailio, the guard, Kamailio, a phone: three proxies on the route, and each keeps its place."""
    site = operated.guard.site
    caller, callee = hangs_up(*talks())
    with (
        Kamailio(tmp_path, IPBX, site.pbx_port, callee=operated.guard.address),
        operated.callee(tmp_path, callee) as answers,
        Sipp(tmp_path, caller, PHONE, free_port(PHONE), to=f"{IPBX}:{site.pbx_port}") as calls,
    ):
        done(calls, answers)
    record = operated.guard.record()
    assert end(record) == ANSWERED
    assert record["source"] == "pbx"


def test_a_second_operator_takes_over(tmp_path: Path) -> None:
    """Two Kamailios: one goes, its calls go by the other; its OPTIONS are answered again, and it has its place back."""
    callee = free_port(FIRST)
    site = between(tmp_path)
    other = free_port(SECOND)
    site.next_hops = (f"sip:{OPERATOR}:{site.trunk_port}", f"sip:{SECOND}:{other}")
    site.trunk_more = "health = { every_s = 1, down_after = 1 }"
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    behind = f"{FIRST}:{callee}"

    def call(by: str) -> None:
        script = Callee().hears("INVITE", check={"Via": by}).replies(200, body=SDP).hears("ACK")
        caller, script = hangs_up(Caller().sends("INVITE", body=SDP).hears(100).hears(200).acks(), script)
        with (
            Sipp(tmp_path, script, FIRST, callee) as there,
            Sipp(tmp_path, caller, IPBX, site.pbx_port, to=f"127.0.0.1:{site.port}") as here,
        ):
            done(here, there)

    with Kamailio(folders[1], SECOND, other, callee=behind), guarded(tmp_path, site) as guard:
        with Kamailio(folders[0], OPERATOR, site.trunk_port, callee=behind):
            call(OPERATOR)
        call(SECOND)
        with Kamailio(folders[0], OPERATOR, site.trunk_port, callee=behind):
            guard.says("is up again")
            call(OPERATOR)
        assert [(*end(r), rules(r)) for r in guard.records(3)] == [(*ANSWERED, [])] * 3
