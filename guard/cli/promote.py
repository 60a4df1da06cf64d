"""`guard policy promote RULE`: whether a rule on trial may act, by what the log and people say of it."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from guard.cli.common import CommandError, config_option, json_lines

if TYPE_CHECKING:
    from collections.abc import Collection

    from guard.config import Config
    from guard.ledger.incidents import Incident
    from guard.ledger.promotion import Judged, Promotion, Spoken, Way
    from guard.policy.load import Policy
    from guard.store.reader import SqliteReader

DAY_US: Final = 86_400_000_000
DAYS: Final = 28  # looked at where nothing is said: four weeks
MOST_DAYS: Final = 3_650
OWN: Final = "site."  # rules of the site, which are set where they are written
NAMED: Final = 20  # calls that are named: a line of a screen; --json has them all


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Arguments."""
    text = (
        "Tell what a rule on trial, or one that only flags, would have stopped in the log, and whether it may act."
        " 1 where it may not yet."
    )
    one = sub.add_parser("promote", help="whether a rule on trial may act", description=text)
    one.add_argument("rule", metavar="RULE", help="its id, such as traffic.scan")
    config_option(one)
    one.add_argument(
        "--days",
        type=int,
        default=DAYS,
        metavar="N",
        help=f"look back so far ({DAYS}): not before the rule was as it is",
    )
    one.add_argument(
        "--legitimate", nargs="+", type=int, default=[], metavar="SEQ", help="calls of the log that were rightful"
    )
    one.add_argument(
        "--judged", action="store_true", help="I have looked at all calls named here: the others were rightly stopped"
    )
    one.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace, config: Config, policy: Policy) -> int:
    """0 when it may act, 1 when it may not yet."""
    import time

    if not 1 <= args.days <= MOST_DAYS:
        raise CommandError(f"--days {args.days}: from 1 to {MOST_DAYS}", status=2)
    way = _way(policy, args.rule)
    until = time.time_ns() // 1000
    found, told = _weighed(args, config, way, (until - args.days * DAY_US, until))
    if args.json:
        json_lines([_object(told, found, config)])
    else:
        _report(told, found, config)
    return 0 if told.ready else 1


def _way(policy: Policy, name: str) -> Way:
    """How the rule would come to act. CommandError for one that is not in force, or never acts."""
    from guard.model import STRENGTH
    from guard.policy.inforce import compiled
    from guard.tomlread import nearest

    rules = [r for r in compiled(policy) if r.id == name]
    if not rules:
        known = list(dict.fromkeys(r.id for r in compiled(policy)))
        raise CommandError(f'no rule "{name}" is in force{nearest(name, known)}', status=2)
    if name == policy.emergency.rule.id:
        raise CommandError(f"{name}: emergency calls always pass", status=2)
    acts = any(STRENGTH[say.action] > STRENGTH["flag"] for rule in rules for say in rule.says.values())
    if not acts:
        written = policy.written.get(name)
        if written is not None and all(say.advisory or say.action for say in written.say.values()):
            raise CommandError(f"{name} only tells: no setting makes it stop a call", status=2)
        return "action"
    return "mode" if rules[-1].mode == "monitor" else "acts"


def _weighed(
    args: argparse.Namespace, config: Config, way: Way, span: tuple[int, int]
) -> tuple[list[tuple[Spoken, Judged]], Promotion]:
    from guard.ledger.promotion import judged, spoken, weigh
    from guard.store.contract import Query
    from guard.store.errors import StoreError
    from guard.store.money import traffic
    from guard.store.reader import SqliteReader

    since, until = span
    rightful = set(args.legitimate)
    try:
        incidents = _incidents(config)
        with SqliteReader(config.store_path, timezone=config.timezone) as reader:
            calls, hours = traffic(reader, since, until)
            query = Query(since=since, until=until, rule=args.rule, direction="outbound", all=True)
            made = (spoken(args.rule, way, d.record.seq, d.end_seq, d.body, d.end) for d in reader.details(query))
            all_spoken = [one for one in made if one is not None]
            saved = _saved(reader, all_spoken, span, config)
    except StoreError as error:
        raise CommandError(str(error)) from error
    strange = sorted(rightful - {one.seq for one in all_spoken})
    if strange:
        raise CommandError(
            f"--legitimate {strange[0]}: {args.rule} would not have stopped a call #{strange[0]}", status=2
        )
    found = [(one, judged(one, args.rule, incidents, rightful)) for one in all_spoken]
    days = len({datetime.fromtimestamp(hour * 3600, UTC).astimezone(config.zone).date() for hour in hours})
    return found, weigh(args.rule, way, span, days, calls, found, saved, looked=args.judged)


