"""Started by test_crash: writes without end, and tells each entry's number as soon as its commit is reported."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from guard.store.sqlite import SqliteWriter
from tests.store.making import attempt, decision, ended, finding
from tests.store.making_log import DIGITS


def tell(box: list[int], error: BaseException | None) -> None:
    """To the parent, past every buffer of this process."""
    os.write(1, b"%d %d\n" % (box[0], error is None))


def main() -> None:
    writer = SqliteWriter(Path(sys.argv[1]), site="hq", money={"operator": DIGITS})
    n = 0
    while True:
        box: list[int] = [0]
        blocked = decision("blocked", finding("cli.premium"))
        call = attempt(n, caller=f"+331456{n % 1000:05d}")
        box[0] = writer._seq + 1
        seq = writer.decided(call, blocked, partial(tell, box))
        writer.ended(seq, ended("blocked"))
        n += 1
        if writer.pending > 200:
            writer.flush()


if __name__ == "__main__":
    main()
