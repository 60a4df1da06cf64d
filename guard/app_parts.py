"""Parts of the guard that are made from a configuration: its log, its trunks with their names looked up."""

from __future__ import annotations

import socket
from typing import cast

from guard.config import Config, ConfigError
from guard.evidence.keys import BadKey, load_or_make
from guard.policy.load import Policy
from guard.proxy.effects import Transport
from guard.proxy.routing import Hop, Trunk, Trunks
from guard.store.errors import StoreError
from guard.store.sqlite import SqliteWriter
from guard.tomlread import Problem


def open_store(config: Config, policy: Policy) -> SqliteWriter:
    """The log of a configuration, with the key that signs for it, made at the first start. Raises StoreError."""
    config.store_path.parent.mkdir(parents=True, exist_ok=True)
    try:
        key, _ = load_or_make(config.key_path)
    except BadKey as error:
        raise StoreError(str(error)) from error
    return SqliteWriter(
        config.store_path,
        site=config.site,
        durability=config.file.store.durability,
        money=policy.figures,
        signer=key,
    )


def resolved(config: Config) -> Trunks:
    """The trunks with the names of their next hops looked up. Raises ConfigError for one that has no address."""
    problems: list[Problem] = []
    trunks: list[Trunk] = []
    for i, trunk in enumerate(config.file.trunk, 1):
        hops: list[Hop] = []
        for hop in config.hops[trunk.name]:
            try:
                found = socket.getaddrinfo(hop.host, hop.port, type=socket.SOCK_DGRAM)
            except OSError as error:
                key = f"trunk[{i}].next_hop"
                problems.append(Problem(str(config.path), 0, key, f'"{hop.host}" has no address: {error.strerror}'))
                continue
            addresses = dict.fromkeys(str(a[4][0]) for a in found)
            hops += [Hop(cast("Transport", hop.transport), address, hop.port) for address in addresses]
        trunks.append(Trunk(name=trunk.name, hops=tuple(hops), mask_caller=trunk.mask_caller))
    if problems:
        raise ConfigError(problems)
    return Trunks(tuple(trunks))
