"""The owner's answer: where is my tag and since when, with both clocks, its accuracy, and a reason when there is none.

Only the present owner asks here, and only about the time since the tag became theirs: whoever had it before keeps
their past to themselves. Of a private tag it is told that it was heard; no place of it is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from sqlalchemy import Connection

from server.rules.facts import Heard
from server.rules.policy import Policy
from server.rules.position import REASON, Age, Empty, Fix, WhereIs, age_of, where_is
from server.rules.private_reports import date_of
from server.service import ingest_health, owning, receipts
from server.service.caller import Caller
from server.service.ingest_health import Late
from server.service.private_words import MANAGED_NOTE, NO_KEYS, PRIVATE_NOTE
from server.service.receipts import Activated
from server.service.refusals import refuse
from server.store import coverage, day_key_uploads, day_keys, lost, ownership, sightings, units
from server.store.lost import LostMark
from server.store.ownership import Owned
from server.store.sightings import Hearing
from wire.batch import Clock
from wire.frames import Status

# Said of the time since it is the caller's, when others heard it before.
NOT_YET: Final = "Not heard yet since it is yours. Its place stands here as soon as a receiver hears it."
# A day picker needs a day and a report a month; more is an export, not a page.
HISTORY_MAX: Final = timedelta(days=31)
# The next year of a private tag's keys is due this long before the last one ends, as its owner's client has it.
_RENEW_BEFORE: Final = timedelta(days=30)
BATTERY: Final = ("full", "medium", "low", "critical")
# "No receiver reported" is said of the last day; what was before does not explain an empty page of today.
_COVERAGE_LOOK: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Point:
    """A place with the radius in which the tag was, and both clocks. `receivers`: how many heard it in that moment."""

    lat: float
    lon: float
    accuracy_m: int
    accuracy: str
    heard_at: datetime
    reached_us_at: datetime
    receivers: int


@dataclass(frozen=True, slots=True)
class StayedAt:
    """A stretch of time in one place."""

    from_at: datetime
    to_at: datetime
    lat: float
    lon: float
    radius_m: int
    reports: int
    receivers: int


@dataclass(frozen=True, slots=True)
class LooksWrong:
    """A report that was set aside, and why."""

    point: Point
    why: str


@dataclass(frozen=True, slots=True)
class NoPlace:
    """Why there is no place to show."""

    code: Empty
    text: str


@dataclass(frozen=True, slots=True)
class LostState:
    """The tag is reported lost: since when, and what a finder reads."""

    since: datetime
    message: str
    contact: str


@dataclass(frozen=True, slots=True)
class TagAnswer:
    """Where a tag is, as its owner reads it. `last` None: `empty` says why. `heard_at` counts also without a place.

    `late`: reports are on their way to us for longer than usual, so that silence is ours and not the tag's.

    `private`: only the owner's keys open where it is, so that `last`, `here_since` and `battery` stay empty, and
    `owned_since` is since when it is. `keys_until`: the last UTC day whose key we have, `renew_from`: from when on the
    next year's are due.
    """

    serial: int
    name: str
    model: str
    owned_since: datetime
    age: Age
    last: Point | None
    here_since: datetime | None
    heard_at: datetime | None
    battery: str | None
    empty: NoPlace | None
    lost: LostState | None
    as_of: datetime
    found_code: str
    late: Late | None
    managed: bool = True
    managed_note: str = MANAGED_NOTE
    private: bool = False
    keys_until: date | None = None
    renew_from: date | None = None


@dataclass(frozen=True, slots=True)
class TagHistory:
    """The points of a period, oldest first, the stays made of them, and what looks wrong."""

    serial: int
    from_at: datetime
    to_at: datetime
    points: tuple[Point, ...]
    stays: tuple[StayedAt, ...]
    looks_wrong: tuple[LooksWrong, ...]
    stale: int
    empty: NoPlace | None
    last_before: datetime | None
    next_after: datetime | None
    late: Late | None
    as_of: datetime


def tags(tx: Connection, who: Caller, policy: Policy, now: datetime) -> tuple[TagAnswer, ...]:
    """Every tag of the caller, by name."""
    mine = ownership.of_account(tx, who.account_no)
    serials = [each.serial for each in mine if not each.private]
    rows: dict[int, list[Heard]] = {serial: [] for serial in serials}
    since = min((each.since for each in mine if not each.private), default=now) - sightings.LOOK_BACK
    for row in sightings.heard(tx, serials, since):
        rows[row.serial].append(row)
    newest = sightings.last_heard(tx, serials)
    missed = {mark.serial: mark for mark in lost.living_among(tx, [each.serial for each in mine])}
    sealed = _sealed(tx, [each for each in mine if each.private])
    up = coverage.any_up(tx, now - _COVERAGE_LOOK, now)
    late = ingest_health.late(tx)
    return tuple(
        _private(tx, each, sealed[each.no], missed.get(each.serial), policy, now)
        if each.private
        else _answer(
            tx, each, rows[each.serial], newest.get(each.serial), missed.get(each.serial), up, late, policy, now
        )
        for each in mine
    )


def tag(tx: Connection, who: Caller, serial: int, policy: Policy, now: datetime) -> TagAnswer:
    """One tag of the caller. Refusals: tag_unknown, also for tags of others."""
    mine = owning.owned(tx, who, serial)
    if mine.private:
        return _private(tx, mine, _sealed(tx, [mine])[mine.no], lost.living(tx, serial), policy, now)
    newest = sightings.last_heard(tx, [serial]).get(serial)
    up = coverage.any_up(tx, now - _COVERAGE_LOOK, now)
    rows = sightings.heard(tx, [serial], mine.since - sightings.LOOK_BACK)
    return _answer(tx, mine, rows, newest, lost.living(tx, serial), up, ingest_health.late(tx), policy, now)


def history(
    tx: Connection, who: Caller, serial: int, from_at: datetime, to_at: datetime, policy: Policy, now: datetime
) -> TagHistory:
    """Where a tag of the caller was, minute by minute, never from before it was theirs.

    Refusals: tag_unknown, private, period_invalid.
    """
    mine = owning.owned(tx, who, serial)
    if mine.private:
        raise refuse("private", reference=str(serial))
    if from_at >= to_at:
        raise refuse("period_invalid", detail="it ends before it begins")
    if to_at - from_at > HISTORY_MAX:
        raise refuse("period_invalid", detail=f"it is longer than {HISTORY_MAX.days} days")
    since = max(from_at, mine.since)
    # The thinned rows say which frames are live; the minutes say where it was in between.
    thinned = sightings.heard(tx, [serial], mine.since - sightings.LOOK_BACK)
    rows = [*thinned, *(_heard(each) for each in sightings.history(tx, serial, since, to_at))]
    found = where_is(rows, now, policy, since, to_at, coverage.any_up(tx, since, to_at))
    before = found.last_before if found.last_before and found.last_before >= mine.since else None
    return TagHistory(
        serial=serial,
        from_at=from_at,
        to_at=to_at,
        points=tuple(_point(fix) for fix in found.fixes),
        stays=tuple(
            StayedAt(
                stay.from_at, stay.to_at, stay.place.lat, stay.place.lon, math.ceil(stay.place.accuracy_m), stay.fixes,
                stay.receivers,
            )
            for stay in found.stays
        ),
        looks_wrong=tuple(LooksWrong(_point(each.fix), each.why) for each in found.doubtful),
        stale=found.stale,
        empty=_no_place(found),
        last_before=before,
        next_after=found.next_after,
        late=ingest_health.late(tx, to_at, now),
        as_of=now,
    )  # fmt: skip


def receipt(tx: Connection, who: Caller, serial: int) -> Activated:
    """The receipt by which the tag became the caller's. Refusals: tag_unknown, no_receipt (it was handed over)."""
    mine = owning.owned(tx, who, serial)
    found = receipts.of_owner(tx, serial, who.account_no, mine.since)
    if found is None:
        raise refuse("no_receipt", reference=str(serial))
    return found


