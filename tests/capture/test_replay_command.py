"""guard replay as people use it: logs, summaries, errors, standard input, Ctrl-C, a terminal."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.capture.messages import Captured, Messages
from guard.cli import replay as command
from guard.cli.main import main
from guard.cli.summary import SHOWN
from tests.capture.making import GUARD, OPERATOR, PBX, T0, ipv4, options, pcap, udp, written
from tests.capture.telephony import THEIRS, Dialog, Tape, config, replayed
from tests.net.zone import NameServer

DATA = Path(__file__).parent / "data"


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


@pytest.fixture
def tape() -> Tape:
    """Five calls: three answered, one refused, one held."""
    tape = Tape()
    for n in range(3):
        Dialog(tape, f"good{n}").answered(n * 2)
    Dialog(tape, "bad", caller=THEIRS).answered(3)
    Dialog(tape, "late").answered(4.5)
    return tape


def test_twice_the_same_bytes(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf, capture = config(tmp_path, cps=1), tape.written(tmp_path)
    outs = []
    for _ in range(2):
        assert main(["replay", str(capture), "-c", str(conf), "--json"]) == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1]
    assert outs[0].count("\n") == 5


def test_a_kept_log_holds_what_was_printed(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf, capture, store = config(tmp_path, cps=1), tape.written(tmp_path), str(tmp_path / "kept.db")
    without = replayed(capsys, conf, capture)
    first = replayed(capsys, conf, capture, more=("--store", store))
    assert [{**r, "hash": ""} for r in first] == [{**r, "hash": ""} for r in without]
    again = replayed(capsys, conf, capture, more=("--store", store))
    assert [r["seq"] for r in again] == [int(str(r["seq"])) + 10 for r in first]
    assert main(["log", "-c", str(conf), "--store", store, "--all", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == first + again
    assert main(["log", "-c", str(conf), "--store", store, "--verify"]) == 0


def test_a_number_is_fined_once_in_a_kept_log(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf, capture, store = config(tmp_path), tape.written(tmp_path), str(tmp_path / "kept.db")
    money = [
        [r["avoided_cents"] for r in replayed(capsys, conf, capture, more=("--store", store)) if r["call_id"] == "bad"]
        for _ in range(2)
    ]
    assert money == [[250_005], [5]]


def test_the_summary(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape.say(20, b"\x80\0 media", PBX, OPERATOR)
    tape.say(21, tape.packets[0][1][28:], "203.0.113.9", PBX)
    capture = written(tmp_path, tape.data() + b"\0" * 5)
    assert main(["replay", str(capture), "-c", str(config(tmp_path, cps=1))]) == 0
    out, err = capsys.readouterr()
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "packets 37, 2026-11-21 10:00:00.000 to 2026-11-21 10:00:21.000 (21.0 s)"
    assert lines[1] == "SIP 36 messages: 16 requests, 20 responses"
    assert lines[2] == "no SIP other UDP 1"
    assert lines[3] == "calls 5: 4 allowed, 1 blocked, 1 held for a while"
    assert lines[4] == "outcomes 4 answered, 1 blocked"
    assert lines[5] == "money accrued 0.00 EUR, avoided 2,500.05 EUR"
    assert "cli.not-authorised 1 1" in lines
    assert any("blocked cli.not-authorised +33145679900" in line for line in lines)
    assert lines[-1] == "1 INVITEs to others from addresses that no [[source]] or [[trunk]] names: 203.0.113.9 (1)"
    assert f"{capture}: byte {len(tape.data())}: the last packet is cut short; what came before it counts" in err


@pytest.mark.parametrize("cps", [None, 1])
def test_the_summary_is_that_of_the_records(
    cps: int | None, tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no log is asked for, calls of which no rule says anything are only counted."""
    Dialog(tape, "masked", caller="+33892681234").answered(6)
    Dialog(tape, "open").request(7)
    words = ["replay", str(tape.written(tmp_path)), "-c", str(config(tmp_path, cps=cps))]
    assert main([*words, "--store", str(tmp_path / "kept.db")]) == 0
    kept = capsys.readouterr().out
    assert main(words) == 0
    assert capsys.readouterr().out == kept


def test_the_summary_lists_only_so_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = Tape()
    for n in range(SHOWN + 3):
        Dialog(tape, f"bad{n}", caller=THEIRS).request(n)
    assert main(["replay", str(tape.written(tmp_path)), "-c", str(config(tmp_path))]) == 0
    out = capsys.readouterr().out
    assert out.count("cli.not-authorised") == SHOWN + 1
    assert "and 3 more (--json has them all)" in out


def test_texts_of_the_network_cannot_command_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = Tape()
    Dialog(tape, "evil\x1b[2J", caller="\x1b]0;x\x07").request(0)
    for more in ([], ["--json"]):
        assert main(["replay", str(tape.written(tmp_path)), "-c", str(config(tmp_path)), *more]) == 0
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err


def test_a_capture_without_sip_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = written(tmp_path, pcap([(T0, ipv4(udp(b"\x80 media")))]))
    assert main(["replay", str(capture), "-c", str(config(tmp_path))]) == 0
    assert capsys.readouterr().err == "guard: no SIP message was found\n"


