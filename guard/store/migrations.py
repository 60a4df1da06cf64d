"""The tables of the log, version by version. A version, once released, stays as it is; changes are new ones.

`entries` is the log itself, the chain; all else is an index made from its bodies, so that a filter of `guard log` need
not read them. Where a rule spoke, where money is owed, and where more comes than can be written, rows come in through
the view `intake`, whose triggers put each part where it belongs: a whole group of entries is one statement, and so one
hand-over of the interpreter's lock between the network's thread and the writer's. (With a statement a table, a busy
network thread made a commit of 15 calls wait 130 ms.)
"""

from __future__ import annotations

from typing import Final

ENTRY = ("seq", "kind", "call_seq", "at", "body_hash", "hash", "salt", "body")
CALL = ("verdict", "caller", "presented", "callee", "source", "trunk", "line", "call_id", "direction")
EXPOSURE = ("number", "fined_rule", "accrued", "avoided", "per_number", "contract", "reading")
NOTABLE: Final = "WHERE verdict <> 'allowed'"
INTAKE = (*ENTRY, *CALL, "rules", "outcome", *EXPOSURE)  # `rules` is a JSON array


def _new(columns: tuple[str, ...]) -> str:
    return ", ".join(f"new.{name}" for name in columns)


V1 = (
    "CREATE TABLE entries(seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, call_seq INTEGER, at INTEGER NOT NULL,"
    " body_hash BLOB NOT NULL, hash BLOB NOT NULL, salt BLOB, body BLOB)",
    "CREATE TABLE head(id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, hash BLOB NOT NULL)",
    "CREATE TABLE calls(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, verdict TEXT NOT NULL, caller TEXT NOT NULL,"
    " presented TEXT NOT NULL, callee TEXT NOT NULL, source TEXT NOT NULL, trunk TEXT NOT NULL, line TEXT NOT NULL,"
    " call_id TEXT NOT NULL, direction TEXT NOT NULL)",
    "CREATE INDEX calls_at ON calls(at)",
    "CREATE INDEX calls_notable ON calls(seq) WHERE verdict <> 'allowed'",
    "CREATE INDEX calls_verdict ON calls(verdict) WHERE verdict <> 'allowed'",
    "CREATE INDEX calls_caller ON calls(caller)",
    "CREATE INDEX calls_presented ON calls(presented) WHERE presented <> caller",
    "CREATE INDEX calls_callee ON calls(callee)",
    "CREATE INDEX calls_line ON calls(line)",
    "CREATE INDEX calls_trunk ON calls(trunk)",
    "CREATE INDEX calls_call_id ON calls(call_id)",
    "CREATE TABLE call_rules(rule TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (rule, seq)) WITHOUT ROWID",
    "CREATE TABLE ends(call_seq INTEGER PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL, outcome TEXT NOT NULL)",
    "CREATE TABLE exposures(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, trunk TEXT NOT NULL, line TEXT NOT NULL,"
    " number TEXT NOT NULL, fined_rule TEXT NOT NULL, accrued INTEGER NOT NULL, avoided INTEGER NOT NULL,"
    " per_number INTEGER NOT NULL, contract TEXT NOT NULL, reading TEXT NOT NULL)",
    "CREATE INDEX exposures_at ON exposures(at)",
    "CREATE TABLE fined_numbers(trunk TEXT NOT NULL, period TEXT NOT NULL, number TEXT NOT NULL, state TEXT NOT NULL,"
    " seq INTEGER NOT NULL, PRIMARY KEY (trunk, period, number, state)) WITHOUT ROWID",
    f"CREATE VIEW intake({', '.join(INTAKE)}) AS SELECT {', '.join(['NULL'] * len(INTAKE))}",
    "CREATE TRIGGER intake_entry INSTEAD OF INSERT ON intake WHEN new.seq IS NOT NULL BEGIN"
    f" INSERT INTO entries({', '.join(ENTRY)}) VALUES ({_new(ENTRY)});"
    " INSERT OR REPLACE INTO head VALUES (1, new.seq, new.hash); END",
    "CREATE TRIGGER intake_call INSTEAD OF INSERT ON intake WHEN new.kind = 'decision' BEGIN"
    f" INSERT INTO calls(seq, at, {', '.join(CALL)}) VALUES ({_new(('seq', 'at', *CALL))}); END",
    "CREATE TRIGGER intake_rules INSTEAD OF INSERT ON intake WHEN new.rules IS NOT NULL BEGIN"
    " INSERT INTO call_rules(rule, seq) SELECT DISTINCT value, new.seq FROM json_each(new.rules); END",
    # A second end of one call stays in the log and out of the index.
    "CREATE TRIGGER intake_end INSTEAD OF INSERT ON intake WHEN new.kind = 'end' BEGIN"
    " INSERT OR IGNORE INTO ends(call_seq, seq, at, outcome)"
    f" VALUES ({_new(('call_seq', 'seq', 'at', 'outcome'))}); END",
    "CREATE TRIGGER intake_money INSTEAD OF INSERT ON intake WHEN new.accrued + new.avoided > 0 BEGIN"
    f" INSERT INTO exposures(seq, at, trunk, line, {', '.join(EXPOSURE)})"
    f" VALUES ({_new(('seq', 'at', 'trunk', 'line', *EXPOSURE))}); END",
)