def _incidents(config: Config) -> Collection[Incident]:
    """What people closed, where there are books."""
    from guard.store.books import Books

    if not config.store_path.exists():
        return ()
    with Books(config.store_path, config.zone) as books:
        return tuple(i for i in books.incidents().values() if not i.live)


def _saved(reader: SqliteReader, stops: Collection[Spoken], span: tuple[int, int], config: Config) -> int:
    """What would not have accrued; other calls of the same numbers are looked for in whole billing periods."""
    from guard.ledger.penalties import month_bounds, month_of
    from guard.ledger.promotion import avoided

    ever = config.file.ledger.per_number == "ever"
    first = 0 if ever else month_bounds(month_of(span[0], config.zone), config.zone)[0]
    return avoided(stops, reader.exposures(first, span[1]), config.zone, ever=ever)


# ---- what is told ----------------------------------------------------------------------------------------------------


def toml(told: Promotion) -> str:
    """What switches it on in guard.toml; "" where it acts."""
    if told.way == "acts":
        return ""
    head = f'[rules."{told.rule}"]'
    if told.rule.startswith(OWN):
        head = f'[[site_rule]]  # the one of id = "{told.rule}"'
    return head + "\n" + ('mode = "enforce"' if told.way == "mode" else 'action = "block"') + "\n"


def _object(told: Promotion, found: list[tuple[Spoken, Judged]], config: Config) -> dict[str, object]:
    from guard.ledger.record import iso

    return {
        "rule": told.rule,
        "acts": told.way == "acts",
        "since": iso(told.since, config.zone),
        "until": iso(told.until, config.zone),
        "days": told.days,
        "calls": told.calls,
        "would_stop": told.stops,
        "stopped_anyway": told.anyway,
        "avoided_microeuros": told.avoided,
        "legitimate": told.wrong,
        "rightly_stopped": told.right,
        "unjudged": told.unjudged,
        "upper_bound": told.bound,
        "upper_bound_unjudged": told.bound_unjudged,
        "ready": told.ready,
        "why": told.why,
        "toml": toml(told),
        "seqs": [{"seq": one.seq, "judged": said or None} for one, said in found],
    }


def _report(told: Promotion, found: list[tuple[Spoken, Judged]], config: Config) -> None:
    from guard.cli.show import counted, euros
    from guard.ledger.promotion import shown
    from guard.ledger.record import iso

    first, last = (iso(at, config.zone)[:16] for at in (told.since, told.until))
    print(f"{told.rule}, {first} to {last}: {counted(told.days, 'day')} with calls, {told.calls:,} calls judged")
    would = "has stopped" if told.way == "acts" else "would have stopped"
    print(f"it {would} {told.anyway if told.way == 'acts' else told.stops:,}", end="")
    if told.way != "acts":
        print(f", besides {told.anyway:,} that were stopped anyway; penalties avoided: {euros(told.avoided)}", end="")
    print()
    print(f"by people: {told.right:,} rightly, {told.wrong:,} wrongly, {told.unjudged:,} not judged")
    print(f"rightful calls that it stops: at most {shown(told.bound)} (Wilson, 95 %)", end="")
    print(f"; {shown(told.bound_unjudged)} if all were rightful that nobody judged" if told.unjudged else "")
    open_ones = [one.seq for one, said in found if not said]
    if told.unjudged:
        more = f" and {len(open_ones) - NAMED:,} more" if len(open_ones) > NAMED else ""
        print("not judged: " + " ".join(f"#{seq}" for seq in open_ones[:NAMED]) + more)
        print("  `guard explain` shows them; close their incidents, or say --legitimate SEQ… and --judged")
    if told.way == "acts":
        print("it acts already")
    print("ready" if told.ready else "not yet: " + "; ".join(told.why))
    if told.ready and told.way != "acts":
        print(toml(told), end="")
        if told.way == "mode" and config.file.mode == "monitor":
            print('# and no mode = "monitor" at the top of the file, which keeps every rule on trial')
