"""An extract: what is in it, and that every way of changing it is found and named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.evidence import extract
from guard.evidence.check import NotAnExtract
from guard.evidence.export import CannotExport, export
from guard.evidence.keys import word
from guard.ledger.chain import body_hash, link
from guard.model import Decision
from guard.store.reader import SqliteReader
from tests.evidence.making import (
    DAY,
    KEY,
    MONTH,
    OTHER,
    PARTS,
    POLICY,
    change,
    checked,
    exported,
    lines,
    rewritten,
    write,
)
from tests.store.making import AT, SECOND, attempt, decision, ended, finding

PREMIUM = finding("cli.premium")


def decided(verdict: str = "blocked") -> Decision:
    """A decision by the policy that the log has kept."""
    made = decision("blocked", PREMIUM) if verdict == "blocked" else decision("flagged", finding("cli.x", "flag"))
    return replace(made, policy=POLICY)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Entries 1, 2: October. 3 to 12: five calls of November, each with its end; a checkpoint each call. 13, 14:
    December."""
    path = tmp_path / "guard.db"
    november = [(attempt(n, at=AT + n * DAY), decided(), ended("blocked")) for n in range(5)]
    write(
        path,
        [
            (attempt(10, at=AT - 40 * DAY), decided(), ended()),
            *november,
            (attempt(11, at=AT + 20 * DAY), decided(), ended()),
        ],
        every=1,
    )
    return path


@pytest.fixture
def output(log: Path, tmp_path: Path) -> Path:
    exported(log, tmp_path / "november.zip")
    return tmp_path / "november.zip"


def test_what_is_in_it(log: Path, output: Path) -> None:
    found = checked(output)
    assert (found.ok, found.faults, found.remarks) == (True, (), ())
    assert (found.site, found.month, found.calls, found.entries) == ("hq", MONTH, 5, 10)
    assert (found.first, found.last, found.checkpoints, found.keys) == (3, 12, 6, (word(KEY.public),))
    rows = lines(output, extract.CHAIN)
    assert [row["seq"] for row in rows] == list(range(3, 13))
    assert all("body" in row for row in rows)
    records = lines(output, extract.RECORDS)
    assert [r["seq"] for r in records] == [3, 5, 7, 9, 11]
    assert {r["outcome"] for r in records} == {"blocked"}
    *money, erased = lines(output, extract.STATEMENT)
    assert sum(int(str(m["amount"])) for m in money) == 5 * 50_000 + 2_500_000_000
    assert erased == {"erased_calls": 0, "accrued": 0, "avoided": 0}
    with ZipFile(output) as archive:
        folder = f"policies/{POLICY.replace(':', '-')}"
        assert archive.read(f"{folder}/files/rules/a.toml") == b"[a]\n"
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert output.stat().st_mode & 0o777 == 0o600


