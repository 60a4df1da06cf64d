"""Refusals that a real peer gets, reads and acknowledges: 403, 603 and 608 as guard.toml wants them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.site import FOREIGN, IPBX
from tests.peers.guarded import between, guarded
from tests.peers.sipp import SDP, Caller, Sipp
from tests.peers.test_sipp import end
from tests.test_refusals import CONTACTS, SIGNED, key_file

pytestmark = pytest.mark.live

PLUS = f'[refusal]\nstatus = 603\nlocation = "LN"\n{CONTACTS}'
REASON = r'SIP;cause=603;text="v=analytics1;url=https://www\.example\.net/refused;.*id=1";location=LN'
CARD = r"^ *<data:application/jose,[-_A-Za-z0-9]+\.[-_A-Za-z0-9]+\.[-_A-Za-z0-9]+>;purpose=jwscard"


@pytest.mark.parametrize(
    ("status", "more", "check"),
    [
        (403, "", {"Reason": "cli.not-authorised #1", "Warning": "^ *399 "}),
        (603, PLUS, {"Reason": REASON, "Warning": "^ *399 "}),
        (608, SIGNED, {"Call-Info": CARD, "Reason": "cli.not-authorised #1"}),
    ],
)
def test_sipp_is_refused_as_the_file_says(tmp_path: Path, status: int, more: str, check: dict[str, str]) -> None:
    key_file(tmp_path / "card.pem")
    site = between(tmp_path)
    site.more = more
    caller = Caller(FOREIGN).sends("INVITE", body=SDP).hears(100).hears(status, check=check).acks()
    with guarded(tmp_path, site) as guard:
        with Sipp(tmp_path, caller, IPBX, site.pbx_port, to=guard.address) as calls:
            calls.done()
        assert end(guard.record()) == ("blocked", "blocked", status)
