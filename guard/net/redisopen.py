"""A client for the server that holds a guard's counters: itself, the master that sentinels name, or the node of a
cluster that serves the slot. One connection, made by the first command, which retries nothing by itself."""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import Redis, RedisCluster, SSLConnection
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from guard.configstate import Place

CONNECT: Final = 1.0  # s that a connection, and each answer while it is looked for, may take


async def opened(place: Place, key: str) -> Redis:
    """A client for the server that holds `key`. Raises redis.RedisError or OSError where nobody says which that is."""
    how = _how(place)
    if place.kind == "unix":
        return Redis(unix_socket_path=place.path, db=place.db, **how)
    if place.tls:
        how |= {"ssl": True, **dict(place.files)}
    if place.kind == "single":
        host, port = place.hosts[0]
    elif place.kind == "sentinel":
        host, port = await _master(place, how)
    else:
        host, port = await _node(place, how, key)
    client = Redis(host=host, port=port, db=place.db, **how)
    if place.tls:
        client.connection_pool.connection_class = _CutOff
    return client


class _CutOff(SSLConnection):
    """Closed without TLS's good-bye, which waits for the server's and so outlived a guard that stopped meanwhile."""

    async def disconnect(self, *given: object, **how: object) -> None:
        """See redis-py's, whose arguments are not the same in each version."""
        if self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(*given, **how)  # type: ignore[arg-type]


def _how(place: Place) -> dict[str, Any]:  # keyword arguments of several constructors: Any is what they take
    return {
        "username": place.user or None,
        "password": place.password or None,
        "socket_connect_timeout": CONNECT,
        "socket_timeout": CONNECT,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }


async def _master(place: Place, how: dict[str, Any]) -> tuple[str, int]:
    sentinel = Sentinel(place.hosts, sentinel_kwargs={**how}, **how)  # type: ignore[no-untyped-call]  # redis-py has no types here
    try:
        host, port = await sentinel.discover_master(place.name)
        return str(host), int(port)
    finally:
        for one in sentinel.sentinels:
            await one.aclose()


async def _node(place: Place, how: dict[str, Any], key: str) -> tuple[str, int]:
    nodes = [ClusterNode(host, port) for host, port in place.hosts]
    cluster = RedisCluster(startup_nodes=nodes, **how)
    try:
        await cluster.initialize()
        node = cluster.get_node_from_key(key)
        if node is None:
            raise OSError("no node of the cluster serves the slot")
        return str(node.host), int(node.port)
    finally:
        await cluster.aclose()
