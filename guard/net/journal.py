"""What the daemon says, as systemd's journal keeps it: with a priority, and with fields that `journalctl` finds it by.

The journal's own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram of `KEY=value` lines. Values are made
harmless, as everything is that we say, so that none begins another field.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Final

from guard.model import CallAttempt, CallEnded, Decision
from guard.net.say import Line, Voice, harmless
from guard.store.contract import Writer

STREAM: Final = "JOURNAL_STREAM"  # device:inode of the standard error that systemd gave us (systemd.exec(5))
ADDRESS: Final = "/run/systemd/journal/socket"
NAME: Final = "guard"


def here() -> bool:
    """Whether our standard error is the journal: not of a shell that inherited the variable, and not a file."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return os.environ.get(STREAM) == f"{found.st_dev}:{found.st_ino}"


def priority(level: int) -> int:
    """A level of Python's logging as one of syslog(3)."""
    if level >= logging.CRITICAL:
        return 2
    if level >= logging.ERROR:
        return 3
    if level >= logging.WARNING:
        return 4
    return 6 if level >= logging.INFO else 7


class Journal(logging.Handler):
    """Sends each record to the journal. Where the journal does not take it, it goes to standard error with its priority
    in front (sd-daemon(3)), which is the journal's as well."""

    def __init__(self, address: str = ADDRESS) -> None:
        super().__init__()
        self.setFormatter(Line(plain=True))
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        level, text = priority(record.levelno), self.format(record)
        fields = {"MESSAGE": text, "PRIORITY": str(level), "SYSLOG_IDENTIFIER": NAME}
        if record.exc_info and record.exc_info[0] is not None:
            fields["GUARD_ERROR"] = record.exc_info[0].__name__
        fields |= getattr(record, "fields", {})
        data = "".join(f"{key}={harmless(value)}\n" for key, value in fields.items())
        try:
            self._socket.sendto(data.encode("utf-8", "replace"), self._address)
        except OSError:
            print(f"<{level}>{text}", file=sys.stderr, flush=True)  # noqa: T201 - what systemd reads instead

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        super().close()


class TellingLog:
    """A log that tells the journal whom it refused: by rule five lines a minute, as of everything (`Voice`). Who called
    whom stays in the log: the journal gets what leads there."""

    def __init__(self, log: Writer, voice: Voice) -> None:
        self._log = log
        self._voice = voice

    def decided(
        self, call: CallAttempt, decision: Decision, done: Callable[[BaseException | None], None] | None
    ) -> int:
        """See `store.contract.Writer`."""
        seq = self._log.decided(call, decision, done)
        if decision.verdict == "blocked":
            fields = {
                "GUARD_CALL_ID": call.call_id,
                "GUARD_RULE": decision.rule,
                "GUARD_RECORD": str(seq),
                "GUARD_TRUNK": call.trunk,
                "GUARD_SOURCE": call.source,
            }
            self._voice.note(f"refused by {decision.rule}", f"record {seq}", fields)
        return seq

    def ended(self, seq: int, ended: CallEnded) -> None:
        """See `store.contract.Writer`."""
        self._log.ended(seq, ended)

    def close(self) -> None:
        """See `store.contract.Writer`."""
        self._log.close()
