"""The card of a 608: whom a caller can turn to that was refused in error, signed (RFC 8688 3.2).

The Call-Info carries the JWS itself, as a data URI: it has to bear the time of the refusal, so no file on a web server
could be it. Its header names where the certificate of the key is found (x5u); the signature is ES256 (RFC 7518 3.4).
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from guard import configschema as schema
from guard.config import Config
from guard.configrefusal import CARD, redress, statuses
from guard.proxy.refuse import Refusals
from guard.tomlread import Problem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

OTHERS: Final = 0o077  # modes of a file that others can read: who can read a key can sign in the site's name
MAX_FILE: Final = 1 << 16  # octets: a key file is some 250
SECOND: Final = 1_000_000
HALF: Final = 32  # octets of each half of a signature


class BadKey(Exception):
    """A key that cannot be used; the message says why."""


class Card:
    """Signs cards. One second's is made once: what it costs (some 50 µs) does not grow with the refusals."""

    def __init__(self, refusal: schema.Refusal, site: str, key: EllipticCurvePrivateKey) -> None:
        self._key = key
        self._head = _word({"alg": "ES256", "typ": "vcard+json", "x5u": refusal.certificate_url})
        self._card = card(refusal, site)
        self._second = -1
        self._uri = b""

    def __call__(self, wall: int) -> bytes:
        """The card of an instant (Unix time, µs), as a URI."""
        second = wall // SECOND
        if second != self._second:
            self._uri = b"data:application/jose," + self._signed(second)
            self._second = second
        return self._uri

    def _signed(self, second: int) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # here by now: it has read the key
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        text = self._head + b"." + _word({"iat": second, "jcard": self._card})
        r, s = decode_dss_signature(self._key.sign(text, ECDSA(SHA256())))
        return text + b"." + _base64(r.to_bytes(HALF, "big") + s.to_bytes(HALF, "big"))


def card(refusal: schema.Refusal, site: str) -> list[object]:
    """The contacts as a jCard (RFC 7095)."""
    lines: list[list[object]] = [["version", {}, "text", "4.0"], ["fn", {}, "text", refusal.name or site]]
    if refusal.url:
        lines.append(["url", {"type": "work"}, "uri", refusal.url])
    if refusal.tel:
        lines.append(["tel", {"type": "work"}, "uri", f"tel:{refusal.tel}"])
    if refusal.email:
        lines.append(["email", {"type": "work"}, "text", refusal.email])
    return ["vcard", lines]


def read(config: Config, problems: list[Problem]) -> Refusals | None:
    """What refusals say by a configuration, None where its key cannot be used: that is told."""
    try:
        return of(config)
    except BadKey as error:
        problems.append(Problem(str(config.path), 0, "refusal.key", f'"{config.file.refusal.key}": {error}'))
        return None


def of(config: Config) -> Refusals:
    """What refusals say by a configuration. Raises BadKey."""
    written = config.file.refusal
    contacts = written.url or written.tel or written.email
    signer = None
    if CARD in statuses(config.file):
        signer = Card(written, config.site, key_in(config.path.parent / written.key))
    return Refusals(
        redress(written).encode() if contacts else b"", written.location.encode(), signer, written.announced
    )


def key_in(path: Path) -> EllipticCurvePrivateKey:
    """The key in a file. Raises BadKey."""
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(MAX_FILE)
    except OSError as error:
        raise BadKey(f"cannot be read: {error.strerror}") from error
    if mode & OTHERS:
        raise BadKey(f"others can read this key (mode {mode & 0o777:o}): chmod 600 it, or make a new one")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey("not a private key in PEM, or one with a password") from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise BadKey("not a key of the curve P-256: openssl ecparam -name prime256v1 -genkey -noout makes one")
    return key


def _word(value: object) -> bytes:
    return _base64(msgspec.json.encode(value))


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
