"""A decision of the log becomes again the very attempt that was judged."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.ledger.past import attempt_of_body
from guard.ledger.record import NO_MONEY, DecisionBody, decision_body, encode
from guard.model import CallAttempt, Decision, Header, Identity
from guard.numbering.number import NONE, Dial, Number, normalise
from guard.proxy.facts import plain
from guard.sip.message import parse
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from tests.store.making import attempt
from tests.store.making_log import write

DIAL: Final = Dial()
RAWS: Final = (
    *("0145678900", "+33145678900", "0033145678900", "+33 1 45 67 89 00", "3949", "+33262262123", "0262262123"),
    *("anonymous", "Anonymous", "ano.nymous", "alice", "", "+", "012", "0145678900;phone-context=+33", "9" * 70),
    *("+330145678900", "+447700900000", "urn", "١٢٣٤", "+١٢٣٤٥٦٧٨٩", "118218", "112"),
)


def again(call: CallAttempt, dial: Dial = DIAL) -> CallAttempt:
    """Into the log's JSON and back."""
    body = decision_body(call, Decision(verdict="allowed"), "hq", NO_MONEY)
    return attempt_of_body(msgspec.json.decode(encode(body), type=DecisionBody), dial)


@pytest.mark.parametrize("raw", RAWS)
def test_a_number_comes_back_with_what_it_means(raw: str) -> None:
    presented, dialled = normalise(raw, DIAL), normalise(raw, DIAL, callee=True)
    caller = presented if raw else NONE
    identities = tuple(Identity(h, presented) for h in ("pai", "ppi", "rpid"))
    diversions = tuple(Identity(h, presented) for h in ("diversion", "history-info"))
    call = replace(attempt(0), caller=caller, callee=dialled, identities=identities, diversions=diversions)
    assert again(call) == call


def test_an_unreadable_header_and_no_number_are_not_one_thing() -> None:
    unreadable = Number("", "malformed", "", "not-digits")
    for caller in (unreadable, NONE):
        assert again(replace(attempt(0), caller=caller)).caller == caller


def test_everything_else_of_a_call_comes_back() -> None:
    call = CallAttempt(
        call_id="c@x",
        from_tag="t1",
        at=1_795_251_600_000_001,
        source="pbx",
        source_address="192.0.2.5",
        trunk="operator",
        line="200",
        callee=normalise("112", DIAL, callee=True),
        direction="inbound",
        usage=("automated", "prospecting"),
        country="DE",
        forwarded="require-inbound",
        emergency="112",
        privacy=True,
        user_agent="Phone 1.0",
        odd=20,
        headers=(("x-tenant", "acme"),),
    )
    assert again(call) == call
    assert all(getattr(call, n) != d for n, d in _defaults().items() if n not in {"caller", "identities", "diversions"})


def _defaults() -> dict[str, object]:
    """What each field is when nobody says."""
    fields = msgspec.structs.fields(CallAttempt)
    return {f.name: f.default for f in fields if f.default is not msgspec.NODEFAULT}


def test_a_call_that_could_not_be_read_stays_without_numbers() -> None:
    message = parse(b"INVITE sip:anonymous@x SIP/2.0\r\nCall-ID: c1\r\nContent-Length: 0\r\n\r\n")
    call = plain(message, None, "192.0.2.5", 5)
    assert again(call) == call


def test_what_was_odd_about_a_number_is_found_as_its_source_dials() -> None:
    dial = Dial(international="000", strip="9")
    call = replace(attempt(0), caller=normalise("00033262262123", dial))
    assert again(call, dial) == call
    assert again(call).caller == replace(call.caller, note="") or call.caller.note == ""


@settings(max_examples=60, deadline=None)
@given(
    raw=st.text(max_size=70) | st.from_regex(r"\+?[0-9]{0,16}", fullmatch=True),
    header=st.sampled_from(["pai", "ppi", "rpid", "diversion", "history-info"]),
)
def test_whatever_was_presented(raw: str, header: Header) -> None:
    number = normalise(raw, DIAL)
    one = (Identity(header, number),)
    forwarded = header in {"diversion", "history-info"}
    call = replace(attempt(0), caller=number, identities=() if forwarded else one, diversions=one if forwarded else ())
    assert again(call) == call


def test_from_a_real_log(tmp_path: Path) -> None:
    calls = [attempt(0), replace(attempt(1), caller=normalise("anonymous", DIAL), privacy=True)]
    write(tmp_path / "guard.db", [(c, Decision(verdict="allowed")) for c in calls])
    with SqliteReader(tmp_path / "guard.db") as reader:
        assert [attempt_of_body(d.body) for d in reader.details(Query(all=True))] == calls
