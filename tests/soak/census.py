"""What a guard holds: every table by its name, every kind of object, and the octets of all, found by walking through
whatever refers to what. A table that is added tomorrow is counted as well.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from functools import _lru_cache_wrapper
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Final

from msgspec import Struct

from guard.config import Config
from guard.policy.load import Policy

OURS: Final = "guard."
THEIRS: Final = ("sim.", "tests.soak.far")  # who is on the other side
TABLES: Final = (dict, list, set, deque, bytearray, array)
# The code itself, what was read from files and stays, and where the guard ends.
OUTSIDE: Final = (
    ModuleType, CodeType, BuiltinFunctionType, type, Policy, Config, asyncio.AbstractEventLoop, threading.Thread,
)  # fmt: skip


class Census(Struct, frozen=True):
    """`tables` are entries by "module.Class.attribute" (with ".*" those of tables in it), `kinds` objects of ours by
    class. `octets` are those of each part with what it holds; what several hold is the first one's."""

    tables: dict[str, int]
    kinds: dict[str, int]
    octets: dict[str, int]


MODULES: Final = "modules"  # the part that the modules themselves keep: results that are remembered, for one


def census(parts: dict[str, Sequence[object]]) -> Census:
    """Count all that the modules of the guard hold, and then each of some parts."""
    gc.collect()
    walk = Walk()
    modules = [(n, m) for n, m in list(sys.modules.items()) if n.startswith(OURS)]
    octets = {MODULES: walk.through([o for name, module in modules for o in _globals(name, module, walk.tables)])}
    for name, part in parts.items():
        octets[name] = walk.through(part)
    return Census(dict(walk.tables), dict(walk.kinds), octets)


class Walk:
    """Passes each object once."""

    def __init__(self) -> None:
        self.tables: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self._seen: set[int] = set()

    def through(self, roots: Sequence[object]) -> int:
        """All that these hold, and nobody before them: octets."""
        queue, seen, octets = list(roots), self._seen, 0
        while queue:
            item = queue.pop()
            if id(item) in seen or isinstance(item, OUTSIDE):
                continue
            kind = type(item)
            if kind.__module__.startswith(THEIRS):
                continue
            seen.add(id(item))
            octets += sys.getsizeof(item)
            if isinstance(item, FunctionType):
                queue += [item.__closure__, item.__defaults__]
                continue
            if kind.__module__.startswith(OURS):
                self.kinds[f"{kind.__module__.removeprefix(OURS)}.{kind.__qualname__}"] += 1
                _named(item, kind, self.tables)
            queue += gc.get_referents(item)
        return octets


def _globals(name: str, module: ModuleType, tables: Counter[str]) -> list[object]:
    """What a module keeps between calls: tables that change, and results remembered."""
    found: list[object] = []
    for word, value in vars(module).items():
        kept = _inside(value)
        place = f"{name.removeprefix(OURS)}.{word}"
        if isinstance(kept, _lru_cache_wrapper):
            if kept.__module__ != name:
                continue  # imported: it is counted where it is made
            tables[place] += kept.cache_info().currsize
            found += gc.get_referents(kept)
        elif isinstance(kept, TABLES) and not word.startswith("__"):
            tables[place] += len(kept)
            found.append(kept)
    return found


def _inside(value: object) -> object:
    """The results that a function remembers (guard/sip/remember.py), where it does."""
    if isinstance(value, FunctionType) and value.__closure__:
        cells = [c.cell_contents for c in value.__closure__]
        return next((c for c in cells if isinstance(c, _lru_cache_wrapper)), value)
    return value


def _named(item: object, kind: type, tables: Counter[str]) -> None:
    for name in _names(kind) if not hasattr(item, "__dict__") else (*_names(kind), *vars(item)):
        value = _inside(getattr(item, name, None))
        place = f"{kind.__module__.removeprefix(OURS)}.{kind.__qualname__}.{name}"
        if isinstance(value, _lru_cache_wrapper):
            tables[place] += value.cache_info().currsize
        elif isinstance(value, TABLES):
            tables[place] += len(value)
            if isinstance(value, dict):
                within = [len(v) for v in value.values() if isinstance(v, TABLES)]
                if within:
                    tables[f"{place}.*"] += sum(within)


def _names(kind: type) -> tuple[str, ...]:
    found = _KNOWN.get(kind)
    if found is None:
        slots = [getattr(c, "__slots__", ()) for c in kind.__mro__]
        names = [n for s in slots for n in ((s,) if isinstance(s, str) else s)]
        found = _KNOWN[kind] = tuple(dict.fromkeys([*names, *getattr(kind, "__struct_fields__", ())]))
    return found


_KNOWN: Final[dict[type, tuple[str, ...]]] = {}
