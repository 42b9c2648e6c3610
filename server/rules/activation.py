"""The ladder of activation evidence: only the receipt resists everybody, the operator included.

receipt = `proved`; code plus a later fresh frame = `supported`; code only = `stated`; nothing = `unknown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.rules.case import Case, SlotCase
from server.rules.evidence import Evidence, Verdict, of_act, of_sightings
from server.rules.facts import ActKind

RUNGS = (
    (Verdict.PROVED, "A receipt signed by the tag itself. Nobody, the operator included, can make it without the tag."),
    (Verdict.SUPPORTED, "The code from the box was given, and the tag was heard afterwards."),
    (Verdict.STATED, "The code from the box was given; the tag itself has not answered."),
    (Verdict.UNKNOWN, "Nobody has given the code from the box."),
)


@dataclass(frozen=True, slots=True)
class Activation:
    """Which rung is reached, since when, and by what."""

    slot: int
    serial: int | None
    verdict: Verdict
    at: datetime | None
    evidence: tuple[Evidence, ...]
    why: str


def ladder(case: Case, unit: SlotCase) -> Activation:
    """The highest rung that the unit of a slot has reached."""
    receipt = next((a for a in unit.acts if a.kind is ActKind.ACTIVATED), None)
    code = next((a for a in unit.acts if a.kind is ActKind.CLAIMED), None)
    at, evidence, verdict = None, tuple[Evidence, ...](), Verdict.UNKNOWN
    if receipt is not None:
        at, evidence, verdict = receipt.at, (of_act(receipt, case.zone),), Verdict.PROVED
    elif code is not None:
        later = [s for s in unit.fresh if s.at > code.at]
        verdict = Verdict.SUPPORTED if later else Verdict.STATED
        at = code.at
        evidence = (of_act(code, case.zone), *of_sightings(later[:1], case.sites, case.zone))
    return Activation(unit.slot.number, unit.serial, verdict, at, evidence, dict(RUNGS)[verdict])
