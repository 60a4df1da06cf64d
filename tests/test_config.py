"""guard.toml: what is right loads; what is wrong is told all at once, with file, line, key and the nearest word."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import pytest

from guard.config import Config, ConfigError, host_port, load, read
from guard.confighops import Hop
from guard.numbering.number import Dial
from guard.rules.numbers import NEVER
from guard.sources import usage_of
from guard.tomlread import Problem

ROOT: Final = Path(__file__).parent.parent

GOOD: Final = """\
site = "hq"
[listen]
udp = ["192.0.2.10:5060"]
[[trunk]]
name = "operator"
next_hop = ["sip:198.51.100.10"]
[[source]]
name = "pbx"
address = ["192.0.2.5"]
trunk = "operator"
[[number]]
range = "+33145678900-+33145678999"
"""

# The example of the interfaces that this project promises, without what this version cannot serve yet (listen.tls).
INTERFACES: Final = """\
site = "hq"                    # names this guard in records, topics and metrics
mode = "enforce"               # or "monitor": decide and record, never touch a call
timezone = "Europe/Paris"

[listen]
udp = ["192.0.2.10:5060"]
tcp = ["192.0.2.10:5060"]
advertise = "192.0.2.10"       # the address written in Via and Record-Route, where it differs

[[trunk]]
name = "operator"
next_hop = ["sip:198.51.100.10:5060;transport=udp", "sip:198.51.100.11"]   # in order of preference
contract = "technicophone-sip-trunk"    # a file of policies/contracts
channels = 30
cps = 10                       # overrides the contract
reading = "digits"             # which of a contract's two contradictory amounts counts: "digits" or "words"
mask_caller = "+33145678900"   # presented in place of a masked number; absent: anonymous

[[source]]                     # who may send calls; anyone else gets no answer but a record
name = "pbx"
address = ["192.0.2.5", "192.0.2.64/28"]
trunk = "operator"
usage = "human"                # human | automated | platform | prospecting, or several: ["automated", "prospecting"]
country = "FR"
line_from = "from"             # which header names the line: from | pai | ppi | contact | auth | header:NAME
forwarded = "trust-diversion"  # or "require-inbound": a forwarded caller needs an inbound leg that the guard saw
dial = { international = "00", national = "0", strip = "" }

[[usage]]                      # narrower than the source's; first match wins
source = "pbx"
line = ["200", "2*"]           # or caller = ["+33948*"], or header = { name = "X-Campaign", value = "*" }
usage = "automated"

[[number]]                     # numbers that may be presented
range = "+33145678900-+33145678999"     # a range, one number, or a prefix with *
holder = "self"                # "self", or the assignee who gave consent, and then:
proof = "consents/acme-2026-03.pdf"
from = 2026-03-01
until = 2099-02-28

[prospecting]
consents = "consents.csv"      # number,from,until,proof
refusals = "refusals.csv"      # number,at

[rules."rate.cps"]             # per rule: enabled, action, mode, and the rule's own parameters
action = "hold"
hold_ms = 2000

[state]
url = "memory://"              # or redis://, rediss://, unix://, redis+cluster://
[store]
path = "/var/lib/guard/guard.db"
durability = "process"         # survives kill -9; "power": survives a power cut
retention_days = 180
[mqtt]
url = "mqtt://127.0.0.1:1883"  # absent: no alerts are published
topic = "guard"
[web]
listen = "127.0.0.1:8080"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "guard.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(folder: Path, text: str) -> list[Problem]:
    found: list[Problem] = []
    read(written(folder, text), found)
    return found


def loaded(folder: Path, more: str = "", text: str = GOOD) -> Config:
    return load(written(folder, text + more))


# ---- what is right ---------------------------------------------------------------------------------------------------


