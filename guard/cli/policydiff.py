"""`guard policy diff A B`: which past decisions another policy would change."""

from __future__ import annotations

import argparse
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from guard.cli.access import numbers_option, view_of
from guard.cli.common import CommandError, instant, json_lines, load_config, log_of, store_option
from guard.cli.replay import bar, load_policy_of, replay_of, sources_of
from guard.wanted import micros

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from guard.compare import Change, Differences, Example, Side
    from guard.config import Config
    from guard.policy.load import Policy
    from guard.store.reader import Detail

_MONTH: Final = re.compile(r"(\d{4})-(\d{2})\Z")


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Arguments."""
    text = "Judge past calls by two policies, and tell which decisions differ."
    one = sub.add_parser("diff", help="which past decisions another policy would change", description=text)
    one.add_argument("a", metavar="A", type=Path, help="a folder of policies, or a guard.toml")
    one.add_argument("b", metavar="B", type=Path, help="another")
    store_option(one)
    on = one.add_mutually_exclusive_group(required=True)
    on.add_argument("--on", nargs="+", metavar="CAPTURE", help="pcap or pcapng, replayed with counters; - for stdin")
    on.add_argument(
        "--on-log", metavar="MONTH", help="calls of the log: 2026-11, or since an instant; counters say nothing"
    )
    numbers_option(one)
    one.add_argument("--json", action="store_true", help="JSON Lines, one kind of change a line")


def run(args: argparse.Namespace) -> int:
    """Tell the differences."""
    a, b = (_config(args, path) for path in (args.a, args.b))
    policies = load_policy_of(a), load_policy_of(b)
    found = _on_capture(args.on, (a, b), policies) if args.on else _on_log(args, a, policies)
    if args.json:
        json_lines(_object(change, a.zone) for change in found.changes)
    else:
        _report(found, a, policies)
    return 0


def _config(args: argparse.Namespace, path: Path) -> Config:
    """What a side is judged by: a guard.toml, or that of -c with another folder of policies."""
    if path.is_dir():
        return replace(load_config(args.config), policies=path)
    if not path.exists():
        raise CommandError(f"{path}: no such folder or file", status=2)
    return load_config(path)


# ---- past calls ------------------------------------------------------------------------------------------------------


def _on_log(args: argparse.Namespace, config: Config, policies: tuple[Policy, Policy]) -> Differences:
    from guard.compare import Judges
    from guard.engine import Engine
    from guard.store.contract import Query
    from guard.store.errors import StoreError
    from guard.store.reader import SqliteReader

    since, until = _span(args.on_log, config.zone)
    store, zone = log_of(args)
    view = view_of(args, store)
    judges = Judges(Engine(policies[0]), Engine(policies[1]), config.sources)
    try:
        with SqliteReader(store, timezone=str(zone)) as reader:
            for detail in reader.details(Query(since=since, until=until, all=True)):

                def example(seen: Detail = detail) -> Example:
                    return _example(view(seen) if view is not None else seen)

                judges.add(detail.body, example)
    except StoreError as error:
        raise CommandError(str(error)) from error
    return judges.found


def _example(detail: Detail) -> Example:
    from guard.compare import Example

    body = detail.body
    return Example(body.at, body.call_id, body.caller, body.callee)


def _span(text: str, zone: ZoneInfo) -> tuple[int, int | None]:
    """A month from its first instant until before the next one's, or everything since an instant."""
    month = _MONTH.match(text)
    if month is None:
        return instant(text, zone), None
    year, number = int(month.group(1)), int(month.group(2))
    if not 1 <= number <= 12 or not 1 <= year < 9999:
        raise CommandError(f'--on-log: "{text}" is no month: write it as 2026-11', status=2)
    first = datetime(year, number, 1, tzinfo=zone)
    after = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=zone)
    return micros(first), micros(after)


def _on_capture(names: list[str], configs: tuple[Config, Config], policies: tuple[Policy, Policy]) -> Differences:
    """Both policies replay the messages side by side, each with counters of its own."""
    from guard.capture.files import CaptureError
    from guard.capture.messages import Messages
    from guard.compare import Pairs

    pairs = Pairs()
    replays = (
        replay_of(configs[0], policies[0], pairs.before),
        replay_of(configs[1], policies[1], pairs.after),
    )
    sources = sources_of(names)
    with bar(names) as tick:
        messages = Messages(sources, lambda: tick(messages))
        try:
            for data, flow, at in messages:
                for replay in replays:
                    replay.feed(data, flow, at)
        except CaptureError as error:
            raise CommandError(str(error)) from error
    for replay in replays:
        replay.finish()
    return pairs.finish()


# ---- what is told ----------------------------------------------------------------------------------------------------


def _object(change: Change, zone: ZoneInfo) -> dict[str, object]:
    from guard.ledger.record import iso

    examples = [
        {"time": iso(e.at, zone), "call_id": e.call_id, "caller": e.caller, "callee": e.callee} for e in change.examples
    ]
    return {
        "before": _side(change.before),
        "after": _side(change.after),
        "calls": change.calls,
        "examples": examples,
    }


def _side(side: Side) -> dict[str, object] | None:
    """As an object; None where such a call was never seen."""
    return {"verdict": side.verdict, "rule": side.rule, "status": side.status or None} if side.verdict else None


def _report(found: Differences, config: Config, policies: tuple[Policy, Policy]) -> None:
    from rich.table import Table
    from rich.text import Text

    from guard.cli.show import STYLES, console, harmless
    from guard.ledger.record import iso

    out = console()
    table = Table(box=None, pad_edge=False)
    for heading in ("calls", "before", "after", "for example"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "calls" else "left")
    for change in found.changes:
        examples = "\n".join(
            harmless(f"{iso(e.at, config.zone)[:19]} {e.caller or 'none'} > {e.callee} ({e.call_id})")
            for e in change.examples
        )
        sides = [Text(_words(s), style=STYLES.get(s.verdict, "")) for s in (change.before, change.after)]
        table.add_row(f"{change.calls}", *sides, Text(examples))
    if found.changes:
        out.print(table)
    out.print(f"{found.judged} calls judged, {found.changed} would be decided otherwise", highlight=False)
    out.print(f"{policies[0].digest} > {policies[1].digest}", highlight=False, soft_wrap=True)


def _words(side: Side) -> str:
    if not side.verdict:
        return "never seen"
    status = f" {side.status}" if side.status else ""
    return f"{side.verdict}{status}" + (f" by {side.rule}" if side.rule else "")
