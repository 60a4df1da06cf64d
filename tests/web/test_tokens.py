"""Tokens, sessions and attempts: what is kept, and that it is bounded."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from guard.store.errors import StoreError
from guard.web import attempts, sessions, tokens
from guard.web.attempts import PERIOD, WRONG, Attempts
from guard.web.sessions import IDLE, Sessions
from guard.web.tokens import DAY, LENGTH, TokenError, Tokens

NOW = 1_795_251_600_000_000


@pytest.fixture
def kept(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens")


def test_a_token_is_kept_as_its_hash_in_a_file_for_its_owner_alone(kept: Tokens) -> None:
    secret = kept.create("bob", ["viewer", "privacy"], now=NOW, days=1, by="root")
    found = kept.find(secret, NOW)
    assert found is not None
    assert (found.name, found.roles, found.made_by) == ("bob", ("viewer", "privacy"), "root")
    assert len(secret) == LENGTH
    kept.close()
    for path in kept.path.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
        assert secret.encode() not in path.read_bytes()
        assert secret[4:].encode() not in path.read_bytes()


def test_what_was_never_made_is_none(kept: Tokens) -> None:
    for wrong in ("", "sgt_", "sgt_" + "A" * 43, "x" * LENGTH, "sgt_" + "é" * 43):
        assert kept.find(wrong, NOW) is None
    assert kept.all() == []
    assert not kept.revoke("bob")
    assert not kept.path.exists()  # looking makes nothing


def test_it_expires_and_is_revoked(kept: Tokens) -> None:
    secret = kept.create("bob", ["viewer"], now=NOW, days=1, by="")
    assert kept.find(secret, NOW + DAY - 1) is not None
    assert kept.find(secret, NOW + DAY) is None
    with Tokens(kept.path) as other:
        assert other.revoke("bob")
    assert kept.find(secret, NOW) is None
    assert kept.all() == []


def test_tokens_whose_file_was_taken_away_or_replaced_are_none(kept: Tokens, tmp_path: Path) -> None:
    secret = kept.create("bob", ["viewer"], now=NOW, days=1, by="")
    assert kept.find(secret, NOW) is not None
    with Tokens(tmp_path / "other") as other:
        replaced = other.create("eve", ["viewer"], now=NOW, days=1, by="")
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"tokens{suffix}").unlink(missing_ok=True)
    assert kept.find(secret, NOW) is None
    (tmp_path / "other").rename(kept.path)
    assert kept.find(secret, NOW) is None
    assert kept.find(replaced, NOW) is not None


@pytest.mark.parametrize("name", ["", " bob", "é", "a" * 65, "a b", "-x", "a\n", "../x"])
def test_what_is_no_name(kept: Tokens, name: str) -> None:
    with pytest.raises(TokenError, match="no name"):
        kept.create(name, ["viewer"], now=NOW, days=1, by="")


def test_a_name_is_of_one_token_and_a_token_has_roles(kept: Tokens) -> None:
    kept.create("bob", ["viewer"], now=NOW, days=1, by="")
    with pytest.raises(TokenError, match="already"):
        kept.create("bob", ["viewer"], now=NOW, days=1, by="")
    with pytest.raises(TokenError, match="roles"):
        kept.create("eve", [], now=NOW, days=1, by="")
    with pytest.raises(TokenError, match="roles"):
        kept.create("eve", ["root"], now=NOW, days=1, by="")  # type: ignore[list-item]


def test_there_are_only_so_many(kept: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST", 2)
    for name in "ab":
        kept.create(name, ["viewer"], now=NOW, days=1, by="")
    with pytest.raises(TokenError, match="revoke some"):
        kept.create("c", ["viewer"], now=NOW, days=1, by="")


def test_a_role_of_a_newer_guard_gives_nothing(kept: Tokens) -> None:
    secret = kept.create("bob", ["viewer"], now=NOW, days=1, by="")
    with sqlite3.connect(kept.path) as db:
        db.execute("UPDATE tokens SET roles = 'owner'")
    db.close()
    found = kept.find(secret, NOW)
    assert found is not None
    assert found.roles == ()


def test_another_file_is_left_alone_and_named(tmp_path: Path) -> None:
    path = tmp_path / "other"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE x (y)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"{path}: not a file of tokens"):
        Tokens(path).all()
    assert path.read_bytes() == before
    path.write_bytes(b"not a database, but a text that is long enough to be looked at as one" * 20)
    with pytest.raises(StoreError, match=str(path)):
        Tokens(path).all()
    with pytest.raises(StoreError, match="No such file"):
        Tokens(tmp_path / "no" / "folder").create("bob", ["viewer"], now=NOW, days=1, by="")


def test_sessions_are_bounded_a_token_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 5)
    monkeypatch.setattr(sessions, "MOST_OF_ONE", 3)
    kept = Sessions()
    mine = [kept.begin(1, NOW + n) for n in range(4)]
    assert [kept.find(sid, NOW + 4) is not None for sid in mine] == [False, True, True, True]
    for token in range(2, 12):
        kept.begin(token, NOW + 10 + token)
    assert len(kept) == 5
    kept.begin(99, NOW + IDLE * 2)
    assert len(kept) == 1  # those that nobody used are swept
    assert len(set(mine)) == 4


def test_attempts_are_bounded_and_of_ipv6_by_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST", 10)
    kept = Attempts()
    for n in range(WRONG):
        kept.wrong(f"2001:db8:0:1::{n:x}", NOW)
    assert kept.wait("2001:db8:0:1:ffff::1%eth0", NOW) == 60
    assert kept.wait("2001:db8:0:2::1", NOW) == 0
    for _ in range(WRONG):
        kept.wrong("::ffff:192.0.2.1", NOW + 1)
    assert kept.wait("192.0.2.1", NOW + 1_000_000) == 60
    assert kept.wait("192.0.2.1", NOW + 1 + PERIOD) == 0
    kept.wrong("192.0.2.1", NOW + PERIOD + 2)
    assert kept.wait("192.0.2.1", NOW + PERIOD + 3) == 0  # a new period
    for n in range(100):
        kept.wrong(f"198.51.100.{n}", NOW)
    assert len(kept) == 10
