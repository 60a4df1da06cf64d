"""TOML out of any bytes. Of a text whose bytes are changed, nine of ten are TOML no more, and what reads its tables
never sees them; here bytes say what is changed in an example, and what comes out is TOML nearly always.

An input that begins with `MARK`, which no text in UTF-8 holds, is read so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

MARK: Final = b"\xff"
EXAMPLES: Final = 256  # that one byte can choose from
SOWN: Final = 16  # examples that fuzzing begins with: it finds the way to the others
CHANGES: Final = 24  # of one example: more only make it nothing like one
_HEAD: Final = re.compile(r"\[\[?([^\[\]]+)\]\]?")
_KEY: Final = re.compile(r"""((?:[\w-]+|"[^"\\]*")(?:\.[\w-]+)*) = """)
_PAIRS: Final = ("[]", "{}")
ODD: Final = (
    '""', '"*"', '" "', '"\\u0000"', '"a\\nb"', '"é\\u202e"', '"' + "9" * 70 + '"', '"+33"', '"+"', '"00"', '"["',
    '"http://["', '"redis://[]:1"', '"sip:"', '"::1"', '"[::1]:0"', '"127.0.0.1:5060"', '"0.0.0.0/0"', '"::/129"',
    '"{caller}"', '"{"', '"{0!r:>99}"', '"../.."', '"22:00-22:00"', '"24:61-99:99"', '"mon-xyz"', "0", "1", "-1",
    "65536", "9223372036854775807", "1e400", "0.005", "-0.0", "nan", "inf", "true", "false", "[]", "[[]]", "{}",
    '[""]', "[1]", "[{}]", '["2*", "2*"]', "{ a = 1 }", "{ all = [] }", "{ not = {} }", "{ any = [{ line = 1 }] }",
    "1979-05-27", "0001-01-01", "9999-12-31", "2026-01-01T00:00:00Z", "07:32:00",
)  # fmt: skip

Tables = list[tuple[str, dict[str, str]]]
"""Of a text: each head, "" for what stands before the first, with its keys and their values."""


def tables_of(text: str) -> Tables:
    """What a text of plain lines says; a value may go on over several."""
    found: Tables = [("", {})]
    key = ""
    for line in text.splitlines():
        here = found[-1][1]
        if key:
            here[key] += "\n" + line
        elif _HEAD.fullmatch(line):
            found.append((line, {}))
        elif begun := _KEY.match(line):
            key = begun[1]
            here[key] = line[begun.end() :]
        if key and whole(here[key]):
            key = ""
    return found


def whole(value: str) -> bool:
    """Whether a value ends in its line, as far as quotes and brackets tell."""
    quotes = value.count('"""') + value.count("'''")
    return quotes % 2 == 0 and (quotes > 0 or all(value.count(a) == value.count(b) for a, b in _PAIRS))


def parted(text: str) -> list[str]:
    """Of a long example short ones: what stands before its tables, with each of them and those within it."""
    top, *rest = tables_of(text)
    found: list[Tables] = []
    for head, keys in rest:
        within = found and head.strip("[]").startswith(found[-1][1][0].strip("[]") + ".")
        if within:
            found[-1].append((head, keys))
        else:
            found.append([top, (head, keys)])
    return [written(one) for one in found]


def written(tables: Tables) -> str:
    """As TOML."""
    return "".join(f"{head}\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) for head, keys in tables)


class Recipe:
    """Examples of one kind of file, and all the keys and values that they have."""

    def __init__(self, examples: Sequence[str]) -> None:
        self.examples = [tables_of(text) for text in examples]
        own: dict[str, dict[str, dict[str, None]]] = {}
        for tables in self.examples:
            for head, keys in tables:
                for key, value in keys.items():
                    own.setdefault(head, {}).setdefault(key, {})[value] = None
        self.heads = [head for head in own if head]
        self.own = {head: [(key, tuple(v)) for key, v in keys.items()] for head, keys in own.items()}
        every = [value for keys in own.values() for values in keys.values() for value in values]
        self.values = tuple(dict.fromkeys((*ODD, *every)))

    def text(self, recipe: bytes) -> str:
        """The example that the first byte says, with a change for each three that follow."""
        if not recipe:
            return ""
        tables = [(head, dict(keys)) for head, keys in self.examples[recipe[0] % len(self.examples)]]
        steps = recipe[1 : 1 + 3 * CHANGES]
        for a, b, c in zip(steps[::3], steps[1::3], steps[2::3], strict=False):
            self._change(tables, a, b, c)
        return written(tables)

    def _change(self, tables: Tables, a: int, b: int, c: int) -> None:
        head, keys = tables[a % len(tables)]
        if c < 16 and keys:
            del keys[list(keys)[b % len(keys)]]
        elif c < 24 and len(tables) < CHANGES:
            tables.append((head, dict(keys)) if head.startswith("[[") else (self.heads[b % len(self.heads)], {}))
        elif c < 32 and len(tables) > 1:
            del tables[a % len(tables)]
        elif known := self.own.get(head):
            key, own = known[b % len(known)]
            keys[key] = own[c % len(own)] if c < 128 else self.values[(c << 3 ^ a ^ b) % len(self.values)]


def sown(recipe: Recipe) -> list[bytes]:
    """Where fuzzing begins: some examples without a change, and with one."""
    some = range(0, len(recipe.examples), -(-len(recipe.examples) // SOWN))
    return [bytes([n, *step]) for n in some for step in ((), (n, n * 7 % EXAMPLES, n * 37 % EXAMPLES))]
