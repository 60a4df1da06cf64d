"""A real Kamailio that asks before it dials, as docs/integrations.md tells it: real guard web, real guard run."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from guard.web.tokens import Tokens
from sim import site as s
from sim.daemon import Daemon
from sim.ports import free_port
from tests.peers.guarded import Guarded, between, guarded
from tests.peers.kamailio import Kamailio
from tests.peers.sipp import SDP, Caller, Sipp, done
from tests.peers.test_documentation import block
from tests.peers.test_sipp import hangs_up, talks

pytestmark = pytest.mark.live

PHONE = "127.0.0.6"
PATIENCE = 20.0
LEAVES = """
route[GUARD] {
    route(DECIDE);
    record_route();
    $du = "sip:@OUT@";
    t_relay();
    exit;
}
"""


class Asking(Struct):
    """A Kamailio at `exchange` that asks the guard, and sends its calls to the operator itself."""

    guard: Guarded
    web: Daemon
    exchange: str
    operator: int


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    site = between(tmp_path)
    web = f"{s.GUARD}:{free_port(s.GUARD)}"
    site.more += f'\n[web]\nlisten = "{web}"\n'
    with guarded(tmp_path, site) as guard:
        with Tokens(tmp_path / "guard.db-tokens") as tokens:
            token = tokens.create("kamailio", ("switch",), now=time.time_ns() // 1000, days=1, by="test")
        page = Daemon(site.config, command="web")
        try:
            until = time.monotonic() + PATIENCE
            while not healthy(web):
                assert time.monotonic() < until, "\n".join(page.lines)
                time.sleep(0.05)
            text = block("kamailio-decide").replace("127.0.0.1:8080", web).replace("TOKEN", token)
            route = text + LEAVES.replace("@OUT@", f"{s.OPERATOR}:{site.trunk_port}")
            here = f"{s.IPBX}:{site.pbx_port}"
            with Kamailio(tmp_path, s.IPBX, site.pbx_port, callee=here, route=route):
                yield Asking(guard, page, here, site.trunk_port)
        finally:
            page.stop()


def healthy(web: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{web}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_call_is_asked_for_counted_and_over(asking: Asking, tmp_path: Path) -> None:
    caller, callee = hangs_up(*talks())
    with (
        Sipp(tmp_path, callee, s.OPERATOR, asking.operator) as answers,
        Sipp(tmp_path, caller, PHONE, free_port(PHONE), to=asking.exchange) as calls,
    ):
        done(calls, answers)
    record = asking.guard.record()
    assert (record["verdict"], record["outcome"], record["callee"]) == ("allowed", "answered", "+33199001234")
    assert record["source"] == "pbx"
    assert record["call_id"], "the Call-ID of the SIP call"


def test_a_refusal_reaches_the_phone_with_its_rule(asking: Asking, tmp_path: Path) -> None:
    caller = Caller(s.FOREIGN).sends("INVITE", body=SDP).hears(100, optional=True).hears(403).acks()
    with Sipp(tmp_path, caller, PHONE, free_port(PHONE), to=asking.exchange) as calls:
        calls.done()
    record = asking.guard.record()
    assert (record["verdict"], record["outcome"], record["findings"][0]["rule"]) == (
        "blocked",
        "blocked",
        "cli.not-authorised",
    )


def test_without_a_guard_calls_go_as_they_would(asking: Asking, tmp_path: Path) -> None:
    asking.web.stop()
    caller, callee = hangs_up(*talks())
    with (
        Sipp(tmp_path, callee, s.OPERATOR, asking.operator) as answers,
        Sipp(tmp_path, caller, PHONE, free_port(PHONE), to=asking.exchange) as calls,
    ):
        done(calls, answers)
