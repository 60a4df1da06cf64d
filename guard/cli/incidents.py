"""guard incidents: what detectors and people opened, the operator's letters, their deadlines and what a miss costs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast, get_args

from msgspec.structs import replace

from guard.cli import quarantine
from guard.cli.access import numbers_option
from guard.cli.books import config_of, contracts_of, day_of, letter_of, now_us, number_of, number_view, trunk_of, who
from guard.cli.common import CommandError, json_lines, log_of
from guard.cli.show import euros, harmless, nearest, table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from guard.config import Config
    from guard.ledger.incidents import Event, Incident, Letter, Step, Subject, Terms
    from guard.store.books import Books

NAME: Final = re.compile(r"(?:INC-|#)?([0-9]{1,18})\Z", re.IGNORECASE)
STEPS: Final[dict[str, str]] = {
    "notify": "a letter of the operator came: its clocks start",
    "answer": "the letter was answered",
    "resolve": "it was put right",
    "release": "let go: it was no breach; a quarantine ends",
    "note": "something to remember",
}


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard incidents`."""
    unsaid = argparse.SUPPRESS
    _shared(parser, first=True)
    parser.add_argument("--all", action="store_true", help="the closed ones too")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="what is open, the nearest deadline first")
    listing.add_argument("--all", action="store_true", default=unsaid, help="the closed ones too")
    _shared(listing)
    show = actions.add_parser("show", help="one incident: every step, every deadline, what it costs")
    show.add_argument("incident", metavar="ID", help="as INC-12 or 12")
    _shared(show)
    opening = actions.add_parser("open", help="open one by hand")
    opening.add_argument("subject", metavar="SUBJECT", help="the number, line, trunk or invoice that it is of")
    opening.add_argument("--kind", default="number", metavar="K", help="sva, number (default), line, trunk or invoice")
    opening.add_argument("--trunk", default="", metavar="T", help="the operator's trunk (the only one there is)")
    opening.add_argument("--rule", default="", metavar="R", help="the rule that was broken")
    opening.add_argument("--avoided", action="store_true", help="nothing of it reached the operator")
    _step(opening)
    shutting = actions.add_parser("quarantine", help="shut a line, number, service or source off; emergency calls pass")
    quarantine.add(shutting)
    _step(shutting)
    for name, text in STEPS.items():
        sub = actions.add_parser(name, help=text)
        sub.add_argument("incident", metavar="ID", help="as INC-12 or 12")
        if name == "notify":
            words = ", ".join(_letters())
            sub.add_argument("--letter", required=True, metavar="KIND", help=f"what the letter is: {words}")
        _step(sub)


def _shared(parser: argparse.ArgumentParser, *, first: bool = False) -> None:
    if first:
        from guard.cli.common import store_option

        store_option(parser)
        parser.add_argument("--json", action="store_true", help="JSON Lines, one object an incident")
        numbers_option(parser)
        return
    unsaid = argparse.SUPPRESS
    parser.add_argument("-c", "--config", type=Path, default=unsaid, metavar="FILE", help="configuration")
    parser.add_argument("--store", default=unsaid, metavar="DB", help="the log, in place of the configuration's")
    parser.add_argument("--json", action="store_true", default=unsaid, help="JSON Lines, one object an incident")
    parser.add_argument("--numbers", choices=("full", "masked"), default=unsaid, help="how numbers are shown")


