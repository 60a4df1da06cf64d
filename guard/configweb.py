"""`[web]` of guard.toml: where the dashboard and the API listen, and what stands beside them."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from guard import configschema as schema

Tell = Callable[[list[str], str], None]
Warn = Callable[[str], None]
Language = Literal["auto", "en", "fr"]
MEMORY: Final = ":memory:"  # as [store] path: a log that no other process can read
TOKENS: Final = "-tokens"  # after the log's name
CONTROL: Final = ".sock"
LOCAL: Final = ("localhost", "127.0.0.1", "::1")  # what a browser on this machine calls it
MAX_SOCKET: Final = 100  # octets of a socket's path: Linux takes 107, and who made one has to append to it
HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?\Z|[0-9a-f:.]{2,45}\Z")


class Place(Struct, frozen=True, kw_only=True):
    """Where `guard web` listens, and its files. `hosts` are the names that a request may call it by, in small letters,
    () for any. `tokens` is where tokens are kept, `control` the daemon's socket: None for none."""

    host: str
    port: int
    hosts: tuple[str, ...] = ()
    tokens: Path
    control: Path | None = None
    open_viewer: bool = False
    certificate: Path | None = None
    key: Path | None = None
    language: Language = "auto"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ip_address(self.host).is_loopback

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS itself."""
        return self.certificate is not None

    @property
    def url(self) -> str:
        """Where it is, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}/"


def place(
    file: schema.File,
    folder: Path,
    address: tuple[str, int] | None,
    tell: Tell,
    warn: Warn,
    *,
    files: bool = True,
) -> Place | None:
    """The place that a configuration names; `address` is what its `listen` was read as. None where that is none, which
    is told, as is all that does not fit together."""
    web = file.web or schema.Web()
    if address is None:
        tell(["web", "listen"], f'"{web.listen}" is no address: write it as 127.0.0.1:8080 or [::1]:8080')
        return None
    names = tuple(dict.fromkeys(h.lower().strip("[]") for h in web.hosts))
    for name in names:
        if not HOST.match(name):
            tell(["web", "hosts"], f'"{name}" is no name of a host: write it without scheme and port')
    paths = {name: folder / text for name in ("certificate", "key") if (text := getattr(web, name))}
    for name, path in paths.items():
        if files and not path.is_file():
            tell(["web", name], f'"{getattr(web, name)}": no such file in {folder.absolute()}')
    if len(paths) == 1:
        tell(["web", "certificate"], "and key belong together")
    found = Place(
        host=address[0],
        port=address[1],
        hosts=names,
        tokens=folder / (web.tokens or file.store.path + TOKENS),
        control=_control(file, web, folder, tell),
        open_viewer=web.open_viewer,
        certificate=paths.get("certificate"),
        key=paths.get("key"),
        language=web.language,
    )
    if found.open_viewer and not found.loopback:
        tell(["web", "open_viewer"], f"needs a listen address of loopback: {found.host} is reached from elsewhere")
    if file.web is not None and not found.loopback and not found.tls:
        warn("web: tokens go over the network in the clear: certificate and key encrypt them")
    return _named(found)


def _named(found: Place) -> Place:
    """The same with the names that this machine is called by: a page elsewhere must not reach it by a name of its own
    (DNS rebinding)."""
    if not found.loopback:
        return found
    return replace(found, hosts=tuple(dict.fromkeys((*LOCAL, found.host, *found.hosts))))


def _control(file: schema.File, web: schema.Web, folder: Path, tell: Tell) -> Path | None:
    """The daemon's socket: beside the log where none is named, and none beside a log that lives in memory."""
    if not web.control and file.store.path == MEMORY:
        return None
    path = folder / (web.control or file.store.path + CONTROL)
    if len(str(path).encode()) > MAX_SOCKET and web.control:
        tell(["web", "control"], f"{path}: longer than the {MAX_SOCKET} octets that a socket's path may have")
    return path
