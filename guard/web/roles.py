"""Who asks, and what they may: roles, visitors, and the guards of routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, cast

from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from msgspec import Struct

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection
    from litestar.datastructures import State
    from litestar.handlers import BaseRouteHandler

    Connection = ASGIConnection[BaseRouteHandler, "Visitor", None, State]

Role = Literal["viewer", "operator", "privacy", "switch"]
ROLES: Final[dict[Role, str]] = {
    "viewer": "sees calls, money and incidents, with the last four digits of numbers hidden",
    "operator": "a viewer who also releases, resolves and notifies, and asks decisions that count",
    "privacy": "a viewer who sees numbers in full and erases what is held about one, which the access log notes",
    "switch": "asks decisions, and sees nothing else: for a Kamailio, an Asterisk",
}
VIEWS: Final[frozenset[Role]] = frozenset({"viewer", "operator", "privacy"})


class Visitor(Struct, frozen=True, kw_only=True):
    """Who asks. `name` is that of a token, "" for somebody without; `csrf` what forms of theirs must send back;
    `bearer` whether the token came with the request itself; `session` the session's id, "" for none."""

    name: str = ""
    roles: frozenset[Role] = frozenset()
    csrf: str = ""
    bearer: bool = False
    session: str = ""
    address: str = ""

    @property
    def sees(self) -> bool:
        """Whether they may look at what pages and API show."""
        return bool(self.roles & VIEWS)

    @property
    def operates(self) -> bool:
        """Whether they may act on incidents."""
        return "operator" in self.roles

    @property
    def full(self) -> bool:
        """Whether they see numbers in full, and may erase what is held about one."""
        return "privacy" in self.roles

    @property
    def asks(self) -> bool:
        """Whether they may ask for decisions that count."""
        return bool(self.roles & {"operator", "switch"})


Test = Callable[[Visitor], bool]


def visitor_of(connection: Connection) -> Visitor:
    """Who asks in a request of Litestar."""
    return cast("Visitor", connection.scope["user"])


def guard_of(
    test: Test, role: Role
) -> Callable[[ASGIConnection[BaseRouteHandler, Visitor, None, State], object], None]:
    """A guard of routes: 401 for nobody, 403 for who may not."""

    def check(connection: Connection, _: object) -> None:
        visitor = visitor_of(connection)
        if test(visitor):
            return
        if not visitor.roles:
            raise NotAuthorizedException(
                "a token is needed: guard token create", headers={"WWW-Authenticate": 'Bearer realm="sip-guard"'}
            )
        raise PermissionDeniedException(f"this token lacks the role {role}")

    return check


viewers = guard_of(lambda v: v.sees, "viewer")
operators = guard_of(lambda v: v.operates, "operator")
askers = guard_of(lambda v: bool(v.roles), "switch")
privacies = guard_of(lambda v: v.full, "privacy")
switches = guard_of(lambda v: v.asks, "switch")
