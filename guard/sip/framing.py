"""Messages out of a stream (RFC 3261 18.3, RFC 5626 4.4.1): by Content-Length, within limits, however it is cut."""

from __future__ import annotations

import re
from typing import Final

MAX_HEAD: Final = 64 * 1024  # bytes up to the empty line: four times what the longest SIP head seen has
MAX_BODY: Final = 512 * 1024  # bytes; SDP has a few kilobytes, and pictures in MESSAGE fit
PING: Final = b"\r\n\r\n"  # what a client sends to keep a connection; the answer is one CRLF
PONG: Final = b"\r\n"

_LENGTH: Final = re.compile(
    rb"^(?:content-length|l)[ \t]*:[ \t]*(?:\r\n[ \t]+)?(\d{1,10})[ \t]*\r\n(?![ \t])", re.IGNORECASE | re.MULTILINE
)
_NAMED: Final = re.compile(rb"^(?:content-length|l)[ \t]*:", re.IGNORECASE | re.MULTILINE)


class Unframeable(ValueError):
    """A stream in which no message end can be found any more.

    `head` is what came of the message, for an answer; `items` what was whole before it, in the same bytes.
    """

    def __init__(self, reason: str, head: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.head = head
        self.items: list[bytes | KeepAlive] = []


class KeepAlive:
    """A double CRLF between messages: to be answered by a single one."""

    __slots__ = ()


KEEP_ALIVE: Final = KeepAlive()


class StreamFramer:
    """Cuts one stream into messages. Holds at most one message's bytes."""

    __slots__ = ("_buffer", "_need", "_scanned")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # how far the buffer is known to hold no empty line
        self._need = 0  # length of the message under way, once its head is there

    @property
    def pending(self) -> int:
        """Bytes of an unfinished message."""
        return len(self._buffer)

    def pong(self) -> bool:
        """Whether a single CRLF is all that is there: the answer to a ping, which is taken off."""
        if self._buffer != PONG:
            return False
        self._buffer.clear()
        return True

    def feed(self, data: bytes) -> list[bytes | KeepAlive]:
        """What is whole now, in order. Raises Unframeable, which has the items before the break."""
        self._buffer += data
        out: list[bytes | KeepAlive] = []
        try:
            self._cut(out)
        except Unframeable as error:
            error.items = out
            raise
        return out

    def _cut(self, out: list[bytes | KeepAlive]) -> None:
        buffer = self._buffer
        while buffer:
            if not self._need:
                if buffer[0] in b"\r\n":
                    if not self._skip_breaks(out):
                        break
                    continue
                if not self._find_head():
                    break
            if len(buffer) < self._need:
                break
            out.append(bytes(buffer[: self._need]))
            del buffer[: self._need]
            self._need = self._scanned = 0

    def _skip_breaks(self, out: list[bytes | KeepAlive]) -> bool:
        """Take CRLFs between messages off; False when more bytes are needed to tell a ping from a single one."""
        buffer = self._buffer
        if buffer[:4] == PING:
            del buffer[:4]
            out.append(KEEP_ALIVE)
            return True
        if len(buffer) < 4 and PING.startswith(bytes(buffer)):
            return False
        n = 2 if buffer[:2] == b"\r\n" else 1
        del buffer[:n]
        return True

    def _find_head(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self._scanned = len(buffer)
            if len(buffer) > MAX_HEAD + 3:  # the end is not within the limit any more, wherever the stream was cut
                raise Unframeable("head too long")
            return False
        if end > MAX_HEAD:
            raise Unframeable("head too long")
        head = bytes(buffer[: end + 4])
        lengths = {int(n) for n in _LENGTH.findall(head)}
        if len(lengths) != 1 or len(_NAMED.findall(head)) != len(_LENGTH.findall(head)):
            raise Unframeable("no Content-Length" if not lengths else "Content-Length in doubt", head)
        length = lengths.pop()
        if length > MAX_BODY:
            raise Unframeable("body too long", head)
        self._need = end + 4 + length
        return True
