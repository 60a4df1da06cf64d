"""Where shared counters are: every way to write it, and every way to write it wrongly."""

from __future__ import annotations

import pytest

from guard.configstate import BadUrl, Place, place

GOOD: dict[str, Place] = {
    "redis://h": Place(kind="single", hosts=(("h", 6379),)),
    "valkey://h:1/2": Place(kind="single", hosts=(("h", 1),), db=2),
    "redis://u:p%40ss@[2001:db8::1]:7000": Place(
        kind="single", hosts=(("2001:db8::1", 7000),), user="u", password="p@ss"
    ),
    "rediss://:pw@h?ssl_ca_certs=/ca.pem": Place(
        kind="single", hosts=(("h", 6379),), password="pw", tls=True, files=(("ssl_ca_certs", "/ca.pem"),)
    ),
    "unix:///run/redis.sock?db=3": Place(kind="unix", path="/run/redis.sock", db=3),
    "redis+sentinel://a,b:1/fleet/4": Place(kind="sentinel", hosts=(("a", 26379), ("b", 1)), name="fleet", db=4),
    "rediss+cluster://a:1,b": Place(kind="cluster", hosts=(("a", 1), ("b", 6379)), tls=True),
}
BAD: dict[str, str] = {
    "": "nothing that counters live in",
    "http://h": '"http" is nothing',
    "memory:/": "nothing that counters live in",
    "redis://": "a host is missing",
    "redis://h:0": '"0" is no port',
    "redis://h:65536": '"65536" is no port',
    "redis://h:x": '"x" is no port',
    "redis://2001:db8::1": "stands in brackets",
    "redis://:secret@1[rules.1:6379/0": "brackets hold no IPv6 address",  # found by fuzzing
    "redis://[secret]:6379": "brackets hold no IPv6 address",
    "redis://a,b": "more than one host",
    "redis://h/1001": "no number of a database",
    "redis://h/é": "only printable ASCII",
    "redis://h\n": "only printable ASCII",
    "redis://h?timeout=1": '"timeout" is no option',
    "redis://h?ssl_ca_certs=/x": '"ssl_ca_certs" is no option',
    "redis://:secret#x@h": "a # ends it",
    "unix://run/redis.sock": "three slashes",
    "redis+sentinel://a": "name of the master",
    "redis+sentinel://a/fl eet": "name of the master",
    "redis+cluster://a/1": "no numbered databases",
}


@pytest.mark.parametrize("url", GOOD)
def test_an_address(url: str) -> None:
    assert place(url) == GOOD[url]


@pytest.mark.parametrize("url", BAD)
def test_no_address(url: str) -> None:
    with pytest.raises(BadUrl, match=BAD[url]) as error:
        place(url)
    assert "secret" not in str(error.value)


def test_people_are_not_shown_the_password() -> None:
    for url in GOOD:
        assert "p@ss" not in str(place(url))
        assert "pw" not in str(place(url))
    assert str(place("redis+sentinel://:x@a,b/fleet")) == "fleet of a port 26379, b port 26379"
