"""Reads a story's table and makes the facts that a store would hold if the story had been played.

The demo gets a story through radio and HTTP; this reader needs neither, so that anybody's story can be judged offline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from server.rules.authority import Action, Role
from server.rules.facts import (
    Act,
    ActKind,
    BeaconMode,
    Gateway,
    GatewayClass,
    Healthy,
    Heard,
    Line,
    Order,
    OrderFacts,
    Place,
    ShipTo,
    Site,
    Slot,
    Source,
    Statement,
    StatementKind,
    Unit,
    interval,
)
from server.rules.payload_json import PayloadError, payload_from
from server.rules.schedule import Pickup, Service
from server.rules.story.run import StoryRun, orders_of

# From hearing to storing in a healthy system.
ON_TIME: Final = timedelta(seconds=40)


class StoryError(ValueError):
    """The table is not a story; the message says what is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Story:
    """A story as facts, with its expectations as written.

    Sightings are thinned as the store thins them: one `Heard` per tag, boot, gateway, stretch and UTC day.
    """

    id: str
    zone: str
    facts: OrderFacts
    expect: Mapping[str, Any]
    begins_at: datetime
    ends_at: datetime
    run: StoryRun | None = None

    def at(self, local: datetime) -> datetime:
        """A local time of the story in UTC."""
        return local.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def fact_times(self) -> list[datetime]:
        """Every moment at which a fact happened or became known."""
        facts = self.facts
        moments = {s.learnt_at for s in facts.statements} | {a.learnt_at for a in facts.acts}
        moments |= {s.latest for s in facts.statements} | {facts.order.placed_at}
        for row in facts.heard:
            moments |= {row.first_at, row.last_at, row.first_reached_at, row.reached_us_at}
        return sorted(moments)


def story_of(raw: Mapping[str, Any], weeks: int = 0) -> Story:
    """A story from the table of its file (docs/stories.md), shifted by whole weeks in its own zone.

    Raises StoryError if the table is not a story.
    """
    try:
        return _Reader(raw, weeks).story()
    except KeyError as missing:
        raise StoryError(f"{missing} is missing") from None
    except (PayloadError, TypeError, ValueError, AttributeError, AssertionError, ZoneInfoNotFoundError) as wrong:
        raise StoryError(str(wrong)) from None


