"""Odd but real calls, by sipp on both sides of a running guard: each side sees what its scenario says, or fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from sim.site import BOB, FOREIGN, IPBX, OPERATOR
from tests.live.world import Record
from tests.peers.guarded import Guarded, between, guarded
from tests.peers.sipp import CALLEE, HELD, SDP, T38, Callee, Caller, Script, Sipp, done

pytestmark = pytest.mark.live

ANSWERED = ("allowed", "answered", 200)
RELIABLE = "Require: 100rel\n"


@pytest.fixture(scope="module", params=["udp", "tcp"])
def guard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One guard for all scenarios over UDP on both sides, and one for all over TCP."""
    folder = tmp_path_factory.mktemp("guarded")
    record = "sipp" if request.param == "udp" else f"sipp-{request.param}"
    with guarded(folder, between(folder, request.param), record=record) as running:
        yield running


def say(
    guard: Guarded,
    folder: Path,
    caller: Script,
    callee: Script,
    *,
    call_id: str = "",
) -> None:
    """One call, over the transport of the site on both sides; both end well."""
    site = guard.site
    transport: Literal["udp", "tcp"] = "tcp" if site.trunk_transport == "tcp" else "udp"
    with (
        Sipp(folder, callee, OPERATOR, site.trunk_port, transport=transport) as answers,
        Sipp(folder, caller, IPBX, site.pbx_port, to=guard.address, transport=transport, call_id=call_id) as calls,
    ):
        done(calls, answers)


def play(
    guard: Guarded,
    folder: Path,
    caller: Script,
    callee: Script,
    *,
    call_id: str = "",
) -> Record:
    """The same, and its record."""
    say(guard, folder, caller, callee, call_id=call_id)
    return guard.record()


def end(record: Record) -> tuple[str, str, int]:
    return record["verdict"], record["outcome"], record["final_status"]


def begins() -> tuple[Caller, Callee]:
    """Both sides of a call that rings."""
    return (
        Caller().sends("INVITE", body=SDP).hears(100).hears(180),
        Callee().hears("INVITE").replies(180),
    )


def talks() -> tuple[Caller, Callee]:
    """Both sides of a call that was answered."""
    caller, callee = begins()
    return caller.hears(200).acks(), callee.pauses(100).replies(200, body=SDP).hears("ACK")


def hangs_up(caller: Caller, callee: Callee) -> tuple[Caller, Callee]:
    return caller.pauses(100).sends("BYE").hears(200), callee.hears("BYE").replies(200)


def test_a_plain_call(guard: Guarded, tmp_path: Path) -> None:
    record = play(guard, tmp_path, *hangs_up(*talks()))
    assert end(record) == ANSWERED


def test_provisional_answers_that_are_acknowledged(guard: Guarded, tmp_path: Path) -> None:
    """RFC 3262: each PRACK goes to the callee along the route of the 183."""
    caller = Caller().sends("INVITE", body=SDP, more="Supported: 100rel\n").hears(100)
    caller.hears(183, check={"RSeq": "^ *1"}).sends("PRACK", more="RAck: 1 1 INVITE\n").hears(200)
    caller.hears(180, check={"RSeq": "^ *2"}).sends("PRACK", more="RAck: 2 1 INVITE\n").hears(200)
    caller.hears(200).acks()
    callee = Callee().hears("INVITE", check={"Supported": "100rel"})
    callee.replies(183, more=RELIABLE + "RSeq: 1\n", body=SDP).hears("PRACK", check={"RAck": "1 1 INVITE"}).replies(200)
    callee.replies(180, more=RELIABLE + "RSeq: 2\n", first=True).hears("PRACK").replies(200)
    callee.pauses(150).replies(200, first=True).hears("ACK")
    record = play(guard, tmp_path, *hangs_up(caller, callee))
    assert end(record) == ANSWERED
    assert record["ring_ms"] > 0


def test_early_media_rings_and_is_changed_by_update(guard: Guarded, tmp_path: Path) -> None:
    """RFC 3311: UPDATE from either side, before the answer and after. A 183 alone is when it rings."""
    caller = Caller().sends("INVITE", body=SDP).hears(100).hears(183, check={"body": "m=audio 30000"})
    caller.sends("UPDATE", body=HELD).hears(200).hears("UPDATE").replies(200, body=SDP).hears(200).acks()
    caller.hears("UPDATE").replies(200, body=SDP)
    callee = Callee().hears("INVITE").replies(183, body=SDP).hears("UPDATE", check={"body": "sendonly"}).replies(200)
    callee.pauses(150).sends("UPDATE", body=SDP).hears(200).replies(200, body=SDP, first=True).hears("ACK")
    callee.sends("UPDATE", body=SDP).hears(200)
    record = play(guard, tmp_path, *hangs_up(caller, callee))
    assert end(record) == ANSWERED
    assert record["ring_ms"] > 0


