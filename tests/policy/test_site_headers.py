"""Headers that a site's rule names are read of each request, kept with the record, and judged; no others are read."""

from __future__ import annotations

from typing import Final

from guard.engine import Engine
from guard.ledger.record import NO_MONEY, decision_body
from guard.proxy.facts import MAX_TEXT, attempt
from guard.sip.message import parse
from tests.deciding import NOW, config_of, policy_of
from tests.policy.sites import toml

RULE: Final = toml('any = [{ header = { X-Tenant = "acme*" } }, { not = { header = { Subject = "*" } }, line = "9" }]')


def invite(*headers: str) -> bytes:
    """A call of the site's IPBX."""
    lines = [
        "INVITE sip:0199001234@192.0.2.1 SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK1",
        "From: <sip:0145678900@192.0.2.5>;tag=a",
        "To: <sip:0199001234@192.0.2.1>",
        "Call-ID: c1",
        "CSeq: 1 INVITE",
        *headers,
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def decided(*headers: str, more: str = RULE) -> tuple[tuple[tuple[str, str], ...], str]:
    """What is read of a call, and the verdict on it."""
    source = next(s for s in config_of(more).sources if s.name == "pbx")
    call = attempt(parse(invite(*headers)), source, "192.0.2.5", NOW)
    decision = Engine(policy_of(more)).judge(call)
    assert decision_body(call, decision, "hq", NO_MONEY).headers == call.headers
    return call.headers, decision.verdict


def test_what_rules_name_is_read_in_any_spelling() -> None:
    assert decided("x-TENANT: acme-12", "Subject: hello") == (
        (("x-tenant", "acme-12"), ("subject", "hello")),
        "blocked",
    )
    assert decided("X-Tenant: other", "X-Other: acme") == ((("x-tenant", "other"),), "allowed")
    assert decided("s: short for Subject")[0] == (("subject", "short for Subject"),)


def test_nothing_is_read_where_no_rule_asks() -> None:
    assert decided("X-Tenant: acme", more="") == ((), "allowed")


def test_a_header_is_cut_and_cannot_stop_a_decision() -> None:
    (((_, value),), verdict) = decided("X-Tenant: acme" + "x" * 2000)
    assert (len(value), verdict) == (MAX_TEXT, "blocked")
    assert decided("X-Tenant:")[1] == "allowed"
