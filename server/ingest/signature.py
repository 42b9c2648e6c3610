"""Whether a gateway signed a batch: Ed25519 by libsodium, in half of the time that OpenSSL takes (60 µs and 110 µs).

It is the largest single cost of a batch, so the server checks here and signs in `wire.signing`. libsodium accepts what
`wire.signing.verify` accepts but for keys and points of small order, and points written in more than one way: honest
signers make none of these. tests/server/ingest/test_signature.py holds one library against the other.
"""

from __future__ import annotations

from typing import Final

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from wire.errors import WireError
from wire.signing import SIGNATURE_LEN, Domain

KEY_LEN: Final = 32
_DOMAIN: Final = Domain.BATCH.value


class BatchSigner:
    """The public key of one gateway."""

    __slots__ = ("_key",)

    def __init__(self, raw: bytes) -> None:
        """From its 32 bytes. Raises WireError `public_key`: libsodium itself would read past the end of fewer."""
        if len(raw) != KEY_LEN:
            raise WireError("public_key", "an Ed25519 public key has 32 bytes")
        self._key = raw

    def body(self, payload: bytes) -> bytes:
        """The body of a batch that this gateway signed. Raises WireError `truncated`, `signature`."""
        if len(payload) < SIGNATURE_LEN:
            raise WireError("truncated", "too short to hold a signature")
        body = payload[SIGNATURE_LEN:]
        try:
            crypto_sign_open(payload[:SIGNATURE_LEN] + _DOMAIN + body, self._key)
        except BadSignatureError:
            raise WireError("signature", "the signature does not belong to this key and body") from None
        return body
