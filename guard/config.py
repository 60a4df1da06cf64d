"""guard.toml, read, checked and compiled: every mistake at once, each with file, key and the nearest valid word."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final, cast
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from msgspec import Struct

from guard import configrefusal
from guard import configschema as schema
from guard.confighep import Collector, collector
from guard.confighops import Hop, dns_server, next_hop
from guard.configmqtt import Broker, broker
from guard.confignumbers import numbers
from guard.configsources import sources
from guard.configstate import Place, shared
from guard.configtls import Files, caution, tls_files
from guard.configweb import Place as WebPlace
from guard.configweb import place as web_place
from guard.numbering.number import Dial, normalise
from guard.numbering.plan import LAW_ZONE
from guard.policy.caseschema import Case
from guard.policy.siteschema import SiteRule
from guard.prospecting.lists import SHAPES
from guard.rules.numbers import HeldNumbers
from guard.sources import Source
from guard.tomlread import Problem, Reader, fields_of, nearest

SHIPPED: Final = (Path(__file__).parent / "_policies", Path(__file__).parent.parent / "policies")
TABLES: Final[dict[str, type[Struct]]] = {
    "trunk": schema.Trunk,
    "source": schema.Source,
    "usage": schema.UsageEntry,
    "number": schema.NumberEntry,
    "site_rule": SiteRule,
    "case": Case,
}
RULE_KEYS: Final = frozenset({"enabled", "action", "mode", "status"})


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` is everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(sorted(set(problems)))


class Config(Struct, frozen=True, kw_only=True):
    """One guard.toml, checked. Addresses are `(host, port)`; `hops` are by trunk."""

    path: Path
    file: schema.File
    policies: Path
    zone: ZoneInfo
    udp: tuple[tuple[str, int], ...]
    tcp: tuple[tuple[str, int], ...]
    tls: tuple[tuple[str, int], ...]
    tls_files: Files
    hops: dict[str, tuple[Hop, ...]]
    dns: tuple[tuple[str, int], ...]
    sources: tuple[Source, ...]
    held: HeldNumbers
    hep: Collector | None = None
    broker: Broker | None = None
    shared: Place | None = None
    web: WebPlace | None = None
    warnings: tuple[str, ...] = ()

    @property
    def site(self) -> str:
        """This guard's name in records."""
        return self.file.site

    @property
    def timezone(self) -> str:
        """The zone that records show times in."""
        return self.file.timezone

    @property
    def screens_inbound(self) -> bool:
        """Whether a rule of the site may refuse calls that come in: only then do they wait for a decision."""
        return any(r.enabled and r.action == "block" and r.direction != "outbound" for r in self.file.site_rule)

    @property
    def lists(self) -> dict[str, Path]:
        """The files of `[prospecting]`, by the name of their key."""
        written = {name: getattr(self.file.prospecting, name, "") for name in SHAPES}
        return {name: self.path.parent / path for name, path in written.items() if path}

    @property
    def store_path(self) -> Path:
        """The log's file."""
        return self.path.parent / self.file.store.path

    @property
    def key_path(self) -> Path:
        """The file of the key that signs; the log's name and `-key` where none is named."""
        key = self.file.evidence.key
        return self.path.parent / key if key else self.store_path.with_name(self.store_path.name + "-key")


def load(path: Path) -> Config:
    """Read and check `path`. Raises ConfigError with every mistake found."""
    problems: list[Problem] = []
    config = read(path, problems)
    if config is None or problems:
        raise ConfigError(problems)
    return config


def read(path: Path, problems: list[Problem]) -> Config | None:
    """The configuration, None when the file is no TOML. Mistakes go to `problems`; what is good is still compiled, so
    that its policies can be checked in the same run."""
    reader = Reader(str(path), problems)
    raw = reader.parse(path)
    if raw is None:
        return None
    return _Compiler(reader, path, cast("dict[str, object]", raw)).config()


def made_up(reader: Reader, path: Path, raw: dict[str, object]) -> Config:
    """A configuration that stands in no guard.toml: of a site that cases are judged for. Proofs that it names need not
    be there."""
    return _Compiler(reader, path, raw, files=False).config()


@cache
def zones() -> tuple[str, ...]:
    """Every time zone of this machine. Kept: finding them is a walk through a thousand files."""
    return tuple(sorted(available_timezones()))


def is_zone(name: str) -> bool:
    """Whether this is a time zone; without that walk for the one that nearly every site has."""
    return name == LAW_ZONE.key or name in zones()


