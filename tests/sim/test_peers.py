"""The simulated peers against each other, with no guard between: what they show must be theirs, not its."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sim.agent import ClientTx
from sim.ipbx import How, Ipbx
from sim.link import Peer, pair
from sim.trunk import BUSY, NO_ANSWER, Habit, Trunk, busiest
from sim.wire import Sip, WireError, build, digest, proves, split_stream

CALLER, CALLEE = "+33145678901", "+33199001234"
MS = 1_000_000


@asynccontextmanager
async def peers(**habits: Habit) -> AsyncIterator[tuple[Ipbx, Trunk]]:
    trunk = Trunk(habits={f"+{k[1:]}" if k.startswith("_") else k: h for k, h in habits.items()})
    await trunk.start()
    pbx = Ipbx((trunk.host, trunk.port))
    await pbx.start()
    try:
        yield pbx, trunk
    finally:
        await pbx.stop()
        await trunk.stop()


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await scene()

    asyncio.run(main())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_is_answered_and_ended_by_the_caller(transport: str) -> None:
    async def scene() -> None:
        async with peers() as (pbx, trunk):
            result = await pbx.call(CALLER, CALLEE, How(pai="+33145678900", transport=transport))
            assert (result.status, result.rang, result.bye_status) == (200, True, 200)
            assert result.from_seen == result.from_sent
            (seen,) = trunk.news
            assert (seen.called, seen.call_id) == (CALLEE, result.call_id)
            assert CALLER in seen.from_
            assert "+33145678900" in seen.pai
            assert trunk.ended == {result.call_id}
            assert trunk.counts["answers sent again"] == 0
            assert trunk.counts["INVITE"] == trunk.counts["ACK"] == trunk.counts["BYE"] == 1

    run(scene)


def test_the_called_party_ends_a_call() -> None:
    async def scene() -> None:
        async with peers(_33=Habit(hang_up=0.05)) as (pbx, trunk):
            result = await pbx.call(CALLER, CALLEE, How(talk=None))
            assert CALLER in result.bye_to
            assert not trunk.dialogs

    run(scene)


def test_the_longest_prefix_says_how_a_call_goes() -> None:
    async def scene() -> None:
        async with peers(_33=BUSY, _331990099=Habit(refuse=404)) as (pbx, trunk):
            assert (await pbx.call(CALLER, CALLEE)).status == 486
            assert (await pbx.call(CALLER, "+33199009901")).status == 404
            assert trunk.counts["ACK"] == 2
            assert trunk.answered == set()

    run(scene)


def test_a_call_is_cancelled_while_it_rings() -> None:
    async def scene() -> None:
        async with peers(_33=NO_ANSWER) as (pbx, trunk):
            result = await pbx.call(CALLER, CALLEE, How(cancel_after=0.1))
            assert (result.status, result.rang) == (487, True)
            assert trunk.cancelled == {result.call_id}

    run(scene)


def test_credentials_are_asked_for_once() -> None:
    async def scene() -> None:
        async with peers(_33=Habit(challenge=True)) as (pbx, trunk):
            result = await pbx.call(CALLER, CALLEE)
            assert (result.status, result.invites) == (200, 2)
            assert [s.first for s in trunk.of(result.call_id)] == [True, False]

    run(scene)


def test_credentials_prove_the_password() -> None:
    challenge = 'Digest realm="operator",nonce="abc",algorithm=MD5'
    good = digest(challenge, "INVITE", "sip:a@b", "customer", "secret")
    assert proves(good, "INVITE", "secret")
    assert not proves(good, "INVITE", "other")


def test_a_redirection_is_followed() -> None:
    async def scene() -> None:
        async with peers() as (pbx, trunk):
            trunk.habits["+33199005555"] = Habit(moved_to=f"sip:+33199006666@{trunk.host}:{trunk.port}")
            result = await pbx.call(CALLER, "+33199005555")
            assert (result.status, result.invites) == (200, 2)
            assert [s.called for s in trunk.seen] == ["+33199005555", "+33199006666"]
            assert len(trunk.news) == 1

    run(scene)


def test_a_doubled_invite_is_one_call() -> None:
    async def scene() -> None:
        async with peers() as (pbx, trunk):
            assert (await pbx.call(CALLER, CALLEE, How(copies=3))).status == 200
            assert len(trunk.seen) == 1
            assert trunk.counts["INVITE again"] == 2

    run(scene)


def test_silence_is_told_and_the_invite_goes_again() -> None:
    async def scene() -> None:
        udp, tcp = pair("127.0.0.3")
        pbx = Ipbx(udp.getsockname())
        await pbx.start()
        with udp, tcp:
            result = await pbx.call(CALLER, CALLEE, How(patience=0.8))
            assert (result.status, result.rang) == (0, False)
            first, again = udp.recv(4096), udp.recv(4096)
            assert first == again
        await pbx.stop()

    run(scene)


def test_an_answer_goes_again_until_it_is_acknowledged() -> None:
    async def scene() -> None:
        async with peers() as (pbx, trunk):
            peer = Peer("udp", trunk.host, trunk.port)
            headers = [("Via", pbx.via(peer)), ("From", "<sip:1@h>;tag=a"), ("To", "<sip:2@h>"), ("Call-ID", "x")]
            headers += [("CSeq", "1 INVITE"), ("Contact", pbx.contact("1"))]
            tx = ClientTx.launch(pbx, build(f"INVITE sip:2@{trunk.host} SIP/2.0", headers), peer)
            await tx.done()
            async with asyncio.timeout(15):
                while not trunk.counts["answers sent again"]:
                    await asyncio.sleep(0.02)

    run(scene)


def test_the_operator_calls_in() -> None:
    async def scene() -> None:
        async with peers() as (pbx, trunk):
            assert await trunk.call((pbx.host, pbx.port), "+33199000000", CALLER) == 200
            assert len(pbx.taken) == 1
            assert pbx.counts["BYE"] == 1

    run(scene)


def test_instants_come_from_the_kernel_in_order() -> None:
    async def scene() -> None:
        async with peers() as (pbx, trunk):
            await asyncio.gather(*(pbx.call(CALLER, CALLEE) for _ in range(20)))
            instants = [s.at for s in trunk.seen]
            assert instants == sorted(instants)
            assert len(set(instants)) == 20

    run(scene)


def test_the_busiest_window_is_found_wherever_it_starts() -> None:
    assert busiest([]) == 0
    assert busiest([0, 999 * MS, 1000 * MS, 1001 * MS]) == 3
    assert busiest([0, 1000 * MS]) == 1
    assert busiest([500 * MS] * 3 + [1499 * MS, 1500 * MS]) == 4


def test_messages_are_cut_from_a_stream() -> None:
    one = build("OPTIONS sip:a SIP/2.0", [("CSeq", "1 OPTIONS")], b"body")
    buffer = bytearray(b"\r\n\r\n" + one + one + one[:10])
    assert split_stream(buffer) == [one, one]
    assert buffer == one[:10]


def test_what_is_no_message_is_kept_apart() -> None:
    with pytest.raises(WireError):
        Sip(b"nonsense")

    async def scene() -> None:
        async with peers() as (pbx, trunk):
            pbx.link.send(b"nonsense", Peer("udp", trunk.host, trunk.port))
            async with asyncio.timeout(15):
                while not trunk.link.garbage:
                    await asyncio.sleep(0.01)

    run(scene)
