"""The numbering plan: what any number is, at any date. Longest prefix first, in about a microsecond.

Made from policies/numbering/*.toml by `load_plan`, which tells every mistake of every file at once.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from guard.numbering.allotted import NOTHING, Allotted, read_allotted
from guard.numbering.countries import read_countries
from guard.numbering.heads import Widths
from guard.numbering.planschema import TERRITORIES, BadRoot, NumberingFile, RangeEntry, Words, roots
from guard.tomlread import Problem, Reader, nearest

ALWAYS: Final = -(2**62)  # before any instant
NEVER: Final = 2**61  # after any instant; beyond 2**62 - 1, compiled code would compare objects
FRENCH: Final = tuple(f"+{code}" for code in TERRITORIES)
LAW_ZONE: Final = ZoneInfo("Europe/Paris")  # in which the dates of French texts begin and end
_MAX_SHORT: Final = 6  # digits of the longest short number (116XYZ, 118XYZ)


class PlanError(ValueError):
    """The files of a plan are wrong: `problems` names everything that is."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems


class Category(Struct, frozen=True, gc=False):
    """What the plan says of one number.

    `id` is "" for what no range holds and "foreign" for an E.164 number outside the French codes; of both the plan
    says nothing more. `territory` is the ISO 3166 code of where numbers of the range belong (GP stands for
    Saint-Martin and Saint-Barthélemy, too), "" for those that belong nowhere (services, short numbers) and for foreign
    ones; `countries` are the codes of all that share the numbers, foreign ones as well. `opened` is
    whether a block of the range was ever allotted; `length_ok` whether the number has as many digits as its range
    wants.
    """

    id: str
    territory: str = ""
    name_en: str = ""
    name_fr: str = ""
    opened: bool = False
    length_ok: bool = True
    confidence: str = "sure"
    countries: tuple[str, ...] = ()


UNKNOWN: Final = Category("", name_en="number of no known range", name_fr="numéro d'aucune tranche connue")
SHARED: Final = {"GP": ("GP", "MF", "BL")}  # what has no numbers of its own
NO_COUNTRIES: Final[dict[str, tuple[str, ...]]] = {}
FOREIGN: Final = Category("foreign", name_en="foreign number", name_fr="numéro étranger", opened=True)


class Range(Struct, frozen=True, kw_only=True):
    """Every number that begins with `prefix` (`+33162`, or `3949` of a short one) and is no part of a longer one.

    `low` and `high` are its first and last number of right length, `national` its prefix as dialled in France.
    `opened` is one prefix less or none: the whole of it, nothing, or what the list names. It speaks from `since`
    (included) to `until` (left out), µs of Unix time.
    """

    prefix: str
    national: str
    length: int
    digits: int
    category: str
    territory: str
    area: Words | None
    opened: bool | tuple[str, ...]
    confidence: str
    source: tuple[str, ...]
    from_: date | None
    until_: date | None
    since: int
    until: int
    note: str
    file: str

    @property
    def low(self) -> str:
        """The first number."""
        return self.prefix.ljust(self.length, "0")

    @property
    def high(self) -> str:
        """The last number."""
        return self.prefix.ljust(self.length, "9")


class _Entry:
    """What one prefix says between two instants of a number of right length, and of any other."""

    __slots__ = ("length", "right", "since", "until", "wrong")

    def __init__(self, since: int, until: int, length: int, right: Category, wrong: Category) -> None:
        self.since = since
        self.until = until
        self.length = length
        self.right = right
        self.wrong = wrong


