"""The key that signs checkpoints and extracts: Ed25519 (RFC 8032), in a PEM file that openssl reads.

It is made when the guard first starts, and never leaves the machine. The public key is written as one word,
`ed25519:` and its 32 octets in Base64, or as PEM.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from guard.ledger.checkpoint import Signed

WORD: Final = "ed25519:"
OTHERS: Final = 0o077  # modes of a file that others can read: who can read a key can sign in the guard's name
MAX_FILE: Final = 1 << 16  # octets: a key file is some 120


class BadKey(Exception):
    """A key that cannot be had; the message names the file and the reason."""


class NoKey(BadKey):
    """There is none yet."""


class Key:
    """The private key of a guard."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 octets: the same for the same message."""
        return self._key.sign(message)


def load(path: Path) -> Key:
    """The key in a file. Raises BadKey."""
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(MAX_FILE)
    except FileNotFoundError as error:
        raise NoKey(f"{path}: no such key: the guard makes it when it first starts") from error
    except OSError as error:
        raise BadKey(f"{path}: cannot be read: {error.strerror}") from error
    if mode & OTHERS:
        raise BadKey(f"{path}: others can read this key (mode {mode & 0o777:o}): chmod 600 it, or make a new one")
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey(f"{path}: not a private key in PEM, or one with a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey(f"{path}: not an Ed25519 key")
    return Key(key)


def load_or_make(path: Path) -> tuple[Key, bool]:
    """The key in a file, made with mode 0600 where there is none; and whether it was made. Raises BadKey."""
    with contextlib.suppress(NoKey):
        return load(path), False
    import tempfile  # with compression and more: only at a first start

    made = Ed25519PrivateKey.generate()
    data = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # Under another name first: a crash leaves no half a key, and link() does not take the place of another guard's.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, draft = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # its mode is 0600
        try:
            with os.fdopen(fd, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(draft, path)
        finally:
            os.unlink(draft)
    except FileExistsError:
        return load(path), False
    except OSError as error:
        raise BadKey(f"{path}: this key cannot be made: {error.strerror}") from error
    return Key(made), True


def word(public: bytes) -> str:
    """A public key as one word."""
    return WORD + base64.b64encode(public).decode("ascii")


def pem(public: bytes) -> bytes:
    """A public key as openssl reads it."""
    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_of(text: str) -> bytes:
    """The public key that a person gave: as a word, or as the name of a file that holds one, or PEM. BadKey."""
    if text.startswith(WORD):
        return _of_word(text, text)
    try:
        with Path(text).open("rb") as stream:
            data = stream.read(MAX_FILE)
    except OSError as error:
        raise BadKey(f"{text}: neither a key ({WORD}...) nor a file: {error.strerror}") from error
    if data.startswith(WORD.encode()):
        return _of_word(data.decode("ascii", "replace").strip(), text)
    if b"PRIVATE KEY" in data:
        raise BadKey(f"{text}: a private key: give the public one, as `guard evidence key` prints it")
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey(f"{text}: not a public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadKey(f"{text}: not an Ed25519 key")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _of_word(text: str, name: str) -> bytes:
    try:
        public = base64.b64decode(text.removeprefix(WORD), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKey(f"{name}: not a public key: no Base64 after {WORD}") from error
    if len(public) != 32:
        raise BadKey(f"{name}: not a public key: {len(public)} octets in place of 32")
    return public


def good(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is the key's over the message."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def checker(path: Path) -> Callable[[Signed], str]:
    """What looks at the signatures of a log's checkpoints: by the key in a file, where that can be read; else all by
    one key, whichever it is."""
    try:
        trusted = load(path).public
    except BadKey:
        trusted = b""

    def check(one: Signed) -> str:
        nonlocal trusted
        if not good(one.key, one.message, one.signature):
            return "forged: the signature is not the key's"
        trusted = trusted or one.key
        return "" if one.key == trusted else f"signed by another key: {word(one.key)}"

    return check