def test_it_is_the_same_each_time(log: Path, output: Path, tmp_path: Path) -> None:
    exported(log, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == output.read_bytes()


def test_other_months_are_only_links(tmp_path: Path) -> None:
    """A clock that jumped back: between two calls of November lies one that says August."""
    path, output = tmp_path / "guard.db", tmp_path / "out.zip"
    write(
        path,
        [
            (attempt(1), decided(), ended()),
            (attempt(2, at=AT - 90 * DAY), decided(), ended(at=AT - 90 * DAY)),
            (attempt(3, at=AT + SECOND), decided(), ended()),
        ],
        every=1,
    )
    exported(path, output)
    found = checked(output)
    assert (found.ok, found.calls, found.entries) == (True, 2, 6)
    assert found.remarks == ("the clock went back before checkpoint 2",)
    bodies = [row["seq"] for row in lines(output, extract.CHAIN) if "body" in row]
    assert bodies == [1, 2, 5, 6]
    exported(path, tmp_path / "august.zip", "2026-08")
    assert checked(tmp_path / "august.zip").calls == 1


# --- what is changed in the extract ---------------------------------------------------------------------------------

Edit = Callable[[list[bytes]], list[bytes]]


def swapped(rows: list[bytes], a: int, b: int) -> list[bytes]:
    rows[a], rows[b] = rows[b], rows[a]
    return rows


def flipped(rows: list[bytes]) -> list[bytes]:
    rows[2] = rows[2].replace(b"+33145678900", b"+33145678901", 1)
    return rows


def bodies_swapped(rows: list[bytes]) -> list[bytes]:
    a, b = json.loads(rows[2]), json.loads(rows[4])
    for name in ("body", "salt", "body_hash"):
        a[name], b[name] = b[name], a[name]
    return [*rows[:2], json.dumps(a).encode() + b"\n", rows[3], json.dumps(b).encode() + b"\n", *rows[5:]]


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (flipped, ["entry 5: its body is not what was written"]),
        (lambda rows: [*rows[:2], *rows[3:]], ["entry 5 is missing"]),
        (lambda rows: [*rows[:2], *rows[6:]], ["entries 5 to 8 are missing"]),  # two whole days
        (lambda rows: rows[:-1], ["entry 12 is missing: the end of chain.jsonl was cut off"]),
        (lambda rows: rows[:4], ["entries 7 to 12 are missing: the end of chain.jsonl was cut off"]),
        (lambda rows: rows[2:], ["entries 3 to 4 are missing"]),
        (lambda rows: [*rows[:4], rows[2], *rows[4:]], ["entry 5: it stands after entry 6, a second time"]),
        (lambda rows: swapped(rows, 2, 4), ["entries 5 to 6 are missing", "entry 5: it stands after entry 7"]),
        (bodies_swapped, ["entry 5: its hash does not follow", "entry 7: its hash does not follow"]),
        (lambda rows: [*rows, rows[0].replace(b'"seq":3', b'"seq":13')], ["entry 13: it stands after entry 12"]),
        (lambda rows: [*rows[:2], b"{}\n", *rows[3:]], ["chain.jsonl: line 3 cannot be read"]),
        (lambda rows: [*rows[:2], b"\xff\n", *rows[3:]], ["chain.jsonl: line 3 cannot be read"]),
    ],
)
def test_what_is_changed_in_the_chain_is_named(output: Path, edit: Edit, named: list[str]) -> None:
    rewritten(output, extract.CHAIN, lambda data: b"".join(edit(data.splitlines(keepends=True))))
    found = checked(output)
    assert not found.ok
    told = "\n".join(found.faults)
    assert "chain.jsonl: changed" in told
    for text in named:
        assert text in told


def chained_again(rows: list[dict[str, object]], first: int) -> bytes:
    """What somebody without the key can do: make all hashes follow from what he put there."""
    tip = b""
    for row in rows:
        if int(str(row["seq"])) >= first:
            digest = body_hash(bytes.fromhex(str(row["salt"])), str(row["body"]).encode())
            tip = link(tip, int(str(row["seq"])), str(row["kind"]), digest)
            row |= {"body_hash": digest.hex(), "hash": tip.hex()}
        tip = bytes.fromhex(str(row["hash"]))
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_a_chain_made_anew_is_given_away_by_the_checkpoints(output: Path) -> None:
    rows = lines(output, extract.CHAIN)
    rows[2]["body"] = str(rows[2]["body"]).replace("192.0.2.5", "192.0.2.6")
    rewritten(output, extract.CHAIN, lambda _: chained_again(rows, 5))
    told = checked(output).faults
    assert not any(f.startswith("entry") for f in told)
    assert "checkpoint 3: the log up to entry 6 is not what was signed" in told
    assert not any("checkpoint 2" in f for f in told)


