"""Support's pages: one box to find anything, an order with its evidence, a tag, gateways. No place of an owned tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.rules.authority import UNASKED, Action
from server.rules.findings.finding import Finding, Rule, Severity
from server.rules.privacy import Viewer
from server.rules.remedies import SPEAKS
from server.rules.shown import Shown
from server.service import answers, explain, find, gateway_health, messages, remedies, tag_life, threads, viewing
from server.service.ingest_health import ingest_health
from server.web.api.models import NumberInPath, Serial
from server.web.auth import Staff
from server.web.deps import TheHouse
from server.web.pages.contacts import of_case
from server.web.pages.desk import around
from server.web.pages.render import page
from server.web.pages.timeline import fold

router = APIRouter(prefix="/s", include_in_schema=False)


@router.get("")
def box(request: Request, house: TheHouse, who: Staff, q: str = "") -> Response:
    """Without a question: the newest orders."""
    asked = "".join(letter for letter in q if letter.isprintable()).strip()[: find.QUERY_MAX]
    with house.work() as (tx, now):
        found = find.find(tx, asked, house.policy, now) if asked else None
        newest = () if asked else find.newest(tx, house.policy, now)
        if found is not None:
            viewing.note(tx, who, f"find:{found.query}", now)
        ingest = ingest_health(tx)
    return page(request, "find.html", q=asked, found=found, newest=newest, ingest=ingest)


@router.get("/order/{number}")
def case(request: Request, number: NumberInPath, house: TheHouse, who: Staff, source: str = "") -> Response:
    """The order: what the customer reads, findings with what to say and do, evidence, timeline (of one `source`)."""
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        looked = answers.weighing(tx, number, house.policy, now)
        answer = answers.for_staff(tx, looked, house.policy, Viewer(who.role))
        thread = threads.thread(tx, house, looked, threads.Reading.STAFF)
        ingest = ingest_health(tx)
        offer = remedies.offered(tx, looked, who.role, house.policy)
        offered = messages.templates(looked.facts, house.policy, now)
        desk = around(tx, who, answer, offered, source, house.dice(8).hex(), now)
    findings, items = merged(answer.findings, answer.shown), fold(desk.rows)
    return page(
        request, "case.html", order=answer, findings=findings, items=items, desk=desk, ingest=ingest,
        contacts=of_case(house, thread), remedies=offer,
    )  # fmt: skip


@router.get("/order/{number}/why")
def why(request: Request, number: NumberInPath, house: TheHouse, who: Staff) -> Response:
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        lines = explain.why(tx, number, now, house.policy, Viewer(who.role))
        ingest = ingest_health(tx)
    return page(request, "why.html", number=number, lines=lines, ingest=ingest)


@router.get("/tag/{serial}")
def tag(request: Request, serial: Serial, house: TheHouse, who: Staff) -> Response:
    with house.work() as (tx, now):
        viewing.note(tx, who, f"tag:{serial}", now)
        life = tag_life.tag_life(tx, serial, house.policy, now)
        ingest = ingest_health(tx)
    return page(request, "tag_life.html", life=life, ingest=ingest)


@router.get("/gateways")
def gateways(request: Request, house: TheHouse, _: Staff) -> Response:
    with house.work() as (tx, now):
        health, ingest = gateway_health.every_gateway(tx, now), ingest_health(tx)
    return page(request, "gateways.html", gateways=health, ingest=ingest)


@dataclass(frozen=True, slots=True)
class Card:
    """The same finding about one unit or several. `replacing`: since when replacements of all of them are under way."""

    rule: Rule
    severity: Severity
    since: datetime
    why: str
    where: str
    replacing: datetime | None

    @property
    def sent_again(self) -> bool:
        """True if what this finding asks for is being done: a replacement begun since it opened, and no money owed."""
        begun = self.replacing is not None and self.replacing >= self.since
        return begun and self.rule.id in SPEAKS and self.rule.id not in UNASKED[Action.FULL_REFUND].rules


def merged(findings: Iterable[Finding], shown: Shown) -> list[Card]:
    """One card for each rule and moment, worst first as they come; `where` names the units."""
    alike: dict[tuple[str, datetime], list[Finding]] = {}
    for each in findings:
        alike.setdefault((each.rule.id, each.since), []).append(each)
    replacing = {each.slot: each.replacing for each in shown.slots}
    return [_card(same, replacing) for same in alike.values()]


def _card(same: list[Finding], replacing: Mapping[int, datetime | None]) -> Card:
    slots = [str(each.slot) for each in same if each.slot is not None]
    where = f"unit{'s' if len(slots) > 1 else ''} {', '.join(slots)}, " if slots else ""
    about = {each.slot for each in same}
    begun = [at for slot, at in replacing.items() if None in about or slot in about]
    since = None if None in begun else max((at for at in begun if at is not None), default=None)
    return Card(same[0].rule, same[0].severity, same[0].since, same[0].why, where, since)
