"""What another policy would have decided: of the calls of a log, and of a capture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from guard.cli.main import main
from guard.compare import EXAMPLES, Differences, Example, Pairs, Side
from guard.model import Decision, Finding, Text
from tests.capture.telephony import MINE, MOBILE, THEIRS, Dialog, Tape, config
from tests.deciding import NOW, STRANGERS, call
from tests.store.making import SECOND
from tests.store.making_log import write

POLICIES: Final = Path(__file__).parents[2] / "policies"
DAY: Final = 24 * 3600 * SECOND
PREMIUM: Final = "+33892681234"
ALLOWED: Final = Side("allowed")
BLOCKED: Final = Side("blocked", "cli.premium", 403)
A_CALL: Final = Example(1, "c", "a", "b")

RULE: Final = """
[[site_rule]]
id = "site.no-mobiles"
action = "block"
source = "the desk, 2026-11-02"
text = { en = "no" }
when = { callee = "+336*" }
"""


def diff(capsys: pytest.CaptureFixture[str], *words: str | Path, status: int = 0) -> list[dict[str, Any]]:
    """What `guard policy diff … --json` says."""
    capsys.readouterr()
    assert main(["policy", "diff", *map(str, words), "--json"]) == status
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def brief(found: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """Each kind of change in words."""

    def words(side: dict[str, Any] | None) -> str:
        return f"{side['verdict']} {side['rule']}".strip() if side is not None else "never seen"

    return [(words(f["before"]), words(f["after"]), f["calls"]) for f in found]


# ---- counting --------------------------------------------------------------------------------------------------------


def test_only_what_differs_is_told() -> None:
    found = Differences()
    found.add(A_CALL, BLOCKED, BLOCKED)
    assert (found.judged, found.changed, found.changes) == (1, 0, [])


def test_the_verdict_the_rule_the_status_and_the_number_shown_make_a_decision() -> None:
    for after in (
        Side("flagged", "cli.premium"),
        Side("blocked", "cli.fiction", 403),
        Side("blocked", "cli.premium", 480),
        Side("blocked", "cli.premium", 403, "+33145678900"),
    ):
        found = Differences()
        found.add(A_CALL, BLOCKED, after)
        assert found.changed == 1, after


def test_each_kind_of_change_is_counted_with_a_few_examples() -> None:
    found = Differences()
    for n in range(EXAMPLES + 4):
        found.add(Example(n, f"c{n}", "a", "b"), ALLOWED, BLOCKED)
    found.add(A_CALL, BLOCKED, ALLOWED)
    assert [(c.before, c.after, c.calls) for c in found.changes] == [
        (ALLOWED, BLOCKED, EXAMPLES + 4),
        (BLOCKED, ALLOWED, 1),
    ]
    assert [e.call_id for e in found.changes[0].examples] == [f"c{n}" for n in range(EXAMPLES)]


def test_numbers_shown_are_no_kinds_of_their_own() -> None:
    found = Differences()
    for n in range(5):
        found.add(A_CALL, ALLOWED, Side("masked", "cli.premium", 0, f"+3314567890{n}"))
    assert [c.calls for c in found.changes] == [5]


# ---- two replays -----------------------------------------------------------------------------------------------------


def decided(verdict: str, rule: str = "") -> Decision:
    """A decision of a replay."""
    said = Finding(rule=rule, action="block", article=(), text=Text("", ""), facts={})
    return Decision(verdict=verdict, findings=(said,) if rule else (), rule=rule)  # type: ignore[arg-type]


def test_decisions_are_brought_together_call_by_call_whenever_they_come() -> None:
    pairs = Pairs()
    one, two = replace(call(), call_id="1"), replace(call(), call_id="2")
    pairs.before.decided(one, decided("allowed"), None)
    pairs.before.decided(two, decided("blocked", "x.y"), None)
    pairs.after.decided(two, decided("blocked", "x.y"), None)
    pairs.after.decided(one, decided("blocked", "x.z"), None)
    found = pairs.finish()
    assert [(c.before.rule, c.after.rule, c.calls) for c in found.changes] == [("", "x.z", 1)]
    assert found.judged == 2


def test_attempts_with_one_call_id_are_brought_together_in_their_order() -> None:
    pairs = Pairs()
    one = call()
    for verdict in ("blocked", "allowed"):
        pairs.before.decided(one, decided(verdict), None)
    for verdict in ("blocked", "flagged"):
        pairs.after.decided(one, decided(verdict), None)
    (change,) = pairs.finish().changes
    assert (change.before.verdict, change.after.verdict, change.calls) == ("allowed", "flagged", 1)


def test_what_only_one_of_them_saw_is_a_change() -> None:
    pairs = Pairs()
    pairs.before.decided(replace(call(), call_id="1"), decided("allowed"), None)
    pairs.after.decided(replace(call(), call_id="2"), decided("blocked"), None)
    found = pairs.finish()
    assert sorted((c.before.verdict, c.after.verdict) for c in found.changes) == [("", "blocked"), ("allowed", "")]


# ---- a log -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A guard.toml whose log holds five calls of November 2026, one of October and one of December."""
    path = config(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write('[store]\npath = "guard.db"\n')
    calls = [
        call(MINE, MOBILE, call_id="plain"),
        call(MINE, "+33145678902", call_id="fixed"),
        call(STRANGERS, MOBILE, call_id="strange"),
        call(PREMIUM, "+33145678902", call_id="premium"),
        call(MINE, "112", call_id="sos"),
        call(MINE, MOBILE, call_id="october", at=NOW - 40 * DAY),
        call(MINE, MOBILE, call_id="december", at=NOW + 30 * DAY),
    ]
    write(tmp_path / "guard.db", [(c, Decision(verdict="allowed")) for c in calls])
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Other policies: premium numbers are refused and not masked; a number presented without right is flagged."""
    folder = tmp_path / "other"
    shutil.copytree(POLICIES, folder)
    path = folder / "rules" / "caller-range.toml"
    text = path.read_text("utf-8")
    path.write_text(text.replace('[rule.say.masked]\naction = "mask"', "[rule.say.masked]"), encoding="utf-8")
    path = folder / "rules" / "caller-right.toml"
    text = path.read_text("utf-8")
    path.write_text(text.replace('sans droit" }\naction = "block"', 'sans droit" }\naction = "flag"'), encoding="utf-8")
    return folder


def test_two_folders_on_a_month_of_the_log(capsys: pytest.CaptureFixture[str], site: Path, other: Path) -> None:
    found = diff(capsys, POLICIES, other, "-c", site, "--on-log", "2026-11")
    assert brief(found) == [
        ("blocked cli.not-authorised", "flagged cli.not-authorised", 1),
        ("masked cli.premium", "blocked cli.premium", 1),
    ]
    (example,) = found[1]["examples"]
    assert example == {
        "time": "2026-11-21T10:00:00.000000+01:00",
        "call_id": "premium",
        "caller": PREMIUM,
        "callee": "+33145678902",
    }
    assert found[0]["after"]["status"] is None
    assert found[1]["after"]["status"] == 403


def test_the_same_policies_change_nothing(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    assert diff(capsys, POLICIES, site, "-c", site, "--on-log", "2026-11") == []


def test_two_configurations(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    stricter = site.with_name("stricter.toml")
    stricter.write_text(site.read_text("utf-8") + RULE, encoding="utf-8")
    found = diff(capsys, site, stricter, "-c", site, "--on-log", "2026-11")
    # Those that another rule refused before stay with it; emergency calls are none of its business.
    assert brief(found) == [("allowed", "blocked site.no-mobiles", 1)]
    assert brief(diff(capsys, stricter, site, "-c", site, "--on-log", "2026-11")) == [
        ("blocked site.no-mobiles", "allowed", 1)
    ]
    since = diff(capsys, site, stricter, "-c", site, "--on-log", "2026-10-01")
    assert brief(since) == [("allowed", "blocked site.no-mobiles", 3)]
    october = diff(capsys, site, stricter, "-c", site, "--on-log", "2026-10")
    assert [e["call_id"] for e in october[0]["examples"]] == ["october"]
    december = diff(capsys, site, stricter, "-c", site, "--on-log", "2026-12")
    assert [e["call_id"] for e in december[0]["examples"]] == ["december"]
    assert diff(capsys, site, stricter, "-c", site, "--on-log", "2026-09") == []


def test_the_table_for_people(capsys: pytest.CaptureFixture[str], site: Path, other: Path) -> None:
    assert main(["policy", "diff", str(POLICIES), str(other), "-c", str(site), "--on-log", "2026-11"]) == 0
    out = capsys.readouterr().out
    assert "blocked 403 by cli.not-authorised" in out
    assert "(premium)" in out
    assert "5 calls judged, 2 would be decided otherwise" in out


def test_examples_are_masked_where_numbers_are(capsys: pytest.CaptureFixture[str], site: Path, other: Path) -> None:
    found = diff(capsys, POLICIES, other, "-c", site, "--on-log", "2026-11", "--numbers", "masked")
    assert len(found) == 2
    assert PREMIUM not in json.dumps(found)
    assert PREMIUM[:-4] in json.dumps(found)


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "0000-01", "9999-12", "november"])
def test_what_is_no_month(capsys: pytest.CaptureFixture[str], site: Path, month: str) -> None:
    assert main(["policy", "diff", str(POLICIES), str(POLICIES), "-c", str(site), "--on-log", month]) == 2
    assert month in capsys.readouterr().err


def test_a_side_that_is_not_there(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    assert main(["policy", "diff", str(site), "/nowhere/at-all", "-c", str(site), "--on-log", "2026-11"]) == 2
    assert "no such folder or file" in capsys.readouterr().err


def test_mistakes_of_a_side_are_told(capsys: pytest.CaptureFixture[str], site: Path, other: Path) -> None:
    (other / "rules" / "source.toml").unlink()
    assert main(["policy", "diff", str(POLICIES), str(other), "-c", str(site), "--on-log", "2026-11"]) == 1
    assert "no file writes down the rule source.unknown" in capsys.readouterr().err


def test_no_log(capsys: pytest.CaptureFixture[str], site: Path, tmp_path: Path) -> None:
    (tmp_path / "guard.db").unlink()
    assert main(["policy", "diff", str(POLICIES), str(POLICIES), "-c", str(site), "--on-log", "2026-11"]) == 1
    assert "guard.db" in capsys.readouterr().err


# ---- a capture -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tape() -> Tape:
    """Four calls at once from ours, one from a number without right, a second apart from a fifth of ours."""
    tape = Tape()
    for n in range(4):
        Dialog(tape, f"good{n}").answered(0)
    Dialog(tape, "bad", caller=THEIRS).answered(1)
    Dialog(tape, "last").answered(5)
    return tape


def test_two_folders_on_a_capture(capsys: pytest.CaptureFixture[str], tmp_path: Path, tape: Tape, other: Path) -> None:
    found = diff(capsys, POLICIES, other, "-c", config(tmp_path), "--on", tape.written(tmp_path))
    assert brief(found) == [("blocked cli.not-authorised", "flagged cli.not-authorised", 1)]
    assert [e["call_id"] for e in found[0]["examples"]] == ["bad"]


def test_a_capture_is_judged_with_counters(capsys: pytest.CaptureFixture[str], tmp_path: Path, tape: Tape) -> None:
    plain, narrow = tmp_path / "plain", tmp_path / "narrow"
    plain.mkdir()
    narrow.mkdir()
    capture = tape.written(tmp_path)
    found = diff(capsys, config(plain), config(narrow, channels=3), "--on", capture)
    assert brief(found) == [("allowed", "blocked limit.channels", 2)]
    # One of them holds calls back: the verdict is the same, and each call is set against itself.
    slow = tmp_path / "slow"
    slow.mkdir()
    assert diff(capsys, config(plain), config(slow, cps=2), "--on", capture) == []


def test_each_side_has_sources_of_its_own(capsys: pytest.CaptureFixture[str], tmp_path: Path, tape: Tape) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    capture = tape.written(tmp_path)
    found = diff(capsys, config(here), config(there, sources="192.0.2.99"), "--on", capture)
    assert ("allowed", "blocked source.unknown", 5) in brief(found)


def test_a_capture_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "c.pcap"
    path.write_bytes(b"no capture at all, that is for sure")
    assert main(["policy", "diff", str(POLICIES), str(POLICIES), "-c", str(config(tmp_path)), "--on", str(path)]) == 1
    assert "c.pcap" in capsys.readouterr().err
