"""baresip as the customer's phone: it registers through the guard at Kamailio, calls out, is called, holds, gives up.

Who is called is a baresip too, registered at Kamailio itself; what either side tells is what its people would see.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import pytest

from sim import site as s
from sim.ports import free_port
from tests.certs import authority
from tests.live.world import rules
from tests.peers.baresip import Baresip
from tests.peers.guarded import Guarded, between, guarded
from tests.peers.kamailio import ASKED, MOVED, REALM, Kamailio, Tls
from tests.peers.test_sipp import ANSWERED, end

pytestmark = pytest.mark.live

Transport = Literal["udp", "tcp", "tls"]
FRIEND: Final = "127.0.0.4"
NOBODY: Final = f"{FRIEND}:9"


class Phones:
    """Alice's phone behind the guard, and a customer's beyond the operator."""

    def __init__(self, guard: Guarded, alice: Baresip, customer: Baresip) -> None:
        self.guard, self.alice, self.customer = guard, alice, customer

    def talk(self, number: str = s.CUSTOMER) -> str:
        """A call of Alice's that is taken: its Call-ID."""
        self.alice.dial(number)
        self.customer.hears("CALL_INCOMING")
        self.customer.does("accept")
        self.customer.hears("CALL_ESTABLISHED")
        return str(self.alice.hears("CALL_ESTABLISHED")["id"])


@contextmanager
def phones(
    folder: Path, transport: Transport, *, user: str = s.ALICE, record: str = "", trunk: Transport = "udp"
) -> Iterator[Phones]:
    """All of it, running and registered. `transport` is Alice's to the guard, `trunk` the guard's to Kamailio."""
    site = between(folder)
    host, port = s.IPBX, site.port
    swap = {}
    if transport != "udp":  # its connections come from where the kernel says: on loopback, the address that is called
        host = s.GUARD
        swap[f'address = ["{s.IPBX}"]'] = f'address = ["{s.IPBX}", "{s.GUARD}"]'
    if transport == "tls":
        port = free_port(s.GUARD)
        authority().issue(s.GUARD).write(folder, "guard")
        files = 'certificate = "guard.pem"\nca = "ca.pem"'
        swap["[listen]\n"] = f'[tls]\n{files}\n\n[listen]\ntls = ["{s.GUARD}:{port}"]\n'
    over = None
    if trunk == "tls":
        shown = authority().issue(s.OPERATOR).write(folder, "operator")
        over = Tls(port=free_port(s.OPERATOR), certificate=shown, ca=authority().write(folder))
        site.next_hops = (f"sip:{s.OPERATOR}:{over.port};transport=tls",)
    server = f"{s.GUARD}:{port}"
    ca = authority().write(folder)
    shows = authority().issue(host).write(folder, "phone") if transport == "tls" else None
    with (
        Kamailio(folder, s.OPERATOR, site.trunk_port, callee=NOBODY, accounts=(user, s.CUSTOMER), tls=over),
        guarded(folder, site, swap=swap, record=record) as guard,
        Baresip(folder, FRIEND, s.CUSTOMER, f"{s.OPERATOR}:{site.trunk_port}", domain=REALM, registers=600) as customer,
        Baresip(
            folder,
            host,
            user,
            server,
            domain=REALM,
            transport=transport,
            registers=600,
            ca=ca,
            certificate=shows,
        ) as alice,
    ):
        yield Phones(guard, alice, customer)


@pytest.mark.parametrize(("transport", "trunk"), [("udp", "udp"), ("tcp", "udp"), ("tls", "udp"), ("tls", "tls")])
def test_a_registered_phone(transport: Transport, trunk: Transport, tmp_path: Path) -> None:
    """Certificates on both sides where it is TLS: the phone's, the guard's, Kamailio's."""
    record = "" if transport == "tls" else f"baresip-{transport}"
    with phones(tmp_path, transport, record=record, trunk=trunk) as both:
        alice, customer, guard = both.alice, both.customer, both.guard

        both.talk()  # held, resumed, and ended by the caller
        for command in ("hold", "resume"):
            alice.does(command)
            customer.hears("CALL_REMOTE_SDP")
            alice.hears("CALL_REMOTE_SDP")
        alice.does("hangup")
        alice.hears("CALL_CLOSED")
        customer.hears("CALL_CLOSED")

        both.talk()  # ended by who was called
        customer.does("hangup")
        customer.hears("CALL_CLOSED")
        alice.hears("CALL_CLOSED")

        alice.dial(s.CUSTOMER)  # given up
        customer.hears("CALL_INCOMING")
        alice.hears("CALL_RINGING")
        alice.does("hangup")
        alice.hears("CALL_CLOSED")
        customer.hears("CALL_CLOSED")

        alice.dial(s.CUSTOMER)  # declined
        customer.hears("CALL_INCOMING")
        customer.does("hangup")
        assert alice.hears("CALL_CLOSED")["param"].startswith("486 ")

        customer.dial(s.ALICE)  # the other way: to the registered contact
        alice.hears("CALL_INCOMING")
        alice.does("accept")
        alice.hears("CALL_ESTABLISHED")
        customer.hears("CALL_ESTABLISHED")
        customer.does("hangup")
        customer.hears("CALL_CLOSED")
        alice.hears("CALL_CLOSED")
        records = guard.records(5)
        ended = [ANSWERED, ANSWERED, ("allowed", "cancelled", 487), ("allowed", "failed", 486), ANSWERED]
        assert [end(r) for r in records] == ended
        assert [(r["direction"], r["source"], r["caller"], r["callee"]) for r in records] == [
            *[("outbound", "pbx", s.ALICE, s.CUSTOMER)] * 4,
            ("inbound", "pbx", s.CUSTOMER, s.ALICE),
        ]


def test_what_a_phone_meets(tmp_path: Path) -> None:
    """A challenge and a redirection, that it answers itself: one call each, named by what was dialled. And 112."""
    with phones(tmp_path, "udp", record="baresip-meets") as both:
        alice, customer, guard = both.alice, both.customer, both.guard
        for number in (ASKED, MOVED, "112"):
            alice.dial(number)
            customer.hears("CALL_INCOMING")
            customer.does("accept")
            alice.hears("CALL_ESTABLISHED")
            alice.does("hangup")
            alice.hears("CALL_CLOSED")
            customer.hears("CALL_CLOSED")
            record = guard.record()
            assert (*end(record), record["callee"]) == (*ANSWERED, number)


def test_a_phone_that_shows_somebody_elses_number(tmp_path: Path) -> None:
    with phones(tmp_path, "udp", user=s.FOREIGN, record="baresip-refused") as both:
        both.alice.dial(s.CUSTOMER)
        assert both.alice.hears("CALL_CLOSED")["param"].startswith("403 ")
        record = both.guard.record()
        assert (*end(record), rules(record)) == ("blocked", "blocked", 403, ["cli.not-authorised"])
