"""guard alerts: what goes to the MQTT broker, shown as it comes; one message to try it; the schemas of all."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import TYPE_CHECKING, Final

from guard.cli.common import CommandError, config_option, json_lines, load_config
from guard.cli.show import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from guard.config import Config
    from guard.configmqtt import Broker

AGAIN: Final = 2.0  # s until a broker that was lost is looked for again
REFUSED: Final = 0x80  # reason codes from here on


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard alerts`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    tail = actions.add_parser("tail", help="messages of this site, as the broker gets them; what waits if it is away")
    config_option(tail)
    tail.add_argument("--json", action="store_true", help="JSON Lines: topic, retained, waiting, and the message")
    tail.add_argument("--limit", type=_count, metavar="N", help="end after N messages")
    tail.add_argument("--waiting", action="store_true", help="only what waits for the broker, and end")
    test = actions.add_parser("test", help="send one message, and say whether the broker took it")
    config_option(test)
    test.add_argument("--text", default="a test of guard alerts", metavar="TEXT", help="what it says")
    schema = actions.add_parser("schema", help="the JSON schema of a kind of message")
    schema.add_argument("kind", nargs="?", metavar="KIND", help="call, summary, incident, penalty, health or test")


def _count(word: str) -> int:
    if not word.isascii() or not word.isdigit() or not int(word):
        raise argparse.ArgumentTypeError(f'"{word}" is no number from 1 on')
    return int(word)


def run(args: argparse.Namespace) -> int:
    """0; 1 where the broker cannot be reached or does not take the message."""
    if args.action == "schema":
        return _schema(args.kind)
    config = load_config(args.config)
    if config.broker is None:
        raise CommandError(f"{args.config}: no [mqtt] url: no alerts are published; guard log --follow shows calls")
    if args.action == "test":
        return asyncio.run(_test(config, config.broker, args.text))
    show = _Shown(json=args.json, limit=args.limit)
    if args.waiting:
        show.waiting(config)
        return 0
    try:
        asyncio.run(_tail(config, config.broker, show))
    except _Enough:
        return 0
    return 0


def _schema(kind: str | None) -> int:
    from guard.messages.events import KINDS
    from guard.messages.schema import text_of

    if kind is None:
        print("\n".join(KINDS))
        return 0
    if kind not in KINDS:
        raise CommandError(f'no message "{kind}": {", ".join(KINDS)}', status=2)
    sys.stdout.write(text_of(kind))
    return 0


async def _test(config: Config, broker: Broker, text: str) -> int:
    from aiomqtt import MqttError

    from guard.messages.events import test_message
    from guard.net.aside import Aside
    from guard.net.clock import SystemClock
    from guard.net.mqttclient import Outgoing, send_one, why

    asyncio.get_running_loop().set_default_executor(Aside())
    message = test_message(config.site, text, SystemClock.wall(), config.zone)
    outgoing = Outgoing(0, message.topic, message.payload, message.retain)
    try:
        await send_one(broker, _name(config), outgoing)
    except (MqttError, OSError) as error:
        raise CommandError(f"the broker {broker.shown}: {why(error)}") from error
    print(f"the broker {broker.shown} took a message on {broker.topic}/{message.topic}")
    return 0


async def _tail(config: Config, broker: Broker, show: _Shown) -> None:
    from aiomqtt import MqttError

    from guard.net.aside import Aside
    from guard.net.mqttclient import connected, why

    asyncio.get_running_loop().set_default_executor(Aside())
    said = ""
    while True:
        try:
            async with connected(broker, _name(config)) as client:
                granted = await client.subscribe(f"{broker.topic}/#", qos=1)
                if any((code if isinstance(code, int) else code.value) >= REFUSED for code in granted):
                    raise CommandError(f"the broker {broker.shown} does not let this user read {broker.topic}/#")
                said = ""
                async for message in client.messages:
                    payload = message.payload if isinstance(message.payload, bytes) else b""
                    show.one(str(message.topic), payload, retained=bool(message.retain))
        except (MqttError, OSError) as error:
            reason = why(error)
            if reason != said:
                print(
                    f"guard: the broker {broker.shown}: {harmless(reason)}; what waits for it is shown", file=sys.stderr
                )
            said = reason
        show.waiting(config)
        await asyncio.sleep(AGAIN)


def _name(config: Config) -> str:
    return f"guard-{config.site}-{os.getpid()}-{os.urandom(3).hex()}"


class _Enough(Exception):
    """So many as were wanted have been shown."""


class _Shown:
    """Shows messages, a line each."""

    def __init__(self, *, json: bool, limit: int | None) -> None:
        self._json = json
        self._left = limit
        self._after = 0
        self._page: Callable[[int], Iterable[object]] | None = None

    def one(self, topic: str, payload: bytes, *, retained: bool = False, waiting: bool = False) -> None:
        """One message. _Enough after the last that was wanted."""
        import msgspec

        try:
            body: object = msgspec.json.decode(payload) if payload[:1] == b"{" else payload.decode("utf-8", "replace")
        except msgspec.DecodeError:
            body = payload.decode("utf-8", "replace")
        if self._json:
            json_lines([{"topic": topic, "retained": retained, "waiting": waiting, "message": body}])
        else:
            print(harmless(("waits  " if waiting else "") + line_of(topic, body)))
        sys.stdout.flush()
        if self._left is not None:
            self._left -= 1
            if not self._left:
                raise _Enough

    def waiting(self, config: Config) -> None:
        """What waits for the broker and was not shown yet; its numbers always masked."""
        from guard.gathering import payloads
        from guard.store.errors import StoreError
        from guard.store.outbox import looked_at, path_of
        from guard.store.reader import SqliteReader

        assert config.broker is not None
        path: Path = config.store_path
        try:
            rows = looked_at(path_of(str(path)))(self._after)
            self._after = rows[-1].id if rows else self._after
            with SqliteReader(path, timezone=config.timezone) as reader:
                found = payloads(rows, reader, masked=True)
        except StoreError as error:
            raise CommandError(str(error)) from error
        for one in found:
            self.one(f"{config.broker.topic}/{one.topic}", one.payload, retained=one.retain, waiting=True)


def line_of(topic: str, body: object) -> str:
    """A message for people; one that is not of the guard as it is."""
    if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
        return f"{topic}  {body or 'forgotten'}"
    data: dict[str, object] = body["data"]
    when = str(body.get("time", ""))[:19].replace("T", " ")
    try:
        return f"{when}  {_words(str(body.get('type', '')), data)}"
    except (KeyError, TypeError, ValueError):
        return f"{when}  {topic}  {body}"


def _words(kind: str, data: dict[str, object]) -> str:
    from guard.cli.show import euros

    def amount(name: str) -> str:
        return euros(int(str(data[name])))

    if kind == "sip-guard.call":
        findings = data["findings"]
        rules = " ".join(dict.fromkeys(str(f["rule"]) for f in findings)) if isinstance(findings, list) else ""
        return f"{data['verdict']}  {data['caller'] or '-'} to {data['callee']}, line {data['line'] or '-'}: {rules}"
    if kind == "sip-guard.calls":
        rules_of = data["rules"]
        rules = ", ".join(f"{r} {n}" for r, n in rules_of.items()) if isinstance(rules_of, dict) else ""
        why = "more than the rate" if data["why"] == "rate" else "the broker was away"
        return f"{data['calls']} calls {data['verdict'] or ''} in one ({why}): {rules}".replace("  ", " ")
    if kind.startswith("sip-guard.incident."):
        return f"{data['id']} {data['state']}: {data['kind']} {data['subject']}, {data['rule'] or 'no rule'}"
    if kind == "sip-guard.penalty":
        acts = "; rules on trial act" if data["enforces"] else ""
        return f"{amount('accrued_microeuros')} in {data['key']}: more than {amount('limit_microeuros')}{acts}"
    if kind == "sip-guard.health":
        troubles = data["troubles"]
        said = [f"{t['of']} {t['text']}".strip() for t in troubles] if isinstance(troubles, list) else []
        return "; ".join([f"health {data['state']}", *said])
    return f"{kind}  {data.get('text', '')}"
