"""What carriers tell, written down as statements of the orders whose parcel it is.

A number belongs to whoever labelled it, and carriers use numbers again. An event goes to the label in force when it
happened and to the newest label, so that an old parcel's history under our number is seen there and judged (R-06).
Nothing is dropped: what no order knows yet waits in the inbox for its label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from server.rules.facts import Correction, Source, StatementKind
from server.rules.payload_json import payload_from, payload_to
from server.rules.payloads import CarrierScan, Label, NumberGiven
from server.rules.tracking.decode import decode
from server.service.carrier_port import Delivery, Scan, Told, family, may_be_one, plain
from server.store import inbox, orders, statements, trackers, weighings
from server.store.inbox import Arrived
from server.store.orders import slot_id
from server.store.statements import StoredStatement
from server.store.trackers import Tracker

# No carrier gives a number to another parcel sooner; labels of one number within this are one parcel.
SAME_PARCEL: Final = timedelta(days=90)
# A label may be stated a little after its first scan.
LABEL_SLACK: Final = timedelta(days=1)
# A webhook about a number that nobody labels within this was never ours.
WAITS: Final = timedelta(days=90)
RACE: Final = timedelta(hours=1)
FOLLOWED: Final = frozenset({StatementKind.LABEL_PRINTED, StatementKind.NUMBER_GIVEN})


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a webhook. `new` False: it was here already. `orders`: whose parcel it tells about."""

    new: bool
    orders: tuple[str, ...] = ()
    events: int = 0


@dataclass(frozen=True, slots=True)
class Stated:
    """A label or number that was just stated about an order; `slot` None = the whole order."""

    payload: Mapping[str, Any]
    slot: int | None
    at: datetime


def follow(tx: Connection, order_number: str, stated: Iterable[Stated], now: datetime) -> None:
    """An order has labels or numbers from now on: what waited for them is stated, and their carriers are asked."""
    numbers = set()
    for each in stated:
        spelled, carrier = str(each.payload["number"]), str(each.payload.get("carrier", ""))
        number = plain(spelled)
        # Vendors take money for each number: what nobody calls a carrier's and no carrier writes is not asked about.
        asked = bool(carrier) or bool(decode(number).readings)
        trackers.follow(tx, Tracker(order_number, number, carrier, each.slot or 0, spelled, each.at), now, asked=asked)
        numbers.add(number)
    for number in sorted(numbers):
        _match(tx, number, now)


def match_waiting(tx: Connection, now: datetime) -> int:
    """Webhooks that came in the very moment in which their label was stated: neither saw the other. How many numbers.

    Done every minute; whoever waits for longer waits for a label.
    """
    numbers = inbox.waiting_and_followed(tx, now - RACE)
    for number in numbers:
        _match(tx, number, now)
    return len(numbers)


def _match(tx: Connection, number: str, now: datetime) -> None:
    for vendor, waiting in inbox.take_waiting(tx, number, now - WAITS):
        told = msgspec.convert(waiting, tuple[_Waiting, ...])
        if told:
            carrier = told[0].event.get("carrier", "")
            record(tx, vendor, "webhook", Told(carrier, number, "", tuple(map(_back, told))), now)


def take(tx: Connection, vendor: str, delivery: Delivery, sealed: bytes, now: datetime) -> Taken:
    """Keep a webhook and state what it tells, in one transaction."""
    told = delivery.told
    holders = _holders(tx, told) if told else ()
    waiting = [_forth(scan) for scan in told.scans] if told and not holders else None
    number = told.number if told else None
    if inbox.put(tx, Arrived(vendor, delivery.event, now, sealed, number, waiting)) is None:
        return Taken(False)
    given = record(tx, vendor, "webhook", told, now) if told and holders else ()
    return Taken(True, tuple(sorted(set(given))), len(given))


def record(tx: Connection, vendor: str, via: str, told: Told, now: datetime) -> tuple[str, ...]:
    """State what a vendor tells about a number; the order of every statement that is new."""
    holders = _holders(tx, told)
    wanted = [(holder, scan) for scan in told.scans for holder in _whose(holders, scan)]
    new: list[str] = []
    for order_number in sorted({holder.order_number for holder, _ in wanted}):
        if not orders.lock(tx, order_number):
            continue
        order = orders.order(tx, order_number)
        assert order is not None, "an order that is held cannot go"
        slots = {slot.number: slot_id(order_number, slot.line, slot.unit) for slot in order.slots}
        for holder, scan in wanted:
            if holder.order_number == order_number and _state(tx, vendor, via, holder, slots, scan, now):
                new.append(order_number)
    weighings.mark_stale(tx, new)
    return tuple(new)


