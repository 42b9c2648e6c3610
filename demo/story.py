"""A story file as what people said: the order and its statements as requests, shifted by whole weeks.

Whole weeks keep weekdays, so business days stay business days; the last day, or another that is asked for, falls on
today or up to six days before it. What lies after now is not said (a replay tells the past), and acts marked `live`
are played for real.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

Json = dict[str, Any]
STORIES = Path(__file__).resolve().parent.parent / "firmware_sim" / "stories"


@dataclass(frozen=True, slots=True)
class Story:
    """One story file. `weeks`: how far every date of it is shifted."""

    path: Path
    raw: Mapping[str, Any]
    weeks: int

    @property
    def zone(self) -> str:
        return str(self.raw["story"]["zone"])

    @property
    def number(self) -> str:
        return str(self.raw["order"]["number"])

    def utc(self, local: datetime) -> datetime:
        """A local time of the file as the moment to which it is shifted."""
        return (local + timedelta(weeks=self.weeks)).replace(tzinfo=local.tzinfo or ZoneInfo(self.zone)).astimezone(UTC)

    def day(self, local: date) -> str:
        return (local + timedelta(weeks=self.weeks)).isoformat()

    def order(self) -> Json:
        """The body of POST /orders."""
        order = self.raw["order"]
        to = order["ship_to"]
        lines = [
            {"sku": line["sku"], "title": line["title"], "slots": [_slot(slot) for slot in line["slots"]]}
            for line in order["line"]
        ]
        return {
            "number": order["number"],
            "placed_at": self.utc(order["placed_at"]).isoformat(),
            "zone": self.zone,
            "email": order["customer_email"],
            "customer_name": order["customer_name"],
            "site": order["site"],
            "ship_to": {
                **{key: to[key] for key in ("zone", "country", "region", "postcode")},
                "place": {key: to[key] for key in ("lat", "lon", "accuracy_m")},
            },
            "lines": lines,
        }

    def statements(self, now: datetime) -> Iterator[Json]:
        """The bodies of POST /orders/{number}/statements, in the order in which they were said, up to now."""
        serials = {tag["name"]: tag["serial"] for tag in self.raw["tag"]}
        for raw in sorted(self.raw["statement"], key=lambda each: each["at"]):
            if self.utc(raw["at"]) > now:
                continue
            said: Json = {
                "key": raw["id"],
                "kind": raw["kind"],
                "said_at": self.utc(raw["at"]).isoformat(),
                "zone": self.zone,
                "by": raw["by"],
                "source": raw["source"],
                "via": "replay",
            }
            if "slot" in raw:
                said["slot"] = raw["slot"]
            if "event_at" in raw:
                said["at"] = self.utc(raw["event_at"]).isoformat()
            if "at_least_ago_d" in raw:
                said["at_least_ago_s"] = raw["at_least_ago_d"] * 86_400
            if "payload" in raw:
                said["payload"] = self._payload(raw["payload"], serials)
            yield said

    def _payload(self, raw: Mapping[str, Any], serials: Mapping[str, int]) -> Json:
        """Shift every moment and day in it; a tag's name becomes its serial."""
        payload: Json = {}
        for key, value in raw.items():
            if key == "tag":
                payload["serial"] = serials[value]
            elif isinstance(value, datetime):
                payload[key] = self.utc(value).isoformat()
            elif isinstance(value, date):  # "by that day": until its end
                payload[key] = self.utc(datetime.combine(value + timedelta(days=1), time())).isoformat()
            else:
                payload[key] = value
        return payload


def read(letter: str, now: datetime, until: date | None = None) -> Story:
    """The story of this letter, shifted so that its last day, or the day `until`, is today or shortly before."""
    path = STORIES / f"{letter}.toml"
    raw = tomllib.loads(path.read_text())
    today = now.astimezone(ZoneInfo(raw["story"]["zone"])).date()
    return Story(path, raw, (today - (until or raw["story"]["last_day"])).days // 7)


def _slot(raw: Mapping[str, Any]) -> Json:
    slot: Json = {}
    if raw.get("personalised"):
        slot["personalisation"] = "BISCUIT · 555 0117"  # invented, as everybody in the story
    if raw.get("lead_bd") and raw.get("lead_shown"):
        slot["lead_time_bd"] = raw["lead_bd"]
    return slot
