"""guard.toml as people write it: strict structs with exactly the keys that docs and operators use.

Only shapes are here. `guard.config` reads a file into them, names every error at once, and compiles what the hot path
wants. A key that is not here is an error of `guard check`.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from guard.model import Mode, Usage, Verdict
from guard.numbering.number import Dial
from guard.policy.caseschema import Case
from guard.policy.siteschema import SiteRule

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Name = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z",
        description="a name of at most 64 letters, digits, dots, hyphens and underscores, a letter or digit first",
    ),
]
Country = Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z", description="a country in two capitals, such as FR")]
LineFrom = Annotated[
    str,
    Meta(
        pattern=r"\A(from|pai|ppi|contact|auth|header:[!#-'*+.0-9A-Z^-z|~-]+)\Z",
        description="one of from, pai, ppi, contact, auth, header:NAME",
    ),
]
HeaderName = Annotated[str, Meta(pattern=r"\A[!#-'*+.0-9A-Z^-z|~-]+\Z", description="the name of a header")]
RuleAction = Literal["flag", "mask", "hold", "block"]  # what a rule may be told to ask for
Euros = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]  # see `micro_euros`
Usages = Usage | Annotated[tuple[Usage, ...], Meta(min_length=1)]
FaultVerdict = Literal["pass", "block"]


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that stands in guard.toml."""


class Listen(_Strict, frozen=True, kw_only=True):
    """[listen]: `host:port` for each transport; `advertise` is the host written in Via and Record-Route. A connection
    that the guard opened is pinged after `ping_s` quiet seconds (0: never): RFC 5626 3.5.1 wants 95 to 120."""

    udp: tuple[str, ...] = ()
    tcp: tuple[str, ...] = ()
    tls: tuple[str, ...] = ()
    advertise: str = ""
    ping_s: Annotated[int, Meta(ge=0, le=3600)] = 100


class Tls(_Strict, frozen=True, kw_only=True):
    """[tls]: PEM files, whether certificates of those whom the guard calls are verified, and whether those who call it
    are asked for one."""

    certificate: str = ""
    key: str = ""
    ca: str = ""
    verify: bool = True
    client: Literal["none", "request", "expect", "require"] = "none"


class Health(_Strict, frozen=True, kw_only=True):
    """[[trunk]] health: an OPTIONS every `every_s` to each hop of a trunk that has several (0: never); after so many
    failures in a row a hop is tried last, after so many answers in a row it has its place again."""

    every_s: Annotated[int, Meta(ge=0, le=3600)] = 10
    down_after: Annotated[int, Meta(ge=1, le=100)] = 2
    up_after: Annotated[int, Meta(ge=1, le=100)] = 1


class Trunk(_Strict, frozen=True, kw_only=True):
    """[[trunk]]: an operator. `cps` overrides the contract; `reading` chooses between a contract's two amounts.

    `undetermined_origin` is what his tariff of undetermined origin adds to a minute, in euros. A hop that says nothing
    for `silence_ms` is left for the next one: RFC 3261's first repetition (500 ms) has to fit in. Over TLS its
    certificate names `tls_name` (the host of `next_hop`), and comes from `tls_ca` (`tls.ca`). `large` is the way of
    requests that are too long for UDP.
    """

    name: Name
    next_hop: Annotated[tuple[str, ...], Meta(min_length=1)]
    contract: str = ""
    channels: Positive | None = None
    cps: Positive | None = None
    reading: Literal["digits", "words"] = "digits"
    mask_caller: str = ""
    undetermined_origin: Euros = 0
    silence_ms: Annotated[int, Meta(ge=600, le=10_000)] = 1_000
    health: Health = Health()
    tls_name: str = ""
    tls_ca: str = ""
    large: Literal["auto", "tcp", "udp"] = "auto"


class DialEntry(_Strict, frozen=True, kw_only=True):
    """[[source]] dial: how the IPBX dials."""

    international: str = "00"
    national: str = "0"
    strip: str = ""


class Source(_Strict, frozen=True, kw_only=True):
    """[[source]]: who may send calls. `contact` is the SIP URI where inbound calls for it go: those to the numbers of
    `inbound`, or all that no other source takes. With a `tls_name` it has to come over TLS, and to show a certificate
    of that name."""

    name: Name
    address: Annotated[tuple[str, ...], Meta(min_length=1)]
    trunk: str
    usage: Usages = "human"
    country: Country = "FR"
    line_from: LineFrom = "from"
    forwarded: Literal["trust-diversion", "require-inbound"] = "trust-diversion"
    dial: DialEntry = DialEntry()
    contact: str = ""
    inbound: str | tuple[str, ...] = ()
    tls_name: str = ""


class HeaderMatch(_Strict, frozen=True, kw_only=True):
    """[[usage]] header: a header's name and the value it must have; `*` ends a prefix."""

    name: HeaderName
    value: str = "*"


