"""TLS: contexts from certificate files, and who a certificate says that its holder is (RFC 5922).

A context is made once for each set of files and never changed: new files make new contexts, which new connections use,
while those that stand go on with what they began with.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from guard.configtls import Client, Files
from guard.proxy.shapes import Identity
from guard.sip.uri import BadUri, parse_uri

Verify: Final[dict[Client, ssl.VerifyMode]] = {
    "none": ssl.CERT_NONE,
    "request": ssl.CERT_OPTIONAL,
    "expect": ssl.CERT_OPTIONAL,
    "require": ssl.CERT_REQUIRED,
}
OLDEST: Final = ssl.TLSVersion.TLSv1_2  # RFC 8996: what is older is not to be spoken any more


class TlsError(Exception):
    """A file that cannot be used. `key` is the one of `[tls]` (or of a `[[trunk]]`) that names it."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


class Contexts(Struct, frozen=True, kw_only=True, dict=True):
    """What connections are made with: `server` where there is a certificate, `client`, and `others` by their CA file;
    `anyone` verifies nothing. `expires` is when the certificate runs out. With `expects` whoever calls without a
    certificate may make emergency calls, and no other."""

    files: Files = Files()
    server: ssl.SSLContext | None = None
    others: dict[str, ssl.SSLContext] = {}
    expires: datetime | None = None
    expects: bool = False

    # Made when the first connection is opened: to read the CAs of the machine takes longer than to read every policy.
    @cached_property
    def client(self) -> ssl.SSLContext:
        """For connections that we open. Raises TlsError."""
        return _client(self.files, self.files.ca, "ca")

    @cached_property
    def anyone(self) -> ssl.SSLContext:
        """For those whose other end may be anybody. Raises TlsError."""
        return _client(replace(self.files, verify=False), None, "ca")


def contexts(files: Files, now: datetime | None = None) -> Contexts:
    """Read the files. Raises TlsError for the first that cannot be used; with `now` also for a certificate that has
    run out by then."""
    expires = _expires(files.certificate) if files.certificate is not None else None
    if now is not None and expires is not None and expires <= now:
        raise TlsError("certificate", f'"{files.certificate}" ran out on {expires:%Y-%m-%d}')
    found = Contexts(
        files=files,
        server=_server(files) if files.certificate is not None else None,
        others={str(ca): _client(files, ca, "tls_ca") for ca in files.trunk_cas},
        expires=expires,
        expects=files.client == "expect",
    )
    if any(files.paths()):  # what cannot be used is told now, and those who have set up TLS are about to need it
        assert found.client is not None
        assert found.anyone is not None
    return found


