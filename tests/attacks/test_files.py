"""What is written where: names of configuration and callers lead nowhere else, and secrets of others are not kept."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from guard.config import ConfigError, load
from guard.evidence.check import MAX_FAULTS, MAX_MANIFEST, _Check, check
from guard.policy.load import load_policy
from sim.site import CUSTOMER, GUARD, IPBX
from tests.apprig import guard, run
from tests.proxy.world import request
from tests.test_config import GOOD

CONTRACT = 'contract = "technicophone-sip-trunk"'
DIGEST = 'Digest username="alice", realm="op", nonce="n0nce", uri="sip:op", response="5ecre7d1ge57", algorithm=MD5'


def written(folder: Path, text: str) -> Path:
    path = folder / "guard.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "..", "a/b", "", ".hidden", "a\\u0000b", "x" * 65]
)
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    """Sites, trunks and sources are written into file names, topics and records."""
    for old in ('site = "hq"', 'name = "operator"', 'name = "pbx"'):
        text = GOOD.replace(old, f'{old.partition("=")[0]}= "{name}"')
        with pytest.raises(ConfigError):
            load(written(tmp_path, text))


@pytest.mark.parametrize("name", ["../contracts/technicophone-sip-trunk", "../../../../etc/passwd", "/etc/passwd"])
def test_a_contract_is_found_by_its_id_and_never_by_a_path(name: str, tmp_path: Path) -> None:
    text = GOOD.replace('name = "operator"\n', f'name = "operator"\ncontract = "{name}"\n')
    with pytest.raises(ConfigError, match="no contract"):
        load_policy(load(written(tmp_path, text)))


@pytest.mark.parametrize("key", ["consents", "refusals", "opposition"])
def test_a_list_is_a_file_and_neither_a_device_nor_a_pipe(key: str, tmp_path: Path) -> None:
    """Else a reload could wait for ever, or read without end."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("/dev/zero", "pipe", "/proc/self/fd", "."):
        with pytest.raises(ConfigError, match="no such file"):
            load(written(tmp_path, f'{GOOD}[prospecting]\n{key} = "{name}"\n'))


def archive(path: Path, **files: bytes) -> Path:
    """A ZIP of these files, packed as tightly as bombs are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files.items():
            out.writestr(name.replace("_", "."), data)
    return path


def test_an_extract_that_is_a_bomb_is_read_within_bounds(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "bomb.zip", manifest_json=bytes(MAX_MANIFEST + 1), manifest_sig=bytes(64))
    assert bomb.stat().st_size < 1 << 17
    report = check(bomb, frozenset())
    assert not report.ok
    assert any("longer than any such file" in fault for fault in report.faults)


def test_of_an_extract_that_is_all_wrong_a_few_things_are_told(tmp_path: Path) -> None:
    checking = _Check(tmp_path, zipfile.ZipFile(archive(tmp_path / "x.zip", a=b"")), frozenset())
    with checking._archive:
        for n in range(MAX_FAULTS + 1000):
            checking._fault(f"line {n}")
        report = checking._report(None, None)
    assert report.faults == (*(f"line {n}" for n in range(MAX_FAULTS)), "and 1000 more")
    assert len(checking._faults) == MAX_FAULTS


def test_digests_of_others_pass_untouched_and_are_not_kept(tmp_path: Path) -> None:
    """The guard authenticates nobody by them: nonces, and whether one is played again, are the operator's to judge."""

    async def scene() -> None:
        async with guard(tmp_path) as rig:
            more = f"Proxy-Authorization: {DIGEST}\r\n"
            data = request(
                uri=f"sip:{CUSTOMER}@{GUARD}",
                call_id="call1",
                branch="b1",
                tag="t1",
                host=IPBX,
                port=rig.pbx.port,
                more=more,
            )
            for branch in (b"b1", b"b1again"):  # played again, it is the operator who says no
                rig.pbx.send(data.replace(b"z9hG4bKb1", b"z9hG4bK" + branch))
                out = await rig.operator.next("INVITE")
                assert more.encode() in out.data
                rig.answer(out, 407, more='Proxy-Authenticate: Digest realm="op", nonce="n1"\r\n')
                answer = await rig.pbx.next("407")
                assert b'Proxy-Authenticate: Digest realm="op", nonce="n1"\r\n' in answer.data
            await rig.stop()

    run(scene)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name.startswith("guard.db") for path in kept)
    assert not [path for path in kept if b"5ecre7d1ge57" in path.read_bytes() or b"n0nce" in path.read_bytes()]


def test_nobody_but_the_owner_reads_what_the_guard_writes(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as rig:
            await rig.connected()
            await rig.hung_up()
            await rig.stop()

    before = os.umask(0)
    try:
        run(scene)
    finally:
        os.umask(before)
    made = [p for p in tmp_path.rglob("*") if p.is_file() and p.name not in {"guard.toml", "acme.txt"}]
    assert made
    assert [p.name for p in made if p.stat().st_mode & 0o027] == []  # nothing for others, no writing for the group
