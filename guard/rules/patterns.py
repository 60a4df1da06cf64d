"""Patterns as sites write them - a whole value, `*` for anything, a span of numbers - compiled once; and an index that
finds the few of many rules which a call may fit, without asking each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from msgspec import Struct

from guard.model import CallAttempt

Test = Callable[[str], bool]
ANY: Final = "*"


class Patterns(Struct, frozen=True, kw_only=True):
    """Values of which one must fit. `ranges` are of numbers of equal length, lowest and highest."""

    exact: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    ranges: tuple[tuple[str, str], ...] = ()
    globs: tuple[str, ...] = ()

    def test(self) -> Test:
        """Whether a value fits. What is not there ("") fits nothing."""
        exact, prefixes, ranges = self.exact, self.prefixes, self.ranges
        if exact and not prefixes and not ranges and not self.globs:
            return exact.__contains__
        if prefixes and not exact and not ranges and not self.globs:
            return lambda value: bool(value) and value.startswith(prefixes)
        globs = tuple(tuple(glob.split(ANY)) for glob in self.globs)

        def fits(value: str) -> bool:
            if not value:
                return False
            if value in exact or value.startswith(prefixes):
                return True
            if any(len(value) == len(low) and low <= value <= high for low, high in ranges):
                return True
            return any(_glob(value, glob) for glob in globs)

        return fits

    def heads(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Whole values, and beginnings, of which every value that fits has one; None where anything may fit."""
        begins = [*self.prefixes, *(g.partition(ANY)[0] for g in self.globs), *map(_common, self.ranges)]
        return (tuple(sorted(self.exact)), tuple(begins)) if all(begins) else None


def _glob(value: str, parts: tuple[str, ...]) -> bool:
    """Whether a value is these parts with anything between them. In one pass: a caller chooses the value."""
    first, *middle, last = parts
    end = len(value) - len(last)
    at = len(first)
    if at > end or not value.startswith(first) or not value.endswith(last):
        return False
    for part in middle:
        at = value.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _common(span: tuple[str, str]) -> str:
    """How every number of a span begins."""
    low, high = span
    return low[: next((i for i, (a, b) in enumerate(zip(low, high, strict=True)) if a != b), len(low))]


def patterns(written: Iterable[str], *, fold: bool = False) -> Patterns:
    """Patterns of texts. With `fold` capitals do not matter: the tested value is to be folded as well."""
    exact: list[str] = []
    prefixes: list[str] = []
    globs: list[str] = []
    for one in written:
        text = one.casefold() if fold else one
        head, star, rest = text.partition(ANY)
        if rest.strip(ANY):
            globs.append(text)
        else:
            (prefixes if star else exact).append(head)
    return Patterns(exact=frozenset(exact), prefixes=tuple(prefixes), globs=tuple(globs))


# ---- which rules a call may fit --------------------------------------------------------------------------------------

# By what rules are found, those that tell calls apart best first.
FIELDS: Final[dict[str, Callable[[CallAttempt], str]]] = {
    "callee": lambda call: call.callee.value,
    "caller": lambda call: call.caller.value,
    "line": lambda call: call.line,
    "source": lambda call: call.source,
    "trunk": lambda call: call.trunk,
    "country": lambda call: call.country,
}
T = TypeVar("T")


class Index(Generic[T]):
    """Rules in their order, each with what every call that it fits must have (`None`: it must be asked of each)."""

    def __init__(self, rules: Iterable[tuple[T, dict[str, Patterns]]]) -> None:
        self.all: tuple[T, ...] = ()
        self._always: list[int] = []
        exact: dict[str, dict[str, list[int]]] = {}
        begins: dict[str, dict[str, list[int]]] = {}
        for place, (rule, needs) in enumerate(rules):
            self.all += (rule,)
            name, heads = _best(needs)
            if heads is None:
                self._always.append(place)
                continue
            for table, keys in ((exact, heads[0]), (begins, heads[1])):
                for key in dict.fromkeys(keys):
                    table.setdefault(name, {}).setdefault(key, []).append(place)
        self._unasked = tuple([self.all[place] for place in self._always])
        self._tables = tuple(
            (get, exact.get(name, {}), begins.get(name, {}), tuple(sorted({len(k) for k in begins.get(name, ())})))
            for name, get in FIELDS.items()
            if name in exact or name in begins
        )

    def of(self, call: CallAttempt) -> tuple[T, ...]:
        """The rules that may fit a call, in their order; every rule that does is among them."""
        if not self.all:
            return ()
        found = self._always
        for get, exact, begins, lengths in self._tables:
            value = get(call)
            if not value:
                continue
            if value in exact:
                found = found + exact[value]
            for length in lengths:
                if (head := value[:length]) in begins:
                    found = found + begins[head]
        if found is self._always:
            return self._unasked
        rules = self.all
        return tuple([rules[i] for i in (found if len(found) == 1 else sorted(set(found)))])


def _best(needs: dict[str, Patterns]) -> tuple[str, tuple[tuple[str, ...], tuple[str, ...]] | None]:
    """The field by which a rule is found best, and what it must be there."""
    for name in FIELDS:
        heads = needs[name].heads() if name in needs else None
        if heads is not None:
            return name, heads
    return "", None
