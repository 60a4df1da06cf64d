"""What docs/integrations.md tells people to set, run as it stands there, but for the addresses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim import site as s
from sim.ports import free_port
from tests.peers.baresip import ACCOUNT, CERTIFICATES
from tests.peers.guarded import between, guarded
from tests.peers.kamailio import Kamailio
from tests.peers.sipp import Sipp, done
from tests.peers.test_sipp import ANSWERED, end, hangs_up, talks

DOCUMENT = Path(__file__).parents[2] / "docs" / "integrations.md"
PHONE = "127.0.0.6"
ABSENT = "127.0.0.8"  # a guard that is not there


def block(kind: str) -> str:
    """The one block of this kind."""
    found = re.findall(rf"^```{kind}\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.mark.live
@pytest.mark.parametrize("first", ["there", "silent"])
def test_kamailio_sends_its_calls_as_the_page_says(first: str, tmp_path: Path) -> None:
    """To the guard; where that one is silent, to the second."""
    site = between(tmp_path)
    here, absent = f"{s.GUARD}:{site.port}", f"{ABSENT}:{free_port(ABSENT)}"
    guards = (here, absent) if first == "there" else (absent, here)
    route = block("kamailio").replace("192.0.2.10:5060", guards[0]).replace("192.0.2.11:5060", guards[1])
    caller, callee = hangs_up(*talks())
    with (
        Kamailio(tmp_path, s.IPBX, site.pbx_port, callee=here, route=route),
        guarded(tmp_path, site) as guard,
        Sipp(tmp_path, callee, s.OPERATOR, site.trunk_port) as answers,
        Sipp(tmp_path, caller, PHONE, free_port(PHONE), to=f"{s.IPBX}:{site.pbx_port}") as calls,
    ):
        done(calls, answers)
        assert end(guard.record()) == ANSWERED


def test_the_line_of_baresip_is_the_one_that_the_tests_run() -> None:
    line = ACCOUNT.format(
        user=s.ALICE,
        domain="operator.example",
        transport="udp",
        password="secret",
        server="192.0.2.10:5060",
        seconds=600,
    )
    assert block("baresip").strip() == line
    files = CERTIFICATES.format(ca="/etc/baresip/ca.pem", certificate="/etc/baresip/phone.pem")
    assert block("baresip-tls") == files
