"""Parts of the guard that are made from a configuration: its addresses, its log."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from guard.config import Config
from guard.net.say import LOG
from guard.policy.load import Policy
from guard.proxy.effects import Address, Transport
from guard.store import aside
from guard.store.bookfile import damage_of, path_of
from guard.store.books import FILES, folder_of
from guard.store.errors import StoreDamaged, StoreError
from guard.store.schema import MEMORY
from guard.store.sqlite import SqliteWriter

SECRET_BYTES: Final = 32  # of the key that signs registered Contacts: more than its MACs have
OTHERS: Final = 0o077  # bits of a mode that let others in


def listens(config: Config) -> tuple[tuple[Transport, str, int], ...]:
    """Where a configuration says to listen, UDP first."""
    every: tuple[tuple[Transport, tuple[Address, ...]], ...] = (
        ("udp", config.udp),
        ("tcp", config.tcp),
        ("tls", config.tls),
    )
    return tuple((transport, host, port) for transport, addresses in every for host, port in addresses)


def open_store(config: Config, policy: Policy) -> SqliteWriter:
    """The log of a configuration, with the key that signs for it, made at the first start. Raises StoreError.

    A log of ours that is damaged is kept aside and a new one begun: calls, also emergency calls, must not wait for
    somebody to mend a file. A file that is no database is set aside only where a guard has written it before. So are
    the books beside it: nothing could be shut off or entered any more.
    """
    path = config.store_path
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = aside.kept(path) if aside.marked(path) else ""
    ours = aside.written(path)
    try:
        store = _opened(config, policy)
    except StoreDamaged as error:
        if not ours:
            raise
        LOG.error("%s", error)
        kept = aside.kept(path)
        store = _opened(config, policy)
    if kept:
        store.replaces[str(path)] = kept
        LOG.error("%s: damaged: kept as %s, and a new log is begun; `guard log --verify` on it tells more", path, kept)
    if ours and str(path) != MEMORY:
        _keep_books(store)
    return store


def _keep_books(store: SqliteWriter) -> None:
    """Keep the books beside the log aside where they are damaged, with the letters that only they name."""
    damage = damage_of(store.path)
    if not damage:
        return
    LOG.error("%s", damage)
    books, letters = Path(path_of(store.path)), folder_of(store.path)
    kept = store.replaces[str(books)] = aside.beside(books)
    if letters.is_dir():
        letters.rename(f"{kept}{FILES}")
    LOG.error(
        "%s: damaged: kept as %s with its letters, and new books are begun: whom only these had shut off is so no more;"
        " put the last copy back",
        books, kept,
    )  # fmt: skip


def _opened(config: Config, policy: Policy) -> SqliteWriter:
    from guard.evidence.keys import BadKey, load_or_make  # 50 ms, in vain for a replay

    try:
        key, _ = load_or_make(config.key_path)
    except BadKey as error:
        raise StoreError(str(error)) from error
    return SqliteWriter(
        config.store_path,
        site=config.site,
        durability=config.file.store.durability,
        money=policy.figures,
        signer=key,
    )


def contact_secret(config: Config) -> bytes:
    """The key that signs the Contacts which the guard registers at operators: a file beside the log (`-contacts` added
    to its name), made at the first start. It has to outlast a restart, since registrars keep what it signed. Raises
    StoreError."""
    path = config.store_path.with_name(config.store_path.name + "-contacts")
    try:
        if not path.exists():
            make(path, secrets.token_bytes(SECRET_BYTES))
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(SECRET_BYTES + 1)
    except OSError as error:
        why = f"{path}: the key of registered contacts: {error.strerror}"
        raise StoreError(why) from error
    if mode & OTHERS:
        why = f"{path}: others can read this key (mode {mode & 0o777:o}): chmod 600 it, or remove it for a new one"
        raise StoreError(why)
    if len(secret) != SECRET_BYTES:
        why = (
            f"{path}: not a key of {SECRET_BYTES} bytes; remove it, and the next registrations are signed by a new one"
        )
        raise StoreError(why)
    return secret


def make(path: Path, data: bytes) -> None:
    """A file of mode 0600, whole or not at all; one that is there already stays. Raises OSError."""
    import tempfile  # with compression and more: only at a first start

    fd, draft = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
