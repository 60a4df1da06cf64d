"""A broker that is away, stands still, drops, refuses or lies: nothing is lost or out of order, and it is told."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.app_parts import contact_secret
from guard.net import mqtt, mqttclient
from guard.store.outbox import Outbox, path_of
from tests.apprig import run
from tests.certs import Authority
from tests.messages.broker import HOST, Broker, Heard, Listener, first_ids
from tests.messages.proxy import Proxy
from tests.messages.rig import config_of, publishing

MANY = 300


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes tenths."""
    monkeypatch.setattr(mqtt, "FIRST", 0.05)
    monkeypatch.setattr(mqtt, "LONGEST", 0.2)
    monkeypatch.setattr(mqttclient, "PATIENCE", 0.5)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """What the guard's log says with a word in it."""
    caplog.set_level(logging.INFO, logger="guard")
    return lambda word: [r.getMessage() for r in caplog.records if word in r.getMessage()]


def calls(count: int) -> Callable[[list[Heard]], bool]:
    """So many different calls were heard."""
    return lambda heard: len({h.id for h in heard if "/call/" in h.topic}) >= count


def in_order(listener: Listener, wanted: list[int]) -> None:
    """Each was heard, in order, and what was heard twice said the same."""
    assert [int(i.split("/")[1].partition("-")[0]) for i in first_ids(listener.events("call"))] == wanted


def first(listener: Listener) -> list[Heard]:
    """All that was heard, without what was heard before."""
    return list({h.id: h for h in reversed(listener.heard)}.values())[::-1]


def many(url: str, more: str = "") -> str:
    return f'url = "{url}"\nrate = 100000\n{more}'


