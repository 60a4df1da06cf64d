"""Kamailio's configuration: a plain proxy that knows dialogs, and the same with an equal set of rules and a record.

"Equal" is: whose address it is, caller and asserted caller against the site's numbers (a tree of prefixes), the called
number against destinations, a list of lines that are shut off, the trunk's rate, calls at once of the trunk and of the
line, and a record of the decision in SQLite before the call goes on. It has no detection, no quotas, no chain of
hashes, no reasons in two languages.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from sim.race.load import CALLERS, DESTINATIONS, Ports
from sim.site import GUARD, IPBX, OPERATOR

CHILDREN: Final = 1  # process that takes messages: it has one core; of two that write, one loses records to a lock
CPS: Final = 100_000
CHANNELS: Final = 100_000
LINE_CALLS: Final = 1_000
LOG: Final = "decisions.db"
# MB that its processes share and that each has. What is over lingers for 5 s and more, and with the 64 MB that it takes
# where nobody says, it answers 500 from 400 calls a second on.
SHARED: Final = 2_048
OWN: Final = 64
# Of its managers of memory the one that Debian's takes where nobody says (qm) walks along all free pieces to find one:
# two thirds of its processor time in `qm_malloc`, twice the time a call.
MANAGER: Final = "fm"
WANTS: Final = ("shared memory", "shm memory", "pkg memory", "out of mem", "no more mem")
BUFFER: Final = 4_194_304  # octets that its socket keeps while it is busy: as many as the guard's
FOREIGN: Final = 2_000  # further prefixes in the tree of destinations, as a site has that looks at countries

PLAIN: Final = """\
#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=@CHILDREN@
disable_tcp=yes
shm_force_alloc=no
auto_aliases=no
maxbuffer=@BUFFER@
listen=udp:@HOST@:@PORT@
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "dialog.so"
@MODULES@
modparam("rr", "enable_full_lr", 1)
modparam("rr", "append_fromtag", 0)
modparam("dialog", "dlg_match_mode", 1)
modparam("tm", "fr_timer", 5000)
modparam("tm", "fr_inv_timer", 30000)