def test_hold_and_fax(guard: Guarded, tmp_path: Path) -> None:
    """Re-INVITEs by both sides, the last one to T.38 (RFC 3362), are one call, and the callee may hang up."""
    caller, callee = talks()
    for body, found in ((HELD, "sendonly"), (SDP, "m=audio")):
        caller.sends("INVITE", body=body).hears(100, optional=True).hears(200).acks()
        callee.hears("INVITE", check={"body": found}).replies(200, body=SDP).hears("ACK")
    callee.pauses(100).sends("INVITE", body=T38).hears(100, optional=True).hears(200, check={"body": "t38"}).acks()
    caller.hears("INVITE", check={"body": "m=image 30002 udptl t38"}).replies(200, body=T38).hears("ACK")
    callee.pauses(100).sends("BYE").hears(200)
    caller.hears("BYE").replies(200)
    record = play(guard, tmp_path, caller, callee)
    assert end(record) == ANSWERED
    assert record["talk_ms"] > 0


def test_session_timers(guard: Guarded, tmp_path: Path) -> None:
    """RFC 4028: an interval that is too small, the same call again with a longer one, refreshed both ways."""
    caller = Caller().sends("INVITE", body=SDP, more="Supported: timer\nSession-Expires: 90\n").hears(100)
    caller.hears(422, check={"Min-SE": "120"}).acks()
    long = "Supported: timer\nSession-Expires: 120;refresher=uac\nMin-SE: 120\n"
    caller.sends("INVITE", body=SDP, more=long).hears(100)
    caller.hears(200, check={"Session-Expires": "120;refresher=uac"}).acks()
    caller.sends("UPDATE", more=long).hears(200)
    caller.sends("INVITE", body=SDP, more=long).hears(100, optional=True).hears(200).acks()
    callee = (
        Callee().hears("INVITE", check={"Session-Expires": "^ *90"}).replies(422, more="Min-SE: 120\n").hears("ACK")
    )
    agreed = "Require: timer\nSession-Expires: 120;refresher=uac\n"
    callee.hears("INVITE", check={"Min-SE": "120"}).replies(200, more=agreed, body=SDP).hears("ACK")
    callee.hears("UPDATE", check={"Session-Expires": "120"}).replies(200, more=agreed)
    callee.hears("INVITE").replies(200, more=agreed, body=SDP).hears("ACK")
    record = play(guard, tmp_path, *hangs_up(caller, callee))
    assert end(record) == ANSWERED  # one record: the 422 was not the end


def test_a_transfer(guard: Guarded, tmp_path: Path) -> None:
    """REFER with Replaces (RFC 3515, 3891), its NOTIFYs, and the call with Replaces that comes of it."""
    replaced = "other%40127.0.0.2%3Bto-tag%3Da%3Bfrom-tag%3Db"
    caller, callee = talks()
    caller.sends("REFER", more=f"Refer-To: <sip:{CALLEE}@operator.invalid?Replaces={replaced}>\n").hears(202)
    callee.hears("REFER", check={"Refer-To": f"Replaces={replaced}"}).replies(202)
    state = "Event: refer\nSubscription-State: {}\nContent-Type: message/sipfrag\n"
    for status, kind in (
        ("SIP/2.0 100 Trying", "active;expires=60"),
        ("SIP/2.0 200 OK", "terminated;reason=noresource"),
    ):
        callee.sends("NOTIFY", more=state.format(kind), body=status + "\n").hears(200)
        caller.hears("NOTIFY", check={"body": status}).replies(200)
    callee.sends("BYE").hears(200)
    caller.hears("BYE").replies(200)
    assert end(play(guard, tmp_path, caller, callee)) == ANSWERED
    more = "Require: replaces\nReplaces: other@127.0.0.2;to-tag=a;from-tag=b\nReferred-By: <sip:a@127.0.0.2>\n"
    caller = Caller().sends("INVITE", more=more, body=SDP).hears(100).hears(200).acks()
    callee = Callee().hears("INVITE", check={"Replaces": "to-tag=a", "Require": "replaces"}).replies(200, body=SDP)
    assert end(play(guard, tmp_path, *hangs_up(caller, callee.hears("ACK")))) == ANSWERED


