"""What tests of the decision share: a site with a bit of everything, its policy, calls as its IPBX places them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from guard.asked import Question, attempt_of
from guard.config import Config, load
from guard.engine import Engine
from guard.model import CallAttempt, Identity
from guard.numbering.number import Dial, normalise
from guard.policy.load import Policy, load_policy
from guard.sources import Source

NOW: Final = 1_795_251_600_000_000  # 2026-11-21T10:00 in Paris, µs of Unix time
DAY: Final = 24 * 3600 * 1_000_000

MAIN: Final = "+33145678900"
SECOND_OWN: Final = "+33145678901"
MASKING: Final = "+33145678999"
LENT: Final = "+33180909090"  # consent of Acme for the whole of 2026
ENDED: Final = "+33180909091"  # consent that ended on 2026-06-30
COMING: Final = "+33180909092"  # consent from 2027-01-01
ROBOT: Final = "+33948123456"
PLATFORM: Final = "+33937123456"
MOBILE: Final = "+33612345678"
PREMIUM: Final = "+33892681234"
STRANGERS: Final = "+33299112233"

SITE: Final = """\
site = "test"
mode = "enforce"

[listen]
udp = ["127.0.0.1:5060"]

[[trunk]]
name = "operator"
next_hop = ["sip:198.51.100.10"]
contract = "technicophone-sip-trunk"
channels = 30
mask_caller = "+33145678999"

[[trunk]]                      # no contract: the public plan alone
name = "bare"
next_hop = ["sip:198.51.100.11"]

[[source]]
name = "pbx"
address = ["192.0.2.5"]
trunk = "operator"

[[source]]
name = "robot"
address = ["192.0.2.6"]
trunk = "operator"
usage = "automated"

[[source]]
name = "branch"
address = ["192.0.2.7"]
trunk = "bare"
forwarded = "require-inbound"

[[number]]
range = "+33145678900-+33145678999"
[[number]]
range = "+3394812*"
[[number]]
range = "+33937*"
[[number]]
range = "+33612345678"
[[number]]
range = "+33892681234"
[[number]]
range = "+3381*"
[[number]]
range = "3020"
[[number]]
range = "+33180909090"
holder = "Acme"
proof = "acme.txt"
from = 2026-01-01
until = 2026-12-31
[[number]]
range = "+33180909091"
holder = "Acme"
proof = "acme.txt"
until = 2026-06-30
[[number]]
range = "+33180909092"
holder = "Acme"
proof = "acme.txt"
from = 2027-01-01

[rules."limit.line-calls"]
calls = 2
"""

# Files beside the guard.toml, for whoever names them in a `[prospecting]` of his own.
LISTS: Final = {
    "acme.txt": "Acme agrees.\n",
    "consents.csv": """number,from,until,proof
0199000001,2026-09-01,,form 1
0199000002,2024-01-01,2025-01-01,form 2
0199000003,2026-09-01,2026-11-10,form 3
0199000006,2026-10-20,,form 6
0199000011,2026-01-01,,form 11
""",
    "contracts.csv": "number;from;proof\n0199000004;2020-01-01;policy 4\n",
    "appointments.csv": "number,at,proof\n0199000001,2026-11-21T10:00,mail 1\n",
    "requests.csv": "number,at,proof\n0199000007,2026-11-17T09:00,call 7\n0199000008,2026-11-09T09:00,call 8\n",
    "refusals.csv": "number,at\n0199000005,2026-10-01T10:00\n0199000006,2026-10-01\n0199000011,2026-05-01\n",
    "opposition.csv": "number,from\n0199000009,2024-01-01\n0199000004,2024-01-01\n",
    "professionals.csv": "number\n0199000010\n",
}
SELLS: Final = """
[prospecting]
consents = "consents.csv"
contracts = "contracts.csv"
appointments = "appointments.csv"
requests = "requests.csv"
refusals = "refusals.csv"
opposition = "opposition.csv"
professionals = "professionals.csv"
"""


@cache
def config_of(more: str = "", site: str = SITE) -> Config:
    """The site's configuration, with TOML that is added at the end."""
    folder = Path(tempfile.mkdtemp(prefix="guard-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, text in LISTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "guard.toml").write_text(site + more, encoding="utf-8")
    return load(folder / "guard.toml")


@cache
def policy_of(more: str = "", site: str = SITE) -> Policy:
    """Its policy."""
    return load_policy(config_of(more, site))


def engine_of(more: str = "", site: str = SITE) -> Engine:
    """An engine on it."""
    return Engine(policy_of(more, site))


def call(
    caller: str = MAIN,
    callee: str = "0199001234",
    *,
    source: str = "pbx",
    at: int = NOW,
    usage: tuple[str, ...] = (),
    pai: tuple[str, ...] = (),
    ppi: tuple[str, ...] = (),
    rpid: tuple[str, ...] = (),
    diversion: tuple[str, ...] = (),
    privacy: bool = False,
    line: str = "200",
    call_id: str = "c1",
) -> CallAttempt:
    """A call as the IPBX of the site would place it; numbers as it would write them. `source` "" is a stranger."""
    config = config_of()
    known = next((s for s in config.sources if s.name == source), None)
    asked = attempt_of(
        Question(
            source=known or Source(name="", networks=(), trunk=""),
            caller=caller,
            callee=callee,
            at=at,
            line=line,
            usage=usage,  # type: ignore[arg-type]  # words of tests
            asserted=pai,
            diversion=diversion,
            privacy=privacy,
        )
    )
    more = tuple(Identity("ppi", normalise(n, Dial())) for n in ppi)
    more += tuple(Identity("rpid", normalise(n, Dial())) for n in rpid)
    return replace(asked, call_id=call_id, identities=asked.identities + more, source_address="203.0.113.9")