# Evidence and data protection. `checkpoints` stand beside the chain and cover it; `policy_files` are kept once by their
# content, `policies` list each policy's; `marks` remember how far the purge has come; `requests` are what another
# process asks the writer to do; `token_keys` hide the numbers that penalties were counted for, once these are erased.
V2 = (
    "CREATE TABLE checkpoints(n INTEGER PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL, message BLOB NOT NULL,"
    " signature BLOB NOT NULL, key BLOB NOT NULL)",
    "CREATE TABLE policies(digest TEXT PRIMARY KEY, at INTEGER NOT NULL, parts BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE policy_files(sha256 BLOB PRIMARY KEY, content BLOB NOT NULL)",
    "CREATE TABLE marks(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE requests(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, argument TEXT NOT NULL,"
    " at INTEGER NOT NULL, answer TEXT)",
    "CREATE TABLE token_keys(period TEXT PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID",
    "CREATE INDEX fined_numbers_seq ON fined_numbers(seq)",
)

# What is found when a call is over stands in its end, and costs at the instant of the call.
V3 = (
    "DROP TRIGGER intake_money",
    "CREATE TRIGGER intake_money INSTEAD OF INSERT ON intake"
    " WHEN new.kind = 'decision' AND new.accrued + new.avoided > 0 BEGIN"
    f" INSERT INTO exposures(seq, at, trunk, line, {', '.join(EXPOSURE)})"
    f" VALUES ({_new(('seq', 'at', 'trunk', 'line', *EXPOSURE))}); END",
    "CREATE TRIGGER intake_late_money INSTEAD OF INSERT ON intake"
    " WHEN new.kind = 'end' AND new.accrued + new.avoided > 0 BEGIN"
    f" INSERT INTO exposures(seq, at, trunk, line, {', '.join(EXPOSURE)})"
    f" SELECT new.seq, c.at, c.trunk, c.line, {_new(EXPOSURE)} FROM calls c WHERE c.seq = new.call_seq; END",
)

# What an erased call cost beside what stands in `exposures`: the article of its penalties, under the entry that bears
# them; and under its decision the tariff of undetermined origin, which its talk made. `calls` is 1 where no other sum
# counts the call.
V4 = (
    "CREATE TABLE erased_money(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, trunk TEXT NOT NULL, rule TEXT NOT NULL,"
    " contract TEXT NOT NULL, reading TEXT NOT NULL, article TEXT NOT NULL, origin INTEGER NOT NULL,"
    " origin_article TEXT NOT NULL, calls INTEGER NOT NULL)",
    "CREATE INDEX erased_money_at ON erased_money(at)",
)

