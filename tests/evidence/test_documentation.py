"""docs/evidence.md is true: its scripts check an extract with no code of the guard, its tables name what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from guard.evidence import extract
from guard.evidence.keys import pem
from guard.ledger.checkpoint import Checkpoint
from tests.evidence.making import DAY, KEY, OTHER, exported, rewritten, write
from tests.store.making import AT, attempt, decision, ended, finding

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "evidence.md").read_text(encoding="utf-8")
(SHELL,) = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
(SCRIPT,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An extract of three calls, a checkpoint after each, with one call of the month before."""
    path = tmp_path / "guard.db"
    blocked = decision("blocked", finding("cli.premium"))
    calls = [(attempt(n, at=AT + n), blocked, ended("blocked")) for n in range(3)]
    write(path, [(attempt(9, at=AT - 40 * DAY), blocked, ended()), *calls], every=1)
    exported(path, tmp_path / "out.zip")
    (tmp_path / "public.pem").write_bytes(pem(KEY.public))
    return tmp_path / "out.zip"


def python(path: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-I", "-c", SCRIPT, str(path)], capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def shell(path: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", SHELL, "sh", str(path), str(path.with_name("public.pem"))],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_both_scripts_accept_an_extract(output: Path) -> None:
    status, said = python(output)
    assert status == 0, said
    assert said.splitlines()[-1] == "3 calls of 2026-11, entries 3 to 8"
    assert said.splitlines()[:2] == ["checkpoint 1: entry 2", "checkpoint 2: entry 4"]
    status, said = shell(output)
    assert (status, said.strip()) == (0, "Signature Verified Successfully")


def test_the_shell_sees_a_changed_file_and_a_foreign_key(output: Path) -> None:
    rewritten(output, extract.RECORDS, lambda data: data[:-2])
    status, said = shell(output)
    assert (status != 0, "records.jsonl: FAILED" in said) == (True, True)


def test_the_shell_sees_another_key(output: Path) -> None:
    output.with_name("public.pem").write_bytes(pem(OTHER.public))
    status, said = shell(output)
    assert (status != 0, "Signature Verification Failure" in said) == (True, True)


@pytest.mark.parametrize(
    ("gone", "says"),
    [(slice(2, 3), "chain.jsonl: changed"), (slice(0, 0), "")],
)
def test_python_sees_a_changed_file(output: Path, gone: slice, says: str) -> None:
    def edit(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        del lines[gone]
        return b"".join(lines)

    rewritten(output, extract.CHAIN, edit)
    status, said = python(output)
    assert (status, said if says else "") == (1 if says else 0, says)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"192.0.2.5", b"192.0.2.6", "entry 3: the body was changed"),
        (b'"kind":"end"', b'"kind":"lost"', "entry 4: changed, missing or out of place"),
        (b'"seq":5', b'"seq":6', "entry 5: changed, missing or out of place"),
    ],
)
def test_python_sees_it_in_the_chain_also_when_the_list_of_files_was_made_anew(
    output: Path, old: bytes, new: bytes, says: str
) -> None:
    """The signature of that list is openssl's to check."""
    rewritten(output, extract.CHAIN, lambda data: data.replace(old, new, 1))
    with ZipFile(output) as archive:
        changed = extract.File(name=extract.CHAIN, size=0, sha256=_sha(archive.read(extract.CHAIN)))
    rewritten(
        output,
        extract.MANIFEST,
        lambda data: re.sub(
            rb'("name": "chain\.jsonl",\s*"sha256": ")[0-9a-f]+', rb"\g<1>" + changed.sha256.encode(), data
        ),
    )
    assert python(output) == (1, says)


def _sha(data: bytes) -> str:
    from hashlib import sha256

    return sha256(data).hexdigest()


def test_every_file_and_every_field_of_a_checkpoint_is_documented() -> None:
    for name in (extract.MANIFEST, extract.SIGNATURE, extract.CHAIN, extract.RECORDS, extract.STATEMENT,
                 extract.CHECKPOINTS, extract.PUBLIC, extract.POLICY):  # fmt: skip
        assert f"`{name}`" in TEXT
    for name in Checkpoint.__struct_fields__:
        assert f"`{name}`" in TEXT
    for name in extract.Row.__struct_fields__:
        assert f"`{name}`" in TEXT


def test_the_page_on_privacy_names_what_the_configuration_takes() -> None:
    page = (DOCS / "privacy.md").read_text(encoding="utf-8")
    for word in ('`"owner"`', '`"full"`', '`"masked"`', "`retention_days`", "guard subject erase", "--dry-run"):
        assert word in page
