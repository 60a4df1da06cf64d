"""`guard policy`: the rules and contracts in force at a date, with their sources; the cases that they carry; what
another policy would have decided; whether a rule on trial may act; newer files of ARCEP's numbers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from guard.cli import policydiff, policytest, promote
from guard.cli.common import CommandError, config_option, dated, json_lines, load_config
from guard.cli.replay import load_policy_of

if TYPE_CHECKING:
    from guard.config import Config
    from guard.policy.inforce import PlacesInForce, RuleInForce
    from guard.policy.load import Policy


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
    from guard.policy.inforce import places_in_force, rules_in_force

    found = list(rules_in_force(policy, at, config.zone))
    there = places_in_force(config.policies, at)
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


def _table(found: list[RuleInForce], there: list[PlacesInForce], config: Config, policy: Policy) -> None:
    from rich.table import Table

    from guard.cli.show import console

    table = Table(box=None, pad_edge=False)
    for heading in ("rule", "asks to", "mode", "since", "rests on"):
        table.add_column(heading, overflow="fold")
    for rule in found:
        since = str(rule.from_) if rule.from_ else "always"
        table.add_row(rule.id, ", ".join(rule.actions), rule.mode, since, "; ".join(rule.articles) or "guard.toml")
    out = console()
    out.print(table)
    places = Table(box=None, pad_edge=False)
    for heading in ("destinations", "entries", "as they stand", "rests on"):
        places.add_column(heading, overflow="fold")
    for one in there:
        days = " ".join(f"{word} {day}" for word, day in (("from", one.from_), ("until", one.until)) if day) or "always"
        kinds = (("risks", one.risks), ("bands", one.bands))
        count = ", ".join(f"{n} {kind}" for kind, n in kinds if n) or "none on that day"
        places.add_row(one.id, count, days, "; ".join(one.source))
    out.print()
    out.print(places)
    out.print(f"policies {config.policies}, {policy.digest}", highlight=False, soft_wrap=True)


def _show(config: Config, policy: Policy, name: str, at: int, *, as_json: bool) -> int:
    """One rule, contract or file of destinations as it is written: of a rule that day's version, or the newest where
    that day has none."""
    import msgspec

    from guard.policy.inforce import places, version
    from guard.tomlread import nearest

    known = {**policy.written, **policy.contracts, **places(config.policies)}
    if name not in known:
        raise CommandError(f'no rule, contract or file of destinations "{name}"{nearest(name, known)}')
    of_day = version(policy, name, at, config.zone) if name in policy.versions else None
    written = msgspec.to_builtins(of_day or known[name])
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
