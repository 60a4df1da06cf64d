"""The blocks of numbers that ARCEP has allotted: policies/numbering/allotted*.csv, loaded compactly.

`allotted.csv` is ARCEP's open data MAJNUM as `guard policy update-numbers` writes it down (see `majnum`); files beside
it (`allotted-*.csv`) have the same form and hold what MAJNUM leaves out. A line is a block: its first digits as dialled
in France, the operator's code, the territory, and since when it is that operator's, which says nothing of whose it was
before: an old call is held against the same blocks.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Final

from msgspec import Struct

from guard.numbering.overseas import EXTENDED, FRENCH_CODES, LENGTH
from guard.tomlread import MAX_FILE, Problem

FILE: Final = "allotted.csv"
FILES: Final = "allotted*.csv"
COLUMNS: Final = "block,operator,territory,allotted"
MAX_BLOCKS: Final = 200_000  # ten times what there is: more is no file of ARCEP's, and would fill the memory
MAX_SHORT: Final = 6  # digits of the longest short number
# The country code of numbers of each territory; services (08) and short numbers are of none.
CODES: Final = {"": "33", "FR": "33", "GP": "590", "GF": "594", "MQ": "596", "RE": "262", "YT": "262", "PM": "508"}

_PLUS: Final = tuple(f"+{code}" for code in FRENCH_CODES)
_PM: Final = "PM"
_KEPT: Final = "508"  # Saint-Pierre-et-Miquelon's fixed numbers: 0508 41 23 45 is +508 41 23 45
_ROW: Final = re.compile(
    r"^([0-9]{2,9}),[A-Z0-9]{1,8},(|FR|GP|GF|MQ|RE|YT|PM),[0-9]{4}-[0-9]{2}-[0-9]{2}$", re.MULTILINE
)
_DATE: Final = re.compile(r"^# date: ([0-9]{4}-[0-9]{2}-[0-9]{2})$", re.MULTILINE)


class Block(Struct, frozen=True, order=True):
    """One block: every number that begins with `digits` (as dialled in France), `operator`'s since `allotted`."""

    digits: str
    operator: str
    territory: str
    allotted: date


class Allotted:
    """All blocks. `on` is the date of the file, `at` its midnight in France (µs of Unix time); None and 0 without."""

    __slots__ = ("_blocks", "_widths", "at", "on")

    def __init__(self, blocks: dict[str, int], on: date | None, at: int) -> None:
        self.on = on
        self.at = at
        self._blocks = blocks  # first characters of numbers in E.164 (or short ones), and how long whole ones are
        self._widths = tuple(sorted({len(b) for b in blocks if b[0] == "+"}))

    def __len__(self) -> int:
        return len(self._blocks)

    def has(self, value: str) -> bool | None:
        """Whether a number (`+33145678900`, or `3949` of a short one) is of an allotted block.

        None where nobody can tell: it is no French number, or there is no file. Never raises.
        """
        if self.on is None:
            return None
        if value.startswith(_PLUS):
            for n in self._widths:
                length = self._blocks.get(value[:n])
                if length is not None:
                    return length == len(value)
            return False
        if value.isdecimal() and len(value) <= MAX_SHORT:
            return self._blocks.get(value) == len(value)
        return None


NOTHING: Final = Allotted({}, None, 0)  # no file at all


def read_allotted(folder: Path, problems: list[Problem]) -> tuple[dict[str, int], date | None]:
    """The blocks of a folder's files, and the date of the main one (None: there is none). Mistakes go to `problems`."""
    blocks: dict[str, int] = {}
    on: date | None = None
    for path in sorted(folder.glob(FILES)):
        text = _text(path, problems)
        if text is None:
            continue
        found = blocks_in(text, str(path), problems)
        twice = blocks.keys() & found.keys()
        if twice:
            problems.append(Problem(str(path), 0, "", f'blocks that another file has, too: "{min(twice)}"'))
        blocks |= found
        if path.name == FILE:
            on = date_in(text, str(path), problems)
    return (blocks, on) if on is not None else ({}, None)


def _text(path: Path, problems: list[Problem]) -> str | None:
    try:
        if path.stat().st_size > MAX_FILE:
            problems.append(Problem(str(path), 0, "", f"larger than {MAX_FILE} bytes"))
            return None
        return path.read_text("utf-8")
    except OSError as error:
        problems.append(Problem(str(path), 0, "", error.strerror or "cannot be read"))
    except UnicodeDecodeError as error:
        problems.append(Problem(str(path), 0, "", f"not UTF-8 at byte {error.start}"))
    return None


def date_in(text: str, file: str, problems: list[Problem]) -> date | None:
    """The date that a file's head tells, which decides how far it is believed."""
    found = _DATE.search(text)
    try:
        if found is not None:
            return date.fromisoformat(found[1])
    except ValueError:
        pass  # 2026-02-30: told below like a date that is missing
    problems.append(Problem(file, 0, "", 'its head tells no date: wanted is a line such as "# date: 2026-04-17"'))
    return None


def blocks_in(text: str, file: str, problems: list[Problem]) -> dict[str, int]:
    """Each block's first characters, and the length of its numbers. Lines that are none are told by their number."""
    lines = text.splitlines()
    plain = sum(1 for line in lines if line and line[0] != "#") - lines.count(COLUMNS)
    if plain > MAX_BLOCKS:
        problems.append(Problem(file, 0, "", f"more than {MAX_BLOCKS} blocks"))
        return {}
    blocks: dict[str, int] = {}
    heads = {territory: f"+{code}" for territory, code in CODES.items()}
    for digits, territory in _ROW.findall(text):  # twenty thousand at each start: nothing is called that need not be
        if digits[0] != "0":
            blocks[digits] = len(digits)  # a short block is one whole number
            continue
        national = digits[1:]
        head = heads[territory] if territory != _PM or not national.startswith(_KEPT) else "+"
        # A number has as many digits after the 0 as its first ones say.
        blocks[head + national] = len(head) + EXTENDED.get(national[:4], LENGTH)
    if len(blocks) != plain:  # a line that is none, or one that stands twice
        problems += _wrong_lines(lines, file)
    return blocks


def _wrong_lines(lines: list[str], file: str) -> list[Problem]:
    """What is wrong, line by line: the slow way, taken only when something is."""
    out: list[Problem] = []
    seen: set[str] = set()
    for n, line in enumerate(lines, 1):
        if not line or line[0] == "#" or line == COLUMNS:
            continue
        if _ROW.fullmatch(line) is None:
            out.append(Problem(file, n, "", f'"{line[:60]}" is no block: wanted is {COLUMNS}'))
            continue
        digits = line.partition(",")[0]
        if digits in seen:
            out.append(Problem(file, n, "", f'"{digits}" stands here twice'))
        seen.add(digits)
    return out
