"""guard explain: one call, what was seen of it, every rule that spoke, the articles, the money and the outcome."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from guard.cli.access import numbers_option, view_of
from guard.cli.common import CommandError, json_lines, log_of, store_option
from guard.cli.explained import as_object, paragraphs
from guard.cli.log import say
from guard.cli.show import console, harmless

if TYPE_CHECKING:
    from guard.store.reader import Detail, SqliteReader

SEQ: Final = re.compile(r"#?([0-9]{1,18})\Z")  # as the Reason header of a refusal names a record: `rule #123`
NEAR: Final = 3  # Call-IDs that begin like an unknown one: more would bury the sentence
MAX_CALL_ID: Final = 256  # characters that records keep of a Call-ID


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard explain`."""
    store_option(parser)
    parser.add_argument(
        "call_id",
        metavar="CALL_ID",
        help="Call-ID of SIP, whole; or a record's number, 123 or '#123', as the Reason header of a refusal names it",
    )
    parser.add_argument("--lang", choices=("en", "fr"), default="en", help="language of the rules' sentences (en)")
    numbers_option(parser)
    parser.add_argument("--json", action="store_true", help="JSON Lines: each record, and all that was kept beside it")


def run(args: argparse.Namespace) -> int:
    """Print every record of the call."""
    from guard.store.errors import StoreError
    from guard.store.reader import SqliteReader

    path, zone = log_of(args)
    try:
        with SqliteReader(path, timezone=zone.key, view=view_of(args, path)) as reader:
            found = _found(reader, args.call_id)
            if args.json:
                json_lines(map(as_object, found))
            else:
                _print(list(found), args.lang)
    except StoreError as error:
        raise CommandError(str(error)) from error
    return 0


def _print(found: list[Detail], lang: str) -> None:
    from rich.text import Text

    out = console()
    for n, detail in enumerate(found):
        if n:
            out.print()
        for text, style in paragraphs(detail, lang):
            out.print(Text(text, style=style), soft_wrap=not out.is_terminal)
    if len(found) > 1:
        say(f"{len(found)} records of one Call-ID")


def _found(reader: SqliteReader, wanted: str) -> Iterator[Detail]:
    """The records of a Call-ID, else the one of a number; CommandError (status 1) where there is none."""
    from guard.store.contract import Query

    named = iter(list(reader.details(Query(call_id=wanted[:MAX_CALL_ID], all=True))) if wanted else [])
    first = next(named, None)
    number = SEQ.match(wanted)
    if first is not None:
        yield first
        yield from named
    elif number is not None:
        yield _numbered(reader, int(number.group(1)))
    else:
        raise CommandError(_unknown(reader, wanted))


def _numbered(reader: SqliteReader, seq: int) -> Detail:
    from msgspec import json

    from guard.ledger.record import ErasedBody, LostBody
    from guard.store.contract import Query

    entry = reader.entry(seq)
    if entry is not None and entry.kind == "end" and entry.call is not None:
        seq = entry.call
    found = next(reader.details(Query(after=seq - 1, upto=seq, all=True)), None)
    if found is not None:
        return found
    if entry is None:
        last = reader.last_seq()
        raise CommandError(f"{reader.path}: no record #{seq}: " + (f"the last is #{last}" if last else "it is empty"))
    if entry.kind == "lost" and entry.body is not None:
        lost = json.decode(entry.body, type=LostBody)
        raise CommandError(f"#{seq} is a note that {lost.entries} entries could not be kept: {lost.reason}")
    if entry.kind == "erased" and entry.body is not None:
        note = json.decode(entry.body, type=ErasedBody)
        raise CommandError(f"#{seq} is a note that what {note.entries} entries said was erased: {note.reason}")
    raise CommandError(f"{reader.path}: what #{seq} said was erased")


def _unknown(reader: SqliteReader, wanted: str) -> str:
    near = reader.call_ids(wanted, NEAR) if wanted else []
    begin = f"; these begin so: {', '.join(harmless(c) for c in near)}" if near else ""
    hint = begin or "; `guard log --all` lists what there is"
    return f'{reader.path}: no call "{harmless(wanted)}"{hint}'
