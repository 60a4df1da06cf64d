"""The key that signs registered contacts: made once, kept, and told of where it cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.app_parts import SECRET_BYTES, contact_secret
from guard.config import Config, load
from guard.store.errors import StoreError
from sim.site import Site


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(Site(folder=tmp_path, port=5060, trunk_port=5060, pbx_port=5060).write())


def test_it_is_made_once_and_nobody_else_reads_it(config: Config, tmp_path: Path) -> None:
    secret = contact_secret(config)
    path = tmp_path / "guard.db-contacts"
    assert len(secret) == SECRET_BYTES
    assert path.read_bytes() == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert contact_secret(config) == secret
    assert [p.name for p in tmp_path.glob("guard.db-contacts*")] == [path.name]


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (b"k" * 31, 0o600, "not a key of 32 bytes"),
        (b"k" * 33, 0o600, "not a key of 32 bytes"),
        (b"", 0o600, "not a key of 32 bytes"),
        (b"k" * 32, 0o644, "others can read this key .mode 644"),
        (b"k" * 32, 0o640, "chmod 600 it"),
    ],
)
def test_what_cannot_be_used_is_told(config: Config, tmp_path: Path, content: bytes, mode: int, why: str) -> None:
    path = tmp_path / "guard.db-contacts"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(StoreError, match=f"guard.db-contacts.*{why}"):
        contact_secret(config)
    assert path.read_bytes() == content


def test_a_folder_in_its_place_is_told(config: Config, tmp_path: Path) -> None:
    (tmp_path / "guard.db-contacts").mkdir()
    with pytest.raises(StoreError, match="the key of registered contacts: Is a directory"):
        contact_secret(config)
