"""`guard decide`: one decision, explained, with nothing sent or recorded."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Final

from guard.cli.common import CommandError, config_option, json_lines, load_config, words_meant

if TYPE_CHECKING:
    from guard.config import Config
    from guard.detectors.watch import Watch

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

    from guard.asked import answer, attempt_of
    from guard.cli.explained import paragraphs
    from guard.cli.show import console
    from guard.config import ConfigError
    from guard.ledger.record import to_record
    from guard.policy.load import load_policy
    from guard.questions import Asked, question_of
    from guard.store.reader import Detail

    config = load_config(args.config)
    try:
        policy = load_policy(config)
    except ConfigError as error:
        raise CommandError(*(str(p) for p in error.problems)) from error
    with words_meant():
        asked = Asked(
            caller=args.caller,
            callee=args.callee,
            source=args.source,
            line=args.line,
            usage=args.usage,
            pai=tuple(args.pai),
            diversion=tuple(args.diversion),
            privacy=args.privacy,
            user_agent=args.user_agent,
            header=tuple(args.header),
            inbound=args.inbound,
            at=args.at,
        )
        question = question_of(config, asked, time.time_ns() // 1000)
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
    """What knows who is shut off at an instant; of books that cannot be read, nobody."""
    from guard.detectors.watch import Watch
    from guard.questions import watch_of
    from guard.store.errors import StoreError

    try:
        return watch_of(config, at)
    except StoreError as error:
        print(f"guard: who is shut off is not known: {error}", file=sys.stderr)
        return Watch()
