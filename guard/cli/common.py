"""What the commands share: their errors, the configuration, the log to read, instants and machine output."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from guard.config import Config

DEFAULT_CONFIG: Final = Path("/etc/guard/guard.toml")


class CommandError(Exception):
    """What a command cannot do: its lines go to standard error, and the command ends with `status`."""

    def __init__(self, *lines: str, status: int = 1) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.status = status


def told(error: OSError) -> str:
    """What the system says of a file, as people read it: `FILE: No such file or directory`."""
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename is not None else what


def config_option(parser: argparse.ArgumentParser) -> None:
    """Adds `-c FILE`."""
    parser.add_argument(
        "-c", "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"configuration ({DEFAULT_CONFIG})"
    )


def store_option(parser: argparse.ArgumentParser) -> None:
    """Adds `-c FILE` and `--store DB`: which log to read."""
    config_option(parser)
    parser.add_argument("--store", metavar="DB", help="the log to read, in place of the configuration's")


def output_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--json` and `--csv`."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="JSON Lines, one object a line")
    group.add_argument("--csv", action="store_true", help="comma-separated values with a header line")


def load_config(path: Path) -> Config:
    """The configuration; CommandError with a line for each mistake in it."""
    from guard.config import ConfigError, load

    try:
        return load(path)
    except ConfigError as error:
        raise CommandError(*(str(p) for p in error.problems)) from error


# What a command that only reads the log needs of the file. Other mistakes of it are `guard check`'s to tell: a log must
# be readable while a list is missing, or while somebody is half through an edit.
READ: Final = frozenset({"site", "timezone", "store", "evidence", "privacy", "ledger", "trunk"})


def reading_config(path: Path) -> Config:
    """The configuration as far as reading the log needs it; CommandError with a line for each mistake in that."""
    import msgspec

    from guard.config import read
    from guard.configschema import File
    from guard.tomlread import Problem

    problems: list[Problem] = []
    config = read(path, problems)
    others = {f.encode_name for f in msgspec.structs.fields(File)} - READ | {""}
    # A table that is none may be one of those misspelt: the log would be looked for elsewhere.
    wrong = [p for p in problems if config is None or re.split(r"[.\[]", p.key)[0] not in others]
    if config is None or wrong:
        raise CommandError(*(str(p) for p in sorted(set(wrong))))
    return config


def log_of(args: argparse.Namespace) -> tuple[str, ZoneInfo]:
    """The path of the log that a reading command is to open, and the zone that it shows times in."""
    from zoneinfo import ZoneInfo

    if args.store is not None:
        if args.config != DEFAULT_CONFIG or DEFAULT_CONFIG.exists():
            return args.store, ZoneInfo(reading_config(args.config).timezone)
        return args.store, ZoneInfo("Europe/Paris")
    config = reading_config(args.config)
    return str(config.store_path), ZoneInfo(config.timezone)


def key_of(args: argparse.Namespace, store: str) -> Path:
    """The file of the key that signs for a log: the configuration's, or the one beside a log named by `--store`."""
    if args.store is None or args.config != DEFAULT_CONFIG:
        return reading_config(args.config).key_path
    return Path(store + "-key")


def instant(text: str, zone: tzinfo, now: datetime | None = None) -> int:
    """An instant (Unix time, µs) from ISO 8601 (in `zone` where it names none), `today`, or an age such as `15m`.

    Raises CommandError (status 2).
    """
    from guard import wanted

    with words_meant():
        return wanted.instant(text, zone, now)


def dated(text: str, zone: tzinfo) -> int:
    """An instant as `instant` reads it that a call or a letter can have. Raises CommandError (status 2)."""
    from guard import wanted

    with words_meant():
        return wanted.dated(text, zone)


@contextmanager
def words_meant() -> Iterator[None]:
    """A mistake in what was written on the command line as a CommandError (status 2) that names the option."""
    from guard import wanted

    try:
        yield
    except wanted.Mistake as error:
        option = f"--{error.field.replace('_', '-')} " if error.field else ""
        raise CommandError(f"{option}{error.text}", status=2) from error


def json_lines(objects: Iterable[object]) -> None:
    """Each object as one line of JSON on standard output, safe to look at in a terminal."""
    import msgspec

    write = sys.stdout.write
    for one in objects:
        line = msgspec.json.encode(one).decode()
        # What a terminal could obey stands in strings, which callers chose; there an escape means the same.
        write((line if line.isprintable() else "".join(map(_escaped, line))) + "\n")


def _escaped(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1] if ord(char) > 0x7F else f"\\u{ord(char):04x}"


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A header and rows as CSV on standard output. A field that a spreadsheet would take for a formula is quoted
    with an apostrophe, save for numbers in E.164 form: what callers send must not run on a desk."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([cell(v) for v in row])


# Also after a semicolon: spreadsheets of half of Europe split lines there, whatever is quoted.
_FORMULA: Final = re.compile(r"(?:\A|(?<=;))\s*(?=[=+\-@\t\r])")
_NUMBER: Final = re.compile(r"[+-]?[0-9.]+\Z")


def cell(value: object) -> str:
    """A value as a field of CSV that no spreadsheet runs."""
    text = "" if value is None else str(value)
    return text if _NUMBER.match(text) else _FORMULA.sub("'", text)
