"""cli.automated-mobile and cli.mobile-on-trunk."""

from __future__ import annotations

from typing import Final

import pytest

from tests.deciding import MAIN, MOBILE, STRANGERS, call
from tests.rules.table import Row, check

ROBOT: Final = ("automated",)
TRUNK: Final = "cli.mobile-on-trunk"
AUTO: Final = "cli.automated-mobile"
CONVERGENCE: Final = '\n[rules."cli.mobile-on-trunk"]\nconvergence = true\n'

MOBILES: Final = (
    "0600000000", "0699999999", "0710000000", "0743123456", "0799999999",
    "0690123456", "0691123456", "0709012345", "0694123456", "0709301234", "0709331234",
    "0696123456", "0697123456", "0709112345", "0639123456", "0692123456", "0693123456",
    "0709212345", "0709351234", "0709371234", "0708401234", "0708501234",
)  # fmt: skip
OTHERS: Final = (
    "0599999999", "0800000000", "07000123456789", "07004123456789", "0700512345678", "0700912345678",
    "0262123456", "0590123456",
)  # fmt: skip

ROWS: Final = (
    *(Row(name=f"{n} of a person", rule=TRUNK, call=call(n), says=("presented",)) for n in MOBILES),
    *(Row(name=f"{n} of a robot", rule=AUTO, call=call(n, usage=ROBOT), says=("presented",)) for n in MOBILES),
    *(Row(name=f"{n} is no mobile", rule=TRUNK, call=call(n)) for n in OTHERS),
    *(Row(name=f"{n} of a robot is no mobile", rule=AUTO, call=call(n, usage=ROBOT)) for n in OTHERS),
    Row(name="a person is not the robots' rule's", rule=AUTO, call=call(MOBILE)),
    Row(name="a robot is not the persons' rule's", rule=TRUNK, call=call(MOBILE, usage=ROBOT)),
    Row(name="held, all the same", rule=TRUNK, call=call(MOBILE), says=("presented",)),
    Row(name="asserted behind ours", rule=TRUNK, call=call(MAIN, pai=(MOBILE,)), says=("presented",)),
    Row(name="forwarded by us", rule=TRUNK, call=call("0611111111", diversion=(MAIN,)), says=("forwarded",)),
    Row(name="forwarded by others", rule=TRUNK, call=call("0611111111", diversion=(STRANGERS,)), says=("presented",)),
    Row(
        name="forwarded, inbound leg wanted",
        rule=TRUNK,
        call=call("0611111111", diversion=(MAIN,), source="branch"),
        says=("presented",),
    ),
    Row(
        name="forwarded by a robot: no exception",
        rule=AUTO,
        call=call("0611111111", diversion=(MAIN,), usage=ROBOT),
        says=("presented",),
    ),
    Row(name="convergence trunk", rule=TRUNK, call=call(MOBILE), more=CONVERGENCE),
    Row(
        name="convergence frees no robot",
        rule=AUTO,
        call=call(MOBILE, usage=ROBOT),
        says=("presented",),
        more=CONVERGENCE,
    ),
    Row(name="a foreign mobile is no number of the plan", rule=TRUNK, call=call("+447700900123")),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)
