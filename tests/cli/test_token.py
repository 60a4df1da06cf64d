"""`guard token`: tokens made, listed and revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.web.tokens import Tokens
from tests.cli.conftest import Guard
from tests.test_config import GOOD, written


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return written(tmp_path, GOOD + '[store]\npath = "guard.db"\n')


def test_a_token_is_shown_once_alone_on_standard_output(guard: Guard, site: Path) -> None:
    made = guard("token", "create", "kamailio", "--role", "switch", "--role", "viewer", "-c", site)
    assert made.status == 0
    (token,) = made.out.splitlines()
    assert "once" in made.err
    with Tokens(site.parent / "guard.db-tokens") as tokens:
        found = tokens.find(token, tokens.all()[0].created)
        assert found is not None
        assert (found.name, found.roles) == ("kamailio", ("viewer", "switch"))
        assert found.expires - found.created == 365 * 86_400_000_000
    listed = guard("token", "list", "-c", site)
    assert "kamailio" in listed.out
    assert token not in listed.out
    (shown,) = guard("token", "list", "--json", "-c", site).objects()
    assert (shown["name"], shown["roles"]) == ("kamailio", ["viewer", "switch"])
    assert token not in str(shown)
    assert "hash" not in shown


def test_a_token_that_nobody_gave_a_role_views(guard: Guard, site: Path) -> None:
    guard("token", "create", "bob", "-c", site)
    assert guard("token", "list", "--json", "-c", site).objects()[0]["roles"] == ["viewer"]


def test_revoked_it_is_gone(guard: Guard, site: Path) -> None:
    assert "no token" in guard("token", "list", "-c", site).out
    guard("token", "create", "bob", "-c", site)
    assert guard("token", "revoke", "bob", "-c", site).status == 0
    again = guard("token", "revoke", "bobby", "-c", site)
    assert (again.status, again.out) == (1, "")
    assert 'no token "bobby"' in again.err


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("create", "bob", "--role", "root"), 2, "--role"),
        (("create", "bob", "--role", "vewer"), 2, 'did you mean "viewer"?'),
        (("create", "bob", "--days", "0"), 2, "--days 0 is not from 1 to 3650"),
        (("create", "bob", "--days", "3651"), 2, "--days"),
        (("create", "b\x1b[2Jb"), 1, "is no name"),
        (("revoke", "nobody"), 1, 'no token "nobody"'),
    ],
)
def test_what_cannot_be_done_is_told(guard: Guard, site: Path, words: tuple[str, ...], status: int, told: str) -> None:
    done = guard("token", *words, "-c", site)
    assert (done.status, done.out) == (status, "")
    assert told in done.err
    assert "\x1b" not in done.err


def test_a_wrong_configuration_is_told(guard: Guard, site: Path) -> None:
    site.write_text(GOOD + '[web]\nlisten = "x"\n', encoding="utf-8")
    done = guard("token", "list", "-c", site)
    assert done.status == 1
    assert "web.listen" in done.err
