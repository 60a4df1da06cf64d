"""Names of next hops, looked up when the guard starts and again whenever an answer has run out, beside the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from guard import confighops
from guard.config import Config, ConfigError
from guard.net.dns import Dns, DnsError, Family, Located, Resolver, Wanted, locate
from guard.net.say import LOG
from guard.proxy.effects import Transport
from guard.proxy.routing import Trunks
from guard.proxy.shapes import Hop, Trunk
from guard.tomlread import Problem

RETRY: Final = 10.0  # s after which a name is asked for again that nobody answered
TIERS: Final = 1_000  # tiers that the name of one `next_hop` may have: more than the places that it may lead to
TRANSPORTS: Final = ("udp", "tcp", "tls")  # those that the guard speaks to a next hop, best first
COUNTERS: Final = ("dns_lookups", "dns_failures", "dns_changes")


class Looked(Struct, frozen=True):
    """What came of looking names up: where they lead, and why nobody knows of the others."""

    located: dict[Wanted, Located]
    failed: dict[Wanted, str]


def wanted(hop: confighops.Hop) -> Wanted:
    """A next hop as DNS is asked for it."""
    return Wanted(
        host=hop.host,
        transport="" if "transport" in hop.open else hop.transport,
        port=0 if "port" in hop.open else hop.port,
        secure=hop.secure,
    )


def names(config: Config) -> tuple[Wanted, ...]:
    """Every next hop of a configuration, each once."""
    return tuple(dict.fromkeys(wanted(hop) for trunk in config.file.trunk for hop in config.hops[trunk.name]))


def families(config: Config) -> tuple[Family, ...]:
    """The kinds of addresses that the guard can send from: those that it listens on."""
    hosts = [host for host, _ in (*config.udp, *config.tcp, *config.tls)]
    found: list[Family] = []
    if any(":" not in h for h in hosts):
        found.append("A")
    if any(":" in h for h in hosts):
        found.append("AAAA")
    return tuple(found)


def resolver(config: Config) -> Resolver:
    """Who is asked."""
    return Resolver(config.dns, config.file.dns.timeout_ms / 1000)


def look_up(config: Config, asked: Iterable[Wanted], dns: Dns) -> Looked:
    """Look names up, one after the other."""
    located: dict[Wanted, Located] = {}
    failed: dict[Wanted, str] = {}
    for name in asked:
        try:
            found = locate(dns, name, TRANSPORTS, families(config))
        except DnsError as error:
            failed[name] = str(error)
            continue
        if found.hops:
            located[name] = found
        else:
            failed[name] = f"{name.host} leads to no address"
    return Looked(located, failed)


def trunks_of(config: Config, located: dict[Wanted, Located]) -> Trunks:
    """The trunks, with the hops of each `next_hop` behind those of the one before. One that is not located has none."""
    trunks: list[Trunk] = []
    for entry in config.file.trunk:
        hops: dict[tuple[Transport, str, int], Hop] = {}
        for i, written in enumerate(config.hops[entry.name]):
            found = located.get(wanted(written))
            for hop in found.hops if found is not None else ():
                place = hop.transport, hop.host, hop.port
                tier, name = i * TIERS + hop.tier, entry.tls_name or written.host
                hops.setdefault(place, Hop(*place, tier=tier, weight=hop.weight, name=name))
        health = entry.health
        trunks.append(
            Trunk(
                name=entry.name,
                hops=tuple(hops.values()),
                mask_caller=entry.mask_caller,
                silence=entry.silence_ms * 1000,
                every=health.every_s * 1_000_000,
                down_after=health.down_after,
                up_after=health.up_after,
                tls_ca=str(config.path.parent / entry.tls_ca) if entry.tls_ca else "",
                large=entry.large,
            )
        )
    return Trunks(tuple(trunks))


def resolved(config: Config, dns: Dns | None = None) -> Trunks:
    """The trunks with their names looked up now. Raises ConfigError where a trunk is left without any address."""
    looked = look_up(config, names(config), dns if dns is not None else resolver(config))
    trunks = trunks_of(config, looked.located)
    problems: list[Problem] = []
    for i, entry in enumerate(config.file.trunk, 1):
        for hop in config.hops[entry.name]:
            why = looked.failed.get(wanted(hop))
            if why is None:
                continue
            if trunks.by_name[entry.name].hops:
                LOG.warning("trunk %s: %s; its other next hops serve", entry.name, why)
            else:
                key = f"trunk[{i}].next_hop"
                problems.append(Problem(str(config.path), 0, key, f'"{hop.host}" has no address: {why}'))
    if problems:
        raise ConfigError(problems)
    return trunks


class NextHops:
    """Keeps names fresh while the guard runs. `adopt` hears of trunks whose hops have changed.

    What nobody answers keeps its last good answer, and what nobody ever answered keeps the trunk as it was. A name that
    answers with nothing is treated alike: an operator that has vanished from DNS is more likely broken than gone.
    """

    def __init__(self, config: Config, trunks: Trunks, adopt: Callable[[Trunks], None], dns: Dns | None = None) -> None:
        self._config = config
        self._trunks = trunks
        self._adopt = adopt
        self._given = dns
        self._dns: Dns = dns if dns is not None else resolver(config)
        self._known: dict[Wanted, Located] = {}
        self._due: dict[Wanted, float] = {}
        self._failing: dict[Wanted, str] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    def start(self) -> None:
        """Begin: what was looked up for the start did not say how long it holds."""
        self._expect(self._config)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def adopt(self, config: Config, trunks: Trunks) -> None:
        """Another configuration is in force, with these trunks."""
        self._trunks = trunks
        if self._given is None and (config.dns, config.file.dns) != (self._config.dns, self._config.file.dns):
            self._dns = resolver(config)
        self._config = config
        self._expect(config)
        self._changed.set()

    async def stop(self) -> None:
        """Ask no more. A question that is out is not waited for."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _expect(self, config: Config) -> None:
        """Names that are no addresses, each asked for at once."""
        now = asyncio.get_running_loop().time()
        asked = [n for n in names(config) if not confighops.numeric(n.host)]
        self._due = {n: self._due.get(n, now) for n in asked}
        self._known = {n: found for n, found in self._known.items() if n in self._due}
        self._failing = {n: why for n, why in self._failing.items() if n in self._due}

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            asked = [n for n, at in self._due.items() if at <= loop.time()]
            if asked:
                config = self._config
                looked = await loop.run_in_executor(None, look_up, config, asked, self._dns)
                self.heard(looked, loop.time())
                continue
            pause = min(self._due.values(), default=None)
            try:
                async with asyncio.timeout(None if pause is None else max(pause - loop.time(), 0.001)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def heard(self, looked: Looked, now: float) -> None:
        """Answers came, or did not: tell, and hand on what changed."""
        self.counters["dns_lookups"] += len(looked.located) + len(looked.failed)
        for name, found in looked.located.items():
            if name in self._due:
                self._known[name] = found
                self._due[name] = now + found.ttl
                if self._failing.pop(name, None) is not None:
                    LOG.info("%s is found again", name.host)
        for name, why in looked.failed.items():
            self.counters["dns_failures"] += 1
            if name in self._due:
                self._due[name] = now + RETRY
                if name not in self._failing:
                    LOG.warning("%s; what was known of it stays", why)
                self._failing[name] = why
        self._offer()

    def _offer(self) -> None:
        """Hand on the trunks if one of them leads elsewhere now."""
        numeric = look_up(self._config, (n for n in names(self._config) if n not in self._due), self._dns).located
        fresh = trunks_of(self._config, {**numeric, **self._known})
        trunks = tuple(self._kept(trunk) for trunk in fresh.by_name.values())
        if trunks == tuple(self._trunks.by_name.values()):
            return
        for trunk in trunks:
            if trunk != self._trunks.by_name.get(trunk.name):
                places = ", ".join(f"{h.transport} {h.host} {h.port}" for h in trunk.hops)
                LOG.info("trunk %s: next hops are now %s", trunk.name, places)
        self.counters["dns_changes"] += 1
        self._trunks = Trunks(trunks)
        self._adopt(self._trunks)

    def _kept(self, trunk: Trunk) -> Trunk:
        """A trunk, as it is in force while one of its names was never answered."""
        unknown = [h for h in self._config.hops[trunk.name] if (n := wanted(h)) in self._due and n not in self._known]
        return self._trunks.by_name.get(trunk.name, trunk) if unknown else trunk
