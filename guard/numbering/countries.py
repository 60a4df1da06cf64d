"""Countries of numbers outside the French plan: policies/numbering/countries.csv, longest prefix first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from guard.tomlread import Problem

FILE: Final = "countries.csv"
COLUMNS: Final = "prefix,countries"
_ROW: Final = re.compile(r"(\+[1-9][0-9]{0,7}),([A-Z]{2}(?: [A-Z]{2})*)")


def read_countries(folder: Path, problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    """Country codes by E.164 prefix; empty without a file. Mistakes go to `problems`."""
    path = folder / FILE
    found: dict[str, tuple[str, ...]] = {}
    if not path.exists():
        return found
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(str(path), 0, "", f"cannot be read: {error}"))
        return found
    for n, line in enumerate(lines, 1):
        if not line or line[0] == "#" or line == COLUMNS:
            continue
        row = _ROW.fullmatch(line)
        if row is None:
            problems.append(Problem(str(path), n, "", f'"{line[:60]}" is none of {COLUMNS}, such as +32,BE'))
        elif row[1] in found:
            problems.append(Problem(str(path), n, "", f'"{row[1]}" stands here twice'))
        else:
            found[row[1]] = tuple(row[2].split(" "))
    return found
