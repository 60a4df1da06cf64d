"""What names the policies in force: a digest over every file of them, and over what guard.toml adds to the decision.

While the site's own limit of exposure is passed (`[ledger] enforce_above_day`, `enforce_above_month`) the same files
decide otherwise: rules on trial act. That is another policy, with a digest of its own.

The parts can be kept beside the log, so that the policy that a record names can be shown later, and checked. Of the
lists of `[prospecting]`, which hold people's numbers, only digests are part of it.
"""

from __future__ import annotations

from hashlib import file_digest, sha256
from typing import Final

import msgspec
from msgspec import Struct, structs

from guard.config import Config

DIGEST: Final = 32  # hexadecimal digits kept of the SHA-256: 128 bits tell any two policies apart
SUFFIXES: Final = frozenset({".toml", ".csv"})
ENFORCING: Final = b',"enforcing"]'  # the last of the settings while the limit is passed


class Parts(Struct, frozen=True, kw_only=True):
    """Everything that the digest is over: files by their path below the folder of policies, the SHA-256 (hexadecimal)
    of each list by its key, and the settings of guard.toml as canonical JSON."""

    files: dict[str, bytes]
    lists: dict[str, str]
    settings: bytes


def parts(config: Config) -> Parts:
    """The parts as they stand on disk now. Raises OSError."""
    found = sorted(p for p in config.policies.rglob("*") if p.suffix in SUFFIXES)
    lists: dict[str, str] = {}
    for name, path in sorted(config.lists.items()):
        with path.open("rb") as stream:
            lists[name] = file_digest(stream, "sha256").hexdigest()
    return Parts(
        files={p.relative_to(config.policies).as_posix(): p.read_bytes() for p in found},
        lists=lists,
        settings=_settings(config),
    )


def enforcing(made: Parts) -> Parts:
    """The same policy while the site's own limit is passed."""
    return structs.replace(made, settings=made.settings.removesuffix(b"]") + ENFORCING)


def digest(made: Parts) -> str:
    """The name of these policies, as records carry it."""
    found = sha256()
    for name, body in made.files.items():
        found.update(b"%s\0%d\0" % (name.encode(), len(body)))
        found.update(body)
    for name, hashed in made.lists.items():
        found.update(b"%s\0" % name.encode() + bytes.fromhex(hashed))
    found.update(made.settings)
    return f"sha256:{found.hexdigest()[:DIGEST]}"


def _settings(config: Config) -> bytes:
    file = config.file
    return msgspec.json.encode(
        (
            file.mode,
            file.timezone,
            file.trunk,
            file.source,
            file.usage,
            file.number,
            file.rules,
            file.site_rule,
            file.faults,
            file.prospecting,
            file.ledger.per_number,
            file.refusal.status,
        ),
        order="sorted",
    )
