"""A customer's site on loopback: its guard.toml, its numbers, and who calls from where."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

GUARD: Final = "127.0.0.1"
IPBX: Final = "127.0.0.2"
OPERATOR: Final = "127.0.0.3"
STRANGER: Final = "127.0.0.9"

MAIN: Final = "+33145678900"  # the site's main number, shown in place of a masked one
ALICE: Final = "+33145678901"
BOB: Final = "+33145678902"
LENT: Final = "+33180909090"  # presented with its assignee's consent
PREMIUM: Final = "+33892681234"  # the site's own 0892 number: to be called, not to call from
ROBOT: Final = "+33948123456"  # of a verified range, for the dialler
MOBILE: Final = "+33612345678"  # a manager's: held, but not for a fixed trunk
FOREIGN: Final = "+33145679900"  # somebody else's, of an allotted block
CUSTOMER: Final = "+33199001234"  # whom everybody calls: a number that films and books may use


class Site(Struct, kw_only=True):
    """What stands in the guard.toml of a simulated site. `more` is TOML that is added at the end."""

    folder: Path
    port: int
    trunk_port: int
    pbx_port: int
    store: str = "guard.db"
    mode: str = "enforce"
    cps: int | None = None
    channels: int = 30
    line_calls: int = 0
    hold_ms: int = 2000
    trunk_transport: str = "udp"
    next_hops: tuple[str, ...] = ()  # instead of the one of `trunk_port`
    trunk_more: str = ""  # TOML of the trunk
    policies: str = ""  # their folder, where it is not the one of the package
    more: str = ""

    @property
    def config(self) -> Path:
        """The file."""
        return self.folder / "guard.toml"

    @property
    def guard(self) -> tuple[str, int]:
        """Where the guard listens."""
        return GUARD, self.port

    def write(self) -> Path:
        """Write the file and what it names, and return its path."""
        (self.folder / "consents").mkdir(parents=True, exist_ok=True)
        (self.folder / "consents" / "acme.txt").write_text(f"Acme lets this site present {LENT}.\n", encoding="utf-8")
        self.config.write_text(self._text(), encoding="utf-8")
        return self.config

    def _text(self) -> str:
        listen = f"{GUARD}:{self.port}"
        cps = f"\ncps = {self.cps}" if self.cps is not None else ""
        lines = f'\n[rules."limit.line-calls"]\ncalls = {self.line_calls}\n' if self.line_calls else ""
        policies = f'policies = "{self.policies}"\n' if self.policies else ""
        hops = self.next_hops or (f"sip:{OPERATOR}:{self.trunk_port};transport={self.trunk_transport}",)
        return f"""\
site = "demo"
mode = "{self.mode}"
timezone = "Europe/Paris"
{policies}
[listen]
udp = ["{listen}"]
tcp = ["{listen}"]

[[trunk]]
name = "operator"
next_hop = [{", ".join(f'"{h}"' for h in hops)}]
{self.trunk_more}
contract = "technicophone-sip-trunk"
channels = {self.channels}{cps}
mask_caller = "{MAIN}"

[[source]]
name = "pbx"
address = ["{IPBX}"]
trunk = "operator"
usage = "human"
line_from = "header:X-Line"
contact = "sip:{IPBX}:{self.pbx_port}"

[[usage]]                      # line 8xx is the dialler
source = "pbx"
line = ["8*"]
usage = "automated"

[[usage]]                      # line 6xx sells
source = "pbx"
line = ["6*"]
usage = "prospecting"

[[number]]
range = "{MAIN}-+33145678999"

[[number]]
range = "{PREMIUM}"

[[number]]
range = "+3394812*"

[[number]]
range = "{MOBILE}"

[[number]]
range = "{LENT}"
holder = "Acme"
proof = "consents/acme.txt"
from = 2026-01-01

[rules."rate.cps"]
hold_ms = {self.hold_ms}

[rules."cli.mobile-on-trunk"]  # on trial: it says what it would do
mode = "monitor"
{lines}
[store]
path = "{self.store}"
{self.more}"""
