"""`guard decide` for each caller-ID range of the contract and of the public plan, at both edges, and beyond each.

The configuration holds every number, so that only the rules on ranges speak.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

import guard.config
import guard.policy.load
from guard.cli.main import main
from tests.decide_table import TABLE, USAGES, Answer, Profile, Row, answer_of

CONFIG = "\n".join(
    [
        'timezone = "Europe/Paris"',
        '[listen]\nudp = ["127.0.0.1:5060"]',
        '[[trunk]]\nname = "public"\nnext_hop = ["sip:192.0.2.10:5060"]',
        '[[trunk]]\nname = "contract"\nnext_hop = ["sip:192.0.2.11:5060"]\ncontract = "technicophone-sip-trunk"',
        '[[source]]\nname = "public"\naddress = ["192.0.2.1"]\ntrunk = "public"',
        '[[source]]\nname = "contract"\naddress = ["192.0.2.2"]\ntrunk = "contract"',
        *(f'[[number]]\nrange = "+{digit}*"' for digit in range(1, 10)),
        *(f'[[number]]\nrange = "1{"0" * n}-9{"9" * n}"' for n in range(1, 6)),
        '[prospecting]\nconsents = "consents.csv"',
    ]
)
STRENGTH = ("allow", "flag", "mask", "hold", "block")
DECIDES = {"allowed": "", "flagged": "flag", "masked": "mask", "blocked": "block"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration that holds every number, and two sources: one that a contract binds and one that none does."""
    path = tmp_path_factory.mktemp("edges") / "guard.toml"
    path.write_text(CONFIG, "utf-8")
    # Whoever is called consented, so that the rules on canvassing keep silent.
    (path.parent / "consents.csv").write_text("number,from,proof\n0145678900,2026-09-01,form 1\n", "utf-8")
    return path


@pytest.fixture(autouse=True)
def read_once(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    """The configuration and its policies are read for the first decision only: there are thousands of them."""
    read = _read(config)
    monkeypatch.setattr(guard.config, "load", lambda _: read[0])
    monkeypatch.setattr(guard.policy.load, "load_policy", lambda _: read[1])


@functools.cache
def _read(path: Path) -> tuple[guard.config.Config, guard.policy.load.Policy]:
    config = guard.config.load(path)
    return config, guard.policy.load.load_policy(config)


def decide(config: Path, capsys: pytest.CaptureFixture[str], number: str, usage: str, trunk: str) -> Answer:
    """Verdict and deciding rule that the command prints."""
    words = ["decide", "-c", str(config), "--source", trunk, "--usage", usage, "--caller", number]
    status = main([*words, "--callee", "0145678900", "--at", "2026-11-20T10:30", "--json"])
    record = json.loads(capsys.readouterr().out)
    verdict = record["verdict"]
    assert status == (1 if verdict == "blocked" else 0)
    strongest = max((STRENGTH.index(f["action"]) for f in record["findings"]), default=0)
    assert STRENGTH[strongest] == (DECIDES[verdict] or "allow")
    decided = [f["rule"] for f in record["findings"] if f["action"] == DECIDES[verdict]]
    return verdict, decided[0] if decided else ""


def beside(number: str, step: int) -> str:
    """The number before or after one, as wide."""
    return str(int(number) + step).zfill(len(number))


def expected(row: Row) -> dict[str, Profile]:
    """Each number that a row speaks of, with what it is."""
    first, last, profile, below, above = row
    wanted = {first: profile, last: profile}
    if below is not None:
        wanted[beside(first, -1)] = below
    if above is not None:
        wanted[beside(last, 1)] = above
    return wanted


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[1]}")
def test_both_edges_of_each_range_and_beyond(row: Row, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for number, profile in expected(row).items():
        for trunk in ("public", "contract"):
            for usage in USAGES:
                got = decide(config, capsys, number, usage, trunk)
                want = answer_of(number, profile, usage, trunk)
                if got != want:
                    wrong.append(f"{number} {usage} {trunk}: {got}, not {want}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_masked_premium_is_named_and_not_presented(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        [
            "decide",
            "-c",
            str(config),
            "--source",
            "contract",
            "--caller",
            "0890123456",
            "--callee",
            "0145678900",
            "--json",
        ]
    )
    record = json.loads(capsys.readouterr().out)
    assert (record["verdict"], record["caller"], record["presented"]) == ("masked", "+33890123456", "")
    assert "003_742b69a7556570e9.txt IV-12" in record["findings"][0]["article"]


@pytest.mark.parametrize("caller", ["+33590271234", "33590271234", "0033947512345"])
def test_overseas_numbers_written_under_33_are_flagged(
    caller: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decide(config, capsys, caller, "human", "public") == ("flagged", "cli.malformed")


@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize(
    "callee", ["112", "0112", "00112", "+33112", "112;phone-context=+33", "3651112", "urn:service:sos"]
)
def test_emergency_calls_pass_whatever_is_presented(
    callee: str, usage: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for caller in ("0612345678", "0899000000", "0199000000", "112", "x", "anonymous", ""):
        words = ["decide", "-c", str(config), "--usage", usage, "--caller", caller, "--callee", callee, "--json"]
        assert main(words) == 0
        record = json.loads(capsys.readouterr().out)
        assert (record["verdict"], [f["rule"] for f in record["findings"]]) == ("allowed", ["dst.emergency"])
