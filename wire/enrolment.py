"""How a gateway joins: a one-time token that pins the server's key, a signed request, a signed reply.

The token goes from the operator to the gateway by hand. The gateway makes its own Ed25519 key, sends the public
half, and believes only a reply signed by the key that the token names.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wire.batch import GatewayClass, Place
from wire.errors import WireError
from wire.packing import pack, unpack
from wire.topics import GatewayId

VERSION: Final = 1
MAX_BYTES: Final = 32 * 1024
_PREFIX: Final = "HS1."
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Url = Annotated[str, Meta(max_length=512)]


class EnrolToken(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the operator hands over; `secret` works once."""

    url: Url
    gateway: GatewayId
    secret: Annotated[bytes, Meta(min_length=16, max_length=16)]
    server_public_key: Key


class EnrolRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Body signed by the gateway's new key under Domain.ENROL_REQUEST, which shows that it holds it."""

    gateway: GatewayId
    secret: Annotated[bytes, Meta(min_length=16, max_length=16)]
    public_key: Key


class EnrolReply(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Body signed by the server under Domain.ENROL_REPLY. `place` is where a fixed gateway stands; `ca_pem` is
    the certificate that the broker's is checked against, empty for the system's own.
    """

    gateway: GatewayId
    public_key: Key
    mqtt_url: Url
    mqtt_username: Annotated[str, Meta(max_length=64)]
    mqtt_password: Annotated[str, Meta(max_length=128)]
    gateway_class: GatewayClass
    network_id: Annotated[int, Meta(ge=1, le=254)]
    place: Place | None = None
    ca_pem: Annotated[str, Meta(max_length=16_384)] = ""
    version: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION


_TOKEN: Final = msgspec.msgpack.Decoder(EnrolToken)
_REQUEST: Final = msgspec.msgpack.Decoder(EnrolRequest)
_REPLY: Final = msgspec.msgpack.Decoder(EnrolReply)


def encode_token(token: EnrolToken) -> str:
    """One line of text to copy."""
    return _PREFIX + base64.urlsafe_b64encode(pack(token)).decode().rstrip("=")


def decode_token(text: str) -> EnrolToken:
    """Raises WireError `token_malformed`."""
    wrong = WireError("token_malformed", "this is not a whole enrolment token: it starts with HS1. and is one line")
    text = text.strip()
    if not text.startswith(_PREFIX) or len(text) > MAX_BYTES:
        raise wrong
    body = text.removeprefix(_PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        return unpack(raw, _TOKEN, "token", MAX_BYTES)
    except (WireError, binascii.Error, ValueError):
        raise wrong from None


def encode_request(request: EnrolRequest) -> bytes:
    return pack(request)


def decode_request(body: bytes) -> EnrolRequest:
    """Raises WireError `oversized`, `malformed`."""
    return unpack(body, _REQUEST, "enrolment request", MAX_BYTES)


def encode_enrol_reply(reply: EnrolReply) -> bytes:
    return pack(reply)


def decode_enrol_reply(body: bytes) -> EnrolReply:
    """Raises WireError `oversized`, `malformed`."""
    return unpack(body, _REPLY, "enrolment reply", MAX_BYTES)