class Plan:
    """A whole plan. `ranges` are in the order of the files, `categories` and `sources` by their ids; `blocks` are those
    that ARCEP has allotted, with the date of its file; `countries` those of foreign numbers, by prefix."""

    __slots__ = ("_abroad", "_e164", "_foreign", "_short", "_widths", "blocks", "categories", "ranges", "sources")

    def __init__(
        self,
        ranges: tuple[Range, ...],
        categories: dict[str, Words],
        sources: dict[str, str],
        blocks: Allotted = NOTHING,
        countries: dict[str, tuple[str, ...]] = NO_COUNTRIES,
    ) -> None:
        self.blocks = blocks
        self._foreign = {prefix: replace(FOREIGN, countries=found) for prefix, found in countries.items()}
        self._abroad = Widths(countries)
        self.ranges = ranges
        self.categories = categories
        self.sources = sources
        self._e164: dict[str, tuple[_Entry, ...]] = {}
        # Short numbers of each length have prefixes of their own: 36 is 36PQ with four digits and SMS with five.
        self._short: tuple[dict[str, tuple[_Entry, ...]], ...] = tuple({} for _ in range(_MAX_SHORT + 1))
        # Ranges first: where what one names as opened is a range of its own (0162 in 01), that one speaks, in its time.
        for one in ranges:
            _enter(self._table(one), one.prefix, one, categories[one.category], opened=_wholly_opened(one))
        for one in ranges:
            for prefix in one.opened if isinstance(one.opened, tuple) else ():
                if prefix != one.prefix:
                    _enter(self._table(one), prefix, one, categories[one.category], opened=True)
        self._widths = Widths(self._e164)

    def _table(self, one: Range) -> dict[str, tuple[_Entry, ...]]:
        return self._e164 if one.prefix[0] == "+" else self._short[one.length]

    @property
    def territories(self) -> frozenset[str]:
        """Every code that the `countries` of a category may hold."""
        french = {one.territory for one in self.ranges if one.territory}
        shared = {code for name in french for code in SHARED.get(name, ())}
        return frozenset(french | shared | {c for abroad in self._foreign.values() for c in abroad.countries})

    def allotted(self, value: str) -> bool | None:
        """Whether a number is of a block that ARCEP has allotted; None: no French number, or no file. Never raises."""
        return self.blocks.has(value)

    def lookup(self, value: str, at: int) -> Category:
        """What a number (`+33162…` or `3949`) is at an instant (µs of Unix time). Never raises."""
        if value[:1] == "+":
            for n in self._widths.of(value):
                found = self._e164.get(value[:n])
                if found is not None:
                    for entry in found:
                        if entry.since <= at < entry.until:
                            return entry.right if len(value) == entry.length else entry.wrong
            if value.startswith(FRENCH):
                return UNKNOWN
            for n in self._abroad.of(value):
                abroad = self._foreign.get(value[:n])
                if abroad is not None:
                    return abroad
            return FOREIGN
        length = len(value)
        if length <= _MAX_SHORT:
            table = self._short[length]
            for n in range(length, 0, -1):
                found = table.get(value[:n])
                if found is not None:
                    for entry in found:
                        if entry.since <= at < entry.until:
                            return entry.right
        return UNKNOWN


def _wholly_opened(one: Range) -> bool:
    return one.opened if isinstance(one.opened, bool) else one.prefix in one.opened


def _enter(table: dict[str, tuple[_Entry, ...]], prefix: str, one: Range, name: Words, *, opened: bool) -> None:
    """Put a prefix of a range where `lookup` finds it."""
    right, wrong = (
        Category(
            one.category,
            territory=one.territory,
            name_en=name.en,
            name_fr=name.fr,
            opened=opened,
            length_ok=length_ok,
            confidence=one.confidence,
            countries=SHARED.get(one.territory, (one.territory,)) if one.territory else (),
        )
        for length_ok in (True, False)
    )
    table[prefix] = (*table.get(prefix, ()), _Entry(one.since, one.until, one.length, right, wrong))


def load_plan(folder: Path) -> Plan:
    """The plan that the files of a folder hold. Raises PlanError with everything that is wrong in them."""
    reading = _Reading()
    files = sorted(folder.glob("*.toml"))
    if not files:
        reading.problems.append(Problem(str(folder), 0, "", "no numbering files (*.toml) here"))
    read = [(reader, file) for reader, file in map(reading.file, files) if file is not None]
    for reader, file in read:
        reading.declarations(reader, file)
    whole = len(read) == len(files)  # with a file unread, the words that it declares would all look unknown
    for reader, file in read:
        for i, entry in enumerate(file.range, 1):
            reading.range(reader, ["range", f"[{i}]"], entry, words=whole)
    reading.clashes()
    blocks, on = read_allotted(folder, reading.problems)
    countries = read_countries(folder, reading.problems)
    if reading.problems:
        raise PlanError(tuple(sorted(set(reading.problems))))
    allotted = NOTHING if on is None else Allotted(blocks, on, _midnight(on))
    return Plan(tuple(one for one, _, _ in reading.ranges), reading.categories, reading.sources, allotted, countries)


