"""The files of the policies folder, and the lists of `[prospecting]`. The first byte says which kind of file it is."""

from __future__ import annotations

from io import BytesIO, TextIOWrapper
from os import stat_result
from pathlib import Path, PurePosixPath
from typing import Final, cast
from zoneinfo import ZoneInfo

from guard.numbering.plan import PlanError, load_plan
from guard.policy.destinations import load_destinations
from guard.policy.read import read_contracts, read_rules
from guard.prospecting.lists import NEVER, SHAPES, _File
from guard.prospecting.table import Table
from guard.tomlread import Problem
from tests.fuzz.targets import TESTS, Target, small
from tests.fuzz.targets.configuration import told
from tests.fuzz.targets.recipe import EXAMPLES, MARK, Recipe, parted, sown

LONGEST: Final = 1400
SHIPPED: Final = TESTS.parent / "policies"
KINDS: Final = ("rules", "contracts", "destinations", "numbering", "lists")
ZONE: Final = ZoneInfo("Europe/Paris")
LISTS: Final = tuple(SHAPES)


class Rows(Table):
    """A table that only looks at its rows: the true one sorts 256 buckets, whatever stands in the file."""

    def __init__(self) -> None:
        pass

    def add(self, number: str, since: int, until: int, line: int) -> None:
        assert number[0] == "+"
        assert number[1:].isdigit()
        assert -NEVER <= since < until <= NEVER
        assert line > 0


class Held(PurePosixPath):
    """A folder that holds one file, in memory: with a true one, half the time went into the system's calls."""

    content: bytes | None = None

    def glob(self, pattern: str) -> list[Held]:
        """The file, where it is asked for."""
        return [FILE] if FILE.match(pattern) else []

    def exists(self) -> bool:
        """Only the file does."""
        return self == FILE

    def stat(self) -> stat_result:
        """Its size: all that is asked."""
        return stat_result((0o100644, 0, 0, 1, 0, 0, len(self.content or b""), 0, 0, 0))

    def read_text(self, encoding: str) -> str:
        """Its text, read as a file's: with every end of line as one."""
        return TextIOWrapper(BytesIO(self.content or b""), encoding).read()


FOLDER: Final = Held("/policies")
FILE: Final = FOLDER / "fuzzed.toml"


def seeds() -> list[bytes]:
    """The head of each policy that is shipped, table by table, changes of them, and small lists."""
    made = []
    for number, kind in enumerate(KINDS[:-1]):
        for path in (SHIPPED / kind).glob("*.toml"):
            tables = path.read_bytes().split(b"\n[[")
            made += [bytes([number]) + (b"[[" if i else b"") + t + b"\n" for i, t in enumerate(tables)]
        made += [bytes([number]) + MARK + one for one in sown(RECIPES[kind])]
    made += [
        b"\x04number,from,until,proof\n+33612345678,2026-01-01,2026-06-30,a.pdf\n+33612345679,2026-02-29,,b\n",
        b"\x04number;at\n0612345678;2026-01-01T10:00:00+01:00\n",
        b'\x04number,proof,from\n"+33 6 12 34 56 78","x\ny",2026-12-31\n',
    ]
    return small(made, LONGEST)


def recipe(kind: str) -> Recipe:
    """What is shipped of one kind, in short pieces."""
    texts = [path.read_text("utf-8") for path in sorted((SHIPPED / kind).glob("*.toml"))]
    found = [one for text in texts for one in parted(text) if len(one) < LONGEST]
    return Recipe(found[:: -(-len(found) // EXAMPLES)])


RECIPES: Final = {kind: recipe(kind) for kind in KINDS[:-1]}


def check(data: bytes) -> None:
    """One file in an otherwise empty folder."""
    if not data:
        return
    kind, content = KINDS[data[0] % len(KINDS)], data[1:]
    if content[:1] == MARK and kind in RECIPES:
        content = RECIPES[kind].text(content[1:]).encode()
    problems: list[Problem] = []
    if kind == "lists":
        name = LISTS[data[0] // len(KINDS) % len(LISTS)]
        file = _File(name, Path("lists.csv"), ZONE, problems)
        for _ in file.rows(content.decode("utf-8", "replace"), Rows()):
            pass
    else:
        FILE.content = content
        loaded(kind, cast("Path", FOLDER), problems)
    told(problems, content.decode("utf-8", "replace"))


def loaded(kind: str, place: Path, problems: list[Problem]) -> None:
    """What a folder of that kind holds, or its problems."""
    if kind == "rules":
        found = read_rules(place, problems)
        assert found or problems
    elif kind == "contracts":
        assert read_contracts(place, problems) or problems
    elif kind == "destinations":
        load_destinations(place, problems)
    else:
        try:
            plan = load_plan(place)
        except PlanError as error:
            problems += error.problems
            assert problems
        else:
            for number in ("+33145678900", "112", "+2691234567"):
                plan.lookup(number, 0)


TARGET: Final = Target(
    invariant="Any file is a policy, a plan or a list, or problems, each telling what is wrong, "
    "at a line that is there.",
    longest=LONGEST,
    seeds=seeds,
    words=(
        b"[[rule]]\n",
        b"[[range]]\n",
        b"[[risk]]\n",
        b"[[band]]\n",
        b"[[source]]\n",
        b"[[category]]\n",
        b"id = ",
        b"[rule.say.",
        b"parameters",
        b"from = ",
        b"until = ",
        b"2026-01-01",
        b"roots = [",
        b"prefixes = [",
        b"opened = ",
        b"national = [",
        b"digits = ",
        b"{caller}",
        b"number,from,until,proof\n",
        b"number,at\n",
        b"+33612345678",
        b"-",
    ),
    check=check,
)
