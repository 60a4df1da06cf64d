"""The same messages read by another's parser, Wireshark's: what both can read means the same to both.

Torture messages and changes of them go into a capture; `tshark` reads them. Each way in which the two may differ stands
in `explained`, and in docs/fuzzing.md, with its reason; any other one is a failure.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from guard.sip.check import check_request, check_response
from guard.sip.headers import BadHeader
from guard.sip.message import BadMessage, Message, parse
from guard.sip.uri import BadUri, parse_uri
from tests.capture.making import T0, ipv4, pcap, udp
from tests.fuzz.targets import target
from tests.fuzz.test_targets import changed
from tests.proxy.world import request

MANY: Final = int(os.environ.get("GUARD_FUZZ_DIFFERENTIAL", "2500"))  # changed messages; about a fifth of them is good
SEED: Final = int(os.environ.get("GUARD_FUZZ_SEED", "1"))
FIELDS: Final[dict[str, Callable[[Message], str | bytes | int | None]]] = {
    "sip.Method": lambda m: m.method,
    "sip.Status-Code": lambda m: m.status or None,
    "sip.r-uri.host": lambda m: parse_uri(m.uri).host if m.is_request else None,
    "sip.Call-ID": lambda m: m.call_id(),
    "sip.CSeq.seq": lambda m: m.cseq()[0],
    "sip.CSeq.method": lambda m: m.cseq()[1],
    "sip.from.host": lambda m: parse_uri(m.from_().uri).host,
    "sip.from.tag": lambda m: m.from_().tag,
    "sip.to.host": lambda m: parse_uri(m.to().uri).host,
    "sip.to.tag": lambda m: m.to().tag,
    "sip.Via.transport": lambda m: m.via().transport,
    "sip.Via.sent-by.address": lambda m: m.via().host,
    "sip.Via.branch": lambda m: m.via().branch,
    "sip.Max-Forwards": lambda m: m.max_forwards(),
    "sip.Content-Length": lambda m: m.content_length(),
}
SINGLE: Final = {"call-id", "cseq", "from", "to", "max-forwards", "content-length"}
REASONS: Final = (
    "tshark stops", "tshark splits a fold", "the first Via has no branch", "two of a header in a response",
    "white space in a parameter of Via", "a parameter of another name", "a scheme that is not sip",
    "white space in a value",
)  # fmt: skip


# What was read differently once: refused by now, and so not compared.
ONCE: Final = (
    request(caller="<sip:r@r@example.com>"),
    request(uri="sip:+33899123456@x@127.0.0.1"),
    request(caller='x "<sip:+33145678900@one.example>" <sip:+33899123456@two.example>'),
)


def messages(seed: int) -> list[Message]:
    """Good ones, all of their heads in printable ASCII: tshark tells of other bytes in its own way."""
    one = target("message")
    seeds, dice = one.seeds(), random.Random(seed)
    out = []
    for data in [*ONCE, *seeds, *(changed(dice.choice(seeds), one, dice, seeds) for _ in range(MANY))]:
        try:
            m = parse(data)
            m.via()
            check_request(m) if m.is_request else check_response(m)
        except (BadMessage, BadHeader):
            continue
        head = m.data[: m.body_at].replace(b"\r\n", b"")
        if head.isascii() and head.replace(b"\t", b"").decode("ascii").isprintable():
            out.append(m)
    return out


def read_by_tshark(sent: list[Message], folder: Path) -> list[dict[str, list[str]]]:
    """What tshark makes of each, by field."""
    program = shutil.which("tshark")
    assert program is not None, "tshark is missing: make programs"
    path = folder / "messages.pcap"
    path.write_bytes(pcap((T0 + n, ipv4(udp(m.data), ident=n & 0xFFFF)) for n, m in enumerate(sent)))
    words = [program, "-n", "-r", str(path), "-T", "json", *(w for f in FIELDS for w in ("-e", f))]
    done = subprocess.run(words, capture_output=True, check=True, timeout=120)
    rows = json.loads(done.stdout)
    return [row["_source"].get("layers", {}) for row in rows]


def ours(m: Message, field: str) -> str | None:
    """What the guard makes of a field; None where there is nothing to read, or nothing that can be."""
    try:
        value = FIELDS[field](m)
    except (BadHeader, BadUri):
        return None
    text = value.decode("ascii") if isinstance(value, bytes) else "" if value is None else str(value)
    return plain(text) or None


def plain(text: str) -> str:
    """Case of hosts and transports, and the brackets of IPv6, are a matter of taste."""
    return text.lower().strip("[]")


def explained(field: str, here: str | None, there: str | None, m: Message) -> str:
    """Why the two may differ here, "" where they may not."""
    name = field.split(".")[1].lower()
    folded = any(b"\r\n" in f.raw for f in m.fields)
    if there is None:
        return "tshark stops"  # at a method that is no word, at a header that it cannot read
    if name == "via" and folded:
        return "tshark splits a fold"
    if field == "sip.Via.branch" and here is None:
        return "the first Via has no branch"  # and tshark tells that of the second
    if not m.is_request and name in SINGLE & {f.name.decode() for f in m.fields if f.name in m.repeated}:
        return "two of a header in a response"  # the guard goes by the first, tshark by the last
    if name == "via" and set(b" \t") & set(m.fields[m.index[b"via"]].value.partition(b";")[2]):
        return "white space in a parameter of Via"  # it goes back as it came
    if name in {"from", "to"} and field.endswith("tag") and here is None:
        return "a parameter of another name"  # that ends in tag
    if name in {"from", "to", "r-uri"} and field.endswith("host") and here is None:
        return "a scheme that is not sip"
    if here is not None and there is not None and here.split() == there.split():
        return "white space in a value"
    return ""


def test_what_both_can_read_means_the_same_to_both(tmp_path: Path) -> None:
    sent = messages(SEED)
    assert len(sent) > MANY // 10
    read = read_by_tshark(sent, tmp_path)
    agreed: Counter[str] = Counter()
    differed: Counter[str] = Counter()
    for m, row in zip(sent, read, strict=True):
        for field in FIELDS:
            found = row.get(field)
            here, there = ours(m, field), plain(found[0]) if found else None
            if here == there:
                agreed[field] += here is not None
                continue
            why = explained(field, here, there, m)
            assert why in REASONS, f"{field}: here {here!r}, there {there!r}\n{m.data.decode('latin-1')}"
            differed[why] += 1
    assert min(agreed[field] for field in FIELDS) > 20, agreed  # each field was compared, and not only explained
    assert sum(differed.values()) < sum(agreed.values()) / 10, differed
