"""R-36: the carrier used a code that stands in no table of ours; it is `unknown`, and somebody must read it."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules.case import Case, SlotCase, scan_of
from server.rules.evidence import of_statement
from server.rules.facts import Statement
from server.rules.findings.finding import Found, ended, until


def find(case: Case) -> Iterable[Found]:
    """One per slot, number and code, until a later event of the same number is understood."""
    for unit in case.slots:
        first: dict[tuple[str, str], Statement] = {}
        for said in unit.scans:
            scan = scan_of(said)
            if not scan.mapped:
                first.setdefault((scan.number, scan.code), said)
        for said in first.values():
            yield ended(unit, _found(case, unit, said))


def _found(case: Case, unit: SlotCase, said: Statement) -> Found:
    scan = scan_of(said)
    since = max(said.said_at, said.latest)
    found = Found(
        slot=unit.slot.number,
        subject=f"{scan.number} {scan.code}",
        since=since,
        why=f"{scan.carrier} reported “{scan.code}” under {scan.number}. No table of ours says what that means.",
        evidence=(of_statement(said, case.zone),),
    )
    later = [
        max(each.said_at, each.latest)
        for each in unit.scans
        if _is_event(each) and scan_of(each).number == scan.number and each.latest > said.latest
    ]
    return until(found, [(min(later, default=None), "a later event of the carrier is understood")])


def _is_event(said: Statement) -> bool:
    """An event that is understood; an estimate alone (no code, nothing in hand) explains nothing."""
    scan = scan_of(said)
    return scan.mapped and (scan.physical or bool(scan.code))
