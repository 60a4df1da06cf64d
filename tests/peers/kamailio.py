"""Kamailio as an operator: a registrar that asks for passwords, a proxy that stays on the route.

No database: accounts stand in a htable, contacts in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from sim.site import CUSTOMER
from tests.peers.process import Program, answers_options

REALM: Final = "operator.example"
PASSWORD: Final = "secret"

# Called numbers that get something other than a callee.
MOVED: Final = "+33199000302"  # 302 to the customer
ASKED: Final = "+33199000407"  # only for who names himself: 407 first
DOWN: Final = "+33199000503"
BOTH: Final = "+33199000002"  # rings at two callees

TEMPLATE: Final = """\
#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=2
tcp_children=2
shm_force_alloc=no
auto_aliases=no
alias="@REALM@"
server_header="Server: operator"
tcp_connection_lifetime=3605
listen=udp:@HOST@:@PORT@
listen=tcp:@HOST@:@PORT@
@TLS@
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "htable.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "corex.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 3600)
modparam("registrar", "min_expires", 1)
modparam("rr", "enable_full_lr", 1)
modparam("htable", "htable", "accounts=>size=6;")
modparam("tm", "fr_timer", 5000)
modparam("tm", "fr_inv_timer", 30000)

event_route[htable:mod-init] {
@ACCOUNTS@
}

request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
        sl_send_reply("404", "Not here");
        exit;
    }
    if (is_method("ACK")) { t_check_trans(); exit; }
    t_check_trans();
    if (is_method("OPTIONS") && (uri == myself)) { sl_send_reply("200", "Keepalive"); exit; }
    if (is_method("REGISTER")) {
        xlog("L_NOTICE", "registers: $hdr(Authorization)\n");
        if (!pv_www_authenticate("@REALM@", "$sht(accounts=>$au)", "0")) { www_challenge("@REALM@", "0"); exit; }
        consume_credentials();
        if (!save("location")) sl_reply_error();
        exit;
    }
    if (!is_method("INVITE")) { sl_send_reply("405", "Method Not Allowed"); exit; }
    @SENDS@
    t_newtran();
    record_route();
    switch ($rU) {
        case "@MOVED@":
            append_to_reply("Contact: <sip:@CUSTOMER@@@HOST@:@PORT@>\\r\\n");
            send_reply("302", "Moved Temporarily");
            exit;
        case "@DOWN@":
            send_reply("503", "Service Unavailable");
            exit;
        case "@ASKED@":
            if (!pv_proxy_authenticate("@REALM@", "$sht(accounts=>$au)", "0")) {
                proxy_challenge("@REALM@", "0");
                exit;
            }
            consume_credentials();
            $rU = "@CUSTOMER@";
            break;
        case "112":
            $rU = "@CUSTOMER@";
            break;
        case "@BOTH@":
            $du = "sip:@SECOND@";
            append_branch();
            $du = "sip:@CALLEE@";
            t_relay();
            exit;
    }
    if (!lookup("location")) $du = "sip:@CALLEE@";
    if (!t_relay()) sl_reply_error();
    exit;
}
@ROUTE@
"""

# Nobody without a certificate of the same authority, either way.
OVER_TLS: Final = """\
enable_tls=yes
listen=tls:@HOST@:{port}
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{certificate}")
modparam("tls", "ca_list", "{ca}")
modparam("tls", "verify_certificate", 1)
modparam("tls", "require_certificate", 1)
"""


class Tls(Struct, frozen=True):
    """Where it speaks TLS, and with what: PEM files, the key with its certificate."""

    port: int
    certificate: Path
    ca: Path


class Kamailio(Program):
    """A running operator. `accounts` may register; who is not registered is looked for at `callee` (`host:port`).

    With `tls` it speaks that as well. With `route`, which defines route[GUARD], it is an exchange instead whose calls
    all leave by that.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        port: int,
        *,
        callee: str,
        second: str = "",
        accounts: tuple[str, ...] = (),
        route: str = "",
        tls: Tls | None = None,
    ) -> None:
        self.host, self.port = host, port
        if tls is not None and not list(Path("/usr/lib").glob("*/kamailio/modules/tls.so")):
            pytest.fail("Kamailio's TLS is missing: sudo apt-get install kamailio-tls-modules", pytrace=False)
        over = OVER_TLS.format(port=tls.port, certificate=tls.certificate, ca=tls.ca) if tls is not None else ""
        words = {
            "TLS": over,
            "HOST": host,
            "PORT": str(port),
            "REALM": REALM,
            "ACCOUNTS": "\n".join(f'    $sht(accounts=>{a}) = "{PASSWORD}";' for a in accounts) or "    return;",
            "CALLEE": callee,
            "SECOND": second or callee,
            "MOVED": MOVED,
            "DOWN": DOWN,
            "CUSTOMER": CUSTOMER,
            "ASKED": ASKED,
            "BOTH": BOTH,
            "SENDS": "route(GUARD);" if route else "",
            "ROUTE": route,
        }
        text = TEMPLATE
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        config = folder / "kamailio.cfg"
        config.write_text(text, encoding="utf-8")
        run = folder / "kamailio.run"
        run.mkdir(exist_ok=True)
        super().__init__(
            "kamailio", "kamailio", "kamailio", ["-f", str(config), "-DD", "-E", "-Y", str(run), "-w", str(run)], folder
        )
        self.wait(lambda: answers_options(host, port), "answer to OPTIONS")
