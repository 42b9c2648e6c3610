"""Adverts in the order of time → sightings → batches, as a gateway makes them: pure, and the same for the same air."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from firmware_sim.air import Advert
from wire.batch import (
    MAX_FRAMES_PER_SIGHTING,
    Batch,
    Clock,
    HeardFrame,
    Place,
    Sighting,
    pack_sightings,
)

WINDOW_MS: Final = 60_000
# Small enough to settle in one breath of the server, large enough that a day of one gateway is a few messages.
SIGHTINGS_PER_BATCH: Final = 250

PlaceOf = Callable[[str, int], Place | None]


def sightings(adverts: Iterable[Advert]) -> Iterator[tuple[str, Sighting]]:
    """One sighting per gateway, address and minute, in the order of minutes."""
    window: dict[tuple[str, str], list[Advert]] = {}
    minute = -1
    for advert in adverts:
        if advert.time_ms // WINDOW_MS != minute:
            yield from _closed(window)
            window, minute = {}, advert.time_ms // WINDOW_MS
        window.setdefault((advert.gateway, advert.address), []).append(advert)
    yield from _closed(window)


def _closed(window: dict[tuple[str, str], list[Advert]]) -> Iterator[tuple[str, Sighting]]:
    for (gateway, _), heard in window.items():
        frames = {
            advert.frame: advert.time_ms for advert in heard
        }  # the newest time of each, in order of first hearing
        kept = [HeardFrame(time_ms, frame) for frame, time_ms in frames.items()]
        lost = max(0, len(kept) - MAX_FRAMES_PER_SIGHTING)
        half = MAX_FRAMES_PER_SIGHTING // 2
        kept = kept[:half] + kept[-half:] if lost else kept
        levels = [advert.rssi_dbm for advert in heard]
        yield (
            gateway,
            Sighting(
                first_ms=heard[0].time_ms,
                last_ms=heard[-1].time_ms,
                adverts=len(heard),
                rssi_max_dbm=max(levels),
                rssi_mean_dbm=round(sum(levels) / len(levels)),
                frames=tuple(kept),
                frames_lost=lost,
            ),
        )


@dataclass(slots=True)
class Numbering:
    """Where one gateway's outbox stands; numbers are given without a gap."""

    outbox_id: bytes
    next_sequence: int = 0


def batches(
    heard: Iterable[tuple[str, Sighting]], numbering: dict[str, Numbering], place_of: PlaceOf
) -> Iterator[Batch]:
    """Signed by nobody yet. A new place begins a new batch, and so does a full one; the rest comes at the end."""
    open_: dict[str, tuple[Place | None, list[Sighting]]] = {}
    for gateway, sighting in heard:
        place = place_of(gateway, sighting.last_ms)
        at, gathered = open_.setdefault(gateway, (place, []))
        if gathered and (at != place or len(gathered) >= SIGHTINGS_PER_BATCH):
            yield _batch(gateway, at, gathered, numbering[gateway])
            gathered = []
        open_[gateway] = (place, gathered)
        gathered.append(sighting)
    for gateway, (at, gathered) in sorted(open_.items()):
        if gathered:
            yield _batch(gateway, at, gathered, numbering[gateway])


def _batch(gateway: str, place: Place | None, gathered: list[Sighting], numbering: Numbering) -> Batch:
    rows, frames = pack_sightings(gathered)
    sequence = numbering.next_sequence
    numbering.next_sequence += 1
    # Made when its last minute was over, and waiting in the outbox since: told again, it is the same to the letter.
    sent_at_ms = gathered[-1].last_ms // WINDOW_MS * WINDOW_MS + WINDOW_MS
    return Batch(gateway, numbering.outbox_id, sequence, sent_at_ms, Clock.GOOD, place, rows, frames)
