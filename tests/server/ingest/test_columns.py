"""Records of many batches as arrays, held against wire's own view of one batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.ingest.columns import FUTURE, RECORDS, Runs, columns
from tests.server.ingest.parties import NOW_MS
from wire.batch import Batch, Clock, HeardFrame, Sighting, pack_sightings, unpack_sightings
from wire.errors import WireError

MOMENT = st.integers(0, NOW_MS)
SIGHTING = st.builds(
    Sighting,
    MOMENT,
    MOMENT,
    st.integers(0, 2**31 - 1),
    st.integers(-128, 127),
    st.integers(-128, 127),
    st.lists(st.builds(HeardFrame, MOMENT, st.binary(min_size=24, max_size=24)), min_size=1, max_size=4).map(tuple),
    st.integers(0, 2**16 - 1),
)


def window(ms: int) -> int:
    return max(-(2**31 - 1), min(ms, 2**31 - 1))


@given(st.lists(st.lists(SIGHTING, max_size=4), max_size=5))
def test_agrees_with_wire(batches: list[list[Sighting]]) -> None:
    rows, refused = columns([Runs(*pack_sightings(sightings)) for sightings in batches], NOW_MS)
    assert not refused
    expected = [
        (
            n,
            heard.frame,
            heard.heard_ms,
            window(heard.heard_ms - seen.first_ms),
            min(seen.adverts, 2**15 - 1),
            seen.rssi_max_dbm,
            seen.rssi_mean_dbm,
        )
        for n, sightings in enumerate(batches)
        for seen in sightings
        for heard in seen.frames
    ]
    said = list(
        zip(
            rows.batch.tolist(),
            [frame.tobytes() for frame in rows.frames],
            rows.heard_ms.tolist(),
            rows.window_ms.tolist(),
            rows.adverts.tolist(),
            rows.rssi_max_dbm.tolist(),
            rows.rssi_mean_dbm.tolist(),
            strict=True,
        )
    )
    assert said == expected


@given(st.lists(st.integers(0, 6), max_size=5), st.integers(0, 8))
def test_refuses_what_wire_would_not_unpack(held: list[int], frames: int) -> None:
    """Neighbours of the bad batch keep their rows, whatever it says of itself."""
    sightings = b"".join(bytes(22) + bytes((n,)) + bytes(2) for n in held)
    runs = Runs(sightings, bytes(32) * frames)
    neighbour = Runs(*pack_sightings([Sighting(1, 1, 1, 0, 0, (HeardFrame(1, bytes(24)),))]))
    rows, refused = columns([neighbour, runs, neighbour], NOW_MS)
    try:
        unpack_sightings(Batch("gw", bytes(16), 0, 0, Clock.GOOD, None, *runs))
    except WireError:
        assert refused == {1: RECORDS}
        assert rows.batch.tolist() == [0, 2]
    else:
        assert not refused
        assert rows.batch.tolist() == [0] + [1] * frames + [2]


def test_any_moment_in_the_future_refuses_the_batch() -> None:
    limit = NOW_MS + 5 * 60_000
    frame = (HeardFrame(NOW_MS, bytes(24)),)
    good = [Sighting(limit, limit, 1, 0, 0, (HeardFrame(limit, bytes(24)),))]
    late = [
        [Sighting(limit + 1, NOW_MS, 1, 0, 0, frame)],
        [Sighting(NOW_MS, limit + 1, 1, 0, 0, frame)],
        [Sighting(NOW_MS, NOW_MS, 1, 0, 0, (HeardFrame(limit + 1, bytes(24)),))],
        [Sighting(NOW_MS, NOW_MS, 1, 0, 0, (HeardFrame(2**64 - 1, bytes(24)),))],
    ]
    _, refused = columns([Runs(*pack_sightings(each)) for each in [good, *late, good]], NOW_MS)
    assert refused == dict.fromkeys(range(1, 5), FUTURE)
