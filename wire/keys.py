"""Every key and identifier that is derived from another one: the factory's, the owner's, the printed code's."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


def _prf(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def tag_key(k_factory: bytes, serial: int) -> bytes:
    """K_tag (16 bytes): authenticates one tag's P frames. Whoever holds K_factory can forge them."""
    return _prf(k_factory, b"tag" + serial.to_bytes(5, "big"))[:16]


def day_private_key(s_o: bytes, day: int) -> bytes:
    """d_i (32 bytes): the X25519 key that opens the reports of UTC day `day` (days since 1970-01-01)."""
    return _prf(s_o, b"day" + _u32(day) + b"\x01")


def day_public_key(s_o: bytes, day: int) -> bytes:
    """P_i (32 bytes): what gateways seal the reports of that day to."""
    return public_of_day_key(day_private_key(s_o, day))


def public_of_day_key(d: bytes) -> bytes:
    """P_i of a d_i that somebody was given, without the secret that it comes from."""
    return X25519PrivateKey.from_private_bytes(d).public_key().public_bytes_raw()


def fetch_token(s_o: bytes, day: int) -> bytes:
    """f_i (16 bytes): shows the server that somebody may read that day's sealed reports."""
    return _prf(s_o, b"fetch" + _u32(day) + b"\x01")[:16]


def own_key(s_o: bytes) -> bytes:
    """K_own (16 bytes): the tag's proof towards its owner."""
    return _prf(s_o, b"own\x01")[:16]


def owner_signing_seed(s_o: bytes) -> bytes:
    """Seed (32 bytes) of the owner's Ed25519 key, which signs a private claim: the phrase brings it back, too."""
    return _prf(s_o, b"sign\x01")


def eid(public_key: bytes) -> bytes:
    """EID (16 bytes) of a day: the hash of its key, so that nobody can slip in another key."""
    return hashlib.sha256(b"EIDv1\x00" + public_key).digest()[:16]


def unlisted_eid(k_own: bytes, day: int) -> bytes:
    """What a tag shows on a day for which its owner gave it no EID (16 bytes).

    No key belongs to it, so no gateway seals a report to it; only the owner can tell whose it is.
    """
    return _prf(k_own, b"E" + _u32(day))[:16]


def owner_hash(owner_public_key: bytes) -> bytes:
    """16 bytes that name an owner's Ed25519 key inside an activation receipt."""
    return hashlib.sha256(b"OWN1" + owner_public_key).digest()[:16]


def claim_hash(k_claim: bytes) -> bytes:
    """32 bytes: all that the server keeps of a printed claim code (128 random bits need no slow hash)."""
    return hashlib.sha256(b"hearsight claim code v1" + k_claim).digest()
