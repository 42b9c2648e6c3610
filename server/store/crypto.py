"""Secrets in the database are encrypted under the master key, which is kept outside of it.

A sealed value is `01 ‖ key id (4) ‖ nonce (12) ‖ AES-256-GCM ciphertext and tag`. The id tells which master key
opens it, so that values under the old and the new key can stand side by side while a rotation is under way. What
the value is for goes in as associated data: a value moved to another place does not open there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.refusal import Kind, Refusal

KEY_LEN: Final = 32
_VERSION: Final = b"\x01"
_ID_LEN: Final = 4
_NONCE_LEN: Final = 12
_HEAD_LEN: Final = 1 + _ID_LEN + _NONCE_LEN


def key_id(master_key: bytes) -> bytes:
    """4 bytes by which a master key is known, which say nothing about it."""
    return hashlib.sha256(b"hearsight master key v1" + master_key).digest()[:_ID_LEN]


class Vault:
    """Seals and opens with the master key; opens with the one before it, too. `dice(n)` gives n random bytes."""

    def __init__(self, master_key: bytes, dice: Callable[[int], bytes], old: bytes | None = None) -> None:
        self._id = key_id(master_key)
        self._ciphers = {key_id(key): AESGCM(key) for key in (old, master_key) if key is not None}
        self._dice = dice

    def seal(self, what: str, value: bytes) -> bytes:
        """A value encrypted. `what` is the column, `table.column`, with `/row` behind it where rows have names."""
        nonce = self._dice(_NONCE_LEN)
        return _VERSION + self._id + nonce + self._ciphers[self._id].encrypt(nonce, value, what.encode())

    def open(self, what: str, sealed: bytes) -> bytes:
        """The value again. Raises Refusal `master_key_wrong` if another key sealed it or it was changed."""
        cipher = self._ciphers.get(sealed[1 : 1 + _ID_LEN]) if sealed[:1] == _VERSION else None
        if cipher is None:
            raise _wrong(f"A secret in the database ({what}) was encrypted under another master key.")
        try:
            return cipher.decrypt(sealed[1 + _ID_LEN : _HEAD_LEN], sealed[_HEAD_LEN:], what.encode())
        except InvalidTag:
            raise _wrong(f"A secret in the database ({what}) was changed or moved.") from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether it is under the present key; if not, a rotation is due."""
        return sealed[: 1 + _ID_LEN] == _VERSION + self._id

    def renew(self, what: str, sealed: bytes) -> bytes:
        """The same value under the present key."""
        return self.seal(what, self.open(what, sealed))


def _wrong(message: str) -> Refusal:
    return Refusal(
        Kind.LATER, "master_key_wrong", message,
        "Set HEARSIGHT_MASTER_KEY to the key that belongs to this database (it was in DATA/master.key or your own "
        "safe). During a rotation, HEARSIGHT_MASTER_KEY_OLD is the one before.",
    )  # fmt: skip