def is_of(told: Told, labelled_at: datetime) -> bool:
    """Whether anything that is told happened to the parcel of this label; else it is all an older parcel's."""
    return any(scan.latest >= labelled_at - LABEL_SLACK for scan in told.scans)


def _holders(tx: Connection, told: Told) -> tuple[Tracker, ...]:
    every = trackers.of_number(tx, told.number)
    return tuple(
        each for each in every if not told.carrier or not each.carrier or may_be_one(each.carrier, told.carrier)
    )


def _whose(holders: Sequence[Tracker], scan: Scan) -> tuple[Tracker, ...]:
    """The parcel that was labelled last before the event, and the newest parcel; each with all its orders and slots."""
    if not holders:
        return ()
    newest = holders[0].labelled_at
    then = next((each.labelled_at for each in holders if each.labelled_at - LABEL_SLACK <= scan.latest), newest)
    return tuple(each for each in holders if any(abs(each.labelled_at - at) <= SAME_PARCEL for at in (newest, then)))


def _state(
    tx: Connection, vendor: str, via: str, holder: Tracker, slots: Mapping[int, str], scan: Scan, now: datetime
) -> bool:
    # What is known now has happened by now, however wide the clock on its wall could stand.
    latest = max(scan.earliest, min(scan.latest, now))
    # A number that was only told ties no parcel to the order: whoever types a stranger's proves nothing by it.
    in_hand = scan.event.physical and bool(holder.carrier)
    carrier = holder.carrier or scan.event.carrier
    event = replace(scan.event, carrier=carrier, number=holder.spelled, physical=in_hand)
    statement = StoredStatement(
        order_number=holder.order_number,
        key=_key(scan, holder),
        slots=(slots[holder.slot],) if holder.slot in slots else (),
        kind=str(StatementKind.CARRIER_SCAN),
        said_at=min(latest, now),
        earliest=scan.earliest,
        latest=latest,
        zone=scan.zone,
        by=vendor,
        source=str(Source.CARRIER),
        via=via,
        payload=payload_to(event),
        learnt_at=now,
    )
    if statements.add(tx, statement) is not None:
        return True
    return scan.event.mapped and _now_understood(tx, statement, now)


def _now_understood(tx: Connection, statement: StoredStatement, now: datetime) -> bool:
    """An event that was told when its code was in no table, told again now that it is: the first row is corrected."""
    known = statements.by_key(tx, statement.order_number, statement.key)
    if known is None or known.payload.get("mapped", True):
        return False
    read = replace(
        statement,
        key=f"{statement.key}:read",
        said_at=now,
        corrects=known.no,
        correction=str(Correction.INCORRECT_DATA),
    )
    return statements.add(tx, read) is not None


def _key(scan: Scan, holder: Tracker) -> str:
    """Carrier, number, unique id, time, code and place name an event; of what is no event, also what it says."""
    event = scan.event
    parts = [family(event.carrier), holder.number, event.unique_id, scan.told, event.code, event.place]
    if not event.code:
        eta = event.eta.isoformat() if event.eta else ""
        parts += [event.status, str(event.found), eta, event.service, event.destination_postcode]
    digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
    return (
        f"scan:{digest}" + (f":{holder.slot}" if holder.slot else "") + (f":{holder.carrier}" if holder.carrier else "")
    )


def stated(kind: StatementKind, payload: Mapping[str, Any], slot: int | None, at: datetime) -> Stated | None:
    """A statement that gives a number to follow, or None."""
    if kind not in FOLLOWED:
        return None
    read = payload_from(str(kind), payload)
    assert isinstance(read, Label | NumberGiven), "the kinds that are followed"
    return Stated(payload, slot, at) if plain(read.number) else None


# --- what waits, as JSON


class _Waiting(msgspec.Struct):
    event: dict[str, Any]
    earliest: datetime
    latest: datetime
    told: str
    zone: str


def _forth(scan: Scan) -> _Waiting:
    return _Waiting(payload_to(scan.event), scan.earliest, scan.latest, scan.told, scan.zone)


def _back(waiting: _Waiting) -> Scan:
    event = payload_from(str(StatementKind.CARRIER_SCAN), waiting.event)
    assert isinstance(event, CarrierScan), "written as one"
    return Scan(event, waiting.earliest, waiting.latest, waiting.told, waiting.zone)
