"""`guard incidents quarantine`: a person shuts off a line, a number, a service or a source; and who is shut off."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final, cast, get_args

from msgspec.structs import replace

from guard.cli.books import config_of, day_of, letter_of, now_us, trunk_of, who
from guard.cli.common import CommandError
from guard.cli.show import harmless, nearest

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from guard.config import Config
    from guard.detectors.words import Kind
    from guard.ledger.incidents import Event, Incident, Terms
    from guard.store.books import Books

HOUR: Final = 3_600_000_000  # µs
MOST_HOURS: Final = 8_760  # a year: longer is until a person releases it


def add(parser: argparse.ArgumentParser) -> None:
    """Its own arguments."""
    parser.add_argument("kind", metavar="KIND", help="line, number, service (a premium number) or source")
    parser.add_argument("subject", metavar="SUBJECT", help="as pbx/200, +33145678901, +33899123456 or pbx")
    parser.add_argument("--hours", type=int, metavar="N", help="for so long (until it is released)")
    parser.add_argument("--trunk", default="", metavar="T", help="the operator's trunk (the only one there is)")


def event_of(args: argparse.Namespace, books: Books, zone: ZoneInfo, terms: Terms) -> Event:
    """The step that the arguments ask for. CommandError (status 2) names what cannot be shut off."""
    from guard.detectors.words import Kind
    from guard.ledger.incidents import FOR_GOOD, Event, Quarantine
    from guard.rules.detect import SHUT
    from guard.shut import KINDS

    kinds = get_args(Kind)
    if args.kind not in kinds:
        raise CommandError(f'KIND "{args.kind}" is none of {", ".join(kinds)}{nearest(args.kind, kinds)}', status=2)
    if args.hours is not None and not 1 <= args.hours <= MOST_HOURS:
        raise CommandError(f"--hours {args.hours} is not from 1 to {MOST_HOURS}", status=2)
    config = config_of(args)
    trunk = trunk_of(config, args.trunk)
    kind = cast("Kind", args.kind)
    subject = _subject(kind, args.subject.strip(), config)
    now = now_us()
    until = FOR_GOOD if args.hours is None else now + args.hours * HOUR
    return Event(
        step="open",
        at=day_of(args.at, zone, now),
        written=now,
        who=who(),
        text=args.text,
        document=letter_of(books, args.document),
        subject_kind=KINDS[kind],
        subject=subject,
        trunk=trunk.name if trunk is not None else args.trunk,
        rule=SHUT,
        terms=replace(terms, subject_cost=0, repeat_cost=0),  # what is shut off in time is no breach yet
        quarantine=Quarantine(kind=kind, subject=subject, until=until, at=now),
    )


def _subject(kind: Kind, word: str, config: Config | None) -> str:
    """The subject as detection calls it."""
    from guard.numbering.number import Dial, normalise

    if not word:
        raise CommandError("SUBJECT is empty: name what is to be shut off", status=2)
    if kind in {"number", "service"}:
        dial = config.sources[0].dial if config is not None else Dial()
        found = normalise(word, dial, callee=kind == "service").value
        if not found:
            raise CommandError(f'"{harmless(word)}" is no number: write it as +33145678901', status=2)
        return found
    names = [s.name for s in config.sources] if config is not None else []
    source, slash, _ = word.partition("/")
    if kind == "source":
        if names and word not in names:
            raise CommandError(f'no [[source]] "{harmless(word)}"{nearest(word, names)}', status=2)
        return word
    if slash and (source in names or not names):
        return word
    if len(names) == 1:
        return f"{names[0]}/{word}"
    known = f" ({', '.join(names)})" if names else ""
    raise CommandError(f'line "{harmless(word)}": say of which source{known}: SOURCE/LINE', status=2)


def seen_of(incident: Incident, now: int) -> str:
    """What a detector measured that shut it off; "" where a person did it, or nobody."""
    from guard.rules import saying
    from guard.shut import evidence_of

    found = incident.shut_off(now)
    if found is None or not found.measures:
        return ""
    evidence = evidence_of(found, incident.trunk)
    return f"{saying.because(evidence.measures, 'en')} within {saying.span(evidence.span_s, 'en')} ({evidence.rule})"


def words_of(incident: Incident, now: int, zone: ZoneInfo) -> str:
    """That it is shut off and until when; "" where it is not."""
    from guard.ledger.incidents import FOR_GOOD
    from guard.ledger.record import iso

    found = incident.shut_off(now)
    if found is None:
        return ""
    if found.until == FOR_GOOD:
        return "shut off until it is released"
    return f"shut off until {iso(found.until, zone)[:16].replace('T', ' ')}"
