"""What sipp on both sides says within a call that is up, and instead of one: glare, masked re-INVITEs, redirections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.site import CUSTOMER, MAIN, PREMIUM
from tests.live.world import rules
from tests.peers.guarded import Guarded, between, guarded
from tests.peers.recording import run
from tests.peers.sipp import HELD, SDP, T38, Callee, Caller
from tests.peers.test_sipp import ANSWERED, end, hangs_up, play, say, talks

pytestmark = pytest.mark.live

SHOWN = rf"^ *<sip:\{MAIN}@"
OWN = rf"^ *<sip:\{PREMIUM}@"


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("guarded"), record="sipp-within") as running:
        yield running


def test_glare(guard: Guarded, tmp_path: Path) -> None:
    """Both change the call at once (RFC 3261 14.1): each INVITE meets the other and is answered 491, each 491 is
    acknowledged hop by hop; then one says it again."""
    caller, callee = talks()
    callee.pauses(100).sends("INVITE", body=HELD).hears(100).hears("INVITE", check={"body": "sendonly"})
    caller.hears("INVITE", check={"body": "sendonly"}, kept=True).sends("INVITE", body=HELD).hears(100)
    callee.replies(491).hears("ACK").hears(491).acks()
    caller.hears(491).acks().replies_kept(491).hears("ACK")
    caller.pauses(300).sends("INVITE", body=HELD).hears(100, optional=True).hears(200).acks()
    callee.hears("INVITE", check={"body": "sendonly"}).replies(200, body=SDP).hears("ACK")
    assert end(play(guard, tmp_path, *hangs_up(caller, callee))) == ANSWERED


def test_a_masked_call_stays_masked_in_all_that_follows(guard: Guarded, tmp_path: Path) -> None:
    """Hold, back, a fax that the callee asks for, an UPDATE: the operator never sees the number, the IPBX always."""
    caller = Caller(PREMIUM).sends("INVITE", body=SDP).hears(100).hears(180, check={"From": OWN})
    caller.hears(200, check={"From": OWN}).acks()
    callee = Callee().hears("INVITE", check={"From": SHOWN}).replies(180).replies(200, body=SDP)
    callee.hears("ACK", check={"From": SHOWN})
    for body, found in ((HELD, "sendonly"), (SDP, "m=audio")):
        caller.sends("INVITE", body=body).hears(100, optional=True).hears(200, check={"From": OWN}).acks()
        callee.hears("INVITE", check={"From": SHOWN, "body": found}).replies(200, body=SDP)
        callee.hears("ACK", check={"From": SHOWN})
    callee.pauses(100).sends("INVITE", body=T38).hears(100, optional=True).hears(200, check={"To": SHOWN}).acks()
    caller.hears("INVITE", check={"To": OWN, "body": "t38"}).replies(200, body=T38).hears("ACK", check={"To": OWN})
    caller.pauses(100).sends("UPDATE").hears(200, check={"From": OWN})
    callee.hears("UPDATE", check={"From": SHOWN}).replies(200)
    caller.sends("BYE").hears(200, check={"From": OWN})
    callee.hears("BYE", check={"From": SHOWN}).replies(200)
    record = play(guard, tmp_path, caller, callee)
    assert end(record) == ("masked", "answered", 200)
    assert (record["caller"], record["presented"]) == (PREMIUM, MAIN)


def test_a_redirection_that_the_caller_follows(guard: Guarded, tmp_path: Path) -> None:
    """302, and the same call to its target over the trunk: one call, one record, and the first number in it."""
    moved = "+33199004321"
    caller = Caller().sends("INVITE", body=SDP).hears(100).hears(302, check={"Contact": moved[1:]}).acks()
    caller.sends("INVITE", body=SDP, uri=f"sip:{moved}@operator.invalid").hears(100).hears(200).acks()
    callee = Callee().hears("INVITE").replies(302, contact=f"<sip:{moved}@operator.invalid>").hears("ACK")
    callee.hears("INVITE").replies(200, body=SDP).hears("ACK")
    record = play(guard, tmp_path, *hangs_up(caller, callee))
    assert (*end(record), record["callee"]) == (*ANSWERED, CUSTOMER)


def test_a_redirection_to_a_number_that_may_not_be_called(tmp_path: Path) -> None:
    """The target is judged as if it had been dialled, and has its own record: the operator sees nothing of it."""
    dear = "+33899123456"
    site = between(tmp_path)
    site.more = f'''
[[site_rule]]
id = "site.no-premium"
action = "block"
source = "management, 2026-11-21"
text = {{ en = "premium numbers are not called" }}
when = {{ callee = "{dear}" }}
'''
    caller = Caller().sends("INVITE", body=SDP).hears(100).hears(302).acks()
    caller.sends("INVITE", body=SDP, uri=f"sip:{dear}@operator.invalid").hears(100).hears(403).acks()
    callee = Callee().hears("INVITE").replies(302, contact=f"<sip:{dear}@operator.invalid>").hears("ACK")
    with guarded(tmp_path, site) as guard:
        say(guard, tmp_path, caller, callee)
    dialled, refused = run("log", "-c", str(site.config), "--all", "--json")
    assert (*end(dialled), dialled["callee"]) == ("allowed", "failed", 403, CUSTOMER)
    assert (refused["verdict"], refused["response"], refused["callee"]) == ("blocked", 403, dear)
    assert refused["call_id"] == dialled["call_id"]
    assert "site.no-premium" in rules(refused)
