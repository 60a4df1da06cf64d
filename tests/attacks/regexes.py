"""Regular expressions looked at by their structure: which could take more than work in proportion to the text?

Three shapes do: a repeat within a repeat that can match the same text in two ways; two repeats one behind the other
that can share a text between them; and, where it is searched for, one that begins with what its first repeat can run
over, so that each place of a long run is a new beginning. Possessive repeats give nothing back, and do no harm.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from msgspec import Struct

import guard

ROOT: Final = Path(guard.__file__).parent
LONG: Final = 100  # repetitions; what is bounded below cannot grow
SEARCHES: Final = frozenset({"search", "sub", "subn", "findall", "finditer", "split"})
ALL: Final = frozenset(range(256))
_parser = import_module("re._parser")
Items = list[tuple[object, object]]  # as the parser of `re` gives them: what it is, and its argument


class Regex(Struct, frozen=True):
    """One expression of the guard: where it stands, its text, whether it is searched for."""

    where: str
    pattern: str
    flags: int
    searched: bool


def regexes() -> Iterator[Regex]:
    """Every expression that a module of the guard compiles, or gives to `re` or to msgspec as it stands."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        searched = {
            node.func.value.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SEARCHES
            and isinstance(node.func.value, ast.Name)
        }  # fmt: skip
        where = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        yield from _compiled(where, searched)
        yield from _written(where, tree)


def _compiled(where: str, searched: set[str]) -> Iterator[Regex]:
    name = where.removesuffix(".__init__")
    import_module(name)
    for key, value in vars(sys.modules[name]).items():
        if isinstance(value, re.Pattern):
            text = value.pattern if isinstance(value.pattern, str) else value.pattern.decode("latin-1")
            # re.UNICODE is what a text has and octets have not; here both are octets.
            yield Regex(f"{where}.{key}", text, value.flags & (re.IGNORECASE | re.MULTILINE), key in searched)


def _written(where: str, tree: ast.AST) -> Iterator[Regex]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        asked = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id
        given = [k.value for k in node.keywords if k.arg == "pattern"]
        if asked == "re" and isinstance(node.func, ast.Attribute) and node.func.attr != "compile":
            given += node.args[:1]
        for one in given:
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                searched = isinstance(node.func, ast.Attribute) and node.func.attr in SEARCHES
                yield Regex(f"{where}:{one.lineno}", one.value, 0, searched)


def faults(regex: Regex) -> list[str]:
    """What is wrong with it."""
    items = list(_parser.parse(regex.pattern, regex.flags))
    out = [*_sequence(items)]
    if regex.searched:
        out += _beginning(items)
    return out


def _name(op: object) -> str:
    return str(op)


def _octets(op: object, arg: object) -> frozenset[int]:
    """The octets that one item may match. What is not known may match all."""
    name = _name(op)
    if name == "LITERAL" and isinstance(arg, int):
        return frozenset({arg, ord(chr(arg).swapcase())} if arg < 128 else {arg % 256})
    if name == "NOT_LITERAL" and isinstance(arg, int):
        return ALL - {arg}
    if name == "IN" and isinstance(arg, list):
        return _class(arg)
    return ALL


def _class(parts: Iterable[tuple[object, object]]) -> frozenset[int]:
    negated, found = False, frozenset[int]()
    for op, arg in parts:
        name = _name(op)
        if name == "NEGATE":
            negated = True
        elif name == "RANGE" and isinstance(arg, tuple):
            found |= frozenset(range(arg[0], min(arg[1], 255) + 1))
        elif name == "CATEGORY":
            chars = {"DIGIT": b"0123456789", "SPACE": b" \t\r\n\f\v"}.get(_name(arg).removeprefix("CATEGORY_"))
            found |= frozenset(chars) if chars is not None else ALL
        else:
            found |= _octets(op, arg)
    return ALL - found if negated else found


def _inside(arg: object) -> list[Items]:
    """The sequences within a group, a branch or a repeat."""
    if isinstance(arg, tuple):
        return [seq for part in arg for seq in _inside(part)]
    if isinstance(arg, list) and arg and hasattr(arg[0], "data"):
        return [list(one) for one in arg]
    return [list(cast("Items", arg))] if hasattr(arg, "data") else []


