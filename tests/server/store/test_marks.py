"""How far an outbox is settled, when two workers store batches of it at the same moment."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine, text

from server.store import ledger
from server.store.ledger import BatchKey, NewBatch, OutboxKey
from tests.server.ingest.parties import NOW, NOW_MS, Gateway, enrol
from wire.receipt import OutcomeKind

WAITS = text("select count(*) from pg_locks where pid = :pid and not granted")


def batch(outbox: OutboxKey, sequence: int) -> NewBatch:
    key = BatchKey(*outbox, sequence)
    return NewBatch(key, bytes(32), NOW, NOW_MS, 0, 2, None, OutcomeKind.STORED, None, 0, 0, {})


def test_the_mark_counts_what_the_other_worker_stored_meanwhile(engine: Engine) -> None:
    with engine.begin() as tx:
        outbox = OutboxKey(enrol(tx, Gateway("gw-1")).no, bytes(16))
        assert ledger.settle(tx, [outbox]) == {outbox: -1}
    with ThreadPoolExecutor(1) as thread, engine.connect() as one, engine.connect() as other, engine.connect() as look:
        pid = one.execute(text("select pg_backend_pid()")).scalar_one()
        ledger.add(one, [batch(outbox, 0)])
        ledger.add(other, [batch(outbox, 1)])
        assert ledger.settle(other, [outbox]) == {outbox: -1}, "the first one's batch is not there yet"
        waiting = thread.submit(ledger.settle, one, [outbox])
        while not waiting.done() and not look.execute(WAITS, {"pid": pid}).scalar_one():
            time.sleep(0.01)
        other.commit()
        assert waiting.result(30) == {outbox: 1}, "both are stored, and nobody comes afterwards to count them"
        one.commit()
