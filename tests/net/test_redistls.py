"""Shared counters over TLS, on a real redis-server: certificates, user and password, and what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from sim.ports import free_port
from tests.certs import Authority
from tests.net.test_redislink import Guard, at_work, run, value
from tests.state.server import serving
from tests.state.touches import gauge

HOST: Final = "127.0.0.1"
SAYS: Final = {
    "": "",
    "name": "certificate verify failed: IP address mismatch",
    "authority": "certificate verify failed",
    "client": "",  # redis-server hangs up
    "nobody": "",
    "plain": "",
    "password": "invalid username-password pair",
    "file": "No such file or directory",
}
WORD: Final = {"password": "no access"}


@pytest.mark.parametrize("fault", SAYS)
def test_over_tls_with_what_is_right_and_with_what_is_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    ours, other = Authority("ours"), Authority("other")
    ours.write(tmp_path)
    other.write(tmp_path, "other")
    issued = ours.issue("192.0.2.1" if fault == "name" else HOST)
    (tmp_path / "server.crt").write_bytes(issued.certificate)
    (tmp_path / "server.key").write_bytes(issued.key)
    (other if fault == "client" else ours).issue(cn="guard").write(tmp_path, "mine")
    port = free_port(HOST)
    options = (
        "--tls-port", str(port), "--bind", HOST, "--tls-cert-file", str(tmp_path / "server.crt"),
        "--tls-key-file", str(tmp_path / "server.key"), "--tls-ca-cert-file", str(tmp_path / "ca.pem"),
        "--user", "guard", "on", ">s3cret", "~{guard:*", "+@all",
    )  # fmt: skip
    ca = "other" if fault == "authority" else "none" if fault == "file" else "ca"
    mine = "" if fault == "nobody" else f"&ssl_certfile={tmp_path}/mine.pem&ssl_keyfile={tmp_path}/mine.pem"
    password = "wr0ng" if fault == "password" else "s3cret"
    url = f"rediss://guard:{password}@{HOST}:{port}?ssl_ca_certs={tmp_path}/{ca}.pem{mine}"
    url = url.replace("rediss", "redis").partition("?")[0] if fault == "plain" else url

    async def scene() -> None:
        async with at_work(Guard(url)) as guard:
            if not fault:
                await guard.served()
                assert value(await guard.ask(gauge("1", None))) == 0
            else:
                await guard.lost(WORD.get(fault, "gone"))
                assert guard.link.counters["state_greeted"] == 0

    with serving(*options) as server:
        run(scene)
        with server.client() as client:
            assert bool(client.keys("*")) is not bool(fault), "what is there came over TLS"
    assert SAYS[fault] in caplog.text
    assert password not in caplog.text
