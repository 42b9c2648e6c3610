"""Gateway → server: one signed batch of what a gateway heard, in columns.

Sightings and frames travel as two runs of fixed-size records, so that the server can look at a whole batch as
arrays without making an object for each sighting; `pack_sightings` and `unpack_sightings` are the friendly view
for everybody else. One row of evidence is one *frame* with the moment it was last heard.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from wire.errors import WireError
from wire.frames import FRAME_LEN
from wire.packing import pack, unpack
from wire.signing import SIGNATURE_LEN
from wire.topics import GatewayId

VERSION: Final = 1
# 1,000 sightings of four frames each are 153 KB: both limits together bound what one message can cost the server.
MAX_SIGHTINGS: Final = 1_000
MAX_FRAMES_PER_SIGHTING: Final = 4
MAX_BYTES: Final = 256 * 1024
# A clock more than this ahead would put sightings into a future in which nobody can check them.
MAX_AHEAD_MS: Final = 5 * 60 * 1000
MAX_SEQUENCE: Final = 2**63 - 1
# Milliseconds since 1970 stay below this until the year 5138: anything above is a mistake, not a time.
MAX_UNIX_MS: Final = 10**14

# first_ms u64 | last_ms u64 | adverts u32 | rssi_max i8 | rssi_mean i8 | frames u8 | frames_lost u16
SIGHTING: Final = struct.Struct(">QQIbbBH")
# heard_ms u64 | frame 24 bytes
FRAME: Final = struct.Struct(f">Q{FRAME_LEN}s")


class Clock(IntEnum):
    """How far a gateway trusts its own clock; only GOOD carries weight as evidence of *when*."""

    BAD = 0
    UNSURE = 1
    GOOD = 2


class PlaceSource(IntEnum):
    """How a gateway knows where it stands."""

    FIXED = 0
    GNSS = 1
    MANUAL = 2


class GatewayClass(IntEnum):
    """Whose gateway it is, set by the operator at enrolment; the rules of evidence weigh it."""

    OWN_SITE = 0
    VEHICLE = 1
    PARTNER = 2
    CROWD = 3


class Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where the gateway stood while it heard this batch. Degrees in units of 1e-7."""

    lat_e7: Annotated[int, Meta(ge=-900_000_000, le=900_000_000)]
    lon_e7: Annotated[int, Meta(ge=-1_800_000_000, le=1_800_000_000)]
    accuracy_m: Annotated[int, Meta(ge=0, le=65_535)]
    source: PlaceSource


class Batch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The body of a batch. A *tombstone* (no sightings, `given_up` True) stands for one that the gateway had to
    give up, so that its sequence has no hole; `dropped` then tells what was lost and why.
    """

    gateway: GatewayId
    outbox_id: Annotated[bytes, Meta(min_length=16, max_length=16)]
    sequence: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)]
    sent_at_ms: Annotated[int, Meta(ge=0, le=MAX_UNIX_MS)]
    clock: Clock
    place: Place | None = None
    sightings: Annotated[bytes, Meta(max_length=SIGHTING.size * MAX_SIGHTINGS)] = b""
    frames: Annotated[bytes, Meta(max_length=FRAME.size * MAX_SIGHTINGS * MAX_FRAMES_PER_SIGHTING)] = b""
    dropped: Annotated[
        dict[
            Annotated[str, Meta(max_length=32, pattern=r"^[a-z_]+\Z")],
            Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)],
        ],
        Meta(max_length=32),
    ] = {}
    given_up: bool = False
    version: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION


class HeardFrame(NamedTuple):
    """One distinct frame and when it was last heard (ms since 1970)."""

    heard_ms: int
    frame: bytes


class Sighting(NamedTuple):
    """What was heard of one device address in one window; at most four distinct frames, the rest counted."""

    first_ms: int
    last_ms: int
    adverts: int
    rssi_max_dbm: int
    rssi_mean_dbm: int
    frames: tuple[HeardFrame, ...]
    frames_lost: int = 0


_DECODER: Final = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """The body, to be signed under Domain.BATCH."""
    body = pack(batch)
    if len(body) + SIGNATURE_LEN > MAX_BYTES:
        raise WireError("oversized", f"a signed batch has at most {MAX_BYTES} bytes")
    return body


def decode_batch(body: bytes) -> Batch:
    """A batch whose two runs have whole records; what the records say is checked by whoever reads them.

    Raises WireError `oversized`, `malformed`, `truncated`, `tombstone`.
    """
    batch = unpack(body, _DECODER, "batch", MAX_BYTES - SIGNATURE_LEN)
    if len(batch.sightings) % SIGHTING.size or len(batch.frames) % FRAME.size:
        raise WireError("truncated", "the batch ends in the middle of a record")
    if batch.given_up and (batch.sightings or batch.frames):
        raise WireError("tombstone", "a batch that was given up carries no sightings")
    return batch


def pack_sightings(sightings: Sequence[Sighting]) -> tuple[bytes, bytes]:
    """The two runs of records for `Batch.sightings` and `Batch.frames`. Raises WireError `out_of_range`."""
    if len(sightings) > MAX_SIGHTINGS:
        raise WireError("out_of_range", f"a batch holds at most {MAX_SIGHTINGS} sightings")
    rows, frames = [], []
    for seen in sightings:
        if not 1 <= len(seen.frames) <= MAX_FRAMES_PER_SIGHTING:
            raise WireError("out_of_range", "a sighting holds one to four frames")
        try:
            rows.append(SIGHTING.pack(*seen[:5], len(seen.frames), seen.frames_lost))
            frames += [FRAME.pack(heard.heard_ms, heard.frame) for heard in seen.frames]
        except struct.error:
            raise WireError("out_of_range", "a value of the sighting does not fit its field") from None
    return b"".join(rows), b"".join(frames)


def unpack_sightings(batch: Batch) -> list[Sighting]:
    """Sightings as values, in order. Raises WireError `records` if the two runs do not belong together."""
    frames = [HeardFrame(*record) for record in FRAME.iter_unpack(batch.frames)]
    sightings, start = [], 0
    for first_ms, last_ms, count, rssi_max, rssi_mean, held, lost in SIGHTING.iter_unpack(batch.sightings):
        if not 1 <= held <= MAX_FRAMES_PER_SIGHTING or start + held > len(frames):
            raise WireError("records", "a sighting names frames that the batch does not hold")
        mine = tuple(frames[start : start + held])
        sightings.append(Sighting(first_ms, last_ms, count, rssi_max, rssi_mean, mine, lost))
        start += held
    if start != len(frames):
        raise WireError("records", "the batch holds frames that no sighting names")
    return sightings
