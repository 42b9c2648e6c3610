"""Letters to a browser by its push service: RFC 8030 carries, RFC 8291 encrypts, RFC 8292 (VAPID) says who we are.

Sixty lines on `cryptography` and the way out that webhooks take. pywebpush would bring requests and aiohttp, look up
the endpoint by itself (any customer's endpoint leads where it likes), and has no place for our look at the address.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.notify import outward
from server.notify.words import Letter

# A phone that was off for longer reads old news; our own queue gives up about then, too.
KEEP_S: Final = 2 * 24 * 3600
# Push services refuse more than a day (RFC 8292, section 2).
_TOKEN_LIVES: Final = timedelta(hours=12)
# A whole body of 4,096 bytes is what every push service takes; a finder's two thousand letters may be more.
_BODY_MAX: Final = 4096
_JWT_HEAD: Final = b'{"typ":"JWT","alg":"ES256"}'
_POINT_LEN: Final = 65
_SALT_LEN: Final = 16
_TAG_LEN: Final = 16
# Salt, record size, length of the key's name, and the name: our one-time public point.
_HEAD_LEN: Final = _SALT_LEN + 4 + 1 + _POINT_LEN
_PLAIN_MAX: Final = _BODY_MAX - _HEAD_LEN - _TAG_LEN - 1
_CUT: Final = "… (more in the e-mail or at the page)"


class GoneError(Exception):
    """The push service says that this subscription is no more: the owner took it back, or the browser is gone."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: the house's key on P-256, and `contact` (https: or mailto:), where a push service may complain."""

    key: Callable[[], EllipticCurvePrivateKey]
    contact: str
    dice: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A browser's: `secret` is its public point (65 bytes) ‖ its secret (16)."""

    endpoint: str
    secret: bytes = field(repr=False)


def send(
    sender: Sender,
    to: Subscription,
    letter: Letter,
    url: str,
    *,
    message_id: str,
    at: datetime,
    private_allowed: bool = False,
) -> None:
    """Sends one letter. Raises GoneError and UnsafeAddressError for good; otherwise as `outward.post` does.

    A repetition has the same topic: it takes the place of the one that still waits at the push service.
    """
    key = sender.key()
    headers = {
        "content-type": "application/octet-stream",
        "content-encoding": "aes128gcm",
        "ttl": str(KEEP_S),
        "urgency": "high",
        "topic": "".join(each if each.isalnum() else "-" for each in message_id)[:32],
        "authorization": authorization(key, to.endpoint, sender.contact, at),
    }
    body = encrypt(plain(letter, url, message_id), to.secret, sender.dice(_SALT_LEN), generate_private_key(SECP256R1()))
    try:
        outward.post(to.endpoint, body, headers, private_allowed=private_allowed)
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (404, 410):
            raise GoneError(f"the push service answered {error.response.status_code}") from None
        raise


def plain(letter: Letter, url: str, message_id: str) -> bytes:
    """What the service worker reads: JSON of title, body, url and tag, at most as long as a message may be."""
    said = {"title": letter.subject[:200], "body": letter.text, "url": url, "tag": message_id}
    while len(made := msgspec.json.encode(said)) > _PLAIN_MAX:
        over = len(made) - _PLAIN_MAX
        # A character is at most six bytes of JSON; the loop ends because each round takes at least one away.
        kept = len(said["body"].removesuffix(_CUT)) - max(1, over // 6)
        said["body"] = said["body"][: max(kept, 0)] + _CUT
    return made


def encrypt(plain: bytes, secret: bytes, salt: bytes, ephemeral: EllipticCurvePrivateKey) -> bytes:
    """One record of aes128gcm (RFC 8188) that only the browser opens (RFC 8291, section 3). `secret`: point ‖ auth."""
    point, auth = secret[:_POINT_LEN], secret[_POINT_LEN:]
    ours = public_bytes(ephemeral)
    shared = ephemeral.exchange(ECDH(), EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point))
    material = _hkdf(auth, shared, b"WebPush: info\x00" + point + ours, 32)
    key = _hkdf(salt, material, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _hkdf(salt, material, b"Content-Encoding: nonce\x00", 12)
    head = salt + _BODY_MAX.to_bytes(4, "big") + bytes((_POINT_LEN,)) + ours
    return head + AESGCM(key).encrypt(nonce, plain + b"\x02", None)


def authorization(key: EllipticCurvePrivateKey, endpoint: str, contact: str, at: datetime) -> str:
    """The header by which a push service knows us: a JWT (ES256) for this service alone, and our public key."""
    where = urlsplit(endpoint)
    claims = {"aud": f"{where.scheme}://{where.netloc}", "exp": int((at + _TOKEN_LIVES).timestamp()), "sub": contact}
    signed = f"{_base64(_JWT_HEAD)}.{_base64(msgspec.json.encode(claims))}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ECDSA(SHA256())))
    token = f"{signed}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    return f"vapid t={token}, k={_base64(public_bytes(key))}"


def public_bytes(key: EllipticCurvePrivateKey) -> bytes:
    """The public point, 65 bytes: 04 ‖ x ‖ y."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _hkdf(salt: bytes, material: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(material)


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
