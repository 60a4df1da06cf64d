"""`[hep]` of guard.toml: where messages are mirrored to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from msgspec import Struct

from guard import configschema as schema

AS = "write it as udp:192.0.2.20:9060 or tcp:homer.example.net:9060"
Tell = Callable[[list[str], str], None]


class Collector(Struct, frozen=True):
    """A Homer or heplify server; `host` may be a name, without brackets. `agent` and `key` go into each packet."""

    transport: Literal["udp", "tcp"]
    host: str
    port: int
    agent: int
    key: bytes


def collector(written: schema.Hep | None, tell: Tell) -> Collector | None:
    """The collector of a configuration, None where it names none, or where it is told why it cannot be one."""
    if written is None or not written.server:
        return None
    transport, _, place = written.server.partition(":")
    host, _, port = place.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else "" if ":" in host else host
    good = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    if transport not in {"udp", "tcp"} or not good or not host or not host.isascii() or not host.isprintable():
        tell(["hep", "server"], f'"{written.server}" is no server: {AS}')
        return None
    named = cast("Literal['udp', 'tcp']", transport)
    return Collector(named, host, int(port), written.capture_id, written.password.encode())
