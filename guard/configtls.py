"""`[tls]` and what sources and trunks say of certificates: which files there are, and whether they fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from guard import configschema as schema

Client = Literal["none", "request", "expect", "require"]
Tell = Callable[[list[str], str], None]


class Files(Struct, frozen=True, kw_only=True):
    """What `[tls]` names; None where it names nothing. `trunk_cas` are the CAs of trunks that have their own."""

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    verify: bool = True
    client: Client = "none"
    trunk_cas: tuple[Path, ...] = ()

    def paths(self) -> Iterator[Path]:
        """Every file."""
        yield from (p for p in (self.certificate, self.key, self.ca, *self.trunk_cas) if p is not None)


def caution(file: schema.File) -> str:
    """What may be set up like this, and costs an emergency call; "" where nothing is."""
    if file.tls is None or file.tls.client != "require" or not file.listen.tls:
        return ""
    return (
        'tls.client = "require" ends the handshake of whoever shows no good certificate, also that of an emergency '
        'call: "expect" lets those through'
    )


def tls_files(file: schema.File, folder: Path, tell: Tell) -> Files:
    """The files of a configuration, relative to its `folder`; what does not fit together is told. Whether they can be
    read is found out when they are (guard/net/tls.py)."""
    tls = file.tls or schema.Tls()
    if file.listen.tls and not tls.certificate:
        tell(["listen", "tls"], "needs [tls] with a certificate and its key")
    if tls.key and not tls.certificate:
        tell(["tls", "key"], "stands without a certificate")
    if tls.client != "none" and not tls.ca:
        tell(["tls", "client"], f'"{tls.client}" needs tls.ca: whose certificates are good')
    for i, source in enumerate(file.source, 1):
        if source.tls_name and not (file.listen.tls and tls.client != "none"):
            why = (
                'needs listen.tls, and tls.client = "request", "expect" or "require": nobody is asked for a certificate'
            )
            tell(["source", f"[{i}]", "tls_name"], why)
    return Files(
        certificate=folder / tls.certificate if tls.certificate else None,
        key=folder / tls.key if tls.key else None,
        ca=folder / tls.ca if tls.ca else None,
        verify=tls.verify,
        client=tls.client,
        trunk_cas=tuple(dict.fromkeys(folder / t.tls_ca for t in file.trunk if t.tls_ca)),
    )
