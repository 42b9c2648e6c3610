"""The single timeline of an order: Said, Heard, Done – each row with what agrees, both clocks, and nothing private.

Customers read no person's name and no place; staff read places only of tags without an owner, and our own sites always.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from server.rules import words
from server.rules.authority import Role
from server.rules.case import Case, lay_out
from server.rules.evidence import Verdict, of_act, of_statement, worst
from server.rules.facts import GatewayClass, Heard, OrderFacts, Place, Statement, StatementKind
from server.rules.freshness import Freshness, Sighting
from server.rules.moment import Moment
from server.rules.policy import Policy
from server.rules.privacy import Viewer, gateway_for, place_for
from server.rules.shown import CUSTOMER_WORD
from server.rules.weigh import Weighing


class Column(StrEnum):
    """Which ledger a row comes from."""

    SAID = "said"
    HEARD = "heard"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the timeline. `agrees` is a verdict word for staff, one of three words for customers, else empty.

    `at` is when it happened (or was said to have), `reached_at` when we learnt it. `actor`, `gateway` and `place` are
    None where the viewer may not see them.
    """

    at: datetime
    until: datetime | None
    reached_at: datetime
    column: Column
    text: str
    agrees: str
    ref: str
    slot: int | None
    source: str
    actor: str | None
    replay: bool
    corrected: bool
    gateway: str | None = None
    place: Place | None = None


def timeline(facts: OrderFacts, policy: Policy, weighing: Weighing, viewer: Viewer) -> tuple[Row, ...]:
    """Every fact of the order known at the weighing's moment, oldest first, as this viewer may read it."""
    case = lay_out(facts, policy, Moment(weighing.as_of))
    rows = [*_said(case, weighing, viewer), *_heard(case, viewer), *_done(case, viewer)]
    return tuple(sorted(rows, key=lambda row: (row.at, row.reached_at, row.column, row.ref, row.text)))


def _said(case: Case, weighing: Weighing, viewer: Viewer) -> list[Row]:
    verdicts: dict[str, list[Verdict]] = {}
    for judged in weighing.verdicts:
        verdicts.setdefault(judged.statement, []).append(judged.verdict)
    rows = []
    for said in dict.fromkeys(case.facts.statements):
        if not case.moment.passed(said.learnt_at) or _hidden(said, viewer):
            continue
        agrees = ""
        if said.id in verdicts:
            verdict = worst(verdicts[said.id])
            agrees = CUSTOMER_WORD[verdict] if viewer.role is Role.OWNER else verdict
        rows.append(
            Row(
                at=said.said_at,
                until=None,
                reached_at=said.learnt_at,
                column=Column.SAID,
                text=of_statement(said, case.zone).text,
                agrees=agrees,
                ref=said.id,
                slot=said.slot,
                source=said.source,
                actor=None if viewer.role is Role.OWNER else said.by,
                replay=said.replay,
                corrected=said.id in case.corrected,
            )
        )
    return rows


# Our own notes and views: a customer never reads "left" because one of us asserts it.
_INTERNAL: Final = frozenset(
    {
        StatementKind.NOTE,
        StatementKind.LABEL_QUOTED,
        StatementKind.ASSERTION,
        StatementKind.PUBLIC_TEXT,
        StatementKind.CHANNEL_STATE,
    }
)


def _hidden(said: Statement, viewer: Viewer) -> bool:
    return viewer.role is Role.OWNER and said.kind in _INTERNAL


def _heard(case: Case, viewer: Viewer) -> list[Row]:
    ends: dict[Heard, list[Sighting]] = {}
    for sighting in case.sightings:
        ends.setdefault(sighting.row, []).append(sighting)
    return [_heard_row(case, viewer, row, sightings) for row, sightings in ends.items()]


def _heard_row(case: Case, viewer: Viewer, row: Heard, ends: list[Sighting]) -> Row:
    gateway, place = gateway_for(viewer, row, case.owned), place_for(viewer, row, case.owned)
    ours = row.gateway_class is GatewayClass.OWN_SITE
    site = case.sites.get(row.site or "") if ours else None
    known = {end.freshness for end in ends}
    worth = (
        "fresh" if known == {Freshness.FRESH} else "stale, no weight" if Freshness.STALE in known else "no good clock"
    )
    count = words.times(row.count if len(ends) > 1 else 1, "frame", "frames")
    slots = [u.slot.number for units in case.units for u in units if u.serial == row.serial]
    return Row(
        at=ends[0].at,
        until=ends[-1].at if len(ends) > 1 else None,
        reached_at=ends[-1].reached_at,
        column=Column.HEARD,
        text=f"Heard by {words.RECEIVER[row.gateway_class]}{f' at {site.name}' if site else ''}: {count}, {worth}.",
        agrees="disputed" if row in case.disputed else "",
        ref=f"{row.serial}/{row.boot}/{ends[0].uptime_s}",
        slot=slots[0] if slots else None,
        source=row.gateway_class,
        actor=None,
        replay=False,
        corrected=False,
        gateway=gateway,
        place=place,
    )


def _done(case: Case, viewer: Viewer) -> list[Row]:
    return [
        Row(
            at=act.at,
            until=None,
            reached_at=act.learnt_at,
            column=Column.DONE,
            text=of_act(act, case.zone).text,
            agrees="",
            ref=act.id,
            slot=act.slot,
            source="act",
            actor=None if viewer.role is Role.OWNER else act.by,
            replay=False,
            corrected=False,
        )
        for act in case.acts
    ]