class _Reader:
    def __init__(self, raw: Mapping[str, Any], weeks: int) -> None:
        self.raw = raw
        self.zone: str = raw["story"]["zone"]
        self.shift = timedelta(weeks=weeks)
        self.tags = {tag["name"]: tag for tag in raw.get("tag", ())}
        self.ends_at = self.midnight_after(raw["story"]["last_day"])

    def utc(self, local: datetime, zone: str | None = None) -> datetime:
        return (local + self.shift).replace(tzinfo=ZoneInfo(zone or self.zone)).astimezone(UTC)

    def midnight_after(self, day: date) -> datetime:
        return self.utc(datetime.combine(day + timedelta(days=1), time(0)))

    def story(self) -> Story:
        raw = self.raw
        begins_at = self.utc(datetime.combine(raw["story"]["begins"], time(0)))
        facts = OrderFacts(
            order=self.order(),
            statements=tuple(self.statement(s) for s in raw["statement"]),
            acts=tuple(self.act(a) for a in raw.get("act", ())),
            heard=(*self.heard(), *self.played_back()),
            units=tuple(self.unit(t) for t in raw.get("tag", ())),
            sites=tuple(self.site(s) for s in raw["site"]),
            gateways=tuple(
                Gateway(g["id"], GatewayClass(g["class"]), g["owner"], g.get("site")) for g in raw.get("gateway", ())
            ),
            healthy=tuple(Healthy(g["id"], begins_at) for g in raw.get("gateway", ())),
        )
        run = self.run(raw["run"], facts) if "run" in raw else None
        return Story(raw["story"]["id"], self.zone, facts, raw["expect"], begins_at, self.ends_at, run)

    def run(self, raw: Mapping[str, Any], like: OrderFacts) -> StoryRun:
        return StoryRun(
            name=raw["name"],
            action=Action(raw["action"]),
            at=self.utc(raw["at"]),
            approved_as=Role(raw["approved_as"]),
            killed_after=tuple(raw["killed_after"]),
            orders=orders_of(like, raw["others"]),
            expect={"refunded": raw["refunded"], "total_minor": raw["total_minor"]},
        )

    def order(self) -> Order:
        raw = self.raw["order"]
        ship_to = raw["ship_to"]
        return Order(
            number=raw["number"],
            placed_at=self.utc(raw["placed_at"]),
            zone=self.zone,
            lines=tuple(
                Line(
                    line["number"],
                    line["sku"],
                    line["title"],
                    tuple(Slot(line=line["number"], **slot) for slot in line["slots"]),
                )
                for line in raw["line"]
            ),
            site=raw["site"],
            ship_to=ShipTo(
                ship_to["zone"], ship_to["country"], ship_to["region"], ship_to["postcode"], _place(ship_to)
            ),
            paid_service=raw["paid_service"],
        )

    def statement(self, raw: Mapping[str, Any]) -> Statement:
        zone = raw.get("zone")
        said_at = self.utc(raw["at"], zone)
        at = self.utc(raw["event_at"], zone) if "event_at" in raw else None
        ago = timedelta(days=raw["at_least_ago_d"]) if "at_least_ago_d" in raw else None
        earliest, latest = interval(said_at, at, ago)
        return Statement(
            id=raw["id"],
            kind=StatementKind(raw["kind"]),
            order=self.raw["order"]["number"],
            slot=raw.get("slot"),
            said_at=said_at,
            earliest=earliest,
            latest=latest,
            by=raw["by"],
            source=Source(raw["source"]),
            learnt_at=said_at,
            payload=payload_from(raw["kind"], self.payload(raw.get("payload", {}), zone)),
            zone=zone or self.zone,
        )

    def payload(self, raw: Mapping[str, Any], zone: str | None) -> dict[str, object]:
        made: dict[str, object] = {}
        for key, value in raw.items():
            if key == "tag":
                made["serial"] = self.tags[value]["serial"]
            elif isinstance(value, datetime):
                made[key] = self.utc(value, zone).isoformat()
            elif isinstance(value, date):
                made[key] = self.midnight_after(value).isoformat()
            else:
                made[key] = value
        return made

    def act(self, raw: Mapping[str, Any]) -> Act:
        at = self.utc(raw["at"])
        return Act(
            id=raw["id"],
            kind=ActKind(raw["kind"]),
            at=at,
            by=raw["by"],
            learnt_at=at,
            order=self.raw["order"]["number"],
            slot=raw["slot"],
            serial=self.tags[raw["tag"]]["serial"],
            account=raw["account"],
            receipt=raw.get("receipt"),
        )

    def unit(self, raw: Mapping[str, Any]) -> Unit:
        mode = BeaconMode(raw["beacon_mode"])
        return Unit(raw["serial"], raw["lot"], mode, self.utc(raw["manufactured_at"]), self.utc(raw["keyed_at"]))

    def site(self, raw: Mapping[str, Any]) -> Site:
        return Site(
            id=raw["id"],
            name=raw["name"],
            zone=raw["zone"],
            place=_place(raw),
            pickups=tuple(Pickup(p["weekday"], p["at"]) for p in raw["pickups"]),
            pickup_grace_s=raw["pickup_grace_s"],
            holidays=frozenset(day + self.shift for day in raw["holidays"]),
            cutoff=raw["cutoff"],
            services=tuple(
                Service(s["name"], s["cutoff"], s["transit_bd"], s.get("saturday", False))
                for s in raw.get("services", ())
            ),
        )

    def heard(self) -> Iterator[Heard]:
        gateways = {g["id"]: g for g in self.raw.get("gateway", ())}
        for truth in self.raw.get("truth", ()):
            begin = self.utc(truth["from"])
            end = self.utc(truth["to"]) if "to" in truth else self.ends_at
            every = timedelta(seconds=truth.get("every_s", self.raw["story"]["every_s"]))
            for offset, name in enumerate(truth["heard_by"]):
                # Two receivers of one room do not hear each the same frame; the offset keeps theirs apart.
                yield from self.rows(truth, gateways[name], begin + timedelta(seconds=10 * offset), end, every)

    def played_back(self) -> Iterator[Heard]:
        """Recordings: the frames of a stretch, with the uptime of then, heard again later and somewhere else."""
        gateways = {g["id"]: g for g in self.raw.get("gateway", ())}
        for lie in self.raw.get("replay", ()):
            begin, end = self.utc(lie["recorded_from"]), self.utc(lie["recorded_to"])
            late = self.utc(lie["at"]) - begin
            every = timedelta(seconds=lie.get("every_s", self.raw["story"]["every_s"]))
            for name in lie["heard_by"]:
                for row in self.rows(lie, gateways[name], begin, end, every):
                    yield replace(
                        row,
                        first_at=row.first_at + late,
                        last_at=row.last_at + late,
                        first_reached_at=row.first_reached_at + late,
                        reached_us_at=row.reached_us_at + late,
                    )

    def rows(
        self, truth: Mapping[str, Any], gateway: Mapping[str, Any], begin: datetime, end: datetime, every: timedelta
    ) -> Iterator[Heard]:
        tag = self.tags[truth["tag"]]
        boots = [self.utc(at) for at in tag["boots"]]
        moments: dict[tuple[int, date], list[datetime]] = {}
        at = begin
        while at < end:
            boot = sum(power_up <= at for power_up in boots)
            moments.setdefault((boot, at.date()), []).append(at)
            at += every
        for (boot, _), heard_at in moments.items():
            first, last = heard_at[0], heard_at[-1]
            yield Heard(
                serial=tag["serial"],
                boot=boot,
                gateway=gateway["id"],
                gateway_class=GatewayClass(gateway["class"]),
                gateway_owner=gateway["owner"],
                site=gateway.get("site"),
                place=_place(truth if "lat" in truth else gateway),
                clock_good=True,
                first_at=first,
                last_at=last,
                first_uptime_s=int((first - boots[0]).total_seconds()),
                last_uptime_s=int((last - boots[0]).total_seconds()),
                count=len(heard_at),
                first_reached_at=first + ON_TIME,
                reached_us_at=last + ON_TIME,
            )


def _place(raw: Mapping[str, Any]) -> Place:
    return Place(raw["lat"], raw["lon"], raw["accuracy_m"])