class UsageEntry(_Strict, frozen=True, kw_only=True):
    """[[usage]]: narrower than the source's; the first that matches wins."""

    source: str
    usage: Usages
    line: str | tuple[str, ...] = ()
    caller: str | tuple[str, ...] = ()
    header: HeaderMatch | None = None


class NumberEntry(_Strict, frozen=True, kw_only=True):
    """[[number]]: numbers that may be presented. `from` and `until` are both included, in the site's time zone."""

    range: str
    holder: Annotated[str, Meta(min_length=1, max_length=200)] = "self"
    proof: str = ""
    from_: date | None = field(name="from", default=None)
    until: date | None = None


class Prospecting(_Strict, frozen=True, kw_only=True):
    """[prospecting]: CSV files of numbers, each with its columns (docs/configuration.md), and the sector canvassed for.

    `consents` and running `contracts` (number, from, until, proof), `appointments` and own `requests` (number, at,
    proof), `refusals` (number, at), the `opposition` list of before 11 August 2026 (number, from, until), and
    `professionals` (number).
    """

    consents: str = ""
    contracts: str = ""
    appointments: str = ""
    requests: str = ""
    refusals: str = ""
    opposition: str = ""
    professionals: str = ""
    sector: Literal["", "energy-works", "housing-adaptation"] = ""


class Dns(_Strict, frozen=True, kw_only=True):
    """[dns]: servers that find next hops, numeric `host` or `host:port`; empty: those of the machine. One question may
    take `timeout_ms`."""

    servers: tuple[str, ...] = ()
    timeout_ms: Annotated[int, Meta(ge=100, le=30_000)] = 2_000


class Refusal(_Strict, frozen=True, kw_only=True):
    """[refusal]: the status that rules refuse a call with (rates and limits keep 480), and whom a caller can turn to:
    a URL, a number, an address. 608 is signed with the `key` (PEM, P-256), whose certificate is found at
    `certificate_url`, in the name of `name`, or of the site; who does not declare `sip.608` hears 403, unless an
    announcement is played to him (`announced`)."""

    status: Literal[403, 603, 608] = 403
    url: Annotated[str, Meta(max_length=200)] = ""
    tel: str = ""
    email: Annotated[str, Meta(max_length=200)] = ""
    location: Literal["U", "LPN", "LN", "TN", "RLN", "RPN", "INTL", "BI"] = "LPN"
    name: Annotated[str, Meta(max_length=100)] = ""
    key: str = ""
    certificate_url: Annotated[str, Meta(max_length=200)] = ""
    announced: bool = False


class Hep(_Strict, frozen=True, kw_only=True):
    """[hep]: a Homer or heplify server that gets a copy of each message, as `udp:host:port` or `tcp:host:port`. The
    password goes into each packet, and has to be in those that `guard watch` takes."""

    server: str = ""
    capture_id: Annotated[int, Meta(ge=0, le=4_294_967_295)] = 2001
    password: Annotated[str, Meta(max_length=100)] = ""


class Drain(_Strict, frozen=True, kw_only=True):
    """[drain]: how long a guard that is stopped lets set-ups finish, and what new calls are answered meanwhile."""

    seconds: Annotated[int, Meta(ge=0, le=300)] = 10
    answer: Literal[480, 503] = 480


class State(_Strict, frozen=True, kw_only=True):
    """[state]: where counters live. The rest is of counters that several guards share.

    `deadline_ms` is how long a decision waits for them; `on_fault` what becomes of calls without them. `share` is this
    guard's part of every limit when it is alone, 0 for an equal one. `lease_s`: its channels are kept for so long when
    it is not heard of.
    """

    url: str = "memory://"
    deadline_ms: Annotated[int, Meta(ge=5, le=1_000)] = 50
    on_fault: Literal["local", "pass", "block"] = "local"
    share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    lease_s: Annotated[int, Meta(ge=2, le=3_600)] = 30


class Store(_Strict, frozen=True, kw_only=True):
    """[store]: the log. `incident_days` is how long closed incidents and penalties entered by hand are kept: the year
    within which a breach is a repeated one, and a year more in which a bill for it may come."""

    path: str = "/var/lib/guard/guard.db"
    durability: Literal["process", "power"] = "process"
    retention_days: Positive = 180
    incident_days: Positive = 730


class Evidence(_Strict, frozen=True, kw_only=True):
    """[evidence]: the private key that signs checkpoints and extracts; empty: beside the log, with `-key` added."""

    key: str = ""


class Privacy(_Strict, frozen=True, kw_only=True):
    """[privacy]: who is shown numbers in full: the log's `owner` (and root), all who can read it, or, `masked`, the
    owner who asks for them each time."""

    show_numbers: Literal["owner", "full", "masked"] = "owner"


