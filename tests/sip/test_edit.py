"""New bytes from old: what is edited changes, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.sip.edit import Edit, received_marks, response
from guard.sip.message import BadMessage, Message, parse
from tests.sip.making import ANYTHING, BASE, CORPUS, based, made, wire

ODD = wire(
    b"Route: <sip:r1;lr>,",
    b" <sip:r2>",
    b"v : SIP/2.0/UDP a ;branch=1 , SIP/2.0/TCP b;branch=2",
    b"route: <sip:r3>",
    b"MAX-forwards:  0009",
    b"X-Odd: ;;,\xff",
    b"Via: SIP/2.0/UDP c",
    b"l:3",
    body=b"a\nb",
)


def odd() -> tuple[Edit, Message]:
    m = parse(ODD)
    return Edit(m), m


def without(*pieces: bytes) -> bytes:
    """ODD without these pieces."""
    out = ODD
    for piece in pieces:
        assert out.count(piece) == 1
        out = out.replace(piece, b"")
    return out


@given(ANYTHING)
@settings(max_examples=200, deadline=None)
def test_no_edits_change_nothing(data: bytes) -> None:
    try:
        m = parse(data)
    except BadMessage:
        return
    assert Edit(m).render() == m.data


@pytest.mark.parametrize("data", CORPUS, ids=lambda d: d[:30].decode("latin-1"))
def test_no_edits_change_nothing_of_the_corpus(data: bytes) -> None:
    try:
        m = parse(data)
    except BadMessage:
        return
    assert Edit(m).render() == m.data
    assert m.data in {data[: len(m.data)], data + b"\r\n"}


@given(st.lists(st.tuples(st.integers(0, len(ODD)), st.integers(0, 9), st.binary(max_size=5)), max_size=6))
@settings(max_examples=150, deadline=None)
def test_slices_in_any_order(wanted: list[tuple[int, int, bytes]]) -> None:
    """As if they were put in one after the other, from the end to the start."""
    slices, past = [], -1
    for start, length, new in sorted(wanted):
        if start > past:  # they must not touch
            past = min(start + length, len(ODD))
            slices.append((start, past, new))
    edit, _ = odd()
    for one in sorted(slices, key=lambda s: s[2]):
        edit.replace(*one)
    naive = ODD
    for start, end, new in reversed(slices):
        naive = naive[:start] + new + naive[end:]
    assert edit.render() == naive


def test_lines_on_top() -> None:
    edit, m = odd()
    edit.insert_top(b"B: 2\r\n")
    edit.insert_top(b"A: 1\r\n")
    assert edit.render() == ODD[: m.start_end] + b"A: 1\r\nB: 2\r\n" + ODD[m.start_end :]


def test_lines_on_top_of_a_line_that_goes() -> None:
    edit, _ = odd()
    edit.insert_top(b"A: 1\r\n")
    edit.remove_line(0)
    assert edit.render() == without(b"Route: <sip:r1;lr>,\r\n <sip:r2>\r\n").replace(b"2.0\r\nv", b"2.0\r\nA: 1\r\nv")
    m = made(start=b"SIP/2.0 200 OK")
    edit = Edit(m)
    edit.remove_top_via()
    edit.insert_top(b"A: 1\r\n")
    assert edit.render() == wire(b"A: 1", *BASE[1:], start=b"SIP/2.0 200 OK")


def test_lines_with_their_folds_are_removed() -> None:
    edit, _ = odd()
    edit.remove_line(0)
    assert edit.render() == without(b"Route: <sip:r1;lr>,\r\n <sip:r2>\r\n")


def test_another_request_uri() -> None:
    edit, _ = odd()
    edit.replace_uri(b"tel:112")
    assert edit.render() == ODD.replace(b"OPTIONS sip:b@y SIP", b"OPTIONS tel:112 SIP")


def test_another_number_of_hops() -> None:
    edit, _ = odd()
    edit.set_max_forwards(8)
    assert edit.render() == ODD.replace(b"  0009", b" 8")
    plain = parse(wire(b"X: 1"))
    edit = Edit(plain)
    edit.set_max_forwards(8)  # where there is none, nothing
    assert edit.render() == plain.data


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ((b"Via: SIP/2.0/UDP a", b"Via: SIP/2.0/UDP b"), (b"Via: SIP/2.0/UDP b",)),
        ((b"Via: SIP/2.0/UDP a,SIP/2.0/UDP b",), (b"Via: SIP/2.0/UDP b",)),
        ((b"v:", b" SIP/2.0/UDP a;x=\",\" ,", b"\tSIP/2.0/TCP b,x"), (b"v:", b" SIP/2.0/TCP b,x")),
        ((b"X: 1", b"Via: SIP/2.0/UDP a",), (b"X: 1",)),
        ((b"Via: SIP/2.0/UDP a,", b"X: 1"), (b"X: 1",)),
        ((b"Via: SIP/2.0/UDP a,,SIP/2.0/UDP b",), (b"Via: SIP/2.0/UDP b",)),
    ],
)  # fmt: skip
def test_the_top_via_goes(lines: tuple[bytes, ...], left: tuple[bytes, ...]) -> None:
    edit = Edit(parse(wire(*lines, b"To: x")))
    edit.remove_top_via()
    assert edit.render() == wire(*left, b"To: x")


@pytest.mark.parametrize("values", [(), (b"<sip:r2>",), (b"<sip:r2>", b"<sip:r3>")])
def test_other_routes(values: tuple[bytes, ...]) -> None:
    edit, m = odd()
    edit.set_routes(values)
    out = parse(edit.render())
    assert tuple(r.text for r in out.routes()) == values
    assert [n for n, *_ in out.lines if n != b"route"] == [n for n, *_ in m.lines if n != b"route"]
    assert out.body() == m.body()


# ---- where a request came from ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("via", "marked"),
    [
        (b"SIP/2.0/UDP 192.0.2.9;branch=x", b"SIP/2.0/UDP 192.0.2.9;branch=x"),
        (b"SIP/2.0/UDP h;branch=x", b"SIP/2.0/UDP h;branch=x;received=192.0.2.9"),
        (b"SIP/2.0/UDP h", b"SIP/2.0/UDP h;received=192.0.2.9"),
        (b"SIP/2.0/UDP h;rport", b"SIP/2.0/UDP h;rport=4000;received=192.0.2.9"),
        (b"SIP/2.0/UDP 192.0.2.9;rport;x", b"SIP/2.0/UDP 192.0.2.9;rport=4000;x;received=192.0.2.9"),
        (b"SIP/2.0/UDP h;rport=;x", b"SIP/2.0/UDP h;rport=4000;x;received=192.0.2.9"),
        (b"SIP/2.0/UDP h ; RPort = 17 ;x", b"SIP/2.0/UDP h ;rport=4000 ;x;received=192.0.2.9"),
        (b"SIP/2.0/UDP h;rport=evil;x", b"SIP/2.0/UDP h;rport=4000;x;received=192.0.2.9"),
        (b"SIP/2.0/UDP h;rportx=1", b"SIP/2.0/UDP h;rportx=1;received=192.0.2.9"),
        (b"SIP/2.0/UDP h;received=6.6.6.6;x", b"SIP/2.0/UDP h;received=192.0.2.9;x"),
        (b"SIP/2.0/UDP 192.0.2.9;received=6.6.6.6", b"SIP/2.0/UDP 192.0.2.9;received=192.0.2.9"),
        (b"SIP/2.0/UDP h;received=[::6];x", b"SIP/2.0/UDP h;received=192.0.2.9;x"),
        (b"SIP/2.0/UDP h;rport , SIP/2.0/UDP i", b"SIP/2.0/UDP h;rport=4000;received=192.0.2.9 , SIP/2.0/UDP i"),
    ],
)  # fmt: skip
def test_received_and_rport(via: bytes, marked: bytes) -> None:
    m = made(b"Via: " + via)
    edit = Edit(m)
    edit.mark_received("192.0.2.9", 4000)
    assert edit.render() == based(b"Via: " + marked)
    # A response of our own says the same, in the line as it stands.
    assert b"Via: " + marked + b"\r\n" in response(m, 400, b"X", to_tag=None, received=("192.0.2.9", 4000))


def test_addresses_of_version_six_stand_without_brackets_in_received() -> None:
    m = made(b"Via: SIP/2.0/UDP [2001:db8::1]")
    assert received_marks(m, "2001:db8::1", 5060) == []
    assert [new for _, _, new in received_marks(m, "2001:db8::2", 5060)] == [b";received=2001:db8::2"]


# ---- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_copies_what_identifies_its_request() -> None:
    m = parse(
        wire(
            b"From: <sip:a@x>;tag=1", b"i: c", b"CSeq: 1 X", b"v: SIP/2.0/UDP a,", b" SIP/2.0/UDP b",
            b"t : <sip:b@y>  ", b"Timestamp: 1", b"X: 1", b"Via: SIP/2.0/TCP c", start=b"X sip:b@y SIP/2.0",
        )
    )  # fmt: skip
    data = response(m, 404, b"Not Found", to_tag=b"t1", headers=(b"A: 1\r\n",), body=b"why")
    assert data == wire(
        b"From: <sip:a@x>;tag=1", b"i: c", b"CSeq: 1 X", b"v: SIP/2.0/UDP a,", b" SIP/2.0/UDP b",
        b"t : <sip:b@y>;tag=t1", b"Via: SIP/2.0/TCP c", b"A: 1", b"Content-Length: 3",
        start=b"SIP/2.0 404 Not Found", body=b"why",
    )  # fmt: skip
    assert parse(data).status == 404


@pytest.mark.parametrize(
    ("to", "answered"),
    [
        (b"To: <sip:b@y>", b"To: <sip:b@y>;tag=t1"),
        (b"To: <sip:b@y>;tag=x", b"To: <sip:b@y>;tag=x"),
        (b"To: sip:b@y;x\r\n ", b"To: sip:b@y;x;tag=t1"),
        (b'To: "unclosed <sip:b@y>', b'To: "unclosed <sip:b@y>;tag=t1'),
        (b"To: <sip:b@y;tag=uri>", b"To: <sip:b@y;tag=uri>;tag=t1"),
    ],
)
def test_the_tag_of_an_answer(to: bytes, answered: bytes) -> None:
    assert answered + b"\r\n" in response(made(to), 400, b"Bad", to_tag=b"t1")
    assert to + b"\r\n" in response(made(to), 100, b"Trying", to_tag=None)


def test_a_timestamp_is_told_in_a_trying_only() -> None:
    m = made(b"Timestamp: 54")
    assert b"Timestamp: 54\r\n" in response(m, 100, b"Trying", to_tag=None)
    assert b"Timestamp" not in response(m, 180, b"Ringing", to_tag=b"x")


@pytest.mark.parametrize("gone", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
def test_an_answer_can_do_without_any_of_them(gone: bytes) -> None:
    kept = [line for line in BASE if not line.startswith(gone + b":")]
    out = parse(response(parse(wire(*kept)), 400, b"Bad", to_tag=b"t1", received=("192.0.2.9", 1)))
    assert not out.count(gone.lower())
    assert len(out.lines) == 5  # four of them, and Content-Length


def test_an_unreadable_via_goes_back_as_it_came() -> None:
    assert b"\r\nVia: nonsense\r\n" in response(
        made(b"Via: nonsense"), 400, b"B", to_tag=None, received=("192.0.2.9", 1)
    )


@given(ANYTHING)
@settings(max_examples=200, deadline=None)
def test_an_answer_to_anything_is_a_message(data: bytes) -> None:
    try:
        m = parse(data)
    except BadMessage as error:
        if error.message is None or error.fatal:
            return
        m = error.message
    out = response(m, 400, b"Bad Request", to_tag=b"t1", received=("192.0.2.9", 4000))
    assert out.startswith(b"SIP/2.0 400 Bad Request\r\n")
    assert out.endswith(b"\r\nContent-Length: 0\r\n\r\n")
