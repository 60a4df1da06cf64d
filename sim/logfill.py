"""`python -m sim logfill`: a log of very many calls, as a busy site would have it after months, made in minutes.

The bodies are those of guard/ledger/record.py and every entry is chained, so `guard log --verify` walks the whole of
it; rows go straight into the tables, and indexes are made at the end. Same seed, same log, octet by octet.
Decisions are drawn, not judged: `guard penalties --recount` and `guard replay` would say otherwise of them.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from guard.ledger import chain
from guard.ledger.record import NO_MONEY, DecisionBody, EndBody, FindingRecord, Money, encode
from guard.model import Action, Text, Verdict
from guard.store.migrations import SEARCHED
from guard.store.schema import open_writer
from sim.labelled.words import SimError

ROWS: Final = 10_000_000
DAYS: Final = 180  # the log's span: what retention keeps
UNTIL: Final = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * 1_000_000
BATCH: Final = 20_000  # calls written at a time
DURING: Final = 60  # calls that are set up while one goes on
LINES: Final = 2_000
CALLEES: Final = 500_000
PER_NUMBER: Final = 2_500_000_000  # micro-euros, as policies/contracts/technicophone-sip-trunk.toml has them
PER_ATTEMPT: Final = 50_000
ARTICLE: Final = "003_742b69a7556570e9.txt IV-10.3"
DAY: Final = 86_400_000_000
MONTHS: Final = 31 * DAY  # a number is fined once in so long, which is near enough

# verdict, weight, rules that may speak, what they ask for
KINDS: Final[tuple[tuple[Verdict, int, tuple[str, ...], Action], ...]] = (
    ("allowed", 9_600, (), "allow"),
    ("flagged", 200, ("quota.talk-time", "traffic.night", "dst.frequency", "cli.territory"), "flag"),
    ("masked", 50, ("cli.premium", "cli.mobile"), "mask"),
    ("blocked", 150, ("cli.not-authorised", "cli.premium", "rate.cps", "dst.premium"), "block"),
)
RARE: Final = 2_000_003  # every so many calls one of which a rule speaks that never does else
LATE: Final = 2_003  # and one of which something is found when it is over


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help=f"calls ({ROWS:,})")
    parser.add_argument("--path", type=Path, required=True, metavar="DB", help="the log to make; it must not be there")
    parser.add_argument("--seed", type=int, default=1, help="of the dice (1)")
    parser.add_argument("--old", type=int, metavar="V", help="as version V of the log had it, to time an upgrade")


def run(args: argparse.Namespace) -> int:
    """Make the log. SimError where it is there already."""
    if args.path.exists():
        raise SimError(f"{args.path}: there already; a log is made in a file of its own")
    if args.rows < 1:
        raise SimError(f"--rows {args.rows}: at least one")
    begun = time.monotonic()
    fill(args.path, args.rows, args.seed, lambda done: _say(done, args.rows), old=args.old)
    size = args.path.stat().st_size
    print(f"{args.path}: {args.rows:,} calls, {size / 1e9:.2f} GB, in {time.monotonic() - begun:.0f} s")
    return 0


def _say(done: int, rows: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:,} of {rows:,}", end="\n" if done == rows else "", file=sys.stderr, flush=True)


def fill(path: Path, rows: int, seed: int, said: Callable[[int], None], *, old: int | None = None) -> None:
    """A log of so many calls. With `old` it has only the first so many migrations."""
    db = open_writer(str(path), "process", upto=old)
    try:
        db.execute("PRAGMA journal_mode = OFF")  # whoever breaks this off begins anew
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("PRAGMA cache_size = -262144")
        indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        db.execute("BEGIN")
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        made = Made(random.Random(seed), rows)
        done = 0
        while done < rows:
            count = min(BATCH, rows - done)
            made.write(db, done, count, last=done + count == rows)
            done += count
            said(done)
        for sql in (*(sql for _, sql in indexes), *(SEARCHED if old is None else ())):
            db.execute(sql)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
    finally:
        db.close()


class Made:
    """Makes rows, call by call; `seq` and `hash` are the last entry's."""

    def __init__(self, dice: random.Random, rows: int) -> None:
        self._dice = dice
        self._step = DAYS * DAY // rows
        self._begun = UNTIL - DAYS * DAY
        self.seq = 0
        self.hash = chain.GENESIS
        self._going: deque[tuple[int, int]] = deque()
        self._fined: dict[tuple[str, int], None] = {}
        # Some lines and numbers have most of the calls, as everywhere.
        self._lines = [str(200 + int(LINES * dice.random() ** 3)) for _ in range(1 << 14)]
        self._callees = [f"+336{int(CALLEES * dice.random() ** 2):08d}" for _ in range(1 << 20)]
        self._callers = ["+33145678900"] * 40 + [f"+3314567{8900 + n}" for n in range(100)]
        self._said = {(rule, action): _finding(rule, action) for _, _, rules, action in KINDS for rule in rules}
        self._said["dst.risk", "flag"] = _finding("dst.risk", "flag")

    def write(self, db: sqlite3.Connection, first: int, count: int, *, last: bool) -> None:
        """The next `count` calls."""
        dice = self._dice
        entries: list[tuple[object, ...]] = []
        calls: list[tuple[object, ...]] = []
        rules: list[tuple[str, int]] = []
        ends: list[tuple[object, ...]] = []
        exposures: list[tuple[object, ...]] = []
        fined: list[tuple[object, ...]] = []
        drawn = dice.choices(KINDS, [weight for _, weight, _, _ in KINDS], k=count)
        for n, (verdict, _, names, action) in zip(range(first, first + count), drawn, strict=True):
            at = self._begun + n * self._step + int(dice.random() * self._step)
            rule = names[int(dice.random() * len(names))] if names else ""
            if n % RARE == RARE - 1:
                verdict, rule, action = "flagged", "dst.risk", "flag"
            body = self._body(n, at, verdict, rule, action)
            seq = self._entry(entries, "decision", None, at, encode(body))
            calls.append(
                (seq, at, verdict, body.caller, body.presented, body.callee, body.source, body.trunk, body.line,
                 body.call_id, body.direction)
            )  # fmt: skip
            if rule:
                rules.append((rule, seq))
            m = body.money
            if m is not NO_MONEY:
                exposures.append(
                    (seq, at, body.trunk, body.line, m.number, m.rule, m.accrued, m.avoided, m.per_number,
                     m.contract, m.reading)
                )  # fmt: skip
                if m.per_number:
                    state = "accrued" if m.accrued else "avoided"
                    fined.append((body.trunk, f"{at // MONTHS}", m.number, state, seq))
            if verdict != "blocked":
                self._going.append((seq, n))
            while len(self._going) > DURING:
                self._end(entries, ends, rules, at)
        while last and self._going:
            self._end(entries, ends, rules, at)
        db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", entries)
        db.executemany("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", calls)
        db.executemany("INSERT INTO call_rules VALUES (?, ?)", rules)
        db.executemany("INSERT INTO ends VALUES (?, ?, ?, ?)", ends)
        db.executemany("INSERT INTO exposures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", exposures)
        db.executemany("INSERT OR IGNORE INTO fined_numbers VALUES (?, ?, ?, ?, ?)", fined)
        db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (self.seq, self.hash))

    def _body(self, n: int, at: int, verdict: Verdict, rule: str, action: Action) -> DecisionBody:
        dice = self._dice.random
        caller = self._callers[int(dice() * 140)]
        if rule == "cli.not-authorised":
            caller = f"+331{int(dice() * 20_000):08d}"
        blocked = verdict == "blocked"
        return DecisionBody(
            at=at,
            call_id=f"{n:x}-{n * 2654435761 % (1 << 32):08x}@192.0.2.5",
            site="hq",
            source="pbx" if n % 10 else "dialler",
            source_address="192.0.2.5",
            trunk="backup" if n % 41 == 0 else "operator",
            line=self._lines[int(dice() * 16384)],
            direction="inbound" if n % 12 == 0 else "outbound",
            caller=caller,
            callee=self._callees[int(dice() * 1048576)],
            from_tag=f"{n:x}",
            verdict=verdict,
            rule=rule,
            status=403 if blocked else 0,
            presented="" if blocked else "+33145678900" if verdict == "masked" else caller,
            masked=verdict == "masked",
            policy="sha256:0123456789abcdef",
            findings=(self._said[rule, action],) if rule else (),
            money=self._money(at, caller, rule) if blocked and rule.startswith("cli.") else NO_MONEY,
        )

    def _money(self, at: int, caller: str, rule: str) -> Money:
        key = (caller, at // MONTHS)
        first = key not in self._fined
        self._fined[key] = None
        return Money(
            avoided=PER_ATTEMPT + (PER_NUMBER if first else 0),
            rule=rule,
            number=caller,
            per_attempt=PER_ATTEMPT,
            per_number=PER_NUMBER if first else 0,
            contract="technicophone-sip-trunk",
            reading="digits",
            article=ARTICLE,
        )

    def _end(
        self, entries: list[tuple[object, ...]], ends: list[tuple[object, ...]], rules: list[tuple[str, int]], at: int
    ) -> None:
        call, n = self._going.popleft()
        answered = n % 3 != 0
        talk = int(self._dice.random() * 240_000_000) if answered else 0
        found = (_finding("traffic.callback", "flag"),) if n % LATE == 0 else ()
        body = EndBody(
            call=call,
            at=at,
            outcome="answered" if answered else "failed",
            ring_us=4_000_000,
            talk_us=talk,
            final_status=200 if answered else 486,
            by="caller",
            findings=found,
        )
        seq = self._entry(entries, "end", call, at, encode(body))
        ends.append((call, seq, at, body.outcome))
        if found:
            rules.append(("traffic.callback", seq))

    def _entry(
        self, entries: list[tuple[object, ...]], kind: chain.Kind, call: int | None, at: int, body: bytes
    ) -> int:
        self.seq += 1
        salt = self._dice.randbytes(chain.SALT_SIZE)
        digest = chain.body_hash(salt, body)
        self.hash = chain.link(self.hash, self.seq, kind, digest)
        entries.append((self.seq, kind, call, at, digest, self.hash, salt, body))
        return self.seq


def _finding(rule: str, action: Action) -> FindingRecord:
    text = Text(f"{rule}: the call is not as the contract has it.", f"{rule} : l’appel n’est pas conforme au contrat.")
    return FindingRecord(rule=rule, action=action, mode="enforce", article=(ARTICLE,), text=text, facts={"count": 3})
