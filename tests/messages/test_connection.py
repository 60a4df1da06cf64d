"""One connection to a broker, below what is published over it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from aiomqtt import MqttError, ProtocolVersion

from guard.net.mqttclient import client_of
from tests.messages.broker import Broker
from tests.messages.rig import config_of


def test_a_message_that_is_handed_over_as_the_connection_breaks(tmp_path: Path, broker: Broker) -> None:
    """Nobody asks the loop, a turn later, about a socket that is closed: its number may be that of another file."""
    wrong: list[dict[str, object]] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: wrong.append(context))
        target = config_of(tmp_path, f'url = "{broker.url}"').broker
        assert target is not None
        client = client_of(target, "breaks", ProtocolVersion.V5)
        await client.__aenter__()
        broker.stop(signal.SIGKILL)
        publishing = asyncio.ensure_future(client.publish("t", b"late", 1))
        asyncio.get_running_loop().call_soon(client._client.loop_read)  # it comes right behind, and finds the end
        with pytest.raises(MqttError):
            await publishing
        assert client._client.socket() is None
        await asyncio.sleep(0)
        await client.abandon()

    asyncio.run(scene())  # the loop of the alerts' own thread
    assert wrong == []
