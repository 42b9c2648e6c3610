"""Signed envelopes: a 64-byte Ed25519 signature in front of a body, each kind with its own domain string.

The domain string goes under the signature and not over the air, so that nothing signed as one kind can be
passed off as another.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wire.errors import WireError

SIGNATURE_LEN: Final = 64


class Domain(Enum):
    """What is being signed; the value is what stands in front of the body under the signature."""

    BATCH = b"hearsight batch v1"
    RECEIPT = b"hearsight receipt v1"
    COMMAND = b"hearsight command v1"
    ANSWER = b"hearsight answer v1"
    ENROL_REQUEST = b"hearsight enrol request v1"
    ENROL_REPLY = b"hearsight enrol reply v1"
    MANIFEST = b"hearsight manifest v1"
    OWNER_CHALLENGE = b"hearsight owner challenge v1"
    DIRECTORY = b"hearsight directory v1"
    REPORTS = b"hearsight reports v1"


def sign(private_key: Ed25519PrivateKey, domain: Domain, body: bytes) -> bytes:
    """Signature and body, ready to be sent."""
    return private_key.sign(domain.value + body) + body


def verify(public_key: Ed25519PublicKey, domain: Domain, payload: bytes) -> bytes:
    """The body of an envelope that this key signed. Raises WireError `truncated`, `signature`."""
    if len(payload) < SIGNATURE_LEN:
        raise WireError("truncated", "too short to hold a signature")
    body = payload[SIGNATURE_LEN:]
    try:
        public_key.verify(payload[:SIGNATURE_LEN], domain.value + body)
    except InvalidSignature:
        raise WireError("signature", "the signature does not belong to this key and body") from None
    return body


def public_key(raw: bytes) -> Ed25519PublicKey:
    """An Ed25519 key from its 32 bytes. Raises WireError `public_key`."""
    try:
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        raise WireError("public_key", "an Ed25519 public key has 32 bytes") from None
