"""cli.automated-range."""

from __future__ import annotations

from typing import Final

import pytest

from guard.model import CallAttempt
from tests.deciding import MAIN, MOBILE, PLATFORM, call
from tests.rules.table import Row, check

RULE: Final = "cli.automated-range"
VERIFIED: Final = ("0162", "0163", "0270", "0271", "0377", "0378", "0424", "0425", "0568", "0569", "0948", "0949")
LAWFUL_ELSEWHERE: Final = (  # by the public plan, on a trunk whose contract names no roots
    "0947512345", "0947612345", "0947712345", "0947812345", "0947912345", "0937123456", "0938123456", "0939012345",
    "0939412345", "0939512345", "0939912345", "0800123456", "0809999999", "3000", "3199",
)  # fmt: skip
NEVER: Final = (
    "0161999999",
    "0164000000",
    "0947012345",
    "0950000000",
    "0145678900",
    "0810123456",
    "3949",
    "0937",
    "0936123456",
)
ACCEPTED: Final = '\n[rules."cli.automated-range"]\naccepted = ["+3314567"]\n'


def robot(number: str, **more: object) -> CallAttempt:
    return call(number, usage=("automated",), **more)  # type: ignore[arg-type]


def bare(number: str) -> CallAttempt:
    return robot(number, source="branch")


ROWS: Final = (
    *(Row(name=f"{n} from its first number", rule=RULE, call=robot(n + "000000")) for n in VERIFIED),
    *(Row(name=f"{n} to its last", rule=RULE, call=robot(n + "999999")) for n in VERIFIED),
    *(Row(name=f"{n}: only on a trunk without a contract", rule=RULE, call=bare(n)) for n in LAWFUL_ELSEWHERE),
    *(Row(name=f"{n}: not by the contract", rule=RULE, call=robot(n), says=("other",)) for n in LAWFUL_ELSEWHERE),
    *(Row(name=f"{n}: nowhere", rule=RULE, call=bare(n), says=("other",)) for n in NEVER if n != "0937"),
    Row(name="a person may", rule=RULE, call=call(MAIN)),
    Row(name="a canvasser may", rule=RULE, call=call(MAIN, usage=("prospecting",))),
    Row(
        name="a robot that canvasses may not",
        rule=RULE,
        call=call(MAIN, usage=("automated", "prospecting")),
        says=("other",),
    ),
    Row(name="a mobile", rule=RULE, call=robot(MOBILE), says=("other",)),
    Row(name="asserted", rule=RULE, call=robot("0948123456", pai=(MAIN,)), says=("other",)),
    Row(name="both", rule=RULE, call=robot(MAIN, pai=("+33145678901",)), says=("other", "other")),
    Row(
        name="a platform's root, platform declared too",
        rule=RULE,
        call=call(PLATFORM, usage=("automated", "platform")),
        says=("platform",),
    ),
    Row(
        name="another root, platform declared too",
        rule=RULE,
        call=call(MAIN, usage=("automated", "platform")),
        says=("other",),
    ),
    Row(name="a platform's root, only automated", rule=RULE, call=robot(PLATFORM), says=("other",)),
    Row(name="nothing presented", rule=RULE, call=robot(""), says=("nothing",)),
    Row(name="withheld", rule=RULE, call=robot("anonymous"), says=("nothing",)),
    Row(name="withheld, verified asserted", rule=RULE, call=robot("anonymous", pai=("0948123456",))),
    Row(name="a name is no number", rule=RULE, call=robot("alice"), says=("nothing",)),
    Row(name="agreed with the operator", rule=RULE, call=robot(MAIN), more=ACCEPTED),
    Row(name="not agreed", rule=RULE, call=robot("0145688900"), says=("other",), more=ACCEPTED),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)