request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
        sl_send_reply("404", "Not here");
        exit;
    }
    if (is_method("ACK")) { t_check_trans(); exit; }
    t_check_trans();
    if (!is_method("INVITE")) { sl_send_reply("405", "Method Not Allowed"); exit; }
    if (!t_newtran()) exit;
    dlg_manage();
    @RULES@
    record_route();
    $du = "sip:@CALLEE@";
    if (!t_relay()) sl_reply_error();
    exit;
}
@ROUTE@
"""

MODULES: Final = """\
loadmodule "htable.so"
loadmodule "mtree.so"
loadmodule "pipelimit.so"
loadmodule "sqlops.so"
loadmodule "db_sqlite.so"
modparam("dialog", "profiles_with_value", "line;trunk")
modparam("htable", "htable", "shut=>size=10;")
modparam("mtree", "db_url", "sqlite:///@LOG@")
modparam("mtree", "mtree", "name=numbers;dbtable=numbers;type=0")
modparam("mtree", "mtree", "name=destinations;dbtable=destinations;type=0")
modparam("mtree", "char_list", "+0123456789")
modparam("sqlops", "sqlcon", "log=>sqlite:///@LOG@")
"""

RULES: Final = """\
route(RULES);
"""

ROUTE: Final = """\
route[RULES] {
    $var(verdict) = "allowed";
    $var(rule) = "";
    if ($si != "@IPBX@") { $var(rule) = "source"; route(REFUSE); }
    if (!mt_match("numbers", "$fU", "0")) { $var(rule) = "caller"; route(REFUSE); }
    if ($ai != $null && !mt_match("numbers", "$(ai{uri.user})", "0")) { $var(rule) = "asserted"; route(REFUSE); }
    if (!mt_match("destinations", "$rU", "0")) { $var(rule) = "destination"; route(REFUSE); }
    if ($sht(shut=>$hdr(X-Line)) != $null) { $var(rule) = "shut"; route(REFUSE); }
    if (!pl_check("operator", "TAILDROP", "@CPS@")) { $var(rule) = "rate"; route(REFUSE); }
    get_profile_size("trunk", "operator", "$var(calls)");
    if ($var(calls) >= @CHANNELS@) { $var(rule) = "channels"; route(REFUSE); }
    get_profile_size("line", "$hdr(X-Line)", "$var(calls)");
    if ($var(calls) >= @LINE_CALLS@) { $var(rule) = "line"; route(REFUSE); }
    set_dlg_profile("trunk", "operator");
    set_dlg_profile("line", "$hdr(X-Line)");
    route(RECORD);
}
route[RECORD] {
    sql_query("log", "insert into decisions(at,call_id,line,caller,callee,address,agent,verdict,rule) values ($TV(sn),'$(ci{s.escape.common})','$(hdr(X-Line){s.escape.common})','$(fU{s.escape.common})','$(rU{s.escape.common})','$si','$(ua{s.escape.common})','$var(verdict)','$var(rule)')");
}
route[REFUSE] {
    $var(verdict) = "blocked";
    route(RECORD);
    t_reply("403", "Forbidden");
    exit;
}
event_route[core:worker-one-init] {
    sql_query("log", "pragma synchronous=normal");
}
"""  # noqa: E501 (a text of Kamailio's cannot be broken)


def complete() -> bool:
    """Whether its module for SQLite is there, which Debian has in a package of its own."""
    return any(Path("/usr/lib").glob("*/kamailio/modules/db_sqlite.so"))


def write(folder: Path, ports: Ports, *, rules: bool) -> list[str]:
    """Write configuration and log; the words that start it."""
    log = folder / LOG
    if rules:
        make_log(log)
    words = {
        "MODULES": MODULES if rules else "",
        "RULES": RULES if rules else "",
        "ROUTE": ROUTE if rules else "",
        "LOG": str(log),
        "CHILDREN": str(CHILDREN),
        "HOST": GUARD,
        "PORT": str(ports.proxy),
        "IPBX": IPBX,
        "CALLEE": f"{OPERATOR}:{ports.callee}",
        "BUFFER": str(BUFFER),
        "CPS": str(CPS),
        "CHANNELS": str(CHANNELS),
        "LINE_CALLS": str(LINE_CALLS),
    }
    text = PLAIN
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    config = folder / "kamailio.cfg"
    config.write_text(text, encoding="utf-8")
    memory = ["-m", str(SHARED), "-M", str(OWN), "-x", MANAGER, "-X", MANAGER]
    return ["kamailio", *memory, "-f", str(config), "-DD", "-E", "-Y", str(folder), "-w", str(folder)]


def starved(folder: Path) -> str:
    """Where it complains of too little memory: what it measures then is no proxy. Empty where it has enough."""
    with (folder / "proxy.log").open(encoding="utf-8", errors="replace") as said:
        return next((line.strip() for line in said if any(word in line for word in WANTS)), "")


def make_log(path: Path) -> None:
    """The record's table and the trees' prefixes. It is written ahead (WAL) as the guard's is; so that it is no slower
    for it, a commit outlives the process and not a power cut there as well."""
    with sqlite3.connect(path) as db:
        db.execute("pragma journal_mode=wal")
        db.execute(
            "create table decisions(seq integer primary key, at real, call_id text, line text, caller text,"
            " callee text, address text, agent text, verdict text, rule text)"
        )
        db.execute("create index by_call on decisions(call_id)")
        for table in ("numbers", "destinations"):
            db.execute(f"create table {table}(id integer primary key, tprefix varchar(32), tvalue varchar(32))")
        db.executemany("insert into numbers(tprefix, tvalue) values (?, 'own')", [(p,) for p in CALLERS])
        rows = [(p, "allowed") for p in DESTINATIONS]
        rows += [(f"+{44_0000 + n}", "allowed") for n in range(FOREIGN)]
        db.executemany("insert into destinations(tprefix, tvalue) values (?, ?)", rows)
    db.close()


def recorded(folder: Path) -> int:
    """How many decisions are in its log."""
    db = sqlite3.connect(folder / LOG)
    try:
        return int(db.execute("select count(*) from decisions").fetchone()[0])
    finally:
        db.close()
