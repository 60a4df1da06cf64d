"""What may be more in a guard after a day, and how much: all else has to be as it was."""

from __future__ import annotations

from typing import Final

from guard import incidents, sources, ways
from guard.detectors import watch
from guard.detectors.subject import DAYS
from guard.detectors.words import ORIGINS, RECENT
from guard.numbering import number
from guard.rules import traffic_scanner
from guard.sip import fields, message, remember, uri
from guard.store import rows
from tests.soak.week import Morning, Week

SLACK: Final = 8  # entries of a table that is in use just when it is looked at
STAYS: Final = 400  # octets of the log that a call leaves when it is erased: two entries and what its money needs
AN_INCIDENT: Final = 2_000  # octets of the books

TABLES: Final = fields.MAX_FIELDS + uri.KNOWN + 7 * remember.REMEMBERED
# Results that are remembered, each up to its bound.
REMEMBERED: Final = {
    "detectors.watch.Watch._marks": watch.MAX_MARKS,
    "incidents.Incidents._known": incidents.REMEMBERED,
    "numbering.number._normalise": number.REMEMBERED,
    "rules.prices._closed": 64,
    "rules.traffic_scanner._known": traffic_scanner.AGENTS,
    "sip.fields.KNOWN": fields.MAX_FIELDS,
    "sip.message.KNOWN": fields.MAX_FIELDS,  # the same one
    "sip.message._shapes": message.MAX_SHAPES,
    "sip.remember.Table.known": TABLES,
    "sip.remember.Table._order": TABLES,
    "sources.Sources._cache": sources.KNOWN_ADDRESSES,
    "store.rows.Fined._known": rows.FINED_CACHE,
    "ways.Ways._known": ways.KINDS,
}

# What is known of a line or number, so many of each; all are forgotten beyond `MAX_SUBJECTS`.
LEARNED: Final = {
    "detectors.subjects.Subjects._work": 1,
    "detectors.subject.Subject": 1,
    "detectors.subject.Subject.spent": DAYS,
    "detectors.recent.Recent": 1,
    "detectors.recent.Recent.set_ups": RECENT,
    "detectors.origins.Origins": 1,
    "detectors.origins.Origins._known": ORIGINS,
    "detectors.usual.Usual": 1,
    "detectors.watch.Watch._rang": RECENT,
}
GUARD: Final = 200_000  # octets that all the rest may add: names of policies and keys, tables that have been larger
A_SUBJECT: Final = 3_000  # octets of it (guard/detectors/subjects.py, AT_WORK)

# Objects that those results are made of.
FIELDS: Final = fields.MAX_FIELDS + remember.REMEMBERED
MADE_OF: Final = {
    "numbering.number.Number": number.REMEMBERED,
    "proxy.effects.Flow": sources.KNOWN_ADDRESSES,
    "sip.fields.Field": fields.MAX_FIELDS,
    "sip.headers.NameAddr": FIELDS,
    "sip.headers.Via": FIELDS,
    "sip.uri.Uri": uri.KNOWN + FIELDS,
}


def grown(week: Week) -> dict[str, list[int]]:
    """The tables and objects that are more than they may be on any morning after the second; each with its mornings."""
    first = _all(week.mornings[1])
    found: dict[str, list[int]] = {}
    for morning in week.mornings[1:]:
        for name, much in _all(morning).items():
            if much > _most(name, first.get(name, 0), morning.subjects + SLACK):
                found[name] = [_all(m).get(name, 0) for m in week.mornings]
    return found


def _all(morning: Morning) -> dict[str, int]:
    return morning.held.tables | morning.held.kinds


def _most(name: str, before: int, subjects: int) -> int:
    if name in LEARNED:
        return LEARNED[name] * subjects
    return REMEMBERED.get(name) or MADE_OF.get(name) or before + SLACK
