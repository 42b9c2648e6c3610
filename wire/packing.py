"""MessagePack as every body uses it: arrays, strict types, bounded size, one error."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from wire.errors import WireError

T = TypeVar("T")
_ENCODER: Final = msgspec.msgpack.Encoder()


def pack(value: object) -> bytes:
    """Bytes of a value; equal values give equal bytes."""
    return _ENCODER.encode(value)


def unpack(body: bytes, decoder: msgspec.msgpack.Decoder[T], what: str, max_bytes: int) -> T:
    """A checked value from a body. Raises WireError `oversized`, `malformed`."""
    if len(body) > max_bytes:
        raise WireError("oversized", f"a {what} has at most {max_bytes} bytes, this one {len(body)}")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise WireError("malformed", f"not a {what} of this version") from None
