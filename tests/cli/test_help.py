"""Operators' scripts are written against this table of commands and options: every --help names them all."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from guard import engine
from guard.cli.main import COMMANDS
from tests.cli.conftest import Guard

# The published interface, in its own words; of commands that are still to come, the lines come with them.
TABLE = r"""
| `guard demo` | `--calls N` |
| `guard run -c FILE` | the daemon |
| `guard check -c FILE` | validates configuration and policies |
| `guard decide -c FILE --caller N --callee N [--source S] [--line L] [--usage U] [--diversion N] [--at ISO] [--json]` |
| `guard log [-c FILE] [--since T] [--until T] [--verdict V] [--rule R] [--caller N] [--callee N] [--trunk T] [--line L] [--call-id ID] [--all] [--follow] [--limit N] [--json] [--csv]` |
| `guard explain CALL_ID` |
| `guard penalties [--month YYYY-MM] [--by rule\|number\|trunk\|line\|day] [--json] [--csv]` |
| `guard evidence key\|export\|verify\|purge` |
| `guard subject export\|erase NUMBER` |
| `guard incidents [list\|show\|notify\|resolve\|release]` |
| `guard alerts tail\|test\|schema` |
| `guard replay CAPTURE... -c FILE [--json] [--store DB]` |
| `guard watch -c FILE --listen udp:HOST:PORT [--json] [--store DB]` |
| `guard policy list\|show\|diff` |
| `guard web -c FILE` |
| `guard token create\|list\|revoke` |
"""  # noqa: E501
ROWS = {m.group(1): m.group(0) for m in re.finditer(r"^\| `guard ([a-z]+).*$", TABLE, re.MULTILINE)}
EXTRA = {
    "log": ["--store", "--verify", "--numbers"],
    "explain": ["-c", "--store", "--lang", "--numbers", "--json"],
    "penalties": ["-c", "--store"],
}
THERE = sorted(name for name in COMMANDS if find_spec(f"guard.cli.{name}"))


@pytest.mark.parametrize("command", THERE)
def test_help_names_every_option(guard: Guard, command: str) -> None:
    ran = guard(command, "--help")
    assert (ran.status, ran.err) == (0, "")
    wanted = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", ROWS[command]) + EXTRA.get(command, [])
    missing = [o for o in wanted if not re.search(rf"(?<![\w-]){o}(?![\w-])", ran.out)]
    assert missing == []


def test_groups_of_penalties_and_names_of_verdicts_are_in_the_help(guard: Guard) -> None:
    text = guard("penalties", "--help").out
    assert all(word in text for word in ("rule", "number", "trunk", "line", "day"))
    text = guard("log", "--help").out
    assert all(word in text for word in ("blocked", "flagged", "masked", "allowed"))


def test_guard_help_names_every_command_of_the_table(guard: Guard) -> None:
    ran = guard("--help")
    assert ROWS.keys() == COMMANDS.keys()
    assert all(re.search(rf"^    {name}( |$)", ran.out, re.MULTILINE) for name in COMMANDS)


def test_wrong_usage_is_status_2(guard: Guard) -> None:
    for words in ([], ["lgo"], ["explain"], ["log", "stray"]):
        ran = guard(*words)
        assert (ran.status, ran.out) == (2, "")
        assert "guard" in ran.err


def test_the_version_says_which_build_it_is(guard: Guard) -> None:
    """`make test` runs this on one, `make compiled` on the other."""
    how = "interpreted" if engine.__file__.endswith(".py") else "compiled"
    assert re.fullmatch(rf"sip-guard \d+\.\d+\.\d+, {how}\n", guard("--version").out)
