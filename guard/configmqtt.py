"""`[mqtt]` of guard.toml: the broker that alerts go to, and which of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from guard import configschema as schema
from guard.tomlread import nearest

Tell = Callable[[list[str], str], None]
Warn = Callable[[str], None]
PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
AS: Final = "write it as mqtt://broker.example.net:1883, or mqtts:// for TLS"
MAX_TOPIC: Final = 200  # octets: what follows it is at most 150, and brokers take at least 1,000
FAMILIES: Final = ("cli", "dst", "rate", "limit", "quota", "traffic", "source", "site")  # what rules begin with
PATTERN: Final = re.compile(r"([a-z]+)\.([a-z0-9-]+\*?|\*)\Z|\*\Z")
LOOPBACK: Final = ("127.", "::1", "localhost")


class Broker(Struct, frozen=True, kw_only=True):
    """Where alerts go, and which. `topic` is complete: what every topic begins with, without a slash at its end.

    `password` is what stood in the URL; `password_file` is read anew for each connection.
    """

    host: str
    port: int
    tls: bool
    site: str
    topic: str
    username: str
    password: str
    password_file: Path | None
    ca: Path | None
    certificate: Path | None
    key: Path | None
    what: schema.Mqtt

    @property
    def shown(self) -> str:
        """As people are told of it: without a password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def broker(file: schema.File, folder: Path, tell: Tell, warn: Warn, *, files: bool = True) -> Broker | None:
    """The broker of a configuration, None where it names none, or where it is told why it cannot be one. What stands in
    the URL is never repeated: it may hold a password."""
    written = file.mqtt
    if written is None:
        return None
    url = _url(written.url)
    if isinstance(url, str):
        tell(["mqtt", "url"], f"{url}: {AS}")
        return None
    tls = url.scheme == "mqtts"
    fault = _topic_fault(written.topic)
    if fault:
        tell(["mqtt", "topic"], f'"{written.topic}" is no topic: {fault}')
    username, password = written.username or unquote(url.username or ""), unquote(url.password or "")
    if written.username and url.username is not None:
        tell(["mqtt", "username"], "stands in the URL as well: say it once")
    if written.password_file and url.password is not None:
        tell(["mqtt", "password_file"], "a password stands in the URL as well: say it once")
    if (written.password_file or password) and not username:
        tell(["mqtt", "username"], "is missing: a password needs it")
    paths: dict[str, Path | None] = {}
    for name in ("password_file", "ca", "certificate", "key"):
        text = cast("str", getattr(written, name))
        paths[name] = folder / text if text else None
        if text and files and not (folder / text).is_file():
            tell(["mqtt", name], f'"{text}": no such file in {folder.absolute()}')
        if text and not tls and name != "password_file":
            tell(["mqtt", name], "is for TLS: the URL must begin with mqtts://")
    for pattern in written.rules:
        found = PATTERN.match(pattern)
        if found is None or found[1] not in {None, *FAMILIES}:
            known = nearest(found[1], FAMILIES) if found is not None and found[1] else ""
            tell(["mqtt", "rules"], f'"{pattern}" is no rule: write one, or its beginning as "traffic.*"{known}')
    if bool(written.certificate) != bool(written.key):
        tell(["mqtt", "certificate"], "and key belong together")
    host = url.hostname or ""
    if username and not tls and not host.startswith(LOOPBACK):
        warn("mqtt.url: the password and all alerts go to the broker in the clear: mqtts:// encrypts them")
    return Broker(
        host=host,
        port=url.port or PORTS[url.scheme],
        tls=tls,
        site=file.site,
        topic=f"{written.topic}/{file.site}",
        username=username,
        password=password,
        password_file=paths["password_file"],
        ca=paths["ca"],
        certificate=paths["certificate"],
        key=paths["key"],
        what=written,
    )


def _url(text: str) -> SplitResult | str:
    """The parts of a URL, or why it is none."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return "is no URL"
    if url.scheme not in PORTS:
        return f'"{url.scheme}" is no scheme of MQTT' if url.scheme else "has no scheme"
    if not url.hostname or not url.hostname.isprintable() or " " in url.hostname:
        return "names no host"
    if port == 0:
        return "port 0 is none"
    if url.path not in {"", "/"} or url.query or url.fragment:
        return "has something after the port"
    return url


def _topic_fault(topic: str) -> str:
    if not topic or len(topic.encode()) > MAX_TOPIC:
        return f"1 to {MAX_TOPIC} octets are wanted"
    if any(c in "+#" or not c.isprintable() for c in topic):
        return "+ and # are for those who subscribe"
    if topic[0] == "$" or "" in topic.split("/"):
        return "no $ at its beginning, and something before, between and after its slashes"
    return ""