def test_answers_of_two_forks(guard: Guarded, tmp_path: Path) -> None:
    """Somebody forked behind the trunk: both answer, both answers and both ACKs arrive, the caller drops the second."""
    caller = Caller().sends("INVITE", body=SDP).hears(100).hears(180, check={"To": "tag=[0-9]+a"})
    caller.hears(183, check={"To": "tag=[0-9]+b"}).hears(200, check={"To": "tag=[0-9]+b"}).acks()
    caller.hears(200, check={"To": "tag=[0-9]+a"}).acks().sends("BYE").hears(200)
    callee = Callee().hears("INVITE").replies(180, tag="a").replies(183, tag="b", first=True, body=SDP)
    callee.replies(200, tag="b", first=True, body=SDP).hears("ACK", check={"To": "tag=[0-9]+b"})
    callee.replies(200, tag="a", first=True, body=SDP).hears("ACK", check={"To": "tag=[0-9]+a"})
    callee.hears("BYE", check={"To": "tag=[0-9]+a"}).replies(200).sends("BYE", tag="b").hears(200)
    caller.hears("BYE", check={"From": "tag=[0-9]+b"}).replies(200)
    assert end(play(guard, tmp_path, caller, callee)) == ANSWERED


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_long_message(transport: Literal["udp", "tcp"], tmp_path: Path) -> None:
    """6 kB of SDP each way, whole to the last line."""
    body = SDP + "".join(f"a=x-line-{n:03}:{'x' * 80}\n" for n in range(70)) + "a=x-last:end\n"
    assert len(body) > 6000
    caller = Caller().sends("INVITE", body=body).hears(100).hears(200, check={"body": "a=x-last:end"}).acks()
    callee = Callee().hears("INVITE", check={"body": "a=x-last:end"}).replies(200, body=body).hears("ACK")
    site = between(tmp_path, transport)
    with guarded(tmp_path, site, record=f"sipp-long-{transport}") as guard:
        assert end(play(guard, tmp_path, *hangs_up(caller, callee))) == ANSWERED


def test_a_call_id_again(guard: Guarded, tmp_path: Path) -> None:
    """An exchange that counts its Call-IDs from one at each start: each call is one of its own."""
    first = play(guard, tmp_path, *hangs_up(*talks()), call_id="1@127.0.0.2")
    second = play(guard, tmp_path, *hangs_up(*talks()), call_id="1@127.0.0.2")
    assert (end(first), end(second)) == (ANSWERED, ANSWERED)
    assert first["call_id"] == second["call_id"] == "1@127.0.0.2"
    assert first["seq"] != second["seq"]


def test_user_phone_within_the_number(guard: Guarded, tmp_path: Path) -> None:
    """`sip:+33...;user=phone@host`, in both fields and in the Request-URI: the numbers are read all the same."""
    caller = Caller(f"{BOB};user=phone", f"{CALLEE};user=phone").sends("INVITE", body=SDP).hears(100).hears(180)
    callee = Callee().hears("INVITE", check={"To": "user=phone@", "From": "user=phone@"}).replies(180)
    callee.replies(200, body=SDP).hears("ACK")
    record = play(guard, tmp_path, *hangs_up(caller.hears(200).acks(), callee))
    assert end(record) == ANSWERED
    assert (record["caller"], record["presented"], record["callee"]) == (BOB, BOB, CALLEE)


def test_a_caller_gives_up(guard: Guarded, tmp_path: Path) -> None:
    caller, callee = begins()
    caller.pauses(100).sends("CANCEL").hears(200).hears(487).acks()
    callee.hears("CANCEL").replies(200).replies(487, first=True).hears("ACK")
    record = play(guard, tmp_path, caller, callee)
    assert end(record) == ("allowed", "cancelled", 487)
    assert record["ring_ms"] > 0
    assert record["talk_ms"] is None or record["talk_ms"] == 0


def test_a_number_of_somebody_else(guard: Guarded, tmp_path: Path) -> None:
    """The reason travels to the caller; the operator sees nothing."""
    caller = Caller(FOREIGN).sends("INVITE", body=SDP).hears(100)
    caller.hears(403, check={"Reason": "cli.not-authorised"}).acks()
    with Sipp(tmp_path, caller, IPBX, guard.site.pbx_port, to=guard.address) as calls:
        calls.done()
    assert end(guard.record()) == ("blocked", "blocked", 403)
