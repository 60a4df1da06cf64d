"""guard replay: calls of a capture, decided on its own clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.capture.making import GUARD, OPERATOR, PBX, RAW, T0, ipv4, ipv6, pcap, tcp, udp, written
from tests.capture.telephony import MINE, THEIRS, Dialog, Tape, brief, config, replayed

DATA = Path(__file__).parent / "data"
END = ("outcome", "final_status", "ring_ms", "talk_ms")


@pytest.fixture
def tape() -> Tape:
    return Tape()


def test_an_answered_call(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Dialog(tape, "one").answered(0.25, ring=1.5, pick_up=4, end=12)
    (record,) = replayed(capsys, config(tmp_path), tape.written(tmp_path))
    assert record["time"] == "2026-11-21T10:00:00.250000+01:00"
    assert brief([record], "call_id", "site", "source", "trunk", "caller", "presented", "callee") == [
        ("one", "lab", "pbx", "operator", MINE, MINE, "+33612345678")
    ]
    assert brief([record], "verdict", "response", "findings", "held_ms", *END) == [
        ("allowed", None, [], 0, "answered", 200, 2500, 8000)
    ]


def test_rules_speak_and_money_counts(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Dialog(tape, "blocked", caller=THEIRS).answered(0)
    Dialog(tape, "masked", caller="+33892681234").answered(1)
    records = replayed(capsys, config(tmp_path), tape.written(tmp_path))
    assert brief(records, "call_id", "verdict", "response", "presented", *END) == [
        ("blocked", "blocked", 403, "", "blocked", 403, 0, 0),
        ("masked", "masked", None, "+33145678900", "answered", 200, 2000, 7000),
    ]
    assert [f["rule"] for f in records[0]["findings"]] == ["cli.not-authorised"]  # type: ignore[attr-defined]
    assert records[0]["avoided_cents"] == 250_005


def test_monitor_mode_decides_and_lets_go(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Dialog(tape, "one", caller=THEIRS).answered(0)
    records = replayed(capsys, config(tmp_path, mode="monitor"), tape.written(tmp_path))
    assert brief(records, "verdict", "outcome", "talk_ms") == [("flagged", "answered", 7000)]


def test_held_calls_wait_on_the_captures_clock(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two calls a second may leave: six come at once. Nothing in the capture says when the others would leave."""
    for n in range(6):
        Dialog(tape, f"c{n}").request(n / 100)
    records = replayed(capsys, config(tmp_path, cps=2, hold_ms=1500), tape.written(tmp_path))
    assert brief(records, "call_id", "verdict", "response", "held_ms") == [
        ("c0", "allowed", None, 0),
        ("c1", "allowed", None, 0),
        ("c2", "allowed", None, 1000),  # c0 left at 0.00, so there is a place at 1.02: a second and its margin
        ("c3", "allowed", None, 1000),
        ("c4", "blocked", 480, 1500),
        ("c5", "blocked", 480, 1500),
    ]


