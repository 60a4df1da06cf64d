"""A connection to an MQTT broker, for the guard that sends alerts and for commands: who we are, TLS, and what goes
wrong in words. MQTT 5 where the broker speaks it, for its reasons; else 3.1.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from aiomqtt.exceptions import MqttConnectError
from msgspec import Struct
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from guard.net.say import harmless

if TYPE_CHECKING:
    from paho.mqtt.client import Client as PahoClient
    from paho.mqtt.client import ConnectFlags, SocketLike

PATIENCE: Final = 10.0  # s that the broker has for each answer
KEEPALIVE: Final = 20  # s of silence after which both sides ask whether the other lives
UNSUPPORTED: Final = 132  # reason: this version of the protocol
QUIET: Final = logging.getLogger("guard.mqtt")  # what the library says of its own; we say it in our words
QUIET.setLevel(logging.CRITICAL + 1)


class Outgoing(Struct, frozen=True):
    """One message. `topic` is what follows the site's; `place` rises from message to message."""

    place: int
    topic: str
    payload: bytes
    retain: bool


class Target(Protocol):
    """The broker, as the configuration says (guard/configmqtt.py)."""

    @property
    def host(self) -> str:
        """A name or an address, without brackets."""

    @property
    def port(self) -> int:
        """Its port."""

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""

    @property
    def site(self) -> str:
        """Who sends."""

    @property
    def topic(self) -> str:
        """What every topic begins with, the site included."""

    @property
    def username(self) -> str:
        """Empty for none."""

    @property
    def password(self) -> str:
        """As it stood in the URL."""

    @property
    def password_file(self) -> Path | None:
        """Where it stands else: its first line."""

    @property
    def ca(self) -> Path | None:
        """Whose certificates are good; None: those that the system knows."""

    @property
    def certificate(self) -> Path | None:
        """Ours, with its `key`."""

    @property
    def key(self) -> Path | None:
        """The key of `certificate`."""

    @property
    def shown(self) -> str:
        """As people are told of it."""


class Refused(MqttError):
    """The broker acknowledged a message by saying why it does not take it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Client(aiomqtt.Client):
    """aiomqtt's, that also hears what MQTT 5 says of each message (aiomqtt takes a refusal for a success), and how
    large one may be."""

    def __init__(self, *args: object, **named: object) -> None:
        self.refusal: ReasonCode | None = None
        self.largest = 0  # octets of a packet that the broker takes; 0: it does not say
        self._thread = threading.get_ident()
        super().__init__(*args, **named)  # type: ignore[arg-type]

    def _on_connect(
        self,
        client: PahoClient,
        userdata: object,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.largest = int(getattr(properties, "MaximumPacketSize", 0))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: PahoClient, userdata: object, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        if reason_code.is_failure:
            self.refusal = reason_code
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_socket_register_write(self, client: PahoClient, userdata: object, sock: SocketLike) -> None:
        """At once where the loop itself asks. aiomqtt always puts it off, since a thread that connects asks as well; by
        then the socket may be closed and its number be that of another file."""

        def later() -> None:
            if client.socket() is sock:
                watch()

        def watch() -> None:
            self._loop.add_writer(sock.fileno(), writable)

        def writable() -> None:
            try:
                client.loop_write()
            except Exception as error:  # noqa: BLE001 - it is told where the connection is waited for
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)

        if threading.get_ident() == self._thread:
            watch()
        else:
            self._loop.call_soon_threadsafe(later)

    async def abandon(self) -> None:
        """Close the connection, however far it came; a last will is sent where the broker speaks MQTT 5."""
        if self._client.socket() is not None:
            self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
            await asyncio.sleep(0)  # what was put off to the next turn is of a socket that is still open
            self._client.loop_write()
        left = self._client.socket()
        if left is not None:  # it takes nothing more, not even that
            loop = asyncio.get_running_loop()
            loop.remove_reader(left.fileno())
            loop.remove_writer(left.fileno())
            left.close()


TOO_LARGE: Final = 0x95
OVERHEAD: Final = 100  # octets of a PUBLISH beyond its topic and its payload, our one property included


def client_of(target: Target, identifier: str, protocol: ProtocolVersion, will: aiomqtt.Will | None = None) -> Client:
    """A client of this broker, not yet connected. OSError, with the file's name, for files that cannot be read."""
    password = target.password
    if target.password_file is not None:
        password = target.password_file.read_text("utf-8").partition("\n")[0].rstrip("\r")
    return Client(
        hostname=target.host,
        port=target.port,
        username=target.username or None,
        password=password or None,
        logger=QUIET,
        identifier=identifier,
        protocol=protocol,
        will=will,
        **{"clean_start": True} if protocol is ProtocolVersion.V5 else {"clean_session": True},
        timeout=PATIENCE,
        keepalive=KEEPALIVE,
        tls_context=_context(target) if target.tls else None,
        max_queued_incoming_messages=1_000,
    )


class _Socket(ssl.SSLSocket):
    """One that is closed when the other side is not who it should be: the library leaves it to the collector."""

    def do_handshake(self, block: bool = False) -> None:
        """See `ssl.SSLSocket`."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _context(target: Target) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=target.ca)
        context.sslsocket_class = _Socket
        if target.certificate is not None:
            context.load_cert_chain(target.certificate, target.key)
    except ssl.SSLError as error:
        files = ", ".join(str(p) for p in (target.ca, target.certificate, target.key) if p is not None)
        raise OSError(f"{files}: {error.reason or error}") from error
    return context


def why(error: Exception) -> str:
    """What is wrong with a connection, as people read it."""
    if isinstance(error, MqttConnectError):
        return f"it refuses us: {_reason(error.rc)}; see username and password_file of [mqtt]"
    if isinstance(error, Refused):
        return f"it refuses what we publish: {error}; does it let this user write there?"
    if isinstance(error, OSError):
        return harmless(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    text = str(error)
    if "timed out" in text:
        return "it does not answer"
    if "Disconnected during" in text:
        return "the connection was lost"
    return harmless(text.removeprefix("[code:7] ").removeprefix("[code:128] "))


def _reason(code: object) -> str:
    return str(code.getName()) if isinstance(code, ReasonCode) else str(code)


async def send_one(target: Target, identifier: str, message: Outgoing) -> None:
    """Have the broker take one message, now or not at all. MqttError or OSError: see `why`."""
    async with connected(target, identifier) as client:
        await client.publish(f"{target.topic}/{message.topic}", message.payload, 1, message.retain)
        if client.refusal is not None:
            raise Refused(client.refusal.value, client.refusal.getName())


@contextlib.asynccontextmanager
async def connected(target: Target, identifier: str) -> AsyncIterator[Client]:
    """A connection for as long as it lasts, in the version of the protocol that the broker speaks."""
    protocol = ProtocolVersion.V5
    async with contextlib.AsyncExitStack() as stack:
        while True:
            client = client_of(target, identifier, protocol)
            stack.push_async_callback(client.abandon)
            try:
                await client.__aenter__()
            except MqttConnectError as error:
                if protocol is ProtocolVersion.V311 or not unsupported(error):
                    raise
                protocol = ProtocolVersion.V311
            else:
                break
        yield client


def unsupported(error: MqttConnectError) -> bool:
    code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
    return bool(code == UNSUPPORTED)
