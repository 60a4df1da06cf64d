"""The index of a message: which lines are which header, where they stand, and what is no message at all."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guard.sip import fields as module
from guard.sip import message
from guard.sip.fields import COMPACT, MAX_NAME, MAX_NAMES
from guard.sip.headers import BadHeader
from guard.sip.message import MAX_LINES, MAX_SHAPE, MAX_SHAPES, BadMessage, Message, parse
from tests.sip.making import ANYTHING, BASE, CORPUS, bad, based, made, wire


def names(m: Message) -> list[bytes]:
    return [line[0] for line in m.lines]


# ---- start lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "method", "uri", "version"),
    [
        (b"INVITE sip:a@b SIP/2.0", b"INVITE", b"sip:a@b", b"SIP/2.0"),
        (b"invite sip:a@b sip/2.0", b"invite", b"sip:a@b", b"sip/2.0"),
        (b"X%41 tel:+33 SIP/7.0", b"X%41", b"tel:+33", b"SIP/7.0"),  # another version is refused later, with 505
        (b"OPTIONS * SIP/2.0", b"OPTIONS", b"*", b"SIP/2.0"),
        (b"SIPPING sip:a SIP/2.0", b"SIPPING", b"sip:a", b"SIP/2.0"),
    ],
)
def test_request_lines(line: bytes, method: bytes, uri: bytes, version: bytes) -> None:
    m = parse(wire(*BASE, start=line))
    assert m.is_request
    assert (m.method, m.uri, m.version) == (method, uri, version)
    assert m.data[: m.start_end] == line + b"\r\n"


@pytest.mark.parametrize(
    ("line", "answerable"),
    [
        (b"INVITE  sip:a@b SIP/2.0", True),
        (b"INVITE sip:a@b  SIP/2.0", True),
        (b"INVITE sip:a@b SIP/2.0 ", True),
        (b"INVITE sip:a@b; lr SIP/2.0", True),
        (b"INVITE sip:a@b", False),
        (b"INVITE sip:a@b HTTP/1.1", False),
        (b"IN(VITE sip:a@b SIP/2.0", False),
        (b"INVITE\tsip:a@b\tSIP/2.0", False),
        (b"INVITE  SIP/2.0", True),
        (b"GET / HTTP/1.0", False),
        (b"", False),
        (b"INVITE", False),
    ],
)
def test_what_is_no_request_line(line: bytes, answerable: bool) -> None:
    error = bad(wire(*BASE, start=line))
    assert error.status == 400
    assert error.fatal is not answerable
    assert (error.message is not None) is answerable


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"SIP/2.0 200 OK", 200, b"OK"),
        (b"SIP/2.0 100 ", 100, b""),
        (b"SIP/2.0 180", 180, b""),
        (b"sip/2.0 699 a  b", 699, b"a  b"),
    ],
)
def test_status_lines(line: bytes, status: int, reason: bytes) -> None:
    m = parse(wire(*BASE, start=line))
    assert (m.is_request, m.method, m.status, m.reason) == (False, b"", status, reason)


@pytest.mark.parametrize(
    "line",
    [b"SIP/2.0 099 x", b"SIP/2.0 700 x", b"SIP/2.0 20 x", b"SIP/2.0 2000 x", b"SIP/2.0 2x0 x", b"SIP/3.0 200 OK",
     b"SIP/2.0  200 OK", b"SIP/2.0", b"SIP/2.0\t200 OK"],
)  # fmt: skip
def test_what_is_no_status_line_is_never_answered(line: bytes) -> None:
    assert bad(wire(*BASE, start=line)).fatal


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"\r\n\r\n\r\n\r\n", b"\x00" * 20, b"hello", b"\r\n\r\nhello", b"\xff\xfe", b"a b"]
)
def test_noise_is_fatal(data: bytes) -> None:
    assert bad(data).fatal


# ---- header lines ----------------------------------------------------------------------------------------------------


def test_offsets_are_into_the_bytes_as_they_came() -> None:
    m = parse(wire(b"P:1", b"g :  two \t", b"H:", b" three", b"\tfour", b"Q:\t"))
    assert [m.data[s:e] for _, s, _, e in m.lines] == [
        b"P:1\r\n",
        b"g :  two \t\r\n",
        b"H:\r\n three\r\n\tfour\r\n",
        b"Q:\t\r\n",
    ]
    assert [m.data[v:e] for _, _, v, e in m.lines] == [
        b"1\r\n",
        b"  two \t\r\n",
        b"\r\n three\r\n\tfour\r\n",
        b"\t\r\n",
    ]
    assert [m.first(n) for n in (b"p", b"g", b"h", b"q", b"z")] == [b"1", b"two", b"three four", b"", None]
    assert m.data[m.body_at :] == b""


@pytest.mark.parametrize(("short", "long"), COMPACT.items())
def test_compact_forms_are_the_long_ones(short: bytes, long: bytes) -> None:
    for spelled in (short, short.upper(), short + b" ", long.title(), long.upper() + b"\t"):
        m = parse(wire(spelled + b": 0"))
        assert names(m) == [long]


def test_other_single_letters_are_names_of_their_own() -> None:
    assert names(parse(wire(b"z: 1", b"g: 2"))) == [b"z", b"g"]


def test_repeated_headers() -> None:
    m = parse(wire(b"Route: <sip:a>", b"X-1: 1", b"route: <sip:b>,", b" <sip:c>"))
    assert m.first(b"route") == b"<sip:a>"
    assert m.all(b"route") == [b"<sip:a>", b"<sip:b>, <sip:c>"]
    assert [r.uri for r in m.routes()] == [b"sip:a", b"sip:b", b"sip:c"]
    assert (m.count(b"route"), m.count(b"x-1"), m.count(b"g"), m.all(b"g"), m.routes(b"g")) == (2, 1, 0, [], [])


@pytest.mark.parametrize(
    "line",
    [b"no colon", b": value", b"Bad Name: 1", b"Na(me: 1", b"\xe9: 1", b"Viax", b"Tox", b"Call-IDx", b"CSeq1",
     b"\x00: 1"],
)  # fmt: skip
def test_a_header_line_without_a_name_is_refused(line: bytes) -> None:
    parse(wire(*BASE))  # so that the names of near misses are known spellings
    error = bad(wire(*BASE, line))
    assert (error.status, error.fatal) == (400, False)
    assert error.message is not None
    assert names(error.message) == names(parse(wire(*BASE)))
    assert bad(wire(*BASE, line, start=b"SIP/2.0 200 OK")).fatal


def test_a_fold_of_a_line_without_a_name_belongs_to_no_other() -> None:
    error = bad(wire(*BASE, b"v=0", b" folded", b"X: 1", b" y"))
    assert error.message is not None
    assert error.message.all(b"max-forwards") == [b"70"]
    assert error.message.data.count(b"folded") == 1
    assert [error.message.data[s:e] for _, s, _, e in error.message.lines[-2:]] == [
        BASE[-1] + b"\r\n",
        b"X: 1\r\n y\r\n",
    ]


def test_the_first_header_cannot_be_a_fold() -> None:
    assert bad(wire(b" folded", *BASE)).reason == "the first header line is folded"
    assert names(parse(wire(b"X-1:", b" folded"))) == [b"x-1"]


@pytest.mark.parametrize("line", [b"X: a\rb", b"X: a\nb", b"X: a\n b", b"X: a\n\nb", b"X\r: a"])
def test_bare_line_ends_are_refused_among_whole_ones(line: bytes) -> None:
    error = bad(wire(*BASE, line))
    assert error.status == 400
    assert error.message is not None  # which is what an answer is made from
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", error.message.data)
    assert len(error.message.data) == len(wire(*BASE, line))


def test_a_message_may_end_its_lines_in_lf_alone() -> None:
    m = parse(wire(*BASE, b"X:", b" y").replace(b"\r\n", b"\n") + b"a\nb\n")
    assert names(m) == names(parse(wire(*BASE, b"X: y")))
    assert m.body() == b"a\nb\n"
    assert bad(wire(*BASE).replace(b"\r\n", b"\n") + b"a\r\n").status == 400  # not half and half


def test_the_empty_line_may_be_missing() -> None:
    assert names(parse(wire(*BASE)[:-2])) == names(parse(wire(*BASE)))
    assert bad(wire(*BASE)[:-4]).fatal  # but not the end of the last header line


def test_empty_lines_before_the_start_are_passed_over() -> None:
    assert parse(b"\r\n\r\n" + wire(*BASE)).data == wire(*BASE)


def test_a_message_without_headers() -> None:
    m = parse(b"OPTIONS sip:a SIP/2.0\r\n\r\n")
    assert (m.lines, m.first(b"via"), m.body()) == ([], None, b"")


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_too_many_lines() -> None:
    lines = [b"X: %d" % i for i in range(MAX_LINES)]
    assert len(parse(wire(*lines)).lines) == MAX_LINES
    error = bad(wire(*lines, b"X: more"))
    assert (error.status, error.reason, error.fatal) == (400, "too many header lines", False)
    assert len(parse(wire(*lines, b"X: more"), most=MAX_LINES + 1).lines) == MAX_LINES + 1


def test_only_so_many_spellings_are_remembered() -> None:
    known = module._names
    known.clear()
    module.KNOWN.clear()
    for start in range(0, MAX_NAMES + 100, 100):
        parse(wire(*(b"X-%d: 1" % i for i in range(start, start + 100))))
        assert len(known) <= MAX_NAMES
    assert 0 < len(known) < 200
    assert names(parse(wire(b"x-1: 1"))) == [b"x-1"]


def test_long_spellings_are_not_remembered() -> None:
    known = module._names
    known.clear()
    module.KNOWN.clear()
    assert names(parse(wire(b"Y" * (MAX_NAME + 1) + b": 1", b"X" * MAX_NAME + b": 1")))[0] == b"y" * (MAX_NAME + 1)
    assert list(known) == [b"X" * MAX_NAME]


def test_only_so_many_orders_of_names_are_remembered() -> None:
    message._shapes.clear()
    for i in range(MAX_SHAPES + 5):
        m = parse(wire(b"X-%d: 1" % i, b"Xa: 1", b"X-%d: 2" % i))
        assert (m.count(b"x-%d" % i), m.count(b"xa"), len(message._shapes)) == (2, 1, i % MAX_SHAPES + 1)
    parse(wire(*(b"X-%d: 1" % i for i in range(MAX_SHAPE + 1))))
    assert len(message._shapes) == 5


def test_two_orders_that_are_taken_for_one_are_told_apart() -> None:
    message._shapes.clear()
    mine, other = wire(b"Xa: 1", b"Xb: 2"), wire(b"Xb: 2", b"Xa: 1")
    parse(mine)
    (key,) = message._shapes
    message._shapes.clear()
    parse(other)
    (wrong,) = message._shapes.values()
    message._shapes[key] = wrong
    assert parse(mine).index == {b"xa": 0, b"xb": 1}
    message._shapes[key] = message._Shape([])
    assert parse(mine).index == {b"xa": 0, b"xb": 1}


# ---- the body --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "body", "left"),
    [
        ((), b"abc", b"abc"),
        ((b"Content-Length: 3",), b"abc", b"abc"),
        ((b"l: 003",), b"abc", b"abc"),
        ((b"Content-Length:", b" 3 "), b"abc", b"abc"),
        ((b"Content-Length: 2",), b"abc", b"ab"),
        ((b"Content-Length: 0",), b"abc", b""),
        ((b"Content-Length: 3", b"l: 3"), b"abc", b"abc"),
    ],
)
def test_a_datagram_is_cut_to_its_length(lines: tuple[bytes, ...], body: bytes, left: bytes) -> None:
    assert parse(wire(*BASE, *lines, body=body)).body() == left


@pytest.mark.parametrize(
    "lines",
    [(b"Content-Length: 4",), (b"Content-Length: -1",), (b"Content-Length: five",), (b"Content-Length:",),
     (b"Content-Length: 3 3",), (b"Content-Length: 3", b"Content-Length: 4"), (b"Content-Length: 3", b"l: 03"),
     (b"Content-Length: 3, 3",), (b"Content-Length: +3",), (b"Content-Length: \xb2",), (b"l: 99999999999",)],
)  # fmt: skip
def test_a_length_in_doubt_is_refused(lines: tuple[bytes, ...]) -> None:
    error = bad(wire(*BASE, *lines, body=b"abc"))
    assert (error.status, error.fatal) == (400, False)
    assert bad(wire(*BASE, *lines, start=b"SIP/2.0 200 OK", body=b"abc")).fatal
    assert not bad(wire(*BASE, *lines, body=b"abc"), stream=True).fatal


@pytest.mark.parametrize(
    ("lines", "body", "status"),
    [
        ((), b"", 400),
        ((b"Content-Length: 2",), b"abc", 400),
        ((b"Content-Length: 9",), b"", 413),  # the head alone, of a body that no framer would wait for
    ],
)
def test_over_a_stream_the_length_has_to_be_right(lines: tuple[bytes, ...], body: bytes, status: int) -> None:
    assert bad(wire(*BASE, *lines, body=body), stream=True).status == status
    assert bad(wire(*BASE, *lines, start=b"SIP/2.0 200 OK", body=body), stream=True).fatal


def test_over_a_stream_the_right_length() -> None:
    assert parse(wire(*BASE, b"l: 3", body=b"abc"), stream=True).body() == b"abc"


# ---- what is parsed when it is read ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "read"),
    [(b"1 INVITE", (1, b"INVITE")), (b"0009\r\n  INVITE", (9, b"INVITE")), (b"4294967295 X", (4294967295, b"X")),
     (b"00000000004294967295 X", (4294967295, b"X"))],
)  # fmt: skip
def test_cseq(value: bytes, read: tuple[int, bytes]) -> None:
    m = made(b"CSeq: " + value)
    assert m.cseq() == read == m.cseq()


@pytest.mark.parametrize(
    "value",
    [b"4294967296 X", b"-1 X", b"1", b"X 1", b"1 X Y", b"1X", b"", b"0x1 X", b"9" * 5000 + b" X", b"0" * 21 + b" X",
     b"\xb2 X"],
)  # fmt: skip
def test_bad_cseq(value: bytes) -> None:
    with pytest.raises(BadHeader, match="CSeq"):
        made(b"CSeq: " + value).cseq()


@pytest.mark.parametrize(("value", "read"), [(b"0", 0), (b"0068", 68), (b"255", 255), (b"300", 300)])
def test_max_forwards(value: bytes, read: int) -> None:
    assert made(b"Max-Forwards: " + value).max_forwards() == read


@pytest.mark.parametrize("value", [b"", b"-1", b"1.0", b"1 2", b"99999999999", b"\xd9\xa1"])
def test_bad_max_forwards(value: bytes) -> None:
    with pytest.raises(BadHeader, match="Max-Forwards"):
        made(b"Max-Forwards: " + value).max_forwards()


def test_what_is_missing_fails_its_own_read_only() -> None:
    m = parse(wire(b"X: 1"))
    assert (m.max_forwards(), m.content_length(), m.vias()) == (None, None, [])
    for read in (m.via, m.cseq, m.call_id, m.from_, m.to):
        with pytest.raises(BadHeader, match=r"missing|not a 32-bit number"):
            read()
    with pytest.raises(BadHeader, match="Call-ID"):
        parse(wire(b"Call-ID:")).call_id()
    assert parse(wire(b"i: x@y")).call_id() == b"x@y"


@pytest.mark.parametrize("name", ["via", "from_", "to"])
def test_values_are_parsed_once(name: str) -> None:
    m = made()
    assert getattr(m, name)() is getattr(m, name)()


@pytest.mark.parametrize(
    ("lines", "hosts", "line", "more"),
    [
        ((b"Via: SIP/2.0/UDP a", b"Via: SIP/2.0/UDP b"), ["a", "b"], 0, False),
        ((b"v: SIP/2.0/UDP a , SIP/2.0/TCP b",), ["a", "b"], 0, True),
        ((b"X: 1", b"VIA: SIP/2.0/UDP a;x=\",\"", b"v:SIP/2.0/UDP b,SIP/2.0/UDP c"), ["a", "b", "c"], 1, False),
    ],
)  # fmt: skip
def test_via_values_over_lines_and_commas(lines: tuple[bytes, ...], hosts: list[str], line: int, more: bool) -> None:
    m = parse(wire(*lines))
    assert [v.host for v in m.vias()] == hosts
    assert (m.via().host, m.index[b"via"], m.via().more) == (hosts[0], line, more)


def test_a_stray_comma_is_no_via() -> None:
    m = parse(wire(b"Via: SIP/2.0/UDP a,", b"Via: SIP/2.0/UDP b"))
    assert (m.via().host, m.via().more) == ("a", False)
    m = parse(wire(b"Via: SIP/2.0/UDP a, ,SIP/2.0/UDP b"))
    assert m.fields[0].raw[m.via().next :] == b"SIP/2.0/UDP b"


def test_bytes_outside_ascii_stay_what_they_are() -> None:
    m = made(b"Subject: caf\xc3\xa9 \xff", start=b"SIP/2.0 200 \xd0\xbf")
    assert (m.first(b"subject"), m.reason) == (b"caf\xc3\xa9 \xff", b"\xd0\xbf")


# ---- whatever comes --------------------------------------------------------------------------------------------------


def read_all(m: Message) -> None:
    """Read everything that can be read of a message; only BadHeader may come of it."""
    names_of = (b"from", b"to", b"contact", b"route", b"record-route", b"diversion")
    for read in (m.via, m.vias, m.cseq, m.call_id, m.from_, m.to, m.max_forwards, m.content_length, m.body):
        try:
            read()
        except BadHeader:
            continue
    for name in names_of:
        try:
            for value in m.routes(name):
                assert value.uri in value.address in value.text in m.data
                assert value.display in m.data
                assert isinstance(value.tag, bytes | None)
        except BadHeader:
            continue


@given(ANYTHING, st.booleans())
@settings(max_examples=400, deadline=None)
@example(b"SIP/2.0 200\r\n\r\n", False)
@example(b"A b SIP/2.0\n\n", False)
def test_nothing_but_bad_message_comes_of_any_bytes(data: bytes, stream: bool) -> None:
    try:
        m = parse(data, stream=stream)
    except BadMessage as caught:
        error = caught
    else:
        check_index(m)
        read_all(m)
        return
    assert error.fatal or error.message is not None
    assert error.reason.isascii()


def check_index(m: Message) -> None:
    """The lines cover the head without a gap, each under the name that it begins with."""
    at = m.start_end
    for name, start, value, end in m.lines:
        assert start == at
        assert m.data[start:value].rstrip(b": \t").lower() in {name, *(s for s, n in COMPACT.items() if n == name)}
        assert m.data[end - 2 : end] == b"\r\n"
        at = end
    assert at + 2 == m.body_at or not m.lines


VALUES = st.binary(max_size=20).map(lambda v: v.replace(b"\r", b"").replace(b"\n", b"").strip(b" \t"))
HEADERS = st.lists(st.tuples(st.sampled_from([*COMPACT.items(), (b"x", b"x")]), VALUES), max_size=8)


@given(HEADERS, st.data())
@settings(max_examples=150, deadline=None)
def test_folds_compact_forms_and_case_index_alike(
    headers: list[tuple[tuple[bytes, bytes], bytes]], data: st.DataObject
) -> None:
    """The same headers, spelled plainly and in whatever way the grammar allows."""
    plain, spelled = [], []
    for (short, long), value in headers:
        if long == b"content-length":
            value = b"0"
        plain.append(long + b": " + value)
        name = data.draw(st.sampled_from([short, short.upper(), long.upper(), long.title()]))
        space = data.draw(st.sampled_from([b"", b" ", b"\t ", b"\r\n ", b" \r\n\t"]))
        tail = data.draw(st.sampled_from([b"", b" ", b"\t", b"\r\n "]))
        spelled.append(name + data.draw(st.sampled_from([b"", b" ", b"\t"])) + b":" + space + value + tail)
    a, b = parse(wire(*plain)), parse(wire(*spelled))
    assert names(a) == names(b)
    assert a.index == b.index
    for name in set(names(a)):
        assert a.all(name) == b.all(name)


@pytest.mark.parametrize("data", CORPUS, ids=lambda d: d[:30].decode("latin-1"))
def test_the_corpus_reads_or_fails_as_it_should(data: bytes) -> None:
    try:
        m = parse(data)
    except BadMessage:
        return
    read_all(m)


def test_based_replaces_what_it_says() -> None:
    assert made(b"CSeq: 7 X").all(b"cseq") == [b"7 X"]
    assert based() == wire(*BASE)
