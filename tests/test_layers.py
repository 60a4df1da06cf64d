"""The picture of the architecture, read from the imports: arrows point one way, and the pure parts stay pure."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
MAX_FILE: Final = 420  # lines; what one sitting reads, with some room

# What each part may import of the project; the longest prefix counts. `*` is everything but what stands above all.
WORDS: Final = ("guard.ladder", "guard.model", "guard.numbering", "guard.sources")
CONTRACTS: Final = ("guard.state.contract", "guard.store.contract", "guard.ledger.record")
MAY: Final[dict[str, tuple[str, ...]]] = {
    "guard.tomlread": (),
    "guard.sip": ("guard.sip",),
    "guard.hep": ("guard.hep",),
    "guard.numbering": ("guard.numbering", "guard.tomlread"),
    "guard.model": ("guard.ladder", "guard.numbering"),
    "guard.ladder": (),
    "guard.sources": ("guard.model", "guard.numbering"),
    "guard.state.contract": ("guard.model", "guard.numbering"),
    "guard.state": (*WORDS, "guard.state"),
    "guard.ledger": ("guard.ladder", "guard.ledger", "guard.model", "guard.numbering"),
    "guard.detectors": (*WORDS, "guard.detectors", "guard.state.contract"),
    "guard.prospecting": (*WORDS, "guard.prospecting", "guard.tomlread"),
    "guard.rules": (*WORDS, "guard.rules", "guard.detectors", "guard.prospecting", "guard.state.contract"),
    "guard.policy.siteschema": WORDS,
    "guard.policy.caseschema": WORDS,
    "guard.configschema": (*WORDS, "guard.policy.siteschema", "guard.policy.caseschema"),
    "guard.confignumbers": (*WORDS, "guard.configschema", "guard.rules.numbers", "guard.tomlread"),
    "guard.confighops": ("guard.sip.uri", "guard.tomlread"),
    "guard.configsources": (
        *WORDS, "guard.confighops", "guard.configschema", "guard.policy.siteschema", "guard.tomlread",
    ),
    "guard.configtls": ("guard.configschema",),
    "guard.confighep": ("guard.configschema",),
    "guard.configmqtt": ("guard.configschema", "guard.tomlread"),
    "guard.configstate": ("guard.configschema",),
    "guard.configweb": ("guard.configschema",),
    "guard.configrefusal": ("guard.configschema",),
    "guard.config": (
        *WORDS, "guard.config", "guard.confighep", "guard.configmqtt", "guard.configrefusal", "guard.confighops",
        "guard.confignumbers", "guard.configschema", "guard.configsources",
        "guard.configstate", "guard.configtls", "guard.configweb",
        "guard.policy.siteschema", "guard.policy.caseschema", "guard.rules.numbers", "guard.prospecting.lists",
        "guard.tomlread",
    ),
    "guard.policy": (
        *WORDS, "guard.policy", "guard.rules", "guard.detectors", "guard.prospecting", "guard.state.contract",
        "guard.ledger.record", "guard.ledger.penalties", "guard.ledger.incidents", "guard.ledger.days",
        "guard.config", "guard.confignumbers", "guard.configschema", "guard.tomlread",
    ),
    "guard.ways": (*WORDS, "guard.policy.load", "guard.rules", "guard.state.contract"),
    "guard.prepared": (*WORDS, "guard.rules.base", "guard.state.contract", "guard.ways"),
    "guard.faulty": ("guard.model",),
    "guard.engine": (
        *WORDS, "guard.engine", "guard.faulty", "guard.policy", "guard.prepared", "guard.rules", "guard.detectors",
        "guard.state.contract", "guard.ways",
    ),
    "guard.desk": (*WORDS, "guard.detectors", "guard.engine", "guard.policy", "guard.prepared", "guard.state.contract"),
    "guard.figures": ("guard.model",),
    "guard.control": ("guard.figures", "guard.ledger.record", "guard.model"),
    "guard.instruments": ("*",),
    "guard.switchboard": ("*",),
    "guard.asking": ("*",),
    "guard.webchild": ("guard.net.say",),
    "guard.shareddesk": (
        *WORDS, "guard.desk", "guard.detectors", "guard.engine", "guard.faulty", "guard.prepared",
        "guard.rules.rate_cps", "guard.state.contract", "guard.state.shared", "guard.state.wire",
    ),
    "guard.sharing": ("*",),
    "guard.recount": (*WORDS, *CONTRACTS, "guard.engine", "guard.policy", "guard.rules", "guard.ledger"),
    "guard.asked": (
        *WORDS, *CONTRACTS, "guard.desk", "guard.detectors", "guard.engine", "guard.policy", "guard.ledger",
        "guard.state",
    ),
    "guard.wanted": ("guard.model", "guard.numbering", "guard.rules", "guard.store.contract"),
    "guard.exposure": ("guard.exposure", "guard.ledger", "guard.store"),
    "guard.questions": (
        *WORDS, "guard.asked", "guard.config", "guard.detectors", "guard.shut", "guard.store", "guard.tomlread",
        "guard.wanted",
    ),
    "guard.cases": (
        *WORDS, "guard.asked", "guard.config", "guard.configschema", "guard.desk", "guard.detectors", "guard.engine",
        "guard.policy",
        "guard.prospecting", "guard.state", "guard.tomlread",
    ),
    "guard.compare": (*WORDS, "guard.engine", "guard.ledger"),
    "guard.proxy": (*WORDS, "guard.proxy", "guard.sip"),
    "guard.report": ("guard.report", "guard.ledger"),
    "guard.messages": ("guard.messages", "guard.ledger", "guard.model"),
    "guard.store": ("guard.model", "guard.numbering", "guard.store", "guard.ledger"),
    "guard.evidence": (
        *WORDS, "guard.evidence", "guard.ledger", "guard.store", "guard.policy", "guard.config", "guard.configschema",
    ),
    "guard.shut": (*WORDS, "guard.detectors", "guard.ledger", "guard.rules.detect"),
    "guard.relearn": (*WORDS, "guard.shut", "guard.detectors", "guard.engine", "guard.ledger", "guard.policy"),
    "guard.quarantines": ("*",),
    "guard.fleetshuts": ("*",),
    "guard.counterincident": ("*",),
    "guard.detection": ("*",),
    "guard.recounting": ("*",),
    "guard.beside": ("guard.net.say", "guard.store.errors", "guard.store.reader"),
    "guard.housekeeping": ("*",),
    "guard.alerts": ("*",),
    "guard.selfcall": ("guard.model", "guard.proxy", "guard.sources"),
    "guard.service": ("*",),
    "guard.gathering": ("*",),
    "guard.publishing": ("*",),
    "guard.troubles": ("*",),
    "guard.incidents": ("*",),
    "guard.net": (
        *WORDS, *CONTRACTS, "guard.net", "guard.hep", "guard.proxy", "guard.sip", "guard.desk", "guard.engine",
        "guard.configschema", "guard.faulty",
        "guard.configstate", "guard.configtls", "guard.control", "guard.state.shared", "guard.state.wire",
    ),
    "guard.capture": (
        *WORDS, *CONTRACTS, "guard.capture", "guard.hep", "guard.proxy", "guard.sip", "guard.desk", "guard.engine",
        "guard.net.faults",
        "guard.net.verdicts",
    ),
    "guard.subject": ("guard.evidence", "guard.ledger", "guard.numbering", "guard.store", "guard.wanted"),
    "guard.app": ("*",),
    "guard.app_parts": ("*",),
    "guard.reload": ("*",),
    "guard.certificates": ("*",),
    "guard.nexthops": ("*",),
    "guard.refusals": (
        "guard.config", "guard.configrefusal", "guard.configschema", "guard.proxy.refuse", "guard.tomlread",
    ),
    "guard.callsfile": ("guard.proxy", "guard.store.tables"),
    "guard.keeping": ("*",),
    "guard.resting": ("guard.callsfile",),
    "guard.ratekeeping": ("guard.config", "guard.state"),
    "guard.web": ("*",),
    "guard.cli": ("*", "guard.app", "guard.cli", "sim"),
    "sim": ("*", "guard.app", "sim"),
}  # fmt: skip
TOP: Final = ("guard.app", "guard.cli", "sim")

# Where nothing waits, watches a clock, throws dice or looks around.
PURE: Final = (
    "guard.sip", "guard.hep", "guard.numbering", "guard.model", "guard.ladder", "guard.sources", "guard.state",
    "guard.ledger", "guard.messages", "guard.report", "guard.rules", "guard.detectors", "guard.prospecting",
    "guard.policy",
    "guard.prepared", "guard.faulty", "guard.engine", "guard.desk", "guard.shareddesk", "guard.proxy",
)  # fmt: skip
IMPURE_MODULES: Final = frozenset(
    {"asyncio", "socket", "selectors", "ssl", "time", "random", "secrets", "uuid", "logging", "threading", "subprocess",
     "multiprocessing", "sqlite3", "signal", "uvloop", "redis", "aiomqtt", "paho"}
)  # fmt: skip
IMPURE_NAMES: Final = frozenset(
    {"os.environ", "os.getenv", "os.urandom", "os.getpid", "datetime.now", "datetime.today", "datetime.utcnow",
     "datetime.datetime.now", "datetime.datetime.today", "datetime.datetime.utcnow", "date.today",
     "datetime.date.today"}
)  # fmt: skip


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES: Final = {module_of(p): p for folder in ("guard", "sim") for p in sorted((ROOT / folder).rglob("*.py"))}


def within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(p + ".") for p in prefixes)


def imports(source: str) -> set[str]:
    """Every module that a text imports, whatever for and wherever; `from guard import x` is guard.x."""
    out: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            out |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            for a in node.names:
                out.add(f"{module}.{a.name}" if f"{module}.{a.name}" in FILES else module)
    return out


def place(module: str) -> tuple[str, ...] | None:
    """What the part of a module may import; None where it has no place."""
    prefixes = [p for p in MAY if within(module, (p,))]
    return MAY[max(prefixes, key=len)] if prefixes else None


def wrong_arrows(module: str, source: str) -> set[str]:
    may = place(module)
    assert may is not None, f"{module} has no place in the picture"
    ours = {i for i in imports(source) if within(i, ("guard", "sim"))} - {"guard", "sim"}
    return {i for i in ours if not within(i, may) and not ("*" in may and not within(i, TOP))}


def impurities(source: str) -> set[str]:
    out = {i for i in imports(source) if i.partition(".")[0] in IMPURE_MODULES}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in IMPURE_NAMES:
            out.add(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            out |= {f"os.{a.name}" for a in node.names} & IMPURE_NAMES
    return out


@pytest.mark.parametrize("module", [m for m in FILES if "." in m])
def test_arrows_point_one_way(module: str) -> None:
    assert wrong_arrows(module, FILES[module].read_text()) == set()


@pytest.mark.parametrize("module", [m for m in FILES if within(m, PURE)])
def test_below_the_network_nothing_waits_or_watches_a_clock(module: str) -> None:
    assert impurities(FILES[module].read_text()) == set()


@pytest.mark.parametrize("module", [m for m in FILES if within(m, ("guard.sip",))])
def test_sip_needs_the_standard_library_only(module: str) -> None:
    others = {i.partition(".")[0] for i in imports(FILES[module].read_text())} - {"guard"}
    assert others - {"mypy_extensions"} <= sys.stdlib_module_names  # words for the compiler, which do nothing


@pytest.mark.parametrize("module", FILES)
def test_files_are_short(module: str) -> None:
    assert FILES[module].read_text().count("\n") <= MAX_FILE


@pytest.mark.parametrize(
    ("module", "line", "wrong"),
    [
        ("guard.sip.uri", "from guard.model import Number", "guard.model"),
        ("guard.model", "import guard.sip.uri", "guard.sip.uri"),
        ("guard.numbering.number", "from guard.rules import base", "guard.rules.base"),
        ("guard.rules.rate_cps", "from guard.policy.schema import Limits", "guard.policy.schema"),
        ("guard.state.contract", "from guard.state.memory import Memory", "guard.state.memory"),
        ("guard.policy.load", "from guard.engine import Engine", "guard.engine"),
        ("guard.proxy.core", "def f():\n    from guard.engine import Engine", "guard.engine"),
        ("guard.engine", "from guard.sip.message import Message", "guard.sip.message"),
        ("guard.desk", "from guard.state.memory import Memory", "guard.state.memory"),
        ("guard.net.driver", "from guard.store.sqlite import Store", "guard.store.sqlite"),
        ("guard.store.sqlite", "from guard.cli import main", "guard.cli.main"),
        ("guard.app", "from guard.cli import main", "guard.cli.main"),
        ("guard.net.driver", "import sim.agent", "sim.agent"),
    ],
)
def test_a_wrong_arrow_is_seen(module: str, line: str, wrong: str) -> None:
    assert wrong_arrows(module, line) == {wrong}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("guard.proxy.core", "from guard.sip import message"),
        ("guard.rules.rate_cps", "from guard.state.contract import Touch"),
        ("guard.app", "from guard.store.sqlite import Store"),
        ("guard.cli.run", "import guard.app"),
        ("guard.cli.demo", "import sim.agent"),
    ],
)
def test_a_right_arrow_is_let_be(module: str, line: str) -> None:
    assert wrong_arrows(module, line) == set()


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("import asyncio.events", "asyncio.events"),
        ("from time import monotonic", "time"),
        ("def f():\n    import random", "random"),
        ("import os\nos.environ['X']", "os.environ"),
        ("from os import environ", "os.environ"),
        ("from datetime import datetime\ndatetime.now()", "datetime.now"),
        ("import datetime\ndatetime.datetime.now()", "datetime.datetime.now"),
        ("from datetime import date\ndate.today()", "date.today"),
    ],
)
def test_an_impurity_is_seen(line: str, seen: str) -> None:
    assert impurities(line) == {seen}


def test_arithmetic_with_dates_is_pure() -> None:
    assert impurities("from datetime import datetime, UTC\ndatetime.fromtimestamp(0, UTC)") == set()


def test_a_part_without_a_place_is_an_error() -> None:
    with pytest.raises(AssertionError, match="no place"):
        wrong_arrows("guard.newcomer", "")
