"""What the API says of itself: Litestar's OpenAPI document, with the shapes as msgspec checks them.

Litestar leaves out what an optional parameter must keep to, and what a struct does not take; msgspec says of its own
structs exactly what it decodes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, cast, get_args, get_type_hints

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from msgspec import Struct

from guard.web.problems import Problem

if TYPE_CHECKING:
    from litestar import Request
    from litestar.datastructures import State

    from guard.web.roles import Visitor

Document = dict[str, Any]  # JSON: what stands in it is OpenAPI's (3.1), not ours
PLACE: Final = "#/components/schemas/{name}"


class Exact(JsonRenderPlugin):
    """Serves the document as JSON, made right."""

    def __init__(self, structs: tuple[type[Struct], ...]) -> None:
        super().__init__(path=["/", "/openapi.json"])
        self._structs = structs
        self._made: bytes | None = None

    def render(self, request: Request[Visitor, None, State], openapi_schema: Document) -> bytes:
        """The document; the same for everybody."""
        if self._made is None:
            self._made = self.render_json(request, corrected(openapi_schema, self._structs))
        return self._made


def config(routes: Iterable[object]) -> OpenAPIConfig:
    """How the routes are described."""
    return OpenAPIConfig(
        title="sip-guard",
        version=version("sip-guard"),
        description="Calls that a guard decided, what they cost, and decisions for those who ask.",
        path="/schema",
        render_plugins=[Exact(structs_of(routes))],
        security=[{"token": []}],
        components=Components(
            security_schemes={
                "token": SecurityScheme(type="http", scheme="bearer", description="made with `guard token create`")
            }
        ),
        use_handler_docstrings=True,
    )


def structs_of(routes: Iterable[object]) -> tuple[type[Struct], ...]:
    """What the routes take and give."""
    found: dict[type[Struct], None] = {Problem: None}
    for route in routes:
        if not isinstance(route, HTTPRouteHandler):
            continue
        hints = get_type_hints(inspect.unwrap(route.fn))
        for kind in (hints.get("return"), *(get_args(hints["data"]) or [hints["data"]] if "data" in hints else ())):
            if isinstance(kind, type) and issubclass(kind, Struct):
                found[kind] = None
    return tuple(found)


def corrected(document: Document, structs: tuple[type[Struct], ...]) -> Document:
    """The document with msgspec's own schemas, and parameters that say what they take."""
    _, exact = msgspec.json.schema_components(structs, schema_hook=_anything, ref_template=PLACE)
    schemas = cast("Document", document["components"]["schemas"]) | exact
    paths = {
        path: {
            method: operation | {"parameters": [_parameter(p) for p in operation.get("parameters", ())]}
            for method, operation in item.items()
        }
        for path, item in document["paths"].items()
    }
    return document | {"paths": paths, "components": document["components"] | {"schemas": schemas}}


def _anything(_: type) -> Document:
    """What is not said of a value whose type is `object`."""
    return {"description": "not said"}


def _parameter(parameter: Document) -> Document:
    """A parameter without the null that no query can hold: to leave it out is not to give it."""
    schema: Document = dict(parameter["schema"])
    if "oneOf" in schema:
        kinds = [kind for kind in schema.pop("oneOf") if kind != {"type": "null"}]
        schema = kinds[0] | schema
    if isinstance(schema.get("type"), list):
        (schema["type"],) = (kind for kind in schema["type"] if kind != "null")
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    return parameter | {"schema": schema}
