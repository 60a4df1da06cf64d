"""policies/destinations/*.toml: where calls are risky, and what services cost. Read strictly, every mistake at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from guard.confignumbers import after, micros
from guard.numbering.plan import LAW_ZONE
from guard.numbering.planschema import Root, SourceEntry
from guard.policy.schema import Confidence, Line, Micro, Words
from guard.rules.destinations import Band, Destinations, E164Prefix, Level, Risk
from guard.rules.numbers import ALWAYS, NEVER
from guard.tomlread import Problem, Reader, nearest

NATIONAL: Final = "0"  # what a country code takes the place of


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that stands in a file of destinations."""


class RiskEntry(_Strict, frozen=True, kw_only=True):
    """[[risk]]: numbers that begin with one of `prefixes`. `source` names entries of [[source]], with a place in them
    where there is one; `from` and `until` are both included, in French time; `reported` is what the source counted."""

    prefixes: Annotated[tuple[E164Prefix, ...], Meta(min_length=1)]
    kind: Literal["country", "range", "satellite", "network", "premium", "shared-cost"]
    level: Level
    name: Words
    confidence: Confidence
    source: Annotated[tuple[Line, ...], Meta(min_length=1)]
    reported: Annotated[int, Meta(ge=0)] = 0
    from_: date | None = field(name="from", default=None)
    until: date | None = None
    note: str = ""


class BandEntry(_Strict, frozen=True, kw_only=True):
    """[[band]]: French services whose numbers begin with one of `roots`, as dialled; `digits` is the length of a whole
    number, and `code` the country code in E.164 ("" for short numbers, which have none). Prices are ceilings, VAT
    included; with `varies` some of the numbers cost less, or nothing."""

    id: Line
    roots: Annotated[tuple[Root, ...], Meta(min_length=1)]
    digits: Annotated[int, Meta(ge=3, le=10)]
    name: Words
    code: Literal["", "33"] = ""
    confidence: Confidence
    source: Annotated[tuple[Line, ...], Meta(min_length=1)]
    microeuros_per_minute: Micro | None = None
    microeuros_per_call: Micro | None = None
    varies: bool = False
    from_: date | None = field(name="from", default=None)
    until: date | None = None
    note: str = ""


class DestinationFile(_Strict, frozen=True, kw_only=True):
    """One file of policies/destinations."""

    source: tuple[SourceEntry, ...] = ()
    risk: tuple[RiskEntry, ...] = ()
    band: tuple[BandEntry, ...] = ()


Entry = RiskEntry | BandEntry


class _Reading:
    """Everything read so far, and what is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.risks: list[Risk] = []
        self.bands: list[Band] = []
        self.places: dict[tuple[str, int], list[tuple[int, int, str]]] = {}

    def file(self, reader: Reader, file: DestinationFile) -> None:
        """One file whose shape is good."""
        sources: set[str] = set()
        for i, one in enumerate(file.source, 1):
            if one.id in sources:
                reader.problem(["source", f"[{i}]", "id"], f'"{one.id}" is declared twice')
            sources.add(one.id)
        for i, risk in enumerate(file.risk, 1):
            self._risk(reader, ["risk", f"[{i}]"], risk, sources)
        for i, band in enumerate(file.band, 1):
            self._band(reader, ["band", f"[{i}]"], band, sources)

    def _risk(self, reader: Reader, at: list[str], entry: RiskEntry, sources: set[str]) -> None:
        since, until = self._common(reader, at, entry, sources)
        for prefix in entry.prefixes:
            self._place(reader, [*at, "prefixes"], prefix, 0, since, until)
            self.risks.append(
                Risk(
                    prefix=prefix,
                    kind=entry.kind,
                    level=entry.level,
                    name_en=entry.name.en,
                    name_fr=entry.name.fr,
                    reported=entry.reported,
                    confidence=entry.confidence,
                    since=since,
                    until=until,
                )
            )

    def _band(self, reader: Reader, at: list[str], entry: BandEntry, sources: set[str]) -> None:
        since, until = self._common(reader, at, entry, sources)
        for root in entry.roots:
            if "-" in root or len(root) > entry.digits or root.startswith(NATIONAL) is not bool(entry.code):
                reader.problem(
                    [*at, "roots"],
                    f'"{root}" is not how such a number begins: "089" of ten digits with a code, "36" of four without',
                )
                continue
            prefix = f"+{entry.code}{root[1:]}" if entry.code else root
            length = len(prefix) + entry.digits - len(root)
            self._place(reader, [*at, "roots"], prefix, length, since, until)
            self.bands.append(
                Band(
                    id=entry.id,
                    prefix=prefix,
                    length=length,
                    name_en=entry.name.en,
                    name_fr=entry.name.fr,
                    per_minute=entry.microeuros_per_minute,
                    per_call=entry.microeuros_per_call,
                    varies=entry.varies,
                    confidence=entry.confidence,
                    since=since,
                    until=until,
                )
            )

    @staticmethod
    def _common(reader: Reader, at: list[str], entry: Entry, sources: set[str]) -> tuple[int, int]:
        """Sources and dates, which every entry has."""
        for source in entry.source:
            if source.split(" ")[0] not in sources:
                reader.problem(
                    [*at, "source"], f'no source of this file is called "{source}"{nearest(source, sources)}'
                )
        if entry.from_ is not None and entry.until is not None and entry.from_ > entry.until:
            reader.problem([*at, "until"], f"{entry.until} is before from = {entry.from_}")
        return (
            ALWAYS if entry.from_ is None else micros(entry.from_, LAW_ZONE),
            NEVER if entry.until is None else after(entry.until, LAW_ZONE),
        )

    def _place(self, reader: Reader, at: list[str], prefix: str, length: int, since: int, until: int) -> None:
        """Two entries of one prefix must not speak on one day."""
        taken = self.places.setdefault((prefix, length), [])
        for low, high, file in taken:
            if since < high and low < until:
                reader.problem(
                    at, f'"{prefix}" stands here twice' if file == reader.file else f'"{prefix}" is in {file}'
                )
                break
        taken.append((since, until, reader.file))


def load_destinations(folder: Path, problems: list[Problem]) -> Destinations:
    """Everything that the files of a folder hold; a folder that is not there holds nothing. Mistakes go to
    `problems`."""
    reading = _Reading(problems)
    for path in files(folder):
        reader = Reader(str(path), problems)
        raw = reader.parse(path)
        file = None if raw is None else reader.struct(raw, DestinationFile, [])
        if file is not None:
            reading.file(reader, file)
    return Destinations(tuple(reading.risks), tuple(reading.bands))


def files(folder: Path) -> Sequence[Path]:
    """The files of a folder, in the order in which they are read."""
    return sorted(folder.glob("*.toml"))
