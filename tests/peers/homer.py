"""Kamailio as a Homer: its sipcapture reads HEPv3, as those do. It stores nothing, and says what it understood."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

from tests.peers.process import Program, answers_options

PATIENCE: Final = 10.0  # seconds
CONF: Final = """\
#!KAMAILIO
debug=2
log_stderror=yes
children=1
listen=udp:{host}:{port}
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "db_text.so"
loadmodule "sipcapture.so"
modparam("sipcapture", "db_url", "text://{tables}")
modparam("sipcapture", "capture_on", 1)
modparam("sipcapture", "hep_capture_on", 1)
modparam("sipcapture", "nonsip_hook", 1)
event_route[sipcapture:request] {{
    xlog("L_NOTICE", "hep|{chunks}|.\\n");
}}
request_route {{
    sl_send_reply("200", "OK");
}}
"""
# HEPv3's chunks by number: type, source, destination, seconds, microseconds, agent, key, correlation, payload.
CHUNKS: Final = (0x0B, 0x03, 0x07, 0x04, 0x08, 0x09, 0x0A, 0x0C, 0x0E, 0x11, 0x0F)
ENTRY: Final = re.compile(rf"hep\|3\|{'([^|]*)[|]' * (len(CHUNKS) - 1)}(.*?)\|\.\n", re.DOTALL)
TABLES: Final = "table_name(str) table_version(int)\nsip_capture:4\n"


class Mirrored(Struct, frozen=True):
    """One packet as Kamailio understood it: `kind` is 1 for SIP and 100 for a log entry; `at` is microseconds."""

    kind: int
    src: tuple[str, int]
    dst: tuple[str, int]
    at: int
    agent: int
    key: str
    correlation: str
    payload: str


class Homer(Program):
    """A running collector."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        own = folder / "homer"
        (own / "tables").mkdir(parents=True)
        (own / "tables" / "version").write_text(TABLES, encoding="ascii")
        chunks = "|".join(["$hep(version)", *(f"$hep(0x{n:03x})" for n in CHUNKS)])
        text = CONF.format(host=host, port=port, tables=own / "tables", chunks=chunks)
        (own / "kamailio.cfg").write_text(text, encoding="ascii")
        words = ["-DD", "-E", "-m", "16", "-M", "4", "-f", str(own / "kamailio.cfg"), "-Y", str(own)]
        super().__init__("homer", "kamailio", "kamailio", [*words, "-P", str(own / "pid")], own)
        self.wait(lambda: answers_options(host, port), "answer to OPTIONS")

    def heard(self, packets: int) -> list[Mirrored]:
        """All that came, once there are so many."""
        until = time.monotonic() + PATIENCE
        while len(found := ENTRY.findall(self.log.read_bytes().decode("utf-8", "replace"))) < packets:
            assert time.monotonic() < until, f"{len(found)} packets of {packets}; {self.said()}"
            time.sleep(0.05)
        return [_mirrored(chunks) for chunks in found]


def _mirrored(chunks: tuple[str, ...]) -> Mirrored:
    kind, src, src_port, dst, dst_port, seconds, micros, agent, key, correlation, payload = chunks
    at = int(seconds) * 1_000_000 + int(micros)
    return Mirrored(int(kind), (src, int(src_port)), (dst, int(dst_port)), at, int(agent), key, correlation, payload)