def _step(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", metavar="T", help="when it happened: the sending of an e-mail, not its reading (now)")
    parser.add_argument("--text", default="", metavar="TEXT", help="what to remember of it")
    parser.add_argument("--document", type=Path, metavar="FILE", help="the letter: copied beside the log, and hashed")
    _shared(parser)


def run(args: argparse.Namespace) -> int:
    """List, show, or take a step."""
    from guard.ledger.incidents import WrongStep
    from guard.store.books import Books
    from guard.store.errors import StoreError

    path, zone = log_of(args)
    try:
        with Books(path, zone) as books:
            if args.action in {None, "list"}:
                return _list(args, _seen(args, books.incidents().values(), path), zone)
            if args.action == "show":
                return _show(args, _seen(args, [_known(books, args.incident)], path)[0], zone)
            if args.action == "open":
                return _done(args, books.open(_opening(args, books, zone)), zone)
            if args.action == "quarantine":
                terms = terms_for(config_of(args), args.trunk)
                return _done(args, books.quarantine(quarantine.event_of(args, books, zone, terms)), zone)
            return _done(args, books.step(_stepping(args, books, zone)), zone)
    except WrongStep as error:
        raise CommandError(str(error)) from error
    except StoreError as error:
        raise CommandError(str(error)) from error


def _seen(args: argparse.Namespace, incidents: Iterable[Incident], store: str) -> list[Incident]:
    """Incidents as they are shown: with their numbers in full, which the access log notes, or masked."""
    shown = number_view(args, store)
    if shown is str:
        return list(incidents)
    return [
        replace(
            i,
            subject=shown(i.subject),
            events=tuple(replace(e, text=shown(e.text), subject=shown(e.subject)) for e in i.events),
        )
        for i in incidents
    ]


def _known(books: Books, word: str) -> Incident:
    match = NAME.match(word)
    found = books.incidents().get(int(match.group(1))) if match else None
    if found is None:
        raise CommandError(f'no incident "{harmless(word)}"')
    return found


def _opening(args: argparse.Namespace, books: Books, zone: ZoneInfo) -> Event:
    from guard.ledger.incidents import Event, Subject

    kinds = get_args(Subject)
    if args.kind not in kinds:
        raise CommandError(f'--kind "{args.kind}" is none of {", ".join(kinds)}{nearest(args.kind, kinds)}', status=2)
    if not args.subject.strip():
        raise CommandError("an incident is of something: name the number, line, trunk or invoice", status=2)
    config = config_of(args)
    trunk = trunk_of(config, args.trunk)
    now = now_us()
    return Event(
        step="open",
        at=day_of(args.at, zone, now),
        written=now,
        who=who(),
        text=args.text,
        reached=not args.avoided,
        document=letter_of(books, args.document),
        subject_kind=cast("Subject", args.kind),
        subject=number_of(args.subject) if args.kind in {"number", "sva"} else args.subject.strip(),
        trunk=args.trunk or (trunk.name if trunk is not None else ""),
        rule=args.rule,
        terms=terms_for(config, args.trunk),
    )


def terms_for(config: Config | None, name: str) -> Terms:
    """What the contract of a trunk has to say of incidents; nothing where there is none."""
    from guard.ledger.incidents import NO_TERMS
    from guard.policy.money import incident_terms

    trunk = trunk_of(config, name)
    if config is None or trunk is None:
        return NO_TERMS
    return incident_terms(contracts_of(config).get(trunk.contract), trunk.reading)


def _letters() -> list[str]:
    from guard.ledger.incidents import Letter

    return [word for word in get_args(Letter) if word]


def _stepping(args: argparse.Namespace, books: Books, zone: ZoneInfo) -> Event:
    from guard.ledger.incidents import Event

    letter = getattr(args, "letter", "")
    if letter and letter not in _letters():
        words = _letters()
        raise CommandError(f'--letter "{letter}" is none of {", ".join(words)}{nearest(letter, words)}', status=2)
    incident = _known(books, args.incident)
    now = now_us()
    return Event(
        step=cast("Step", args.action),
        at=day_of(args.at, zone, now),
        written=now,
        incident=incident.id,
        who=who(),
        text=args.text,
        letter=cast("Letter", letter),
        document=letter_of(books, args.document),
    )


def _done(args: argparse.Namespace, incident: Incident, zone: ZoneInfo) -> int:
    from guard.ledger.incidentrecord import incident_record

    if args.json:
        json_lines([incident_record(incident, now_us(), zone)])
    else:
        shut = quarantine.words_of(incident, now_us(), zone)
        shut = f", and {shut}" if shut else ""
        print(f"{incident.name} is {incident.state}{shut}{_next(incident, now_us(), zone)}")
    return 0


def _next(incident: Incident, now: int, zone: ZoneInfo) -> str:
    from guard.ledger.incidents import deadlines
    from guard.ledger.record import iso

    started = deadlines(incident, now, zone)
    last = incident.letters[-1][0] if incident.state == "notified" and incident.letters else None
    if last is not None and not any(d.clock.letter == last for d in started):
        said = f"the contract {incident.terms.contract} ties no" if incident.terms.contract else "no contract ties a"
        return f"; {said} deadline to this letter ({last}, about {incident.subject_kind})"
    running = [d for d in started if d.met is None and not d.missed]
    if not running:
        return ""
    first = running[0]
    cost = f", or {euros(first.clock.cost)} more" if first.clock.cost else ""
    return f": {first.clock.letter} by {iso(first.due, zone)[:16].replace('T', ' ')}{cost}"


def _list(args: argparse.Namespace, incidents: list[Incident], zone: ZoneInfo) -> int:
    from guard.ledger.incidentrecord import incident_record
    from guard.ledger.incidents import costs, deadlines
    from guard.ledger.record import iso

    now = now_us()
    found = [i for i in incidents if i.live or args.all]
    far = 1 << 62
    found.sort(key=lambda i: (min([d.due for d in deadlines(i, now, zone) if d.met is None], default=far), i.id))
    if args.json:
        json_lines(incident_record(i, now, zone) for i in found)
        return 0
    if not found:
        print("none" if args.all else "none is open")
        return 0
    rows = [
        (
            i.name, _state(i, now), i.subject_kind, harmless(i.subject), harmless(i.trunk), harmless(i.rule),
            iso(i.opened, zone)[:16].replace("T", " "), _next(i, now, zone).removeprefix(": "),
            euros(sum(c.amount for c in costs(i, now, zone))),
        )
        for i in found
    ]  # fmt: skip
    heads = ("incident", "state", "kind", "subject", "trunk", "rule", "opened", "next deadline", "costs")
    table(heads, rows, right=("costs",))
    return 0


def _state(incident: Incident, now: int) -> str:
    return f"{incident.state}, shut off" if incident.shut_off(now) else incident.state


def _show(args: argparse.Namespace, incident: Incident, zone: ZoneInfo) -> int:
    from guard.ledger.incidentrecord import incident_record
    from guard.ledger.incidents import at_stake, costs, deadlines
    from guard.ledger.record import iso

    now = now_us()
    if args.json:
        json_lines([incident_record(incident, now, zone)])
        return 0
    again = f", repeats INC-{incident.repeats}" if incident.repeats else ""
    print(harmless(f"{incident.name}: {incident.subject_kind} {incident.subject}, {incident.state}{again}"))
    print(
        harmless(
            f"  trunk {incident.trunk or '-'}, rule {incident.rule or '-'}, contract {incident.terms.contract or '-'}"
        )
    )
    if shut := quarantine.words_of(incident, now, zone):
        print(f"  {shut}; emergency calls pass")
        if seen := quarantine.seen_of(incident, now):
            print(harmless(f"  seen: {seen}"))
    for event in incident.events:
        said = " ".join(t for t in (event.letter, event.text) if t)
        letter = f" [{event.document.name}, SHA-256 {event.document.sha256}]" if event.document else ""
        by = f" ({event.who})" if event.who else ""
        print(harmless(f"  {iso(event.at, zone)[:19].replace('T', ' ')}  {event.step}{by} {said}{letter}".rstrip()))
    for one in deadlines(incident, now, zone):
        state = "missed" if one.missed else "met" if one.met is not None else "runs"
        cost = f"; {euros(one.clock.cost)}" if one.clock.cost else ""
        due = iso(one.due, zone)[:16].replace("T", " ")
        print(harmless(f"  due {due}  {one.clock.letter}: {state}{cost} ({one.clock.article}) {one.clock.says}"))
    for line in costs(incident, now, zone):
        print(harmless(f"  {line.state} {euros(line.amount)}  {line.kind} ({line.article})"))
    stake = at_stake(incident, now, zone)
    if stake:
        print(f"  {euros(stake)} more if what runs is missed")
    return 0
