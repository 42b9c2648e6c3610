"""`why`: every verdict of an order in lines of text, from named facts, fit for whoever reads it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from server.rules import words
from server.rules.authority import Role
from server.rules.evidence import Evidence
from server.rules.facts import OrderFacts
from server.rules.findings.registry import authority
from server.rules.privacy import Viewer, owner_since, ownerships
from server.rules.shown import CUSTOMER_WORD
from server.rules.weigh import Weighing


def why(facts: OrderFacts, weighing: Weighing, viewer: Viewer) -> tuple[str, ...]:
    """The explanation, line by line: the answer, each unit's steps, each statement, findings, promises, what is hidden.

    Places never appear but as the names of our own sites; persons only for staff.
    """
    zone = _zone(facts)
    lines = [
        f"Order {weighing.order}, as of {words.moment(weighing.as_of, zone)}, policy {weighing.policy_version}.",
        weighing.shown.sentence,
    ]
    told: set[tuple[Evidence, ...]] = set()
    lines += _units(weighing, told)
    lines += _statements(facts, weighing, viewer, zone, told)
    lines += _findings(weighing, zone)
    lines += _promises(weighing, zone)
    lines += _hidden(facts, weighing.as_of, zone)
    return tuple(lines)


def _zone(facts: OrderFacts) -> str:
    return next((s.zone for s in facts.sites if s.id == facts.order.site), facts.order.zone)


def _units(weighing: Weighing, told: set[tuple[Evidence, ...]]) -> Iterable[str]:
    for slot in weighing.shown.slots:
        columns = (f"{name} {step or 'nothing'}" for name, step in _columns(slot.stated, slot.evidenced, slot.shown))
        yield f"Unit {slot.slot}{f' ({slot.title})' if slot.title else ''}: {', '.join(columns)}."
        for step in weighing.steps:
            if step.slot == slot.slot:
                yield f"  {step.step.replace('_', ' ')}: {step.verdict}. {step.why}"
                yield from _reasons(step.evidence, told)


def _columns(*steps: str | None) -> Iterable[tuple[str, str | None]]:
    return zip(("stated", "evidenced", "shown"), steps, strict=True)


def _statements(
    facts: OrderFacts, weighing: Weighing, viewer: Viewer, zone: str, told: set[tuple[Evidence, ...]]
) -> Iterable[str]:
    by_id = {s.id: s for s in facts.statements}
    for verdict in weighing.verdicts:
        said = by_id[verdict.statement]
        who = said.source if viewer.role is Role.OWNER else f"{said.source} ({said.by})"
        word = CUSTOMER_WORD[verdict.verdict] if viewer.role is Role.OWNER else verdict.verdict
        what = f"“{words.said(said, zone)}” of unit {verdict.slot}, by {who}, {words.moment(said.said_at, zone)}"
        if said.latest != said.said_at:
            what += f" (of {words.moment(said.latest, zone)}{'' if said.earliest else ' or before'})"
        yield f"{what}{', replayed' if said.replay else ''}: {word}. {verdict.why}"
        yield from _reasons(verdict.evidence, told)


def _findings(weighing: Weighing, zone: str) -> Iterable[str]:
    for finding in weighing.findings:
        rule = finding.rule
        unit = f" (unit {finding.slot})" if finding.slot else ""
        since = words.moment(finding.since, zone)
        yield f"{rule.id} {rule.title}{unit}, since {since}, {finding.severity}: {finding.why}"
        remedy = rule.remedy.replace("_", " ") if rule.remedy else "none by default"
        yield f"  Remedy: {remedy} ({authority(rule)})."
    for finding in weighing.cleared:
        assert finding.cleared_at is not None, "a cleared finding without its moment"
        yield f"{finding.rule.id} held, cleared {words.moment(finding.cleared_at, zone)}: {finding.cleared_because}."
    if not weighing.findings:
        yield "No finding is open."


def _promises(weighing: Weighing, zone: str) -> Iterable[str]:
    for promise in weighing.promises:
        met = f", met {words.moment(promise.met_at, zone)}" if promise.met_at else ""
        yield f"Promise {promise.what.replace('_', ' ')}, due {words.due(promise.due, zone)}: {promise.state}{met}."


def _hidden(facts: OrderFacts, now: datetime, zone: str) -> Iterable[str]:
    owned = ownerships(a for a in facts.acts if a.learnt_at <= now)
    for serial in sorted({o.serial for o in owned}):
        since = owner_since(owned, serial, now)
        if since is not None:
            yield f"Tag {serial} has an owner since {words.moment(since, zone)}; only the owner sees where it is."


def _reasons(evidence: tuple[Evidence, ...], told: set[tuple[Evidence, ...]]) -> Iterable[str]:
    """The reasons of a verdict; the same ones are told once."""
    if evidence in told:
        yield "    - The reasons given above."
        return
    if evidence:
        told.add(evidence)
    for reason in evidence:
        yield f"    - {reason.text}"
