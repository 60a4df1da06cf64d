"""`guard token`: who may use the dashboard and the HTTP API."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from guard.cli.books import now_us, who
from guard.cli.common import CommandError, config_option, json_lines, load_config
from guard.cli.show import harmless, nearest, table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from guard.web.tokens import Token, Tokens

DAYS: Final = 365
MOST_DAYS: Final = 3_650


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard token`."""
    from guard.web.roles import ROLES

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make one; it is shown once")
    create.add_argument("name", metavar="NAME", help="whose it is, or for what")
    roles = "; ".join(f"{role}: {text}" for role, text in ROLES.items())
    create.add_argument("--role", action="append", default=[], metavar="R", help=f"{roles} (viewer; may be repeated)")
    create.add_argument("--days", type=int, default=DAYS, metavar="N", help=f"how long it is good ({DAYS})")
    listing = actions.add_parser("list", help="which there are")
    listing.add_argument("--json", action="store_true", help="JSON Lines, one object a token")
    revoke = actions.add_parser("revoke", help="take one away, and whoever signed in with it")
    revoke.add_argument("name", metavar="NAME", help="its name")
    for sub in (create, listing, revoke):
        config_option(sub)


def run(args: argparse.Namespace) -> int:
    """Make, list or revoke."""
    from guard.store.errors import StoreError
    from guard.web.tokens import TokenError, Tokens

    config = load_config(args.config)
    assert config.web is not None  # of a configuration without mistakes
    try:
        with Tokens(config.web.tokens) as tokens:
            if args.action == "create":
                return _create(args, tokens)
            if args.action == "list":
                return _list(args, tokens, config.zone)
            if not tokens.revoke(args.name):
                known = [t.name for t in tokens.all()]
                raise CommandError(f'no token "{harmless(args.name)}"{nearest(args.name, known)}')
            print(f"{args.name} is revoked")
            return 0
    except (StoreError, TokenError) as error:
        raise CommandError(str(error)) from error


def _create(args: argparse.Namespace, tokens: Tokens) -> int:
    from guard.web.roles import ROLES

    for role in args.role:
        if role not in ROLES:
            raise CommandError(f'--role "{role}" is none of {", ".join(ROLES)}{nearest(role, ROLES)}', status=2)
    if not 1 <= args.days <= MOST_DAYS:
        raise CommandError(f"--days {args.days} is not from 1 to {MOST_DAYS}", status=2)
    print(tokens.create(args.name, args.role or ["viewer"], now=now_us(), days=args.days, by=who()))
    print("it is shown this once: what is kept of it is a hash", file=sys.stderr)
    return 0


def _list(args: argparse.Namespace, tokens: Tokens, zone: ZoneInfo) -> int:
    from guard.ledger.record import iso

    found = tokens.all()
    if args.json:
        json_lines(
            msgspec.structs.asdict(t) | {"created": iso(t.created, zone), "expires": iso(t.expires, zone)}
            for t in found
        )
    elif found:
        table(("name", "roles", "made", "by", "good until"), [_row(t, zone) for t in found])
    else:
        print("no token: guard token create NAME --role viewer")
    return 0


def _row(token: Token, zone: ZoneInfo) -> tuple[str, ...]:
    def day(at: int) -> str:
        return datetime.fromtimestamp(at / 1e6, zone).strftime("%Y-%m-%d")

    gone = "" if token.good(now_us()) else " (no longer)"
    return (token.name, ", ".join(token.roles), day(token.created), harmless(token.made_by), day(token.expires) + gone)
