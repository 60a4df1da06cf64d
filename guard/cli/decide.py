"""`guard decide`: one decision, explained, with nothing sent or recorded."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Final, cast

from guard.cli.common import CommandError, config_option, dated, json_lines, load_config

if TYPE_CHECKING:
    from guard.config import Config
    from guard.detectors.watch import Watch
    from guard.model import Usage
    from guard.sources import Source

USAGES: Final = ("human", "automated", "platform", "prospecting")


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    config_option(parser)
    parser.add_argument("--caller", required=True, metavar="N", help='number in From, or "anonymous"; "" for none')
    parser.add_argument("--callee", required=True, metavar="N", help="number called, as it is dialled")
    parser.add_argument("--source", metavar="S", help="name of the [[source]] (the first)")
    parser.add_argument("--line", metavar="L", default="", help="line that calls (the caller)")
    parser.add_argument("--usage", metavar="U", help=f"{', '.join(USAGES)}, or several with commas (the source's)")
    parser.add_argument("--pai", metavar="N", action="append", default=[], help="number in P-Asserted-Identity")
    parser.add_argument("--diversion", metavar="N", action="append", default=[], help="number in Diversion")
    parser.add_argument("--privacy", action="store_true", help="with Privacy: id")
    parser.add_argument("--user-agent", metavar="TEXT", default="", help="the device, as User-Agent names it")
    parser.add_argument("--header", metavar="NAME: VALUE", action="append", default=[], help="another header")
    parser.add_argument("--inbound", action="store_true", help="a call that comes in from the operator")
    parser.add_argument("--at", metavar="ISO", help="instant of the call (now)")
    parser.add_argument("--lang", choices=("en", "fr"), default="en", help="language of the texts (en)")
    parser.add_argument("--json", action="store_true", help="the record, as one line of JSON")


def run(args: argparse.Namespace) -> int:
    """0 when the call would go out (masked or flagged too), 1 when it would be refused."""
    from rich.text import Text

    from guard.asked import Question, answer, attempt_of
    from guard.cli.explained import paragraphs
    from guard.cli.show import console
    from guard.config import ConfigError
    from guard.ledger.record import to_record
    from guard.policy.load import load_policy
    from guard.store.reader import Detail

    config = load_config(args.config)
    try:
        policy = load_policy(config)
    except ConfigError as error:
        raise CommandError(*(str(p) for p in error.problems)) from error
    question = Question(
        source=_source(config, args.source),
        caller=args.caller,
        callee=args.callee,
        at=dated(args.at, config.zone) if args.at else time.time_ns() // 1000,
        line=args.line,
        usage=_usage(args.usage),
        asserted=tuple(args.pai),
        diversion=tuple(args.diversion),
        privacy=args.privacy,
        user_agent=args.user_agent,
        headers=tuple(map(_header, args.header)),
        direction="inbound" if args.inbound else "outbound",
    )
    decision, body = answer(policy, attempt_of(question), config.site, _watch(config, question.at))
    record = to_record(0, b"", body, None, config.zone)
    if args.json:
        json_lines([record])
    else:
        out = console()
        lines = list(paragraphs(Detail(record=record, body=body, end=None, end_seq=0), args.lang))[:-2]  # no outcome
        lines[0] = (record.verdict, lines[0][1])
        for text, style in lines:
            out.print(Text(text, style=style), soft_wrap=not out.is_terminal)
    return 1 if decision.verdict == "blocked" else 0


def _watch(config: Config, at: int) -> Watch:
    """What knows who is shut off at an instant, by the books of this site."""
    from guard.detectors.watch import Watch
    from guard.shut import shut_off, standing
    from guard.store.books import Books
    from guard.store.errors import StoreError

    watch = Watch()
    try:
        with Books(config.store_path, config.zone) as books:
            for quarantine, trunk in standing(books.incidents().values(), at).shut.values():
                shut_off(watch, quarantine, trunk)
    except StoreError as error:
        print(f"guard: who is shut off is not known: {error}", file=sys.stderr)
    return watch


def _source(config: Config, name: str | None) -> Source:
    from guard.tomlread import nearest

    names = [s.name for s in config.sources]
    if name is None:
        return config.sources[0]
    if name not in names:
        raise CommandError(f'--source: no [[source]] "{name}"{nearest(name, names)}', status=2)
    return config.sources[names.index(name)]


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise CommandError(f'--header: "{text}" is no header: write it as "X-Tenant: acme"', status=2)
    return name.strip().lower(), value.strip()


def _usage(text: str | None) -> tuple[Usage, ...]:
    from guard.tomlread import nearest

    words = [w.strip() for w in text.split(",")] if text else []
    for word in words:
        if word not in USAGES:
            raise CommandError(f'--usage: "{word}" is not one of {", ".join(USAGES)}{nearest(word, USAGES)}', status=2)
    return cast("tuple[Usage, ...]", tuple(words))
