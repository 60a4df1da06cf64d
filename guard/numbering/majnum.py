"""ARCEP's file of allotted blocks (open data MAJNUM.csv) read, checked and written down as policies/numbering has it.

The file is Windows-1252 (UTF-8 is read as well), `;` between the columns, a block a line. Every line is checked, so
that a file cut short, or of another kind, never takes the place of a good one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from guard.numbering.allotted import CODES, COLUMNS, MAX_BLOCKS, MAX_SHORT, Block
from guard.numbering.overseas import code_of, length_of
from guard.tomlread import Problem

HEADER: Final = ("EZABPQM", "Tranche_Debut", "Tranche_Fin", "Mnémo", "Territoire", "Date_Attribution")
TERRITORIES: Final = {
    "Métropole": "FR",
    "National": "",
    "Guadeloupe, St Martin et St Barthélemy": "GP",
    "Guyane": "GF",
    "Martinique": "MQ",
    "La Réunion": "RE",
    "La Réunion - Océan indien": "RE",
    "Mayotte": "YT",
    "Saint Pierre et Miquelon": "PM",
}
MAX_TOLD: Final = 20  # mistakes told of one file; one of another kind has as many as it has lines
_DIGITS: Final = re.compile(r"[0-9]{2,9}")
_OPERATOR: Final = re.compile(r"[A-Z0-9]{1,8}")
_DAY: Final = "%d/%m/%Y"

HEAD: Final = """\
# Every block of French numbers that ARCEP has allotted: first digits as dialled in France, operator, territory, day.
# source: ARCEP open data, MAJNUM.csv (data.gouv.fr, « Ressources en numérotation téléphonique »)
# licence: Licence Ouverte 2.0 (Etalab), as believed; columns thinned, territories as ISO 3166 codes
# Written by `guard policy update-numbers`. The date is that of the newest row.
# date: {on}
"""


class Unreadable(ValueError):
    """A file is not MAJNUM, or is broken: `problems` name lines and reasons, of the first mistakes."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


def read_majnum(data: bytes, file: str) -> list[Block]:
    """The blocks of a file, sorted. Raises Unreadable."""
    rows = csv.reader(_decoded(data, file).splitlines(), delimiter=";")
    problems: list[Problem] = []
    header = tuple(next(rows, []))
    if header != HEADER:
        raise Unreadable([Problem(file, 1, "", f"not ARCEP's MAJNUM: its first line must be {';'.join(HEADER)}")])
    lines: dict[str, int] = {}
    blocks: list[Block] = []
    try:
        for row in rows:
            block = _block(row)
            if isinstance(block, str):
                problems.append(Problem(file, rows.line_num, "", block))
            elif block.digits in lines:
                problems.append(Problem(file, rows.line_num, "", f"{block.digits}: also in line {lines[block.digits]}"))
            else:
                lines[block.digits] = rows.line_num
                blocks.append(block)
            if len(blocks) > MAX_BLOCKS:
                problems.append(Problem(file, rows.line_num, "", f"more than {MAX_BLOCKS} blocks"))
            if len(problems) >= MAX_TOLD:
                break
    except csv.Error as error:
        problems.append(Problem(file, rows.line_num, "", str(error)))
    for block in blocks if not problems else ():
        for n in range(2, len(block.digits)):
            if block.digits[:n] in lines:
                what = f"{block.digits}: part of the block {block.digits[:n]} of line {lines[block.digits[:n]]}"
                problems.append(Problem(file, lines[block.digits], "", what))
    if not blocks and not problems:
        problems.append(Problem(file, 0, "", "holds no block"))
    if problems:
        raise Unreadable(problems[:MAX_TOLD])
    return sorted(blocks)


def _decoded(data: bytes, file: str) -> str:
    """The text: UTF-8 where it is that, else Windows-1252."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            bad = error
    raise Unreadable([Problem(file, data.count(b"\n", 0, bad.start) + 1, "", "not Windows-1252 text")])


def _block(row: list[str]) -> Block | str:
    """One line, or what is wrong with it."""
    if len(row) != len(HEADER):
        return f"{len(row)} columns, not {len(HEADER)}: is the file cut short?"
    digits, first, last, operator, territory, day = row
    if not _DIGITS.fullmatch(digits):
        return f'"{digits}" is no block of numbers'
    whole = length_of(digits[1:]) + 1 if digits[0] == "0" else len(digits)
    if digits[0] != "0" and whole > MAX_SHORT:
        return f'"{digits}" begins with no 0, and is too long for a short number'
    if first != digits.ljust(whole, "0") or last != digits.ljust(whole, "9"):
        return f"{digits}: {first} to {last} is not that block, of numbers of {whole} digits"
    if not _OPERATOR.fullmatch(operator):
        return f'{digits}: "{operator}" is no operator\'s code'
    where = TERRITORIES.get(territory)
    if where is None:
        return f'{digits}: no territory is called "{territory}"'
    if digits[0] == "0" and code_of(digits[1:]) != CODES[where]:
        return f"{digits}: its numbers are under +{code_of(digits[1:])}, which is not {territory}"
    try:
        since = datetime.strptime(day, _DAY).date()  # noqa: DTZ007 - a day, of no zone
    except ValueError:
        return f'{digits}: "{day}" is no date (wanted is 17/04/2026)'
    return Block(digits, operator, where, since)


def date_of(blocks: Iterable[Block], today: date) -> date | None:
    """The date of a file: its newest row's that is not in the future. None where all are."""
    return max((b.allotted for b in blocks if b.allotted <= today), default=None)


def written(blocks: Iterable[Block], on: date) -> str:
    """What policies/numbering/allotted.csv holds of them."""
    lines = (f"{b.digits},{b.operator},{b.territory},{b.allotted.isoformat()}" for b in blocks)
    return "\n".join((HEAD.format(on=on.isoformat()) + COLUMNS, *lines, ""))
