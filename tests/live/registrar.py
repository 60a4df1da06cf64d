"""An operator that is a registrar (RFC 3261 10.3), with digest, and an IPBX that registers there; none has a clock."""

from __future__ import annotations

import re
import secrets
from typing import Final

from sim.agent import ClientTx, ServerTx
from sim.ipbx import Ipbx
from sim.link import Peer
from sim.trunk import PASSWORD, Trunk
from sim.wire import Headers, Sip, build, digest, param, proves, uri_of

DOMAIN: Final = "operator.example"
REALM: Final = f'Digest realm="{DOMAIN}", nonce="8d2f", algorithm=MD5'
MIN_EXPIRES: Final = 60
VALUES: Final = re.compile(r",(?=[^>]*(?:<|$))")  # commas between Contact values, and not within brackets


class Registrar(Trunk):
    """Keeps the contacts of each account, with their seconds and q, as they were registered."""

    def __init__(self) -> None:
        super().__init__()
        self.bindings: dict[str, dict[str, tuple[int, str]]] = {}
        self.registers: list[Sip] = []

    def on_request(self, tx: ServerTx) -> None:
        if tx.request.method == "REGISTER":
            self._register(tx)
        else:
            super().on_request(tx)

    def _register(self, tx: ServerTx) -> None:
        request = tx.request
        self.registers.append(request)
        credentials = request.get("authorization")
        if not credentials or not proves(credentials, "REGISTER", PASSWORD):
            tx.reply(401, headers=[("WWW-Authenticate", REALM)])
            return
        bound = self.bindings.setdefault(uri_of(request.get("to")), {})
        usual = request.get("expires")
        wanted = [v.strip() for line in request.all("contact") for v in VALUES.split(line)]
        for value in wanted:
            if value == "*":
                bound.clear()
                continue
            expires = int(param(value.rpartition(">")[2], "expires") or usual or 3600)
            if 0 < expires < MIN_EXPIRES:
                tx.reply(423, headers=[("Min-Expires", str(MIN_EXPIRES))])
                return
            if expires:
                bound[uri_of(value)] = (expires, param(value.rpartition(">")[2], "q") or "1")
            else:
                bound.pop(uri_of(value), None)
        shown: Headers = [("Contact", f"<{uri}>;expires={left};q={q}") for uri, (left, q) in bound.items()]
        tx.reply(200, headers=shown)

    def contacts(self, account: str) -> list[str]:
        """The contacts of an account, best first."""
        bound = self.bindings.get(f"sip:{account}@{DOMAIN}", {})
        return sorted(bound, key=lambda uri: -float(bound[uri][1]))

    async def ring(self, guard: tuple[str, int], account: str, caller: str) -> int:
        """Call an account at its best contact; the final status. 404 where it has none."""
        found = self.contacts(account)
        return await self.call(guard, caller, account, target=found[0]) if found else 404


class Account:
    """One account that an IPBX registers."""

    def __init__(self, pbx: Ipbx, user: str, transport: str = "udp") -> None:
        self.pbx = pbx
        self.aor = f"<sip:{user}@{DOMAIN}>"
        self.user = user
        self.transport = transport
        self.call_id = secrets.token_hex(8)
        self.cseq = 0
        self.proof = ""  # the credentials that were sent last

    async def register(self, *contacts: str, expires: str = "") -> Sip:
        """Register, with credentials where they are asked for; the final answer."""
        return await self._proved(contacts or (self.pbx.contact(self.user, self.transport),), expires)

    async def asks(self) -> Sip:
        """Ask what is registered (RFC 3261 10.2.3)."""
        return await self._proved((), "")

    async def _proved(self, contacts: tuple[str, ...], expires: str) -> Sip:
        answer = await self._send(contacts, expires, "")
        if answer.status == 401:
            challenge = answer.get("www-authenticate")
            self.proof = digest(challenge, "REGISTER", f"sip:{DOMAIN}", self.user, PASSWORD)
            answer = await self._send(contacts, expires, self.proof)
        return answer

    async def _send(self, contacts: tuple[str, ...], expires: str, credentials: str) -> Sip:
        self.cseq += 1
        peer = Peer(self.transport, *self.pbx.guard)
        headers: Headers = [
            ("Via", self.pbx.via(peer)),
            ("Max-Forwards", "70"),
            ("From", f"{self.aor};tag={self.call_id}"),
            ("To", self.aor),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self.cseq} REGISTER"),
            *[("Contact", c) for c in contacts],
        ]
        if expires:
            headers.append(("Expires", expires))
        if credentials:
            headers.append(("Authorization", credentials))
        return await ClientTx.launch(self.pbx, build(f"REGISTER sip:{DOMAIN} SIP/2.0", headers), peer).done()