def test_the_example_of_the_interfaces_loads(tmp_path: Path) -> None:
    (tmp_path / "consents").mkdir()
    (tmp_path / "consents" / "acme-2026-03.pdf").touch()
    (tmp_path / "consents.csv").write_text("number,from,until,proof\n", encoding="utf-8")
    (tmp_path / "refusals.csv").write_text("number,at\n", encoding="utf-8")
    config = load(written(tmp_path, INTERFACES))
    assert (config.site, config.timezone) == ("hq", "Europe/Paris")
    assert config.udp == config.tcp == (("192.0.2.10", 5060),)
    assert config.hops == {"operator": (Hop("udp", "198.51.100.10", 5060), Hop("udp", "198.51.100.11", 5060))}
    (source,) = config.sources
    assert source.networks == (ip_network("192.0.2.5"), ip_network("192.0.2.64/28"))
    assert source.dial == Dial(international="00", national="0", strip="")
    assert usage_of(source, "201", "", lambda _: "") == ("automated",)
    assert usage_of(source, "301", "", lambda _: "") == ("human",)
    assert config.store_path == Path("/var/lib/guard/guard.db")
    assert config.file.rules["rate.cps"].parameters == {"hold_ms": 2000}
    assert config.warnings == ()
    assert config.web is not None
    assert (config.web.host, config.web.port) == ("127.0.0.1", 8080)


def test_the_least_that_loads_has_every_default(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert (config.file.mode, config.file.emergency_from_unknown) == ("enforce", "private")
    assert config.policies == ROOT / "policies"
    (source,) = config.sources
    assert (source.usage, source.country, source.line_from, source.contact) == (("human",), "FR", "from", None)
    assert (config.file.store.durability, config.file.store.retention_days) == ("process", 180)
    assert (config.file.faults.engine, config.file.faults.store, config.file.faults.state) == ("pass", "pass", "pass")
    assert config.warnings == ()


def test_paths_are_relative_to_the_file_and_not_to_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "proof.txt").touch()
    (tmp_path / "site" / "rules-of-ours").mkdir()
    monkeypatch.chdir(tmp_path)
    path = Path("site") / "guard.toml"
    more = (
        '\n[[number]]\nrange = "+33180909090"\nholder = "Acme"\nproof = "proof.txt"\n[store]\npath = "log/guard.db"\n'
    )
    path.write_text('policies = "rules-of-ours"\n' + GOOD + more, encoding="utf-8")
    config = load(path)
    assert config.store_path == Path("site/log/guard.db")
    assert config.policies == Path("site/rules-of-ours")


def test_days_begin_and_end_at_midnight_of_the_site(tmp_path: Path) -> None:
    config = loaded(tmp_path, '\n[[number]]\nrange = "+33180909090"\nfrom = 2026-03-29\nuntil = 2026-03-29\n')
    (held,) = [h for h in config.held.all if h.low == "+33180909090"]
    assert held.until - held.since == 23 * 3600 * 1_000_000, "clocks go forward on that day"
    begins = datetime(2026, 3, 28, 23, 0, tzinfo=UTC).timestamp() * 1_000_000
    assert held.since == begins
    paris = held.since
    text = 'timezone = "Indian/Reunion"\n' + GOOD
    config = loaded(tmp_path, '\n[[number]]\nrange = "+33180909090"\nfrom = 2026-03-29\n', text)
    (held,) = [h for h in config.held.all if h.low == "+33180909090"]
    assert paris - held.since == 3 * 3600 * 1_000_000


def test_a_right_until_the_last_day_there_is_never_ends(tmp_path: Path) -> None:
    config = loaded(tmp_path, '\n[[number]]\nrange = "+33180909090"\nfrom = 0001-01-01\nuntil = 9999-12-31\n')
    assert config.held.right("+33180909090", NEVER - 1)
    assert config.held.right("+33180909090", -(2**53))


@pytest.mark.parametrize(
    "more",
    [
        'range = "+33180909090"\nuntil = 2026-01-31\n[[number]]\nrange = "+33180909090"\nfrom = 2026-02-01\n',
        'range = "+33145678899"\n[[number]]\nrange = "+33145679000"\n',
        'range = "3020"\n[[number]]\nrange = "+3302*"\n',
    ],
)
def test_numbers_that_only_seem_to_overlap(tmp_path: Path, more: str) -> None:
    loaded(tmp_path, "\n[[number]]\n" + more)


def test_several_listeners_and_ipv6(tmp_path: Path) -> None:
    text = GOOD.replace('udp = ["192.0.2.10:5060"]', 'udp = ["[2001:db8::1]:5060", "192.0.2.10:5061"]')
    assert loaded(tmp_path, "", text).udp == (("2001:db8::1", 5060), ("192.0.2.10", 5061))


