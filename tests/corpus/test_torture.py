"""The torture messages of RFC 4475 and RFC 5118 through the real core: what a proxy has to do with each.

Requests come from the IPBX over the transport that their top Via names; responses are none of ours, and are dropped.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Final, Literal

import pytest

from guard.proxy.effects import Flow
from guard.proxy.shapes import Hop
from guard.sip.check import check_response
from guard.sip.framing import StreamFramer, Unframeable
from guard.sip.message import BadMessage, Message, parse
from tests.proxy.world import GUARD, OPERATOR, PBX, UP, World, reply, request

HERE: Final = Path(__file__).parent
FOLDERS: Final = {"rfc4475": "torture", "rfc5118": "torture-ipv6"}
FORWARD, DROP = "forward", "drop"

# What the guard does with each message: the status that it answers, or that it forwards it, or drops it.
TABLE: Final[dict[str, int | str]] = {
    # RFC 4475 3.1.1, valid
    # Folds everywhere, unknown headers, quoted pairs. "All elements should treat this as a well-formed request"
    # (3.1.1.1); its To has a tag, and to a request of no dialog that is known the answer is 481 (RFC 3261 12.2.2), so
    # that no set-up passes for the middle of a call. Within its dialog it goes on: see below.
    "torture/wsinv.dat": 481,
    "torture/intmeth.dat": FORWARD,  # every odd character that is allowed; NUL in a quoted string
    "torture/esc01.dat": FORWARD,  # escapes in the user part
    "torture/escnull.dat": FORWARD,  # %00
    "torture/esc02.dat": FORWARD,  # RE%47IST%45R is not REGISTER
    "torture/lwsdisp.dat": FORWARD,  # caller<sip:…>
    "torture/longreq.dat": FORWARD,  # 34 Via values, compact and not
    "torture/dblreq.dat": FORWARD,  # octets behind the end of the datagram's message
    "torture/semiuri.dat": FORWARD,  # ; and %40 in the user part
    "torture/transports.dat": FORWARD,  # transports that nobody knows in lower Via values
    "torture/mpart01.dat": FORWARD,  # binary body with NUL, bare CR and bare LF
    "torture/unreason.dat": DROP,  # responses of nobody's request
    "torture/noreason.dat": DROP,
    # 3.1.2, invalid
    "torture/badinv01.dat": 400,  # stray separators in Via
    "torture/clerr.dat": 400,  # body shorter than it says
    "torture/ncl.dat": 400,  # Content-Length: -999
    "torture/scalar02.dat": 400,  # CSeq of more than 32 bits
    "torture/scalarlg.dat": DROP,
    "torture/quotbal.dat": 400,
    "torture/ltgtruri.dat": 400,
    "torture/lwsruri.dat": 400,
    "torture/lwsstart.dat": 400,
    "torture/trws.dat": 400,
    "torture/escruri.dat": 400,  # ?Route= in the Request-URI
    "torture/baddate.dat": FORWARD,  # a Date is none of a proxy's business
    "torture/regbadct.dat": 400,
    "torture/badaspec.dat": 400,
    "torture/baddn.dat": 400,
    "torture/badvers.dat": 505,
    "torture/mismatch01.dat": 400,
    "torture/mismatch02.dat": 400,  # 501 is for endpoints that know all methods
    "torture/bigcode.dat": DROP,
    # 3.2 to 3.4
    "torture/badbranch.dat": FORWARD,  # matched as RFC 2543 did
    "torture/insuf.dat": 400,
    "torture/unkscm.dat": 416,
    "torture/novelsc.dat": 416,
    "torture/unksm2.dat": FORWARD,
    "torture/bext01.dat": 420,
    "torture/invut.dat": FORWARD,
    "torture/regaut01.dat": FORWARD,
    "torture/multi01.dat": 400,
    "torture/mcl01.dat": 400,
    "torture/bcast.dat": DROP,
    "torture/zeromf.dat": 483,
    "torture/cparam01.dat": FORWARD,
    "torture/cparam02.dat": FORWARD,
    "torture/regescrt.dat": FORWARD,
    "torture/sdp01.dat": FORWARD,  # Accept is between the ends
    "torture/inv2543.dat": FORWARD,  # no branch, no tag, no Content-Length, no Max-Forwards
    "torture/test.dat": DROP,  # no SIP version: not a request line, and no section speaks of it
    # RFC 5118
    "torture-ipv6/ipv6-good.dat": FORWARD,
    "torture-ipv6/ipv6-bad.dat": 400,  # no brackets: "10" is no port
    "torture-ipv6/port-ambiguous.dat": FORWARD,
    "torture-ipv6/port-unambiguous.dat": FORWARD,
    "torture-ipv6/via-received-param-with-delim.dat": FORWARD,
    "torture-ipv6/via-received-param-no-delim.dat": FORWARD,
    "torture-ipv6/ipv6-in-sdp.dat": FORWARD,
    "torture-ipv6/mult-ip-in-header.dat": FORWARD,
    "torture-ipv6/mult-ip-in-sdp.dat": FORWARD,
    "torture-ipv6/ipv4-mapped-ipv6.dat": FORWARD,
    "torture-ipv6/ipv6-bug-abnf-3-colons.dat": FORWARD,  # three colons are tolerated
    "torture-ipv6/ipv6-correct-abnf-2-colons.dat": FORWARD,
}


def rows() -> dict[str, dict[str, str]]:
    """The rows of the TSV by the file's path here."""
    with (HERE / "torture-EXPECTED.tsv").open(encoding="utf-8", newline="") as f:
        out = {}
        for row in csv.DictReader(f, delimiter="\t"):
            rfc, _, rest = row["file"].partition("/")
            out[f"{FOLDERS[rfc]}/{rest.rpartition('/')[2]}"] = row
        return out


