"""What may be asked for by who sees numbers masked: only what the masks show. Pure.

Else a mask could be undone, by filtering for one ending after another until a call is found. What is asked for may
always be named by a call that has it (`#123`): that tells nothing that the call's own page does not.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from msgspec.structs import replace

from guard.ledger.masking import HIDDEN, MARK, SHORTEST, masked
from guard.store.contract import Query
from guard.store.reader import Detail, SqliteReader
from guard.wanted import Mistake, Wanted
from guard.web.problems import Refused

Field = Literal["caller", "callee", "line"]
FIELDS: Final[tuple[Field, ...]] = ("caller", "callee", "line")
BY_CALL: Final = re.compile(r"#([0-9]{1,18})\Z", re.ASCII)
# Digits of a whole number behind these codes, of which all but the last four are shown. Of others it is not known how
# long they are: what every mask shows of them is what the shortest number shows.
LENGTHS: Final = {"+33": 11, "+262": 12, "+590": 12, "+594": 12, "+596": 12}
LEAST: Final = SHORTEST - HIDDEN
WHOLE: Final = "what hides behind the mask takes the role privacy: a beginning that the mask shows (0145*), or #SEQ"
MASKED: Final = "numbers are masked, so only a beginning that the mask shows (0145*) or #SEQ; or ask with numbers=full"


def visible(field: Field, word: str) -> bool:
    """Whether a filter, as records have it, asks only for what masks show."""
    if not word.endswith(MARK):
        return masked(word) == word
    beginning = word[:-1]
    code = next((c for c in LENGTHS if beginning.startswith(c)), "") if field != "line" else ""
    most = LENGTHS[code] - HIDDEN if code else LEAST
    return sum(char.isdigit() for char in beginning) <= most


def check(field: Field, word: str, *, privacy: bool) -> None:
    """Refused (403) for a filter that looks behind the mask. `privacy` is whether its reader may see numbers and has
    chosen not to."""
    if not visible(field, word):
        raise Refused(403, f"{field}: {MASKED if privacy else WHOLE}", (field, MASKED if privacy else WHOLE))


def check_query(query: Query, *, privacy: bool) -> None:
    """The same for every filter of a query."""
    for field in FIELDS:
        check(field, getattr(query, field), privacy=privacy)


def split(wanted: Wanted) -> tuple[Wanted, dict[Field, int]]:
    """Filters without those that name a call (`#123`: the same caller, callee or line as call 123), and these."""
    calls: dict[Field, int] = {}
    for field in FIELDS:
        found = BY_CALL.match(getattr(wanted, field) or "")
        if found is not None:
            calls[field] = int(found.group(1))
    return replace(wanted, **dict.fromkeys(calls)), calls


def value_of(reader: SqliteReader, field: Field, seq: int) -> str:
    """The caller, callee or line of a call. Mistake where there is no such call, or it has none that can be asked
    for."""
    detail = detail_of(reader, seq)
    if detail is None:
        raise Mistake(field, f"#{seq} is no call of this log")
    value: str = getattr(detail.record, field)
    if not value or value.endswith(MARK):
        raise Mistake(field, f"#{seq} has none that can be asked for")
    return value


def detail_of(reader: SqliteReader, seq: int) -> Detail | None:
    """A call by the number of its record, or of its end."""
    entry = reader.entry(seq)
    if entry is not None and entry.kind == "end" and entry.call is not None:
        seq = entry.call
    return next(reader.of([seq]), None)
