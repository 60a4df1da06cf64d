"""`[state]` of guard.toml: where the counters are that several guards share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from guard import configschema as schema

Kind = Literal["single", "unix", "sentinel", "cluster"]
Tell = Callable[[list[str], str], None]
MEMORY: Final = "memory://"
SCHEMES: Final[dict[str, tuple[Kind, bool]]] = {
    "redis": ("single", False), "rediss": ("single", True),
    "valkey": ("single", False), "valkeys": ("single", True),
    "unix": ("unix", False),
    "redis+sentinel": ("sentinel", False), "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False), "rediss+cluster": ("cluster", True),
}  # fmt: skip
PORT: Final = 6379
SENTINEL_PORT: Final = 26379
FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")  # options of a URL with TLS
AS: Final = (
    'write "memory://", redis://HOST:PORT/DB, rediss:// for TLS, unix:///PATH?db=N,'
    " redis+sentinel://HOST:PORT,HOST:PORT/NAME or redis+cluster://HOST:PORT,HOST:PORT"
)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


class Place(Struct, frozen=True, kw_only=True):
    """Servers: `hosts` of a single one, of sentinels (which know the master by its `name`) or of some of a cluster.
    `path` is of a unix socket. `files` are those of TLS by redis-py's names for them."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    name: str = ""
    db: int = 0
    user: str = ""
    password: str = ""
    tls: bool = False
    files: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """For people: without the password."""
        hosts = ", ".join(f"{host} port {port}" for host, port in self.hosts)
        return self.path or (f"{self.name} of {hosts}" if self.name else hosts)


class BadUrl(ValueError):
    """What is no address of shared counters: the text says why."""


def shared(written: schema.State, tell: Tell) -> Place | None:
    """Where shared counters are; None where they are in memory, or where it is told why the address is none."""
    if written.url == MEMORY:
        return None
    try:
        return place(written.url)
    except BadUrl as error:
        tell(["state", "url"], f"{error}: {AS}")
        return None


def place(url: str) -> Place:
    """What a URL says. Raises BadUrl, whose text never holds a password."""
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        raise BadUrl(f'"{scheme[:20]}" is nothing that counters live in')
    kind, tls = SCHEMES[scheme]
    if not url.isascii() or not url.isprintable():
        raise BadUrl("only printable ASCII may stand in it; write anything else as %XX")
    try:
        split = urlsplit(url)
    except ValueError as error:  # its text would show the password
        raise BadUrl("its brackets hold no IPv6 address") from error
    options = _options(split, tls=tls, unix=kind == "unix")
    login, _, hosts = split.netloc.rpartition("@")
    user, _, password = (unquote(part) for part in login.partition(":"))
    found = Place(
        kind=kind, user=user, password=password, tls=tls, files=tuple((k, v) for k, v in options.items() if k in FILES)
    )
    return _where(found, hosts, unquote(split.path), options.get("db", ""))


def _where(found: Place, hosts: str, path: str, db: str) -> Place:
    values = {f: getattr(found, f) for f in found.__struct_fields__}
    if found.kind == "unix":
        if hosts or not path.startswith("/"):
            raise BadUrl("a unix socket is written with three slashes and its whole path")
        return Place(**{**values, "path": path, "db": _db(db)})
    port = SENTINEL_PORT if found.kind == "sentinel" else PORT
    values["hosts"] = tuple(_host(one, port) for one in hosts.split(","))
    rest = path.strip("/")
    if found.kind == "single":
        if len(values["hosts"]) > 1:
            raise BadUrl("more than one host: name sentinels or a cluster")
        return Place(**{**values, "db": _db(rest or db)})
    if found.kind == "cluster":
        if rest or db:
            raise BadUrl("a cluster has no numbered databases")
        return Place(**values)
    name, _, number = rest.partition("/")
    if not _NAME.fullmatch(name):
        raise BadUrl("the name of the master that the sentinels watch is missing")
    return Place(**{**values, "name": name, "db": _db(number or db)})


def _options(split: SplitResult, *, tls: bool, unix: bool) -> dict[str, str]:
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    known = ("db", *FILES) if tls else ("db",)
    del unix
    for name in options:
        if name not in known:
            raise BadUrl(f'"{name[:20]}" is no option of this address; known are {", ".join(known)}')
    if split.fragment:
        raise BadUrl("a # ends it: write it as %23")
    return options


def _host(written: str, port: int) -> tuple[str, int]:
    host, colon, number = written.rpartition(":")
    if not colon or number.endswith("]"):
        host, number = written, str(port)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadUrl("an IPv6 address stands in brackets")
    if not host:
        raise BadUrl("a host is missing")
    if not number.isdigit() or not 0 < int(number) < 65536:
        raise BadUrl(f'"{number[:20]}" is no port')
    return host, int(number)


def _db(written: str) -> int:
    if not written:
        return 0
    if not written.isdigit() or int(written) > 1_000:
        raise BadUrl(f'"{written[:20]}" is no number of a database')
    return int(written)
