"""`[mqtt]` of guard.toml: what is a broker, what is none, and that no password is ever repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.config import Config, ConfigError
from tests.messages.rig import config_of


def broken(folder: Path, mqtt: str) -> list[str]:
    """What is said of it."""
    with pytest.raises(ConfigError) as raised:
        config_of(folder, mqtt)
    return [str(p).partition(": ")[2] for p in raised.value.problems]


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "shown"),
    [
        ("mqtt://broker.example.net", "broker.example.net", 1883, False, "mqtt://broker.example.net:1883"),
        ("mqtts://broker.example.net/", "broker.example.net", 8883, True, "mqtts://broker.example.net:8883"),
        ("mqtt://192.0.2.1:1", "192.0.2.1", 1, False, "mqtt://192.0.2.1:1"),
        ("mqtts://[2001:db8::1]:8884", "2001:db8::1", 8884, True, "mqtts://[2001:db8::1]:8884"),
    ],
)
def test_urls(tmp_path: Path, url: str, host: str, port: int, tls: bool, shown: str) -> None:
    found = config_of(tmp_path, f'url = "{url}"').broker
    assert found is not None
    assert (found.host, found.port, found.tls, found.shown) == (host, port, tls, shown)
    assert (found.topic, found.site) == ("guard/demo", "demo")


def test_who_logs_in(tmp_path: Path) -> None:
    found = config_of(tmp_path, 'url = "mqtts://guard%40hq:a%2Fb%3Ac@192.0.2.1"').broker
    assert found is not None
    assert (found.username, found.password, found.shown) == ("guard@hq", "a/b:c", "mqtts://192.0.2.1:8883")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "has no scheme"),
        ("192.0.2.1:1883", "has no scheme"),
        ("http://192.0.2.1", '"http" is no scheme of MQTT'),
        ("mqtt://", "names no host"),
        ("mqtt://:1883", "names no host"),
        ("mqtt://192.0.2.1:0", "port 0 is none"),
        ("mqtt://192.0.2.1:99999", "is no URL"),
        ("mqtt://[::1", "is no URL"),
        ("mqtt://192.0.2.1/topic", "has something after the port"),
        ("mqtt://u:s3cr3t@192.0.2.1:x", "is no URL"),
        ("mqtt://u:s3cr3t@192.0.2.1?x", "has something after the port"),
    ],
)
def test_urls_that_are_none(tmp_path: Path, url: str, said: str) -> None:
    (problem,) = broken(tmp_path, f'url = "{url}"')
    assert problem.startswith(f"mqtt.url: {said}")
    assert "s3cr3t" not in problem


@pytest.mark.parametrize("topic", ["", "/guard", "guard/", "a//b", "a/+/b", "#", "$SYS", "a\\u0000b", "x" * 201])
def test_topics_that_are_none(tmp_path: Path, topic: str) -> None:
    (problem,) = broken(tmp_path, f'url = "mqtt://192.0.2.1"\ntopic = "{topic}"')
    assert problem.startswith("mqtt.topic: ")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('ca = "ca.pem"', "mqtt.ca: is for TLS"),
        ('username = "a"\npassword_file = "nothere"', 'mqtt.password_file: "nothere": no such file'),
        ('password_file = "there"', "mqtt.username: is missing"),
        ('rules = ["clo.*"]', 'mqtt.rules: "clo.*" is no rule'),
        ('rules = ["cli"]', 'mqtt.rules: "cli" is no rule'),
        ('rules = ["cli.*.x"]', 'mqtt.rules: "cli.*.x" is no rule'),
        ('verdicts = ["refused"]', "mqtt.verdicts"),
        ("keep = 5", "mqtt.keep"),
        ("rate = -1", "mqtt.rate"),
        ('numbers = "some"', "mqtt.numbers"),
        ('qos = "2"', "mqtt.qos: unknown key"),
    ],
)
def test_what_does_not_fit_is_told_with_its_key(tmp_path: Path, more: str, said: str) -> None:
    for name in ("ca.pem", "there"):
        (tmp_path / name).touch()
    (problem, *_) = broken(tmp_path, f'url = "mqtt://192.0.2.1"\n{more}')
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("mqtt", "said"),
    [
        ('url = "mqtts://a@192.0.2.1"\nusername = "a"', "mqtt.username: stands in the URL as well"),
        ('url = "mqtts://a:s3cr3t@192.0.2.1"\npassword_file = "there"', "mqtt.password_file: a password stands in"),
        ('url = "mqtts://192.0.2.1"\ncertificate = "there"', "mqtt.certificate: and key belong together"),
    ],
)
def test_what_is_said_twice_or_by_half(tmp_path: Path, mqtt: str, said: str) -> None:
    (tmp_path / "there").touch()
    (problem,) = broken(tmp_path, mqtt)
    assert problem.startswith(said)
    assert "s3cr3t" not in problem


def warned(config: Config) -> bool:
    return any("in the clear" in w for w in config.warnings)


def test_a_password_in_the_clear_is_warned_of(tmp_path: Path) -> None:
    assert warned(config_of(tmp_path, 'url = "mqtt://a:b@192.0.2.1"'))
    assert not warned(config_of(tmp_path, 'url = "mqtts://a:b@192.0.2.1"'))
    assert not warned(config_of(tmp_path, 'url = "mqtt://a:b@127.0.0.1"'))
    assert not warned(config_of(tmp_path, 'url = "mqtt://192.0.2.1"'))


def test_rules_and_their_beginnings(tmp_path: Path) -> None:
    config_of(tmp_path, 'url = "mqtt://192.0.2.1"\nrules = ["cli.mismatch", "traffic.*", "dst.pre*", "*"]')