def _server(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _common(context, files)
    context.verify_mode = Verify[files.client]
    if files.client != "none":
        if files.ca is None:  # never the CAs of the machine: anybody has a certificate of one of those
            raise TlsError("client", f'"{files.client}" needs ca: whose certificates are good')
        _trust(context, files.ca, "ca")
    return context


def _client(files: Files, ca: Path | None, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # by RFC 5922 instead, once the handshake is done
    _common(context, files)
    if not files.verify:
        context.verify_mode = ssl.CERT_NONE
    elif ca is not None:
        _trust(context, ca, key)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _common(context: ssl.SSLContext, files: Files) -> None:
    context.minimum_version = OLDEST
    context.options |= ssl.OP_NO_RENEGOTIATION  # work that a peer could ask for again and again
    if files.certificate is None:
        return
    path = files.key or files.certificate
    try:
        path.read_bytes()  # OpenSSL does not say which of the two it could not open
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except ssl.SSLError as error:
        wrong = error.reason == "KEY_VALUES_MISMATCH"
        why = "is not the key of the certificate" if wrong else "holds no private key in PEM"
        raise TlsError("key", f'"{path}" {why}') from error
    except OSError as error:
        raise TlsError("key", _file(error, path)) from error
    except ValueError as error:
        raise TlsError("key", f'"{path}": {error}') from error


def _no_password() -> str:
    """Nobody stands at a daemon's terminal to be asked for one."""
    raise ValueError("the key has a password: write it without one")


def _trust(context: ssl.SSLContext, ca: Path, key: str) -> None:
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise TlsError(key, f'"{ca}" holds no certificate in PEM') from error
    except OSError as error:
        raise TlsError(key, _file(error, ca)) from error


def _expires(path: Path) -> datetime:
    """When the certificate of a file runs out: its first, which is our own."""
    from cryptography import x509  # only where there is a certificate

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except OSError as error:
        raise TlsError("certificate", _file(error, path)) from error
    except ValueError as error:
        raise TlsError("certificate", f'"{path}" holds no certificate in PEM') from error


def _file(error: OSError, path: Path) -> str:
    return f'"{error.filename or path}": {error.strerror or error}'


# ---- who a certificate names ---------------------------------------------------------------------------------------


def identities(certificate: Mapping[str, object] | None) -> tuple[str, ...]:
    """The hosts that a verified certificate (`SSLObject.getpeercert`) speaks for, in lower case (RFC 5922 7.1).

    Those of its `sip:` URIs, which may name no user; where it has none, its DNS names. Its addresses as well: trunks
    are often written without a name. The common name only counts where there is no subjectAltName at all. A wildcard
    stands for nothing but itself (7.2).
    """
    if not certificate:
        return ()
    uris: list[str] = []
    names: list[str] = []
    addresses: list[str] = []
    alternatives = _pairs(certificate.get("subjectAltName"))
    for kind, value in alternatives:
        if kind == "URI":
            uris += _domain(value)
        elif kind == "DNS":
            names.append(plain(value))
        elif kind == "IP Address":
            addresses.append(plain(value))
    if not alternatives:
        subject = certificate.get("subject")
        parts = subject if isinstance(subject, tuple) else ()
        names += [plain(value) for part in parts for kind, value in _pairs(part) if kind == "commonName"]
    return tuple(dict.fromkeys((*(uris or names), *addresses)))


def _pairs(value: object) -> list[tuple[str, str]]:
    return [(str(p[0]), str(p[1])) for p in value if len(p) == 2] if isinstance(value, tuple) else []


def _domain(text: str) -> list[str]:
    """The host of a SIP URI that names a domain, and nothing of any other."""
    try:
        uri = parse_uri(text.encode())
    except BadUri:
        return []
    return [plain(uri.host)] if uri.scheme == "sip" and uri.user is None else []


def plain(host: str) -> str:
    """A host as it is compared: small letters, no last dot, an address in its usual form."""
    host = host.strip().strip("[]").rstrip(".").lower()
    try:
        return str(ip_address(host))
    except ValueError:
        return host


class Tls:
    """The contexts in force. `identity` tells who is expected at an address, None for nobody in particular."""

    def __init__(self, found: Contexts, identity: Callable[[str, int], Identity | None]) -> None:
        self._contexts = found
        self._identity = identity

    def adopt(self, found: Contexts) -> None:
        """Others from now on; connections that stand keep theirs."""
        self._contexts = found

    def server(self) -> ssl.SSLContext | None:
        """For a connection that was taken; None where there is no certificate (any more)."""
        return self._contexts.server

    @property
    def expects(self) -> bool:
        """Whether those who call without a certificate may make emergency calls only."""
        return self._contexts.expects

    def client(self, host: str, port: int, *, unproven: bool = False) -> tuple[ssl.SSLContext, tuple[str, ...]]:
        """For a connection to be opened, and the names of which its certificate has to bear one; an `unproven` one may
        be anybody's, and is asked for the same name."""
        found = self._identity(host, port)
        if unproven:
            return self._contexts.anyone, (*map(plain, found.names if found is not None else ()), plain(host))
        if found is None:
            return self._contexts.client, (plain(host),)
        context = self._contexts.others.get(found.ca, self._contexts.client)
        return context, tuple(map(plain, found.names)) or (plain(host),)
