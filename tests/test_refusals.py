"""Refusals that travel: 603+ and 608, as a site or a rule of it says, from guard.toml to the wire and the record."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Final, cast

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from guard.config import ConfigError, read
from guard.policy.load import load_policy
from guard.proxy.refuse import MAX_REASON
from guard.refusals import Card, of
from guard.reload import load_all
from guard.sip.message import Message
from guard.tomlread import Problem
from tests.apprig import FOREIGN, guard, run
from tests.test_config import GOOD, written

CONTACTS: Final = 'url = "https://www.example.net/refused"\ntel = "+33145678900"\nemail = "refused@example.net"\n'
SIGNED: Final = f'[refusal]\nstatus = 608\nannounced = true\nkey = "card.pem"\ncertificate_url = "https://www.example.net/card.pem"\n{CONTACTS}'
T0: Final = 1_795_251_600_123_456  # µs


def key_file(path: Path, mode: int = 0o600) -> EllipticCurvePrivateKey:
    """A key, and the file that it is in."""
    key = generate_private_key(SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(mode)
    return key


def octets(word: str) -> bytes:
    return base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))


def checked(uri: str, key: EllipticCurvePrivateKey) -> tuple[dict[str, object], dict[str, object]]:
    """The header and the payload of a card. Raises InvalidSignature."""
    kind, _, jws = uri.partition(",")
    assert kind == "data:application/jose"
    head, payload, signature = jws.split(".")
    half = octets(signature)
    assert len(half) == 64
    der = encode_dss_signature(int.from_bytes(half[:32], "big"), int.from_bytes(half[32:], "big"))
    key.public_key().verify(der, f"{head}.{payload}".encode(), ECDSA(SHA256()))
    return json.loads(octets(head)), json.loads(octets(payload))


def card_of(folder: Path, more: str = SIGNED) -> tuple[Card, EllipticCurvePrivateKey]:
    key = key_file(folder / "card.pem")
    card = of(load_all(written(folder, GOOD + more), b"").config).card
    assert card is not None
    return cast("Card", card), key


def test_a_card_as_rfc_8688_wants_it(tmp_path: Path) -> None:
    card, key = card_of(tmp_path)
    head, payload = checked(card(T0).decode(), key)
    assert head == {"alg": "ES256", "typ": "vcard+json", "x5u": "https://www.example.net/card.pem"}
    assert payload == {
        "iat": 1_795_251_600,
        "jcard": [
            "vcard",
            [
                ["version", {}, "text", "4.0"],
                ["fn", {}, "text", "hq"],
                ["url", {"type": "work"}, "uri", "https://www.example.net/refused"],
                ["tel", {"type": "work"}, "uri", "tel:+33145678900"],
                ["email", {"type": "work"}, "text", "refused@example.net"],
            ],
        ],
    }


def test_a_card_bears_the_second_of_the_refusal(tmp_path: Path) -> None:
    card, key = card_of(tmp_path, SIGNED + 'name = "Télécom"\n')
    one, same, next_one = card(T0), card(T0 + 800_000), card(T0 + 900_000)
    assert one == same
    assert checked(next_one.decode(), key)[1]["iat"] == 1_795_251_601
    assert "Télécom" in str(checked(one.decode(), key)[1]["jcard"])


def test_a_card_of_another_key_is_none(tmp_path: Path) -> None:
    card, _ = card_of(tmp_path)
    with pytest.raises(InvalidSignature):
        checked(card(T0).decode(), generate_private_key(SECP256R1()))


@pytest.mark.parametrize(
    ("more", "key", "what"),
    [
        ("status = 603\n", "refusal", "603 needs url, tel or email"),
        ('status = 608\nkey = "card.pem"\ncertificate_url = "https://a.example/c"\n', "refusal", "608 needs url, tel"),
        (f'status = 608\ncertificate_url = "https://a.example/c"\n{CONTACTS}', "refusal.key", "is missing: 608 is"),
        (f'status = 608\nkey = "card.pem"\n{CONTACTS}', "refusal.certificate_url", "is missing: 608 is signed"),
        (f'status = 608\nkey = "no.pem"\ncertificate_url = "https://a.example/c"\n{CONTACTS}', "refusal.key",
         '"no.pem": no such file in'),
        ("status = 480\n", "refusal.status", "480 is not one of 403, 603, 608"),
        ('location = "HERE"\n', "refusal.location", '"HERE" is not one of'),
        ('url = "http://a.example"\n', "refusal.url", "is not an https URL"),
        ('url = "https://a.example/;x"\n', "refusal.url", "without quotes, semicolons"),
        ("url = 'https://a.example/\"x'\n", "refusal.url", "without quotes, semicolons"),
        ('url = "https://a.example/\\r\\nX: y"\n', "refusal.url", "without quotes, semicolons"),
        ('tel = "0145678900"\n', "refusal.tel", "is not a number in E.164 form"),
        ('email = "a b@c"\n', "refusal.email", "is not an e-mail address"),
        ('[rules."cli.premium"]\nstatus = 603\n', "refusal", "603 needs url, tel or email"),
        ('[rules."rate.cps"]\nstatus = 603\n', "rules.rate.cps.status", "only a rule that refuses with 403"),
        ('[rules."cli.premium"]\nstatus = 480\n', "rules.cli.premium.status", "480 is not one of 403, 603, 608"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(more: str, key: str, what: str, tmp_path: Path) -> None:
    key_file(tmp_path / "card.pem")
    with pytest.raises(ConfigError) as raised:
        load_all(written(tmp_path, f"{GOOD}[refusal]\n{more}"), b"")
    found = [p for p in raised.value.problems if p.key == key or p.key.replace('"', "") == key]
    assert any(what in p.what for p in found), raised.value.problems


def bad_keys(folder: Path) -> dict[str, str]:
    """Files that hold no key that serves, and what is said of them."""
    key_file(folder / "open.pem", 0o640)
    other, curve = Ed25519PrivateKey.generate(), generate_private_key(SECP384R1())
    for name, data in {
        "text.pem": b"no key",
        "ed.pem": other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "p384.pem": curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "locked.pem": curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
    }.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    return {
        "open.pem": "others can read this key (mode 640): chmod 600 it",
        "text.pem": "not a private key in PEM",
        "ed.pem": "not a key of the curve P-256",
        "p384.pem": "not a key of the curve P-256",
        "locked.pem": "not a private key in PEM, or one with a password",
    }


@pytest.mark.parametrize("name", ["open.pem", "text.pem", "ed.pem", "p384.pem", "locked.pem"])
def test_a_key_that_does_not_serve(name: str, tmp_path: Path) -> None:
    said = bad_keys(tmp_path)[name]
    with pytest.raises(ConfigError) as raised:
        load_all(written(tmp_path, GOOD + SIGNED.replace("card.pem", name, 1)), b"")
    assert [p.key for p in raised.value.problems] == ["refusal.key"]
    assert said in raised.value.problems[0].what


def test_a_reason_that_some_would_not_pass_on_is_told(tmp_path: Path) -> None:
    problems: list[Problem] = []
    for size, warned in ((MAX_REASON, False), (MAX_REASON + 1, True)):
        rest = len('SIP;cause=603;text="v=analytics1;url=https://a.example/;id=";location=LPN') + 19
        url = "https://a.example/" + "x" * (size - rest)
        config = read(written(tmp_path, f'{GOOD}[refusal]\nstatus = 603\nurl = "{url}"\n'), problems)
        assert config is not None
        assert any(f"may be {size} octets" in w for w in config.warnings) == warned
    assert problems == []


def test_the_policy_has_another_name(tmp_path: Path) -> None:
    plain = load_policy(load_all(written(tmp_path, GOOD), b"").config)
    other = load_policy(load_all(written(tmp_path, f"{GOOD}[refusal]\nstatus = 603\n{CONTACTS}"), b"").config)
    assert plain.digest != other.digest
    before, after = (
        {r.id: r.status for r in (*(j.rule for j in p.judges), *(c.rule for c in p.counts))} for p in (plain, other)
    )
    assert set(before.values()) >= {403, 480}
    assert after == {name: 603 if status == 403 else status for name, status in before.items()}


def first_line(m: Message) -> bytes:
    return m.data[: m.data.index(b"\r\n")]


def test_a_603_of_a_whole_guard(tmp_path: Path) -> None:
    async def scene() -> None:
        more = '[refusal]\nstatus = 603\nurl = "https://www.example.net/refused"\nlocation = "LN"\n'
        async with guard(tmp_path, more=more) as g:
            g.pbx.invite(1, caller=FOREIGN)
            m = await g.pbx.next("603", number=1)
            assert first_line(m) == b"SIP/2.0 603 Network Blocked"
            assert m.all(b"reason") == [
                b'SIP;cause=603;text="v=analytics1;url=https://www.example.net/refused;id=1";location=LN',
                b'Q.850;cause=21;text="Call rejected"',
            ]
            assert (m.first(b"warning") or b"").startswith(b"399 ")
            assert m.first(b"call-info") is None
            await g.carried(2)
            await g.stop()
            assert next((d.record.response, d.record.final_status) for d in g.log()) == (603, 603)

    run(scene)


@pytest.mark.parametrize(
    ("caps", "status"),
    [
        ("", 403),
        ("Feature-Caps: *;+sip.607\r\n", 403),
        ("Feature-Caps: *;+sip.6080\r\n", 403),
        ("Feature-Caps: *;+sip.608\r\n", 608),
        ('Feature-Caps: *;+g.3gpp.ti="x", * ; +SIP.608 ;+sip.pns\r\n', 608),
        ('Feature-Caps: *;+sip.607\r\nfeature-caps: *;+sip.608="1"\r\n', 608),
    ],
)
def test_a_608_is_for_callers_who_declare_it(tmp_path: Path, caps: str, status: int) -> None:
    """RFC 8688 3.3, 3.4: to others an announcement would be owed."""
    key_file(tmp_path / "card.pem")

    async def scene() -> None:
        async with guard(tmp_path, more=SIGNED.replace("announced = true\n", "")) as g:
            g.pbx.invite(1, caller=FOREIGN, more=caps)
            m = await g.pbx.final(1)
            assert m.status == status
            assert m.all(b"reason")[0] == f'SIP;cause={status};text="cli.not-authorised #1"'.encode()
            assert (m.first(b"call-info") is not None) is (status == 608)
            await g.stop()
            assert g.log()[0].record.final_status == status  # what was heard, whatever the rule asked for

    run(scene)


def test_a_608_of_one_rule_of_a_whole_guard(tmp_path: Path) -> None:
    key = key_file(tmp_path / "card.pem")
    more = SIGNED.replace("status = 608\n", "") + '[rules."cli.not-authorised"]\nstatus = 608\n'

    async def scene() -> None:
        async with guard(tmp_path, more=more) as g:
            g.pbx.invite(1, caller=FOREIGN)
            m = await g.pbx.next("608", number=1)
            assert first_line(m) == b"SIP/2.0 608 Rejected"
            assert m.all(b"reason")[0] == b'SIP;cause=608;text="cli.not-authorised #1"'
            info = (m.first(b"call-info") or b"").decode()
            assert info.startswith("<data:application/jose,")
            assert info.endswith(">;purpose=jwscard")
            assert checked(info[1 : info.index(">")], key)[1]["jcard"]
            await g.stop()
            assert g.log()[0].record.response == 608

    run(scene)