def test_answers_that_come_while_a_call_is_held_are_its_own(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No guard was there: the call went on at once, and is held in the replay only."""
    Dialog(tape, "first").request(0)
    Dialog(tape, "held").answered(0.1, ring=0.2, pick_up=0.4, end=5)
    records = replayed(capsys, config(tmp_path, cps=1), tape.written(tmp_path))
    assert brief(records, "call_id", "held_ms", *END)[1] == ("held", 920, "answered", 200, 200, 4600)


def test_a_call_cancelled_while_held_never_leaves(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(3):
        Dialog(tape, f"c{n}").request(n / 10)
    Dialog(tape, "c1").request(0.6, "CANCEL", branch="c1INVITE1")
    records = replayed(capsys, config(tmp_path, cps=1), tape.written(tmp_path))
    assert brief(records, "call_id", "held_ms", "outcome") == [
        ("c0", 0, None),
        ("c1", 500, "cancelled"),
        ("c2", 820, None),  # it has the place that c1 waited for
    ]


def test_an_emergency_call_is_never_held_but_takes_its_place(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(3):
        Dialog(tape, f"c{n}").request(n / 10)
    Dialog(tape, "sos", callee="112", caller=THEIRS).answered(0.5)
    records = replayed(capsys, config(tmp_path, cps=1, hold_ms=4000), tape.written(tmp_path))
    assert brief(sorted(records, key=lambda r: str(r["call_id"])), "call_id", "verdict", "held_ms") == [
        ("c0", "allowed", 0),
        ("c1", "allowed", 1420),  # c0 left at 0.0, the emergency call at 0.5
        ("c2", "allowed", 2340),
        ("sos", "allowed", 0),
    ]


def test_channels_are_given_back_at_the_end(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Dialog(tape, "one").answered(0, end=10)
    Dialog(tape, "two").request(9)
    Dialog(tape, "three").answered(11)
    records = replayed(capsys, config(tmp_path, channels=1), tape.written(tmp_path))
    assert brief(records, "call_id", "verdict", "response") == [
        ("one", "allowed", None),
        ("two", "blocked", 480),
        ("three", "allowed", None),
    ]


def test_a_repetition_with_credentials_is_one_call(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for call_id, caller in (("allowed", MINE), ("blocked", THEIRS)):
        call = Dialog(tape, call_id, caller=caller)
        call.request(0)
        call.answer(0.1, 407)
        call.cseq = 2
        call.request(0.2)
        call.answer(1.2, 180)
        call.answer(2.2, 200)
        call.request(5.2, "BYE", to_tag="b", cseq=3)
        call.answer(5.3, 200, "BYE", cseq=3)
    records = replayed(capsys, config(tmp_path), tape.written(tmp_path))
    assert brief(records, "call_id", *END) == [
        ("allowed", "answered", 200, 1000, 3000),
        ("blocked", "blocked", 403, 0, 0),
    ]


def test_credentials_that_never_come_are_a_failed_call(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Dialog(tape, "one")
    call.request(0)
    call.answer(0.1, 401)
    records = replayed(capsys, config(tmp_path), tape.written(tmp_path))
    assert brief(records, *END) == [("failed", 401, 0, 0)]


def test_forks_are_one_call_and_each_target_is_judged(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Dialog(tape, "fork")
    call.request(0, branch="x1")
    call.request(0.1, branch="x2", uri=f"sip:+33623456789@{GUARD}")
    call.answer(1, 486, branch="x1")
    call.answer(2, 180, branch="x2")
    call.answer(3, 200, branch="x2")
    records = replayed(capsys, config(tmp_path, cps=1, channels=1), tape.written(tmp_path))
    assert brief(records, "call_id", "verdict", "held_ms", "outcome") == [("fork", "allowed", 0, None)]


def test_retransmissions_are_no_calls(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = Dialog(tape, "one")
    for at in (0, 0.5, 1.5, 3.5):
        call.request(at)
    call.answer(4, 486)
    records = replayed(capsys, config(tmp_path, cps=1), tape.written(tmp_path))
    assert brief(records, *END) == [("failed", 486, 0, 0)]


def test_the_callee_hangs_up(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = Dialog(tape, "one")
    call.request(0)
    call.answer(2, 200)
    call.request(7, "BYE", to_tag="b", from_callee=True)
    data = f"SIP/2.0 200 X\r\nVia: SIP/2.0/UDP {GUARD};branch=z9hG4bKoneBYE1\r\nCall-ID: one\r\nCSeq: 1 BYE\r\n\r\n"
    tape.say(7.1, data.encode(), PBX, GUARD)
    records = replayed(capsys, config(tmp_path), tape.written(tmp_path))
    assert brief(records, *END) == [("answered", 200, 0, 5000)]


def test_what_the_guard_itself_said_changes_no_verdict(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The capture was made beside a guard: it refused both calls, of which this configuration would let one pass."""
    for call_id, caller in (("mine", MINE), ("theirs", THEIRS)):
        call = Dialog(tape, call_id, caller=caller)
        call.request(0)
        call.answer(0.01, 100)
        call.answer(0.02, 403)
    records = replayed(capsys, config(tmp_path), tape.written(tmp_path))
    assert brief(records, "call_id", "verdict", "outcome", "final_status") == [
        ("mine", "allowed", "failed", 403),
        ("theirs", "blocked", "blocked", 403),
    ]


@pytest.mark.parametrize("via", [GUARD, f"{GUARD}:5060"])
def test_what_the_guard_sent_on_is_no_attempt(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str], via: str
) -> None:
    """Guard and IPBX share an address, as far as the configuration tells them apart: by the top Via."""
    call = Dialog(tape, "one")
    call.answered(0)
    call.request(0.02, branch="guard", via=via, src=GUARD, dst=OPERATOR)
    conf = config(tmp_path, cps=1, sources="192.0.2.0/24")
    records = replayed(capsys, conf, tape.written(tmp_path))
    assert brief(records, *END) == [("answered", 200, 2000, 7000)]


