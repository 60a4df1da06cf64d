"""What is in force at an instant: every rule with what it rests on, and the destination data with their sources."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from guard.model import Action, Mode
from guard.numbering.plan import LAW_ZONE
from guard.policy import schema
from guard.policy.destinations import DestinationFile, Entry, files
from guard.policy.load import Policy, Rule
from guard.rules import BY_ID
from guard.tomlread import Problem, Reader

FOLDER: Final = "destinations"


class RuleInForce(Struct, frozen=True, kw_only=True):
    """One rule: what it asks for here, and the texts that it rests on. `response` is the status of its refusal."""

    id: str
    title: schema.Words
    actions: list[Action]
    mode: Mode
    response: int | None
    confidence: str
    from_: date | None = field(name="from")
    until: date | None
    articles: list[str]
    source: tuple[str, ...]


class PlacesInForce(Struct, frozen=True, kw_only=True):
    """One file of destinations: how many entries of each kind, since when and until when they stand as they do (both
    included, null where no date says), and their sources."""

    id: str
    risks: int
    bands: int
    confidence: list[str]
    from_: date | None = field(name="from")
    until: date | None
    source: list[str]


def compiled(policy: Policy) -> list[Rule]:
    """Every version of every rule that is enabled, in the order in which they speak."""
    site = {j.rule.id: j.rule for j in (*policy.site.all, *policy.site_inbound.all)}
    judges = (j.rule for j in policy.judges)
    counts = (c.rule for c in policy.counts)
    return [policy.emergency.rule, *judges, *site.values(), *counts, *(d.rule for d in policy.detects)]


def version(policy: Policy, name: str, at: int, zone: tzinfo) -> schema.Rule | None:
    """How a rule is written down for the day of an instant; None where no version is of that day."""
    day = _day(at, LAW_ZONE if name in BY_ID else zone)
    found = (v for v in policy.versions[name] if (v.from_ or date.min) <= day <= (v.until or date.max))
    return next(found, None)


def rules_in_force(policy: Policy, at: int, zone: tzinfo) -> Iterator[RuleInForce]:
    """The rules in force at an instant (Unix time, µs), in the order in which they speak."""
    for rule in compiled(policy):
        name = rule.id
        written = version(policy, name, at, zone)
        if written is None or not rule.since <= at < rule.until:
            continue
        contracts = [a for cited in policy.cited.values() for a in cited.get(name, ())]
        yield RuleInForce(
            id=name,
            title=written.title,
            actions=sorted({s.action for s in rule.says.values()}),
            mode=rule.mode,
            response=rule.status or None,
            confidence=written.confidence,
            from_=written.from_,
            until=written.until,
            articles=[*dict.fromkeys(contracts), *written.articles],
            source=tuple(written.source),
        )


def places(policies: Path) -> dict[str, DestinationFile]:
    """Each file by its name, `destinations/irsf`, as it is written. The policies were checked before."""
    found: dict[str, DestinationFile] = {}
    for path in files(policies / FOLDER):
        problems: list[Problem] = []
        reader = Reader(str(path), problems)
        raw = reader.parse(path)
        file = None if raw is None else reader.struct(raw, DestinationFile, [])
        if file is not None and not problems:
            found[f"{FOLDER}/{path.stem}"] = file
    return found


def places_in_force(policies: Path, at: int) -> list[PlacesInForce]:
    """The destination data of an instant (Unix time, µs), one object a file."""
    day = _day(at, LAW_ZONE)
    out: list[PlacesInForce] = []
    for name, file in places(policies).items():
        risks = [e for e in file.risk if (e.from_ or date.min) <= day <= (e.until or date.max)]
        bands = [e for e in file.band if (e.from_ or date.min) <= day <= (e.until or date.max)]
        entries: tuple[Entry, ...] = (*risks, *bands)
        cited = {s.split(" ")[0] for e in entries for s in e.source}
        out.append(
            PlacesInForce(
                id=name,
                risks=len(risks),
                bands=len(bands),
                confidence=sorted({e.confidence for e in entries}),
                from_=max((e.from_ for e in entries if e.from_ is not None), default=None),
                until=min((e.until for e in entries if e.until is not None), default=None),
                source=[s.title for s in file.source if s.id in cited],
            )
        )
    return out


def _day(at: int, zone: tzinfo) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(zone).date()
