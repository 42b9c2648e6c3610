"""A private claim over HTTP beside the ingest: from the moment of the receipt on no sighting of the tag is stored."""

from __future__ import annotations

import threading
from datetime import timedelta

from sqlalchemy import select

from server.store import private_stretches
from server.store.db import transaction
from server.store.tables import ownership, sightings
from tests.server.web.private_owner import PrivateOwner
from tests.server.web.town import HOME, Town


def moments(town: Town, serial: int) -> list[timedelta]:
    """When the tag's sightings were heard, from now on."""
    with town.house.work() as (tx, now):
        query = select(sightings.c.heard_at).where(sightings.c.serial == serial).order_by(sightings.c.heard_at)
        return [at - now for at in tx.execute(query).scalars()]


SOON, BEFORE = timedelta(seconds=3), -timedelta(seconds=3)


def test_what_was_stored_from_the_receipt_on_goes_with_it(town: Town) -> None:
    """By gateways whose clocks are fast, or in the moment in which the tag signed."""
    ann, neighbour = PrivateOwner(town, town.owner(), town.tag()), town.tag()
    town.gateway("gw")
    for serial in (ann.tag.serial, neighbour.serial):
        town.hear("gw", serial, HOME, [town.now + BEFORE, town.now, town.now + SOON])
    ann.whole()
    assert moments(town, ann.tag.serial) == [BEFORE]
    assert moments(town, neighbour.serial) == [BEFORE, timedelta(0), SOON]


def test_a_managed_claim_removes_nothing(town: Town) -> None:
    ann = PrivateOwner(town, town.owner(), town.tag())
    town.gateway("gw")
    town.hear("gw", ann.tag.serial, HOME, [town.now + BEFORE, town.now + SOON])
    town.claim(ann.who, ann.tag)
    assert moments(town, ann.tag.serial) == [BEFORE, SOON]
    # Changed over, and what was heard while it was managed stays.
    town.wait(minutes=5)
    ann.whole()
    assert moments(town, ann.tag.serial) == [BEFORE - timedelta(minutes=5), SOON - timedelta(minutes=5)]


def test_the_receipt_waits_for_a_set_that_was_asked_about_before_it(town: Town) -> None:
    ann = PrivateOwner(town, town.owner(), town.tag())
    town.gateway("gw")
    town.hear("gw", ann.tag.serial, HOME, [town.now + BEFORE])
    claim = ann.begin()
    proof = ann.proof(*ann.signed(claim))
    with transaction(town.house.engine) as ingest:
        private_stretches.hold(ingest)
        assert private_stretches.among(ingest, [ann.tag.serial], town.now) == []
        told: list[dict[str, object]] = []
        answering = threading.Thread(target=lambda: told.append(ann.who.post(f"/claims/{claim}/answer", proof)))
        answering.start()
        answering.join(0.5)
        assert answering.is_alive()
        [row] = ingest.execute(select(sightings)).mappings()
        ingest.execute(sightings.insert().values(dict(row) | {"heard_at": town.now + SOON}))
    answering.join(30)
    assert len(told) == 1
    assert moments(town, ann.tag.serial) == [BEFORE]
    with town.house.work() as (tx, _):
        assert tx.execute(select(ownership.c.private)).scalars().all() == [True]
