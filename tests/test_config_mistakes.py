"""Every mistake of guard.toml that can be made, each told with its line, its key and the nearest valid word."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from guard.config import read
from guard.policy.load import check_policy
from guard.tomlread import Problem
from tests.test_config import GOOD, written

NUMBER: Final = '[[number]]\nrange = "+33180909090"\n'
END: Final = GOOD.count("\n")


class Mistake(Struct, frozen=True):
    """`old` of the good file becomes `new` (or `new` is added at its end): then exactly `key` is wrong, at `line`."""

    name: str
    old: str
    new: str
    line: int
    key: str
    what: tuple[str, ...]


def added(name: str, new: str, line: int, key: str, *what: str) -> Mistake:
    """A mistake in what is added at the end; `line` counts from there."""
    return Mistake(name, "", new, END + line, key, what)


MISTAKES: Final = (
    # words
    Mistake("unknown key", 'site = "hq"', 'siet = "hq"', 1, "siet", ('did you mean "site"?',)),
    Mistake("unknown key in a table", "udp =", "upd =", 3, "listen.upd", ('did you mean "udp"?',)),
    Mistake(
        "unknown key in an array",
        'trunk = "operator"',
        'trunk = "operator"\nusages = "human"',
        11,
        "source[1].usages",
        ('did you mean "usage"?',),
    ),
    Mistake("nothing is near", 'site = "hq"', 'xyzzy = "hq"', 1, "xyzzy", ("unknown key",)),
    Mistake("wrong type", 'site = "hq"', "site = 3", 1, "site", ("3: expected `str`, got `int`",)),
    Mistake(
        "name with a space",
        'site = "hq"',
        'site = "head quarter"',
        1,
        "site",
        ('"head quarter": must be a name of at most 64',),
    ),
    Mistake("wrong mode", 'site = "hq"', 'mode = "monitro"', 1, "mode", ('did you mean "monitor"?',)),
    Mistake(
        "wrong usage",
        'trunk = "operator"',
        'trunk = "operator"\nusage = ["human", "robot"]',
        11,
        "source[1].usage",
        ('"robot" is not one of human, automated, platform, prospecting',),
    ),
    Mistake(
        "no usage", 'trunk = "operator"', 'trunk = "operator"\nusage = []', 11, "source[1].usage", ("[] is not one of",)
    ),
    Mistake(
        "wrong time zone", 'site = "hq"', 'timezone = "Europe/Pariss"', 1, "timezone", ('did you mean "Europe/Paris"?',)
    ),
    Mistake("a table that is no array", "[[trunk]]", "[trunk]", 4, "trunk", ("write [[trunk]], with two brackets",)),
    Mistake(
        "wrong country",
        'trunk = "operator"',
        'trunk = "operator"\ncountry = "fr"',
        11,
        "source[1].country",
        ("such as FR",),
    ),
    Mistake(
        "wrong line_from",
        'trunk = "operator"',
        'trunk = "operator"\nline_from = "header:"',
        11,
        "source[1].line_from",
        ("one of from, pai, ppi, contact, auth, header:NAME",),
    ),
    added(
        "no channels",
        '[[trunk]]\nname = "b"\nnext_hop = ["sip:198.51.100.9"]\nchannels = 0\n',
        4,
        "trunk[2].channels",
        ">= 1",
    ),
    added("retention", "[store]\nretention_days = 0\n", 2, "store.retention_days", ">= 1"),
    added("durability", '[store]\ndurability = "disk"\n', 2, "store.durability", "process, power"),
    added("deadline", "[faults]\ndeadline_ms = 0\n", 2, "faults.deadline_ms", ">= 1"),
    added("fault verdict", '[faults]\nengine = "allow"\n', 2, "faults.engine", '"allow" is not one of pass, block'),
    # addresses
    Mistake("no port", '"192.0.2.10:5060"', '"192.0.2.10"', 3, "listen.udp", ("is no address: write it as",)),
    Mistake(
        "listener twice",
        '["192.0.2.10:5060"]',
        '["192.0.2.10:5060", "192.0.2.10:5060"]',
        3,
        "listen.udp",
        ("stands twice",),
    ),
    Mistake(
        "host bits",
        '"192.0.2.5"',
        '"192.0.2.5/28"',
        9,
        "source[1].address",
        ("has host bits set", '"192.0.2.0/28" for the network'),
    ),
    Mistake("no address", '"192.0.2.5"', '"pbx.example"', 9, "source[1].address", ("is no address or network",)),
    Mistake("no addresses", '["192.0.2.5"]', "[]", 9, "source[1].address", ("length >= 1",)),
    Mistake(
        "overlap in a source",
        '["192.0.2.5"]',
        '["192.0.2.5", "192.0.2.0/24"]',
        9,
        "source[1].address",
        ('overlaps 192.0.2.5/32 of source "pbx"',),
    ),
    added(
        "overlap of sources",
        '[[source]]\nname = "b"\naddress = ["192.0.2.0/28"]\ntrunk = "operator"\n',
        3,
        "source[2].address",
        'overlaps 192.0.2.5/32 of source "pbx"',
    ),
    Mistake(
        "the operator as a source",
        '"192.0.2.5"',
        '"198.51.100.0/24"',
        9,
        "source[1].address",
        ('holds 198.51.100.10, a next hop of trunk "operator"',),
    ),
    # next hops
    Mistake("no URI", '"sip:198.51.100.10"', '"198.51.100.10"', 6, "trunk[1].next_hop", ("is no SIP URI",)),
    Mistake("tel URI", '"sip:198.51.100.10"', '"tel:+33145678900"', 6, "trunk[1].next_hop", ("is no SIP URI",)),
    Mistake(
        "sips over UDP",
        '"sip:198.51.100.10"',
        '"sips:198.51.100.10;transport=udp"',
        6,
        "trunk[1].next_hop",
        ("over TLS only",),
    ),
    Mistake(
        "transport",
        '"sip:198.51.100.10"',
        '"sip:198.51.100.10;transport=upd"',
        6,
        "trunk[1].next_hop",
        ('did you mean "udp"?',),
    ),
    Mistake("no next hop", '["sip:198.51.100.10"]', "[]", 6, "trunk[1].next_hop", ("length >= 1",)),
    Mistake(
        "contact by name",
        'trunk = "operator"',
        'trunk = "operator"\ncontact = "sip:pbx.example"',
        11,
        "source[1].contact",
        ("a numeric address",),
    ),
    Mistake(
        "inbound as dialled",
        'trunk = "operator"',
        'trunk = "operator"\ncontact = "sip:192.0.2.5"\ninbound = ["0145678900"]',
        12,
        "source[1].inbound",
        ('"0145678900" is no number', 'did you mean "+33145678900"?'),
    ),
    Mistake(
        "inbound for all",
        'trunk = "operator"',
        'trunk = "operator"\ncontact = "sip:192.0.2.5"\ninbound = "*"',
        12,
        "source[1].inbound",
        ('"*" is no number',),
    ),
    Mistake(
        "inbound to nowhere",
        'trunk = "operator"',
        'trunk = "operator"\ninbound = "+331456789*"',
        11,
        "source[1].inbound",
        ("needs contact",),
    ),
    # names
    Mistake(
        "missing trunk",
        'trunk = "operator"',
        'trunk = "operater"',
        10,
        "source[1].trunk",
        ('no [[trunk]] "operater"; did you mean "operator"?',),
    ),
    Mistake("no trunk named", 'trunk = "operator"\n', "", 7, "source[1].trunk", ("missing",)),
    added(
        "trunk twice",
        '[[trunk]]\nname = "operator"\nnext_hop = ["sip:198.51.100.9"]\n',
        2,
        "trunk[2].name",
        "stands twice",
    ),
    added(
        "source twice",
        '[[source]]\nname = "pbx"\naddress = ["192.0.2.6"]\ntrunk = "operator"\n',
        2,
        "source[2].name",
        "stands twice",
    ),
    added(
        "usage of nobody",
        '[[usage]]\nsource = "pxb"\nusage = "automated"\n',
        2,
        "usage[1].source",
        'did you mean "pbx"?',
    ),
    # numbers
    added("national form", '[[number]]\nrange = "0180909090"\n', 2, "number[2].range", 'did you mean "+33180909090"?'),
    added(
        "two lengths", '[[number]]\nrange = "+33180909090-+3318090909"\n', 2, "number[2].range", "is no E.164 number"
    ),
    added("short and long", '[[number]]\nrange = "3020-118218"\n', 2, "number[2].range", "must have the same length"),
    added("backwards", '[[number]]\nrange = "+33180909099-+33180909090"\n', 2, "number[2].range", "is above the last"),
    added("prefix without +", '[[number]]\nrange = "331809*"\n', 2, "number[2].range", "a prefix is written as"),
    added("no number", '[[number]]\nrange = "acme"\n', 2, "number[2].range", "is no E.164 number"),
    added("half a range", '[[number]]\nrange = "+33180909090-"\n', 2, "number[2].range", "is no range"),
    added("empty", '[[number]]\nrange = ""\n', 2, "number[2].range", "is no range"),
    added(
        "overlapping ranges",
        '[[number]]\nrange = "+33145678999"\n',
        2,
        "number[2].range",
        "overlaps number[1] on the same days",
    ),
    added("overlapping prefix", '[[number]]\nrange = "+331456*"\n', 2, "number[2].range", "overlaps number[1]"),
    added(
        "dates reversed",
        NUMBER + "from = 2026-03-01\nuntil = 2026-02-28\n",
        4,
        "number[2].until",
        "is before from = 2026-03-01",
    ),
    added(
        "consent without proof",
        NUMBER + 'holder = "Acme"\n',
        1,
        "number[2].proof",
        'the consent of "Acme" must be proved',
    ),
    added(
        "proof that is not there",
        NUMBER + 'holder = "Acme"\nproof = "acme.pdf"\n',
        4,
        "number[2].proof",
        "no such file",
    ),
    added("date as text", NUMBER + 'from = "March"\n', 3, "number[2].from", '"March": '),
    # files
    Mistake("no such policies", 'site = "hq"', 'policies = "nowhere"', 1, "policies", ("no such folder",)),
    added(
        "lists that are not there",
        '[prospecting]\nconsents = "consents.csv"\n',
        2,
        "prospecting.consents",
        "no such file",
    ),
    # what this version cannot serve
    # TLS
    Mistake("no certificate", "[listen]", '[listen]\ntls = ["192.0.2.10:5061"]', 3, "listen.tls", ("certificate",)),
    added("no such certificate", '[tls]\ncertificate = "none.pem"\n', 2, "tls.certificate", "no such file"),
    added("a key alone", '[tls]\nkey = "guard.toml"\n', 2, "tls.key", "without a certificate"),
    added("clients of nobody", '[tls]\nclient = "require"\n', 2, "tls.client", "needs tls.ca"),
    added("clients of a kind", '[tls]\nclient = "always"\n', 2, "tls.client", "none, request, expect, require"),
    Mistake("pings", "[listen]", "[listen]\nping_s = 3601", 3, "listen.ping_s", ("<= 3600",)),
    Mistake(
        "a name that nobody is asked for",
        'trunk = "operator"',
        'trunk = "operator"\ntls_name = "pbx.example"',
        11,
        "source[1].tls_name",
        ("needs listen.tls",),
    ),
    Mistake(
        "no such CA",
        '"sip:198.51.100.10"]',
        '"sip:198.51.100.10"]\ntls_ca = "none.pem"',
        7,
        "trunk[1].tls_ca",
        ("no such file",),
    ),
    added("counters nowhere", '[state]\nurl = "etcd://127.0.0.1"\n', 2, "state.url", 'write "memory://"'),
    added(
        "counters of no database", '[state]\nurl = "redis://h/x"\n', 2, "state.url", '"x" is no number of a database'
    ),
    added("a late deadline", "[state]\ndeadline_ms = 5000\n", 2, "state.deadline_ms", "1000"),
    added("a fault of no kind", '[state]\non_fault = "queue"\n', 2, "state.on_fault", "local, pass, block"),
    # emergency
    Mistake(
        "a dial plan without emergency numbers",
        'trunk = "operator"',
        'trunk = "operator"\ndial = { strip = "1" }',
        11,
        "source[1].dial",
        ("takes away emergency numbers: ", "15"),
    ),
)

# What only the policies can tell.
AGAINST_POLICIES: Final = (
    added(
        "unknown rule", '[rules."cli.premum"]\nenabled = true\n', 1, 'rules."cli.premum"', 'did you mean "cli.premium"?'
    ),
    added("unknown parameter", '[rules."rate.cps"]\nhold = 5\n', 2, 'rules."rate.cps".hold', 'did you mean "hold_ms"?'),
    added(
        "near a common key",
        '[rules."rate.cps"]\nacton = "hold"\n',
        2,
        'rules."rate.cps".acton',
        'did you mean "action"?',
    ),
    added(
        "wrong parameter",
        '[rules."rate.cps"]\nhold_ms = "long"\n',
        2,
        'rules."rate.cps".hold_ms',
        '"long": expected `int`',
    ),
    added(
        "wrong action",
        '[rules."cli.premium"]\naction = "blok"\n',
        2,
        'rules."cli.premium".action',
        'did you mean "block"?',
    ),
    added(
        "hold by what cannot",
        '[rules."cli.premium"]\naction = "hold"\n',
        2,
        'rules."cli.premium".action',
        "only rate.cps can hold a call",
    ),
    added(
        "mask by what cannot",
        '[rules."rate.cps"]\naction = "mask"\n',
        2,
        'rules."rate.cps".action',
        "only rules on the caller ID",
    ),
    added(
        "emergency set",
        '[rules."dst.emergency"]\nenabled = false\n',
        1,
        'rules."dst.emergency"',
        "cannot be set: emergency calls always pass",
    ),
    added("rules as a word", '[rules]\n"cli.premium" = "off"\n', 2, 'rules."cli.premium"', "must be a table"),
    added(
        "unknown contract",
        '[[trunk]]\nname = "b"\nnext_hop = ["sip:198.51.100.9"]\ncontract = "technicophone-sip-trnk"\n',
        4,
        "trunk[2].contract",
        'did you mean "technicophone-sip-trunk"?',
    ),
    added(
        "mask_caller that is not ours",
        '[[trunk]]\nname = "b"\nnext_hop = ["sip:198.51.100.9"]\nmask_caller = "+33180909090"\n',
        4,
        "trunk[2].mask_caller",
        "is in no [[number]]",
    ),
    added(
        "mask_caller that ends",
        NUMBER
        + 'until = 2099-12-31\n[[trunk]]\nname = "b"\nnext_hop = ["sip:198.51.100.9"]\nmask_caller = "+33180909090"\n',
        7,
        "trunk[2].mask_caller",
        "that has no end",
    ),
    added(
        "mask_caller in national form",
        '[[trunk]]\nname = "b"\nnext_hop = ["sip:198.51.100.9"]\nmask_caller = "0145678900"\n',
        4,
        "trunk[2].mask_caller",
        'did you mean "+33145678900"?',
    ),
)


def told(folder: Path, mistake: Mistake, *, policies: bool) -> list[Problem]:
    text = GOOD.replace(mistake.old, mistake.new, 1) if mistake.old else GOOD + mistake.new
    assert text != GOOD
    found: list[Problem] = []
    config = read(written(folder, text), found)
    if policies and config is not None:
        check_policy(config, found)
    return sorted(set(found))


def check(folder: Path, mistake: Mistake, found: list[Problem]) -> None:
    assert found, "nothing was told"
    about = [p for p in found if p.key == mistake.key]
    assert about, [str(p) for p in found]
    for problem in about:
        assert problem.file == str(folder / "guard.toml")
        assert problem.line == mistake.line, str(problem)
    shown = " | ".join(p.what for p in about)
    for part in mistake.what:
        assert part in shown


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_a_mistake(tmp_path: Path, mistake: Mistake) -> None:
    found = told(tmp_path, mistake, policies=False)
    check(tmp_path, mistake, found)
    others = [p for p in found if p.key != mistake.key and not p.what.startswith(("no [[", "neither udp"))]
    assert others == [], "one mistake, told as several"


@pytest.mark.parametrize("mistake", AGAINST_POLICIES, ids=lambda m: m.name)
def test_a_mistake_that_policies_tell(tmp_path: Path, mistake: Mistake) -> None:
    check(tmp_path, mistake, told(tmp_path, mistake, policies=True))


def test_many_mistakes_are_told_in_one_go(tmp_path: Path) -> None:
    text = """\
