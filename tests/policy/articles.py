"""The excerpts of the contracts that tests hold our data against (data/articles, see SOURCES.md there)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parent / "data" / "articles"
CUT: Final = "[…]"
_LINE: Final = re.compile(r"\A *(\d+) (.*)\Z")


class Article(NamedTuple):
    """Lines of one article, by number, and its text in runs that nothing was left out of."""

    lines: list[tuple[int, str]]
    runs: list[str]

    def has(self, quote: str) -> bool:
        """Whether these very words are there, however they are broken into lines."""
        return any(plain(quote) in run for run in self.runs)


def plain(text: str) -> str:
    return " ".join(text.split())


@cache
def articles() -> dict[tuple[str, str], Article]:
    """Every excerpt, by document and article."""
    out: dict[tuple[str, str], Article] = {}
    for path in sorted(FOLDER.glob("*.txt")):
        first, *rest = path.read_text("utf-8").splitlines()
        document = first.removeprefix("file ")
        key = (document, "")
        for line in rest:
            if line.startswith("== "):
                key = (document, line[3:])
                assert key not in out, f"{path.name}: {line} twice"
                out[key] = Article([], [""])
            elif line.strip() == CUT:
                out[key].runs.append("")
            elif line.strip():
                match = _LINE.match(line)
                assert match, f"{path.name}: {line!r}"
                out[key].lines.append((int(match[1]), match[2]))
                head, *others = match[2].split(CUT)
                out[key].runs[-1] = plain(f"{out[key].runs[-1]} {head}")
                out[key].runs.extend(plain(o) for o in others)
    return out
