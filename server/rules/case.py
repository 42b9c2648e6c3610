"""The facts of one order laid out for judging: what stands, what is known of each slot, what was heard where.

Everything later chapters ask is prepared here once: statements that were not corrected, the serial of each slot, the
carrier's scans that belong to this parcel, fresh sightings at our sites and away from them, and when it departed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from server.rules import business_days
from server.rules.distance import at_least_apart_m, at_most_apart_m
from server.rules.facts import (
    SAYS_GONE,
    Act,
    BeaconMode,
    GatewayClass,
    Heard,
    OrderFacts,
    Place,
    Rank,
    Site,
    Slot,
    Statement,
    StatementKind,
    Unit,
)
from server.rules.first_sign import calendar_of, first_sign_due
from server.rules.freshness import Freshness, Sighting, judge
from server.rules.identity import Conflict, conflicts, disputed
from server.rules.moment import Moment
from server.rules.payloads import Binding, CarrierScan, Label, Payment, ShipmentStatus
from server.rules.policy import Policy
from server.rules.privacy import Owned, owner_at, ownerships

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SlotCase:
    """What is known of one slot. Sightings are fresh ones of its present serial, in order of time.

    `physical_scans`: the carrier had the parcel in hand and says so itself; a person's word that it had is a person's
    word. `departures`: every moment at which it was shown to be out of our hands, in order.
    """

    slot: Slot
    said: tuple[Statement, ...]
    binding: Statement | None
    serial: int | None
    unit: Unit | None
    labels: tuple[Statement, ...]
    scans: tuple[Statement, ...]
    physical_scans: tuple[Statement, ...]
    quarantined: tuple[Statement, ...]
    fresh: tuple[Sighting, ...]
    inside: tuple[Sighting, ...]
    away: tuple[Sighting, ...]
    departures: tuple[datetime, ...]
    acts: tuple[Act, ...]
    ended: Statement | None
    by_kind: Mapping[StatementKind, tuple[Statement, ...]] = field(repr=False, compare=False)

    def of_kind(self, *kinds: StatementKind) -> tuple[Statement, ...]:
        """Standing statements of these kinds about this slot, in order of time."""
        found = [said for kind in kinds for said in self.by_kind.get(kind, ())]
        return tuple(found if len(kinds) == 1 else sorted(found, key=_in_time))

    @property
    def gone_said(self) -> tuple[Statement, ...]:
        """Every "it has left" that was said about this slot."""
        return self.of_kind(*SAYS_GONE)

    @property
    def accepted_at(self) -> datetime | None:
        """The first physical carrier scan: a label is not acceptance."""
        return min((s.latest for s in self.physical_scans), default=None)

    @property
    def delivery_scans(self) -> tuple[Statement, ...]:
        """Physical scans by which the carrier says that it handed the parcel over, in order of time."""
        return tuple(s for s in self.physical_scans if scan_of(s).status is ShipmentStatus.DELIVERED)


@dataclass(frozen=True, slots=True)
class Case:
    """One order at one moment. Ask the moment for deadlines only through `moment.passed`."""

    facts: OrderFacts
    policy: Policy
    moment: Moment
    statements: tuple[Statement, ...]
    corrected: frozenset[str]
    acts: tuple[Act, ...]
    owned: tuple[Owned, ...]
    sightings: tuple[Sighting, ...]
    conflicts: tuple[Conflict, ...]
    disputed: frozenset[Heard]
    sites: dict[str, Site]
    site: Site | None
    made: dict[int, Unit]
    units: tuple[tuple[SlotCase, ...], ...]
    _known: dict[Callable[[Case], Iterable[Any]], tuple[Any, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def once(self, ask: Callable[[Case], Iterable[T]]) -> tuple[T, ...]:
        """What a question about this case gives, found out at its first asking: many rules ask for its promises."""
        if ask not in self._known:
            self._known[ask] = tuple(ask(self))
        return self._known[ask]

    @property
    def slots(self) -> tuple[SlotCase, ...]:
        """Each slot with its present unit."""
        return tuple(units[-1] for units in self.units)

    def units_of(self, slot: int) -> tuple[SlotCase, ...]:
        """The slot once for each unit bound to it, in order; a replacement does not inherit a life."""
        return next(units for units in self.units if units[0].slot.number == slot)

    def witness(self, slot: int, said_at: datetime) -> SlotCase:
        """The slot with the unit that was bound to it when something was said; before any binding, its first unit."""
        units = self.units_of(slot)
        return units[_in_force([u.binding for u in units if u.binding], said_at)]

    @property
    def zone(self) -> str:
        """The zone in which our people read times: the fulfilling site's, else the order's."""
        return self.calendar.zone

    def place_of(self, sighting: Sighting) -> Place | None:
        """Where a sighting was, as far as rules may know: not where an owner's tag is outside our sites."""
        row = sighting.row
        if row.gateway_class is GatewayClass.OWN_SITE:
            site = self.sites.get(row.site or "")
            return row.place or (site.place if site else None)
        return None if owner_at(self.owned, row.serial, sighting.at) else row.place

    def near_ship_to(self, sighting: Sighting) -> bool:
        """True if it was heard at the address, the accuracies granted against it."""
        ship_to, place = self.facts.order.ship_to, self.place_of(sighting)
        if ship_to is None or ship_to.place is None or place is None:
            return False
        return at_most_apart_m(place, ship_to.place) <= self.policy.near_m

    @property
    def calendar(self) -> Site:
        """The fulfilling site's calendar, or what stands for it."""
        return calendar_of(self.facts)

    def pickup_deadline(self, said: Statement) -> datetime:
        """From when on a parcel said to be gone has no business inside: settled, and the next pickup is over."""
        settled = said.latest + timedelta(seconds=self.policy.inside_settle_s)
        pickup = business_days.next_pickup(self.calendar, said.latest)
        if pickup is None:
            return max(settled, self.evidence_due(said))
        return max(settled, pickup + timedelta(seconds=self.calendar.pickup_grace_s))

    def evidence_due(self, said: Statement) -> datetime:
        """When the first physical sign of a parcel said to be gone must be there; until then words stay calm."""
        return first_sign_due(self.calendar, said.latest, self.policy)

    def covered(self, slot: SlotCase, since: datetime) -> bool:
        """True if somebody could have seen it from then on: a carrier its label, or our healthy gateways its beacon."""
        return bool(slot.labels) or any(self.moment.passed(at) for at in self.listening(slot, since))

    def listening(self, slot: SlotCase, since: datetime) -> Iterator[datetime]:
        """From when on each gateway of ours that was healthy some time after `since` could have heard its beacon."""
        if slot.unit is None or slot.unit.beacon_mode is BeaconMode.SILENT:
            return
        ours = {g.id for g in self.facts.gateways if g.gateway_class is GatewayClass.OWN_SITE}
        for up in self.facts.healthy:
            if up.gateway in ours and (up.to_at is None or up.to_at > since):
                yield max(up.from_at, since)


