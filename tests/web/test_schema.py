"""The API as its OpenAPI document says: schemathesis asks a real server on a real log whatever the document allows, and
what it does not. `GUARD_SCHEMA_EXAMPLES` asks for more (`make fuzz`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import BaseSchema, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from guard.ledger.incidents import Event
from guard.store.books import Books
from guard.web.tokens import Tokens
from sim.daemon import Daemon
from sim.ports import free_port
from sim.site import GUARD, Site
from tests.store.making import AT
from tests.web.process import WebProcess
from tests.web.rig import HOST, some_calls

FEW: Final = 6
MEANT: Final = {"", "rule", "trunk", "until", "after", "at", "letter", "source", "number"}
EXAMPLES: Final = int(os.environ.get("GUARD_SCHEMA_EXAMPLES", FEW))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with calls and an open incident."""
    found = tmp_path_factory.mktemp("schema")
    some_calls(found / "guard.db", 40)
    with Books(found / "guard.db", ZoneInfo("Europe/Paris")) as books:
        books.open(Event(step="open", at=AT, written=AT, subject_kind="number", subject="+33899000001"))
    return found


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """`guard run` and `guard web` at work."""
    port = free_port(HOST)
    web = f'[web]\nlisten = "{HOST}:{port}"\n'
    site = Site(folder=folder, port=free_port(GUARD), trunk_port=5060, pbx_port=5060, more=web)
    daemon = Daemon(site.write())
    process = WebProcess(site.config)
    try:
        daemon.wait_ready()
        process.wait_ready()
        yield f"http://{HOST}:{port}"
    finally:
        assert (process.stop(), daemon.stop()) == (0, 0)
    assert not [line for line in process.lines if "fault of ours" in line]


@pytest.fixture(scope="module")
def token(folder: Path) -> str:
    """One that may do everything."""
    with Tokens(folder / "guard.db-tokens") as tokens:
        return tokens.create("fuzz", ["operator", "privacy"], now=AT, days=3_650, by="test")


@pytest.fixture(scope="module")
def document(url: str) -> BaseSchema:
    """What the API says of itself."""
    schema = schemathesis.openapi.from_url(f"{url}/schema")
    return schema.exclude(path="/api/v1/live")  # it never ends: tests/web/test_live.py


ASK: Final = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES == FEW,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_it_does_as_it_says(document: BaseSchema, token: str, mode: GenerationMode) -> None:
    asked = 0
    for operation in operations(document):

        @ASK
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: Case[Any]) -> None:
            nonlocal asked
            asked += 1
            answer = case.call(headers={"Authorization": f"Bearer {token}"})
            if mode is GenerationMode.POSITIVE and answer.status_code == 422:
                # Only for what a shape cannot say: a rule that there is not, a time before another.
                assert {e["field"] for e in answer.json()["errors"]} <= MEANT, answer.text
                case.validate_response(answer, excluded_checks=[positive_data_acceptance])
            else:
                case.validate_response(answer)

        try:
            holds()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # a route that takes nothing can be asked nothing wrong
    assert asked > len(operations(document))


def test_without_a_token_it_says_so(document: BaseSchema) -> None:
    for operation in operations(document):

        @settings(ASK, max_examples=3)
        @given(case=operation.as_strategy())
        def refuses(case: Case[Any]) -> None:
            answer = case.call(headers={"Authorization": "Bearer sgt_no"})
            case.validate_response(answer, checks=[not_a_server_error])
            assert answer.status_code in {400, 401}

        refuses()


def operations(document: BaseSchema) -> list[APIOperation[Any, Any, Any, Any]]:
    """Every route of the document."""
    return [found.ok() for found in document.get_all_operations() if isinstance(found, Ok)]


def test_the_document_is_there_for_everybody(url: str) -> None:
    for path in ("/schema", "/schema/openapi.json"):
        found = httpx.get(url + path)
        assert found.json()["openapi"].startswith("3.")
