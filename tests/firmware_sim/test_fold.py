"""Adverts folded into sightings and batches: nothing lost uncounted, numbers without a gap, a new place a new batch."""

from __future__ import annotations

from firmware_sim.air import Advert
from firmware_sim.fold import SIGHTINGS_PER_BATCH, WINDOW_MS, Numbering, batches, sightings
from firmware_sim.world import life, simulate
from tests.firmware_sim.conftest import make_unit, still
from wire.batch import Place, PlaceSource, decode_batch, encode_batch, unpack_sightings

START_MS = 1_790_000_000_000 // WINDOW_MS * WINDOW_MS
HERE, THERE = (Place(lat, 0, 10, PlaceSource.GNSS) for lat in (1, 2))


def advert(ms: int, gateway: str = "a", address: str = "C0", frame: int = 0, rssi: int = -70) -> Advert:
    return Advert(START_MS + ms, gateway, address, bytes([frame]) * 24, rssi)


def test_one_sighting_for_each_gateway_address_and_minute() -> None:
    heard = [
        advert(0, rssi=-70),
        advert(1, gateway="b"),
        advert(2, address="C1"),
        advert(30_000, rssi=-60),
        advert(59_999, rssi=-80),
        advert(60_000),
    ]
    folded = list(sightings(heard))
    assert [(gateway, s.first_ms - START_MS, s.adverts) for gateway, s in folded] == [
        ("a", 0, 3),
        ("b", 1, 1),
        ("a", 2, 1),
        ("a", 60_000, 1),
    ]
    first = folded[0][1]
    assert (first.last_ms - START_MS, first.rssi_max_dbm, first.rssi_mean_dbm) == (59_999, -60, -70)


def test_the_first_and_the_last_frames_are_kept_and_the_rest_counted() -> None:
    frames = [1, 2, 3, 4, 5, 6, 1]
    ((_, folded),) = sightings([advert(n, frame=frame) for n, frame in enumerate(frames)])
    assert [held.frame[0] for held in folded.frames] == [1, 2, 5, 6]
    assert [held.heard_ms - START_MS for held in folded.frames] == [6, 1, 4, 5]
    assert (folded.frames_lost, folded.adverts) == (2, 7)


def test_numbers_have_no_gap_and_nothing_is_lost() -> None:
    heard = [advert(n * WINDOW_MS, gateway=gateway) for n in range(600) for gateway in "ab"]
    numbering = {"a": Numbering(b"A" * 16), "b": Numbering(b"B" * 16, 7)}
    made = list(batches(sightings(heard), numbering, lambda _g, _ms: None))
    for gateway, first in (("a", 0), ("b", 7)):
        mine = [batch for batch in made if batch.gateway == gateway]
        assert [batch.sequence for batch in mine] == list(range(first, first + len(mine)))
        assert {batch.outbox_id for batch in mine} == {gateway.upper().encode() * 16}
        assert sum(len(unpack_sightings(decode_batch(encode_batch(batch)))) for batch in mine) == 600
        assert max(len(unpack_sightings(batch)) for batch in mine) == SIGHTINGS_PER_BATCH
        assert numbering[gateway].next_sequence == first + len(mine)


def test_a_new_place_begins_a_new_batch() -> None:
    heard = [advert(n * WINDOW_MS) for n in range(6)]
    places = [HERE, HERE, THERE, THERE, HERE, HERE]
    made = batches(sightings(heard), {"a": Numbering(bytes(16))}, lambda _g, ms: places[(ms - START_MS) // WINDOW_MS])
    assert [(batch.place, len(unpack_sightings(batch))) for batch in made] == [(HERE, 2), (THERE, 2), (HERE, 2)]


def test_the_same_air_makes_the_same_batches_to_the_letter() -> None:
    def made() -> list[bytes]:
        tag = life(make_unit(), [still(START_MS / 1000, ("a", "b"))], [START_MS / 1000])
        air = simulate([tag], START_MS / 1000, START_MS / 1000 + 86_400 * 5, seed=3)
        numbering = {gateway: Numbering(bytes(16)) for gateway in "ab"}
        return [encode_batch(batch) for batch in batches(sightings(air), numbering, lambda _g, _ms: HERE)]

    assert made() == made()
    assert len(made()) == 2 * 3