ROWS: Final = rows()


def allowed(row: dict[str, str]) -> set[int | str]:
    """What the TSV lets a proxy do."""
    if row["expected"] == "(none)":
        return {DROP, 400}
    if row["kind"] == "response":
        return {DROP}
    said = " ".join((row["expected"], row["also_allowed"], row["proxy"]))
    out: set[int | str] = {int(n) for n in re.findall(r"\b[4-6]\d\d\b", said)}
    if "accept" in row["expected"] + row["also_allowed"] or re.search("forward|normal|either", row["proxy"]):
        out.add(FORWARD)
    return out


def read(name: str) -> bytes:
    return (HERE / name).read_bytes()


def flow_of(name: str) -> Flow:
    return Flow("tcp", GUARD, PBX, 7) if ROWS[name]["transport_top_via"] in {"TCP", "TLS"} else UP


def run(name: str, data: bytes | None = None) -> tuple[World, list[tuple[str, Message]]]:
    """The message as its transport hands it over, and what leaves because of it."""
    world, flow = World(), flow_of(name)
    data = read(name) if data is None else data
    if flow.transport == "tcp":
        items = StreamFramer().feed(data)
        assert len(items) == 1
        assert isinstance(items[0], bytes)
        data = items[0]
    return world, world(data, flow)


def test_every_row_and_every_file_has_its_place_in_the_table() -> None:
    files = {f"{folder}/{p.name}" for folder in FOLDERS.values() for p in (HERE / folder).iterdir()}
    assert set(TABLE) == set(ROWS) == files
    assert len(files) == 62


@pytest.mark.parametrize("name", TABLE)
def test_the_table_says_what_the_rfcs_allow(name: str) -> None:
    assert TABLE[name] in allowed(ROWS[name])


@pytest.mark.parametrize("name", TABLE)
def test_what_becomes_of_it(name: str) -> None:
    world, out = run(name)
    wanted = TABLE[name]
    if wanted == DROP:
        assert out == []
    elif wanted == FORWARD:
        down = [m for side, m in out if side == "down"]
        assert [m.method for m in down] == [parse(read(name)).method]
        assert [m.status for side, m in out if side == "up"] == ([100] if down[0].method == b"INVITE" else [])
        assert len(world.asked) == (down[0].method == b"INVITE")
    else:
        assert [(side, m.status) for side, m in out] == [("up", wanted)]
        # What is refused for its form leaves no memory behind; a well-formed request has its transaction.
        assert (world.asked, world.core.transactions) == ([], int(wanted == 481))


def within_its_dialog() -> World:
    """A call of which wsinv is the second INVITE: the same Call-ID and tags, as another hand writes them."""
    world = World()
    invite = request(
        uri="sip:vivekg@chair-dnrc.example.com",
        branch="first",
        call_id="wsinv.ndaksdj@192.0.2.1",
        caller="<sip:jdrosen@example.com>",
        tag="98asjd8",
    )
    first = world(invite, UP)[-1][1]
    world(reply(first, 200, to_tag="1918181833n"), Flow("udp", GUARD, OPERATOR))
    return world


