"""R-31: delivered, and not heard for days at a place where a tag would almost surely have been heard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_statement
from server.rules.facts import ActKind, BeaconMode, StatementKind
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.freshness import Freshness
from server.rules.listening import by_day, chance, days_to_be_sure, midnight

_IN_HAND = frozenset({ActKind.CLAIMED, ActKind.ACTIVATED})


def find(case: Case) -> Iterable[Found]:
    """One per unit, from the day that leaves too little doubt on, until it is heard or is in somebody's hand.

    A unit that keeps silent by its mode, or a place where nobody measured, says nothing.
    """
    for unit in case.slots:
        if unit.serial is None or unit.unit is None or unit.unit.beacon_mode is BeaconMode.SILENT:
            continue
        if unit.delivery_scans:
            yield from earliest(ended(unit, each) for each in _silences(case, unit, unit.serial))


def _silences(case: Case, unit: SlotCase, serial: int) -> Iterator[Found]:
    delivered = min(unit.delivery_scans, key=lambda s: (s.latest, s.id))
    days = by_day(case.facts.listened, serial)
    p = chance(days, delivered.latest.date(), case.policy)
    needed = None if p is None else days_to_be_sure(p, case.policy.silent_doubt_percent)
    if p is None or needed is None:
        return
    # Also what a recording disputes: whoever is heard twice at once is not silent.
    heard = sorted({s.at for s in case.sightings if s.row.serial == serial and s.freshness is Freshness.FRESH})
    starts = [delivered.latest, *(at for at in heard if at > delivered.latest)]
    for start, heard_at in zip(starts, [*starts[1:], None], strict=True):
        since = _since(case, days, start, needed)
        if since is None and heard_at is None and unit.ended is None and not any(True for _ in _ends(unit)):
            _look_every_night(case, start)
        if since is None or (heard_at is not None and heard_at <= since):
            continue
        found = Found(
            slot=unit.slot.number,
            subject=str(serial),
            since=since,
            why=f"Delivered, and not heard since {words.moment(start, case.zone)}; of a tag at that place our receivers"
            f" hear {p:.0%} within a day.",
            evidence=(of_statement(delivered, case.zone),),
        )
        yield until(found, [(heard_at, "it was heard"), *_ends(unit)])


def _since(case: Case, days: Mapping[date, frozenset[int]], start: datetime, needed: int) -> datetime | None:
    """When the silence had lasted long enough, on enough days on which the place was listened to; None: not yet."""
    at_least = start + timedelta(seconds=case.policy.silent_min_s)
    over = [midnight(day + timedelta(1)) for day in days if midnight(day) >= start]
    since = max(at_least, over[needed - 1]) if len(over) >= needed else None
    return since if since is not None and case.moment.passed(since) else None


def _look_every_night(case: Case, start: datetime) -> None:
    """A day's measure wakes no order, so each midnight is a moment to look, for as long as it is worth it."""
    first = (start + timedelta(seconds=case.policy.silent_min_s)).date() + timedelta(1)
    nights = (midnight(first + timedelta(number)) for number in range(case.policy.silent_look_d))
    next((night for night in nights if not case.moment.passed(night)), None)


def _ends(unit: SlotCase) -> Iterator[tuple[datetime, str]]:
    yield from ((act.at, "it is in its owner's hand") for act in unit.acts if act.kind in _IN_HAND)
    yield from ((said.latest, "it came back to us") for said in unit.of_kind(StatementKind.RETURNED))
