"""guard evidence: the key, an extract, its check elsewhere, and the purge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from guard.app_parts import open_store
from guard.config import load
from guard.evidence.keys import load_or_make, word
from guard.policy.load import load_policy
from guard.store.sqlite import SqliteWriter
from sim.site import Site
from tests.cli.conftest import Guard
from tests.evidence.making import DAY, OTHER, change, rewritten, verified
from tests.store.making import AT, attempt, decision, ended, finding

PREMIUM = finding("cli.premium")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site whose guard has run: two blocked calls of November."""
    config = load(Site(folder=tmp_path, port=5060, trunk_port=5062, pbx_port=5064).write())
    policy = load_policy(config)
    with closing(open_store(config, policy)) as log:
        for n in range(2):
            log.ended(log.decided(attempt(n, at=AT + n), decision("blocked", PREMIUM), None), ended("blocked"))
    return tmp_path / "guard.toml"


def public(site: Path) -> str:
    return word(load_or_make(site.with_name("guard.db-key"))[0].public)


def test_the_public_key(guard: Guard, site: Path) -> None:
    ran = guard("evidence", "key", "-c", site)
    assert (ran.status, ran.out, ran.err) == (0, public(site) + "\n", "")
    assert guard("evidence", "key", "--store", site.with_name("guard.db")).out == ran.out
    assert guard("evidence", "key", "-c", site, "--pem").out.startswith("-----BEGIN PUBLIC KEY-----\n")


def test_export_and_verify(guard: Guard, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "november.zip"
    ran = guard("evidence", "export", "-c", site, "--month", "2026-11", "--output", out)
    assert ran.status == 0
    assert ran.out == f"{out}: 2 calls of 2026-11, 4 entries, 1 checkpoints\nsigned by {public(site)}\n"
    assert "policy sha256:0123 is not in it" in ran.err
    ran = guard("evidence", "verify", out, "--key", public(site))
    assert ran.status == 0
    assert ran.out.splitlines() == [
        f"{out}: as it was signed",
        "demo, 2026-11: 2 calls, entries 1 to 4, 1 checkpoints",
        f"signed by {public(site)}",
    ]
    ran = guard("evidence", "verify", out)
    assert (ran.status, "only --key PUBLIC tells" in ran.err) == (0, True)
    (found,) = guard("evidence", "verify", out, "--key", public(site), "--json").objects()
    assert (found["ok"], found["calls"], found["faults"]) == (True, 2, [])


def test_verifying_needs_neither_configuration_nor_log(guard: Guard, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "november.zip"
    guard("evidence", "export", "-c", site, "--month", "2026-11", "--output", out)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        "import sys; from guard.cli.main import main; status = main(sys.argv[1:]);"
        "print([m for m in sys.modules if m in {'guard.app', 'guard.reload', 'asyncio', 'guard.engine'}]);"
        "sys.exit(status)"
    )
    words = ["evidence", "verify", str(out), "--key", public(site)]
    ran = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=elsewhere,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "[]")


def test_a_changed_extract_is_status_1_and_named(guard: Guard, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "november.zip"
    guard("evidence", "export", "-c", site, "--month", "2026-11", "--output", out)
    rewritten(out, "chain.jsonl", lambda data: b"".join(data.splitlines(keepends=True)[1:]))
    ran = guard("evidence", "verify", out, "--key", public(site))
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines()[1:3] == [f"guard: {out}: chain.jsonl: changed", f"guard: {out}: entry 1 is missing"]
    ran = guard("evidence", "verify", out, "--key", word(OTHER.public), "--json")
    assert (ran.status, json.loads(ran.out)["ok"]) == (1, False)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--month", "2026-13"], 2, '--month "2026-13" is no month: write it as 2026-11'),
        (["--month", "2026-09"], 1, "no call of 2026-09 is in the log"),
    ],
)
def test_mistakes_of_export(guard: Guard, site: Path, tmp_path: Path, words: list[str], status: int, says: str) -> None:
    ran = guard("evidence", "export", "-c", site, "--output", tmp_path / "o.zip", *words)
    assert (ran.status, ran.out) == (status, "")
    assert says in ran.err
    assert not (tmp_path / "o.zip").exists()


