"""guard.toml: from its text to a configuration, with the rules of its own that a site writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, cast

from guard.config import Config, made_up
from guard.policy.site import Known, compiled
from guard.tomlread import Problem, Reader
from tests.fuzz.targets import TESTS, Target, small
from tests.fuzz.targets.recipe import MARK, Recipe, sown

LONGEST: Final = 900
PATH: Final = Path("/nowhere/guard.toml")
FEW: Final = Known(sources=("pbx",), trunks=("operator",), categories=("mobile", "sva"), territories=("metropole",))
HEAD: Final = (
    'site = "hq"\n[listen]\nudp = ["192.0.2.10:5060"]\n[[trunk]]\nname = "operator"\nnext_hop = ["sip:198.51.100.10"]\n'
    '[[source]]\nname = "pbx"\naddress = ["192.0.2.5"]\ntrunk = "operator"\n'
)
TABLES: Final = (
    '[[number]]\nrange = "+33145678900-+33145678999"\nholder = "acme"\nproof = "p.pdf"\nfrom = 2026-03-01\n',
    '[[usage]]\nsource = "pbx"\nline = ["200", "2*"]\nheader = { name = "X-C", value = "*" }\nusage = "automated"\n',
    '[prospecting]\nconsents = "c.csv"\nrefusals = "r.csv"\nsector = "energy"\n',
    '[rules."rate.cps"]\naction = "hold"\nhold_ms = 2000\n[rules."cli.anonymous"]\nenabled = false\n',
    '[state]\nurl = "redis://127.0.0.1:6379/0"\n[store]\npath = "g.db"\ndurability = "power"\nretention_days = 180\n',
    '[mqtt]\nurl = "mqtts://broker:8883"\ntopic = "guard"\n[web]\nlisten = "127.0.0.1:8080"\n',
    '[hep]\nserver = "192.0.2.9:9060"\n[dns]\nservers = ["192.0.2.53"]\n[refusal]\nstatus = 603\n',
    '[[site_rule]]\nid = "site.night"\naction = "block"\nsource = "us"\n[site_rule.text]\nen = "no {callee}"\n'
    '[site_rule.when]\ncallee = ["+3389*"]\n[site_rule.when.time]\nhours = "22:00-06:00"\nweekdays = "sat-sun"\n',
    '[[site_rule]]\nid = "site.any"\naction = "flag"\nsource = "us"\ntext = { fr = "{line}" }\n'
    'when = { any = [{ line = "2*" }, { header = { X-A = "b*" } }], not = { user_agent = "z*" } }\n',
    '[ledger]\nalert_day = 12.50\nenforce_above_month = 100\n[evidence]\nkey = "k"\n',
)


TOP: Final = re.compile(r"[A-Za-z0-9_-]+(?=[.\[]|$)")  # of a key path
STRING: Final = re.compile(r""""[^"]*"|'[^']*'""")
DEEP: Final = "too deep"  # of what is nested so that it is not read at all


def documented() -> list[str]:
    """The examples of the documents."""
    return [text for path in sorted((TESTS.parent / "docs").glob("*.md")) for text in blocks(path.read_text("utf-8"))]


def seeds() -> list[bytes]:
    """A small configuration with each of the tables, all of them, those of the documents, and changes of them."""
    made = [HEAD, *(HEAD + t for t in TABLES), *TABLES, *documented()]
    return small([*(t.encode() for t in made), *(MARK + one for one in sown(RECIPE))], LONGEST)


def blocks(text: str) -> list[str]:
    """The examples in TOML of a document."""
    return [part.partition("```")[0] for part in text.split("```toml\n")[1:]]


RECIPE: Final = Recipe([HEAD, *(HEAD + t for t in TABLES), *(HEAD + t for t in documented() if len(t) < LONGEST)])


def check(data: bytes) -> None:
    """Read, compiled, with its site's rules."""
    if data[:1] == MARK:
        text = RECIPE.text(data[1:])
    else:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return
    problems: list[Problem] = []
    reader = Reader("guard.toml", problems)
    raw = reader.loads(text)
    if raw is None:
        assert problems, "not read, and nobody says why"
        assert problems[0].line or DEEP in problems[0].what, "not TOML, and nobody says where"
    else:
        config = made_up(reader, PATH, cast("dict[str, object]", raw))
        assert isinstance(config, Config)
        compiled(config.file.site_rule, FEW, config.zone, reader)
        if not problems:
            assert config.site, "a configuration without a problem, and without what it needs"
            assert config.udp or config.tcp or config.tls
            assert config.hops
            assert config.sources
        if plain(text):
            placed(problems, raw)
    told(problems, text)


def plain(text: str) -> bool:
    """Whether each line says all by itself what it is: no value goes on in the next, which could look like a key."""
    if "\\" in text or '"""' in text or "'''" in text:
        return False
    bare = (STRING.sub("", line).partition("#")[0] for line in text.split("\n"))
    return all(line.count("[") == line.count("]") and line.count("{") == line.count("}") for line in bare)


def placed(problems: list[Problem], raw: dict[str, object]) -> None:
    """Whatever is wrong with what stands there is told with its line."""
    for one in problems:
        top = TOP.match(one.key)
        assert one.line or top is None or top.group() not in raw, f"{one} names no line"


def told(problems: list[Problem], text: str) -> None:
    """Every problem says something, of a line that is there, and shortly."""
    lines = text.count("\n") + text.count("\r") + len(text.splitlines()) + 1
    for one in problems:
        assert one.what
        assert 0 <= one.line <= lines
        shown = str(one)
        assert len(shown) < 4000, "a problem that nobody can read"


TARGET: Final = Target(
    invariant="Any text is a configuration with what a guard needs, or problems, each telling what is wrong, "
    "with its key, and its line where one can be seen.",
    longest=LONGEST,
    seeds=seeds,
    words=(
        b"[[trunk]]\n",
        b"[[source]]\n",
        b"[[usage]]\n",
        b"[[number]]\n",
        b"[[site_rule]]\n",
        b"[listen]\n",
        b"[rules.",
        b"[tls]\n",
        b"[mqtt]\n",
        b"[web]\n",
        b"[state]\n",
        b"[store]\n",
        b"name = ",
        b"next_hop = ",
        b"address = ",
        b"range = ",
        b"usage = ",
        b"line = ",
        b"header = {",
        b"when = {",
        b"text = {",
        b'"""',
        b"'''",
        b"1979-05-27",
        b"nan",
        b"inf",
        b"-1",
        b"0x7fffffffffffffffff",
        b"true",
        b"[[[[",
        b"= {",
        b'"*"',
        b'"+33"',
        b"\\u0000",
    ),
    check=check,
)