mod = "enforce"
timezone = "Paris"
[listen]
udp = ["192.0.2.10"]
[[trunk]]
name = "operator"
next_hop = ["198.51.100.10"]
contract = "technicophone"
reading = "numbers"
[[source]]
name = "pbx"
address = ["192.0.2.5", "192.0.2.4/31"]
trunk = "operator2"
usage = "humans"
[[usage]]
source = "pbx2"
usage = "automated"
[[number]]
range = "0145678900"
[[number]]
range = "+33180909090"
holder = "Acme"
from = 2026-02-01
until = 2026-01-01
[rules."cli.premium"]
actoin = "block"
[rules."cli.premiums"]
enabled = false
[state]
url = "etcd://127.0.0.1"
"""
    found: list[Problem] = []
    config = read(written(tmp_path, text), found)
    assert config is not None
    check_policy(config, found)
    assert {(p.line, p.key) for p in found} == {
        (1, "mod"),
        (2, "timezone"),
        (4, "listen.udp"),
        (7, "trunk[1].next_hop"),
        (8, "trunk[1].contract"),
        (9, "trunk[1].reading"),
        (12, "source[1].address"),
        (13, "source[1].trunk"),
        (14, "source[1].usage"),
        (16, "usage[1].source"),
        (19, "number[1].range"),
        (20, "number[2].proof"),
        (24, "number[2].until"),
        (26, 'rules."cli.premium".actoin'),
        (27, 'rules."cli.premiums"'),
        (30, "state.url"),
    }
