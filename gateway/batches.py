"""What goes into the outbox: batches made of a window, what is left of one that was given up, another name. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gateway.collector import Window
from wire.batch import MAX_SIGHTINGS, SIGHTING, Batch, Clock, Place, Sighting, encode_batch, pack_sightings


def batches(
    window: Window, dropped: Mapping[str, int], *, gateway: str, now_ms: int, clock: Clock, place: Place | None
) -> Iterator[Batch]:
    """The window in as many batches as it needs, without names yet; the first one tells what was dropped."""
    for part in _parts(window.sightings):
        sightings, frames = pack_sightings(part)
        yield Batch(gateway, b"", 0, now_ms, clock, place, sightings, frames, dict(dropped))
        dropped = {}


def _parts(sightings: Sequence[Sighting]) -> Iterator[Sequence[Sighting]]:
    """Runs that fit into one batch; one empty run for a window that only has counts."""
    for start in range(0, max(len(sightings), 1), MAX_SIGHTINGS):
        yield sightings[start : start + MAX_SIGHTINGS]


def tombstone(batch: Batch) -> Batch:
    """Under the same name only the counts."""
    told = Counter(batch.dropped)
    for record in SIGHTING.iter_unpack(batch.sightings):
        told["given_up_sightings"] += 1
        told["given_up_adverts"] += record[2]
    return msgspec.structs.replace(batch, sightings=b"", frames=b"", dropped=dict(told), given_up=True)


def as_own_outbox(batch: Batch) -> Batch:
    """The same sightings as an outbox of their own, named by what they are: so a second old copy of the outbox, which
    must do the same again, gives them the same name, and they are known.
    """
    name = hashlib.sha256(encode_batch(batch)).digest()[:16]
    return msgspec.structs.replace(batch, outbox_id=name, sequence=0)
