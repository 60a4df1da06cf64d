"""Names for tests: a table of records that answers like a server, and a name server on loopback that serves it."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from guard.net.dns import DnsError, Kind, Pointer, Records, Service

TTL = 300


class Table:
    """Records by name and kind; `broken` names get no answer. `asked` is what was asked for."""

    def __init__(self, **records: list[object]) -> None:
        self.rows: dict[tuple[str, str], list[object]] = {}
        self.ttl: dict[tuple[str, str], int] = {}
        self.broken: set[str] = set()
        self.asked: list[str] = []
        for key, rows in records.items():
            self.rows["trunk.example", key.upper()] = rows

    def put(self, name: str, kind: Kind, *rows: object, ttl: int = TTL) -> Table:
        self.rows[name, kind] = list(rows)
        self.ttl[name, kind] = ttl
        return self

    def ask(self, name: str, kind: Kind) -> Records:
        self.asked.append(f"{kind} {name}")
        if name in self.broken:
            raise DnsError(f"{kind} of {name}: nobody answers")
        return Records(tuple(self.rows.get((name, kind), ())), self.ttl.get((name, kind), TTL))


def srv(target: str, port: int = 5060, *, priority: int = 10, weight: int = 0) -> Service:
    return Service(priority, weight, port, target)


def naptr(order: int, service: str, replacement: str, *, preference: int = 0, flags: str = "s") -> Pointer:
    return Pointer(order, preference, flags, service, replacement)


class NameServer:
    """A name server on a free UDP port of loopback, in a thread of its own. `zone` is `name TTL TYPE data` lines."""

    def __init__(self, zone: str = "", host: str = "127.0.0.1") -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((host, 0))
        self.address: tuple[str, int] = self._sock.getsockname()
        self._lines: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.silent = False
        self.rcode = dns.rcode.NOERROR
        self.asked: list[str] = []
        self.serve(zone)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def serve(self, zone: str) -> None:
        """Serve these records from now on."""
        lines: dict[tuple[str, str], tuple[int, list[str]]] = {}
        for line in zone.strip().splitlines():
            name, ttl, kind, data = line.split(None, 3)
            lines.setdefault((name, kind), (int(ttl), []))[1].append(data)
        self._lines = lines

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sock.sendto(b"", self.address)
        self._thread.join(5)
        self._sock.close()

    def _run(self) -> None:
        while True:
            data, peer = self._sock.recvfrom(4096)
            if not data:
                return
            if not self.silent:
                self._sock.sendto(self._answer(data), peer)

    def _answer(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = question.rdtype.name
        self.asked.append(f"{kind} {name}")
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA | dns.flags.AA
        response.set_rcode(self.rcode)
        found = self._lines.get((name, kind))
        if found is not None and self.rcode == dns.rcode.NOERROR:
            response.answer.append(dns.rrset.from_text_list(question.name, found[0], "IN", kind, found[1]))
        elif not any(n == name for n, _ in self._lines) and self.rcode == dns.rcode.NOERROR:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()