def test_a_call_that_is_up_when_the_capture_ends_has_no_end(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Dialog(tape, "one")
    call.request(0)
    call.answer(1, 200)
    records = replayed(capsys, config(tmp_path), tape.written(tmp_path))
    assert brief(records, "verdict", *END) == [("allowed", None, None, None, None)]


def test_silence_ends_a_call_where_the_capture_goes_on(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Dialog(tape, "one")
    call.request(0)
    call.answer(1, 200)
    Dialog(tape, "two").request(2 * 86_400)
    records = replayed(capsys, config(tmp_path), tape.written(tmp_path))
    assert brief(records, "outcome", "talk_ms") == [("answered", 0), (None, None)]


def test_over_tcp_and_ipv6(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = Tape()
    Dialog(tape, "tcp").request(0)
    data = tape.packets[0][1][28:]
    half = len(data) // 2
    packets = [
        (T0, ipv4(tcp(data[:half], 1), PBX, GUARD, protocol=6)),
        (T0 + 20_000, ipv4(tcp(data[half:], 1 + half), PBX, GUARD, protocol=6)),
        (T0 + 30_000, ipv6(udp(data.replace(b"Call-ID: tcp", b"Call-ID: six")))),
    ]
    capture = written(tmp_path, pcap(packets, link=RAW))
    conf = config(tmp_path, sources=f'{PBX}", "2001:db8::5')
    records = replayed(capsys, conf, capture)
    assert brief(records, "call_id", "time") == [
        ("tcp", "2026-11-21T10:00:00.020000+01:00"),
        ("six", "2026-11-21T10:00:00.030000+01:00"),
    ]


@pytest.mark.parametrize(
    ("name", "address", "end"),
    [
        # INVITE 686.562, 180 686.621123, 200 690.905636, BYE of the callee 693.057152 (tshark)
        ("sipnab__call_tcp.pcap", "10.33.6.100", ("answered", 200, 4284, 2151)),
        # 180 105.508290, 200 to the INVITE 107.461324, BYE of the callee 112.333833; PRACK between them
        ("sipnab__prack_call.pcap", "10.33.6.101", ("answered", 200, 1953, 4872)),
        # through a proxy that stays out of the dialog: the BYE goes straight between the two ends
        ("sipnab__proxy_call.pcap", "10.33.6.101", ("answered", 200, 603, 2232)),
        # 401 and repeated; 200 761.154507, BYE 762.767474
        ("isa__call.pcap", "10.0.2.4", ("answered", 200, 0, 1612)),
        ("isa__call.pcapng", "10.0.2.4", ("answered", 200, 0, 1612)),
    ],
)
def test_calls_of_others_as_tshark_lists_them(
    name: str, address: str, end: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = replayed(capsys, config(tmp_path, sources=address, mode="monitor"), DATA / name)
    assert brief(records, *END) == [end]


def test_every_capture_of_others_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = replayed(capsys, config(tmp_path, sources="0.0.0.0/2"), *sorted(DATA.glob("*.pcap*")))
    assert len(records) == len({(r["call_id"], json.dumps(r["findings"])) for r in records if r["call_id"]})
    times = [str(r["time"])[:19] for r in records]
    assert times == sorted(times)
