"""The JSON schemas: in step with the types, good schemas, and what they refuse."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Final

import jsonschema
import msgspec
import pytest

from guard.ledger.limits import Alert
from guard.messages import events
from guard.messages.choice import alone
from guard.messages.events import KINDS, Message, Trouble
from guard.messages.schema import schema_of, text_of
from tests.messages.test_choice import AT, PARIS, record

FOLDER: Final = Path(__file__).parent.parent.parent / "docs" / "schemas"
ALERT: Final = Alert(span="day", key="2026-11-21", accrued=2, limit=1)
MESSAGES: Final[tuple[Message, ...]] = (
    events.call_message(record(1)),
    events.summary_message(alone(record(1))),
    events.penalty_message("hq", ALERT, AT, PARIS),
    events.health_message("hq", (Trouble(kind="log", of="guard.db", text="full"),), AT, PARIS),
    events.health_message("hq", (), AT, PARIS),
    events.test_message("hq", "hello", AT, PARIS),
)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_file_is_what_the_command_writes(kind: str) -> None:
    assert (FOLDER / f"{kind}.json").read_text("utf-8") == text_of(kind), f"guard alerts schema {kind}"


def test_there_is_a_file_of_each_kind_and_no_other() -> None:
    assert {p.stem for p in FOLDER.iterdir()} == set(KINDS)


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_is_a_good_schema(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.kind)
def test_messages_are_of_their_schema(message: Message) -> None:
    jsonschema.validate(json.loads(message.payload), schema_of(message.kind))


@pytest.mark.parametrize("path", ["id", "type", "time", "data", "data.verdict", "data.findings", "specversion"])
def test_what_lacks_something_is_refused(path: str) -> None:
    found = json.loads(MESSAGES[0].payload)
    *way, last = path.split(".")
    inner = found
    for name in way:
        inner = inner[name]
    for value in (None, 7, ""):
        broken = copy.deepcopy(found)
        inner = broken
        for name in way:
            inner = inner[name]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema_of("call"))


def test_ids_are_the_same_when_sent_again_and_others_for_others() -> None:
    def name(message: Message) -> str:
        return str(msgspec.json.decode(message.payload)["id"])

    assert name(events.call_message(record(1))) == name(events.call_message(record(1))) == "hq/1-" + "ab" * 8
    assert name(events.call_message(record(2))) != name(events.call_message(record(1)))
    told = {name(events.penalty_message("hq", ALERT, AT + n, PARIS)) for n in range(3)}
    assert told == {"hq/penalty/day/2026-11-21/1"}
    other = msgspec.structs.replace(ALERT, enforces=True)
    assert name(events.penalty_message("hq", other, AT, PARIS)) not in told