def test_a_broker_that_is_restarted_under_load(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    wanted: list[int] = []

    async def scene() -> None:
        async with publishing(config_of(tmp_path, many(broker.url))) as rig:
            for n in range(6):
                wanted.extend(await rig.calls(MANY * n, MANY))
                if n % 2:
                    await asyncio.to_thread(listener.until, calls(MANY * n))
                    await asyncio.to_thread(broker.stop)
                    wanted.extend(await rig.calls(10_000 + n, 1))
                    await asyncio.to_thread(broker.start)
            await asyncio.to_thread(listener.until, calls(len(wanted)))
            assert rig.publisher.counters["mqtt_connections"] >= 3

    run(scene)
    in_order(listener, wanted)


def test_a_broker_that_stands_still(
    tmp_path: Path, broker: Broker, listener: Listener, said: Callable[[str], list[str]]
) -> None:
    wanted: list[int] = []

    async def scene() -> None:
        async with publishing(config_of(tmp_path, many(broker.url))) as rig:
            wanted.extend(await rig.calls(0, MANY))
            await asyncio.to_thread(listener.until, calls(1))
            broker.pause()
            wanted.extend(await rig.calls(MANY, MANY))
            while not said("does not answer"):
                await asyncio.sleep(0.02)
            broker.go_on()
            wanted.extend(await rig.calls(2 * MANY, MANY))
            await asyncio.to_thread(listener.until, calls(len(wanted)))

    run(scene)
    in_order(listener, wanted)
    assert len(said("does not answer")) == 1


def test_a_broker_that_takes_some_and_drops_the_connection(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    wanted: list[int] = []
    proxy = Proxy(broker, drop=9_000)  # some seven messages a connection: less than are on their way at once

    async def scene() -> None:
        async with publishing(config_of(tmp_path, many(proxy.url))) as rig:
            wanted.extend(await rig.calls(0, 40))
            await asyncio.to_thread(listener.until, calls(len(wanted)))

    try:
        run(scene)
    finally:
        proxy.close()
    assert proxy.connections > 3
    in_order(listener, wanted)
    assert len(listener.events("call")) > len(wanted)  # some twice, and these with the same id


def test_a_broker_that_takes_connections_and_nothing_else(
    tmp_path: Path, broker: Broker, said: Callable[[str], list[str]]
) -> None:
    for how in ({"silent": True}, {"drop": 0}):
        proxy = Proxy(broker, **how)

        async def scene(proxy: Proxy = proxy) -> None:
            async with publishing(config_of(tmp_path, many(proxy.url))) as rig:
                await rig.calls(0, 10)
                while proxy.connections < 3:
                    await asyncio.sleep(0.02)

        try:
            run(scene)
        finally:
            proxy.close()
    assert said("alerts wait: the broker mqtt://127.0.0.1:")
    with Outbox(path_of(str(config_of(tmp_path, many("mqtt://x")).store_path))) as outbox:
        assert len([w for w in outbox.page(100) if w.kind == "call"]) == 20


def test_a_broker_of_mqtt_3_1_1(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    proxy = Proxy(broker, old=True)
    wanted: list[int] = []

    async def scene() -> None:
        async with publishing(config_of(tmp_path, many(proxy.url))) as rig:
            wanted.extend(await rig.calls(0, 50))
            await asyncio.to_thread(listener.until, calls(50))

    try:
        run(scene)
    finally:
        proxy.close()
    assert proxy.connections == 2
    in_order(listener, wanted)


def test_a_broker_that_is_killed_may_forget_what_it_retained(tmp_path: Path, broker: Broker) -> None:
    async def scene() -> None:
        async with publishing(config_of(tmp_path, many(broker.url))) as rig:
            rig.publisher.troubled(())
            first = Listener(broker)
            await asyncio.to_thread(first.until, lambda h: any(x.topic.endswith("/health") for x in h))
            first.close()
            await asyncio.to_thread(broker.stop, signal.SIGKILL)
            (broker.folder / "mosquitto.db").unlink(missing_ok=True)
            await asyncio.to_thread(broker.start)
            second = Listener(broker, "second")
            heard = await asyncio.to_thread(
                second.until, lambda h: {x.topic.rpartition("/")[2] for x in h} >= {"health", "status"}
            )
            second.close()
            assert {x.payload for x in heard if x.topic.endswith("/status")} == {b"online"}

    run(scene)


# ---- who is refused ------------------------------------------------------------------------------------------------


def secured(folder: Path, *more: str) -> Broker:
    """A broker that knows one user, `guard`, whose password is `right`."""
    folder.mkdir()
    # As mosquitto_passwd makes them: PBKDF2, 101 rounds of SHA-512.
    (folder / "users").write_text(hashed("guard", "right") + hashed("listener", "right"), encoding="utf-8")
    (folder / "users").chmod(0o600)
    return Broker(folder, "allow_anonymous false", f"password_file {folder}/users", *more)


def hashed(user: str, password: str) -> str:
    """A line of mosquitto's file of passwords."""
    import base64
    import hashlib

    salt = b"0123456789ab"
    found = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(found).decode()}\n"


@pytest.mark.parametrize("where", ["url", "file"])
def test_a_wrong_password_is_told_and_a_right_one_is_read_anew(
    tmp_path: Path, said: Callable[[str], list[str]], where: str
) -> None:
    broker = secured(tmp_path / "broker")
    broker.start()
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t-wrong\nsecond line\n", encoding="utf-8")
    login = "guard:s3cr3t-wrong" if where == "url" else "guard"
    more = 'password_file = "secret"' if where == "file" else ""
    config = config_of(tmp_path, many(f"mqtt://{login}@{HOST}:{broker.port}", more))

    async def scene() -> None:
        async with publishing(config) as rig:
            await rig.calls(0, 3)
            while not said("refuses us"):
                await asyncio.sleep(0.02)
            if where == "file":
                secret.write_text("right\n", encoding="utf-8")
                while not said("alerts go to"):
                    await asyncio.sleep(0.02)

    try:
        run(scene)
    finally:
        broker.stop()
    (line,) = said("refuses us")
    assert "Not authorized" in line or "Bad user name or password" in line
    assert f"mqtt://{HOST}:{broker.port}" in line
    assert not said("s3cr3t")


def test_a_broker_whose_access_list_leaves_us_out(tmp_path: Path, said: Callable[[str], list[str]]) -> None:
    folder = tmp_path / "broker"
    access = tmp_path / "acl"
    access.write_text("user guard\ntopic readwrite guard/demo/status\n", encoding="utf-8")
    access.chmod(0o600)
    broker = secured(folder, f"acl_file {access}")
    broker.start()
    config = config_of(tmp_path, many(f"mqtt://guard:right@{HOST}:{broker.port}"))

    async def scene() -> None:
        async with publishing(config) as rig:
            await rig.calls(0, 5)
            while not said("Not authorized"):
                await asyncio.sleep(0.02)
            access.write_text("user guard\ntopic readwrite guard/demo/#\n", encoding="utf-8")
            assert broker.process is not None
            broker.process.send_signal(signal.SIGHUP)
            while rig.publisher.counters.get("mqtt_sent", 0) < 5:
                await asyncio.sleep(0.02)

    try:
        run(scene)
    finally:
        broker.stop()
    assert len(said("Not authorized")) == 1


@pytest.mark.parametrize("limit", ["message_size_limit 3000", "max_packet_size 3000"])
def test_a_message_that_is_too_large_becomes_a_summary_and_the_others_go(tmp_path: Path, limit: str) -> None:
    # The first has mosquitto drop the connection without a word, the second is told in its CONNACK.
    broker = Broker(tmp_path / "broker", "allow_anonymous true", limit)
    broker.start()
    listener = Listener(broker)

    async def scene() -> None:
        async with publishing(config_of(tmp_path, many(broker.url))) as rig:
            await rig.calls(0, 5)
            rig.call(6, rule="x" * 1_200)
            await rig.calls(7, 5)
            await asyncio.to_thread(listener.until, calls(10))

    try:
        run(scene)
    finally:
        listener.close()
        broker.stop()
    in_order(listener, [*range(1, 6), *range(7, 12)])
    told = [h for h in first(listener) if "/status" not in h.topic]
    assert [h.topic.rpartition("/")[2] for h in told] == ["blocked"] * 5 + ["summary"] + ["blocked"] * 5
    data = told[5].event["data"]
    assert isinstance(data, dict)
    assert (data["why"], data["calls"], data["first_seq"]) == ("large", 1, 6)


# ---- TLS ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["", "name", "authority", "client"])
def test_tls_with_the_right_certificates_and_with_wrong_ones(
    tmp_path: Path, said: Callable[[str], list[str]], fault: str
) -> None:
    ours, other = Authority("ours"), Authority("other")
    ours.write(tmp_path, "ca")
    other.write(tmp_path, "other")
    server = ours.issue("elsewhere.example" if fault == "name" else HOST)
    (tmp_path / "server.pem").write_bytes(server.certificate)
    (tmp_path / "server.key").write_bytes(server.key)
    mine = (other if fault == "client" else ours).issue("guard")
    (tmp_path / "mine.pem").write_bytes(mine.certificate)
    (tmp_path / "mine.key").write_bytes(mine.key)
    broker = Broker(
        tmp_path / "broker", "allow_anonymous true", f"cafile {tmp_path}/ca.pem", f"certfile {tmp_path}/server.pem",
        f"keyfile {tmp_path}/server.key", "require_certificate true",
    )  # fmt: skip
    broker.start()
    ca = "other.pem" if fault == "authority" else "ca.pem"
    more = f'ca = "{ca}"\ncertificate = "mine.pem"\nkey = "mine.key"'
    config = config_of(tmp_path, many(f"mqtts://{HOST}:{broker.port}", more))

    async def scene() -> None:
        async with publishing(config) as rig:
            await rig.calls(0, 3)
            if not fault:
                while rig.publisher.counters.get("mqtt_sent", 0) < 3:
                    await asyncio.sleep(0.02)
            else:
                while not said("alerts wait"):
                    await asyncio.sleep(0.02)
            assert bool(rig.publisher.counters.get("mqtt_sent", 0)) is not bool(fault)

    try:
        run(scene)
    finally:
        broker.stop()
    if fault in {"name", "authority"}:
        (line,) = said("alerts wait")
        assert "certificate verify failed" in line
    elif fault:
        assert said(f"alerts wait: the broker mqtts://{HOST}:{broker.port}: ")


@pytest.mark.parametrize("where", ["begin", "middle", "of somebody else's"])
def test_an_outbox_that_is_damaged_is_kept_and_a_new_one_begun(
    tmp_path: Path, broker: Broker, listener: Listener, said: Callable[[str], list[str]], where: str
) -> None:
    ours = where in {"begin", "middle"}
    config = config_of(tmp_path, many(broker.url))
    path = Path(path_of(str(config.store_path)))
    with Outbox(path) as outbox, outbox.writing():
        for n in range(10 * MANY):
            outbox.add("call", "call/blocked", call=n + 1)
    with path.open("r+b") as file:
        file.seek({"begin": 100, "middle": path.stat().st_size // 2}.get(where, 0))
        file.write(b"\xff" * 9_000)
    broken = path.read_bytes()
    if ours:
        contact_secret(config)  # a guard has run on this log

    async def scene() -> None:
        async with publishing(config) as rig:
            if not ours:
                async with asyncio.timeout(10):
                    while not said("alerts wait"):
                        await asyncio.sleep(0.01)
                return
            async with asyncio.timeout(10):
                while str(path) not in rig.store.replaces:
                    await asyncio.sleep(0.01)
            await rig.calls(1, 3)
            await asyncio.to_thread(listener.until, calls(3))
            assert Path(rig.store.replaces[str(path)]).read_bytes() == broken

    run(scene)
    assert bool(said("a new one is begun")) is ours
    assert ours or path.read_bytes() == broken