def lay_out(facts: OrderFacts, policy: Policy, moment: Moment, with_disputed: bool = False) -> Case:
    """Prepare the case as it was known at the moment. `with_disputed`: let sightings in conflict count all the same."""
    standing, corrected = standing_at(facts, moment)
    acts = sorted({a for a in facts.acts if moment.passed(a.learnt_at)}, key=lambda a: (a.at, a.id))
    sites = {site.id: site for site in facts.sites}
    bare = Case(
        facts=facts,
        policy=policy,
        moment=moment,
        statements=standing,
        corrected=corrected,
        acts=tuple(acts),
        owned=ownerships(acts),
        sightings=judge(facts.heard, policy, moment),
        conflicts=(),
        disputed=frozenset(),
        sites=sites,
        site=sites.get(facts.order.site or ""),
        made={unit.serial: unit for unit in reversed(facts.units)},
        units=(),
    )
    by_serial: dict[int, list[Sighting]] = {}
    for sighting in bare.sightings:
        by_serial.setdefault(sighting.row.serial, []).append(sighting)
    found = tuple(c for _, heard in sorted(by_serial.items()) for c in conflicts(heard, bare.place_of, policy))
    doubted = frozenset(row for heard in by_serial.values() for row in disputed(heard, bare.place_of, policy))
    case = replace(bare, conflicts=found, disputed=doubted)
    weightless = frozenset[Heard]() if with_disputed else doubted
    units = tuple(_units(case, slot, by_serial, weightless) for slot in facts.order.slots)
    return replace(case, units=units)


