"""TOML into strict structs, telling every mistake at once: file, key path, line, what is wrong, the nearest valid word.

msgspec stops at the first mistake, so values are converted key by key: each struct, array of tables and table of
structs is walked here, and only leaves are given to msgspec.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from threading import Lock
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import tomli
from msgspec import Meta, Struct

T = TypeVar("T", bound=Struct)
MAX_FILE = 16 * 1024 * 1024  # bytes; a configuration or policy beyond this is a mistake, not a configuration
# msgspec finds out what a struct has when it is first asked for one, and a thread that asks meanwhile takes the process
# with it. Whatever is decoded elsewhere has its decoder made when its module is read.
_CONVERTING = Lock()


class Problem(Struct, frozen=True, order=True):
    """One mistake. `key` is a path such as `source[1].usage` (counted from 1 as people do), `line` 0 when not known."""

    file: str
    line: int
    key: str
    what: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.what}" if self.key else f"{where}: {self.what}"


def nearest(word: str, words: object) -> str:
    """`; did you mean "x"?` for the valid word nearest to `word`, "" when none is near."""
    near = (
        get_close_matches(word, [str(w) for w in words], n=1, cutoff=0.5)
        if isinstance(words, (list, tuple, set, frozenset, dict))
        else []
    )
    return f'; did you mean "{near[0]}"?' if near else ""


_HEADER = re.compile(r"""^\s*+(\[\[?)((?:[^\]"']|"[^"]*"|'[^']*')++)\]""")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def _parts(dotted: str) -> list[str]:
    return [p.strip("\"'") for p in _PART.findall(dotted)]


def key_path(parts: list[str]) -> str:
    """A key path for people: parts with dots in them are quoted, indices cling to what they index."""
    out = ""
    for part in parts:
        if part.startswith("["):
            out += part
        else:
            shown = f'"{part}"' if "." in part else part
            out += f".{shown}" if out else shown
    return out


def lines_of(text: str) -> dict[str, int]:
    """The line of each table and key, by key path. Multi-line strings are not followed: a line is a help, no proof."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    at: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is not None:
            at = []
            parts = _parts(header.group(2))
            for i, part in enumerate(parts):
                at.append(part)
                path = key_path(at)
                found.setdefault(path, number)  # also of an array of tables as a whole, and of what it stands in
                if header.group(1) == "[[" and i == len(parts) - 1:
                    counts[path] = counts.get(path, 0) + 1
                if path in counts:
                    at.append(f"[{counts[path]}]")
            found.setdefault(key_path(at), number)
            continue
        key = _KEY.match(line)
        if key is not None:
            parts = _parts(key.group(1))
            for i in range(len(parts)):
                found.setdefault(key_path(at + parts[: i + 1]), number)
    return found


@cache
def fields_of(kind: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The keys of a table. Kept: finding the types of a struct costs more than reading one."""
    return {f.encode_name: f for f in msgspec.structs.fields(kind)}


class Reader:
    """Reads one TOML file; `problems` collects what is wrong with it."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        self._text = ""
        self._lines: dict[str, int] | None = None

    @property
    def lines(self) -> dict[str, int]:
        """Where its tables and keys stand; looked up only once something is wrong with one."""
        if self._lines is None:
            self._lines = lines_of(self._text)
        return self._lines

    @lines.setter
    def lines(self, found: dict[str, int]) -> None:
        self._lines = found

    def parse(self, path: Path) -> dict[str, Any] | None:
        """The file as TOML gives it, None (and a problem) when it cannot be read."""
        try:
            if path.stat().st_size > MAX_FILE:
                self.problem([], f"larger than {MAX_FILE} bytes")
                return None
            text = path.read_text("utf-8")
        except OSError as error:
            self.problem([], error.strerror or "cannot be read")
            return None
        except UnicodeDecodeError as error:
            self.problem([], f"not UTF-8 at byte {error.start}")
            return None
        return self.loads(text)

    def loads(self, text: str) -> dict[str, Any] | None:
        """The same of a text."""
        try:
            raw = tomli.loads(text)  # Python's tomllib, compiled: it takes a third of the time
        except tomli.TOMLDecodeError as error:
            match = re.search(r"\(at line (\d+), column \d+\)$", str(error))  # or: at end of document
            line = int(match.group(1)) if match else text.count("\n") + 1
            self.problems.append(Problem(self.file, line, "", f"not TOML: {error}"))
            return None
        except RecursionError:
            self.problem([], "not TOML that can be read: arrays or tables stand too deep in each other")
            return None
        self._text, self._lines = text, None
        return raw

    def problem(self, parts: list[str], what: str) -> None:
        """Note a mistake at a key; the line is that of the key, or of the nearest table around it."""
        line = 0
        for n in range(len(parts), 0, -1):
            line = self.lines.get(key_path(parts[:n]), 0)
            if line:
                break
        self.problems.append(Problem(self.file, line, key_path(parts), what))

    def struct(self, raw: object, kind: type[T], parts: list[str], *, partial: bool = False) -> T | None:
        """A struct from a table; None when anything in it is wrong (each wrong thing being noted).

        With `partial`, what is wrong gets its default, so that the rest can still be checked; None when it has none.
        """
        if not partial and kind.__struct_config__.forbid_unknown_fields:  # and so in its inner tables
            try:
                with _CONVERTING:
                    return msgspec.convert(raw, kind, strict=True)  # forty times as fast as the walk below
            except (msgspec.ValidationError, RecursionError):
                pass
        if not isinstance(raw, dict):
            self.problem(parts, f"must be a table, is {_shown(raw)}")
            return None
        fields = fields_of(kind)
        good = True
        values: dict[str, Any] = {}
        for key in raw:
            if key not in fields:
                self.problem([*parts, key], f"unknown key{nearest(key, list(fields))}")
                good = False
        for name, f in fields.items():
            if name in raw:
                value = self.value(raw[name], f.type, [*parts, name])
                if value is _BAD:
                    good = False
                else:
                    values[f.name] = value
            elif f.required:
                self.problem([*parts, name], "missing")
                good = False
        if partial:
            good = all(f.name in values for f in fields.values() if f.required)
        try:
            return kind(**values) if good else None
        except ValueError as error:  # what a struct checks when it is made: its fields together
            self.problem(parts, str(error))
            return None

    def value(self, raw: object, kind: object, parts: list[str]) -> object:
        """Any value; `_BAD` when it is wrong."""
        plain = _plain(kind)
        origin = get_origin(plain)
        if isinstance(plain, type) and issubclass(plain, Struct):
            made = self.struct(raw, plain, parts)
            return _BAD if made is None else made
        if origin is tuple and isinstance(raw, list) and _is_struct(get_args(plain)[0]):
            items = [self.value(v, get_args(plain)[0], [*parts, f"[{i}]"]) for i, v in enumerate(raw, 1)]
            return _BAD if any(i is _BAD for i in items) else tuple(items)
        if origin is dict and isinstance(raw, dict) and _is_struct(get_args(plain)[1]):
            made_all = {k: self.value(v, get_args(plain)[1], [*parts, k]) for k, v in raw.items()}
            return _BAD if any(v is _BAD for v in made_all.values()) else made_all
        if origin is tuple and isinstance(raw, dict) and _is_struct(get_args(plain)[0]):
            self.problem(parts, f"there may be several: write [[{key_path(parts)}]], with two brackets")
            return _BAD
        try:
            with _CONVERTING:
                return msgspec.convert(raw, kind, strict=True)
        except msgspec.ValidationError as error:
            self.problem(parts, _wrong(raw, kind, str(error)))
            return _BAD

    @staticmethod
    def is_bad(value: object) -> bool:
        """Whether `value` said that what it read was wrong."""
        return value is _BAD


_BAD = object()


def _plain(kind: object) -> object:
    """A type without its `Annotated` and `| None` around it."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif (
            get_origin(kind) in {Union, UnionType}
            and len(rest := [a for a in get_args(kind) if a is not type(None)]) == 1
        ):
            kind = rest[0]
        else:
            return kind


def _is_struct(kind: object) -> bool:
    plain = _plain(kind)
    return isinstance(plain, type) and issubclass(plain, Struct)


def _words(kind: object) -> list[str]:
    """The words that a type allows, when it allows only words."""
    if get_origin(kind) is Literal:
        return [str(a) for a in get_args(kind)]
    return list(dict.fromkeys(w for a in get_args(kind) for w in _words(a)))


def _described(kind: object) -> str:
    """What a type's pattern means to people, where it says so."""
    metas = [a for a in get_args(kind) if isinstance(a, Meta)] if get_origin(kind) is Annotated else []
    return next((m.description for m in metas if m.description), "")


def _wrong(raw: object, kind: object, error: str) -> str:
    described = _described(kind)
    if described and " matching regex " in error:
        return f"{_shown(raw)}: must be {described}"
    words = _words(_plain(kind))
    if words:
        bad = [r for r in (raw if isinstance(raw, list) else [raw]) if r not in words]
        shown = ", ".join(_shown(b) for b in bad)
        near = nearest(str(bad[0]), words) if bad else ""
        return f"{shown or _shown(raw)} is not one of {', '.join(words)}{near}"
    return f"{_shown(raw)}: {error[0].lower()}{error[1:]}"


def _shown(raw: object) -> str:
    text = repr(raw) if not isinstance(raw, str) else f'"{raw}"'
    return text if len(text) <= 80 else f"{text[:77]}..."
