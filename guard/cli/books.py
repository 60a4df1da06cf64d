"""What the commands on money and incidents share: the books beside the log; sums, days and letters."""

from __future__ import annotations

import argparse
import os
import re
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from guard.cli.common import DEFAULT_CONFIG, CommandError, dated, instant, load_config
from guard.cli.show import harmless, nearest

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from guard.config import Config
    from guard.configschema import Trunk
    from guard.ledger.incidents import Document
    from guard.ledger.lines import LedgerLine
    from guard.policy.schema import Contract
    from guard.store.books import Books

SUM: Final = re.compile(r"[+-]?(?:[0-9]{1,20}(?:[.,][0-9]{0,20})?|[.,][0-9]{1,20})\Z")
THOUSANDS: Final = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}\Z")  # 1,500 and 1.500: each means two sums
LARGEST: Final = 10**9  # euros of one entry by hand: more is a slip of the pen


def now_us() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1000


def config_of(args: argparse.Namespace) -> Config | None:
    """The configuration, None where a log was named and there is none."""
    if args.store is not None and args.config == DEFAULT_CONFIG and not DEFAULT_CONFIG.exists():
        return None
    return load_config(args.config)


def contracts_of(config: Config) -> dict[str, Contract]:
    """The contracts of its policies. CommandError for mistakes in them."""
    from guard.policy.read import read_contracts
    from guard.tomlread import Problem

    problems: list[Problem] = []
    found = read_contracts(config.policies / "contracts", problems)
    if problems:
        raise CommandError(*map(str, problems))
    return found


def trunk_of(config: Config | None, name: str) -> Trunk | None:
    """The trunk of that name; where none is named, the only one there is. CommandError for an unknown name."""
    if config is None:
        return None
    trunks = {t.name: t for t in config.file.trunk}
    if not name:
        return next(iter(trunks.values())) if len(trunks) == 1 else None
    if name not in trunks:
        raise CommandError(f'no [[trunk]] "{name}"{nearest(name, trunks)}', status=2)
    return trunks[name]


def day_of(text: str | None, zone: ZoneInfo, now: int) -> int:
    """An instant as people write it, now where they do not. CommandError for one still to come."""
    if text is None:
        return now
    if instant(text, zone) > now:
        raise CommandError(f'"{text}" is still to come', status=2)
    return dated(text, zone)


def micros_of(text: str) -> int:
    """A sum as people write it (`1500`, `0.05`, `1500,50`), in micro-euros. CommandError (status 2), also for `1,500`,
    which is a thousand and a half to some and one and a half to others."""
    said = text.strip().removesuffix("EUR").strip()
    if not SUM.match(said):
        raise CommandError(f'--amount "{text}" is no sum: write it as 1500 or 0.05 (euros)', status=2)
    if THOUSANDS.match(said):
        plain = said.replace(",", "").replace(".", "")
        short = said.replace(",", ".").rstrip("0").removesuffix(".")
        raise CommandError(f'--amount "{text}" may be {plain} or {short} euros: write which of them', status=2)
    micros = Decimal(said.replace(",", ".")) * 1_000_000
    whole = int(micros)
    if whole != micros:
        raise CommandError(f'--amount "{text}": more than six decimals', status=2)
    if not whole:
        raise CommandError(f'--amount "{text}": nothing', status=2)
    if abs(whole) > LARGEST * 1_000_000:
        raise CommandError(f'--amount "{text}": more than {LARGEST:,} euros', status=2)
    return whole


def number_of(word: str) -> str:
    """A telephone number as the log has it (`+33145678900`, `3949`), from how people write it. CommandError."""
    from guard.numbering.number import Dial, normalise

    found = normalise(word.strip(), Dial())
    if not found.value:
        raise CommandError(
            f'"{harmless(word)}" is no telephone number: write it as dialled, or as +33145678900', status=2
        )
    return found.value


def letter_of(books: Books, path: Path | None) -> Document | None:
    """A letter, copied beside the log."""
    return books.keep(path) if path is not None else None


def who() -> str:
    """Who writes: the name of the process's user, or his number."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def write_private(path: Path, text: str) -> None:
    """A file for its owner's eyes (calls are personal data), whole or not at all. CommandError where it cannot be."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CommandError(f"{path}: {error.strerror or error}") from error


def number_view(args: argparse.Namespace, store: str) -> Callable[[str], str]:
    """How numbers are shown to whoever asks: in full, which the access log notes, or masked."""
    from guard.cli.access import view_of
    from guard.ledger.masking import masked_text

    return masked_text if view_of(args, store) is not None else str


def seen_line(line: LedgerLine, shown: Callable[[str], str]) -> LedgerLine:
    """A line of the ledger as it is shown."""
    number, extension, reason = shown(line.number), shown(line.line), shown(line.reason)
    return replace(line, number=number, line=extension, reason=reason)
