"""Who sees numbers in full, what the others see, who is noted, and what a person may ask for."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from guard.app_parts import open_store
from guard.config import load
from guard.policy.load import load_policy
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from sim.site import Site
from tests.cli.conftest import Guard
from tests.store.making import CALLEE, CALLER, attempt, decision, ended, finding
from tests.store.test_files import NOBODY

HERS = "+33145678111"
FULL, MASKED = "+33145678900", "+3314567****"


def made(folder: Path, show: str = "") -> Path:
    """A site whose guard has run: two blocked calls, the second of hers."""
    privacy = f'\n[privacy]\nshow_numbers = "{show}"\n' if show else ""
    config = load(Site(folder=folder, port=5060, trunk_port=5062, pbx_port=5064, more=privacy).write())
    with closing(open_store(config, load_policy(config))) as log:
        for n, caller in enumerate((CALLER, HERS)):
            seq = log.decided(attempt(n, caller=caller), decision("blocked", finding("cli.premium")), None)
            log.ended(seq, ended("blocked"))
    return folder / "guard.toml"


def accesses(config: Path) -> list[dict[str, object]]:
    path = config.with_name("guard.db-access")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_owner_sees_numbers_and_is_noted(guard: Guard, tmp_path: Path) -> None:
    config = made(tmp_path)
    assert FULL in guard("log", "-c", config, "--json").out
    assert FULL in guard("explain", "-c", config, "1").out
    first, second = accesses(config)
    assert (first["command"], first["uid"], first["options"]) == ("log", os.getuid(), ["config", "json"])
    assert second["command"] == "explain"
    assert config.with_name("guard.db-access").stat().st_mode & 0o777 == 0o600


def test_what_was_looked_for_is_not_noted(guard: Guard, tmp_path: Path) -> None:
    config = made(tmp_path)
    guard("log", "-c", config, "--caller", "0145678900", "--json")
    assert accesses(config)[0]["options"] == ["caller", "config", "json"]
    assert "0145678900" not in config.with_name("guard.db-access").read_text()


@pytest.mark.parametrize("words", [["log"], ["log", "--json"], ["log", "--csv"], ["explain", "1"],
                                   ["explain", "1", "--json"]])  # fmt: skip
def test_masked_on_request_and_then_not_noted(guard: Guard, tmp_path: Path, words: list[str]) -> None:
    config = made(tmp_path)
    ran = guard(*words, "-c", config, "--numbers", "masked")
    assert ran.status == 0
    text = ran.out.replace("\n", "").replace(" ", "")
    assert "****" in text
    assert all(n not in text for n in (FULL, FULL[1:], "0145678900", CALLEE, "8900"))
    assert accesses(config) == []


def test_masked_unless_full_numbers_are_asked_for(guard: Guard, tmp_path: Path) -> None:
    config = made(tmp_path, "masked")
    assert MASKED in guard("log", "-c", config, "--json").out
    assert accesses(config) == []
    assert FULL in guard("log", "-c", config, "--json", "--numbers", "full").out
    assert len(accesses(config)) == 1


@pytest.mark.parametrize(("show", "full"), [("owner", False), ("masked", False), ("full", True)])
def test_another_user_who_may_read_the_log(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, show: str, full: bool
) -> None:
    config = made(tmp_path, show)
    monkeypatch.setattr("os.geteuid", lambda: os.stat(config).st_uid + NOBODY)
    shown = guard("log", "-c", config, "--json")
    asked = guard("log", "-c", config, "--json", "--numbers", "full")
    assert shown.status == 0
    assert (MASKED in shown.out, FULL in shown.out) == (not full, full)
    assert asked.status == (0 if full else 1)
    assert len(accesses(config)) == (2 if full else 0)
    if not full:
        assert "numbers are not shown in full: only the owner of the log and root see them" in asked.err


def test_who_cannot_be_noted_sees_no_numbers(guard: Guard, tmp_path: Path) -> None:
    config = made(tmp_path)
    config.with_name("guard.db-access").mkdir()
    ran = guard("log", "-c", config, "--json")
    assert (ran.status, ran.out) == (1, "")
    assert "guard.db-access: the access log cannot be written (Is a directory)" in ran.err
    assert guard("log", "-c", config, "--json", "--numbers", "masked").status == 0


def test_a_link_in_the_place_of_the_access_log_is_not_followed(guard: Guard, tmp_path: Path) -> None:
    config = made(tmp_path)
    (tmp_path / "precious").write_text("mine")
    config.with_name("guard.db-access").symlink_to(tmp_path / "precious")
    assert guard("log", "-c", config).status == 1
    assert (tmp_path / "precious").read_text() == "mine"


def test_what_is_held_about_a_person(guard: Guard, tmp_path: Path) -> None:
    config = made(tmp_path, "masked")
    ran = guard("subject", "export", "-c", config, "01 45 67 81 11")
    assert (ran.status, ran.err) == (0, "1 calls, 0 incidents, 0 penalties entered by hand\n")
    (found,) = ran.objects()
    assert (found["caller"], found["seq"], found["end"]["seq"]) == (HERS, 3, 4)
    assert [a["command"] for a in accesses(config)] == ["subject export"]
    assert "145678111" not in config.with_name("guard.db-access").read_text()
    ran = guard("subject", "export", "-c", config, "alice")
    assert (ran.status, ran.err) == (
        2,
        'guard: "alice" is no telephone number: write it as dialled, or as +33145678900\n',
    )


def test_only_the_owner_answers_a_persons_request(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = made(tmp_path, "full")
    monkeypatch.setattr("os.geteuid", lambda: os.stat(config).st_uid + NOBODY)
    for action in ("export", "erase"):
        ran = guard("subject", action, "-c", config, HERS)
        assert (ran.status, ran.out) == (1, "")
        assert "only the owner of the log and root may do this" in ran.err
    assert accesses(config) == []


def test_a_person_is_forgotten(guard: Guard, tmp_path: Path) -> None:
    config = made(tmp_path)
    path = tmp_path / "guard.db"
    assert (
        guard("subject", "erase", "-c", config, HERS, "--dry-run").out
        == f"{path}: would be erased: what 1 calls said\n"
    )
    ran = guard("subject", "erase", "-c", config, HERS)
    assert (ran.status, "1 calls would be erased for good: say --yes" in ran.err) == (2, True)
    ran = guard("subject", "erase", "-c", config, HERS, "--yes")
    assert (ran.status, ran.out) == (0, f"{path}: erased: what 1 calls said (2 entries)\n")
    assert guard("log", "-c", config, "--json").seqs() == [1]
    ran = guard("log", "-c", config, "--verify")
    assert (ran.status, "5 entries as they were written, 2 of them erased" in ran.out) == (0, True)
    assert guard("explain", "-c", config, "3").err == f"guard: {path}: what #3 said was erased\n"
    with SqliteReader(path) as reader:
        note = reader.entry(5)
    assert note is not None
    assert note.kind == "erased"
    for file in tmp_path.glob("guard.db*"):
        assert HERS.encode() not in file.read_bytes(), file
    assert (
        guard("subject", "erase", "-c", config, HERS, "--yes").out
        == f"{path}: no call, incident or penalty of this number\n"
    )


def test_a_note_of_an_erasure_is_explained(guard: Guard, tmp_path: Path) -> None:
    config = made(tmp_path)
    guard("subject", "erase", "-c", config, HERS, "--yes")
    ran = guard("explain", "-c", config, "5")
    assert (ran.status, ran.err) == (1, "guard: #5 is a note that what 2 entries said was erased: request\n")


def test_a_log_that_a_guard_writes_is_erased_by_that_guard(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = made(tmp_path)
    monkeypatch.setattr("guard.cli.subject.PATIENCE", 0.0)
    with closing(SqliteWriter(tmp_path / "guard.db", site="demo")):
        ran = guard("subject", "erase", "-c", config, HERS, "--yes")
    assert (ran.status, "the guard that writes this log did not answer in time" in ran.err) == (1, True)