def test_an_output_that_is_there_and_one_that_cannot_be(guard: Guard, site: Path, tmp_path: Path) -> None:
    (tmp_path / "o.zip").write_bytes(b"mine")
    ran = guard("evidence", "export", "-c", site, "--month", "2026-11", "--output", tmp_path / "o.zip")
    assert (ran.status, ran.err) == (1, f"guard: {tmp_path}/o.zip: is there already: name another file\n")
    assert (tmp_path / "o.zip").read_bytes() == b"mine"
    ran = guard("evidence", "export", "-c", site, "--month", "2026-11", "--output", tmp_path / "no" / "o.zip")
    assert (ran.status, ran.err) == (1, f"guard: {tmp_path}/no/o.zip: cannot be written: No such file or directory\n")


def test_a_key_that_is_missing_foreign_or_open_to_all(guard: Guard, site: Path, tmp_path: Path) -> None:
    key = site.with_name("guard.db-key")
    words = ("evidence", "export", "-c", site, "--month", "2026-11", "--output", tmp_path / "o.zip")
    key.chmod(0o644)
    assert "others can read this key (mode 644)" in guard(*words).err
    key.unlink()
    ran = guard(*words)
    assert (ran.status, ran.err) == (1, f"guard: {key}: no such key: the guard makes it when it first starts\n")
    load_or_make(key)
    assert "some checkpoints were signed by another key" in guard(*words).err
    told = guard("evidence", "verify", tmp_path / "o.zip", "--key", public(site))
    assert (told.status, "checkpoint 1: signed by another key than the one given" in told.err) == (1, True)
    ran = guard("log", "-c", site, "--verify")
    assert (ran.status, "checkpoint 1: signed by another key" in ran.err) == (1, True)


def test_verify_says_what_is_no_extract(guard: Guard, site: Path) -> None:
    ran = guard("evidence", "verify", site, "--key", public(site))
    assert (ran.status, ran.err.startswith(f"guard: {site}: no extract")) == (1, True)
    ran = guard("evidence", "verify", site, "--key", "nowhere")
    assert (ran.status, "neither a key" in ran.err) == (1, True)


def test_the_log_verifies_with_its_checkpoints(guard: Guard, site: Path) -> None:
    ran = guard("log", "-c", site, "--verify")
    assert (ran.status, ran.out.splitlines()[-1]) == (0, "checkpoints: 1, signed")
    change(site.with_name("guard.db"), "UPDATE checkpoints SET signature = zeroblob(64)")
    ran = guard("log", "-c", site, "--verify")
    assert (ran.status, "checkpoint 1: forged" in ran.err) == (1, True)


def test_a_purge_by_hand(guard: Guard, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site.with_name("guard.db")
    monkeypatch.setattr("time.time_ns", lambda: (AT + 200 * DAY) * 1000)
    ran = guard("evidence", "purge", "-c", site, "--dry-run")
    said = "what 2 calls said (4 entries) that are older than 180 days"
    assert (ran.status, ran.out) == (0, f"{path}: would be erased: {said}\n")
    assert verified(path).erased == 0
    assert guard("evidence", "purge", "-c", site).out == f"{path}: erased: {said}\n"
    found = verified(path)
    assert (found.ok, found.erased, found.checkpoints) == (False, 4, 0)  # signed by the site's key, not the test's
    assert guard("log", "-c", site, "--verify").status == 0
    assert "what 0 calls said (0 entries)" in guard("evidence", "purge", "-c", site).out


def test_a_purge_while_a_guard_writes_is_left_to_it(guard: Guard, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.cli.evidence.PATIENCE", 0.0)
    monkeypatch.setattr("time.time_ns", lambda: (AT + 200 * DAY) * 1000)
    with closing(SqliteWriter(site.with_name("guard.db"), site="demo")):
        ran = guard("evidence", "purge", "-c", site)
    assert (ran.status, "the guard that writes this log did not answer in time" in ran.err) == (1, True)


def test_help_names_the_options_of_every_action(guard: Guard) -> None:
    wanted = {
        "key": ["-c", "--store", "--pem"],
        "export": ["-c", "--month", "--output"],
        "verify": ["--key", "--json"],
        "purge": ["-c", "--dry-run"],
    }
    for action, options in wanted.items():
        ran = guard("evidence", action, "--help")
        assert ran.status == 0
        assert [o for o in options if o not in ran.out] == []
    assert guard("evidence").status == 2
