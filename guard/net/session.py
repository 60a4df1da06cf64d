"""One TLS session without a socket: bytes of the wire in, bytes for the wire out, and the text between them.

The session is ours and not the loop's, so that a connection counts, and has its deadline, from its first byte on: a
handshake that never ends is one more connection that says nothing.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

from guard.net.tls import identities

PIECE: Final = 64 * 1024  # bytes read at once; a record holds at most 16 KiB
MAX_HANDSHAKE: Final = 128 * 1024  # bytes of a handshake: more than the longest chain of certificates in use


class Untrusted(Exception):
    """The other side is not who it has to be, or does not speak TLS; the text says why."""


class Session:
    """One session. With `names` it is the client's, and the certificate of the other side has to bear one of them."""

    def __init__(self, context: ssl.SSLContext, names: tuple[str, ...] = ()) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._wanted = names if context.verify_mode is ssl.CERT_REQUIRED else ()
        shown = next((n for n in names if not n.startswith(("*", "."))), None)
        self._tls = context.wrap_bio(self._in, self._out, server_side=not names, server_hostname=shown)
        self._handshake = 0  # bytes of it so far
        self.established = False
        self.ended = False  # the other side has said that it sends no more
        self.names: tuple[str, ...] = ()  # whom the other side's certificate names, if it was verified

    def begin(self) -> None:
        """The first step of a client. Raises Untrusted."""
        self._step()

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the wire; the text that they hold. Afterwards see `outgoing`. Raises Untrusted."""
        self._in.write(data)
        if not self.established:
            self._handshake += len(data)
            if self._handshake > MAX_HANDSHAKE:
                raise Untrusted("the handshake is too long")
            self._step()
            if not self.established:
                return b""
        out = bytearray()
        try:
            while piece := self._tls.read(PIECE):
                out += piece
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            raise Untrusted(_why(error)) from error
        return bytes(out)

    def _step(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLError, ValueError) as error:
            raise Untrusted(_why(error)) from error
        self.names = identities(self._tls.getpeercert())
        if self._wanted and not set(self._wanted) & set(self.names):
            has = ", ".join(self.names[:4]) or "nobody"
            raise Untrusted(f"the certificate is of {has}, not of {' or '.join(self._wanted)} (RFC 5922)")
        self.established = True

    def write(self, data: bytes) -> None:
        """Take text to send; see `outgoing`. Raises Untrusted where the session has broken."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._tls.write(rest) :]
        except ssl.SSLError as error:
            raise Untrusted(_why(error)) from error

    def close(self) -> None:
        """Tell the other side that nothing follows; see `outgoing`."""
        with suppress(ssl.SSLError, ValueError):  # it wants the other's farewell as well, or there was no session yet
            self._tls.unwrap()

    def outgoing(self) -> bytes:
        """Bytes for the wire, b"" for none."""
        return self._out.read() if self._out.pending else b""


def _why(error: Exception) -> str:
    """What went wrong, in words: OpenSSL's of the certificate, else its name of the error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return str(error) or type(error).__name__
