"""`guard policy`: the rules and contracts in force at a date, with their sources; the cases that they carry; what
another policy would have decided; whether a rule on trial may act; newer files of ARCEP's numbers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from guard.cli import policydiff, policytest, promote
from guard.cli.common import CommandError, config_option, dated, json_lines, load_config
from guard.cli.replay import load_policy_of

if TYPE_CHECKING:
    from guard.config import Config
    from guard.policy import schema
    from guard.policy.load import Policy, Rule


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    sub = parser.add_subparsers(dest="what", metavar="list|show|test|diff|promote|update-numbers", required=True)
    for name, text in (("list", "every rule and all data in force"), ("show", "one of them in full")):
        one = sub.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        config_option(one)
        one.add_argument("--at", metavar="ISO", help="date or instant at which they are in force (now)")
        one.add_argument("--json", action="store_true", help="JSON Lines, one object a line")
        if name == "show":
            one.add_argument(
                "name", metavar="NAME", help="a rule's id (cli.premium), a contract's, or destinations/irsf"
            )
    policytest.add(sub)
    policydiff.add(sub)
    promote.add(sub)
    text = "Check ARCEP's file of allotted blocks (MAJNUM.csv) and put it in force."
    one = sub.add_parser("update-numbers", help="install a newer file of ARCEP's numbers", description=text)
    config_option(one)
    one.add_argument("--json", action="store_true", help="JSON Lines, one object a line")
    one.add_argument("file", metavar="FILE", type=Path, help="MAJNUM.csv as ARCEP publishes it")


def run(args: argparse.Namespace) -> int:
    """Show them, or do what else is asked."""
    if args.what == "diff":
        return policydiff.run(args)
    config = load_config(args.config)
    if args.what == "update-numbers":
        return _update(config, args.file, as_json=args.json)
    policy = load_policy_of(config)
    if args.what == "test":
        return policytest.run(args, config, policy)
    if args.what == "promote":
        return promote.run(args, config, policy)
    at = dated(args.at, config.zone) if args.at else time.time_ns() // 1000
    if args.what == "show":
        return _show(config, policy, args.name, at, as_json=args.json)
    from guard.cli.policyplaces import listed

    found = list(_in_force(policy, at, config.zone))
    there = listed(config.policies, at)
    if args.json:
        json_lines([*found, *there])
    else:
        _table(found, there, config, policy)
    return 0


def _update(config: Config, file: Path, *, as_json: bool) -> int:
    """Install a file of numbers. A running guard reads it by itself, as it reads every policy that changed."""
    import msgspec

    from guard.cli.newnumbers import install, said, today_in

    done = install(config.policies / "numbering", file, today_in(config.timezone))
    if as_json:
        json_lines([msgspec.to_builtins(done)])
    else:
        print("\n".join(said(done)))
    return 0


def compiled(policy: Policy) -> list[Rule]:
    """Every version of every rule that is enabled, in the order in which they speak."""
    site = {j.rule.id: j.rule for j in (*policy.site.all, *policy.site_inbound.all)}
    judges = (j.rule for j in policy.judges)
    counts = (c.rule for c in policy.counts)
    return [policy.emergency.rule, *judges, *site.values(), *counts, *(d.rule for d in policy.detects)]


def _version(policy: Policy, name: str, at: int, zone: ZoneInfo) -> schema.Rule | None:
    """How a rule is written down for the day of an instant; None where no version is of that day."""
    from guard.policy.load import LAW_ZONE
    from guard.rules import BY_ID

    there = LAW_ZONE if name in BY_ID else zone
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(there).date()
    found = (v for v in policy.versions[name] if (v.from_ or date.min) <= day <= (v.until or date.max))
    return next(found, None)


def _in_force(policy: Policy, at: int, zone: ZoneInfo) -> Iterator[dict[str, object]]:
    """One object a rule: what it asks for here, and what it rests on."""
    for rule in compiled(policy):
        name = rule.id
        written = _version(policy, name, at, zone)
        if written is None or not rule.since <= at < rule.until:
            continue
        contracts = [a for cited in policy.cited.values() for a in cited.get(name, ())]
        yield {
            "id": name,
            "title": written.title,
            "actions": sorted({s.action for s in rule.says.values()}),
            "mode": rule.mode,
            "response": rule.status or None,
            "confidence": written.confidence,
            "from": written.from_,
            "until": written.until,
            "articles": [*dict.fromkeys(contracts), *written.articles],
            "source": written.source,
        }


def _table(found: list[dict[str, object]], there: list[dict[str, object]], config: Config, policy: Policy) -> None:
    from rich.table import Table

    from guard.cli.show import console

    table = Table(box=None, pad_edge=False)
    for heading in ("rule", "asks to", "mode", "since", "rests on"):
        table.add_column(heading, overflow="fold")
    for one in found:
        articles, actions = one["articles"], one["actions"]
        assert isinstance(articles, list)
        assert isinstance(actions, list)
        since = str(one["from"]) if one["from"] else "always"
        table.add_row(str(one["id"]), ", ".join(actions), str(one["mode"]), since, "; ".join(articles) or "guard.toml")
    out = console()
    out.print(table)
    places = Table(box=None, pad_edge=False)
    for heading in ("destinations", "entries", "as they stand", "rests on"):
        places.add_column(heading, overflow="fold")
    for one in there:
        source = one["source"]
        assert isinstance(source, list)
        days = " ".join(f"{word} {one[word]}" for word in ("from", "until") if one[word]) or "always"
        count = ", ".join(f"{one[kind]} {kind}" for kind in ("risks", "bands") if one[kind]) or "none on that day"
        places.add_row(str(one["id"]), count, days, "; ".join(source))
    out.print()
    out.print(places)
    out.print(f"policies {config.policies}, {policy.digest}", highlight=False, soft_wrap=True)


def _show(config: Config, policy: Policy, name: str, at: int, *, as_json: bool) -> int:
    """One rule, contract or file of destinations as it is written: of a rule that day's version, or the newest where
    that day has none."""
    import msgspec

    from guard.cli.policyplaces import places
    from guard.tomlread import nearest

    known = {**policy.written, **policy.contracts, **places(config.policies)}
    if name not in known:
        raise CommandError(f'no rule, contract or file of destinations "{name}"{nearest(name, known)}')
    version = _version(policy, name, at, config.zone) if name in policy.versions else None
    written = msgspec.to_builtins(version or known[name])
    if as_json:
        json_lines([written])
    else:
        for line in _lines(written, ""):
            print(line)
    return 0


def _lines(value: object, indent: str) -> Iterator[str]:
    """A nested object as people read it; empty parts are left out."""
    pairs = (
        value.items() if isinstance(value, dict) else enumerate(value, 1) if isinstance(value, (list, tuple)) else ()
    )
    for key, inner in pairs:
        if inner is None or inner is False or inner in ("", [], (), {}):
            continue
        if isinstance(inner, (list, tuple)) and all(isinstance(i, str) for i in inner):
            yield f"{indent}{key}: {', '.join(inner)}"
        elif isinstance(inner, (dict, list, tuple)):
            yield f"{indent}{key}:"
            yield from _lines(inner, indent + "  ")
        else:
            yield f"{indent}{key}: {inner}"
