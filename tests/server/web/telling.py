"""A story told to a town up to one of its moments: the order, what was said, and what the radio heard by then."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from demo import story as demo
from server.rules.authority import Role
from server.rules.facts import Heard
from server.rules.story.reader import story_of
from tests.server.web.town import Somebody, Town
from wire.batch import GatewayClass, Place, PlaceSource

# Enough frames of a stretch for every rule that counts them.
FRAMES_MAX = 12


def tell(town: Town, letter: str, until: datetime) -> Somebody:
    """Tell it up to `until`, a local time of the story, which is the town's now; returns an operator."""
    told = demo.Story(demo.STORIES / f"{letter}.toml", tomllib.loads((demo.STORIES / f"{letter}.toml").read_text()), 0)
    town.now = until.replace(tzinfo=ZoneInfo(told.zone)).astimezone(UTC)
    operator = town.staff(Role.OPERATOR)
    for raw in told.raw["site"]:
        pickups = [{"weekday": each["weekday"], "at": each["at"].isoformat()} for each in raw["pickups"]]
        calendar = {"cutoff": raw["cutoff"].isoformat(), "pickup_grace_s": raw["pickup_grace_s"], "pickups": pickups}
        site = {"site": raw["id"], **{key: raw[key] for key in ("name", "zone", "lat", "lon")}, "calendar": calendar}
        operator.post("/sites", site)
    for raw in told.raw["gateway"]:
        town.gateway(raw["id"], GatewayClass[raw["class"].upper()], raw.get("site"), _place(raw))
    operator.post("/orders", told.order())
    operator.post(f"/orders/{told.number}/statements", {"statements": list(told.statements(town.now))})
    places = {raw["id"]: _place(raw) for raw in told.raw["gateway"]}
    for heard in story_of(told.raw).facts.heard:
        if heard.last_at <= town.now:
            born = heard.first_at - timedelta(seconds=heard.first_uptime_s)
            town.hear(heard.gateway, heard.serial, places[heard.gateway], _moments(heard), boot=heard.boot, born=born)
    return operator


def _place(raw: dict[str, float]) -> Place | None:
    if "lat" not in raw:
        return None
    return Place(round(raw["lat"] * 1e7), round(raw["lon"] * 1e7), round(raw.get("accuracy_m", 20)), PlaceSource.FIXED)


def _moments(heard: Heard) -> list[datetime]:
    steps = max(1, min(heard.count, FRAMES_MAX) - 1)
    return [heard.first_at + (heard.last_at - heard.first_at) * step / steps for step in range(steps + 1)]