def test_the_whole_of_the_world_needs_an_advertised_name(tmp_path: Path) -> None:
    text = GOOD.replace('"192.0.2.10:5060"', '"0.0.0.0:5060"')
    (problem,) = problems_of(tmp_path, text)
    assert "needs listen.advertise" in problem.what
    assert loaded(tmp_path, "", text.replace("[listen]", '[listen]\nadvertise = "192.0.2.10"')).udp


def test_names_of_next_hops_are_kept_for_later(tmp_path: Path) -> None:
    text = GOOD.replace("sip:198.51.100.10", "sip:trunk.example.net;transport=TCP")
    assert loaded(tmp_path, "", text).hops == {"operator": (Hop("tcp", "trunk.example.net", 5060, ("port",)),)}


def test_what_dns_is_to_find_is_what_was_not_written(tmp_path: Path) -> None:
    def left(uri: str) -> tuple[str, ...]:
        return loaded(tmp_path, "", GOOD.replace('"sip:198.51.100.10"', f'"{uri}"')).hops["operator"][0].open

    assert left("sip:trunk.example.net") == ("transport", "port")
    assert left("sip:trunk.example.net:5070") == ("transport",)
    assert left("sip:trunk.example.net:5070;transport=udp") == ()
    assert left("sip:198.51.100.10") == ()


def test_servers_of_names_are_numeric(tmp_path: Path) -> None:
    good = '[dns]\nservers = ["192.0.2.53", "[2001:db8::53]:5353", "2001:db8::53", "192.0.2.53:1053"]\n'
    assert loaded(tmp_path, good).dns == (
        ("192.0.2.53", 53), ("2001:db8::53", 5353), ("2001:db8::53", 53), ("192.0.2.53", 1053)
    )  # fmt: skip
    for bad in ("dns.example.net", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:x", "", ":53", "[]:53"):
        (problem,) = problems_of(tmp_path, GOOD + f'[dns]\nservers = ["{bad}"]\n')
        assert problem.key == "dns.servers"
        assert "no numeric address of a DNS server" in problem.what


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("192.0.2.1:5060", ("192.0.2.1", 5060)),
        ("[::1]:5060", ("::1", 5060)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("192.0.2.1:65536", None),
        ("192.0.2.1:0", None),
        ("192.0.2.1", None),
        ("::1:5060", None),
        ("host:5060", None),
        ("192.0.2.1:", None),
        ("192.0.2.1:٥", None),
        ("", None),
        (":5060", None),
        ("192.0.2.256:5060", None),
    ],
)
def test_host_and_port(text: str, read_as: tuple[str, int] | None) -> None:
    assert host_port(text) == read_as


# ---- what cannot be read at all --------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "guard.toml")
    assert [str(p) for p in error.value.problems] == [f"{tmp_path / 'guard.toml'}: No such file or directory"]


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, GOOD + "this is not TOML\n")
    assert problem.line == GOOD.count("\n") + 1
    assert problem.what.startswith("not TOML: ")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "guard.toml").write_bytes(b"site = \xff\n")
    found: list[Problem] = []
    assert read(tmp_path / "guard.toml", found) is None
    assert [p.what for p in found] == ["not UTF-8 at byte 7"]


def test_an_empty_file_says_what_is_missing(tmp_path: Path) -> None:
    whats = [p.what for p in problems_of(tmp_path, "")]
    assert whats == [
        "no [[trunk]]: there is nowhere to send calls",
        "no [[source]]: nobody may send calls",
        "neither udp nor tcp nor tls: there is nothing to listen on",
    ]


@pytest.mark.parametrize(("client", "warned"), [("request", 0), ("expect", 0), ("require", 1)])
def test_certificates_that_stop_emergency_calls_are_warned_of(tmp_path: Path, client: str, warned: int) -> None:
    for name in ("guard.pem", "ca.pem"):
        (tmp_path / name).touch()
    tls = f'[tls]\ncertificate = "guard.pem"\nca = "ca.pem"\nclient = "{client}"\n'
    text = GOOD.replace("[listen]", f'{tls}\n[listen]\ntls = ["192.0.2.10:5061"]')
    found = load(written(tmp_path, text)).warnings
    assert len(found) == warned
    assert all("emergency call" in w and '"expect"' in w for w in found)