def test_within_its_dialog_wsinv_goes_on() -> None:
    """It is its tag alone that stops it, and not its folds: in the dialog that the tag is of, it is a second INVITE."""
    world = within_its_dialog()
    asked = len(world.asked)
    out = world(read("torture/wsinv.dat"), UP)
    assert [(side, m.method or m.status) for side, m in out] == [("up", 100), ("down", b"INVITE")]
    assert len(world.asked) == asked  # a second INVITE is not judged again
    assert_only_what_must_be(parse(read("torture/wsinv.dat")), out[-1][1])


# ---- byte for byte ---------------------------------------------------------------------------------------------------

OURS: Final = re.compile(
    rb"Via: SIP/2.0/UDP 127\.0\.0\.1:5060;branch=z9hG4bKt0ken-[12]-[0-9a-f]{8};rport\r\n"
    rb"(Max-Forwards: 70\r\n)?"
    rb"(Record-Route: <sip:127\.0\.0\.1:5060;lr>\r\n(?:Record-Route: <sip:127\.0\.0\.1:5060;transport=tcp;lr>\r\n)?)?"
)
MARKS: Final = re.compile(rb";received=[^;,\s]*|;rport(=\d+)?")
REGISTERED: Final = re.compile(rb"<sip:[^>]*@127\.0\.0\.1:5060(;transport=tcp)?;guard=[a-z2-7]+>")
BARE: Final = re.compile(rb"<sip:[^>]*>|(?<= )sip:[^;\s]*")
FORWARDED: Final = [name for name, wanted in TABLE.items() if wanted == FORWARD]


def indexed(data: bytes) -> Message:
    """What can be indexed of a message, good or bad."""
    try:
        return parse(data)
    except BadMessage as error:
        if error.message is None:
            raise
        return error.message


def header_lines(m: Message) -> list[tuple[bytes, bytes]]:
    """Every header with its own bytes, folds and all."""
    return [(name, m.data[start:end]) for name, start, _, end in m.lines]


@pytest.mark.parametrize("name", FORWARDED)
def test_only_what_a_proxy_must_change_is_changed(name: str) -> None:
    world, out = run(name)
    after = next(m for side, m in out if side == "down")
    assert after.data == world.sent[-1][1]
    assert_only_what_must_be(parse(read(name)), after)


def assert_only_what_must_be(before: Message, after: Message) -> None:
    """A proxy's own lines and edits, and nothing else."""
    assert after.data[: after.start_end] == before.data[: before.start_end]  # the start line
    assert after.body() == before.body()
    assert len(after.body()) == (before.content_length() or len(before.body()))
    ours = OURS.match(after.data, after.start_end)
    assert ours is not None
    mine = ours.group().count(b"\r\n")
    was, now = header_lines(before), header_lines(after)[mine:]
    assert [n for n, _ in was] == [n for n, _ in now]
    assert (ours.group(1) is not None) == (before.max_forwards() is None)
    first = before.method == b"INVITE" and before.to().tag is None
    assert (ours.group(2) is not None) == first
    top = next(i for i, (n, _) in enumerate(was) if n == b"via")
    for i, ((header, old), (_, new)) in enumerate(zip(was, now, strict=True)):
        if header == b"max-forwards":
            hops = before.max_forwards()
            assert hops is not None
            assert new == old[: old.index(b":") + 1] + b" %d\r\n" % (hops - 1)
        elif header == b"contact" and before.method == b"REGISTER":
            assert REGISTERED.sub(b"<>", new) == BARE.sub(b"<>", old)  # it leads to the guard now, and nothing else
        elif i == top:
            assert MARKS.sub(b"", new) == MARKS.sub(b"", old)
            assert b";received=127.0.0.2" in new
        else:
            assert new == old


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("torture/intmeth.dat", b"extensionHeader-!.%*+_`'~:\xef\xbb\xbf\xe5\xa4\xa7\xe5\x81\x9c\xe9\x9b\xbb\r\n"),
        ("torture/intmeth.dat", b'To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:'),
        ("torture/semiuri.dat", b"application/pkcs7-mime,\r\n        multipart/mixed, multipart/signed,\r\n"),
        ("torture/esc02.dat", b"C%6Fntact: <sip:alias2@host2.example.com>\r\n"),
        ("torture/escnull.dat", b"L:0\r\n\r\n"),
        ("torture/regaut01.dat", b"Authorization: NoOneKnowsThisScheme opaque-data=here\r\nContent-Length:0\r\n"),
        ("torture/longreq.dat", b"v  : SIP/2.0/TCP sip19.example.com\r\nVia : SIP/2.0/TCP sip18.example.com\r\n"),
        ("torture/esc01.dat", b"Contact:\r\n  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>\r\n"),
    ],
)
def test_curious_bytes_pass_unharmed(name: str, kept: bytes) -> None:
    assert kept in read(name)
    _, out = run(name)
    assert kept in out[-1][1].data


