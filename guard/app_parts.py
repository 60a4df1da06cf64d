"""Parts of the guard that are made from a configuration: its addresses, its log."""

from __future__ import annotations

from guard.config import Config
from guard.evidence.keys import BadKey, load_or_make
from guard.policy.load import Policy
from guard.proxy.effects import Address, Transport
from guard.store.errors import StoreError
from guard.store.sqlite import SqliteWriter


def listens(config: Config) -> tuple[tuple[Transport, str, int], ...]:
    """Where a configuration says to listen, UDP first."""
    every: tuple[tuple[Transport, tuple[Address, ...]], ...] = (
        ("udp", config.udp),
        ("tcp", config.tcp),
        ("tls", config.tls),
    )
    return tuple((transport, host, port) for transport, addresses in every for host, port in addresses)


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