def standing_at(facts: OrderFacts, moment: Moment) -> tuple[tuple[Statement, ...], frozenset[str]]:
    """What stands of an order's statements as they were known at the moment, and the ids corrected."""
    return standing_of([s for s in dict.fromkeys(facts.statements) if moment.passed(_known_at(s))])


def _known_at(said: Statement) -> datetime:
    """A carrier's event that is dated ahead (a wrong zone, a plan) shows nothing before its time has come."""
    return max(said.learnt_at, said.latest) if isinstance(said.payload, CarrierScan) else said.learnt_at


def standing_of(known: Iterable[Statement]) -> tuple[tuple[Statement, ...], frozenset[str]]:
    """Statements that no standing later one corrects, and the ids corrected. A correction is said after its target."""
    corrected: set[str] = set()
    standing: list[Statement] = []
    by_id = {s.id: s for s in known}
    for statement in sorted(known, key=lambda s: (s.said_at, s.id), reverse=True):
        if statement.id in corrected:
            continue
        target = by_id.get(statement.corrects or "")
        if target is not None and (target.said_at, target.id) < (statement.said_at, statement.id):
            corrected.add(target.id)
        standing.append(statement)
    standing.sort(key=_in_time)
    return tuple(s for s in standing if not _only_annuls(s)), frozenset(corrected)


def _in_time(said: Statement) -> tuple[datetime, datetime, str]:
    return said.latest, said.said_at, said.id


def _only_annuls(statement: Statement) -> bool:
    return statement.corrects is not None and statement.correction == "did_not_occur"


def _units(
    case: Case, slot: Slot, by_serial: dict[int, list[Sighting]], weightless: frozenset[Heard]
) -> tuple[SlotCase, ...]:
    said = tuple(s for s in case.statements if s.covers(slot.number))
    # A serial scanned for the whole order says nothing of which unit it is, unless there is only one.
    alone = len(case.facts.order.slots) == 1
    bindings = [s for s in said if isinstance(s.payload, Binding) and (s.slot is not None or alone)]
    # A tag that is scanned twice is no replacement of itself.
    bindings = [b for i, b in enumerate(bindings) if i == 0 or _serial(b) != _serial(bindings[i - 1])]
    of_units: list[list[Statement]] = [[] for _ in range(max(1, len(bindings)))]
    moments = [binding.latest for binding in bindings]
    # Once for all units of the slot: each looks only at its own kinds of words, however often it was replaced.
    by_kind: dict[StatementKind, list[Statement]] = {}
    for statement in said:
        by_kind.setdefault(statement.kind, []).append(statement)
        of_units[max(bisect_right(moments, statement.latest) - 1, 0)].append(statement)
    bare = _bare(slot, said, {kind: tuple(words) for kind, words in by_kind.items()})
    units = []
    for number, binding in enumerate(bindings or [None]):
        serial = _serial(binding) if binding else None
        heard = by_serial.get(serial, []) if serial is not None else []
        fresh = tuple(s for s in heard if s.freshness is Freshness.FRESH and s.row not in weightless)
        units.append(_unit(case, bare, of_units[number], binding, serial, fresh))
    return tuple(units)


def _serial(binding: Statement) -> int:
    assert isinstance(binding.payload, Binding), "not a binding"
    return binding.payload.serial


