"""`guard web` as a process: what it says, what ends it, and the one line that says why it cannot start."""

from __future__ import annotations

import signal
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from guard.cli.main import main
from guard.web.tokens import Tokens
from sim.ports import free_port
from tests import certs
from tests.store.making import AT
from tests.test_config import GOOD
from tests.web.process import WebProcess
from tests.web.rig import HOST, PATIENCE, some_calls


def site(folder: Path, more: str = "", store: str = "guard.db") -> tuple[Path, int]:
    """A configuration, and the port of its page."""
    port = free_port(HOST)
    text = f'{GOOD}[store]\npath = "{store}"\n[web]\nlisten = "{HOST}:{port}"\n{more}'
    path = folder / "guard.toml"
    path.write_text(text, encoding="utf-8")
    return path, port


def refused(config: Path) -> str:
    """The one line of a page that is not served, with status 1."""
    process = WebProcess(config)
    assert process.process.wait(PATIENCE) == 1
    process.stop()
    (line,) = process.lines
    return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_also_while_somebody_watches(tmp_path: Path, number: signal.Signals) -> None:
    config, port = site(tmp_path)
    some_calls(tmp_path / "guard.db", 2)
    with Tokens(tmp_path / "guard.db-tokens") as tokens:
        token = tokens.create("bob", ["viewer"], now=AT, days=3_650, by="")
    process = WebProcess(config)
    try:
        process.wait_ready()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.stream("GET", f"http://{HOST}:{port}/api/v1/live", headers=headers, timeout=PATIENCE) as live:
            lines = live.iter_lines()
            assert next(lines).startswith("retry")
            process.process.send_signal(number)
            for _ in lines:
                pass  # it ends
    finally:
        assert process.stop() == 0
    assert [line.split(" INFO ")[1] for line in process.lines] == [
        f"web: ready: http://{HOST}:{port}/",
        "web: stopped",
    ]


def test_over_tls(tmp_path: Path) -> None:
    pem = certs.authority().issue("localhost").write(tmp_path, "web")
    config, port = site(tmp_path, f'certificate = "{pem.name}"\nkey = "{pem.name}"\n')
    process = WebProcess(config)
    try:
        process.wait_ready()
        trusting = ssl.create_default_context(cafile=str(certs.authority().write(tmp_path)))
        answer = httpx.get(f"https://localhost:{port}/signin", verify=trusting, timeout=PATIENCE)
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert answer.headers["set-cookie"].startswith("__Host-guard-form=")
        assert "secure" in answer.headers["set-cookie"].lower()
        renewed = certs.authority().issue("localhost")
        pem.write_bytes(renewed.certificate + renewed.key)
        process.process.send_signal(signal.SIGHUP)
        process.wait_for("certificate read again")
        shown = ssl.get_server_certificate((HOST, port))
        assert shown.split() == renewed.certificate.decode().split()
        pem.write_text("none")
        process.process.send_signal(signal.SIGHUP)
        process.wait_for("the certificate in force stays")
        assert ssl.get_server_certificate((HOST, port)) == shown
    finally:
        assert process.stop() == 0


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    config, port = site(tmp_path)
    with socket.socket() as other:
        other.bind((HOST, port))
        other.listen()
        assert refused(config) == f"guard: {HOST}:{port}: web.listen: Address already in use"


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    config, _ = site(tmp_path, 'certificate = "guard.toml"\nkey = "guard.toml"\n')
    assert "guard.toml: web.certificate: not a certificate with its key" in refused(config)


def test_a_key_with_a_password_is_none_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    issued = certs.authority().issue("localhost")
    (tmp_path / "web.pem").write_bytes(issued.certificate)
    (tmp_path / "web.key").write_bytes(issued.locked(b"secret"))
    config, _ = site(tmp_path, 'certificate = "web.pem"\nkey = "web.key"\n')
    assert "web.pem: web.certificate: not a certificate with its key" in refused(config)
    assert main(["check", "-c", str(config)]) == 1


def test_a_log_in_memory(tmp_path: Path) -> None:
    config, _ = site(tmp_path, store=":memory:")
    assert "a log that only the daemon itself can read" in refused(config)


def test_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    config, _ = site(tmp_path, "languages = 3\n")
    assert 'web.languages: unknown key; did you mean "language"?' in refused(config)