# A page of any filter in the order of the log, without reading the rest of it (guard/store/searching.py). Few calls are
# notable, so that the indexes of those cost an allowed call nothing. `call_spans` bounds the times of 4 096 entries.
# `late_rules` are the rules that spoke when a call was over, under the call itself; `call_rules` has them under the
# entry of its end.
# Entries are large, so that only those are looked at that are no decision.
LATE: Final = (
    "SELECT r.rule AS rule, e.call_seq AS seq FROM call_rules r CROSS JOIN entries e ON e.seq = r.seq"
    " WHERE r.seq NOT IN (SELECT seq FROM calls) AND e.kind = 'end'"
)
_LATE_RULES: Final = f"INSERT OR IGNORE INTO late_rules {LATE}"
V5 = (
    f"CREATE INDEX notable_caller ON calls(caller) {NOTABLE}",
    f"CREATE INDEX notable_callee ON calls(callee) {NOTABLE}",
    f"CREATE INDEX notable_line ON calls(line) {NOTABLE}",
    f"CREATE INDEX notable_trunk ON calls(trunk) {NOTABLE}",
    "CREATE TABLE call_spans(block INTEGER PRIMARY KEY, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL)",
    "CREATE TABLE late_rules(rule TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (rule, seq)) WITHOUT ROWID",
    "INSERT INTO call_spans SELECT seq >> 12, min(at), max(at) FROM calls GROUP BY 1",
    _LATE_RULES,
    "CREATE TRIGGER intake_span INSTEAD OF INSERT ON intake WHEN new.kind = 'decision' BEGIN"
    " INSERT INTO call_spans VALUES (new.seq >> 12, new.at, new.at + 60000000) ON CONFLICT(block) DO UPDATE"
    " SET first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)"
    " WHERE excluded.first_at < first_at OR excluded.first_at > last_at; END",
    "CREATE TRIGGER intake_late INSTEAD OF INSERT ON intake WHEN new.kind = 'end' AND new.rules IS NOT NULL BEGIN"
    " INSERT OR IGNORE INTO late_rules SELECT value, new.call_seq FROM json_each(new.rules); END",
)

# An index of numbers, lines or Call-IDs has new members all over it: in a long log each call changed a page of each of
# them, and took its writer twice as long. So they are parted by runs of 2^RUN_BITS entries: what is written is in one
# place, and who reads looks into each run, a microsecond each. `call_runs` has those in which there are calls, and
# bounds their times, which need not rise with seq: a clock may be put back. The later bound is a minute ahead: a row is
# written once a minute, and not with each call.
RUN_BITS: Final = 14
SLACK: Final = 60_000_000  # µs
RUNS: Final = f"INSERT INTO call_runs SELECT seq >> {RUN_BITS}, min(at), max(at) FROM calls GROUP BY 1"
SEARCHED: Final = (RUNS, _LATE_RULES)
_WIDER: Final = (
    "ON CONFLICT(run) DO UPDATE SET first_at = min(first_at, excluded.first_at),"
    " last_at = max(last_at, excluded.last_at)"
    " WHERE excluded.first_at < first_at OR excluded.first_at > last_at"
)
PUT_RUN: Final = f"INSERT INTO call_runs VALUES (?, ?, ?) {_WIDER}"
_PARTED: Final = (
    ("calls_caller", "caller", ""),
    ("calls_presented", "presented", " WHERE presented <> caller"),
    ("calls_callee", "callee", ""),
    ("calls_line", "line", ""),
    ("calls_call_id", "call_id", ""),
    *((f"notable_{column}", column, f" {NOTABLE}") for column in ("caller", "callee", "line")),
)
V6 = (
    "DROP TRIGGER intake_span",
    "DROP TABLE call_spans",
    "CREATE TABLE call_runs(run INTEGER PRIMARY KEY, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL)",
    f"ALTER TABLE calls ADD COLUMN run INTEGER GENERATED ALWAYS AS (seq >> {RUN_BITS}) VIRTUAL",
    *(f"DROP INDEX {name}" for name, _, _ in _PARTED),
    *(f"CREATE INDEX {name} ON calls(run, {column}){where}" for name, column, where in _PARTED),
    RUNS,
    "CREATE TRIGGER intake_run INSTEAD OF INSERT ON intake WHEN new.kind = 'decision' BEGIN"
    f" INSERT INTO call_runs VALUES (new.seq >> {RUN_BITS}, new.at, new.at + {SLACK}) {_WIDER}; END",
)

# One tuple of statements a version, in order; the file's user_version counts those applied.
MIGRATIONS: tuple[tuple[str, ...], ...] = (V1, V2, V3, V4, V5, V6)
