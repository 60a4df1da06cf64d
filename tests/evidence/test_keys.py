"""The key: made once, kept close, and every way in which it cannot be had is one clear error."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from guard.evidence.keys import BadKey, good, load, load_or_make, pem, public_of, word
from tests.evidence.making import KEY, OTHER, SECRET, key_file
from tests.store.test_files import unprivileged


def test_it_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "guard.db-key"
    made, first = load_or_make(path)
    again, second = load_or_make(path)
    assert (first, second) == (True, False)
    assert made.public == again.public == load(path).public
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["guard.db-key"]
    assert load_or_make(tmp_path / "other")[0].public != made.public


def test_two_guards_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_or_make(tmp_path / "key")[0].public)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


def test_openssl_reads_it_and_checks_what_it_signs(tmp_path: Path) -> None:
    private, public = key_file(tmp_path / "key"), tmp_path / "public.pem"
    public.write_bytes(pem(KEY.public))
    (tmp_path / "message").write_bytes(b"checkpoint")
    (tmp_path / "signature").write_bytes(load(private).sign(b"checkpoint"))
    checked = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", tmp_path / "message",
         "-sigfile", tmp_path / "signature"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout.strip()) == (0, "Signature Verified Successfully")


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (b"", 0o600, "not a private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\n", 0o600, "not a private key in PEM"),
        (pem(KEY.public), 0o600, "not a private key in PEM"),
        (None, 0o640, r"others can read this key \(mode 640\)"),
        (None, 0o604, r"others can read this key \(mode 604\)"),
    ],
)
def test_a_file_that_is_no_key(tmp_path: Path, content: bytes | None, mode: int, says: str) -> None:
    path = key_file(tmp_path / "key")
    if content is not None:
        path.write_bytes(content)
    path.chmod(mode)
    before = path.read_bytes()
    for call in (load, load_or_make):
        with pytest.raises(BadKey, match=f"key: {says}"):
            call(path)
    assert path.read_bytes() == before


def test_a_key_of_another_kind(tmp_path: Path) -> None:
    path = key_file(tmp_path / "key")
    rsa = generate_private_key(65_537, 2048)
    path.write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(BadKey, match="key: not an Ed25519 key"):
        load(path)


def test_a_key_that_is_missing_or_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(BadKey, match="none: no such key: the guard makes it when it first starts"):
        load(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadKey, match=r"file/key: .*Not a directory"):
        load_or_make(tmp_path / "file" / "key")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        with unprivileged(), pytest.raises(BadKey, match=r"key: this key cannot be made: Permission denied"):
            load_or_make(Path(name) / "key")
        Path(name).chmod(0o700)
        with unprivileged(), pytest.raises(BadKey, match=r"key: cannot be read: Permission denied"):
            load_or_make(Path(name) / "key")


def test_public_keys_as_people_give_them(tmp_path: Path) -> None:
    (tmp_path / "word").write_text(word(KEY.public) + "\n")
    (tmp_path / "pem").write_bytes(pem(KEY.public))
    for text in (word(KEY.public), str(tmp_path / "word"), str(tmp_path / "pem")):
        assert public_of(text) == KEY.public


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ed25519:x", "no Base64 after ed25519:"),
        ("ed25519:AAAA", "3 octets in place of 32"),
        ("nowhere", "neither a key .* nor a file"),
    ],
)
def test_what_is_no_public_key(text: str, says: str) -> None:
    with pytest.raises(BadKey, match=says):
        public_of(text)


def test_a_private_key_is_not_taken_for_a_public_one(tmp_path: Path) -> None:
    with pytest.raises(BadKey, match="a private key: give the public one"):
        public_of(str(key_file(tmp_path / "key")))
    (tmp_path / "junk").write_bytes(SECRET)
    with pytest.raises(BadKey, match="junk: not a public key"):
        public_of(str(tmp_path / "junk"))


def test_signatures() -> None:
    signature = KEY.sign(b"a")
    assert good(KEY.public, b"a", signature)
    assert not good(KEY.public, b"b", signature)
    assert not good(OTHER.public, b"a", signature)
    assert not good(KEY.public, b"a", b"")
    assert not good(b"short", b"a", signature)
