"""Real calls over loopback sockets: what the IPBX hears, what the operator sees, what the log says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from sim import site as s
from sim.ipbx import How, Ipbx
from sim.site import Site
from sim.trunk import BUSY, NO_ANSWER, Habit, busiest
from sim.wire import Sip
from tests.live.world import live, rules, run

pytestmark = pytest.mark.live

OURS = {"via", "record-route", "max-forwards"}  # the only lines that a proxy may touch
STRICT, MOVED, TALKER, ABSENT = "+33199000407", "+33199000302", "+33199007000", "+33199000480"


def line(n: int) -> How:
    return How(line=str(n))


def content(message: Sip) -> list[tuple[str, str]]:
    return [(n, v) for n, v in message.headers if n not in OURS]


@pytest.mark.parametrize(("near", "far"), [("udp", "udp"), ("udp", "tcp"), ("tcp", "udp"), ("tcp", "tcp")])
def test_an_allowed_call_goes_out_as_it_came(tmp_path: Path, near: str, far: str) -> None:
    def setup(site: Site) -> None:
        site.trunk_transport = far

    async def scene() -> None:
        async with live(tmp_path, setup=setup) as world:
            how = How(line="200", pai=s.ALICE, transport=near, headers=(("X-Odd", "kept: as, it is;"),))
            result = await world.pbx.call(s.ALICE, s.CUSTOMER, how)
            assert (result.status, result.rang, result.bye_status) == (200, True, 200)
            assert result.from_seen == result.from_sent
            (seen,) = world.trunk.seen
            assert seen.from_ == result.from_sent
            assert seen.message.get("x-odd") == "kept: as, it is;"
            record = await world.record(result.call_id)
            assert (record["verdict"], record["outcome"], record["final_status"]) == ("allowed", "answered", 200)
            assert (record["caller"], record["presented"], record["callee"]) == (s.ALICE, s.ALICE, s.CUSTOMER)
            assert (record["line"], record["source"], record["trunk"]) == ("200", "pbx", "operator")
            assert record["ring_ms"] >= 0
            assert record["talk_ms"] >= 0

    run(scene)


def test_the_operator_sees_the_mask_and_the_ipbx_its_own_number(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path, habits={TALKER: Habit(hang_up=0.1)}) as world:
            result = await world.pbx.call(
                s.PREMIUM, TALKER, How(line="200", pai=s.PREMIUM, rpid=s.PREMIUM, talk=None, display='"Hotline"')
            )
            assert result.status == 200
            (seen,) = world.trunk.seen
            assert s.PREMIUM[3:] not in seen.message.data.decode().replace(seen.message.get("contact"), "")
            assert s.MAIN in seen.from_
            assert s.MAIN in seen.pai
            assert s.MAIN in seen.message.get("remote-party-id")
            assert result.from_seen == result.from_sent
            assert s.PREMIUM in result.bye_to
            record = await world.record(result.call_id)
            assert (record["verdict"], record["caller"], record["presented"]) == ("masked", s.PREMIUM, s.MAIN)
            assert rules(record) == ["cli.premium"]

    run(scene)


def test_a_call_with_a_number_that_is_not_ours_is_refused_and_says_why(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            result = await world.pbx.call(s.FOREIGN, s.CUSTOMER, line(200))
            assert (result.status, result.rang) == (403, False)
            assert world.trunk.seen == []
            values = [v for r in result.reason for v in re.split(r",(?=(?:SIP|Q\.850);)", r)]
            assert all(len(v.encode()) < 128 for v in values)
            record = await world.record(result.call_id)
            assert any(v.startswith("SIP;cause=403") and f"cli.not-authorised #{record['seq']}" in v for v in values)
            assert any(v.startswith("Q.850;cause=21") for v in values)
            assert result.warning.startswith("399 ")
            assert "cli.not-authorised" in result.warning
            assert (record["verdict"], record["response"], record["outcome"]) == ("blocked", 403, "blocked")
            assert record["avoided_cents"] > 0
            assert record["accrued_cents"] == 0

    run(scene)


@pytest.mark.parametrize(
    ("caller", "how", "rule"),
    [
        (s.ALICE, How(line="801"), "cli.automated-range"),
        (s.MOBILE, How(line="801"), "cli.automated-mobile"),
        ("anonymous", How(line="601", pai=s.ALICE, privacy="id"), "cli.anonymous"),
        ("3949", How(line="200"), "cli.premium"),
        (s.FOREIGN, How(line="200", diversion=s.FOREIGN), "cli.not-authorised"),
        (s.ALICE, How(line="200", pai=s.FOREIGN), "cli.not-authorised"),
    ],
)
def test_each_rule_on_caller_numbers_refuses(tmp_path: Path, caller: str, how: How, rule: str) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            result = await world.pbx.call(caller, s.CUSTOMER, how)
            assert result.status == 403
            assert rule in rules(await world.record(result.call_id))
            assert world.trunk.seen == []

    run(scene)


def test_a_burst_waits_for_its_place_and_none_is_lost(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            results = await asyncio.gather(*(world.pbx.call(s.ALICE, s.CUSTOMER, line(300 + n)) for n in range(14)))
            assert [r.status for r in results] == [200] * 14
            assert busiest(c.at for c in world.trunk.news) == 10
            held = [r for r in await world.log(14) if r["held_ms"]]
            assert len(held) == 4
            assert all(900 <= r["held_ms"] <= 2000 and rules(r) == ["rate.cps"] for r in held)

    run(scene)


def test_what_finds_no_place_in_time_is_refused_with_a_time_to_call_again(tmp_path: Path) -> None:
    def setup(site: Site) -> None:
        site.hold_ms = 100

    async def scene() -> None:
        async with live(tmp_path, setup=setup) as world:
            results = await asyncio.gather(*(world.pbx.call(s.ALICE, s.CUSTOMER, line(300 + n)) for n in range(15)))
            refused = [r for r in results if r.status == 480]
            assert len(refused) == 5
            assert sum(r.status == 200 for r in results) == 10
            assert all(r.retry_after is not None and 1 <= r.retry_after <= 3 for r in refused)
            assert all("rate.cps" in r.warning for r in refused)
            blocked = {r["call_id"] for r in await world.log(15) if r["response"] == 480}
            assert blocked == {r.call_id for r in refused}

    run(scene)


def test_a_held_call_that_gives_up_never_leaves_and_takes_no_place(tmp_path: Path) -> None:
    def setup(site: Site) -> None:
        site.cps = 1

    async def scene() -> None:
        async with live(tmp_path, setup=setup) as world:
            first = await world.pbx.call(s.ALICE, s.CUSTOMER, line(300))
            waiting = world.pbx.place(s.ALICE, s.CUSTOMER, How(line="301", cancel_after=0.2))
            await asyncio.sleep(0.05)
            later = await world.pbx.call(s.ALICE, s.CUSTOMER, line(302))
            held = await waiting
            assert (first.status, later.status) == (200, 200)
            left = {c.call_id: c.at for c in world.trunk.news}
            # One second, as one call a second may leave: the place that the other had waited for, not the one after it.
            assert left[later.call_id] - left[first.call_id] < 1_950_000_000
            assert (held.status, held.rang) == (487, False)
            assert world.trunk.of(held.call_id) == []
            record = await world.record(held.call_id)
            assert (record["outcome"], record["final_status"]) == ("cancelled", 487)

    run(scene)


def test_a_call_that_is_asked_for_credentials_is_one_call(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path, habits={STRICT: Habit(challenge=True)}) as world:
            results = [await world.pbx.call(s.ALICE, STRICT, line(200)) for _ in range(6)]
            assert {(r.status, r.invites) for r in results} == {(200, 2)}
            log = await world.log(6)
            assert [r["call_id"] for r in log] == [r.call_id for r in results]
            assert not any(r["held_ms"] for r in log)  # twelve INVITEs, six calls: no place was taken twice
            assert {r["outcome"] for r in log} == {"answered"}

    run(scene)


def test_a_redirected_call_is_one_call(tmp_path: Path) -> None:
    async def scene() -> None:
        habits = {MOVED: Habit(moved_to=f"sip:{s.CUSTOMER}@operator.invalid")}
        async with live(tmp_path, habits=habits) as world:
            result = await world.pbx.call(s.ALICE, MOVED, line(200))
            assert (result.status, result.invites) == (200, 2)
            assert [c.called for c in world.trunk.seen] == [MOVED, s.CUSTOMER]
            record = await world.record(result.call_id)
            assert (record["callee"], record["outcome"]) == (MOVED, "answered")

    run(scene)


def test_a_doubled_invite_is_one_call(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            result = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200", copies=3))
            assert result.status == 200
            assert len(world.trunk.seen) == 1
            await world.record(result.call_id)

    run(scene)


def test_a_forwarded_call_keeps_its_callers_number(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            for how in (How(line="200", diversion=s.BOB), How(line="200", history=(s.BOB, s.CUSTOMER))):
                result = await world.pbx.call(s.FOREIGN, s.CUSTOMER, how)
                assert result.status == 200
                assert s.FOREIGN in world.trunk.of(result.call_id)[0].from_
                assert (await world.record(result.call_id))["verdict"] == "allowed"

    run(scene)


@pytest.mark.parametrize("dialled", ["112", "15", "00112", "+33112", "3651112", "urn:service:sos"])
def test_an_emergency_call_waits_for_nobody(tmp_path: Path, dialled: str) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            flood = [world.pbx.place(s.ALICE, s.CUSTOMER, line(300 + n)) for n in range(30)]
            await asyncio.sleep(0.2)
            result = await world.pbx.call("anonymous", dialled, How(line="200", talk=0.0))
            assert result.status == 200
            await asyncio.gather(*flood)
            left = [c.call_id for c in world.trunk.news]
            assert left.index(result.call_id) < len(left) - 5  # of those that had come before it
            record = await world.record(result.call_id)
            assert (record["verdict"], record["held_ms"]) == ("allowed", 0)
            assert rules(record) == ["dst.emergency"]
            assert busiest(c.at for c in world.trunk.news) <= 11  # its place is one more, and the others wait for it

    run(scene)


def test_monitor_mode_touches_no_byte(tmp_path: Path) -> None:
    def setup(site: Site) -> None:
        site.mode = "monitor"

    async def scene() -> None:
        async with live(tmp_path, setup=setup) as world:
            for caller, how in (
                (s.FOREIGN, How(line="200", display='"Ünï"')),
                (s.PREMIUM, How(line="200", pai=s.PREMIUM)),
                (s.ALICE, How(line="801")),
            ):
                result = await world.pbx.call(caller, s.CUSTOMER, how)
                assert result.status == 200
                (seen,) = world.trunk.of(result.call_id)
                assert content(seen.message)[0] == ("from", result.from_sent)
                record = await world.record(result.call_id)
                assert record["verdict"] == "flagged"
                assert record["presented"] == caller
                assert {f["mode"] for f in record["findings"]} == {"monitor"}
            results = await asyncio.gather(*(world.pbx.call(s.ALICE, s.CUSTOMER, line(300 + n)) for n in range(20)))
            assert {r.status for r in results} == {200}
            assert max(r.waited for r in results) < 1.0

    run(scene)


def test_one_monitored_rule_touches_no_byte(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            result = await world.pbx.call(s.MOBILE, s.CUSTOMER, line(200))
            assert result.status == 200
            (seen,) = world.trunk.seen
            assert seen.from_ == result.from_sent
            record = await world.record(result.call_id)
            assert [(f["rule"], f["mode"], f["action"]) for f in record["findings"]] == [
                ("cli.mobile-on-trunk", "monitor", "block")
            ]

    run(scene)


def test_a_stranger_gets_no_answer_but_a_record(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            stranger = Ipbx(world.pbx.guard, s.STRANGER)
            await stranger.start()
            result = await stranger.call("1000", "00441234567890", How(patience=0.4))
            await stranger.stop()
            assert result.status == 0
            assert stranger.counts.total() == 0
            assert world.trunk.seen == []
            record = await world.record(result.call_id)
            assert (record["verdict"], record["response"], rules(record)[0]) == ("blocked", None, "source.unknown")

    run(scene)


def test_channels_and_lines_have_their_limits(tmp_path: Path) -> None:
    def setup(site: Site) -> None:
        site.channels, site.line_calls = 3, 2

    async def scene() -> None:
        async with live(tmp_path, setup=setup) as world:
            long = [world.pbx.place(s.ALICE, s.CUSTOMER, How(line="200", talk=3.0)) for _ in range(2)]
            await asyncio.sleep(0.3)
            third = await world.pbx.call(s.ALICE, s.CUSTOMER, line(200))
            assert third.status == 480
            assert third.retry_after
            assert "limit.line-calls" in third.warning
            other = world.pbx.place(s.ALICE, s.CUSTOMER, How(line="201", talk=2.7))
            await asyncio.sleep(0.2)
            fourth = await world.pbx.call(s.ALICE, s.CUSTOMER, line(202))
            assert fourth.status == 480
            assert "limit.channels" in fourth.warning
            assert {r.status for r in await asyncio.gather(*long, other)} == {200}
            again = await world.pbx.call(s.ALICE, s.CUSTOMER, line(200))  # every place was given back
            assert again.status == 200

    run(scene)


def test_busy_and_abandoned_calls_end_as_they_ended(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path, habits={ABSENT: NO_ANSWER, "+33199000486": BUSY}) as world:
            busy = await world.pbx.call(s.ALICE, "+33199000486", line(200))
            absent = await world.pbx.call(s.ALICE, ABSENT, How(line="200", cancel_after=0.3))
            assert (busy.status, absent.status, absent.rang) == (486, 487, True)
            assert world.trunk.cancelled == {absent.call_id}
            ends = {r["call_id"]: (r["outcome"], r["final_status"]) for r in await world.log(2)}
            assert ends == {busy.call_id: ("failed", 486), absent.call_id: ("cancelled", 487)}

    run(scene)


def test_a_call_from_the_operator_reaches_the_ipbx(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            assert await world.trunk.call(world.pbx.guard, s.CUSTOMER, s.ALICE) == 200
            (taken,) = world.pbx.taken
            assert s.CUSTOMER in taken.get("from")
            (record,) = await world.log(1)
            assert (record["direction"], record["verdict"], record["outcome"]) == ("inbound", "allowed", "answered")

    run(scene)
