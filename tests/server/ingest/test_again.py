"""Dead letters tried again: stored once the fault is gone, as of when they came; what is truly unsound stays."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
import structlog
from sqlalchemy import Engine, text

from server.ingest import again
from server.ingest.again import Became, Trying
from server.ingest.columns import FUTURE, Refusal
from server.ingest.keyring import Keyring
from server.ingest.prepare import refused_alone
from server.ingest.resolve import Resolver
from server.ingest.storing import store
from server.ingest.worker import POISON
from server.store import dead_letters
from server.store.partitions import Covered
from tests.server.ingest.parties import K_FACTORY, LOTS, NOW, NOW_MS, RETENTION, Gateway, Tag, sighting
from tests.server.ingest.test_storing import count, entry_of, put
from wire.receipt import OutcomeKind


def bury(engine: Engine, gateway: Gateway, payload: bytes, refusal: Refusal) -> None:
    with engine.begin() as tx:
        store(tx, refused_alone(entry_of(gateway, payload), refusal, NOW), ())


def trying(engine: Engine, *gateways: Gateway) -> Trying:
    known = {gateway.name: gateway.known for gateway in gateways}
    key = gateways[0].key if gateways else Gateway("nobody").key
    lots = {lot.no: lot for lot in LOTS}
    ring = Keyring(1, known, lots, frozenset(), Resolver(K_FACTORY, LOTS, 0xF0), key)
    return Trying(engine, ring, Covered(engine), RETENTION, (), structlog.get_logger())


def retry(engine: Engine, *gateways: Gateway, reason: str = POISON) -> Counter[Became]:
    told: Counter[Became] = Counter()
    with engine.begin() as tx:
        numbers = dead_letters.numbers(tx, reason)
    trying(engine, *gateways).again(numbers, lambda _, what: told.update([what]))
    return told


def heard(gateway: Gateway, *, at_ms: int = NOW_MS) -> bytes:
    return gateway.batch(sighting(Tag(7).frame(), at_ms=at_ms))


def test_what_a_fault_of_ours_refused_is_stored_as_of_when_it_came(engine: Engine, gateway: Gateway) -> None:
    payloads = [heard(gateway), heard(gateway)]
    for payload in payloads:
        bury(engine, gateway, payload, Refusal(POISON, "a fault"))
    assert count(engine, "sightings") == 0
    assert retry(engine, gateway) == {Became.STORED: 2}
    assert (count(engine, "sightings"), count(engine, "dead_letters"), count(engine, "batches")) == (2, 0, 2)
    with engine.connect() as tx:
        rows = tx.execute(text("select distinct received_at, outcome, reason, rows from batches")).all()
    assert [tuple(row) for row in rows] == [(NOW, OutcomeKind.STORED, None, 1)]
    assert retry(engine, gateway) == {}, "a second time there is nothing to do"
    stored = put(engine, gateway, *payloads)
    assert [outcome.kind for _, outcome in stored.outcomes] == [OutcomeKind.DUPLICATE] * 2
    assert count(engine, "sightings") == 2


def test_what_is_unsound_stays_and_keeps_nobody_else(engine: Engine, gateway: Gateway) -> None:
    bury(engine, gateway, heard(gateway, at_ms=NOW_MS + 3_600_000), FUTURE)
    bury(engine, gateway, heard(gateway), Refusal(FUTURE.reason, "by mistake"))
    assert retry(engine, gateway, reason=FUTURE.reason) == {Became.REFUSED: 1, Became.STORED: 1}
    assert count(engine, "dead_letters") == 1


def test_a_fault_that_is_still_there_leaves_the_letter_whole(
    engine: Engine, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(engine, gateway, heard(gateway), Refusal(POISON, "a fault"))
    with monkeypatch.context() as broken:
        broken.setattr(again, "store", lambda *_: 1 / 0)
        assert retry(engine, gateway) == {Became.REFUSED: 1}
    assert (count(engine, "dead_letters"), count(engine, "batches"), count(engine, "sightings")) == (1, 1, 0)
    assert retry(engine, gateway) == {Became.STORED: 1}


def test_a_gateway_that_may_not_report_any_more_is_not_believed(engine: Engine, gateway: Gateway) -> None:
    bury(engine, gateway, heard(gateway), Refusal(POISON, "a fault"))
    assert retry(engine) == {Became.NOT_ALLOWED: 1}
    assert count(engine, "dead_letters") == 1


def test_the_piles_are_counted(engine: Engine, gateway: Gateway) -> None:
    bury(engine, gateway, heard(gateway), Refusal(POISON, "a fault"))
    bury(engine, gateway, heard(gateway), Refusal(POISON, "a fault"))
    bury(engine, gateway, heard(gateway), FUTURE)
    with engine.connect() as tx:
        piles = dead_letters.piles(tx)
    assert [(pile.reason, pile.letters) for pile in piles] == [(POISON, 2), (FUTURE.reason, 1)]
    assert all(pile.first_at == pile.last_at == NOW + timedelta(0) for pile in piles)