def _in_force(bindings: Sequence[Statement], at: datetime) -> int:
    """The index of the binding in force at a moment; before the first one, the first."""
    return max((i for i, binding in enumerate(bindings) if binding.latest <= at), default=0)


def _bare(slot: Slot, said: tuple[Statement, ...], by_kind: Mapping[StatementKind, tuple[Statement, ...]]) -> SlotCase:
    """What is the same for every unit of a slot."""
    return SlotCase(
        slot=slot,
        said=said,
        binding=None,
        serial=None,
        unit=None,
        labels=(),
        scans=(),
        physical_scans=(),
        quarantined=(),
        fresh=(),
        inside=(),
        away=(),
        departures=(),
        acts=(),
        ended=next((s for s in said if _ends_slot(s)), None),
        by_kind=by_kind,
    )


def _unit(
    case: Case,
    bare: SlotCase,
    of_unit: list[Statement],
    binding: Statement | None,
    serial: int | None,
    fresh: tuple[Sighting, ...],
) -> SlotCase:
    labels = tuple(s for s in of_unit if isinstance(s.payload, Label))
    scans, quarantined = _sort_scans(case, bare, labels)
    physical = tuple(s for s in scans if s.rank is Rank.PHYSICAL)
    away = tuple(s for s in fresh if binding and s.at > binding.latest and _is_away(case, s))
    return replace(
        bare,
        binding=binding,
        serial=serial,
        unit=case.made.get(serial) if serial is not None else None,
        labels=labels,
        scans=scans,
        physical_scans=physical,
        quarantined=quarantined,
        fresh=fresh,
        inside=tuple(s for s in fresh if s.row.gateway_class is GatewayClass.OWN_SITE),
        away=away,
        departures=tuple(sorted([*(s.at for s in away), *(s.latest for s in physical)])),
        acts=tuple(a for a in case.acts if serial is not None and a.serial == serial),
    )


def is_refund(statement: Statement) -> bool:
    """True if the money is back; the fee of a service alone ends nothing, the parcel is still owed."""
    fee = isinstance(statement.payload, Payment) and statement.payload.service
    return statement.kind is StatementKind.REFUNDED and not fee


def _ends_slot(statement: Statement) -> bool:
    return is_refund(statement) or statement.kind is StatementKind.ORDER_CANCELLED


def _is_away(case: Case, sighting: Sighting) -> bool:
    place = case.place_of(sighting)
    if place is None or sighting.row.gateway_class is GatewayClass.OWN_SITE or not case.sites:
        return False
    return all(at_least_apart_m(place, site.place) > case.policy.away_min_m for site in case.sites.values())


def scan_of(statement: Statement) -> CarrierScan:
    """The carrier's event that a statement tells."""
    assert isinstance(statement.payload, CarrierScan), "not a carrier's event"
    return statement.payload


def _sort_scans(
    case: Case, slot: SlotCase, labels: tuple[Statement, ...]
) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
    """Split the carrier's events into this parcel's and, numbers being recycled, a previous parcel's."""
    ours: list[Statement] = []
    others: list[Statement] = []
    unlabelled = not slot.of_kind(StatementKind.LABEL_PRINTED)
    for statement in slot.of_kind(StatementKind.CARRIER_SCAN):
        mine = any(_belongs(case, statement, label) for label in labels)
        if unlabelled:  # the carrier's own word ties it to the order
            mine = statement.latest >= case.facts.order.placed_at
        (ours if mine else others).append(statement)
    return tuple(ours), tuple(others)


def _belongs(case: Case, statement: Statement, label: Statement) -> bool:
    scan, printed = scan_of(statement), label.payload
    assert isinstance(printed, Label), "not a label"
    if (scan.carrier, scan.number) != (printed.carrier, printed.number):
        return False
    if scan.unique_id and printed.unique_id and scan.unique_id != printed.unique_id:
        return False
    slack = timedelta(seconds=case.policy.label_date_slack_s)
    since = case.facts.order.placed_at if label.earliest is None else label.earliest - slack
    return statement.latest >= max(since, case.facts.order.placed_at)
