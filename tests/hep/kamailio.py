"""A Kamailio that passes calls on and mirrors all of them as HEPv3 (siptrace), started by a test and stopped by it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONF = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
listen=udp:{here}
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siptrace.so"
modparam("siptrace", "duplicate_uri", "sip:{collector}")
modparam("siptrace", "hep_mode_on", 1)
modparam("siptrace", "hep_version", 3)
modparam("siptrace", "hep_capture_id", 77)
modparam("siptrace", "auth_key", "secret")
modparam("siptrace", "trace_to_database", 0)
modparam("siptrace", "trace_on", 1)
modparam("siptrace", "trace_mode", 1)
request_route {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (method=="ACK") {{ t_relay(); exit; }}
    record_route();
    $du = "sip:{there}";
    t_relay();
}}
"""


@contextmanager
def kamailio(program: str, folder: Path, *, here: str, there: str, collector: str) -> Iterator[None]:
    """One that listens on `here`, sends new calls on to `there` and mirrors to `collector`, each a host:port."""
    conf = folder / "kamailio.cfg"
    conf.write_text(CONF.format(here=here, there=there, collector=collector), encoding="ascii")
    words = [program, "-DD", "-E", "-m", "16", "-M", "4", "-f", str(conf), "-Y", str(folder), "-P", str(folder / "pid")]
    with (folder / "kamailio.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
