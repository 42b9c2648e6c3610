"""The sides of `bench.ingest` do what the page says: each stores all, and those with a ledger store it once."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from bench import mqbridge
from bench.house import House, house, new_load
from bench.mqbridge import PEERS, Peer
from bench.publisher import publishing
from bench.rounds import Account, copy_round, our_round, peer_round, wait

pytestmark = [pytest.mark.e2e, pytest.mark.mosquitto, pytest.mark.slow]

MESSAGES = 40
EACH = 10


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("bench"), new_load(random.Random(7), 1_000)) as it:
        mqbridge.prepare(it)
        yield it


def test_ours_and_bare_copy(running: House) -> None:
    """What is missing and what is there twice is told."""
    account = Account()
    running.start_ingest()
    turn = our_round(running, MESSAGES, EACH, account)
    running.end_ingest()
    assert account == Account(MESSAGES * EACH, lost=0, duplicates=0)
    assert len(turn.late_s) == MESSAGES
    assert 0 < min(turn.late_s) <= max(turn.late_s) <= turn.took_s
    assert set(turn.cpu_s) == {"postgres", "broker", "ingest", "publisher"}
    assert copy_round(running, 100_000).took_s > 0
    assert _rows(running) == 100_000


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_way_of_mq_bridge(running: House, peer: Peer) -> None:
    rows = MESSAGES * EACH
    packets = mqbridge.packets(running, peer, MESSAGES, EACH)
    with mqbridge.running(running, peer):
        assert peer_round(running, packets, rows).took_s > 0
        first = _table(running)
        with publishing(packets.path, running.broker_port):
            pass
        last = mqbridge.packets(running, peer, MESSAGES + 1, EACH)  # one message more: behind it, all were handled
        with publishing(last.path, running.broker_port):
            wait(lambda: _rows(running) >= (rows + EACH if not peer.copies else 3 * rows + EACH))
    assert len(set(first)) == rows
    # Everything was sent three times. A ledger stores it once; COPY knows none.
    assert _rows(running) == (rows + EACH if not peer.copies else 3 * rows + EACH)


def _rows(running: House) -> int:
    with running.engine.connect() as tx:
        return int(tx.execute(text("select count(*) from sightings")).scalar_one())


def _table(running: House) -> list[tuple[object, ...]]:
    with running.engine.connect() as tx:
        return [tuple(row) for row in tx.execute(text("select * from sightings"))]
