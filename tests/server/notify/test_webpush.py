"""Web Push against a push service that checks what RFC 8292 says, and a browser that opens what RFC 8291 says."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Engine, select

from server.notify import webpush
from server.notify.deliver import RETRY_AFTER, deliver_due
from server.notify.webpush import Sender, Subscription, encrypt, plain, public_bytes
from server.notify.words import Letter
from server.store.db import transaction
from server.store.lost import NewNotice, add_notice, channels_of
from server.store.tables import audit
from tests.server.notify.outside import NOW, PAYLOAD, Hook, channel, doors, queue, row

HOUSE = ec.derive_private_key(1234567, ec.SECP256R1())
SENDER = Sender(lambda: HOUSE, "https://tags.example", lambda n: b"\x05" * n)


def unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Device:
    """A browser: a key pair and a secret of its own, and what it reads of what a push service hands it."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = b"sixteen letters!"

    @property
    def secret(self) -> bytes:
        return public_bytes(self.key) + self.auth

    def open(self, body: bytes) -> bytes:
        """RFC 8188 and RFC 8291 from the reader's side, with the key that only this browser has."""
        salt, (size, named) = body[:16], struct.unpack("!IB", body[16:21])
        assert len(body) - 21 - named <= size <= 4096
        theirs = body[21 : 21 + named]
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))
        info = b"WebPush: info\0" + public_bytes(self.key) + theirs
        material = HKDF(SHA256(), 32, self.auth, info).derive(shared)
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(material)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(material)
        padded = AESGCM(key).decrypt(nonce, body[21 + named :], None)
        text, last, padding = padded.rpartition(b"\x02")
        assert last
        assert not padding.strip(b"\0")
        return text


def who_sent(headers: dict[str, str], origin: str) -> dict[str, Any]:
    """What a push service does before it takes a message (RFC 8292): signature, audience, an end within a day."""
    scheme, _, rest = headers["authorization"].partition(" ")
    assert scheme == "vapid"
    given = dict(part.strip().split("=", 1) for part in rest.split(","))
    head, claims, signature = given["t"].split(".")
    assert json.loads(unbase64(head)) == {"typ": "JWT", "alg": "ES256"}
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unbase64(given["k"]))
    raw = unbase64(signature)
    assert len(raw) == 64
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(SHA256()))
    said: dict[str, Any] = json.loads(unbase64(claims))
    assert said["aud"] == origin
    assert NOW.timestamp() < said["exp"] <= NOW.timestamp() + 24 * 3600
    return {**said, "key": unbase64(given["k"])}


def endpoint(hook: Hook) -> str:
    return f"http://127.0.0.1:{hook.server.server_port}/push/one?token=x"


def subscribed(engine: Engine, account: int, hook: Hook, device: Device) -> int:
    return channel(engine, account, "webpush", endpoint(hook), device.secret)


def deliver(engine: Engine, now: Callable[[], Any] = lambda: NOW) -> Any:
    return deliver_due(engine, doors(None, private=True, push=SENDER), now)


def test_a_browser_reads_what_its_push_service_cannot(engine: Engine, hook: Hook, account: int) -> None:
    device = Device()
    queue(engine, account, subscribed(engine, account, hook, device))
    hook.status = 201
    assert deliver(engine).sent == 1
    [(headers, body)] = hook.got
    said = who_sent(headers, f"http://127.0.0.1:{hook.server.server_port}")
    assert said["key"] == public_bytes(HOUSE)
    assert said["sub"] == "https://tags.example"
    assert (headers["content-encoding"], headers["urgency"]) == ("aes128gcm", "high")
    assert 0 < int(headers["ttl"]) <= 28 * 24 * 3600
    assert b"Bicycle" not in body
    read = json.loads(device.open(body))
    assert read["title"] == "Your lost tag “Bicycle” was heard"
    assert "Sun 22 Nov 2026, 14:10 (Europe/Berlin)" in read["body"]
    assert read["url"] == PAYLOAD["url"]
    assert read["tag"] == f"notice-{row(engine).no}@hearsight"