def _parts(reader: Reader, raw: dict[str, object]) -> schema.File:
    """The file with whatever in it is good: one bad table costs itself, not the checks of all others."""
    fields = fields_of(schema.File)
    values: dict[str, object] = {}
    for key, value in raw.items():
        if key not in fields:
            reader.problem([key], f"unknown key{nearest(key, list(fields))}")
        elif key in TABLES and isinstance(value, list):
            kind = TABLES[key]
            items = [reader.struct(v, kind, [key, f"[{i}]"], partial=True) for i, v in enumerate(value, 1)]
            values[key] = tuple(i for i in items if i is not None)
        elif key == "rules" and isinstance(value, dict):
            values[key] = {n: r for n, t in value.items() if (r := _rule(reader, n, t)) is not None}
        else:
            good = reader.value(value, fields[key].type, [key])
            if not reader.is_bad(good):
                values[key] = good
    return msgspec.structs.replace(schema.File(), **values)


def _rule(reader: Reader, name: str, table: object) -> schema.RuleSetting | None:
    """One table of `[rules]`: what every rule has, and the rule's own parameters apart."""
    if not isinstance(table, dict):
        reader.problem(["rules", name], "must be a table")
        return None
    plain = {k: v for k, v in table.items() if k in RULE_KEYS}
    setting = reader.struct(plain, schema.RuleSetting, ["rules", name])
    own = {k: v for k, v in table.items() if k not in RULE_KEYS}
    return None if setting is None else msgspec.structs.replace(setting, parameters=own)


def host_port(text: str) -> tuple[str, int] | None:
    """`host:port` or `[IPv6]:port` with a numeric host; None for anything else."""
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        return None
    try:
        ip = ip_address(host)
    except ValueError:
        return None
    return (host, int(port)) if ip.version == 4 or text.startswith("[") else None


