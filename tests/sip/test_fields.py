"""Fields are shared between messages: what one message says of them is what every other says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from types import GetSetDescriptorType, MemberDescriptorType

import pytest
from hypothesis import given, settings

from guard.sip import fields
from guard.sip.fields import LONGEST, MAX_FIELDS, MAX_VALUES, Field, field_of
from guard.sip.headers import BadHeader
from guard.sip.message import BadMessage, Message, parse
from tests.sip.making import ANYTHING, BASE, CORPUS, wire


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing of other tests is at hand."""
    fields._fields.clear()
    yield
    fields._fields.clear()


HOLDERS = (MemberDescriptorType, property, GetSetDescriptorType)  # attributes as written; those of a compiled class


def read(data: bytes) -> list[object]:
    """Everything that can be read of a message."""
    try:
        m = parse(data)
    except BadMessage as error:
        if error.message is None:
            return [error.status, error.reason, error.fatal]
        m = error.message
    out: list[object] = [m.data, m.lines, m.index, m.repeated, [(f.raw, f.name, f.at, f.value) for f in m.fields]]
    for what in (Message.via, Message.from_, Message.to, Message.cseq, Message.vias, Message.max_forwards):
        try:
            got = what(m)
        except BadHeader as error:
            out.append(str(error))
            continue
        parts = got if isinstance(got, list) else [got]
        for part in parts:
            known = vars(type(part)).items()
            held = sorted(name for name, what in known if isinstance(what, HOLDERS) and not name.startswith("_"))
            out.append([getattr(part, name) for name in held] if held else part)
    for name in (b"route", b"contact", b"record-route", b"p-asserted-identity"):
        try:
            out.append([(a.uri, a.tag, a.text, a.address, a.display, a.params) for a in m.routes(name)])
        except BadHeader as error:
            out.append(str(error))
    return out


@pytest.mark.parametrize("data", CORPUS)
def test_the_corpus_says_the_same_when_its_fields_are_known(data: bytes) -> None:
    fresh = read(data)
    for other in CORPUS:
        with suppress(BadMessage):
            parse(other)
    assert read(data) == fresh == read(data)


@given(ANYTHING)
@settings(max_examples=200, deadline=None)
def test_anything_says_the_same_the_second_time(data: bytes) -> None:
    assert read(data) == read(data)


def test_messages_share_what_they_both_say() -> None:
    one, other = (parse(wire(*BASE, b"Other: %d" % n)) for n in range(2))
    assert one.via() is other.via()
    assert one.from_() is other.from_()
    assert one.fields[-1] is not other.fields[-1]
    assert (one.first(b"other"), other.first(b"other")) == (b"0", b"1")


def test_only_so_many_are_remembered() -> None:
    for start in range(0, MAX_FIELDS + 200, 100):
        parse(wire(*(b"X: %d" % n for n in range(start, start + 100))))
        assert len(fields.KNOWN) <= MAX_FIELDS
    assert len(fields.KNOWN) > MAX_FIELDS * 9 // 10
    newest = b"X: %d" % (MAX_FIELDS + 199)
    assert newest in fields.KNOWN
    assert b"X: 0" not in fields.KNOWN


def test_long_ones_are_not() -> None:
    short, long = (b"X: " + b"x" * (LONGEST - 3 + more) for more in (0, 1))
    assert field_of(short) is field_of(short)
    first, second = field_of(long), field_of(long)
    assert first is not None
    assert second is not None
    assert first is not second
    assert list(fields.KNOWN) == [short]


@pytest.mark.parametrize("raw", [b"", b":", b": x", b"no colon", b" folded: x", b"\tX: y", b"a b: c", b"\xe9: x"])
def test_what_has_no_name_is_no_field(raw: bytes) -> None:
    assert field_of(raw) is None
    assert field_of(raw) is None
    assert fields.KNOWN == {}


def test_so_many_values_and_no_more() -> None:
    for many, good in ((MAX_VALUES, True), (MAX_VALUES + 1, False)):
        routes = Field(b"Route: " + b"<sip:a>," * many + b"<sip:b>", b"route", 6)
        vias = Field(b"Via: " + b"SIP/2.0/UDP h," * many + b"SIP/2.0/UDP i", b"via", 4)
        if good:
            assert (len(routes.addrs("Route")), len(vias.vias()), vias.via().more) == (many + 1, many + 1, True)
            continue
        for read_it in (partial(routes.addrs, "Route"), vias.vias, vias.via):
            with pytest.raises(BadHeader, match="too many values"):
                read_it()


def test_what_cannot_be_read_cannot_be_read_again() -> None:
    for read_it in (
        lambda: Field(b"Via: x", b"via", 4).via(),
        lambda: Field(b"CSeq: x", b"cseq", 5).cseq(),
        lambda: Field(b'From: "', b"from", 5).party("From"),
        lambda: Field(b"Route: <", b"route", 6).addrs("route"),
    ):
        for _ in range(2):
            with pytest.raises(BadHeader):
                read_it()