def test_a_file_that_stands_twice(output: Path) -> None:
    with ZipFile(output, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(extract.RECORDS, b"{}\n")
    assert "records.jsonl: stands twice in the archive" in checked(output).faults


def test_a_log_made_anew_makes_no_extract(log: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(log)) as db, db:
        db.execute("UPDATE entries SET body = CAST(replace(body, '192.0.2.5', '192.0.2.6') AS BLOB) WHERE seq = 5")
        (tip,) = db.execute("SELECT hash FROM entries WHERE seq = 4").fetchone()
        for seq, kind, salt, body in db.execute("SELECT seq, kind, salt, body FROM entries WHERE seq > 4").fetchall():
            digest = body_hash(salt, body)
            tip = link(tip, seq, kind, digest)
            db.execute("UPDATE entries SET body_hash = ?, hash = ? WHERE seq = ?", (digest, tip, seq))
    with pytest.raises(CannotExport, match="checkpoint 3: the log up to entry 6 is not what was signed"):
        exported(log, tmp_path / "out.zip")


def test_a_policy_in_force_now_is_not_taken_for_another(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(), decided())], keep_policy=False)
    with SqliteReader(path) as reader:
        for present, missing in ((replace(PARTS, settings=b"[]"), (POLICY,)), (PARTS, ())):
            output = tmp_path / f"{len(missing)}.zip"
            done = export(reader, KEY, present, month=MONTH, output=output, advance=lambda _done, _of: None)
            assert done.missing == missing
            assert checked(output).ok
    write(tmp_path / "kept.db", [(attempt(), decided())])
    change(tmp_path / "kept.db", "UPDATE policy_files SET content = x'00'")
    assert exported(tmp_path / "kept.db", tmp_path / "kept.zip").missing == (POLICY,)


def test_a_chain_and_a_manifest_made_anew_without_the_key(output: Path) -> None:
    """Whoever has only the file can make all hashes follow again, but no signature."""

    def edit(data: bytes) -> bytes:
        return data.replace(b"hq", b"h2")

    rewritten(output, extract.MANIFEST, edit)
    assert any("manifest.json: not what was signed" in f for f in checked(output).faults)


def test_a_record_that_says_something_else_than_the_chain(output: Path) -> None:
    rewritten(output, extract.RECORDS, lambda data: data.replace(b'"blocked"', b'"allowed"', 1))
    told = checked(output).faults
    assert "records.jsonl: changed" in told
    assert "records.jsonl: line 1 is not what the chain says" in told
    rewritten(output, extract.STATEMENT, lambda data: data.split(b"\n", 1)[1])
    assert any("statement.jsonl: 5 lines where the chain makes 6" in f for f in checked(output).faults)


def test_a_forged_checkpoint(output: Path) -> None:
    def later(data: bytes) -> bytes:
        rows = [json.loads(row) for row in data.splitlines()]
        rows[2]["message"] = rows[2]["message"].replace('"at":17', '"at":18')
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    rewritten(output, extract.CHECKPOINTS, later)
    told = checked(output).faults
    assert any(f.startswith("checkpoint 3: forged") for f in told)
    assert "checkpoint 4: it does not follow from the checkpoint before it" in told


def test_a_checkpoint_that_another_key_signed(output: Path) -> None:
    def signed(data: bytes) -> bytes:
        rows = [json.loads(row) for row in data.splitlines()]
        rows[2] |= {"key": OTHER.public.hex(), "signature": OTHER.sign(rows[2]["message"].encode()).hex()}
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    rewritten(output, extract.CHECKPOINTS, signed)
    assert any(f == f"checkpoint 3: signed by another key than the one given: {word(OTHER.public)}"
               for f in checked(output).faults)  # fmt: skip


def test_files_that_are_missing_inserted_or_changed(output: Path) -> None:
    policy = f"policies/{POLICY.replace(':', '-')}/files/rules/a.toml"
    rewritten(output, policy, lambda _: b"[b]\n")
    told = checked(output).faults
    assert f"{policy}: changed" in told
    assert f"policy {POLICY}: its files are not those that have this name" in told
    rewritten(output, "notes.txt", lambda _: b"no limit")
    assert "notes.txt: inserted, the manifest does not name it" in checked(output).faults


def test_an_extract_without_its_signature(output: Path, tmp_path: Path) -> None:
    with ZipFile(output) as archive, ZipFile(tmp_path / "cut.zip", "w") as cut:
        for name in archive.namelist():
            if name != extract.SIGNATURE:
                cut.writestr(name, archive.read(name))
    assert checked(tmp_path / "cut.zip").faults == ("manifest.sig: missing",)


def test_a_foreign_key(output: Path) -> None:
    told = checked(output, OTHER).faults
    assert told[0] == f"signed by another key than the one given: {word(KEY.public)}"
    assert checked(output, OTHER, KEY).ok


