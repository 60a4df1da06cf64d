"""Started by test_follow: a process that writes a log as it is told on standard input, and answers when it is done."""

from __future__ import annotations

import sys
from typing import cast

from guard.model import Verdict
from guard.store.sqlite import SqliteWriter
from tests.store.making import attempt, decision, ended, finding


def main() -> None:
    """Commands: `decide VERDICT [LINE]`, `end SEQ`, `flush`; several to a line, split by `;`, are one group."""
    writer = SqliteWriter(sys.argv[1], site="hq")
    n = 0
    for line in sys.stdin:
        with writer._reading:  # so that all of one line is committed at once
            for command in line.split(";"):
                match command.split():
                    case ["decide", verdict, *rest]:
                        n += 1
                        call = attempt(n, line=rest[0] if rest else "200")
                        findings = [] if verdict == "allowed" else [finding("cli.premium")]
                        writer.decided(call, decision(cast("Verdict", verdict), *findings), None)
                    case ["end", seq]:
                        writer.ended(int(seq), ended())
        writer.flush()
        print("done", flush=True)
    writer.close()


if __name__ == "__main__":
    main()
