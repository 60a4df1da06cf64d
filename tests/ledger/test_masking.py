"""Numbers masked, wherever they stand in a record."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from guard.ledger.masking import masked, masked_body, masked_record, masked_text
from guard.ledger.record import NO_MONEY, CallRecord, DecisionBody, SeenIdentity, decision_body, to_record
from guard.model import Identity, Text
from guard.numbering.number import Number
from tests.store.making import attempt, decision, finding, number
from tests.store.making_log import PARIS


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("+33145678900", "+3314567****"),
        ("0145678900", "014567****"),
        ("01 45 67 89 00", "01 45 67 ** **"),
        ("01.45.67.89.00", "01.45.67.**.**"),
        ("1234567", "123****"),
        ("118000", "118000"),
        ("3949", "3949"),
        ("112", "112"),
        ("", ""),
        ("alice", "alice"),
        ("alice0145678900", "alice014567****"),
    ],
)
def test_the_last_four_digits_of_a_number_are_hidden(text: str, wanted: str) -> None:
    assert masked(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("+33145678900 may not be presented.", "+3314567**** may not be presented."),
        ("from 01 45 67 89 00 to 3949", "from 01 45 67 ** ** to 3949"),
        ("since 2026-11-21 for 192.0.2.105", "since 2026-11-21 for 192.0.2.105"),
        ("2026-11-21 0145678900", "2026-11-21 014567****"),
        ("01.45.67.89.00", "01.45.67.**.**"),
        ("2,500.05 EUR, 3 calls", "2,500.05 EUR, 3 calls"),
        ("no number", "no number"),
    ],
)
def test_numbers_in_a_text(text: str, wanted: str) -> None:
    assert masked_text(text) == wanted


SECRETS = ("8900", "5678111", "2345678", "7777")


def body() -> DecisionBody:
    """A body with a number in every field that may hold one."""
    said = replace(
        finding("cli.premium"),
        text=Text("+33145678900 was presented.", "Le 01 45 67 89 00 a été présenté."),
        facts={"presented": "+33145678900", "count": 3, "held": True},
    )
    pai = Identity("pai", number("+33145678111", "01 45 67 81 11"))
    odd = Identity("diversion", Number("", "malformed", "0145 678 7777", "letters"))
    call = replace(
        attempt(1, identities=(pai, odd), line="0145678900"),
        caller=Number("", "malformed", "00331456789 00", "odd"),
        user_agent="desk 0145678900",
        headers=(("x-line", "0145678900"),),
    )
    made = decision_body(call, decision("masked", said, presented="+33145678900", masked=True), "hq", NO_MONEY)
    return replace(
        made,
        masked_numbers=("+33145678111",),
        callee_raw="06 12 34 56 78",
        money=replace(NO_MONEY, number="+33145678900"),
    )


def test_no_field_of_what_is_kept_still_shows_a_number() -> None:
    text = msgspec.json.encode(masked_body(body())).decode()
    for secret in SECRETS:
        assert secret not in text.replace(" ", ""), secret
    assert "8900" in msgspec.json.encode(body()).decode()


def test_no_field_of_what_goes_out_does_and_all_else_stays() -> None:
    record = to_record(7, bytes(32), body(), None, PARIS)
    shown = masked_record(record)
    assert (shown.caller, shown.callee, shown.line) == ("003314567** **", "+3361234****", "014567****")
    text = msgspec.json.encode(shown).decode()
    for secret in SECRETS:
        assert secret not in text
    hidden = {"line", "caller", "presented", "callee", "findings"}
    for name in CallRecord.__struct_fields__:
        if name not in hidden:
            assert getattr(shown, name) == getattr(record, name), name


def test_a_new_field_of_a_body_must_be_thought_of() -> None:
    """Whoever adds a field that may hold a number masks it; then it is named here."""
    thought_of = {
        *("at", "call_id", "site", "source", "source_address", "trunk", "line", "direction", "usage", "country"),
        *("forwarded", "caller", "caller_raw", "caller_reason", "callee", "callee_raw", "callee_reason", "identities"),
        *("emergency", "privacy", "user_agent", "odd", "from_tag", "headers", "verdict", "rule", "status"),
        *("retry_after",),
        *("presented", "masked", "masked_numbers", "held_us", "policy", "findings", "money", "withdrawn"),
    }
    assert set(DecisionBody.__struct_fields__) == thought_of
    assert SeenIdentity.__struct_fields__ == ("header", "raw", "value", "reason")