def test_a_file_that_was_cut_off_and_one_that_is_none(output: Path, tmp_path: Path) -> None:
    whole = output.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.zip").write_bytes(whole[:size])
        with pytest.raises(NotAnExtract, match=r"cut\.zip: no extract, or one whose end was cut off"):
            checked(tmp_path / "cut.zip")
    with pytest.raises(NotAnExtract, match=r"none\.zip: cannot be read: No such file"):
        checked(tmp_path / "none.zip")


def contents(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_any_flipped_byte_is_found(output: Path) -> None:
    """Every 31st octet of the archive: what passes says the same in every file, as with the date of a file in the
    archive, on which nothing depends; nothing ends in a traceback."""
    whole, said = output.read_bytes(), contents(output)
    found = 0
    for place in range(0, len(whole), 31):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x55
        output.write_bytes(spoilt)
        try:
            if checked(output).ok:
                assert contents(output) == said, place
                continue
        except NotAnExtract:
            pass
        found += 1
    assert found > len(whole) / 31 / 2


# --- what is wrong with the log -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE entries SET body = CAST(replace(body, '+33', '+44') AS BLOB) WHERE seq = 5", "entry 5: its body is"),
        ("UPDATE entries SET body = replace(body, '+33', '+44') WHERE seq = 5", "entry 5: its body is"),  # text
        ("UPDATE entries SET hash = 'x', kind = 7 WHERE seq = 5", "entry 5: "),
        ("DELETE FROM checkpoints WHERE n = 2", "checkpoint 2 is missing"),
        ("DELETE FROM entries WHERE seq = 6", "entry 7: entry 6 is missing"),
        ("DELETE FROM entries WHERE seq > 10", "entry 11 is missing"),
        ("UPDATE checkpoints SET signature = zeroblob(64) WHERE n = 3", "checkpoint 3: not what was signed"),
        ("UPDATE entries SET body = NULL, salt = NULL WHERE seq = 5", "entry 5: what it said is gone"),
    ],
)
def test_an_edited_log_makes_no_extract(log: Path, tmp_path: Path, statement: str, says: str) -> None:
    change(log, statement)
    with pytest.raises(CannotExport, match=says):
        exported(log, tmp_path / "out.zip")
    assert [p.name for p in tmp_path.glob("out*")] == []


def test_a_month_without_calls(log: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotExport, match="no call of 2026-09 is in the log"):
        exported(log, tmp_path / "out.zip", "2026-09")


def test_an_extract_does_not_take_the_place_of_another(log: Path, output: Path) -> None:
    before = output.read_bytes()
    with pytest.raises(FileExistsError):
        exported(log, output)
    assert output.read_bytes() == before


def test_a_policy_that_was_not_kept_is_told(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(), decided())], keep_policy=False)
    assert exported(path, tmp_path / "out.zip").missing == (POLICY,)
    found = checked(tmp_path / "out.zip")
    assert (found.ok, found.remarks) == (True, (f"policy {POLICY} is named by calls and is not in the extract",))


calls = st.lists(
    st.tuples(
        st.integers(-45 * DAY, 45 * DAY),
        st.sampled_from(["blocked", "flagged"]),
        st.booleans(),
        st.text(max_size=8).filter(lambda t: t.isprintable()),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=calls, every=st.integers(0, 3), data=st.data())
def test_whatever_was_logged_is_exported_whole_and_any_missing_line_is_found(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[int, str, bool, str]],
    every: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("random")
    path, output = folder / "guard.db", folder / "out.zip"
    made = [(attempt(99), decided(), ended())]
    for n, (offset, verdict, over, name) in enumerate(calls):
        call = replace(attempt(n, at=AT + offset), user_agent=name)
        made.append((call, decided(verdict), ended()) if over else (call, decided(verdict)))  # type: ignore[arg-type]
    write(path, made, every=every)
    done = exported(path, output)
    found = checked(output)
    assert (found.ok, found.faults) == (True, ())
    assert (found.calls, found.entries) == (done.calls, done.entries)
    rows = lines(output, extract.CHAIN)
    gone = data.draw(st.integers(0, len(rows) - 1))
    rewritten(output, extract.CHAIN, lambda all_: b"".join(
        line for n, line in enumerate(all_.splitlines(keepends=True)) if n != gone))  # fmt: skip
    assert any(f"entry {rows[gone]['seq']} is missing" in f for f in checked(output).faults)
