"""A real mosquitto for a test, in a folder of its own, stopped by its number; and who listens to it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from sim.ports import free_port

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0  # s until what a test waits for has not come
PROGRAM: Final = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Broker:
    """One mosquitto. `more` are lines of its configuration; what it keeps for others outlives a `stop`."""

    def __init__(self, folder: Path, *more: str) -> None:
        assert PROGRAM is not None, "mosquitto is missing: apt-get install mosquitto"
        self.folder = folder
        self.port = free_port(HOST)
        self.url = f"mqtt://{HOST}:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        lines = (
            f"listener {self.port} {HOST}",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
            f"log_dest file {folder}/mosquitto.log",
            "log_type all",
            *(more or ("allow_anonymous true",)),
        )
        if os.geteuid() == 0:
            lines = ("user root", *lines)
        self.file = folder / "mosquitto.conf"
        self.file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert PROGRAM is not None
        self.process = subprocess.Popen([PROGRAM, "-c", str(self.file)], stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < until, self.said()
                assert self.process.poll() is None, self.said()
                time.sleep(0.02)
            else:
                return

    def said(self) -> str:
        """Its log."""
        path = self.folder / "mosquitto.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def pause(self) -> None:
        """It hangs: connections stay, and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None


class Heard(Struct, frozen=True):
    """One message as it arrived."""

    topic: str
    payload: bytes
    retained: bool
    content_type: str = ""

    @property
    def event(self) -> dict[str, object]:
        """The CloudEvent."""
        found = msgspec.json.decode(self.payload)
        assert isinstance(found, dict)
        return found

    @property
    def id(self) -> str:
        """Its id; the payload where it is no event."""
        return str(self.event["id"]) if self.payload[:1] == b"{" else self.payload.decode()


class Listener:
    """A subscriber of everything, with a session that the broker keeps while it is away."""

    def __init__(self, broker: Broker, name: str = "listener", topic: str = "#") -> None:
        self.heard: list[Heard] = []
        self._news = threading.Condition()
        self._ready = threading.Event()
        self._topic = topic
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv311, clean_session=False
        )
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._message
        self._client.on_disconnect = self._gone
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(HOST, broker.port, keepalive=5)
        self._client.loop_start()
        assert self._ready.wait(PATIENCE)

    def _connected(
        self, client: Client, _user: object, _flags: ConnectFlags, _why: ReasonCode, _more: Properties | None
    ) -> None:
        client.subscribe(self._topic, qos=1)

    def _gone(
        self, _client: Client, _user: object, _flags: DisconnectFlags, _why: ReasonCode, _more: Properties | None
    ) -> None:
        self._ready.clear()

    def _message(self, _client: Client, _user: object, message: MQTTMessage) -> None:
        with self._news:
            self.heard.append(Heard(message.topic, bytes(message.payload), message.retain))
            self._news.notify_all()

    def until(self, enough: object, patience: float = PATIENCE) -> list[Heard]:
        """Wait until `enough` (of what was heard) is true; all that was heard."""
        assert callable(enough)
        with self._news:
            assert self._news.wait_for(lambda: enough(self.heard), patience), [h.id for h in self.heard][-20:]
            return list(self.heard)

    def events(self, kind: str = "") -> list[Heard]:
        """The events heard so far, of one kind."""
        return [h for h in list(self.heard) if h.payload[:1] == b"{" and f"/{kind}" in h.topic]

    def close(self) -> None:
        """Go away; the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()


def first_ids(heard: list[Heard]) -> list[str]:
    """Ids in the order in which each was first heard; a repetition must say the same."""
    seen: dict[str, bytes] = {}
    for one in heard:
        assert seen.setdefault(one.id, one.payload) == one.payload, f"{one.id} says two things"
    return list(seen)
