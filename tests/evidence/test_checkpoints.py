"""Checkpoints: when they are signed, what they cover, and that a forged, a missing or a contradicted one is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from guard.evidence.keys import checker, good
from guard.ledger import checkpoint
from guard.ledger.chain import body_hash, link
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from guard.store.verify import signatures, verify
from tests.evidence.making import KEY, OTHER, change, key_file, verified, write, writer
from tests.store.making import AT, SECOND, attempt, decision, finding


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Four calls; a checkpoint after each, and one at the end: entries 1, 2, 3, 4, 4."""
    path = tmp_path / "guard.db"
    premium = finding("cli.premium")
    write(path, [(attempt(n, at=AT + n * SECOND), decision("blocked", premium)) for n in range(4)], every=1)
    return path


def kept(path: Path) -> list[checkpoint.Checkpoint]:
    """What was signed."""
    with SqliteReader(path) as reader:
        return [checkpoint.decode(row[1]) for row in signatures(reader)]  # type: ignore[arg-type]


def test_what_they_say(log: Path) -> None:
    said = kept(log)
    assert [(c.n, c.seq, c.count) for c in said] == [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 4, 1), (5, 4, 0)]
    assert said[0].at == AT
    assert {c.site for c in said} == {"hq"}
    found = verified(log)
    assert (found.ok, found.checkpoints) == (True, 5)
    assert said[-1].hash == found.hash
    with SqliteReader(log) as reader:
        for _, message, signature, key in signatures(reader):
            assert good(key, message, signature)  # type: ignore[arg-type]


def test_a_log_is_signed_when_it_is_closed_also_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    writer(path).close()
    (said,) = kept(path)
    assert (said.n, said.seq, said.hash, said.count, said.previous) == (1, 0, "00" * 32, 0, "")
    assert verified(path).ok
    with closing(writer(path)) as log:
        log.decided(attempt(), decision(), None)
    assert [(c.n, c.seq) for c in kept(path)] == [(1, 0), (2, 1)]


def test_without_a_key_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with closing(writer(path, None)) as log:
        log.decided(attempt(), decision(), None)
        log.sign(AT)
    assert kept(path) == []
    assert verified(path).ok


