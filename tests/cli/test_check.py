"""`guard check`: 0 and a line of what is in force, or 1 and a line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.rules import BY_ID
from tests.cli.conftest import Guard
from tests.deciding import SITE


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "acme.txt").touch()
    path = tmp_path / "guard.toml"
    path.write_text(SITE, encoding="utf-8")
    return path


def test_a_right_configuration(guard: Guard, site: Path) -> None:
    done = guard("check", "-c", site)
    assert done.status == 0
    first, second = done.out.splitlines()
    assert first == f"{site}: right; 3 sources, 2 trunks, {len(BY_ID)} rules in force"
    assert second.startswith("policies: ")
    assert ", sha256:" in second
    assert [line for line in done.err.splitlines() if "require-inbound" not in line] == []


def test_a_rule_that_is_off_is_not_in_force(guard: Guard, site: Path) -> None:
    site.write_text(SITE + '[rules."cli.premium"]\nenabled = false\n', encoding="utf-8")
    assert f"{len(BY_ID) - 1} rules in force" in guard("check", "-c", site).out


def test_every_mistake_has_a_line_that_names_file_line_and_key(guard: Guard, site: Path) -> None:
    text = SITE.replace('mode = "enforce"', 'mode = "enfroce"') + '[rules."cli.premum"]\nenabled = false\n[stoer]\n'
    site.write_text(text, encoding="utf-8")
    done = guard("check", "-c", site)
    assert done.status == 1
    assert done.out == ""
    end = text.count("\n")
    assert [line for line in done.err.splitlines() if "warning" not in line] == [
        f'guard: {site}:2: mode: "enfroce" is not one of enforce, monitor; did you mean "enforce"?',
        f'guard: {site}:{end - 2}: rules."cli.premum": no such rule; did you mean "cli.premium"?',
        f'guard: {site}:{end}: stoer: unknown key; did you mean "store"?',
        f"guard: {site}: 3 mistakes; this configuration cannot be used",
    ]


def test_one_mistake_is_no_mistakes(guard: Guard, site: Path) -> None:
    site.write_text(SITE + "[stoer]\n", encoding="utf-8")
    assert "1 mistake; this" in guard("check", "-c", site).err


def test_one_source_and_one_trunk_are_no_plural(guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    path.write_text(
        '[listen]\nudp = ["127.0.0.1:5060"]\n[[trunk]]\nname = "t"\nnext_hop = ["sip:127.0.0.3"]\n'
        '[[source]]\nname = "s"\naddress = ["127.0.0.2"]\ntrunk = "t"\n',
        encoding="utf-8",
    )
    assert ": right; 1 source, 1 trunk, " in guard("check", "-c", path).out


def test_a_list_that_is_not_there_is_a_mistake(guard: Guard, site: Path) -> None:
    site.write_text(SITE + '[prospecting]\nrefusals = "gone.csv"\n', encoding="utf-8")
    done = guard("check", "-c", site)
    assert (done.status, done.out) == (1, "")
    assert 'prospecting.refusals: "gone.csv": no such file in ' in done.err
    assert "this configuration cannot be used" in done.err


def test_mistakes_are_harmless_to_a_terminal(guard: Guard, site: Path) -> None:
    site.write_text('"\\u001b[2J" = 1\n' + SITE, encoding="utf-8")
    for command in ("check", "log"):
        done = guard(command, "-c", site)
        assert done.status == 1
        assert "\x1b" not in done.err
        assert "\\x1b[2J: unknown key" in done.err


def test_no_such_file(guard: Guard, tmp_path: Path) -> None:
    done = guard("check", "-c", tmp_path / "nowhere.toml")
    assert (done.status, done.out) == (1, "")
    assert "No such file or directory" in done.err


def test_no_toml(guard: Guard, site: Path) -> None:
    site.write_text("[listen\n", encoding="utf-8")
    done = guard("check", "-c", site)
    assert done.status == 1
    assert f"{site}:1: not TOML" in done.err
    assert "Traceback" not in done.err


def test_a_warning_is_no_mistake(guard: Guard, site: Path) -> None:
    site.write_text(SITE + '[web]\nlisten = "192.0.2.1:8080"\n', encoding="utf-8")
    done = guard("check", "-c", site)
    assert done.status == 0
    assert "guard: warning: " in done.err
    assert "web: tokens go over the network in the clear" in done.err


def test_wrong_usage(guard: Guard) -> None:
    assert guard("check", "--nothing").status == 2


def test_other_commands_tell_the_same_mistakes(guard: Guard, site: Path) -> None:
    site.write_text(SITE + "[stoer]\n", encoding="utf-8")
    for words in (("decide", "--caller", "x", "--callee", "y"), ("policy", "list"), ("log",)):
        done = guard(words[0], *words[1:], "-c", site)
        assert done.status == 1
        assert "stoer: unknown key" in done.err