def _reach(items: Items) -> frozenset[int]:
    """Every octet that some place of a sequence may match."""
    found = frozenset[int]()
    for op, arg in items:
        within = _inside(arg)
        if within:
            found |= frozenset().union(*(_reach(seq) for seq in within))
        elif _name(op) not in {"AT", "ASSERT", "ASSERT_NOT"}:
            found |= _octets(op, arg)
    return found


def _flat(items: Items) -> Items:
    """Groups opened: what stands in them stands in the sequence."""
    out: Items = []
    for op, arg in items:
        if _name(op) == "SUBPATTERN" and isinstance(arg, tuple):
            out += _flat(list(arg[-1]))
        elif (
            _name(op) in {"MAX_REPEAT", "MIN_REPEAT"}
            and isinstance(arg, tuple)
            and arg[1] == 1
            and _repeats(list(arg[2]))
        ):
            out += [(op, (0, 1, arg[2]))]
        else:
            out.append((op, arg))
    return out


def _long(op: object, arg: object) -> bool:
    return _name(op) in {"MAX_REPEAT", "MIN_REPEAT"} and isinstance(arg, tuple) and arg[1] >= LONG


def _repeats(items: Items) -> bool:
    """Whether a long repeat stands anywhere within."""
    return any(_long(op, arg) or any(_repeats(seq) for seq in _inside(arg)) for op, arg in items)


class _Running(Struct):
    """A long repeat, and what has to stand behind it: everything since could belong to it as well."""

    octets: frozenset[int]
    between: list[frozenset[int]]

    def shares(self, lead: frozenset[int], octets: frozenset[int]) -> bool:
        """Whether another repeat can take what this one gives back, from many places."""
        return bool(lead & self.octets) and all(one & octets for one in self.between)


def _sequence(items: Items) -> Iterator[str]:
    running: list[_Running] = []
    for op, arg in _flat(items):
        if _long(op, arg) and isinstance(arg, tuple):
            body = list(arg[2])
            octets = _reach(body)
            if any(one.shares(_lead(body), octets) for one in running):
                yield "two repeats can share a text"
            yield from _nested(body)
            if arg[0]:
                running = _behind(running, octets)
            running.append(_Running(octets, []))
            continue
        for seq in _inside(arg):
            yield from _sequence(seq)
            if _repeats(seq) and any(one.shares(_lead(seq), _reach(seq)) for one in running):
                yield "a repeat, and one in a group behind it, can share a text"
        optional = _name(op) in {"MAX_REPEAT", "MIN_REPEAT"} and isinstance(arg, tuple) and arg[0] == 0
        if _name(op) not in {"AT", "ASSERT", "ASSERT_NOT"} and not optional:
            running = _behind(running, _reach([(op, arg)]))


def _behind(running: list[_Running], octets: frozenset[int]) -> list[_Running]:
    """Those that could run over what stands there now."""
    return [_Running(one.octets, [*one.between, octets]) for one in running if one.octets & octets]


def _lead(body: Items) -> frozenset[int]:
    """What a turn of a repeat begins with, where it has to begin with one thing; else whatever is in it."""
    op, arg = _flat(body)[0]
    return _reach(body) if _inside(arg) else _octets(op, arg)


def _nested(body: Items) -> Iterator[str]:
    """A repeat within a repeat is good where each turn begins with something that the rest of it cannot be."""
    if not _repeats(body):
        return
    flat = _flat(body)
    op, arg = flat[0]
    if _inside(arg) or _octets(op, arg) & _reach(flat[1:]):
        yield "a repeat within a repeat"


def _beginning(items: Items) -> Iterator[str]:
    """What is searched for has to begin with something that its first long repeat cannot run over."""
    before = frozenset[int]()
    anchored = False
    flat = _flat(items)
    for n, (op, arg) in enumerate(flat):
        if _name(op) in {"AT", "ASSERT"}:
            anchored = anchored or _name(op) == "AT" or _first(arg) is not None
            before |= _first(arg) or frozenset()
            continue
        if _long(op, arg) and isinstance(arg, tuple):
            octets = _reach(list(arg[2]))
            if n + 1 < len(flat) and ((not anchored and not before) or before & octets):
                yield "each place of a long run is a new beginning"
            return
        if not anchored:
            before |= _reach([(op, arg)])
            anchored = True


def _first(arg: object) -> frozenset[int] | None:
    """What a look-behind wants to see, None for a look-ahead."""
    if isinstance(arg, tuple) and arg[0] == -1:
        return _reach(list(arg[1]))
    return None