class Mqtt(_Strict, frozen=True, kw_only=True):
    """[mqtt]: the broker that alerts go to; absent, none are published. Files are PEM, relative to guard.toml.

    Which messages there are: calls with one of the `verdicts`, and of `rules` where some are named (`*` ends a prefix);
    `incidents`, `penalties` and `health`. Of each verdict at most `rate` a minute, the others in one summary; at most
    `keep` wait for a broker that is away.
    """

    url: str
    topic: str = "guard"
    username: str = ""
    password_file: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    numbers: Literal["full", "masked"] = "masked"
    verdicts: tuple[Verdict, ...] = ("blocked", "masked", "flagged")
    rules: tuple[str, ...] = ()
    incidents: bool = True
    penalties: bool = True
    health: bool = True
    rate: Annotated[int, Meta(ge=0, le=100_000)] = 60
    keep: Annotated[int, Meta(ge=100, le=1_000_000)] = 10_000


class Web(_Strict, frozen=True, kw_only=True):
    """[web]: `host:port` of the dashboard and API; the other names that it is called by; its files. `open_viewer` lets
    who is on this machine see masked data without a token. A call that was decided for another switch, and of whose end
    nobody tells, holds its channel for `lease_s`."""

    listen: str = "127.0.0.1:8080"
    hosts: tuple[str, ...] = ()
    tokens: str = ""
    control: str = ""
    lease_s: Annotated[int, Meta(ge=0, le=86_400)] = 180
    open_viewer: bool = False
    certificate: str = ""
    key: str = ""
    language: Literal["auto", "en", "fr"] = "auto"


class Ledger(_Strict, frozen=True, kw_only=True):
    """[ledger]: how penalties are counted, and the exposure, in euros, beyond which the guard warns, or beyond which
    rules on trial act."""

    per_number: Literal["month", "ever"] = "month"
    alert_day: Euros | None = None
    alert_month: Euros | None = None
    enforce_above_day: Euros | None = None
    enforce_above_month: Euros | None = None


class Faults(_Strict, frozen=True, kw_only=True):
    """[faults]: what becomes of a call when a part of the guard fails or is late. Emergency calls always pass.

    `deadline_ms` is how long what refuses, masks or flags a call may wait for its record to be on disk: a second is
    nothing to a caller, and enough for any disk that works.
    """

    engine: FaultVerdict = "pass"
    store: FaultVerdict = "pass"
    state: FaultVerdict = "pass"
    deadline_ms: Annotated[int, Meta(ge=1, le=10_000)] = 1_000


class RuleSetting(_Strict, frozen=True, kw_only=True):
    """[rules."id"]: what is set for one rule. `parameters` are the rule's own, not yet checked against it."""

    enabled: bool = True
    action: RuleAction | None = None
    mode: Mode | None = None
    status: Literal[403, 603, 608] | None = None
    parameters: dict[str, object] = {}


class File(_Strict, frozen=True, kw_only=True):
    """One guard.toml as it is written, but for `[rules]`, whose tables also hold parameters of their rules."""

    site: Name = "guard"
    mode: Mode = "enforce"
    policies: str = ""
    timezone: str = "Europe/Paris"
    emergency_from_unknown: Literal["private", "any", "none"] = "private"
    listen: Listen = Listen()
    tls: Tls | None = None
    trunk: tuple[Trunk, ...] = ()
    source: tuple[Source, ...] = ()
    usage: tuple[UsageEntry, ...] = ()
    number: tuple[NumberEntry, ...] = ()
    prospecting: Prospecting | None = None
    rules: dict[str, RuleSetting] = {}
    site_rule: tuple[SiteRule, ...] = ()
    case: tuple[Case, ...] = ()
    dns: Dns = Dns()
    drain: Drain = Drain()
    refusal: Refusal = Refusal()
    hep: Hep | None = None
    state: State = State()
    store: Store = Store()
    evidence: Evidence = Evidence()
    privacy: Privacy = Privacy()
    mqtt: Mqtt | None = None
    web: Web | None = None
    faults: Faults = Faults()
    ledger: Ledger = Ledger()


def micro_euros(euros: float) -> int:
    """Euros as they were written, in micro-euros, exactly. ValueError where that is no whole number."""
    try:
        micros = Decimal(repr(euros)) * 1_000_000
        whole = int(micros)
    except (InvalidOperation, OverflowError, ValueError):
        raise ValueError(f"{euros} is no sum of money") from None
    if whole != micros:
        raise ValueError(f"{euros} has more than six decimals")
    return whole


def usages(written: Usage | tuple[Usage, ...]) -> tuple[Usage, ...]:
    """One usage or several, as a tuple."""
    return (written,) if isinstance(written, str) else written


def dial(entry: DialEntry) -> Dial:
    """How an IPBX dials, as the numbering wants it."""
    return Dial(international=entry.international, national=entry.national, strip=entry.strip)