class _Compiler:
    """One reading of one file."""

    def __init__(self, reader: Reader, path: Path, raw: dict[str, object], *, files: bool = True) -> None:
        self.reader = reader
        self.files = files
        self.problem = reader.problem
        self.path = path
        self.raw = raw
        self.file = _parts(reader, raw)
        self.warnings: list[str] = []

    def config(self) -> Config:
        """All parts, each checked."""
        file = self.file
        zone = LAW_ZONE
        if is_zone(file.timezone):
            zone = ZoneInfo(file.timezone)
        else:
            self.problem(["timezone"], f'"{file.timezone}" is no time zone{nearest(file.timezone, zones())}')
        self._lists()
        self._money()
        hops = self._trunks()
        who = self._sources(hops)
        configrefusal.check(file, self.path.parent, self.problem, self._warn)
        return Config(
            path=self.path,
            file=file,
            policies=self._policies(),
            zone=zone,
            udp=self._listen("udp", file.listen.udp),
            tcp=self._listen("tcp", file.listen.tcp),
            tls=self._listen("tls", file.listen.tls),
            tls_files=self._tls(hops),
            hops=hops,
            dns=self._dns(),
            sources=who,
            held=HeldNumbers(numbers(file.number, zone, self.problem, self._file)),
            hep=collector(file.hep, self.problem),
            broker=broker(file, self.path.parent, self.problem, self._warn, files=self.files),
            shared=shared(file.state, self.problem),
            web=self._web(),
            warnings=tuple(self.warnings),
        )

    def _warn(self, text: str) -> None:
        self.warnings.append(f"{self.path}: {text}")

    def _lists(self) -> None:
        for name in SHAPES:
            self._file(getattr(self.file.prospecting, name, ""), ["prospecting", name])

    def _web(self) -> WebPlace | None:
        written = self.file.web.listen if self.file.web is not None else schema.Web().listen
        return web_place(self.file, self.path.parent, host_port(written), self.problem, self._warn, files=self.files)

    def _money(self) -> None:
        """Sums of money: written with a decimal point, exact to a millionth of a euro."""
        sums: list[tuple[list[str], float | None]] = [
            (["trunk", f"[{i}]", "undetermined_origin"], trunk.undetermined_origin)
            for i, trunk in enumerate(self.file.trunk, 1)
        ]
        limits = ("alert_day", "alert_month", "enforce_above_day", "enforce_above_month")
        sums += [(["ledger", name], getattr(self.file.ledger, name)) for name in limits]
        for key, euros in sums:
            try:
                schema.micro_euros(euros or 0)
            except ValueError as error:
                self.problem(key, str(error))

    def _file(self, name: str, key: list[str]) -> None:
        if name and self.files and not (self.path.parent / name).is_file():
            self.problem(key, f'"{name}": no such file in {self.path.parent.absolute()}')

    def _policies(self) -> Path:
        if self.file.policies:
            folder = self.path.parent / self.file.policies
            if not folder.is_dir():
                self.problem(["policies"], f'"{self.file.policies}": no such folder')
            return folder
        return next((p for p in SHIPPED if p.is_dir()), SHIPPED[-1])

    def _listen(self, name: str, written: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
        out: list[tuple[str, int]] = []
        for text in written:
            address = host_port(text)
            if address is None:
                self.problem(
                    ["listen", name], f'"{text}" is no address: write it as 192.0.2.10:5060 or [2001:db8::1]:5060'
                )
            elif address in out:
                self.problem(["listen", name], f'"{text}" stands twice')
            elif ip_address(address[0].partition("%")[0]).is_unspecified and not self.file.listen.advertise:
                self.problem(["listen", name], f'"{text}" needs listen.advertise: peers cannot answer to it')
            else:
                out.append(address)
        if name == "tls" and not (written or self.file.listen.udp or self.file.listen.tcp):
            self.problem(["listen"], "neither udp nor tcp nor tls: there is nothing to listen on")
        return tuple(out)

    def _tls(self, hops: dict[str, tuple[Hop, ...]]) -> Files:
        for key, text in ((["tls", k], getattr(self.file.tls, k, "")) for k in ("certificate", "key", "ca")):
            self._file(text, key)
        for i, trunk in enumerate(self.file.trunk, 1):
            self._file(trunk.tls_ca, ["trunk", f"[{i}]", "tls_ca"])
            if any(h.transport == "tls" for h in hops.get(trunk.name, ())) and not self.file.listen.tls:
                why = (
                    "is reached over TLS, but there is no listen.tls: it can call only over connections of the guard's"
                )
                self.warnings.append(f"{self.path}: trunk {trunk.name} {why}")
        if why := caution(self.file):
            self._warn(why)
        return tls_files(self.file, self.path.parent, self.problem)

    # ---- trunks and sources ----------------------------------------------------------------------------------------

    def _named(self, key: str) -> list[str]:
        """Names as written, also of tables that are wrong otherwise."""
        items = self.raw.get(key, [])
        if isinstance(items, dict):
            items = [items]  # [trunk] instead of [[trunk]], which is a mistake of its own
        tables = [i for i in items if isinstance(i, dict)] if isinstance(items, list) else []
        return [str(t.get("name", "")) for t in tables]

    def _unique(self, key: str) -> None:
        seen: set[str] = set()
        for i, name in enumerate(self._named(key), 1):
            if name and name in seen:
                self.problem([key, f"[{i}]", "name"], f'"{name}" stands twice')
            seen.add(name)

    def _trunks(self) -> dict[str, tuple[Hop, ...]]:
        if not self._named("trunk"):
            self.problem([], "no [[trunk]]: there is nowhere to send calls")
        self._unique("trunk")
        out: dict[str, tuple[Hop, ...]] = {}
        for i, trunk in enumerate(self.file.trunk, 1):
            hops = [next_hop(text, ["trunk", f"[{i}]", "next_hop"], self.problem) for text in trunk.next_hop]
            out[trunk.name] = tuple(h for h in hops if h is not None)
            if trunk.mask_caller:
                number = normalise(trunk.mask_caller, Dial())
                if number.kind != "e164" or number.value != trunk.mask_caller:
                    hint = f'; did you mean "{number.value}"?' if number.kind == "e164" else ""
                    self.problem(["trunk", f"[{i}]", "mask_caller"], f'"{trunk.mask_caller}" is no E.164 number{hint}')
        return out

    def _dns(self) -> tuple[tuple[str, int], ...]:
        texts = self.file.dns.servers
        found = [dns_server(text, ["dns", "servers"], self.problem) for text in texts]
        return tuple(f for f in found if f is not None)

    def _sources(self, hops: dict[str, tuple[Hop, ...]]) -> tuple[Source, ...]:
        if not self._named("source"):
            self.problem([], "no [[source]]: nobody may send calls")
        self._unique("source")
        return sources(self.file, self._named("trunk"), self._named("source"), hops, self.problem)
