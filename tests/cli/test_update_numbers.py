"""`guard policy update-numbers`: a newer file takes the place of the old one, whole; any other changes nothing."""

from __future__ import annotations

import os
import shutil
import stat
from datetime import date
from pathlib import Path
from typing import Final

import pytest

from guard.cli import newnumbers
from guard.cli.common import CommandError
from guard.cli.newnumbers import install
from guard.config import load
from guard.policy.load import load_policy
from tests.cli.conftest import Guard
from tests.deciding import SITE
from tests.numbering.making import majnum, row

POLICIES: Final = Path(__file__).parent.parent.parent / "policies"
OLD: Final = [row(f"01{n:02}") for n in range(40, 60)]  # 20 blocks, of 2017
TODAY: Final = date(2026, 11, 21)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plan whose file of numbers is small."""
    there = tmp_path / "numbering"
    shutil.copytree(POLICIES / "numbering", there)
    (there / "allotted.csv").unlink()
    put(there, *OLD)
    return there


def put(folder: Path, *rows: str) -> newnumbers.Installed:
    source = folder.parent / "MAJNUM.csv"
    source.write_bytes(majnum(*rows))
    return install(folder, source, TODAY)


def refused(folder: Path, *rows: str) -> str:
    """Why these rows are not installed; nothing was changed."""
    before = {p: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(CommandError) as raised:
        put(folder, *rows)
    assert {p: p.read_bytes() for p in folder.iterdir()} == before
    return "\n".join(raised.value.lines)


def test_a_newer_file_is_installed(folder: Path) -> None:
    (folder / "allotted.csv").chmod(0o640)
    done = put(folder, *OLD[1:], row("0239", day="2026-11-13"), row("0240", day="2026-11-13"))
    assert (done.of, done.blocks, done.old_of, done.old_blocks) == (date(2026, 11, 13), 21, date(2017, 1, 1), 20)
    assert (done.added, done.gone, done.unknown, done.changed) == (2, 1, (), True)
    assert "0239,FRTE,FR,2026-11-13\n" in (folder / "allotted.csv").read_text("utf-8")
    assert stat.S_IMODE((folder / "allotted.csv").stat().st_mode) == 0o640
    assert not list(folder.glob(".*"))


def test_the_same_file_changes_nothing(folder: Path) -> None:
    before = (folder / "allotted.csv").stat()
    done = put(folder, *OLD)
    after = (folder / "allotted.csv").stat()
    assert (done.changed, done.added, done.gone) == (False, 0, 0)
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_an_older_file_is_refused(folder: Path) -> None:
    put(folder, *OLD, row("0239", day="2026-11-13"))
    why = refused(folder, *OLD, row("0239", day="2026-11-12"))
    assert "its newest row is of 2026-11-12; the file in force is newer, of 2026-11-13: not installed" in why


def test_a_broken_file_is_refused_with_line_and_reason(folder: Path) -> None:
    why = refused(folder, *OLD, row("0239").removesuffix(";01/01/2017"), row("0240", "?"))
    assert "MAJNUM.csv:22: 5 columns, not 6: is the file cut short?" in why
    assert 'MAJNUM.csv:23: 0240: "?" is no operator\'s code' in why
    assert why.endswith("MAJNUM.csv: not installed")


def test_a_file_with_far_fewer_blocks_is_refused(folder: Path) -> None:
    assert put(folder, *OLD[:18]).blocks == 18  # nine tenths
    assert "16 blocks, where the file in force has 18: it looks cut short" in refused(folder, *OLD[:16])


def test_rows_of_days_to_come_do_not_make_it_younger(folder: Path) -> None:
    assert put(folder, *OLD, row("0239", day="2026-11-22")).of == date(2017, 1, 1)
    assert "every row is of a day to come" in refused(folder, *(r.replace("2017", "2027") for r in OLD))


def test_a_block_of_the_other_file_is_refused(folder: Path) -> None:
    assert f'"112" is in {folder / "allotted-short.csv"}, too' in refused(folder, *OLD, row("112", "URG", ""))


def test_blocks_of_no_known_range_are_told(folder: Path) -> None:
    done = put(folder, *OLD, *(row(f"200{n}", territory="") for n in range(7)))
    assert len(done.unknown) == 7
    assert newnumbers.said(done)[1].startswith("warning: 7 blocks are of no range")
    assert newnumbers.said(done)[1].endswith(": 2000, 2001, 2002, 2003, 2004")


@pytest.mark.parametrize("broken", ["", "x\n", "# date: 2026-12-01\nx\n", None])
def test_a_good_file_takes_the_place_of_a_broken_one(folder: Path, broken: str | None) -> None:
    target = folder / "allotted.csv"
    target.unlink() if broken is None else target.write_text(broken, "utf-8")
    done = put(folder, *OLD[:3])
    assert (done.old_of, done.old_blocks, done.added) == (None, 0, 3)
    assert "(none before; 3 new, 0 gone)" in newnumbers.said(done)[0]


def test_a_file_that_is_not_there_or_too_large(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="No such file"):
        install(folder, tmp_path / "none.csv", TODAY)
    monkeypatch.setattr(newnumbers, "MAX_FILE", 100)
    assert "larger than 100 bytes" in refused(folder, *OLD)


def test_what_fails_half_way_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    why = refused(folder, *OLD, row("0239", day="2026-11-13"))
    assert "allotted.csv: No space left on device: the old file stays in force" in why
    assert not list(folder.glob(".*"))


def test_the_command(tmp_path: Path, guard: Guard) -> None:
    shutil.copytree(POLICIES, tmp_path / "policies")
    (tmp_path / "acme.txt").write_text("Acme agrees.\n", "utf-8")
    path = tmp_path / "guard.toml"
    path.write_text(f'policies = "policies"\n{SITE}', "utf-8")
    before = load_policy(load(path))
    shipped = (POLICIES / "numbering" / "allotted.csv").read_text("utf-8").splitlines()
    rows = [row(*line.split(",")) for line in shipped if line[0] not in "#b"]
    source = tmp_path / "MAJNUM.csv"
    source.write_bytes(majnum(*rows, row("0239", day="2026-05-01")))
    ran = guard("policy", "update-numbers", "-c", path, "--json", source)
    assert (ran.status, ran.err) == (0, "")
    (done,) = ran.objects()
    assert (done["of"], done["blocks"], done["added"], done["old_of"]) == ("2026-05-01", 19_992, 1, "2026-04-17")
    after = load_policy(load(path))
    assert (before.plan.allotted("+33239112233"), after.plan.allotted("+33239112233")) == (False, True)
    assert before.digest != after.digest
    ran = guard("policy", "update-numbers", "-c", path, source)
    assert "this file is in force already, 19992 blocks of 2026-05-01" in ran.out
    source.write_bytes(majnum(*rows))
    ran = guard("policy", "update-numbers", "-c", path, source)
    assert ran.status == 1
    assert "the file in force is newer, of 2026-05-01: not installed" in ran.err
