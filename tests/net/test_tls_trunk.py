"""Trunks called over TLS: who they have to be, what becomes of requests; peers called over their own connection."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.net import connection, stream
from guard.net.tls import contexts
from guard.proxy.shapes import Identity
from tests.certs import Issued, authority
from tests.net.securing import CA, TRUNK, SecureScene, run
from tests.net.streaming import PBX, answer, message

ONE = message(via="pbx.example:5061;alias")
OTHERS = authority("others")


# ---- peers that are called -------------------------------------------------------------------------------------------


def test_one_connection_serves_all_requests(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        operator = await s.operator(CA.issue(TRUNK), ca=CA)
        for key in ("k1", "k2"):
            assert s.streams.send(s.to(operator.name), message(), key)
        peer = await operator.accept()
        assert await peer.receive(2 * len(message())) == 2 * message()
        assert s.streams.send(s.to(operator.name), message(), "k3")
        assert await peer.receive(len(message())) == message()
        await peer.send(message("BYE"))
        data, flow = await s.heard()
        assert (data, flow.peer, flow.names) == (message("BYE"), operator.name, (TRUNK,))
        assert s.counted() == {"tcp_opened": 1, "tls_sessions": 1}
        assert peer.name == operator.name

    run(tmp_path, scene)


@pytest.mark.parametrize(
    ("issued", "said"),
    [
        (CA.issue("trunk.example.net"), "is of trunk.example.net, not of trunk.example"),
        (CA.issue("*.example"), "is of *.example"),
        (CA.issue(cn="other"), "is of other"),
        (CA.issue("sip:other.example", TRUNK), "is of other.example"),
        (CA.issue(TRUNK, days=-1), "certificate has expired"),
        (OTHERS.issue(TRUNK), "unable to get local issuer certificate"),
    ],
)
def test_who_is_not_the_trunk_gets_no_call(tmp_path: Path, issued: Issued, said: str) -> None:
    async def scene(s: SecureScene) -> None:
        operator = await s.operator(issued)
        assert s.streams.send(s.to(operator.name), message(), "k")
        assert await s.failed() == "k"
        assert said in s.driver.distrust[0]
        assert s.counters["tls_untrusted"] == 1
        assert s.streams._by_peer == {}

    run(tmp_path, scene)


def test_what_may_go_to_anybody_goes_there_and_nothing_else_does(tmp_path: Path) -> None:
    """The last resort of an emergency call: over a connection of its own, both ways, which no other call uses."""

    async def scene(s: SecureScene) -> None:
        operator = await s.operator(OTHERS.issue("anybody", days=-1))
        anyone = replace(s.to(operator.name), unproven=True)
        assert s.streams.send(anyone, message(), "sos")
        peer = await operator.accept()
        assert await peer.receive(len(message())) == message()
        await peer.send(answer())
        data, flow = await s.heard()
        assert (data, flow.peer, flow.names) == (answer(), operator.name, ())
        assert flow.unproven  # what it asks for is taken for this call only
        assert s.streams.send(s.to(operator.name), message(), "k")  # while it stands
        assert await s.failed() == "k"
        assert s.streams.send(anyone, message("ACK"), "")
        assert await peer.receive(len(message("ACK"))) == message("ACK")
        assert s.counters["tls_untrusted"] == 1
        peer.close()
        await s.until(lambda: len(s.streams) == 0)
        assert s.streams._by_peer == {}

    run(tmp_path, scene)


@pytest.mark.parametrize("names", [(TRUNK,), ("sip:" + TRUNK,), (PBX,)])
def test_who_is_the_trunk(tmp_path: Path, names: tuple[str, ...]) -> None:
    async def scene(s: SecureScene) -> None:
        operator = await s.operator(CA.issue(*names))
        s.expected[PBX] = Identity((TRUNK, PBX))
        assert s.streams.send(s.to(operator.name), message(), "k")
        peer = await operator.accept()
        assert await peer.receive(len(message())) == message()

    run(tmp_path, scene)


def test_anybody_where_nothing_is_verified(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        operator = await s.operator(OTHERS.issue("anybody", days=-1))
        assert s.streams.send(s.to(operator.name), message(), "k")
        assert await (await operator.accept()).receive(len(message())) == message()

    run(tmp_path, scene, verify=False)


def test_a_trunk_may_have_a_ca_of_its_own(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        operator = await s.operator(OTHERS.issue(TRUNK))
        own = OTHERS.write(tmp_path, "others")
        files = type(s.files)(certificate=s.files.certificate, ca=s.files.ca, trunk_cas=(own,))
        s.tls.adopt(contexts(files))
        s.expected[PBX] = Identity((TRUNK,), str(own))
        assert s.streams.send(s.to(operator.name), message(), "k")
        assert await (await operator.accept()).receive(len(message())) == message()

    run(tmp_path, scene)


def test_a_trunk_that_speaks_no_tls_and_one_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CONNECT_TIME", 200_000)

    async def scene(s: SecureScene) -> None:
        plain = s.doorstep()
        assert s.streams.send(s.to(plain.name), message(), "plain")
        peer = await s.accept(plain)
        await peer.send(answer())
        assert await s.failed() == "plain"
        assert "wrong version number" in s.driver.distrust[0]
        silent = s.doorstep()
        assert s.streams.send(s.to(silent.name), message(), "silent")
        assert await s.failed() == "silent"
        assert s.counters["tcp_unreachable"] == 1
        await s.until(lambda: len(s.streams) == 0)

    run(tmp_path, scene)


def test_a_trunk_that_refuses_our_certificate(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        operator = await s.operator(CA.issue(TRUNK), ca=OTHERS)
        assert s.streams.send(s.to(operator.name), message(), "k")
        # In TLS 1.3 a client is done before it hears that it was refused: the request is lost, and that is told.
        await s.closed()
        assert s.driver.unanswered == ("k",) or await s.failed() == "k"

    run(tmp_path, scene)


def test_requests_that_may_be_lost_with_a_connection_are_told(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        operator = await s.operator(CA.issue(TRUNK))
        for key in ("old", "k1", "", "k2"):
            assert s.streams.send(s.to(operator.name), message(), key)
            if key == "old":
                await s.until(lambda: s.counters["tls_sessions"] == 1)
                s.driver.at += connection.ANSWER_TIME + 1
        (await operator.accept()).abort()
        await s.closed()
        assert s.driver.unanswered == ("k1", "k2")
        assert s.streams.send(s.to(operator.name), message(), "k3"), "a new connection is opened"
        assert await (await operator.accept()).receive(len(message())) == message()

    run(tmp_path, scene)


def test_so_many_requests_are_remembered_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_AWAITED", 2)

    async def scene(s: SecureScene) -> None:
        operator = await s.operator(CA.issue(TRUNK))
        for key in ("k1", "k2", "k3"):
            assert s.streams.send(s.to(operator.name), message(), key)
        peer = await operator.accept()
        await peer.receive(3 * len(message()))
        peer.abort()
        await s.closed()
        assert s.driver.unanswered == ("k2", "k3")

    run(tmp_path, scene)


# ---- reuse (RFC 5923) ------------------------------------------------------------------------------------------------


def test_a_peer_that_has_proved_itself_is_called_over_its_own_connection(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        peer = await s.call(issued=CA.issue("pbx.example"))
        await peer.send(ONE)
        await s.heard()
        assert s.streams.send(s.to((PBX, 5061)), message("BYE"), "k")
        assert await peer.receive(len(message("BYE"))) == message("BYE")
        assert s.counters["tls_aliases"] == 1
        peer.close()
        await s.closed()
        assert s.streams._by_peer == {}
        assert s.streams._aliases == {}

    run(tmp_path, scene, client="request")


@pytest.mark.parametrize(
    ("issued", "via"),
    [
        (None, "pbx.example:5061;alias"),  # it has shown nothing
        (CA.issue("other.example"), "pbx.example:5061;alias"),  # it is another
        (CA.issue("pbx.example"), "pbx.example:5061"),  # it does not want it
        (CA.issue("127.0.0.4"), "127.0.0.4:5061;alias"),  # it is not there
    ],
)
def test_who_is_not_called_backwards(tmp_path: Path, issued: Issued | None, via: str) -> None:
    async def scene(s: SecureScene) -> None:
        peer = await s.call(issued=issued)
        await peer.send(message(via=via))
        await s.heard()
        assert s.streams._by_peer == {}
        assert s.counters["tls_aliases"] == 0

    run(tmp_path, scene, client="request")


def test_a_peer_has_so_many_aliases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_ALIASES", 2)

    async def scene(s: SecureScene) -> None:
        peer = await s.call(issued=CA.issue("pbx.example"))
        for port in (5061, 5062, 5061, 5063):
            await peer.send(message(via=f"pbx.example:{port};alias"))
            await s.heard()
        assert sorted(p[1] for _, p in s.streams._by_peer) == [5061, 5062]

    run(tmp_path, scene, client="request")
