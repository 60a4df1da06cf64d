"""Who and what is let in at all, before anything of it is kept (RFC 3261 16.3)."""

from __future__ import annotations

from typing import Literal

from guard.proxy import facts
from guard.proxy.context import Context
from guard.proxy.effects import Flow, Stranger
from guard.proxy.keys import tag_of
from guard.proxy.refuse import BUSY_RETRY_AFTER, FULL, INSECURE, reason
from guard.proxy.routing import is_private, secure
from guard.sip.check import check_request
from guard.sip.message import BadMessage, Message
from guard.sources import Source


def urgent(uri: bytes, source: Source | None, address: str, unknown: Literal["private", "any", "none"]) -> str:
    """The emergency number that a Request-URI calls, if this caller may be carried there: whoever is listed may, and of
    the others those whom `unknown` (the configuration's `emergency_from_unknown`) names."""
    if source is not None:
        return facts.emergency(uri, source.dial)
    if unknown == "any" or (unknown == "private" and is_private(address)):
        return facts.emergency(uri, facts.PLAIN_DIAL)
    return ""


class Door:
    """Tells who may come in, and answers what may not."""

    def __init__(self, context: Context) -> None:
        self._c = context

    def urgent(self, m: Message, source: Source | None, arrived: Flow) -> str:
        """The emergency number called, if this caller may be carried there."""
        return urgent(m.uri, source, arrived.peer[0], self._c.settings.emergency_from_unknown)

    def stranger(self, m: Message, arrived: Flow, now: int) -> None:
        c = self._c
        c.count("strangers")
        call = None
        if m.method == b"INVITE":
            call = c.odd.met(facts.attempt(m, None, arrived.peer[0], now + c.wall_offset), now)
        c.effects.append(Stranger(arrived, facts.text(m.method), facts.text(m.uri), call))

    def secured(self, m: Message, source: Source | None, arrived: Flow, flow: Flow) -> bool:
        """Whether a request came by a way as secure as it has to be; if not it was answered. Never asked of an
        emergency call."""
        c = self._c
        if source is not None and source.tls_name and source.tls_name not in arrived.names:
            c.count("unproven")
            why = f'source {source.name} has to show a certificate of "{source.tls_name}" over TLS'
            c.answer_stateless(m, flow, 403, (reason(403, why),))
            return False
        if arrived.unproven:
            c.count("unproven")
            c.answer_stateless(m, flow, 403, (reason(403, "only emergency calls without a certificate"),))
            return False
        if arrived.transport != "tls" and secure(m.uri) and not tag_of(m, to=True):  # a dialog goes as its set-up went
            c.answer_stateless(m, flow, 480, INSECURE)
            return False
        return True

    def acceptable(self, m: Message, flow: Flow, now: int, *, urgent: bool) -> bool:
        """Whether the request may go on; if not it was answered. An emergency call is let through whatever is wrong
        with it, unless it has gone round in circles."""
        c = self._c
        try:
            check_request(m)
        except BadMessage as error:
            if not urgent or error.status == 483:
                c.odd.note(flow.peer[0], now)
                if not error.fatal:
                    c.answer_stateless(m, flow, error.status, (*error.headers, reason(error.status, error.reason)))
                return False
        if c.forwarder.looped(m):
            c.count("loops")
            c.answer_stateless(m, flow, 482)
            return False
        if c.layer.full() and not urgent:
            c.count("full")
            if m.method == b"INVITE":
                c.answer_stateless(m, flow, 480, (BUSY_RETRY_AFTER, reason(480, FULL)))
            return False
        return True
