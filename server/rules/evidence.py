"""The words of a verdict, what counts for them, and how much.

`proved`: fresh sightings by an own-site or vehicle gateway, or by two independently owned ones; or a carrier's physical
scan with another source. `supported`: one independent physical source. `stated`: our word only. `unknown`: nobody could
have seen. `contradicted`: an independent source disagrees. `refuted`: fresh physical proof of the opposite.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from server.rules import words
from server.rules.facts import Act, GatewayClass, Heard, Site, Statement
from server.rules.freshness import Sighting


class Verdict(StrEnum):
    """What the evidence says of a statement or of a physical step."""

    PROVED = "proved"
    SUPPORTED = "supported"
    STATED = "stated"
    UNKNOWN = "unknown"
    CONTRADICTED = "contradicted"
    REFUTED = "refuted"


SHOWN_BY_EVIDENCE: Final = frozenset({Verdict.PROVED, Verdict.SUPPORTED})
AGAINST: Final = frozenset({Verdict.CONTRADICTED, Verdict.REFUTED})
# From the best news to the worst: an answer about several slots takes the worst of them.
ORDER: Final = (
    Verdict.PROVED,
    Verdict.SUPPORTED,
    Verdict.STATED,
    Verdict.UNKNOWN,
    Verdict.CONTRADICTED,
    Verdict.REFUTED,
)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a statement about several slots; of none, `unknown`."""
    return max(verdicts, key=ORDER.index, default=Verdict.UNKNOWN)


class EvidenceKind(StrEnum):
    """Where a piece of evidence comes from: one of the three ledgers."""

    SIGHTING = "sighting"
    STATEMENT = "statement"
    ACT = "act"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for a verdict. `text` suits customer and support: our own sites, no other place, no person's name.

    `ref` is a statement's or act's id or, of an own-site or vehicle gateway, its id; empty for others' receivers.
    """

    kind: EvidenceKind
    ref: str
    at: datetime
    text: str


# More reasons than this make nobody surer; the first ones and the last ones are kept.
EVIDENCE_FIRST: Final = 2
EVIDENCE_LAST: Final = 3


def of_sightings(sightings: Iterable[Sighting], sites: dict[str, Site], zone: str) -> tuple[Evidence, ...]:
    """One reason per heard row: by whom, where if it is our own site, when, how often."""
    rows: dict[Heard, list[Sighting]] = {}
    for sighting in sorted(sightings, key=lambda s: s.key):
        rows.setdefault(sighting.row, []).append(sighting)
    reasons = [_of_row(row, ends, sites, zone) for row, ends in rows.items()]
    if len(reasons) > EVIDENCE_FIRST + EVIDENCE_LAST:
        reasons = reasons[:EVIDENCE_FIRST] + reasons[-EVIDENCE_LAST:]
    return tuple(reasons)


def _of_row(row: Heard, ends: list[Sighting], sites: dict[str, Site], zone: str) -> Evidence:
    ours = row.gateway_class is GatewayClass.OWN_SITE
    where = ""
    if ours:
        site = sites.get(row.site or "")
        where = f" {row.gateway} at {site.name if site else 'our site'}"
    span = words.moment(ends[0].at, zone)
    if len(ends) > 1:
        span += f" to {words.moment(ends[-1].at, zone)}, {words.times(row.count, 'frame', 'frames')}"
    text = f"Tag {row.serial} heard by {words.RECEIVER[row.gateway_class]}{where}: {span}."
    named = row.gateway if row.gateway_class in (GatewayClass.OWN_SITE, GatewayClass.VEHICLE) else ""
    return Evidence(EvidenceKind.SIGHTING, named, ends[0].at, text)


def of_statement(statement: Statement, zone: str) -> Evidence:
    """A statement as a reason, dated by its event, not by when it was said."""
    text = f"Said by {statement.source}: {words.said(statement, zone)}, {words.moment(statement.latest, zone)}."
    return Evidence(EvidenceKind.STATEMENT, statement.id, statement.latest, text)


def of_act(act: Act, zone: str) -> Evidence:
    """An act as a reason; a receipt says what it is worth."""
    what = "activation receipt signed by the tag itself" if act.receipt else act.kind.replace("_", " ")
    return Evidence(EvidenceKind.ACT, act.id, act.at, f"Done: {what}, {words.moment(act.at, zone)}.")


def weight(sightings: Iterable[Sighting]) -> Verdict | None:
    """What fresh sightings alone give: proved, supported or nothing. Unanchored ones never prove."""
    heard = list(sightings)
    anchored = [s.row for s in heard if s.anchored]
    trusted = any(row.gateway_class in (GatewayClass.OWN_SITE, GatewayClass.VEHICLE) for row in anchored)
    if trusted or len({row.gateway_owner for row in anchored}) >= 2:
        return Verdict.PROVED
    return Verdict.SUPPORTED if heard else None


def together(sightings: Iterable[Sighting], scans: Iterable[Statement], receipts: Iterable[Act]) -> Verdict | None:
    """What radio, a carrier's physical scans and a tag's receipt give together: two different sources prove."""
    by_radio = weight(sightings)
    sources = [by_radio is not None, any(True for _ in scans), any(True for _ in receipts)]
    if by_radio is Verdict.PROVED or sum(sources) >= 2:
        return Verdict.PROVED
    return Verdict.SUPPORTED if any(sources) else None