def test_the_push_service_of_this_test_refuses_a_strangers_signature(hook: Hook) -> None:
    header = webpush.authorization(HOUSE, endpoint(hook), "https://tags.example", NOW)
    stranger = ec.derive_private_key(7, ec.SECP256R1())
    theirs = webpush.authorization(stranger, endpoint(hook), "https://tags.example", NOW)
    forged = header.partition(", k=")[0] + ", k=" + theirs.partition(", k=")[2]
    with pytest.raises(InvalidSignature):
        who_sent({"authorization": forged}, f"http://127.0.0.1:{hook.server.server_port}")


def test_the_example_of_rfc_8291() -> None:
    """Section 5 and appendix A."""
    point = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
    secret = unbase64(point) + unbase64("BTBZMqHH6r4Tts7J_aSIgg")
    ours = ec.derive_private_key(
        int.from_bytes(unbase64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big"), ec.SECP256R1()
    )
    made = encrypt(b"When I grow up, I want to be a watermelon", secret, unbase64("DGv6ra1nlYgDCS1FRnbzlw"), ours)
    assert base64.urlsafe_b64encode(made).rstrip(b"=") == (
        b"DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6P"
        b"Bru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@pytest.mark.parametrize("status", [404, 410])
def test_a_subscription_that_is_gone_is_a_channel_no_more(
    engine: Engine, hook: Hook, account: int, status: int
) -> None:
    no = subscribed(engine, account, hook, Device())
    queue(engine, account, no)
    with transaction(engine) as tx:
        add_notice(tx, NewNotice(account, no, "channel_test", "test:1", {"url": "x"}), NOW)
    hook.status = status
    assert deliver(engine).failed == 1
    assert len(hook.got) == 1, "what else waited for it is not tried"
    with transaction(engine) as tx:
        assert channels_of(tx, account) == ()
        [noted] = tx.execute(select(audit)).all()
    assert (noted.action, noted.subject) == ("channel_removed", "account:rowan@example.org")


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_push_service_that_is_busy_is_tried_again(engine: Engine, hook: Hook, account: int, status: int) -> None:
    device = Device()
    queue(engine, account, subscribed(engine, account, hook, device))
    hook.status = status
    assert deliver(engine).failed == 1
    assert row(engine).due_at == NOW + RETRY_AFTER[0]
    hook.status = 201
    assert deliver(engine, lambda: NOW + timedelta(minutes=1)).sent == 1
    first, second = hook.got
    assert first[0]["topic"] == second[0]["topic"], "the repetition takes the first one's place"
    with transaction(engine) as tx:
        assert len(channels_of(tx, account)) == 1


def test_an_endpoint_in_our_own_network_is_given_up_at_once(engine: Engine, hook: Hook, account: int) -> None:
    queue(
        engine,
        account,
        channel(engine, account, "webpush", f"https://127.0.0.1:{hook.server.server_port}/p", Device().secret),
    )
    assert deliver_due(engine, doors(None, push=SENDER), lambda: NOW).failed == 1
    assert row(engine).given_up_at == NOW
    assert hook.got == []


@pytest.mark.parametrize("text", ["x" * 9000, "\x01" * 9000, "“é€” 𝄞" * 2000, '"\\' * 4000])
def test_a_long_letter_is_cut_to_what_every_push_service_takes(text: str) -> None:
    device = Device()
    letter = Letter("Somebody found “Bicycle”", text)
    body = encrypt(plain(letter, "https://x.example/t/1", "notice-1@hearsight"), device.secret, bytes(16), HOUSE)
    assert 3900 < len(body) <= 4096
    read = json.loads(device.open(body))
    assert read["body"].endswith("the page)")
    assert text.startswith(read["body"].partition("… (more")[0])


def test_secrets_do_not_show() -> None:
    assert "secret" not in repr(Subscription("https://push.example/x", b"secret"))