class _Reading:
    """Everything read so far of a folder, and what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.sources: dict[str, str] = {}
        self.categories: dict[str, Words] = {}
        self.ranges: list[tuple[Range, Reader, list[str]]] = []

    def file(self, path: Path) -> tuple[Reader, NumberingFile | None]:
        """One file, None when anything in it is wrong (which is then noted)."""
        reader = Reader(str(path), self.problems)
        raw = reader.parse(path)
        return reader, None if raw is None else reader.struct(raw, NumberingFile, [])

    def declarations(self, reader: Reader, file: NumberingFile) -> None:
        """The sources and categories of a file."""
        for i, source in enumerate(file.source, 1):
            if source.id in self.sources:
                reader.problem(["source", f"[{i}]", "id"], f'"{source.id}" is declared twice')
            self.sources.setdefault(source.id, source.title)
        for i, category in enumerate(file.category, 1):
            if category.id in self.categories:
                reader.problem(["category", f"[{i}]", "id"], f'"{category.id}" is declared twice')
            self.categories.setdefault(category.id, category.name)

    def range(self, reader: Reader, at: list[str], entry: RangeEntry, *, words: bool) -> None:
        """One [[range]]: a `Range` for each of its roots; `words`: whether every declaration is known by now."""
        if words and entry.category not in self.categories:
            near = nearest(entry.category, self.categories)
            reader.problem([*at, "category"], f'no category is called "{entry.category}"{near}')
        for source in entry.source if words else ():
            if source.split(" ")[0] not in self.sources:
                reader.problem([*at, "source"], f'no source is called "{source}"{nearest(source, self.sources)}')
        if entry.territory not in TERRITORIES.get(entry.code, ("",)):
            reader.problem([*at, "territory"], f'"{entry.territory}" has no numbers under the code "{entry.code}"')
        if entry.from_ is not None and entry.until is not None and entry.from_ > entry.until:
            reader.problem([*at, "until"], "is before from")
        if not entry.code and entry.digits > _MAX_SHORT:
            reader.problem([*at, "digits"], f"without a code these are short numbers, of at most {_MAX_SHORT} digits")
            return
        spans = entry.opened if isinstance(entry.opened, tuple) else ()
        opened = self._roots(reader, [*at, "opened"], entry, spans)
        prefixes = self._roots(reader, [*at, "national"], entry, entry.national)
        for i, (national, _) in enumerate(opened):
            if not national.startswith(tuple(n for n, _ in prefixes)):
                reader.problem([*at, "opened"], f'"{national}" is no part of this range')
            elif national in {n for n, _ in opened[:i]}:
                reader.problem([*at, "opened"], f'"{national}" stands here twice')
        for national, prefix in prefixes:
            within = tuple(p for _, p in opened if p.startswith(prefix))
            self.ranges.append((_range(reader.file, entry, national, prefix, within), reader, at))

    def _roots(
        self, reader: Reader, at: list[str], entry: RangeEntry, written: tuple[str, ...]
    ) -> list[tuple[str, str]]:
        """Each of the roots (national form, prefix in E.164 or short), without those that cannot be."""
        good: list[tuple[str, str]] = []
        for one in written:
            try:
                good += [(national, _prefix(entry, national)) for national in roots(one)]
            except BadRoot as error:
                reader.problem(at, str(error))
        return good

    def clashes(self) -> None:
        """Ranges with one prefix, one length and a day in common; and what is opened inside a range within."""
        seen: dict[tuple[str, int], list[Range]] = {}
        for one, reader, at in self.ranges:
            key = (one.prefix, 0 if one.prefix[0] == "+" else one.length)
            for other in seen.setdefault(key, []):
                if one.since < other.until and other.since < one.until:
                    reader.problem([*at, "national"], f'"{one.national}" is also in {other.file} ({other.category})')
            seen[key].append(one)
        for one, reader, at in self.ranges:
            for prefix in one.opened if isinstance(one.opened, tuple) else ():
                for n in range(len(one.prefix) + 1, len(prefix)):
                    if (prefix[:n], 0 if prefix[0] == "+" else one.length) in seen:
                        reader.problem([*at, "opened"], f'"{prefix}" is part of a range of its own, "{prefix[:n]}"')


def _prefix(entry: RangeEntry, national: str) -> str:
    """A root in E.164, or as it is when short. Raises BadRoot."""
    if len(national) > entry.digits:
        raise BadRoot(f'"{national}" has more digits than the {entry.digits} of a whole number')
    if not entry.code:
        return national
    if not national.startswith(entry.trunk):
        raise BadRoot(f'"{national}" does not begin with "{entry.trunk}", which the country code takes the place of')
    return f"+{entry.code}{national[len(entry.trunk) :]}"


def _range(file: str, entry: RangeEntry, national: str, prefix: str, opened: tuple[str, ...]) -> Range:
    return Range(
        prefix=prefix,
        national=national,
        length=len(prefix) + entry.digits - len(national),
        digits=entry.digits,
        category=entry.category,
        territory=entry.territory,
        area=entry.area,
        opened=entry.opened if isinstance(entry.opened, bool) else opened,
        confidence=entry.confidence,
        source=entry.source,
        from_=entry.from_,
        until_=entry.until,
        since=ALWAYS if entry.from_ is None else _midnight(entry.from_),
        until=NEVER if entry.until is None else _midnight(entry.until + timedelta(days=1)),
        note=entry.note,
        file=file,
    )


def _midnight(day: date) -> int:
    """Where a day of French law begins, µs of Unix time."""
    return int(datetime.combine(day, time(), LAW_ZONE).timestamp()) * 1_000_000