@pytest.mark.parametrize("dst", [GUARD, PBX])
def test_calls_of_nobody_say_whose_they_are(dst: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Towards the guard they are recorded, as it records them; elsewhere they are none of ours."""
    tape = Tape()
    for n in range(7):
        Dialog(tape, f"c{n}", src=f"203.0.113.{n}", dst=dst).request(n)
    Dialog(tape, "c7", src="203.0.113.6", dst=dst).request(8)
    assert main(["replay", str(tape.written(tmp_path)), "-c", str(config(tmp_path)), "--json"]) == 0
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert [(r["verdict"], r["response"], r["findings"][0]["rule"]) for r in records] == (
        [("blocked", None, "source.unknown")] * 8 if dst == GUARD else []
    )
    assert err == (
        "guard: no call: the INVITEs came from addresses that no [[source]] or [[trunk]] names: 203.0.113.6 (2),"
        " 203.0.113.0 (1), 203.0.113.1 (1), 203.0.113.2 (1), 203.0.113.3 (1), and 2 more\n"
    )


def test_a_scan_beyond_what_is_recorded_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = Tape()
    for n in range(13):
        Dialog(tape, f"c{n}", src="203.0.113.1").request(n / 100)
    assert main(["replay", str(tape.written(tmp_path)), "-c", str(config(tmp_path))]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "3 calls to the guard from addresses that no [[source]] or [[trunk]] names, beyond 10 a second" in lines


def test_a_hop_whose_name_nobody_knows_costs_inbound_calls_only(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with NameServer() as server:
        conf = config(tmp_path)
        text = conf.read_text("utf-8").replace(f"sip:{OPERATOR}", "sip:sip.operator.example")
        conf.write_text(f'{text}[dns]\nservers = ["127.0.0.1:{server.address[1]}"]\n', encoding="utf-8")
        assert main(["replay", str(tape.written(tmp_path)), "-c", str(conf), "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 5
    assert err == "guard: sip.operator.example leads to no address: calls that come in from there are not followed\n"


def test_a_broken_capture_counts_up_to_there(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tape.data()
    broken = written(tmp_path, data + b"\xff" * 32)
    assert main(["replay", str(broken), "-c", str(config(tmp_path)), "--json"]) == 1
    out, err = capsys.readouterr()
    assert out.count("\n") == 5
    assert err == f"guard: {broken}: byte {len(data)}: a packet of 4294967295 bytes, more than 262144\n"


@pytest.mark.parametrize("name", ["none.pcap", "text.pcap"])
def test_what_cannot_be_read_is_an_error_and_no_summary(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, b"not a capture", "text.pcap")
    assert main(["replay", str(tmp_path / name), "-c", str(config(tmp_path))]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    reason = (
        "No such file or directory"
        if name == "none.pcap"
        else "byte 0: neither pcap nor pcapng: it begins with 6e 6f 74 20"
    )
    assert err == f"guard: {tmp_path / name}: {reason}\n"


def test_a_broken_configuration_names_its_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = config(tmp_path)
    conf.write_text(conf.read_text("utf-8") + 'nonsense = 1\n[rules."no.rule"]\n', encoding="utf-8")
    assert main(["replay", str(DATA / "isa__call.pcap"), "-c", str(conf)]) == 1
    assert "no.rule" in capsys.readouterr().err


def test_a_log_that_cannot_be_kept(tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = written(tmp_path, b"x" * 5000, "other.db")
    assert main(["replay", str(tape.written(tmp_path)), "-c", str(config(tmp_path)), "--store", str(other)]) == 1
    assert str(other) in capsys.readouterr().err


# ---- standard input, Ctrl-C, a terminal -----------------------------------------------------------------------------


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_standard_input(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = config(tmp_path)
    records = replayed(capsys, conf, tape.written(tmp_path))
    piped(monkeypatch, tape.data())
    assert replayed(capsys, conf, "-") == records


def test_standard_input_is_named_in_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, b"nothing")
    assert main(["replay", "-", "-c", str(config(tmp_path))]) == 1
    assert capsys.readouterr().err.startswith("guard: standard input: byte 0: neither pcap")


def test_standard_input_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = str(config(tmp_path))
    assert main(["replay", "-", "-", "-c", conf]) == 2
    assert capsys.readouterr().err == "guard: standard input (-) can be read only once\n"
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert main(["replay", "-", "-c", conf]) == 2
    assert "is a terminal" in capsys.readouterr().err


def test_ctrl_c_ends_a_live_capture_with_what_was_read(
    tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: Messages) -> Iterator[list[Captured]]:
        for run in original(self):
            yield run[:10]
            raise KeyboardInterrupt

    original = Messages.runs
    monkeypatch.setattr(Messages, "runs", stopped)
    assert main(["replay", str(tape.written(tmp_path)), "-c", str(config(tmp_path)), "--json"]) == command.INTERRUPTED
    out, err = capsys.readouterr()
    assert out.count("\n") == 3
    assert err == "guard: interrupted: what was read until then counts\n"


def test_a_terminal_sees_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.capture.messages.TICK", 10)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    capture = written(tmp_path, pcap([(T0 + n, ipv4(udp(options(n)))) for n in range(100)]))
    assert main(["replay", str(capture), "-c", str(config(tmp_path))]) == 0
    assert "c.pcap" in terminal.getvalue()


def test_help_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["replay", "--help"])
    assert end.value.code == 0
    assert "standard input" in capsys.readouterr().out


def test_no_capture_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["replay"])
    assert end.value.code == 2
    assert "CAPTURE" in capsys.readouterr().err
