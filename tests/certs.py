"""Certificates for tests, made in a moment: an authority, and what it says of whom."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def _pem(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    secret: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        secret = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)


class Issued:
    """One certificate with its key, both PEM."""

    def __init__(self, certificate: bytes, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key
        self.key = _pem(key)

    def locked(self, password: bytes) -> bytes:
        """The key with a password."""
        return _pem(self._key, password)

    def write(self, folder: Path, name: str) -> Path:
        """Both in one file."""
        path = folder / f"{name}.pem"
        path.write_bytes(self.certificate + self.key)
        return path


class Authority:
    """Signs certificates."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 365 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = made.public_bytes(serialization.Encoding.PEM)

    def write(self, folder: Path, name: str = "ca") -> Path:
        path = folder / f"{name}.pem"
        path.write_bytes(self.pem)
        return path

    def issue(self, *names: str, cn: str = "", days: int = 90) -> Issued:
        """A certificate of DNS names, addresses and URIs, each told by its form; it ends in `days`, or ended then."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(cn))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 400 * DAY)
            .not_valid_after(now + days * DAY)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        return Issued(made.public_bytes(serialization.Encoding.PEM), key)


def _general(name: str) -> x509.GeneralName:
    if name.startswith(("sip:", "sips:", "https:")):
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@cache
def authority(name: str = "tests") -> Authority:
    """One of that name for the whole run."""
    return Authority(name)


def side(folder: Path, *, server: bool, issued: Issued | None = None, ca: Authority | None = None) -> ssl.SSLContext:
    """The context of a peer in a test. `issued` is what it shows; with `ca` it wants one of those."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if issued is not None:
        context.load_cert_chain(issued.write(folder, f"side-{id(issued)}"))
    if ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=ca.pem.decode())
    return context