@pytest.mark.parametrize(
    ("name", "contacts"),
    [
        ("torture/escnull.dat", [b"sip:%00@host5.example.com", b"sip:%00%00@host5.example.com"]),
        ("torture/regescrt.dat", [b"sip:user@example.com?Route=%3Csip:sip.example.com%3E"]),
        ("torture/cparam01.dat", [b"sip:+19725552222@gw1.example.net"]),
        ("torture/cparam02.dat", [b"sip:+19725552222@gw1.example.net;unknownparam"]),
        ("torture-ipv6/ipv6-good.dat", [b"sip:caller@[2001:db8::1]"]),
    ],
)
def test_curious_contacts_are_registered_and_come_back_as_they_were(name: str, contacts: list[bytes]) -> None:
    world, out = run(name)
    sent = out[-1][1]
    registered = [value.uri for value in sent.routes(b"contact")]
    users = [uri.rpartition(b"@")[0] for uri in contacts]
    assert [uri.rpartition(b"@")[0] for uri in registered] == users
    lines = b"".join(sent.data[s:e] for n, s, _, e in sent.lines if n != b"max-forwards")
    back = world(b"SIP/2.0 200 OK\r\n" + lines + b"\r\n", Flow("udp", GUARD, OPERATOR))
    assert [value.uri for value in back[0][1].routes(b"contact")] == contacts


def test_octets_behind_the_message_are_not_carried_on() -> None:
    _, out = run("torture/dblreq.dat")
    assert b"INVITE" not in out[0][1].data


# ---- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, wanted in TABLE.items() if isinstance(wanted, int)])
def test_a_refusal_carries_the_requests_own_lines(name: str) -> None:
    world, out = run(name)
    answer = out[0][1]
    assert answer.data == world.sent[0][1]
    asked = indexed(read(name))
    for header in (b"from", b"call-id", b"cseq"):
        assert [v for n, v in header_lines(answer) if n == header] == [v for n, v in header_lines(asked) if n == header]
    assert answer.count(b"via") == asked.count(b"via")
    assert re.search(rb";\s*tag\s*=", b"".join(answer.all(b"to"))) or not asked.count(b"to")
    assert answer.first(b"reason")
    # A stream that brought something unreadable is closed; what could be indexed and was refused for its sense is not.
    unreadable = world.core.counters["unreadable"]
    assert world.closed == ([flow_of(name)] if unreadable and flow_of(name).transport == "tcp" else [])


def test_what_is_not_supported_is_named() -> None:
    _, out = run("torture/bext01.dat")
    assert out[0][1].first(b"unsupported") == b"noProxiesSupportThis, norDoAnyProxiesSupportThis"


def test_an_answer_can_do_without_what_is_missing() -> None:
    _, out = run("torture/insuf.dat")
    assert [n for n, _ in header_lines(out[0][1])] == [b"cseq", b"via", b"reason", b"content-length"]


# ---- responses -------------------------------------------------------------------------------------------------------


def test_odd_reasons_can_be_read() -> None:
    assert parse(read("torture/unreason.dat")).reason.decode() == "= 2**3 * 5**2 но сто девяносто девять - простое"
    empty = parse(read("torture/noreason.dat"))
    assert (empty.status, empty.reason) == (100, b"")
    assert parse(read("torture/bcast.dat")).vias()[1].host == "255.255.255.255"


