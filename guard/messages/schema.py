"""JSON schemas of the messages, made from their types. Pure. `guard alerts schema` writes them."""

from __future__ import annotations

import json
from typing import Final, cast

import msgspec

from guard.messages.events import KINDS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema_of(kind: str) -> dict[str, object]:
    """The schema of one kind of message. KeyError for no such kind."""
    types, topic, shape = KINDS[kind]
    (reference,), components = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
    defs = {name: _tidy(found) for name, found in components.items()}
    event = defs.pop(str(reference["$ref"]).rpartition("/")[2])
    properties = {**cast("dict[str, object]", event["properties"]), "type": {"enum": list(types)}}
    return {
        "$schema": DIALECT,
        "title": f"sip-guard: {kind}",
        "description": f"Published to <topic>/<site>/{topic}. {event.get('description', '')}",
        "type": "object",
        "properties": properties,
        "required": list(properties),  # defaults are always written out
        "$defs": dict(sorted(defs.items())),
    }


def _tidy(found: dict[str, object]) -> dict[str, object]:
    """A definition with its description on one line."""
    said = found.get("description")
    return {**found, "description": " ".join(said.split())} if isinstance(said, str) else found


def text_of(kind: str) -> str:
    """The schema as it stands in docs/schemas."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"
