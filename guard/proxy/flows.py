"""The connections over which contacts were registered: calls to such a contact go back over them (RFC 5626 5.3).

A phone without a listening port, or without a certificate that would prove its place (RFC 5923), can be reached in no
other way. This is the one thing of a registration that a Contact cannot carry: a connection is of this life of the
guard, and what is known of it is forgotten with it.
"""

from __future__ import annotations

from typing import Final

from guard.proxy.effects import Flow

MAX_FLOWS: Final = 100_000  # contacts that are remembered, some 400 bytes each; beyond, what was registered first goes


class Flows:
    """Flows by the key of the contact that was registered over them (`Bound.key`)."""

    __slots__ = ("_by_key", "_of")

    def __init__(self) -> None:
        self._by_key: dict[bytes, Flow] = {}
        self._of: dict[int, set[bytes]] = {}  # the keys of each connection, by its number

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: bytes) -> Flow | None:
        """The connection of a contact, None where there is none (any more)."""
        return self._by_key.get(key)

    def keep(self, key: bytes, flow: Flow) -> None:
        """A contact was registered over a connection: the last one counts."""
        self._drop(key)
        if len(self._by_key) >= MAX_FLOWS:
            self._drop(next(iter(self._by_key)))
        self._by_key[key] = flow
        self._of.setdefault(flow.conn, set()).add(key)

    def closed(self, conn: int) -> None:
        """A connection is gone."""
        for key in self._of.pop(conn, ()):
            del self._by_key[key]

    def _drop(self, key: bytes) -> None:
        flow = self._by_key.pop(key, None)
        if flow is not None:
            keys = self._of[flow.conn]
            keys.discard(key)
            if not keys:
                del self._of[flow.conn]
