"""Gateway → everybody who may know: how the gateway is. Retained; the last will is a state that says offline.

`online` only says that the connection lives. Whether the gateway *hears* is told by the age of its last advert.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from wire.batch import MAX_UNIX_MS, Clock
from wire.packing import pack, unpack
from wire.topics import GatewayId

VERSION: Final = 1
MAX_BYTES: Final = 8 * 1024
# A century: an infinite age is no number that JSON or a page could show.
MAX_AGE_S: Final = 3.2e9
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Reasons = Annotated[dict[Annotated[str, Meta(max_length=32, pattern=r"^[a-z_]+\Z")], Count], Meta(max_length=32)]


class GatewayState(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a gateway says of itself. Not signed: the broker's ACL names the sender, and nothing rests on it.

    `last_advert_age_s` is None until anything at all was heard; `restarts` and `dropped` count by cause since
    the process began; `queued_batches` is the depth of the outbox on disk.
    """

    gateway: GatewayId
    online: bool
    sent_at_ms: Annotated[int, Meta(ge=0, le=MAX_UNIX_MS)]
    scanner: Literal["starting", "scanning", "paused", "restarting", "stopped"] = "stopped"
    last_advert_age_s: Annotated[float, Meta(ge=0, le=MAX_AGE_S)] | None = None
    queued_batches: Count = 0
    clock: Clock = Clock.BAD
    restarts: Reasons = {}
    dropped: Reasons = {}
    started_at_ms: Annotated[int, Meta(ge=0, le=MAX_UNIX_MS)] = 0
    software: Annotated[str, Meta(max_length=64)] = ""
    version: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION


_DECODER: Final = msgspec.msgpack.Decoder(GatewayState)


def encode_state(state: GatewayState) -> bytes:
    return pack(state)


def decode_state(payload: bytes) -> GatewayState:
    """Raises WireError `oversized`, `malformed`."""
    return unpack(payload, _DECODER, "state", MAX_BYTES)
