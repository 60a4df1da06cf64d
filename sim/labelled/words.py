"""The words of labelled traffic: a placed call with its truth, the site that it comes from, and one of its lines.

Instants are µs of Unix time, spans µs. A site's addresses and numbers follow from its kind and number alone, so that
another site beside it changes nothing of it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final, Literal

from msgspec import Struct

from guard.model import SECOND, CallAttempt, CallEnded, Direction, Outcome, Usage
from guard.numbering.number import Number

MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
MAX_DAYS: Final = 400.0  # of a world: a year and a month
BYE_ANSWERED: Final = 2_000  # µs from a BYE to its answer, on a good network

# The place in this list gives a kind its addresses and numbers: add at the end, move nothing.
KINDS: Final = (
    "office", "call-centre", "dialler", "clinic", "hotel", "branch",
    "wangiri", "wangiri-in", "irsf-night", "stolen-account", "war-dialler", "hsc-pumping", "sva-pumping",
    "cli-spoofing", "gateway", "slow-low", "slower-low",
)  # fmt: skip
MAX_SITES: Final = 250  # of one kind: the third byte of their addresses
FIRST_NETWORK: Final = 20  # the second byte of the first kind's addresses: 127.20.1.2, clear of those of sim.site
IPBX_HOST: Final = 2  # of a site's network, its last byte
OPERATOR_HOST: Final = 200  # outside the half of the network that is the customer's
BLOCK: Final = 1_000  # numbers of a block of geographic ones
ROBOT_BLOCK: Final = 10  # of a verified range, and overseas
# Blocks that ARCEP allotted, by policies/numbering/allotted.csv: 0140 to 0144, 016200 (verified), 026204 (Réunion).
GEOGRAPHIC: Final = "+3314"
VERIFIED: Final = "+3316200"
REUNION: Final = "+26226204"

By = Literal["caller", "callee", "guard", "silence", ""]
Went = tuple[int, int, int, Outcome, int, By]
"""How a call went: µs from INVITE to 180 (or to the refusal), of ringing, of talk; outcome, final status, who ended."""


class SimError(ValueError):
    """What was asked of the simulator cannot be. The text says what, and what could."""


class Placed(Struct, frozen=True):
    """One call as it was placed, how it ends where nobody stops it, and the truth.

    `label` is the class of attack that it belongs to, "" for a legitimate one; what an attack makes others do (the
    call back to a ping) has its label too. `actor` is the scenario that placed it, `subject` the line that it is of:
    "source/line" (of a call that comes in: "source/" and the line it is for).
    """

    call: CallAttempt
    ended: CallEnded
    label: str
    actor: str
    subject: str


class Site(Struct, frozen=True, kw_only=True, dict=True):
    """One customer: his exchange, his trunk, his numbers. `kind` and `n` (from 1) name it; raises SimError.

    `home` is the range that his numbers are of. `channels` is how many calls at once he bought.
    """

    kind: str
    n: int = 1
    usage: tuple[Usage, ...] = ("human",)
    home: Literal["geographic", "verified", "reunion"] = "geographic"
    channels: int = 30
    agent: str = "Asterisk PBX 20.5.0"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SimError(f'no kind of site is called "{self.kind}"')
        if not 1 <= self.n <= MAX_SITES:
            raise SimError(f"{self.kind} {self.n}: there are at most {MAX_SITES} of a kind, from 1 on")

    @property
    def country(self) -> str:
        """Where it stands."""
        return "RE" if self.home == "reunion" else "FR"

    @cached_property
    def name(self) -> str:
        """Its name, and that of its source."""
        return f"{self.kind}-{self.n}"

    @cached_property
    def trunk(self) -> str:
        """The name of its trunk."""
        return f"trunk-{self.name}"

    def host(self, last: int) -> str:
        """An address of its network."""
        return f"127.{FIRST_NETWORK + KINDS.index(self.kind)}.{self.n}.{last}"

    @cached_property
    def address(self) -> str:
        """Where its exchange is."""
        return self.host(IPBX_HOST)

    @property
    def network(self) -> str:
        """Every address that its calls may come from."""
        return self.host(0) + "/25"

    @cached_property
    def operator(self) -> str:
        """Where its trunk ends."""
        return self.host(OPERATOR_HOST)

    @cached_property
    def block(self) -> str:
        """What all its numbers begin with, in E.164."""
        place = KINDS.index(self.kind) * MAX_SITES + self.n - 1
        if self.home == "geographic":
            return f"{GEOGRAPHIC}{place:04}"
        if self.home == "verified":
            return f"{VERIFIED}{place % 1000:03}"
        return f"{REUNION}{place % 1000:03}"

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return BLOCK if self.home == "geographic" else ROBOT_BLOCK

    def number(self, i: int) -> Number:
        """Its number `i`; beyond its block they are shared."""
        return e164(f"{self.block}{i % self.size:0{len(str(self.size - 1))}}")


def e164(value: str) -> Number:
    """A number as an exchange that dials +… writes it."""
    return Number(value, "e164", value)


def short(value: str) -> Number:
    """A short number, as dialled."""
    return Number(value, "short", value)


class Line:
    """One line of a site. `free_at` is when whoever sits there has hung up; `address` and `agent` are its phone's."""

    __slots__ = ("_site", "address", "agent", "free_at", "name", "number", "subject")

    def __init__(self, site: Site, name: str, number: Number) -> None:
        self._site = site
        self.name = name
        self.number = number
        self.subject = f"{site.name}/{name}"
        self.address = site.address
        self.agent = site.agent
        self.free_at = 0

    def out(
        self,
        at: int,
        ident: tuple[str, int],
        callee: Number,
        went: Went,
        label: str = "",
        *,
        caller: Number | None = None,
        emergency: str = "",
    ) -> Placed:
        """A call from this line. `ident` is the actor and the number of the call among his."""
        actor, n = ident
        site = self._site
        call = CallAttempt(
            call_id=f"{actor}-{n}@sim",
            from_tag=f"{n:x}",
            at=at,
            source=site.name,
            source_address=self.address,
            trunk=site.trunk,
            line=self.name,
            callee=callee,
            usage=site.usage,
            country=site.country,
            caller=caller or self.number,
            emergency=emergency,
            user_agent=self.agent,
        )
        return Placed(call, end_of(at, went), label, actor, self.subject)

    def received(self, at: int, ident: tuple[str, int], caller: Number, went: Went, label: str = "") -> Placed:
        """A call that comes in for this line. It has no X-Line: its line is "" (`config`)."""
        actor, n = ident
        site = self._site
        direction: Direction = "inbound"
        call = CallAttempt(
            call_id=f"{actor}-{n}@sim",
            from_tag=f"{n:x}",
            at=at,
            source=site.name,
            source_address=site.operator,
            trunk=site.trunk,
            line="",
            callee=self.number,
            direction=direction,
            usage=site.usage,
            country=site.country,
            caller=caller,
        )
        return Placed(call, end_of(at, went), label, actor, self.subject)


def end_of(at: int, went: Went) -> CallEnded:
    """The end of a call placed at `at`."""
    delay, ring, talk, outcome, status, by = went
    return CallEnded(
        at=at + delay + ring + talk, outcome=outcome, ring_us=ring, talk_us=talk, final_status=status, by=by
    )
