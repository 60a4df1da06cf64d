"""Accounts that are registered through the guard at a Kamailio, over TLS with certificates on both sides: bindings."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sim import site as s
from sim.ipbx import Ipbx
from sim.ports import free_port
from sim.wire import Sip, uri_of
from tests.certs import authority
from tests.live.registrar import VALUES, Account
from tests.peers.guarded import Guarded, between, guarded
from tests.peers.kamailio import REALM, Kamailio, Tls
from tests.peers.sipp import SDP, Callee, Caller, Sipp, done
from tests.peers.test_sipp import ANSWERED, end

pytestmark = pytest.mark.live

CUSTOMER_AT = "127.0.0.6"  # who calls the accounts
ELSEWHERE = "127.0.0.4"  # where Kamailio looks for who is not registered
USER = "alice"
BOUND = 60.0  # seconds for one scene


class Registrar:
    """A guard whose trunk is a Kamailio over TLS, and an IPBX with an account there. No source has a `contact` where
    anybody is: what comes in finds the IPBX by what it registered, or not at all."""

    def __init__(self, folder: Path, guard: Guarded, operator: Kamailio, pbx: Ipbx, elsewhere: int) -> None:
        self.folder, self.guard, self.operator, self.pbx = folder, guard, operator, pbx
        self.elsewhere = elsewhere
        self.account = Account(pbx, USER)
        self.own = pbx.contact(USER).strip("<>")

    async def rings(self) -> str:
        """Somebody calls the account and it answers: the contact that was called."""
        before = len(self.pbx.taken)
        caller = Caller(callee=USER).sends("INVITE", body=SDP, uri=f"sip:{USER}@{REALM}").hears(100)
        caller.hears(180, optional=True).hears(200).acks().pauses(50).sends("BYE").hears(200)
        await self._calls(caller)
        (invite,) = self.pbx.taken[before:]
        return invite.uri

    async def rings_nobody(self) -> None:
        """Somebody calls the account, and Kamailio knows no contact of it."""
        caller = Caller(callee=USER).sends("INVITE", body=SDP, uri=f"sip:{USER}@{REALM}").hears(100)
        absent = Callee().hears("INVITE").replies(480).hears("ACK")
        with Sipp(self.folder, absent, ELSEWHERE, self.elsewhere) as answers:
            await self._calls(caller.hears(480).acks(), answers)

    async def _calls(self, caller: Caller, answers: Sipp | None = None) -> None:
        to = f"{s.OPERATOR}:{self.operator.port}"
        with Sipp(self.folder, caller, CUSTOMER_AT, free_port(CUSTOMER_AT), to=to) as calls:
            await asyncio.to_thread(calls.done if answers is None else lambda: done(calls, answers))

    async def bound(self, expected: list[str]) -> None:
        """Wait until Kamailio says that these are the contacts of the account, and the guard that they are ours."""
        async with asyncio.timeout(10):
            while good(await self.account.asks()) != sorted(expected):
                await asyncio.sleep(0.1)


@asynccontextmanager
async def registrar(folder: Path) -> AsyncIterator[Registrar]:
    site = between(folder)
    over, near, elsewhere = free_port(s.OPERATOR), free_port(s.GUARD), free_port(ELSEWHERE)
    ca = authority().write(folder)
    authority().issue(s.GUARD).write(folder, "guard")
    shown = Tls(port=over, certificate=authority().issue(s.OPERATOR).write(folder, "operator"), ca=ca)
    site.next_hops = (f"sip:{s.OPERATOR}:{over};transport=tls",)
    files = 'certificate = "guard.pem"\nca = "ca.pem"\nclient = "require"'
    swap = {"[listen]\n": f'[tls]\n{files}\n\n[listen]\ntls = ["{s.GUARD}:{near}"]\n'}
    pbx = Ipbx((s.GUARD, site.port))
    await pbx.start()
    behind = f"{ELSEWHERE}:{elsewhere}"
    try:
        with (
            Kamailio(folder, s.OPERATOR, site.trunk_port, callee=behind, accounts=(USER,), tls=shown) as operator,
            guarded(folder, site, swap=swap) as guard,
        ):
            async with asyncio.timeout(BOUND):
                yield Registrar(folder, guard, operator, pbx, elsewhere)
    finally:
        await pbx.stop()


def good(answer: Sip) -> list[str]:
    """The contacts of a 200: Kamailio writes them on one line, the one that was registered last first."""
    assert answer.status == 200
    return sorted(uri_of(value) for line in answer.all("contact") for value in VALUES.split(line))


def test_a_digest_passes_untouched_and_calls_come_in(tmp_path: Path) -> None:
    async def scene() -> None:
        async with registrar(tmp_path) as at:
            assert good(await at.account.register()) == [at.own]
            seen = re.findall(r"registers: (Digest .*)", at.operator.log.read_text("utf-8"))
            assert seen == [at.account.proof]
            assert await at.rings() == at.own
            record = at.guard.record()
            assert (*end(record), record["direction"], record["callee"]) == (*ANSWERED, "inbound", USER)

    asyncio.run(scene())


def test_a_refresh_is_the_same_binding(tmp_path: Path) -> None:
    async def scene() -> None:
        async with registrar(tmp_path) as at:
            for expires in ("600", "700"):
                answer = await at.account.register(expires=expires)
                assert good(answer) == [at.own]
                assert re.search(rf"expires={expires}\b", answer.get("contact"))

    asyncio.run(scene())


def test_several_contacts_and_one_of_them_is_removed(tmp_path: Path) -> None:
    """Each is the IPBX's own again in every answer; the one that stays is called; a star takes all away."""

    async def scene() -> None:
        async with registrar(tmp_path) as at:
            other = at.own.replace(f"{USER}@", "desk@") + ";x=1"
            assert good(await at.account.register(f"<{at.own}>, <{other}>")) == sorted([at.own, other])
            assert good(await at.account.asks()) == sorted([at.own, other])
            assert good(await at.account.register(f"<{at.own}>;expires=0")) == [other]
            assert await at.rings() == other
            assert end(at.guard.record()) == ANSWERED
            assert good(await at.account.register("*", expires="0")) == []
            await at.rings_nobody()

    asyncio.run(scene())


def test_a_binding_that_runs_out_is_called_no_more(tmp_path: Path) -> None:
    async def scene() -> None:
        async with registrar(tmp_path) as at:
            assert good(await at.account.register(expires="2")) == [at.own]
            assert await at.rings() == at.own
            assert end(at.guard.record()) == ANSWERED
            await at.bound([])
            await at.rings_nobody()

    asyncio.run(scene())


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_the_bindings_outlive_the_guard(tmp_path: Path, how: str) -> None:
    """What was registered before finds the IPBX, over a connection that Kamailio opens anew; a refresh adds nothing."""

    async def scene() -> None:
        async with registrar(tmp_path) as at:
            assert good(await at.account.register()) == [at.own]
            await asyncio.to_thread(at.guard.restart, killed=how == "killed")
            assert await at.rings() == at.own
            assert end(at.guard.record()) == ANSWERED
            assert good(await at.account.register()) == [at.own]

    asyncio.run(scene())
