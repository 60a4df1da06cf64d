"""baresip as a phone or an exchange: it is told what to do, and tells what happens, over its control port (ctrl_tcp).

Without a sound card: it plays a tone of its own to nobody. It says at once what its SIP does; nothing is polled.
"""

from __future__ import annotations

import itertools
import json
import socket
import time
from pathlib import Path
from typing import Any, Final, Literal

from sim.ports import free_port
from tests.peers.process import Program

Event = dict[str, Any]  # as baresip writes it: type, id, param, ...
PATIENCE: Final = 15.0  # seconds for something to happen
MODULES: Final = "/usr/lib/baresip/modules"

# As docs/integrations.md has them.
ACCOUNT: Final = (
    "<sip:{user}@{domain};transport={transport}>;auth_pass={password};"
    'outbound="sip:{server};transport={transport}";regint={seconds}'
)
CERTIFICATES: Final = "sip_cafile {ca}\nsip_certificate {certificate}\n"
CONFIG: Final = """\
poll_method epoll
sip_listen {host}:{port}
{certificates}call_local_timeout 60
call_max_calls 8
audio_player aubridge,{host}
audio_source aubridge,{host}
audio_alert aubridge,alert
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
audio_buffer 20-160
rtp_ports {rtp}-{rtp_last}
net_interface {host}
module_path {modules}
module g711.so
module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app ctrl_tcp.so
module_app menu.so
ctrl_tcp_listen {host}:{control}
"""

_tokens = itertools.count(1)


class Baresip(Program):
    """A running phone with one account.

    `user` is its number, `server` where it sends everything (`host:port`), `registers` for how many seconds it
    registers (0: not at all), `answers` how it takes calls.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        user: str,
        server: str,
        *,
        domain: str = "",
        transport: Literal["udp", "tcp", "tls"] = "udp",
        registers: int = 0,
        answers: Literal["auto", "manual"] = "manual",
        password: str = "secret",
        ca: Path | None = None,
        certificate: Path | None = None,
    ) -> None:
        self.host, self.user, self.port = host, user, free_port(host)
        self.transport = transport
        self.domain = domain or server
        control = free_port(host)
        home = folder / f"baresip-{user.strip('+')}-{self.port}"
        home.mkdir()
        rtp = free_port(host) & ~1
        settings = {
            "host": host,
            "port": self.port,
            "control": control,
            "modules": MODULES,
            "rtp": rtp,
            "rtp_last": rtp + 20,
            "certificates": CERTIFICATES.format(ca=ca, certificate=certificate) if certificate is not None else "",
        }
        (home / "config").write_text(CONFIG.format(**settings), encoding="utf-8")
        (home / "contacts").write_text("", encoding="utf-8")
        account = ACCOUNT.format(
            user=user,
            domain=self.domain,
            transport=transport,
            password=password,
            server=server,
            seconds=registers,
        )
        account += f";answermode={answers};audio_codecs=pcmu"
        (home / "accounts").write_text("", encoding="utf-8")
        super().__init__(f"baresip-{user.strip('+')}", "baresip", "baresip-core", ["-4", "-f", str(home), "-s"], folder)
        self._held = b""
        self.events: list[Event] = []
        self._next = 0
        self._control = socket.socket()
        try:
            self.wait(lambda: self._control.connect_ex((host, control)) == 0, "control port")
            self.does("uanew", account)  # only now: what it tells of its registration is heard
            if registers:
                self.hears("REGISTER_OK")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._control.close()
        super().stop()

    def does(self, command: str, params: str = "") -> str:
        """Give a command of its menu, and return what it answered. Fails when it refuses."""
        token = str(next(_tokens))
        body = json.dumps({"command": command, "params": params, "token": token}).encode()
        self._control.sendall(b"%d:%s," % (len(body), body))
        until = time.monotonic() + PATIENCE
        while True:
            said = self._read(until, f"answer to {command}")
            if said.get("response") and said.get("token") == token:
                assert said["ok"], f"{command} {params}: {said}; {self.said()}"
                return str(said.get("data", ""))
            self.events.append(said)

    def hears(self, kind: str, patience: float = PATIENCE) -> Event:
        """The next event of this type; those before it are passed over."""
        until = time.monotonic() + patience
        while True:
            while self._next < len(self.events):
                event = self.events[self._next]
                self._next += 1
                if event.get("type") == kind:
                    return event
            self.events.append(self._read(until, kind))

    def dial(self, number: str) -> None:
        """Call a number of the account's domain."""
        self.does("dial", f"sip:{number}@{self.domain}")

    def _read(self, until: float, what: str) -> Event:
        """One message: a netstring of JSON."""
        while True:
            head, colon, rest = self._held.partition(b":")
            if colon and len(rest) > int(head):
                self._held = rest[int(head) + 1 :]
                return json.loads(rest[: int(head)])  # type: ignore[no-any-return]
            self._control.settimeout(max(0.01, until - time.monotonic()))
            try:
                got = self._control.recv(65_536)
            except TimeoutError:
                seen = [(e.get("type"), e.get("param")) for e in self.events]
                raise AssertionError(f"no {what} in time; {seen}; {self.said()}") from None
            assert got, f"it closed its control port before {what}; {self.said()}"
            self._held += got
