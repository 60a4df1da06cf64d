"""What goes wrong, as problem details (RFC 9457): never a traceback, and of a fault of ours only that it was one."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from litestar.exceptions import HTTPException, ValidationException
from msgspec import Struct

from guard.config import ConfigError
from guard.net.say import LOG
from guard.store.errors import StoreError
from guard.wanted import Mistake as WantedMistake
from guard.web.controlclient import ControlError

if TYPE_CHECKING:
    pass

MEDIA: Final = "application/problem+json"
LONGEST: Final = 300  # characters of a detail: what was sent may stand in it
MOST: Final = 20  # mistakes that are named


class Mistake(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a request: the parameter, or the key of the body."""

    field: str
    message: str


class Problem(Struct, frozen=True, kw_only=True):
    """Problem details: `title` is of the status, `detail` of this request."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    errors: tuple[Mistake, ...] = ()


class Refused(HTTPException):
    """A request that cannot be answered, and what is wrong with it."""

    def __init__(
        self,
        status: int,
        detail: str,
        *errors: tuple[str, str],
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status_code=status, detail=detail, headers=headers)
        self.errors = tuple(Mistake(field=f[:64], message=m[:LONGEST]) for f, m in errors[:MOST])


def problem(status: int, detail: str, errors: tuple[Mistake, ...] = ()) -> Problem:
    """A problem with its status' own title."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return Problem(title=title, status=status, detail=detail[:LONGEST], errors=errors)


def of(error: Exception) -> tuple[Problem, dict[str, str]]:
    """What is told of an exception, and the header fields that go with it. One that nobody foresaw is told to the
    journal, and of it the visitor learns nothing."""
    if isinstance(error, Refused):
        return problem(error.status_code, error.detail, error.errors), error.headers or {}
    if isinstance(error, WantedMistake):
        mistake = Mistake(field=error.field[:64], message=error.text[:LONGEST])
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), (mistake,)), {}
    if isinstance(error, ControlError):
        return _of_guard(error)
    if isinstance(error, ConfigError):
        LOG.error("web: the configuration cannot be used: %s", error)
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the configuration cannot be used: guard check says why"), {}
    if isinstance(error, ValidationException):
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not what it should be", _mistakes(error)), {}
    if isinstance(error, RecursionError):  # JSON as deep as no question is; nothing of ours goes deep
        return problem(HTTPStatus.BAD_REQUEST, _SAID[HTTPStatus.BAD_REQUEST]), {}
    if isinstance(error, HTTPException) and error.status_code < 500:
        said = error.detail if error.status_code in {401, 403} else _SAID.get(error.status_code, "")
        return problem(error.status_code, said), error.headers or {}
    if isinstance(error, StoreError):
        LOG.warning("web: %s", error)
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the log cannot be read now; the journal says why"), {
            "Retry-After": "5"
        }
    LOG.error("web: a fault of ours", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of ours; the journal has it"), {}


def _of_guard(error: ControlError) -> tuple[Problem, dict[str, str]]:
    """What the running guard said, or that it said nothing."""
    code = error.fault.code if error.fault is not None else ""
    if code in {"bad-ask", "unknown-source"}:
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)), {}
    if code == "unknown-ticket":
        return problem(HTTPStatus.NOT_FOUND, str(error)), {}
    if not code:
        LOG.warning("web: %s", error)
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the guard does not answer"), {"Retry-After": "5"}
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)), {"Retry-After": "1"}


_SAID: Final = {
    400: "the request cannot be read",
    404: "there is nothing here",
    405: "not in this way",
    413: "the request is too large",
    415: "not of this media type",
}


def _mistakes(error: ValidationException) -> tuple[Mistake, ...]:
    """What Litestar found wrong."""
    found = cast("list[dict[str, str]]", error.extra) if isinstance(error.extra, list) else []
    return tuple(
        Mistake(field=str(one.get("key", ""))[:64], message=str(one.get("message", ""))[:LONGEST])
        for one in found[:MOST]
    )
