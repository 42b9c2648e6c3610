"""The load of the benches is what they say it is: valid in every part, so that no check is skipped, and in order."""

from __future__ import annotations

import random
from itertools import chain

import pytest

from bench.load import NETWORK_ID, Load
from bench.rounds import due_s, first_of, last_of
from wire import topics
from wire.batch import decode_batch, unpack_sightings
from wire.frames import decode_p
from wire.signing import Domain, verify

NOW_MS = 1_795_000_000_000


@pytest.fixture(scope="module")
def load() -> Load:
    """More tags than two bytes can number."""
    return Load(random.Random(7), lots=3, senders=4, tags=100_000)


def test_every_batch_is_signed_and_every_frame_opens(load: Load) -> None:
    senders = {sender.name: sender for sender in load.gateways}
    for topic, payload in load.batches(9, 20, NOW_MS):
        sender = senders[topics.gateway_of(topic)]
        batch = decode_batch(verify(sender.key.public_key(), Domain.BATCH, payload))
        sightings = unpack_sightings(batch)
        assert len(sightings) == 20
        for heard in chain.from_iterable(sighting.frames for sighting in sightings):
            opened = [_serial(load, lot, heard.frame) for lot in range(load.lots)]
            assert len([serial for serial in opened if serial is not None]) == 1


def _serial(load: Load, lot: int, frame: bytes) -> int | None:
    try:
        serial = decode_p(frame, load.lot_keys[lot], load.k_factory, NETWORK_ID).serial
    except ValueError:
        return None
    assert serial % load.lots == lot
    return serial


def test_each_tag_is_in_the_pool_as_often(load: Load) -> None:
    assert sorted(load.serials.tolist()) == list(range(100_000))


def test_packets_are_due_in_the_order_in_which_they_were_made(load: Load) -> None:
    """From any sequence, with a number of batches that the senders do not share evenly."""
    list(load.batches(3, 5, NOW_MS))
    first = first_of(load)
    senders = {sender.name: sender for sender in load.gateways}
    made = []
    for topic, payload in load.batches(10, 5, NOW_MS):
        body = verify(senders[topics.gateway_of(topic)].key.public_key(), Domain.BATCH, payload)
        batch = decode_batch(body)
        made.append((batch.outbox_id, batch.sequence))
    due = due_s(first, 10, 100.0, per_s=4)
    assert list(due) == made
    assert list(due.values()) == [100 + n / 4 for n in range(10)]
    assert last_of(load) == {outbox: max(seq for box, seq in made if box == outbox) for outbox in first}
