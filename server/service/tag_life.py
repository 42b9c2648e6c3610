"""The life of one tag as support may see it: what it is, where it belongs, what was done, heard or not heard.

Places: our own sites and nothing else, and from a private claim on not even those. Whose tag it is, support learns only
as "it has an owner since".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from server.rules.facts import GatewayClass, Heard
from server.rules.policy import Policy
from server.rules.privacy import owner_since, ownerships
from server.rules.steps import StepVerdict
from server.rules.tag_state import Entered, states_of
from server.rules.weigh import weigh
from server.service import answers, ingest_health
from server.service.gateway_health import to_the_hour
from server.service.ingest_health import Late
from server.service.refusals import refuse
from server.store import acts, coverage, day_keys, lost, orders, ownership, sightings, units


@dataclass(frozen=True, slots=True)
class InOrder:
    """An order to whose parcel the tag was bound at some time."""

    order: str


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done with the tag; by whom stays with the account."""

    kind: str
    at: datetime
    learnt_at: datetime


@dataclass(frozen=True, slots=True)
class HeardAtSite:
    """A stretch in which one of our own sites heard it."""

    site: str
    gateway: str
    from_at: datetime
    to_at: datetime
    frames: int


@dataclass(frozen=True, slots=True)
class TagLife:
    """`states`: what it went through, each with what its evidence is worth; the last one is its present state.

    `heard_elsewhere_at`: the newest hearing anywhere that is not ours, without where, and to the hour. Of a `private`
    tag that is all there is since its claim: whoever heard it sealed where, and our own sites are receivers like any.
    """

    serial: int
    model: str
    lot: str
    beacon_mode: str
    made_at: datetime | None
    orders: tuple[InOrder, ...]
    states: tuple[Entered, ...]
    owned_since: datetime | None
    reported_lost: bool
    deeds: tuple[Deed, ...]
    heard: bool
    last_heard_at: datetime | None
    heard_elsewhere_at: datetime | None
    at_our_sites: tuple[HeardAtSite, ...]
    late: Late | None
    as_of: datetime
    private: bool = False


def tag_life(tx: Connection, serial: int, policy: Policy, now: datetime) -> TagLife:
    """The life of a tag. Refusals: tag_unknown."""
    made = coverage.units_of(tx, [serial])
    unit = units.by_serial(tx, serial)
    if not made or unit is None:
        raise refuse("tag_unknown", reference=str(serial))
    rows = sightings.heard(tx, [serial])
    ours = [row for row in rows if row.gateway_class is GatewayClass.OWN_SITE]
    here = max((row.last_at for row in ours), default=None)
    owner = ownership.living(tx, serial)
    sealed = day_keys.last_report_at(tx, [owner.no]).get(owner.no) if owner and owner.private else None
    reached = [row.last_at for row in rows if row not in ours] + ([sealed] if sealed else [])
    elsewhere = to_the_hour(max(reached, default=None))
    numbers = orders.numbers_of_serials(tx, [serial]).get(serial, ())
    done = acts.of_serials(tx, [serial])
    deeds = [acts.fact(act) for act in done]
    steps = _steps(tx, numbers, serial, policy, now)
    return TagLife(
        serial=serial,
        model=unit.model,
        lot=unit.lot,
        beacon_mode=unit.beacon_mode,
        made_at=made[0].manufactured_at,
        orders=tuple(InOrder(number) for number in numbers),
        states=states_of(made[0], rows, deeds, steps, policy, now),
        # By what was done: changing between managed and private begins a stretch, and is nobody's first day.
        owned_since=owner_since(ownerships(deeds), serial, now),
        reported_lost=lost.living(tx, serial) is not None,
        deeds=tuple(Deed(str(act.kind), act.at, act.learnt_at) for act in done),
        heard=bool(rows) or sealed is not None,
        last_heard_at=max(filter(None, (here, elsewhere)), default=None),
        heard_elsewhere_at=elsewhere,
        at_our_sites=tuple(_at_site(row) for row in ours),
        late=ingest_health.late(tx),
        as_of=now,
        private=owner is not None and owner.private,
    )


def _steps(
    tx: Connection, numbers: Iterable[str], serial: int, policy: Policy, now: datetime
) -> tuple[StepVerdict, ...]:
    """The steps of the unit that this tag is, in whichever of its orders it is bound now; none if in no order."""
    found: list[StepVerdict] = []
    for number in numbers:
        weighed = weigh(answers.collect(tx, number, policy, now), policy, now)
        mine = {each.slot for each in weighed.activations if each.serial == serial}
        found += [step for step in weighed.steps if step.slot in mine]
    return tuple(found)


def _at_site(row: Heard) -> HeardAtSite:
    return HeardAtSite(row.site or "", row.gateway, row.first_at, row.last_at, row.count)
