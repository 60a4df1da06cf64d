"""Certificate files, and whom a certificate names (RFC 5922)."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guard.configtls import Client, Files
from guard.net.session import MAX_HANDSHAKE, Session, Untrusted
from guard.net.tls import Contexts, Tls, TlsError, contexts, identities
from guard.proxy.shapes import Identity
from tests.certs import Issued, authority

CA = authority()


def certificate(*alternatives: tuple[str, str], cn: str = "") -> dict[str, object]:
    """One as `SSLObject.getpeercert` tells it."""
    found: dict[str, object] = {"subject": ((("commonName", cn),),) if cn else ()}
    if alternatives:
        found["subjectAltName"] = alternatives
    return found


@pytest.mark.parametrize(
    ("alternatives", "cn", "names"),
    [
        ((("DNS", "Trunk.Example."),), "", ("trunk.example",)),
        ((("URI", "sip:trunk.example"), ("DNS", "other.example")), "", ("trunk.example",)),
        ((("URI", "sip:alice@trunk.example"), ("DNS", "other.example")), "", ("other.example",)),
        ((("URI", "sips:trunk.example"), ("DNS", "other.example")), "", ("other.example",)),
        ((("URI", "https://trunk.example"),), "trunk.example", ()),
        ((("URI", "nonsense"),), "trunk.example", ()),
        ((("DNS", "*.example"),), "", ("*.example",)),
        ((("IP Address", "192.0.2.1"), ("IP Address", "0:0:0:0:0:0:0:1")), "", ("192.0.2.1", "::1")),
        ((("URI", "sip:trunk.example"), ("IP Address", "192.0.2.1")), "", ("trunk.example", "192.0.2.1")),
        ((("email", "a@trunk.example"),), "trunk.example", ()),
        ((), "Trunk.example", ("trunk.example",)),
        ((), "", ()),
    ],
)
def test_whom_a_certificate_names(alternatives: tuple[tuple[str, str], ...], cn: str, names: tuple[str, ...]) -> None:
    assert identities(certificate(*alternatives, cn=cn)) == names


def test_what_was_not_verified_names_nobody() -> None:
    assert identities({}) == identities(None) == ()


# ---- files -----------------------------------------------------------------------------------------------------------


def good(folder: Path) -> Files:
    return Files(certificate=CA.issue("guard.example").write(folder, "guard"), ca=CA.write(folder))


def test_good_files(tmp_path: Path) -> None:
    found = contexts(good(tmp_path))
    assert found.server is not None
    assert found.server.minimum_version == ssl.TLSVersion.TLSv1_2
    assert found.server.verify_mode is ssl.CERT_NONE
    assert found.client.verify_mode is ssl.CERT_REQUIRED
    assert found.expires is not None
    assert found.expires > datetime.now(UTC)


@pytest.mark.parametrize(
    ("client", "mode"),
    [
        ("none", ssl.CERT_NONE),
        ("request", ssl.CERT_OPTIONAL),
        ("expect", ssl.CERT_OPTIONAL),
        ("require", ssl.CERT_REQUIRED),
    ],
)
def test_clients_are_asked(tmp_path: Path, client: Client, mode: ssl.VerifyMode) -> None:
    files = good(tmp_path)
    server = contexts(Files(certificate=files.certificate, ca=files.ca, client=client)).server
    assert server is not None
    assert server.verify_mode is mode


def test_without_a_certificate_nobody_is_let_in(tmp_path: Path) -> None:
    found = contexts(Files(ca=CA.write(tmp_path)))
    assert found.server is None
    assert contexts(Files(verify=False)).client.verify_mode is ssl.CERT_NONE


def text(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("make", "key", "said"),
    [
        (lambda d, i: Files(certificate=d / "none.pem"), "certificate", "No such file"),
        (lambda d, i: Files(certificate=text(d, "c", b"no PEM")), "certificate", "no certificate in PEM"),
        (lambda d, i: Files(certificate=text(d, "c", i.certificate)), "key", "no private key in PEM"),
        (lambda d, i: Files(certificate=text(d, "c", i.certificate), key=d / "none"), "key", "No such file"),
        (
            lambda d, i: Files(certificate=text(d, "c", i.certificate), key=text(d, "k", CA.issue("x").key)),
            "key",
            "is not the key of the certificate",
        ),
        (
            lambda d, i: Files(certificate=text(d, "c", i.certificate), key=text(d, "k", i.locked(b"secret"))),
            "key",
            "has a password",
        ),
        (lambda d, i: Files(ca=d / "none.pem"), "ca", "No such file"),
        (lambda d, i: Files(ca=text(d, "ca", b"no PEM")), "ca", "no certificate in PEM"),
        (lambda d, i: Files(trunk_cas=(d / "none.pem",)), "tls_ca", "No such file"),
        (lambda d, i: Files(certificate=i.write(d, "c"), client="require"), "client", "needs ca"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, make: Callable[[Path, Issued], Files], key: str, said: str) -> None:
    with pytest.raises(TlsError) as caught:
        contexts(make(tmp_path, CA.issue("guard.example")))
    assert caught.value.key == key
    assert said in caught.value.reason


def test_one_that_has_run_out_is_refused_where_that_is_asked(tmp_path: Path) -> None:
    files = Files(certificate=CA.issue("guard.example", days=-1).write(tmp_path, "old"))
    assert contexts(files).expires is not None
    with pytest.raises(TlsError, match="ran out on"):
        contexts(files, datetime.now(UTC))


def test_who_is_expected_where(tmp_path: Path) -> None:
    own = CA.write(tmp_path, "own")
    found = contexts(Files(verify=False, trunk_cas=(own,)))
    expected = {("192.0.2.1", 5061): Identity(("Trunk.example",), str(own))}
    tls = Tls(found, lambda host, port: expected.get((host, port)))
    assert tls.client("192.0.2.1", 5061) == (found.others[str(own)], ("trunk.example",))
    assert tls.client("2001:DB8::1", 5061) == (found.client, ("2001:db8::1",))
    assert tls.server() is None


# ---- sessions --------------------------------------------------------------------------------------------------------


def pair(folder: Path, *, names: tuple[str, ...] = ("guard.example",)) -> tuple[Session, Session]:
    found = contexts(good(folder))
    assert found.server is not None
    return Session(found.client, names), Session(found.server)


def test_a_session_goes_by_single_bytes(tmp_path: Path) -> None:
    client, server = pair(tmp_path)
    client.begin()
    while not (client.established and server.established):
        for one, other in ((client, server), (server, client)):
            for byte in one.outgoing():
                assert other.receive(bytes((byte,))) == b""
    message = b"x" * 100_000  # many records
    client.write(message)
    wire = client.outgoing()
    assert b"".join(server.receive(wire[i : i + 999]) for i in range(0, len(wire), 999)) == message
    client.close()
    assert server.receive(client.outgoing()) == b""
    assert server.ended


def test_a_handshake_that_is_too_long_is_given_up(tmp_path: Path) -> None:
    _, server = pair(tmp_path)
    with pytest.raises(Untrusted, match="too long"):
        server.receive(b"\x16\x03\x01\x40\x00" * (MAX_HANDSHAKE // 5 + 1))


def test_no_contexts_are_changed_by_others() -> None:
    tls = Tls(Contexts(), lambda host, port: None)
    before = tls.client("192.0.2.1", 5061)[0]
    tls.adopt(Contexts())
    assert tls.client("192.0.2.1", 5061)[0] is not before
