"""How numbers begin: many prefixes asked of at once. What a number's first characters rule out is not looked up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

HEAD: Final = 5  # characters by which prefixes are told apart first, unless a table says otherwise: +331 and a digit


class Widths:
    """The lengths of prefixes that a number may begin with, longest first: of all prefixes, those that begin as it does
    and those that are shorter than a head."""

    __slots__ = ("_by", "_head", "_short")

    def __init__(self, prefixes: Iterable[str], head: int = HEAD) -> None:
        every = set(prefixes)
        short = {len(p) for p in every if len(p) < head}
        found: dict[str, set[int]] = {}
        for prefix in every:
            if len(prefix) >= head:
                found.setdefault(prefix[:head], set(short)).add(len(prefix))
        self._head = head
        self._short = tuple(sorted(short, reverse=True))
        self._by = {head: tuple(sorted(widths, reverse=True)) for head, widths in found.items()}

    def of(self, value: str) -> tuple[int, ...]:
        """Those that are worth a look-up for this number."""
        found = self._by.get(value[: self._head])
        return self._short if found is None else found


class Beginnings:
    """Prefixes of which a number may have one."""

    __slots__ = ("_by", "_head")

    def __init__(self, prefixes: Iterable[str]) -> None:
        every = sorted(set(prefixes))
        self._head = min(map(len, every), default=0)
        found: dict[str, list[str]] = {}
        for prefix in every:
            found.setdefault(prefix[: self._head], []).append(prefix)
        self._by = {head: tuple(some) for head, some in found.items()}

    def has(self, value: str) -> bool:
        """Whether a number begins with one of them."""
        found = self._by.get(value[: self._head])
        return found is not None and value.startswith(found)