def test_bad_responses_are_refused() -> None:
    with pytest.raises(BadMessage, match="not a status line") as caught:
        parse(read("torture/bigcode.dat"))
    assert caught.value.fatal
    with pytest.raises(BadMessage, match="CSeq") as caught:
        check_response(parse(read("torture/scalarlg.dat")))
    assert caught.value.fatal


@pytest.mark.parametrize("name", ["torture/unreason.dat", "torture/noreason.dat"])
def test_an_odd_reason_comes_back_as_it_was_said(name: str) -> None:
    """The same start lines, as answers to a call of ours (the 100 as a 180, since a 100 goes no further)."""
    world = World()
    sent = next(m for side, m in world(request(), UP) if side == "down")
    line = read(name).partition(b"\r\n")[0].replace(b" 100 ", b" 180 ") + b"\r\n"
    lines = b"".join(sent.data[s:e] for n, s, _, e in sent.lines if n in {b"via", b"from", b"to", b"call-id", b"cseq"})
    out = world(line + lines + b"Content-Length: 0\r\n\r\n", Flow("udp", GUARD, OPERATOR))
    assert [side for side, _ in out] == ["up"]
    assert out[0][1].data.startswith(line)


# ---- the same over a stream ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torture/ncl.dat", "torture/mcl01.dat", "torture/inv2543.dat"])
def test_a_stream_without_a_certain_length_is_answered_400_and_closed(name: str) -> None:
    with pytest.raises(Unframeable) as caught:
        StreamFramer().feed(read(name))
    world, flow = World(), Flow("tcp", GUARD, PBX, 7)
    assert [m.status for _, m in world(caught.value.head, flow)] == [400]
    assert world.closed == [flow]


def test_a_stream_waits_for_the_bytes_that_are_missing() -> None:
    framer = StreamFramer()
    assert framer.feed(read("torture/clerr.dat")) == []
    assert framer.pending == 498
    assert len(framer.feed(b"x" * (9999 - 154))) == 1
    assert framer.pending == 0


def test_over_a_stream_what_follows_is_a_message_of_its_own() -> None:
    with pytest.raises(Unframeable, match="no Content-Length") as caught:  # the INVITE says less than its body has
        StreamFramer().feed(read("torture/dblreq.dat"))
    assert [i[:8] for i in caught.value.items if isinstance(i, bytes)] == [b"REGISTER", b"INVITE s"]


def test_a_datagram_without_a_length_gets_one_for_a_stream() -> None:
    world = World(hop=Hop("tcp", *OPERATOR))
    world(read("torture/inv2543.dat").replace(b"INVITE", b"MESSAGE"), UP)
    (flow, data) = world.sent[-1]
    assert flow.transport == "tcp"
    m = parse(data, stream=True)
    assert m.content_length() == len(m.body()) == 105


# ---- emergency calls -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clerr", "ncl", "quotbal", "multi01", "insuf", "badinv01", "inv2543", "badbranch"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_an_emergency_call_goes_on_whatever_is_wrong_with_it(name: str, transport: Literal["udp", "tcp"]) -> None:
    data = re.sub(rb"^\w+ \S+ SIP/2.0", b"INVITE sip:112@127.0.0.1 SIP/2.0", read(f"torture/{name}.dat"))
    world = World(hop=Hop(transport, *OPERATOR))
    sent = [d for f, d in deliver(world, data) if f.peer == OPERATOR]
    assert len(sent) == 1
    m = indexed(sent[0])
    assert m.uri == b"sip:112@127.0.0.3"
    before = indexed(data)
    assert m.body() == before.body()
    if transport == "tcp":
        assert m.content_length() == len(m.body())  # or nobody would find its end
    # Its refusal is acknowledged, however little of it can be read.
    answer = b"".join(m.data[s:e] for n, s, _, e in m.lines if n in {b"via", b"from", b"to", b"call-id"})
    refusal = b"SIP/2.0 486 Busy\r\n" + answer + b"CSeq: 8 INVITE\r\nContent-Length: 0\r\n\r\n"
    world.core.receive(refusal, Flow("udp", GUARD, OPERATOR), world.now)
    world.drain()
    assert sum(d.startswith(b"ACK sip:112@") for _, d in world.sent) == 1


def deliver(world: World, data: bytes) -> list[tuple[Flow, bytes]]:
    """What leaves because of a datagram, as bytes: it may be no message."""
    world.core.receive(data, UP, world.now)
    world.drain()
    return world.sent
