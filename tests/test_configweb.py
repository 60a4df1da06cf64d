"""`[web]`: what is right, what is not, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.config import load
from guard.configweb import MAX_SOCKET, Place
from tests.test_config import GOOD, problems_of, written


def place(folder: Path, more: str = "", text: str = GOOD) -> Place:
    config = load(written(folder, text + more))
    assert config.web is not None
    return config.web


def test_without_a_word_it_is_on_loopback_and_beside_the_log(tmp_path: Path) -> None:
    found = place(tmp_path, '[store]\npath = "calls.db"\n')
    assert found.url == "http://127.0.0.1:8080/"
    assert found.hosts == ("localhost", "127.0.0.1", "::1")
    assert (found.tokens, found.control) == (tmp_path / "calls.db-tokens", tmp_path / "calls.db.sock")
    assert not found.open_viewer
    assert not found.tls


def test_every_key(tmp_path: Path) -> None:
    (tmp_path / "c.pem").touch()
    (tmp_path / "k.pem").touch()
    found = place(
        tmp_path,
        '[web]\nlisten = "[::1]:8443"\nhosts = ["Guard.Example.Net", "[2001:db8::1]"]\ntokens = "t"\n'
        'control = "run/c"\nopen_viewer = true\ncertificate = "c.pem"\nkey = "k.pem"\nlanguage = "fr"\n',
    )
    assert found.url == "https://[::1]:8443/"
    assert found.hosts == ("localhost", "127.0.0.1", "::1", "guard.example.net", "2001:db8::1")
    assert (found.tokens, found.control) == (tmp_path / "t", tmp_path / "run" / "c")
    assert (found.certificate, found.key) == (tmp_path / "c.pem", tmp_path / "k.pem")
    assert (found.open_viewer, found.language) == (True, "fr")


def test_any_name_will_do_where_others_reach_it(tmp_path: Path) -> None:
    assert place(tmp_path, '[web]\nlisten = "192.0.2.1:8080"\n').hosts == ()


def test_a_log_in_memory_has_no_socket_beside_it(tmp_path: Path) -> None:
    assert place(tmp_path, '[store]\npath = ":memory:"\n').control is None
    assert place(tmp_path, '[store]\npath = ":memory:"\n[web]\ncontrol = "c"\n').control == tmp_path / "c"


@pytest.mark.parametrize(
    ("more", "key", "words"),
    [
        ('listen = "localhost"', "web.listen", '"localhost" is no address'),
        ('listen = "127.0.0.1:0"', "web.listen", "is no address"),
        ('hosts = ["https://x/"]', "web.hosts", "is no name of a host"),
        ('hosts = [""]', "web.hosts", "is no name of a host"),
        ('certificate = "no.pem"\nkey = "no.pem"', "web.certificate", "no such file"),
        ('key = "guard.toml"', "web.certificate", "belong together"),
        ('listen = "192.0.2.1:80"\nopen_viewer = true', "web.open_viewer", "loopback"),
        (f'control = "{"x" * MAX_SOCKET}"', "web.control", "longer than"),
        ('language = "de"', "web.language", "language"),
        ("viewer = true", "web.viewer", "unknown key"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, more: str, key: str, words: str) -> None:
    found = problems_of(tmp_path, f"{GOOD}[web]\n{more}\n")
    assert any(p.key == key and words in str(p) for p in found), found


def test_tokens_in_the_clear_are_a_warning(tmp_path: Path) -> None:
    config = load(written(tmp_path, GOOD + '[web]\nlisten = "192.0.2.1:8080"\n'))
    assert "in the clear" in config.warnings[0]
