"""`[refusal]` of guard.toml: how a refusal travels, and to whom a caller can turn that was refused in error.

603+ is the profile of 603 of ATIS-1000099: the phrase `Network Blocked`, and a Reason with a URL, number or address for
redress. 608 is RFC 8688: a Call-Info with a signed jCard of the same contacts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from guard import configschema as schema

PLUS: Final = 603
CARD: Final = 608
MAX_REASON: Final = 127  # see proxy/refuse.py, which this part of the project does not know
LONGEST_ID: Final = 19  # digits of the last record that SQLite can number

_URL: Final = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/?#&=%+@!$*,-]*)?\Z")
_TEL: Final = re.compile(r"\+[1-9][0-9]{4,14}\Z")
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&*+/=?^_{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\Z")
_FORMS: Final = {
    "url": (_URL, "an https URL without quotes, semicolons and spaces"),
    "tel": (_TEL, "a number in E.164 form, such as +33145678900"),
    "email": (_EMAIL, "an e-mail address"),
    "certificate_url": (_URL, "an https URL without quotes, semicolons and spaces"),
}

Tell = Callable[[list[str], str], None]


def statuses(file: schema.File) -> set[int]:
    """Every status that rules may refuse a call with, as guard.toml says."""
    return {file.refusal.status, *(r.status for r in file.rules.values() if r.status is not None)}


def check(file: schema.File, folder: Path, tell: Tell, warn: Callable[[str], None]) -> None:
    """Tell what is missing or wrong for the statuses that are asked for. Whether the key can be used is found out when
    it is read (guard/refusals.py)."""
    refusal, wanted = file.refusal, statuses(file)
    for name, (form, what) in _FORMS.items():
        value = getattr(refusal, name)
        if value and not form.match(value):
            tell(["refusal", name], f'"{value}" is not {what}')
    contacts = refusal.url or refusal.tel or refusal.email
    for status, why in ((PLUS, "ATIS-1000099"), (CARD, "RFC 8688 3.2.2")):
        if status in wanted and not contacts:
            tell(
                ["refusal"],
                f"{status} needs url, tel or email: whom a caller turns to who was refused in error ({why})",
            )
    if CARD in wanted:
        for name in ("key", "certificate_url"):
            if not getattr(refusal, name):
                tell(["refusal", name], "is missing: 608 is signed (RFC 8688 3.2)")
        if refusal.key and not (folder / refusal.key).is_file():
            tell(["refusal", "key"], f'"{refusal.key}": no such file in {folder.absolute()}')
    if PLUS in wanted:
        size = len(f'SIP;cause=603;text="{redress(refusal)};id=";location={refusal.location}') + LONGEST_ID
        if size > MAX_REASON:
            warn(f"refusal: the Reason of a 603 may be {size} octets: some IPBX pass on no more than {MAX_REASON}")


def redress(refusal: schema.Refusal) -> str:
    """The pairs of ATIS-1000099 that say where to turn to."""
    pairs: Iterable[tuple[str, str]] = (("url", refusal.url), ("tel", refusal.tel), ("email", refusal.email))
    return "v=analytics1" + "".join(f";{name}={value}" for name, value in pairs if value)