def _answer(
    tx: Connection,
    mine: Owned,
    rows: list[Heard],
    newest: Hearing | None,
    missed: LostMark | None,
    gateways_up: bool,
    late: Late | None,
    policy: Policy,
    now: datetime,
) -> TagAnswer:
    unit = units.by_serial(tx, mine.serial)
    assert unit is not None, "what is owned was made"
    found = where_is(rows, now, policy, mine.since, None, gateways_up)
    if found.here_since is not None:
        # Thinned rows keep the two ends of a day at one receiver: what was between, and so the moment of coming here,
        # stands in the minutes. A stay begins on the day of its first end, and never before the tag was theirs.
        start = max(mine.since, datetime.combine(found.here_since.date(), time(), UTC))
        minutes = sightings.history(tx, mine.serial, start, found.here_since)
        found = where_is([*rows, *map(_heard, minutes)], now, policy, mine.since, None, gateways_up)
    heard = newest if newest is not None and newest.heard_at >= mine.since else None
    return TagAnswer(
        serial=mine.serial,
        name=mine.name,
        model=unit.model,
        owned_since=mine.since,
        age=found.age,
        last=_point(found.last) if found.last else None,
        here_since=found.here_since,
        heard_at=heard.heard_at if heard else None,
        battery=BATTERY[Status.from_byte(heard.status).battery] if heard else None,
        empty=NoPlace(found.empty, NOT_YET) if found.empty is Empty.NOTHING_THEN else _no_place(found),
        lost=LostState(missed.since, missed.message, missed.contact) if missed else None,
        as_of=now,
        found_code=unit.found_code,
        late=late,
    )


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What we know of a private tag: when it was last heard, and the last day whose key we have."""

    heard_at: datetime | None
    keys_until: date | None


def _sealed(tx: Connection, mine: Sequence[Owned]) -> dict[int, _Sealed]:
    """By the number of the ownership. Only sealed reports count: of its sightings none is read, not even its time."""
    numbers = [each.no for each in mine]
    heard, ends = day_keys.last_report_at(tx, numbers), day_key_uploads.last_days(tx, numbers)
    return {no: _Sealed(heard.get(no), date_of(ends[no]) if no in ends else None) for no in numbers}


def _private(
    tx: Connection, mine: Owned, sealed: _Sealed, missed: LostMark | None, policy: Policy, now: datetime
) -> TagAnswer:  # fmt: skip
    unit = units.by_serial(tx, mine.serial)
    assert unit is not None, "what is owned was made"
    until = sealed.keys_until
    return TagAnswer(
        serial=mine.serial,
        name=mine.name,
        model=unit.model,
        owned_since=mine.since,
        age=age_of(sealed.heard_at, now, policy),
        last=None,
        here_since=None,
        heard_at=sealed.heard_at,
        battery=None,
        empty=NoPlace(Empty.PRIVATE, REASON[Empty.PRIVATE] if until else NO_KEYS),
        lost=LostState(missed.since, missed.message, missed.contact) if missed else None,
        as_of=now,
        found_code=unit.found_code,
        late=None,  # how late sightings are says nothing of sealed reports
        managed=False,
        managed_note=PRIVATE_NOTE,
        private=True,
        keys_until=until,
        renew_from=until + timedelta(days=1) - _RENEW_BEFORE if until else None,
    )


def _no_place(found: WhereIs) -> NoPlace | None:
    return NoPlace(found.empty, REASON[found.empty]) if found.empty else None


def _point(fix: Fix) -> Point:
    metres = math.ceil(fix.place.accuracy_m)
    return Point(
        lat=round(fix.place.lat, 7),
        lon=round(fix.place.lon, 7),
        accuracy_m=metres,
        accuracy=f"within {_readable(metres)}",
        heard_at=fix.at,
        reached_us_at=fix.reached_us_at,
        receivers=len(fix.gateways),
    )


def _readable(metres: int) -> str:
    """Metres as people say them: 35 m, 150 m, 1.2 km. Always rounded up, so that the circle stays true."""
    if metres < 100:
        return f"{-(-metres // 5) * 5} m"
    if metres < 1000:
        return f"{-(-metres // 50) * 50} m"
    return f"{-(-metres // 100) / 10:.1f} km"


def _heard(hearing: Hearing) -> Heard:
    """A minute as the rules read it: one frame."""
    return Heard(
        serial=hearing.serial,
        boot=hearing.boot,
        gateway=hearing.gateway,
        gateway_class=hearing.gateway_class,
        gateway_owner=hearing.gateway_owner,
        site=hearing.site,
        place=hearing.place,
        clock_good=hearing.clock is Clock.GOOD,
        first_at=hearing.heard_at,
        last_at=hearing.heard_at,
        first_uptime_s=hearing.uptime_s,
        last_uptime_s=hearing.uptime_s,
        count=1,
        first_reached_at=hearing.reached_at,
        reached_us_at=hearing.reached_at,
        status=hearing.status,
    )