def test_a_checkpoint_covers_what_is_still_in_the_queue(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with closing(writer(path)) as log:
        for n in range(30):
            log.decided(attempt(n), decision(), None)
            if n % 7 == 0:
                log.sign(AT)
    assert [c.seq for c in kept(path)] == [1, 8, 15, 22, 29, 30]
    assert verified(path).ok


def test_a_clock_that_jumps_back_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    calls = [(attempt(n, at=AT - n * 86_400 * SECOND), decision()) for n in range(4)]
    write(path, calls, every=1)
    assert [c.at for c in kept(path)[:4]] == sorted((c.at for c in kept(path)[:4]), reverse=True)
    assert verified(path).ok


def forged(path: Path, n: int, **fields: object) -> None:
    """Another message in the place of one, with another key's signature."""
    with closing(sqlite3.connect(path)) as db, db:
        (message,) = db.execute("SELECT message FROM checkpoints WHERE n = ?", (n,)).fetchone()
        said = msgspec.json.decode(message) | fields
        made = msgspec.json.encode(said, order="sorted")
        values = (made, OTHER.sign(made), OTHER.public, n)
        db.execute("UPDATE checkpoints SET message = ?, signature = ?, key = ? WHERE n = ?", values)


@pytest.mark.parametrize(
    ("statements", "number", "reason"),
    [
        (["UPDATE checkpoints SET signature = zeroblob(64) WHERE n = 3"], 3, "forged"),
        (["UPDATE checkpoints SET key = zeroblob(32) WHERE n = 3"], 3, "forged"),
        (["UPDATE checkpoints SET message = 'x' WHERE n = 3"], 3, "type"),
        (["UPDATE checkpoints SET message = x'00' WHERE n = 3"], 3, "cannot be read"),
        (["DELETE FROM checkpoints WHERE n = 3"], 3, "number 4 where number 3 belongs"),
        (["DELETE FROM checkpoints WHERE n = 1"], 1, "number 2 where number 1 belongs"),
        (["UPDATE checkpoints SET seq = 1 WHERE n = 3"], 3, "speaks of entry 3, and stands at entry 1"),
        (
            ["DELETE FROM entries WHERE seq > 2",
             "UPDATE head SET seq = 2, hash = (SELECT hash FROM entries WHERE seq = 2)",
             *(f"DELETE FROM {t} WHERE seq > 2" for t in ("calls", "call_rules", "exposures"))],
            3, "the end of the log was cut off",
        ),
    ],
)  # fmt: skip
def test_tampering_is_named(log: Path, statements: list[str], number: int, reason: str) -> None:
    change(log, *statements)
    found = verified(log)
    assert (found.ok, found.checkpoint) == (False, number)
    assert reason in found.reason


def test_a_checkpoint_signed_by_another_key(log: Path) -> None:
    forged(log, 5)
    found = verified(log)
    assert (found.ok, found.checkpoint) == (False, 5)
    assert "signed by another key" in found.reason
    # without the key's file, all must be of one key
    with SqliteReader(log) as reader:
        found = verify(reader, lambda _done, _of: None, checker(log.with_name("no-key")))
    assert "checkpoint 5: signed by another key" in found.reason


@pytest.mark.parametrize(("fields", "reason"), [({"previous": ""}, "does not follow"), ({"count": 9}, "count")])
def test_a_checkpoint_that_does_not_follow(log: Path, fields: dict[str, object], reason: str) -> None:
    forged(log, 5, **fields)
    found = verified(log)
    assert reason in found.reason


def test_a_checkpoint_that_ends_before_the_last_one() -> None:
    first = checkpoint.following(None, site="hq", at=AT, seq=5, tip=bytes(32))
    back = checkpoint.following(checkpoint.encode(first), site="hq", at=AT, seq=3, tip=bytes(32))
    reason = checkpoint.fault(checkpoint.encode(first), checkpoint.encode(back))
    assert reason == "it ends at entry 3, and the checkpoint before it at entry 5"
    assert checkpoint.fault(None, checkpoint.encode(first)) == ""


def test_a_log_made_anew_with_its_head_is_given_away_by_the_checkpoints(log: Path) -> None:
    """What the chain alone cannot show."""
    with closing(sqlite3.connect(log)) as db, db:
        db.execute("UPDATE entries SET body = CAST(replace(body, '192.0.2.5', '192.0.2.6') AS BLOB) WHERE seq = 2")
        (tip,) = db.execute("SELECT hash FROM entries WHERE seq = 1").fetchone()
        for seq, kind, salt, body in db.execute("SELECT seq, kind, salt, body FROM entries WHERE seq > 1").fetchall():
            digest = body_hash(salt, body)
            tip = link(tip, seq, kind, digest)
            db.execute("UPDATE entries SET body_hash = ?, hash = ? WHERE seq = ?", (digest, tip, seq))
        db.execute("UPDATE head SET hash = ?", (tip,))
    with SqliteReader(log) as reader:
        assert "entry" in verify(reader, lambda _done, _of: None).reason
    found = verified(log)
    assert (found.ok, found.checkpoint, found.broken) == (False, 2, 2)
    assert found.reason == "checkpoint 2: the log up to entry 2 is not what was signed"


def test_checkpoints_while_the_log_is_verified(log: Path) -> None:
    one = writer(log)

    def meanwhile(_done: int, _of: int) -> None:
        one.decided(attempt(), decision(), None)
        one.sign(AT)
        one.flush()

    with SqliteReader(log) as reader:
        found = verify(reader, meanwhile, checker(key_file(log.with_name("key"))))
    one.close()
    assert (found.ok, found.checkpoints) == (True, 5)


def test_a_signer_that_fails_costs_no_entry(tmp_path: Path) -> None:
    class Broken:
        public = KEY.public

        @staticmethod
        def sign(message: bytes) -> bytes:
            raise RuntimeError(f"no hardware for {len(message)} octets")

    path = tmp_path / "guard.db"
    with closing(SqliteWriter(path, site="hq", signer=Broken())) as log:
        log.decided(attempt(), decision(), None)
        log.sign(AT)
        log.decided(attempt(1), decision(), None)
    assert log.faults >= 1
    found = verified(path)
    assert (found.ok, found.entries, found.lost, found.checkpoints) == (True, 2, 0, 0)
