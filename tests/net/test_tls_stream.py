"""TLS over real sockets: who is let in, who is called, and what neither can do to the other calls."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from guard.net import connection, stream
from guard.net.tls import contexts
from tests.certs import Issued, authority, side
from tests.net.securing import CA, NAME, TRUNK, SecureScene, run
from tests.net.streaming import GUARD, STRANGER, answer, message

OTHERS = authority("others")


# ---- peers that call -------------------------------------------------------------------------------------------------


def test_a_message_and_its_answer(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        peer = await s.call()
        assert peer.session.version() == "TLSv1.3"
        await peer.send(message())
        data, flow = await s.heard()
        assert (data, flow.transport, flow.peer, flow.names) == (message(), "tls", peer.name, ())
        assert s.streams.send(flow, answer(), "")
        assert await peer.receive(len(answer())) == answer()
        peer.close()
        assert (await s.closed()).conn == flow.conn
        assert s.counted() == {"tcp_accepted": 1, "tls_sessions": 1}

    run(tmp_path, scene)


def test_long_messages_both_ways_and_several_at_once(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        peer = await s.call()
        long = message(body="x" * 300_000)
        await peer.send(long + message() + long)
        got = [(await s.heard())[0] for _ in range(3)]
        assert got == [long, message(), long]

    run(tmp_path, scene)


def test_a_session_is_resumed(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        loop = asyncio.get_running_loop()
        context = side(tmp_path, server=False, ca=CA)

        def dial(session: ssl.SSLSession | None) -> tuple[bool | None, ssl.SSLSession | None]:
            sock = socket.create_connection(s.local)
            with context.wrap_socket(sock, server_hostname=NAME, session=session) as tls:
                tls.sendall(b"\r\n\r\n")
                assert tls.recv(2) == b"\r\n"  # by now the ticket has come
                return tls.session_reused, tls.session

        first, session = await loop.run_in_executor(None, dial, None)
        again, _ = await loop.run_in_executor(None, dial, session)
        assert (first, again) == (False, True)

    run(tmp_path, scene)


@pytest.mark.parametrize(
    ("issued", "good"),
    [
        (CA.issue("pbx.example"), True),
        (None, False),
        (OTHERS.issue("pbx.example"), False),
        (CA.issue("a", days=-1), False),
    ],
)
def test_clients_that_have_to_show_a_certificate(tmp_path: Path, issued: Issued | None, *, good: bool) -> None:
    async def scene(s: SecureScene) -> None:
        peer = await s.call(issued=issued)
        if good:
            await peer.send(message())
            assert (await s.heard())[1].names == ("pbx.example",)
        else:
            assert await peer.ended()
            assert s.counters["tls_untrusted"] == 1
            assert len(s.driver.distrust) == 1
            assert s.driver.messages.empty()

    run(tmp_path, scene, client="require")


@pytest.mark.parametrize(
    ("client", "issued", "unproven"),
    [
        ("expect", CA.issue("pbx.example"), False),
        ("expect", None, True),
        ("request", None, False),
    ],
)
def test_clients_that_are_expected_to_show_one(
    tmp_path: Path, client: str, issued: Issued | None, *, unproven: bool
) -> None:
    """Without one they are heard all the same: the core lets emergency calls through, and nothing else."""

    async def scene(s: SecureScene) -> None:
        peer = await s.call(issued=issued)
        await peer.send(message())
        assert (await s.heard())[1].unproven is unproven

    run(tmp_path, scene, client=client)


def test_a_trunk_that_the_guard_calls_is_not_asked_like_a_client(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        operator = await s.operator(OTHERS.issue("anybody"))
        assert s.streams.send(s.to(operator.name), message(), "k")
        await (await operator.accept()).send(message("BYE"))
        assert not (await s.heard())[1].unproven

    run(tmp_path, scene, client="expect", verify=False)


def test_clients_that_may_show_one(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        for issued, names in ((None, ()), (CA.issue("pbx.example"), ("pbx.example",))):
            peer = await s.call(issued=issued)
            await peer.send(message())
            assert (await s.heard())[1].names == names

    run(tmp_path, scene, client="request")


@pytest.mark.parametrize(
    "first", [message(), b"GET / HTTP/1.1\r\n\r\n", b"\x80\x2e\x01\x03\x01" + b"\0" * 43, b"\xff" * 99]
)
def test_what_is_no_tls_at_the_tls_port(tmp_path: Path, first: bytes) -> None:
    async def scene(s: SecureScene) -> None:
        peer = await s.dial()
        await peer.send(first)
        while data := await peer.receive(4096):
            assert not data.startswith(b"SIP"), "nothing is answered in the clear"
            if len(data) < 4096:
                break
        assert await s.closed()
        assert s.driver.messages.empty()
        assert s.counters["tls_untrusted"] == 1
        again = await s.call()  # and the next one is served
        await again.send(message())
        assert (await s.heard())[0] == message()

    run(tmp_path, scene)


def test_old_versions_are_not_spoken(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        context = side(tmp_path, server=False)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        _, writer = await asyncio.open_connection(*s.local, ssl=context, server_hostname=NAME)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        writer.close()
        peer = await s.dial()
        hello = b"\x03\x01" + b"\0" * 32 + b"\0" + b"\x00\x02\x00\x2f" + b"\x01\x00"  # TLS 1.0, AES128-SHA
        await peer.send(b"\x16\x03\x01" + (len(hello) + 4).to_bytes(2) + b"\x01" + len(hello).to_bytes(3) + hello)
        assert (await peer.receive(7))[:1] == b"\x15", "an alert"
        assert await peer.ended()

    run(tmp_path, scene)


# ---- strangers and the slow ------------------------------------------------------------------------------------------


def test_a_handshake_that_never_ends_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SWEEP", 0.001)

    async def scene(s: SecureScene) -> None:
        silent, half = await s.dial(), await s.dial()
        await half.send(b"\x16\x03\x01\x02\x00\x01")
        await s.until(lambda: len(s.streams) == 2)
        s.driver.at += connection.HANDSHAKE_TIME
        peer = await s.call()
        await peer.send(message())
        await s.heard()
        assert len(s.streams) == 3
        s.driver.at += 1
        assert await silent.ended()
        assert await half.ended()
        await s.until(lambda: len(s.streams) == 1)
        assert s.counters["tls_stalled"] == 2

    run(tmp_path, scene)


def test_strangers_begin_so_many_handshakes_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HANDSHAKES", 2)

    async def scene(s: SecureScene) -> None:
        peers = [await s.dial(STRANGER) for _ in range(4)]
        assert await peers[2].ended()
        assert await peers[3].ended()
        await s.until(lambda: len(s.streams) == 2)
        assert s.counters["tls_refused"] == 2
        s.driver.at += 500_000
        await s.dial(STRANGER)
        await s.until(lambda: len(s.streams) == 3)
        for _ in range(5):  # whom we know has no such limit
            await s.call()
        assert s.counters["tls_refused"] == 2

    run(tmp_path, scene)


def test_a_stranger_has_to_be_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SWEEP", 0.001)

    async def scene(s: SecureScene) -> None:
        peer = await s.call(STRANGER)
        await peer.send(b"\r\n\r\n" + message())
        _, flow = await s.heard()
        kept = await s.call(STRANGER)
        await kept.send(message())
        assert s.streams.send((await s.heard())[1], answer(), "")
        s.driver.at += connection.UNKNOWN_TIME + 1
        assert await peer.ended()
        assert (await s.closed()).conn == flow.conn
        assert len(s.streams) == 1

    run(tmp_path, scene)


def test_a_peer_that_never_reads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_UNSENT", 100_000)

    async def scene(s: SecureScene) -> None:
        context = side(tmp_path, server=False)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        loop = asyncio.get_running_loop()

        def dial() -> ssl.SSLSocket:
            sock.connect(s.local)
            tls = context.wrap_socket(sock)
            tls.sendall(message())
            return tls

        with await loop.run_in_executor(None, dial):
            _, flow = await s.heard()
            long = message(body="x" * 60_000)
            for _ in range(1000):
                if not s.streams.send(flow, long, ""):
                    break
                await asyncio.sleep(0)
            else:
                pytest.fail("it was never given up")
            await s.closed()
            assert s.counters["tcp_slow_readers"] == 1

    run(tmp_path, scene)


# ---- certificates that change ----------------------------------------------------------------------------------------


def test_new_connections_get_the_new_certificate_and_old_ones_go_on(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        old = await s.call()
        await old.send(message())
        _, flow = await s.heard()
        operator = await s.operator(CA.issue(TRUNK))
        assert s.streams.send(s.to(operator.name), message(), "")
        out = await operator.accept()
        fresh = CA.issue(NAME)
        fresh.write(tmp_path, "guard")
        s.tls.adopt(contexts(s.files))
        await old.send(message())
        assert (await s.heard())[1] == flow
        assert s.streams.send(flow, answer(), "")
        assert await old.receive(len(answer())) == answer()
        assert s.streams.send(s.to(operator.name), message(), "")
        await out.receive(2 * len(message()))
        shown = [p.session.getpeercert(binary_form=True) for p in (old, await s.call())]
        assert [ssl.DER_cert_to_PEM_cert(c or b"").encode() for c in shown] == [
            s.guard.certificate,
            fresh.certificate,
        ]

    run(tmp_path, scene)


def test_without_a_certificate_any_more_nobody_new_is_let_in(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        old = await s.call()
        s.tls.adopt(contexts(type(s.files)(verify=False)))
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await s.call()
        await old.send(message())
        await s.heard()

    run(tmp_path, scene)


def test_the_guard_calls_from_where_it_listens(tmp_path: Path) -> None:
    async def scene(s: SecureScene) -> None:
        operator = await s.operator(CA.issue(TRUNK))
        s.streams.send(s.to(operator.name), message(), "")
        peer = await operator.accept()
        assert peer._writer.get_extra_info("peername")[0] == GUARD

    run(tmp_path, scene)
