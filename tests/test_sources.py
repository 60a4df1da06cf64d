"""Whose a call is, and what for: the patterns of [[usage]], and addresses."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from guard import sources
from guard.sources import Source, Sources, UsageRule, matches

RULE = UsageRule(
    usage=("automated",), line=("200", "80*"), caller=("+33145678901", "+339*"), header=("X-Kind", "robot*")
)


@pytest.mark.parametrize(
    ("line", "caller", "kind", "fits"),
    [
        ("200", "+33145678901", "robot", True),
        ("801", "+33912345678", "robot-7", True),
        ("80", "+33145678901", "robot", True),
        ("2001", "+33145678901", "robot", False),
        ("20", "+33145678901", "robot", False),
        ("180", "+33145678901", "robot", False),
        ("200", "+331456789012", "robot", False),
        ("200", "+33145678902", "robot", False),
        ("200", "+33145678901", "human", False),
        ("200", "+33145678901", "", False),
        ("", "", "", False),
    ],
)
def test_every_condition_has_to_fit(line: str, caller: str, kind: str, fits: bool) -> None:
    assert matches(RULE, line, caller, lambda name: kind if name == "X-Kind" else "") is fits


def test_what_is_not_asked_does_not_matter() -> None:
    assert matches(UsageRule(usage=("human",)), "", "", lambda _: "")
    assert matches(UsageRule(usage=("human",), line=("*",)), "", "", lambda _: "")
    assert not matches(UsageRule(usage=("human",), header=("X-Kind", "*")), "", "", lambda _: "")


def test_the_first_source_whose_network_holds_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "KNOWN_ADDRESSES", 3)
    one, two = (
        Source(name=n, networks=(ip_network(net),), trunk="operator")
        for n, net in (("one", "192.0.2.0/25"), ("two", "192.0.2.0/24"))
    )
    known = Sources((one, two))
    for _ in range(2):
        for address, name in (("192.0.2.5", "one"), ("192.0.2.200", "two"), ("::ffff:192.0.2.5", "one")):
            found = known.find(address)
            assert found is not None
            assert found.name == name
        assert known.find("198.51.100.1") is None
    assert len(known._cache) <= 3
